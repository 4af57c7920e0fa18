"""Clips without end: a seed makes a scene, a scene makes pixels and English.

    seed ──► sample_scene ──► Scene ──► render, caption ──► Batch

A Batch holds videos (B, 3, T, H, W), captions and scenes. Six of the 42 shape–colour pairs are held
out: no training clip, with one object or two, ever shows one.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from minisora.world.captions import caption, detailed_caption
from minisora.world.render import Drawing, draw, prepare, render
from minisora.world.scene import (
    BACKGROUND_COLORS,
    COLORS,
    DIRECTIONS,
    EXTENT,
    FPS,
    GRAVITY,
    GROWTH,
    MOTIONS,
    RELATIONS,
    ROUND,
    SHAPES,
    SIZES,
    SPIN,
    TEXTURES,
    Scene,
    SceneObject,
    check_choice,
    simulate,
)

HELD_OUT = {  # one colour a shape
    ("circle", "green"),
    ("square", "pink"),
    ("triangle", "orange"),
    ("star", "blue"),
    ("heart", "cyan"),
    ("ring", "red"),
}
SHAPE_COLOR_PAIRS = {
    "seen": [(s, c) for s in SHAPES for c in COLORS if (s, c) not in HELD_OUT],
    "held_out": sorted(HELD_OUT),
}
TRIES = 1000  # draws of a scene before giving up
MAX_SECONDS = 600
NOT_ROUND = [shape for shape in SHAPES if shape not in ROUND]


def is_held_out(shape: str, color: str) -> bool:
    """Whether this shape in this colour is kept out of all training, in every motion and family."""
    return (shape, color) in HELD_OUT


# ------------------------------------------------------------------------------ one scene


def sample_scene(
    seed: int,
    family: str = "solo",
    split: str = "seen",
    *,
    num_frames: int = 17,
    height: int = 32,
    width: int = 32,
    fps: float = FPS,
    **fixed: str,
) -> Scene:
    """Make the scene that belongs to this seed. Objects stay wholly inside the frame.

    Args:
        family: "solo" (one object) or "pair" (two, of different colours).
        split: "seen" (no held-out pair of shape and colour) or "held_out" (every object is one).
        num_frames, height, width, fps: the clip in which the objects stay inside.
        fixed: attributes to hold, of `shape, color, size, motion` for a solo and
            `background, texture` for both.

    Raises:
        ValueError: an unknown family, split or attribute, a size that no clip has, or a combination
            that the world does not make.
    """
    _check(family, split, num_frames, height, width, fps, fixed)
    rng = random.Random(seed)
    unit = min(height, width)
    frame = (width / unit, height / unit)  # half-extents in half-widths
    duration = max((num_frames - 1) / fps, 1 / fps)
    background = fixed.get("background") or rng.choice(list(BACKGROUND_COLORS))
    texture = fixed.get("texture") or rng.choice(TEXTURES)
    objects: tuple[SceneObject, ...]
    for _ in range(TRIES):
        if family == "solo":
            relation = None
            objects = (_sample_solo(rng, split, frame, duration, fixed),)
        else:
            relation, objects = _sample_pair(rng, split, frame, duration)
        scene = Scene(objects, background, texture, relation, seed)
        if _inside(scene, num_frames, fps, frame):
            return scene
    wishes = ", ".join(f"{name}={value!r}" for name, value in {"split": split, **fixed}.items())
    raise ValueError(
        f"no {family} scene with {wishes} fits into {num_frames} frames of {height}×{width} "
        f"at {fps:g} frames per second"
    )


def _check(
    family: str,
    split: str,
    num_frames: int,
    height: int,
    width: int,
    fps: float,
    fixed: Mapping[str, str],
) -> None:
    """Refuse what no scene can be, before any is drawn."""
    check_choice("family", family, ("solo", "pair"))
    check_choice("split", split, SHAPE_COLOR_PAIRS)
    for name, number in (("num_frames", num_frames), ("height", height), ("width", width)):
        if number != int(number) or number < 1:
            raise ValueError(f"{name}={number} is not a whole number of at least 1")
    if not 0 < fps < math.inf:
        raise ValueError(f"fps={fps} is not a positive number of frames per second")
    if num_frames / fps > MAX_SECONDS:
        raise ValueError(
            f"num_frames={num_frames} at fps={fps:g} last {num_frames / fps:g} seconds; "
            f"a scene lasts at most {MAX_SECONDS}"
        )
    allowed = {"background": BACKGROUND_COLORS, "texture": TEXTURES}
    if family == "solo":
        allowed |= {"shape": SHAPES, "color": COLORS, "size": SIZES, "motion": MOTIONS}
    for name, value in fixed.items():
        check_choice("attribute", name, allowed)
        check_choice(name, value, allowed[name])
    spins = fixed.get("motion") == "spinning"
    if spins and fixed.get("shape") in ROUND:
        raise ValueError(
            f"a spinning {fixed['shape']} looks like a still one, so the world has none; "
            f"spin a {', '.join(NOT_ROUND[:-1])} or {NOT_ROUND[-1]}"
        )
    pairs = _pairs(split, fixed.get("shape"), fixed.get("color"))
    if spins:
        pairs = [pair for pair in pairs if pair[0] not in ROUND]
    if not pairs:
        asked = f"{fixed.get('color', 'any')} {fixed.get('shape', 'shape')}"
        asked = f"spinning {asked}" if spins else asked
        raise ValueError(f"{asked} is not in the split {split!r}; held out are {sorted(HELD_OUT)}")


def _pairs(split: str, shape: str | None, color: str | None) -> list[tuple[str, str]]:
    """The shapes and colours of a split that agree with what is fixed; None is free."""
    pairs = SHAPE_COLOR_PAIRS[split]
    return [pair for pair in pairs if shape in (None, pair[0]) and color in (None, pair[1])]


def _sample_solo(
    rng: random.Random,
    split: str,
    frame: tuple[float, float],
    duration: float,
    fixed: Mapping[str, str],
) -> SceneObject:
    motion = fixed.get("motion") or rng.choice(MOTIONS)
    color = fixed.get("color")
    pair = rng.choice(_pairs(split, fixed.get("shape"), color))
    if motion == "spinning" and pair[0] in ROUND:
        if "motion" in fixed:
            candidates: list[tuple[str, str]] = []
            while not candidates:
                candidates = _pairs(split, rng.choice(NOT_ROUND), color)
            pair = rng.choice(candidates)
        else:
            motion = rng.choice([m for m in MOTIONS if m != "spinning"])
    size = fixed.get("size") or rng.choice(list(SIZES))
    thing = SceneObject(*pair, size, motion, rng.uniform(*SIZES[size]), 0.0, 0.0)
    return _place(rng, thing, frame, duration)


def _sample_pair(
    rng: random.Random, split: str, frame: tuple[float, float], duration: float
) -> tuple[str, tuple[SceneObject, SceneObject]]:
    relation = rng.choice(list(RELATIONS))
    first = rng.choice(SHAPE_COLOR_PAIRS[split])
    second = first
    while second[1] == first[1]:
        second = rng.choice(SHAPE_COLOR_PAIRS[split])
    if rng.random() < 0.3:
        return relation, _sample_collision(rng, first, second, relation, frame, duration)
    motions = ["still", "still"]
    while motions == ["still", "still"]:
        motions = [rng.choice(("still", *DIRECTIONS)) for _ in range(2)]
    things = []
    for pair, motion in zip((first, second), motions, strict=True):
        radius = rng.uniform(*SIZES["small"])
        things.append(SceneObject(*pair, "small", motion, radius, 0.0, 0.0))
    dx, dy = RELATIONS[relation]
    for _ in range(30):
        a = _place(rng, things[0], frame, duration)
        b = _place(rng, things[1], frame, duration)
        x, y = a.x - b.x, a.y - b.y
        # the relation holds at the start; `_inside` looks at the rest
        if x * dx + y * dy > abs(x * dy + y * dx) + 0.1:
            break
    return relation, (a, b)


def _sample_collision(
    rng: random.Random,
    first: tuple[str, str],
    second: tuple[str, str],
    relation: str,
    frame: tuple[float, float],
    duration: float,
) -> tuple[SceneObject, SceneObject]:
    """The first object runs into the second, which is at rest, along one axis.

    In two cases of three one of them is large, and heavier.
    """
    sizes = rng.choice((("small", "small"), ("small", "large"), ("large", "small")))
    r_a, r_b = (rng.uniform(SIZES[size][0], SIZES[size][0] + 0.03) for size in sizes)
    dx, dy = (-d for d in RELATIONS[relation])  # the way that it runs
    gap = rng.uniform(0.15, 0.35)
    speed = rng.uniform(0.3, 0.6) * 2.0 / duration
    start = -(frame[0] if dx else frame[1]) + r_a * rng.uniform(1.05, 1.3)
    across = rng.uniform(-0.5, 0.5)
    other = start + r_a + gap + r_b
    if dx:
        a_at, b_at = (start * dx, across), (other * dx, across)
    else:
        a_at, b_at = (across, start * dy), (across, other * dy)
    a = SceneObject(*first, sizes[0], "hits", r_a, *a_at, speed * dx, speed * dy)
    return a, SceneObject(*second, sizes[1], "hit", r_b, *b_at)


# ---------------------------------------------------------------------- positions and speeds


@dataclass(frozen=True)
class _Room:
    """Where an object's centre may be, in half-widths."""

    left: float
    right: float
    ceiling: float
    floor: float


def _place(
    rng: random.Random, thing: SceneObject, frame: tuple[float, float], duration: float
) -> SceneObject:
    """Give an object a start and what its motion needs.

    It may leave the frame: the caller rejects that.
    """
    side, top, bottom = (extent * thing.radius for extent in EXTENT[thing.shape])
    room = _Room(side - frame[0], frame[0] - side, top - frame[1], frame[1] - bottom)
    x = rng.uniform(room.left, room.right)
    y = rng.uniform(room.ceiling, room.floor)
    thing = replace(thing, x=x, y=y)
    if thing.motion in DIRECTIONS or thing.motion == "diagonal":
        return _moving(rng, thing, room, duration)
    if thing.motion in ("falling", "bouncing"):
        return _falling(rng, thing, room)
    if thing.motion == "thrown":
        return _thrown(rng, thing, room)
    if thing.motion == "circling":
        return _circling(rng, thing, room)
    if thing.motion == "spinning":
        return replace(thing, spin=rng.uniform(*SPIN))
    if thing.motion in ("growing", "shrinking"):
        factor = rng.uniform(*GROWTH)
        change = factor - 1 if thing.motion == "growing" else 1 / factor - 1
        return replace(thing, growth=change / duration)
    return thing  # still


def _sign(rng: random.Random) -> int:
    return rng.choice((-1, 1))


def _moving(rng: random.Random, thing: SceneObject, room: _Room, duration: float) -> SceneObject:
    dx, dy = DIRECTIONS.get(thing.motion) or (_sign(rng), _sign(rng))
    travel = rng.uniform(0.6, 1.1)  # half-widths in the whole clip
    slant = rng.uniform(0.85, 1.18) if thing.motion == "diagonal" else 1.0
    x, y = thing.x, thing.y
    if dx > 0:
        x = rng.uniform(room.left, room.right - travel)
    elif dx < 0:
        x = rng.uniform(room.left + travel, room.right)
    if dy > 0:
        y = rng.uniform(room.ceiling, room.floor - travel)
    elif dy < 0:
        y = rng.uniform(room.ceiling + travel, room.floor)
    vx = dx * travel * slant / duration
    return replace(thing, x=x, y=y, vx=vx, vy=dy * travel / duration)


def _falling(rng: random.Random, thing: SceneObject, room: _Room) -> SceneObject:
    bounces = thing.motion == "bouncing"
    # on the floor after 1.1 to 1.3 seconds; falling, to 1.7
    highest = 0.9 if bounces else max(0.6, room.floor - room.ceiling)
    drop = rng.uniform(0.6, highest)
    return replace(thing, y=room.floor - drop, gravity=GRAVITY, restitution=float(bounces))


def _thrown(rng: random.Random, thing: SceneObject, room: _Room) -> SceneObject:
    up = rng.uniform(0.8, 1.05)  # in the air for 1.6 to 2.1 seconds
    travel = rng.uniform(0.5, 1.0) * _sign(rng)
    x = rng.uniform(max(room.left, room.left - travel), min(room.right, room.right - travel))
    vx = travel * GRAVITY / (2 * up)
    return replace(thing, x=x, y=room.floor, vx=vx, vy=-up, gravity=GRAVITY, restitution=0.0)


def _circling(rng: random.Random, thing: SceneObject, room: _Room) -> SceneObject:
    orbit = rng.uniform(0.33, 0.5)
    rate = rng.uniform(1.9, 2.3)
    phase = rng.uniform(0, 2 * math.pi)
    center_x = rng.uniform(room.left + orbit, room.right - orbit)
    center_y = rng.uniform(room.ceiling + orbit, room.floor - orbit)
    cos, sin = math.cos(phase), math.sin(phase)
    return replace(
        thing,
        x=center_x + orbit * cos,
        y=center_y + orbit * sin,
        vx=-orbit * rate * sin,
        vy=orbit * rate * cos,
        angular_velocity=rate,
    )


def _inside(scene: Scene, num_frames: int, fps: float, frame: tuple[float, float]) -> bool:
    """Whether everything stays in view, apart, and in the stated relation, for the whole clip."""
    tracks = simulate(scene, num_frames, fps, frame[1])
    tolerance = 1e-6
    for k, thing in enumerate(scene.objects):
        side, top, bottom = (1.2,) * 3 if thing.motion == "spinning" else EXTENT[thing.shape]
        x, y = tracks.positions[:, k].unbind(1)
        radii = tracks.radii[:, k]
        if (x.abs() + radii * side).max() > frame[0] + tolerance:
            return False
        if (radii * top - y).max() > frame[1] + tolerance:
            return False
        if (radii * bottom + y).max() > frame[1] + tolerance:
            return False
    if scene.relation is None:
        return True
    gap = tracks.positions[:, 0] - tracks.positions[:, 1]  # (T, 2)
    dx, dy = RELATIONS[scene.relation]
    axis = 0 if dx else 1
    along = gap[:, axis] * (dx or dy)
    # more to the left than above (or so), all the time
    clear = bool((along > gap[:, 1 - axis].abs() + 0.1).all())
    if scene.collides:
        return clear
    return clear and bool((gap.norm(dim=1) > 1.2 * tracks.radii.sum(dim=1)).all())


# -------------------------------------------------------------------------------- batches


@dataclass(frozen=True)
class Batch:
    """Clips with everything that is true of them."""

    videos: torch.Tensor  # (B, 3, T, H, W) in [-1, 1]
    captions: list[str]
    scenes: list[Scene]


TEST_SEEDS = 1_000_000_000  # training seeds stay below, test seeds start here
MOTION_WEIGHTS = {  # times as often as the others: what was learned last (data/LOG.md)
    "spinning": 5,
    "circling": 4,
    "diagonal": 4,
    "thrown": 2,
    "shrinking": 2,
}


class ToyWorld:
    """Endless clips of the toy world to learn from; clip i is the same on every machine.

    Motions of `MOTION_WEIGHTS` come more often.

    Args:
        split: "seen" or "held_out". first_seed: seed of clip 0; use `TEST_SEEDS` for clips that no
            training sees.
        pair_fraction: fraction of clips with two objects, in [0, 1].
    """

    def __init__(
        self,
        split: str = "seen",
        first_seed: int = 0,
        pair_fraction: float = 0.4,
        *,
        num_frames: int = 17,
        height: int = 32,
        width: int = 32,
        fps: float = FPS,
    ) -> None:
        check_choice("split", split, SHAPE_COLOR_PAIRS)
        if not 0 <= pair_fraction <= 1:
            raise ValueError(f"pair_fraction={pair_fraction} is a fraction: between 0 and 1")
        self.split = split
        self.first_seed = first_seed
        self.pair_fraction = pair_fraction
        self.shape: dict[str, Any] = {
            "num_frames": num_frames,
            "height": height,
            "width": width,
            "fps": fps,
        }

    def scene(self, index: int) -> Scene:
        """The scene of one clip."""
        seed = self.first_seed + index
        rng = random.Random(f"family {seed}")
        if rng.random() < self.pair_fraction:
            return sample_scene(seed, "pair", self.split, **self.shape)
        motion = rng.choices(MOTIONS, [MOTION_WEIGHTS.get(m, 1) for m in MOTIONS])[0]
        return sample_scene(seed, "solo", self.split, motion=motion, **self.shape)

    def captions(self, scene: Scene, count: int) -> list[str]:
        """Sentences about a scene in pairs: one, and the same words with positions."""
        captions = []
        for k in range(0, count, 2):
            seed = f"{k} {scene.seed}"
            captions.append(caption(scene, random.Random(seed)))
            captions.append(detailed_caption(scene, random.Random(seed), **self.shape))
        return captions

    def prepare(self, scenes: Sequence[Scene]) -> Drawing:
        """Everything about clips of this size but their pixels."""
        return prepare(scenes, **self.shape)

    def draw(self, drawing: Drawing, device: torch.device | str = "cpu") -> torch.Tensor:
        """The pixels: videos (B, 3, T, H, W) in [-1, 1]."""
        return draw(drawing, self.shape["height"], self.shape["width"], device)

    def batch(self, start: int, size: int) -> Batch:
        """Clips start … start + size - 1, with one caption each."""
        scenes = [self.scene(i) for i in range(start, start + size)]
        captions = [caption(s, random.Random(f"caption {s.seed}")) for s in scenes]
        return Batch(render(scenes, **self.shape), captions, scenes)
