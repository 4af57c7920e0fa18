"""Faults that the judge finds in clips, as figures with 95 % intervals. No model is needed: true clips have figures too.

    videos (B, 3, T, H, W) and what they should show ── …_figures ──► figure → {value, low, high, n} or {mean, low, high, n}

One function for each kind of clip: an object that falls or flies, two that collide, two side by side, a clip with one word changed, a
clip of any length. A figure is None where there was nothing to measure it on.
"""

import torch

from minisora.measure.judge import Reading, Tracked, read, verdict
from minisora.measure.stats import mean_of, share
from minisora.world.captions import PromptSpec, parse, spec_of
from minisora.world.render import coverage
from minisora.world.scene import FPS, RELATIONS, Scene

NAMES = ("color", "shape", "size", "motion")


def changes(video: torch.Tensor) -> dict[str, bool]:
    """What does not stay as it was in the first frame, every frame being read by itself: in at least two frames something …"""
    looks = [
        {o.color: (o.shape, float(o.radii[0])) for o in read(video[:, t : t + 1]).objects}
        for t in range(video.shape[1])
    ]
    first, both = looks[0], [[(looks[0][c], f[c]) for c in looks[0] if c in f] for f in looks]
    faults = {
        "vanishes": [len(f) < len(first) or not first for f in looks],
        "appears": [len(f) > len(first) for f in looks],
        "changes color": [len(f) == len(first) and set(f) != set(first) for f in looks],
        "changes shape": [any(a[0] != b[0] for a, b in pairs) for pairs in both],
        "changes size": [any(not 0.8 < b[1] / a[1] < 1.25 for a, b in pairs) for pairs in both],
    }
    return {name: sum(frames) >= 2 for name, frames in faults.items()}


def shows(video: torch.Tensor, color: str, shape: str) -> list[bool]:
    """For every frame of a video (3, T, H, W), whether it shows one object of this look and nothing else."""
    frames = (read(video[:, t : t + 1]) for t in range(video.shape[1]))
    return [[(o.color, o.shape) for o in frame.objects] == [(color, shape)] for frame in frames]


def gravity_of(positions: torch.Tensor, fps: float = FPS) -> float:
    """Downward acceleration in half-widths/s²: twice the curvature of the best parabola through (T, 2) while it is off the floor."""
    y, times = positions[:, 1], torch.arange(len(positions)) / fps
    aloft = y < y[y.isfinite()].amax() - 0.06 if y.isfinite().any() else y.isfinite()
    powers = torch.stack([times**n for n in range(3)], dim=1)[aloft]
    return (
        2 * float(torch.linalg.lstsq(powers, y[aloft, None]).solution[2, 0])
        if aloft.sum() >= 6
        else float("nan")
    )


def motion_figures(videos: torch.Tensor, motion: str) -> dict:
    """One object that should fall or be thrown: does its law explain it, how strong is gravity, does it stay what it is?"""
    readings, kept = [read(v) for v in videos], [changes(v) for v in videos]
    tracks = [r.objects[0] for r in readings if len(r.objects) == 1]
    fell = [
        t.positions[:, 1] for t in tracks if float(t.positions[-1, 1] - t.positions[0, 1]) > 0.3
    ]
    table = {
        "law": share([len(r.objects) == 1 and r.objects[0].motion == motion for r in readings])
    }
    table |= {
        "miss": mean_of([t.law.error for t in tracks]),
        "gravity": mean_of([gravity_of(t.positions) for t in tracks]),
    }
    if motion == "falling":  # the last half second is on the floor
        table["falls, then rests"] = share(
            [float(y[-4:].amax() - y[-4:].amin()) < 0.06 for y in fell]
        )
    return (
        table
        | {name: share([k[name] for k in kept]) for name in kept[0]}
        | {"kept": share([not any(k.values()) for k in kept])}
    )


def by_color(reading: Reading, request: PromptSpec) -> list[Tracked] | None:
    """The asked objects in the order of the request, found by colour; None where one is not there."""
    found = {o.color: o for o in reading.objects}
    return (
        [found[a.color] for a in request.objects]
        if all(a.color in found for a in request.objects)
        else None
    )


def collision_figures(videos: torch.Tensor, prompts: list[str]) -> dict:
    """A moving object meets one at rest: does that one move, not before it is touched, and is momentum kept (mass = radius²)?"""
    moved, touched, ratio, lawful = [], [], [], []
    for video, prompt in zip(videos, prompts, strict=True):
        reading, request = read(video), parse(prompt)
        lawful.append(bool(verdict(reading, request).attributes["motion"]))
        pair = by_color(reading, request)
        if pair is None or not all(bool(o.seen.all()) for o in pair):
            continue
        (a, b), reach = (o.positions for o in pair), float(sum(o.radii.median() for o in pair))
        apart, way = (a - b).norm(dim=1), (b - b[0]).norm(dim=1)
        moved.append(float(way[-1]) > 0.15)
        if not moved[-1]:
            continue
        touched.append(float(apart[: int((way > 0.08).float().argmax()) + 1].min()) < 1.15 * reach)
        touch, axis = int(apart.argmin()), (b[0] - a[0]) / (b[0] - a[0]).norm()
        if 3 <= touch <= len(a) - 4:
            speed = lambda track, lo, hi: float((track[hi] - track[lo]) @ axis) / (hi - lo)
            mass, end = [float(o.radii.median()) ** 2 for o in pair], len(a) - 1
            before = sum(m * speed(t, 0, touch - 1) for m, t in zip(mass, (a, b), strict=True))
            after = sum(m * speed(t, touch + 1, end) for m, t in zip(mass, (a, b), strict=True))
            ratio.append(after / before if before else float("nan"))
    keeps = share([abs(r - 1) < 0.25 for r in ratio])
    table = {
        "law": share(lawful),
        "the hit one moves": share(moved),
        "touch, then move": share(touched),
    }
    return table | {"momentum kept": keeps, "momentum ratio": mean_of(ratio)}


def pair_figures(videos: torch.Tensor, prompts: list[str]) -> dict:
    """Two objects: on the asked side, or mirrored; each with its own colour and shape, or swapped; too many, or too few?"""
    sides, mirrored, bound, swapped, extra, missing = (
        {"left or right": [], "above or below": []},
        [],
        [],
        [],
        [],
        [],
    )
    for video, prompt in zip(videos, prompts, strict=True):
        reading, request = read(video), parse(prompt)
        pair, (rx, ry) = by_color(reading, request), RELATIONS[request.relation]
        dx, dy = (
            torch.nanmean(pair[0].positions - pair[1].positions, dim=0).tolist()
            if pair
            else (0.0, 0.0)
        )
        along, across = dx * rx + dy * ry, abs(dx * ry) + abs(dy * rx)
        sides["left or right" if rx else "above or below"].append(along > across)
        mirrored.append(-along > across)
        shapes = [a.shape for a in request.objects]
        bound.append(pair is not None and [o.shape for o in pair] == shapes)
        if shapes[0] != shapes[1]:
            swapped.append(pair is not None and [o.shape for o in pair] == shapes[::-1])
        extra.append(len(reading.objects) > 2)
        missing.append(len(reading.objects) < 2)
    flags = {
        **sides,
        "mirrored": mirrored,
        "bound": bound,
        "swapped": swapped,
        "too many": extra,
        "too few": missing,
    }
    return {name: share(values) for name, values in flags.items()}


def edit_figures(
    before: torch.Tensor, after: torch.Tensor, scenes: list[Scene], attribute: str | None = None
) -> dict:
    """One word changed, and `scenes` with it: is it `obeyed`; how many of the other attributes `stayed`; how far did the object's first
    `place` move (half-widths); how much changed `outside` of the objects (share of the pixels' range)?"""
    obeyed, stayed, place, outside = [], [], [], []
    for a, b, scene in zip(before, after, scenes, strict=True):
        readings = read(a), read(b)
        if any(len(r.objects) != 1 for r in readings):
            obeyed.append(False)
            continue
        objects = [r.objects[0] for r in readings]
        old, new = (
            {k: getattr(o, k) for k in NAMES} | {"background": r.background}
            for o, r in zip(objects, readings, strict=True)
        )
        asked = vars(spec_of(scene).objects[0]) | {"background": scene.background}
        obeyed.append(attribute is not None and new[attribute] == asked[attribute])
        stayed += [old[k] == new[k] for k in old if k != attribute]
        place.append(float((objects[0].positions - objects[1].positions)[0].norm()))
        discs = [
            coverage(
                "circle",
                o.positions.nan_to_num(9.0),
                1.5 * o.radii.nan_to_num(0.1),
                torch.zeros(len(o.radii)),
                *a.shape[2:],
            )
            for o in objects
        ]
        free = (discs[0] + discs[1] == 0).expand_as(a)
        outside.append(float((a - b).abs()[free].mean()) / 2)
    return {
        "obeyed": share(obeyed) if attribute else None,
        "stayed": share(stayed),
        "place": mean_of(place),
        "outside": mean_of(outside),
    }


def length_figures(videos: torch.Tensor, prompts: list[str]) -> dict:
    """As asked, nothing changed on the way, and for every frame the share of clips that show the asked look, and no other, there."""
    verdicts, kept, frames = [], [], []
    for video, prompt in zip(videos, prompts, strict=True):
        ask = parse(prompt).objects[0]
        verdicts.append(verdict(read(video), parse(prompt)).all)
        kept.append(not any(changes(video).values()))
        frames.append(shows(video, ask.color, ask.shape))
    right = [sum(column) / len(column) for column in zip(*frames, strict=True)]
    return {
        "as asked": share(verdicts),
        "kept": share(kept),
        "by_frame": [round(r, 4) for r in right],
    }
