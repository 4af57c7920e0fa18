"""Failures that the judge finds in clips, as figures with 95 % intervals.

    videos (B, 3, T, H, W), what they should show ── …_figures ──► figure → {value or mean, …}

No model is needed: true clips have figures too. There is one function for each kind of clip: an
object that falls or is thrown, two that collide, two side by side, a clip with one word changed, a
clip of any length. A figure is None where there was nothing to measure it on.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch

from minisora.measure.clips import verdicts_of
from minisora.measure.judge import Reading, Tracked, Verdict, read, related, verdict
from minisora.measure.stats import Figure, fraction_of, mean_of
from minisora.world.parse import ObjectSpec, PromptSpec, parse, spec_of
from minisora.world.render import coverage
from minisora.world.scene import FPS, RELATIONS, Scene

Figures = dict[str, Figure | None]
ATTRIBUTES = ("color", "shape", "size", "motion", "background")
Objects = tuple[Tracked, ...]


def _empty(*names: str) -> dict[str, list[bool]]:
    """A list for every name, for a flag of each clip or frame."""
    return {name: [] for name in names}


def _fractions(flags: dict[str, list[bool]]) -> Figures:
    return {name: fraction_of(values) for name, values in flags.items()}


# --------------------------------------------------------------------------------- frame by frame


def frames_of(video: torch.Tensor) -> list[Objects]:
    """The objects that the judge sees in each frame of a clip (3, T, H, W), read by itself."""
    frames = video.split(1, dim=1)
    return [read(frame).objects for frame in frames]


def is_alone(objects: Objects, color: str | None, shape: str | None) -> bool:
    """Whether there is one object, and it has this colour and shape."""
    if len(objects) != 1:
        return False
    (thing,) = objects
    return thing.color == color and thing.shape == shape


def changes(frames: Sequence[Objects]) -> dict[str, bool]:
    """What does not stay as it was in the first frame, for at least two frames.

    Args:
        frames: from `frames_of`.

    Returns:
        "vanishes", "appears", "changes color", "changes shape", "changes size": whether it happens.
    """
    first = {o.color: o for o in frames[0]}
    flags = _empty("vanishes", "appears", "changes color", "changes shape", "changes size")
    for objects in frames:
        now = {o.color: o for o in objects}
        others = now.keys() != first.keys()
        pairs = [(first[color], now[color]) for color in first if color in now]
        ratios = [float(b.radii[0] / a.radii[0]) for a, b in pairs]
        flags["vanishes"].append(len(now) < len(first) or not first)
        flags["appears"].append(len(now) > len(first))
        flags["changes color"].append(len(now) == len(first) and others)
        flags["changes shape"].append(any(a.shape != b.shape for a, b in pairs))
        flags["changes size"].append(any(not 0.8 < ratio < 1.25 for ratio in ratios))
    return {name: values.count(True) >= 2 for name, values in flags.items()}


def shows(frames: Sequence[Objects], color: str, shape: str) -> list[bool]:
    """For each frame, whether it shows one object of this colour and shape, and nothing else."""
    return [is_alone(objects, color, shape) for objects in frames]


def outlines_hold(reading: Reading) -> bool:
    """Whether there are objects, and all of them keep their outlines in every frame."""
    return bool(reading.objects) and all(o.whole for o in reading.objects)


def only_motion(reading: Reading) -> str | None:
    """The motion of the only object; None where there is not exactly one."""
    if len(reading.objects) != 1:
        return None
    return reading.objects[0].motion


def asked_figures(verdicts: Sequence[Verdict]) -> Figures:
    """How many clips show what was asked, and how many keep their outlines."""
    return {
        "as asked": fraction_of([v.all for v in verdicts]),
        "outline": fraction_of([v.attributes["outline"] for v in verdicts]),
    }


# ----------------------------------------------------------------------------------------- physics


def gravity_of(positions: torch.Tensor, fps: float = FPS) -> float:
    """Downward acceleration of a track (T, 2) while it is off the floor, in half-widths/s².

    Twice the curvature of the parabola that fits best; nan for fewer than six such frames.
    """
    y = positions[:, 1]
    seen = y.isfinite()
    if not seen.any():
        return math.nan
    lowest = y[seen].amax()
    aloft = seen & (y < lowest - 0.06)
    if aloft.sum() < 6:
        return math.nan
    times = torch.arange(len(positions)) / fps
    ones = torch.ones_like(times)
    powers = torch.stack([ones, times, times**2], dim=1)
    fitted = torch.linalg.lstsq(powers[aloft], y[aloft, None])
    curvature = fitted.solution[2, 0]
    return 2 * float(curvature)


def motion_figures(videos: torch.Tensor, motion: str, fps: float = FPS) -> Figures:
    """One object that should fall or be thrown: which law it follows, and whether it stays itself.

    Returns:
        "law": its motion is the one asked for; "law error" and "gravity" of clips with one object
        (half-widths; half-widths/s²); "falls, then rests": it lies still in the last half second;
        "outline"; each of `changes`; "nothing changes": none of them.
    """
    readings = [read(video, fps) for video in videos]
    outlines = [outlines_hold(reading) for reading in readings]
    follows = [only_motion(reading) == motion for reading in readings]
    changed = [changes(frames_of(video)) for video in videos]
    kept = [not any(own.values()) for own in changed]
    alone = [reading.objects[0] for reading in readings if len(reading.objects) == 1]
    errors = [thing.law.error for thing in alone]
    gravities = [gravity_of(thing.positions, fps) for thing in alone]
    table: Figures = {
        "law": fraction_of(follows),
        "law error": mean_of(errors),
        "gravity": mean_of(gravities),
    }
    if motion == "falling":
        table["falls, then rests"] = fraction_of(_rests(alone, fps))
    table["outline"] = fraction_of(outlines)
    for name in changed[0]:
        table[name] = fraction_of([own[name] for own in changed])
    table["nothing changes"] = fraction_of(kept)
    return table


def _rests(things: list[Tracked], fps: float) -> list[bool]:
    """For each object that goes down, whether it stands still in its last half second."""
    last = max(round(fps / 2), 2)
    flags = []
    for thing in things:
        y = thing.positions[:, 1]
        if float(y[-1] - y[0]) > 0.3:
            end = y[-last:]
            moved = end.amax() - end.amin()
            flags.append(float(moved) < 0.06)
    return flags


def by_color(reading: Reading, request: PromptSpec) -> list[Tracked] | None:
    """The asked objects in the order of the request, found by colour; None where one is missing."""
    found = {o.color: o for o in reading.objects}
    colors = [asked.color for asked in request.objects]
    if any(color not in found for color in colors):
        return None
    return [found[color] for color in colors if color]


def collision_figures(videos: torch.Tensor, prompts: Sequence[str], fps: float = FPS) -> Figures:
    """A moving object meets one at rest.

    Returns:
        "law": the judge sees the asked collision; "the hit one moves"; "touch, then move": it does
        not move before it is touched; "momentum kept": to a quarter, a mass being radius²;
        "outline".
    """
    flags = _empty("law", "outline", "the hit one moves", "touch, then move")
    ratios: list[float] = []
    for video, prompt in zip(videos, prompts, strict=True):
        reading = read(video, fps)
        request = parse(prompt)
        right = verdict(reading, request).attributes
        flags["law"].append(right["motion"])
        flags["outline"].append(outlines_hold(reading))
        pair = by_color(reading, request)
        hit_moves = pair is not None and _hit_moves(*pair)
        flags["the hit one moves"].append(hit_moves)
        if pair and hit_moves:
            flags["touch, then move"].append(_touched_first(*pair))
            ratios += _momentum_ratio(*pair)
    table = _fractions(flags)
    kept = [abs(ratio - 1) < 0.25 for ratio in ratios]
    table["momentum kept"] = fraction_of(kept)
    return table


def _hit_moves(a: Tracked, b: Tracked) -> bool:
    """Whether b moves; where one of the two is lost, it does not do what was asked."""
    seen = a.seen & b.seen
    way = _way(b)
    return bool(seen.all()) and way[-1] > 0.15


def _way(thing: Tracked) -> list[float]:
    """How far an object is from where it began, in every frame."""
    ways = thing.positions - thing.positions[0]
    return ways.norm(dim=1).tolist()


def _distance(a: Tracked, b: Tracked) -> torch.Tensor:
    """Distance (T,) of two centres."""
    ways = a.positions - b.positions
    return ways.norm(dim=1)


def _touched_first(a: Tracked, b: Tracked) -> bool:
    """Whether a comes near b before b has moved."""
    ways = _way(b)
    starts = next(t for t, way in enumerate(ways) if way > 0.08)
    reach = float(a.radii.median() + b.radii.median())
    nearest = _distance(a, b)[: starts + 1].min()
    return float(nearest) < 1.15 * reach


def _momentum_ratio(a: Tracked, b: Tracked) -> list[float]:
    """Momentum along the way from a to b, after over before they touch; empty where unclear."""
    touch = int(_distance(a, b).argmin())
    last = len(a.positions) - 1
    if not 3 <= touch <= last - 3:
        return []
    before = _momentum(a, b, 0, touch - 1)
    after = _momentum(a, b, touch + 1, last)
    return [after / before] if before else []


def _momentum(a: Tracked, b: Tracked, start: int, end: int) -> float:
    """Momentum of two objects between two frames, along the line on which they were at first."""
    axis = b.positions[0] - a.positions[0]
    axis = axis / axis.norm()
    total = 0.0
    for thing in (a, b):
        way = thing.positions[end] - thing.positions[start]
        mass = float(thing.radii.median()) ** 2
        total += mass * float(way @ axis) / (end - start)
    return total


# ------------------------------------------------------------------------- space, edits, length


def pair_figures(videos: torch.Tensor, prompts: Sequence[str], fps: float = FPS) -> Figures:
    """Two objects side by side.

    Returns:
        "left or right", "above or below": they stand as asked, by the axis that was asked;
        "mirrored": the other way round; "bound": each has its own colour and shape; "swapped": the
        other's shape, where the two differ; "too many", "too few" objects; "outline".
    """
    flags = _empty(
        "left or right",
        "above or below",
        "mirrored",
        "bound",
        "swapped",
        "too many",
        "too few",
        "outline",
    )
    for video, prompt in zip(videos, prompts, strict=True):
        reading = read(video, fps)
        request = parse(prompt)
        pair = by_color(reading, request)
        vertical = request.relation is not None and not RELATIONS[request.relation][0]
        axis = "above or below" if vertical else "left or right"
        flags[axis].append(_stands(pair, request))
        mirrored = pair[::-1] if pair else None
        flags["mirrored"].append(_stands(mirrored, request))
        asked = [thing.shape for thing in request.objects]
        seen = [thing.shape for thing in pair or []]
        flags["bound"].append(seen == asked)
        if asked[0] != asked[1]:
            flags["swapped"].append(seen == asked[::-1])
        number = len(reading.objects)
        flags["too many"].append(number > 2)
        flags["too few"].append(number < 2)
        flags["outline"].append(outlines_hold(reading))
    return _fractions(flags)


def _stands(pair: list[Tracked] | None, request: PromptSpec) -> bool:
    """Whether the first object of a pair is on the asked side of the second."""
    if pair is None or request.relation is None:
        return False
    a, b = pair
    return related(a, b, request.relation)


def edit_figures(
    before: torch.Tensor,
    after: torch.Tensor,
    scenes: Sequence[Scene],
    attribute: str | None = None,
    fps: float = FPS,
) -> Figures:
    """One word of the prompt changed: what obeys it, and what stays.

    Args:
        before, after: clips (B, 3, T, H, W) of the old and of the new prompt.
        scenes: what the new prompts say. attribute: which word changed; None where none did.

    Returns:
        "obeyed": the new clip has one object, with the new attribute; "outline" of the new clip.
        Over the clips that had one object before: "stayed", all other attributes are as they were;
        "lost", there is no longer one object. Over those that still have it: "position", how far
        its first position moved (half-widths), and "outside", how much pixels outside of the
        objects changed (fraction of their range).
    """
    flags = _empty("obeyed", "stayed", "lost", "outline")
    position: list[float] = []
    outside: list[float] = []
    others = [name for name in ATTRIBUTES if name != attribute]
    for a, b, scene in zip(before, after, scenes, strict=True):
        old_reading = read(a, fps)
        new_reading = read(b, fps)
        old = _attributes(old_reading)
        new = _attributes(new_reading)
        flags["outline"].append(outlines_hold(new_reading))
        if attribute:
            obeyed = new.get(attribute) == _asked(scene, attribute)
            flags["obeyed"].append(bool(new) and obeyed)
        if not old:
            continue
        stayed = all(old[name] == new.get(name) for name in others)
        flags["lost"].append(not new)
        flags["stayed"].append(stayed)
        if new:
            things = [old_reading.objects[0], new_reading.objects[0]]
            moved = things[0].positions[0] - things[1].positions[0]
            position.append(float(moved.norm()))
            outside.append(_change_outside(things, a, b))
    table = _fractions(flags)
    table["position"] = mean_of(position)
    table["outside"] = mean_of(outside)
    return table


def _attributes(reading: Reading) -> dict[str, str]:
    """What a clip of one object shows; empty where there is not exactly one."""
    if len(reading.objects) != 1:
        return {}
    (thing,) = reading.objects
    return {
        "color": thing.color,
        "shape": thing.shape,
        "size": thing.size,
        "motion": thing.motion,
        "background": reading.background,
    }


def _asked(scene: Scene, attribute: str) -> str | None:
    """What a prompt about a scene says of one attribute."""
    if attribute == "background":
        return scene.background
    thing: ObjectSpec = spec_of(scene).objects[0]
    return getattr(thing, attribute)


def _change_outside(
    things: Sequence[Tracked],
    before: torch.Tensor,
    after: torch.Tensor,
) -> float:
    """Mean change, in [0, 1], of the pixels of two clips (3, T, H, W) that are free of the objects.

    A disc around each object, half as large again, is not free.
    """
    T, height, width = before.shape[1:]
    covered = torch.zeros(T, height, width)
    for thing in things:
        radii = 1.5 * thing.radii.nan_to_num(0.1)
        positions = thing.positions.nan_to_num(9.0)  # out of the frame
        angles = torch.zeros(T)
        covered += coverage("circle", positions, radii, angles, height, width)
    change = (before - after).abs()
    change = change[:, covered == 0]
    return float(change.mean()) / 2


def length_figures(
    videos: torch.Tensor,
    prompts: Sequence[str],
    fps: float = FPS,
) -> dict[str, Any]:
    """Clips of any length.

    Returns:
        "as asked"; "outline"; "nothing changes" on the way; "by_frame": for every frame the
        fraction of clips that show the asked object, and no other, there.
    """
    kept = []
    shown = []
    for video, prompt in zip(videos, prompts, strict=True):
        frames = frames_of(video)
        asked = parse(prompt).objects[0]
        changed = changes(frames).values()
        kept.append(not any(changed))
        shown.append(shows(frames, str(asked.color), str(asked.shape)))
    fractions = torch.tensor(shown).float().mean(0).tolist()
    verdicts = verdicts_of(videos, prompts, fps)
    return {
        **asked_figures(verdicts),
        "nothing changes": fraction_of(kept),
        "by_frame": [round(fraction, 4) for fraction in fractions],
    }
