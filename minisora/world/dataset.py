"""Clips without end: a seed makes a scene, a scene makes pixels and English, and splits keep some combinations for the test.

    seed ──► sample_scene ──► Scene ──► render, caption ──► Batch: videos (B, 3, T, H, W), captions, scenes

A *look* is a shape in a colour. Six of the 42 looks are held out: no training clip, alone or in a pair, ever shows one.
"""

import math
import random
from dataclasses import dataclass, replace

import torch

from minisora.world.captions import caption
from minisora.world.render import render
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


def is_held_out(shape: str, color: str) -> bool:
    """Whether this shape in this colour is kept out of all training, in every motion and family."""
    return (shape, color) in HELD_OUT


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
        split: "seen" (no held-out combination of shape and colour) or "held_out" (every object is one).
        fixed: attributes to hold, of `shape, color, size, motion` for a solo and `background, texture` for both.

    Raises:
        ValueError: an unknown family, split or attribute, or a combination that the world does not make.
    """
    check_choice("family", family, ("solo", "pair"))
    check_choice("split", split, ("seen", "held_out"))
    allowed = (
        {"shape": SHAPES, "color": COLORS, "size": SIZES, "motion": MOTIONS}
        if family == "solo"
        else {}
    )
    allowed |= {"background": BACKGROUND_COLORS, "texture": TEXTURES}
    for name, value in fixed.items():
        check_choice("attribute", name, allowed)
        check_choice(name, value, allowed[name])
    rng = random.Random(seed)
    unit = min(height, width)
    frame = (width / unit, height / unit)  # half-extents in half-widths
    duration = max((num_frames - 1) / fps, 1 / fps)
    background = fixed.get("background") or rng.choice(list(BACKGROUND_COLORS))
    texture = fixed.get("texture") or rng.choice(TEXTURES)
    for _ in range(1000):
        if family == "solo":
            relation, objects = None, (_sample_solo(rng, split, frame, duration, fixed),)
        else:
            relation, objects = _sample_pair(rng, split, frame, duration)
        scene = Scene(objects, background, texture, relation, seed)
        if _inside(scene, num_frames, fps, frame):
            return scene
    raise ValueError(
        f"no scene fits: family={family!r} split={split!r} {fixed} in {num_frames} frames of {height}×{width}"
    )


def _look(
    rng: random.Random, split: str, shape: str | None = None, color: str | None = None
) -> tuple[str, str]:
    """A shape and a colour of this split, keeping what is given."""
    looks = [
        look
        for look in SHAPE_COLOR_PAIRS[split]
        if shape in (None, look[0]) and color in (None, look[1])
    ]
    if not looks:
        raise ValueError(
            f"{color or 'any'} {shape or 'shape'} is not in the split {split!r}; held out are {sorted(HELD_OUT)}"
        )
    return rng.choice(looks)


def _sample_solo(
    rng: random.Random, split: str, frame: tuple[float, float], duration: float, fixed: dict
) -> SceneObject:
    motion = fixed.get("motion") or rng.choice(MOTIONS)
    shape, color = _look(rng, split, fixed.get("shape"), fixed.get("color"))
    if motion == "spinning" and shape in ROUND:
        if "shape" in fixed:
            raise ValueError(
                f"a spinning {shape} looks like a still one, so the world has none; spin a square, triangle, star or heart"
            )
        if "motion" not in fixed:
            motion = rng.choice([m for m in MOTIONS if m != "spinning"])
        else:
            shape, color = _look(
                rng, split, rng.choice([s for s in SHAPES if s not in ROUND]), fixed.get("color")
            )
    size = fixed.get("size") or rng.choice(list(SIZES))
    radius = rng.uniform(*SIZES[size])
    return _place(rng, SceneObject(shape, color, size, motion, radius, 0.0, 0.0), frame, duration)


def _sign(rng: random.Random) -> int:
    return rng.choice((-1, 1))


def _place(
    rng: random.Random, thing: SceneObject, frame: tuple[float, float], duration: float
) -> SceneObject:
    """Give a thing a start and what its motion needs. May leave the frame: the caller rejects that."""
    side, top, bottom = (e * thing.radius for e in EXTENT[thing.shape])
    left, right, ceiling, floor = (
        side - frame[0],
        frame[0] - side,
        top - frame[1],
        frame[1] - bottom,
    )
    x, y = rng.uniform(left, right), rng.uniform(ceiling, floor)
    motion = thing.motion
    if motion in DIRECTIONS or motion == "diagonal":
        dx, dy = DIRECTIONS.get(motion) or (_sign(rng), _sign(rng))
        travel = rng.uniform(0.6, 1.1)  # half-widths in the whole clip
        slant = rng.uniform(0.85, 1.18) if motion == "diagonal" else 1.0
        if dx:
            x = rng.uniform(left, right - travel) if dx > 0 else rng.uniform(left + travel, right)
        if dy:
            y = (
                rng.uniform(ceiling, floor - travel)
                if dy > 0
                else rng.uniform(ceiling + travel, floor)
            )
        return replace(
            thing, x=x, y=y, vx=dx * travel * slant / duration, vy=dy * travel / duration
        )
    if motion in ("falling", "bouncing"):
        drop = rng.uniform(
            0.6, 0.9 if motion == "bouncing" else max(0.6, floor - ceiling)
        )  # on the floor after 1.1 to 1.3 seconds; falling, to 1.7
        return replace(
            thing, x=x, y=floor - drop, gravity=GRAVITY, restitution=float(motion == "bouncing")
        )
    if motion == "thrown":
        up = rng.uniform(0.8, 1.05)  # in the air for 1.6 to 2.1 seconds
        travel = rng.uniform(0.5, 1.0) * _sign(rng)
        x = rng.uniform(max(left, left - travel), min(right, right - travel))
        return replace(
            thing,
            x=x,
            y=floor,
            vx=travel * GRAVITY / (2 * up),
            vy=-up,
            gravity=GRAVITY,
            restitution=0.0,
        )
    if motion == "circling":
        orbit, turn, phase = (
            rng.uniform(0.33, 0.5),
            rng.uniform(1.9, 2.3),
            rng.uniform(0, 2 * math.pi),
        )
        cx, cy = (
            rng.uniform(left + orbit, right - orbit),
            rng.uniform(ceiling + orbit, floor - orbit),
        )
        cos, sin = math.cos(phase), math.sin(phase)
        return replace(
            thing,
            x=cx + orbit * cos,
            y=cy + orbit * sin,
            vx=-orbit * turn * sin,
            vy=orbit * turn * cos,
            angular_velocity=turn,
        )
    if motion == "spinning":
        return replace(thing, x=x, y=y, spin=rng.uniform(*SPIN))
    if motion in ("growing", "shrinking"):
        factor = rng.uniform(*GROWTH)
        change = factor - 1 if motion == "growing" else 1 / factor - 1
        return replace(thing, x=x, y=y, growth=change / duration)
    return replace(thing, x=x, y=y)  # still


def _sample_pair(
    rng: random.Random, split: str, frame: tuple[float, float], duration: float
) -> tuple[str, tuple[SceneObject, SceneObject]]:
    relation = rng.choice(list(RELATIONS))
    looks = [_look(rng, split)]
    while len(looks) < 2:
        look = _look(rng, split)
        if look[1] != looks[0][1]:
            looks.append(look)
    if rng.random() < 0.3:
        return relation, _sample_collision(rng, looks, relation, frame, duration)
    motions = [rng.choice(("still", *DIRECTIONS)) for _ in range(2)]
    while motions == ["still", "still"]:
        motions = [rng.choice(("still", *DIRECTIONS)) for _ in range(2)]
    things = [
        SceneObject(*look, "small", motion, rng.uniform(*SIZES["small"]), 0.0, 0.0)
        for look, motion in zip(looks, motions, strict=True)
    ]
    dx, dy = RELATIONS[relation]
    for _ in range(30):
        a, b = (_place(rng, thing, frame, duration) for thing in things)
        x, y = a.x - b.x, a.y - b.y
        if (
            x * dx + y * dy > abs(x * dy + y * dx) + 0.1
        ):  # the relation holds at the start; `_inside` looks at the rest
            break
    return relation, (a, b)


def _sample_collision(
    rng: random.Random, looks, relation: str, frame: tuple[float, float], duration: float
) -> tuple[SceneObject, SceneObject]:
    """The first object runs into the second, which is at rest, along one axis; in two cases of three one of them is large, and heavier."""
    sizes = rng.choice((("small", "small"), ("small", "large"), ("large", "small")))
    r_a, r_b = (rng.uniform(SIZES[s][0], SIZES[s][0] + 0.03) for s in sizes)
    dx, dy = (-d for d in RELATIONS[relation])  # the way it runs
    gap, speed = rng.uniform(0.15, 0.35), rng.uniform(0.3, 0.6) * 2.0 / duration
    start, across = (
        -(frame[0] if dx else frame[1]) + r_a * rng.uniform(1.05, 1.3),
        rng.uniform(-0.5, 0.5),
    )
    other = start + r_a + gap + r_b
    along = lambda s: (s * dx if dx else across, s * dy if dy else across)
    (ax, ay), (bx, by) = along(start), along(other)
    a = SceneObject(*looks[0], sizes[0], "hits", r_a, ax, ay, speed * dx, speed * dy)
    return a, SceneObject(*looks[1], sizes[1], "hit", r_b, bx, by)


def _inside(scene: Scene, num_frames: int, fps: float, frame: tuple[float, float]) -> bool:
    """Whether everything stays in view, apart, and in the stated relation, for the whole clip."""
    tracks = simulate(scene, num_frames, fps, frame[1])
    eps = 1e-6
    for k, thing in enumerate(scene.objects):
        reach = EXTENT[thing.shape] if thing.motion != "spinning" else (1.2,) * 3
        x, y, r = tracks.positions[:, k, 0], tracks.positions[:, k, 1], tracks.radii[:, k]
        if (x.abs() + r * reach[0]).max() > frame[0] + eps:
            return False
        if (r * reach[1] - y).max() > frame[1] + eps or (r * reach[2] + y).max() > frame[1] + eps:
            return False
    if len(scene.objects) == 1:
        return True
    gap = tracks.positions[:, 0] - tracks.positions[:, 1]  # (T, 2)
    axis = 0 if RELATIONS[scene.relation][0] else 1
    along = gap[:, axis] * RELATIONS[scene.relation][axis]
    clear = bool(
        (along > gap[:, 1 - axis].abs() + 0.1).all()
    )  # more to the left than above, all the time
    if scene.collides:
        return clear
    return clear and bool((gap.norm(dim=1) > 1.2 * tracks.radii.sum(dim=1)).all())


# ---------------------------------------------------------------------------------------------------------------- batches


@dataclass(frozen=True)
class Batch:
    """Clips with everything that is true of them."""

    videos: torch.Tensor  # (B, 3, T, H, W) in [-1, 1]
    captions: list[str]
    scenes: list[Scene]


TEST_SEEDS = 1_000_000_000  # training seeds stay below, test seeds start here
PRACTICE = {
    "spinning": 5,
    "circling": 4,
    "diagonal": 4,
    "thrown": 2,
    "shrinking": 2,
}  # times as often as the others: what was learned last (data/LOG.md)


class ToyWorld:
    """Endless clips of the toy world to learn from; clip number i is the same on every machine. Motions of `PRACTICE` come more often.

    Args:
        split: "seen" or "held_out". first_seed: number of clip 0; use `TEST_SEEDS` for clips that no training sees.
        pair_fraction: share of clips with two objects, in [0, 1].
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
    ):
        check_choice("split", split, SHAPE_COLOR_PAIRS)
        if not 0 <= pair_fraction <= 1:
            raise ValueError(f"pair_fraction={pair_fraction} is a share: between 0 and 1")
        self.split, self.first_seed, self.pair_fraction = split, first_seed, pair_fraction
        self.shape = {"num_frames": num_frames, "height": height, "width": width, "fps": fps}

    def scene(self, index: int) -> Scene:
        seed = self.first_seed + index
        rng = random.Random(f"family {seed}")
        if rng.random() < self.pair_fraction:
            return sample_scene(seed, "pair", self.split, **self.shape)
        motion = rng.choices(MOTIONS, [PRACTICE.get(m, 1) for m in MOTIONS])[0]
        return sample_scene(seed, "solo", self.split, motion=motion, **self.shape)

    def batch(self, start: int, size: int) -> Batch:
        """Clips start … start + size - 1, with one caption each."""
        scenes = [self.scene(i) for i in range(start, start + size)]
        captions = [caption(s, random.Random(f"caption {s.seed}")) for s in scenes]
        return Batch(render(scenes, **self.shape), captions, scenes)
