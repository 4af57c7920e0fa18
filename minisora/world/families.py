"""Every family of scenes: one small function draws a scene of it.

    rng, Clip ── FAMILIES[name] ──► Scene

A function may draw a scene that does not fit into its frame; `dataset.sample_scene` looks at that
and draws again.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from minisora.world.scene import (
    BACKGROUND_COLORS,
    CAMERAS,
    COLORS,
    DIRECTIONS,
    EXTENT,
    GRAVITY,
    GROWTH,
    LAMP_ON,
    MOTIONS,
    RELATIONS,
    ROUND,
    SHAPES,
    SIZES,
    SPIN,
    TEXTURES,
    Camera,
    Cut,
    Scene,
    SceneObject,
    Turn,
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
NOT_ROUND = [shape for shape in SHAPES if shape not in ROUND]
SHOWS_ZOOM = ("grid", "stripes", "hills")  # backgrounds before which a camera's motion is seen
SHOWS_PAN = {
    "left": SHOWS_ZOOM,
    "right": SHOWS_ZOOM,
    "up": ("grid", "hills"),
    "down": ("grid", "hills"),
}
# Shapes that touch in the middle, so that one sees them touch: a flat edge, or one highest point.
HIT_FROM_ABOVE = tuple(shape for shape in SHAPES if shape != "heart")  # it has two
LANDS_IN_THE_MIDDLE = tuple(shape for shape in SHAPES if shape != "star")  # it has two feet
SLOW, FAST = (0.4, 0.6), (0.85, 1.1)  # half-widths in the whole clip
SOLO_MOTIONS = tuple(m for m in MOTIONS if not m.startswith("leaving"))


@dataclass(frozen=True)
class Clip:
    """The clip that a scene is for, and what is fixed of the scene."""

    frame: tuple[float, float] = (1.0, 1.0)  # half-extents in half-widths
    duration: float = 2.0  # seconds
    split: str = "seen"
    fixed: Mapping[str, str] = field(default_factory=dict)


def pairs_of(split: str, shape: str | None, color: str | None) -> list[tuple[str, str]]:
    """The shapes and colours of a split that agree with what is fixed; None is free."""
    pairs = SHAPE_COLOR_PAIRS[split]
    return [pair for pair in pairs if shape in (None, pair[0]) and color in (None, pair[1])]


# --------------------------------------------------------------------------------- one object


def solo(rng: random.Random, clip: Clip) -> Scene:
    """One object, one motion."""
    return _scene(rng, clip, (_object(rng, clip),))


def order(rng: random.Random, clip: Clip) -> Scene:
    """One object that does two things, one after the other."""
    first, then = rng.sample(list(DIRECTIONS), 2)
    speed = rng.uniform(0.5, 0.8) / (clip.duration / 2)
    thing = _object(rng, clip, motion="still", size=rng.choice(("small", "small", "large")))
    vx, vy = _velocity(first, speed)
    thing = replace(thing, motion=first, vx=vx, vy=vy)
    middle = clip.duration / 2
    kind = rng.choice(("direction", "direction", "stops", "color"))
    if kind == "direction":
        turn = Turn(middle, *_velocity(then, speed))
    elif kind == "stops":
        then, turn = "stops", Turn(middle)
    else:
        then = rng.choice(
            [c for s, c in pairs_of(clip.split, thing.shape, None) if c != thing.color]
            or list(COLORS)
        )
        if rng.random() < 0.4:
            thing = replace(thing, motion="still", vx=0.0, vy=0.0)
        turn = Turn(middle, thing.vx, thing.vy, COLORS[then])
    return _scene(rng, clip, (replace(thing, then=then, turn=turn),), family="order")


def returning(rng: random.Random, clip: Clip) -> Scene:
    """An object leaves the frame by its own motion, and comes back."""
    way = rng.choice(("left", "right"))
    thing = _object(rng, clip, motion="still")
    dx, _ = DIRECTIONS[way]
    edge = clip.frame[0] + thing.radius * 1.25  # where it is out of view
    distance = edge - dx * thing.x + rng.uniform(0.0, 0.3)
    middle = clip.duration / 2
    vx = dx * distance / middle
    turn = Turn(middle, -vx, 0.0)
    thing = replace(thing, motion=f"leaving {way}", vx=vx, turn=turn)
    return _scene(rng, clip, (thing,), family="return")


def behind_wall(rng: random.Random, clip: Clip) -> Scene:
    """An object passes behind a wall and comes out as the one it was."""
    way = rng.choice(("left", "right"))
    thing = _object(rng, clip, motion="still", size="small")
    dx, _ = DIRECTIONS[way]
    start = -dx * (clip.frame[0] - thing.radius * rng.uniform(1.15, 1.25))
    vx = -2 * start / clip.duration
    thing = replace(thing, motion=way, x=start, vx=vx)
    wall = rng.uniform(0.3, 0.4) * max(1.0, clip.frame[0] * 0.9)
    return _scene(rng, clip, (thing,), family="wall", wall=wall)


def camera(rng: random.Random, clip: Clip) -> Scene:
    """The camera pans or zooms."""
    kind = rng.choice([k for k in CAMERAS if k.startswith(("pans", "zooms"))])
    motion = rng.choice(("still", "still", "still", "spinning", *DIRECTIONS))
    thing = _object(rng, clip, motion=motion)
    amount = rng.uniform(0.5, 0.9)
    if kind.startswith("zooms"):
        amount = rng.uniform(0.4, 0.6) if kind == "zooms in" else -rng.uniform(0.4, 0.6)
    texture = rng.choice(SHOWS_PAN.get(kind.split()[1], SHOWS_ZOOM))
    path = Camera(kind, amount, clip.duration)
    if kind.startswith("pans"):  # start where it is still in view at the end
        dx, dy = DIRECTIONS[kind.split()[1]]
        thing = replace(thing, x=thing.x + dx * amount / 2, y=thing.y + dy * amount / 2)
    return _scene(rng, clip, (thing,), family="camera", camera=path, texture=texture)


def looking_away(rng: random.Random, clip: Clip) -> Scene:
    """The camera looks away, by more than a frame's width, and comes back."""
    kind = rng.choice([k for k in CAMERAS if k.startswith("looks")])
    motion = rng.choice(("still", "spinning", "growing", "shrinking", *DIRECTIONS))
    thing = _object(rng, clip, motion=motion)
    amount = 2 * clip.frame[0] + rng.uniform(0.1, 0.5)
    path = Camera(kind, amount, clip.duration)
    # other backgrounds repeat themselves within the frame, so that a fast look is not seen in them
    return _scene(rng, clip, (thing,), family="away", camera=path, texture="hills")


def shots(rng: random.Random, clip: Clip) -> Scene:
    """A cut: the same object before another background."""
    motion = rng.choice(("still", "spinning", "growing", "shrinking", *DIRECTIONS))
    scene = _scene(rng, clip, (_object(rng, clip, motion=motion),), family="shots")
    others = [(b, t) for b in BACKGROUND_COLORS for t in TEXTURES if b != scene.background]
    background, texture = rng.choice(others)
    return replace(scene, cut=Cut(clip.duration / 2, background, texture))


# -------------------------------------------------------------------------------- several objects


def pair(rng: random.Random, clip: Clip) -> Scene:
    """Two objects that move, one beside the other."""
    relation = rng.choice(list(RELATIONS))
    motions = ["still", "still"]
    while motions == ["still", "still"]:
        motions = [rng.choice(("still", *DIRECTIONS)) for _ in range(2)]
    things = [_object(rng, clip, motion=motion, size="small") for motion in motions]
    dx, dy = RELATIONS[relation]
    for _ in range(30):
        a, b = (place(rng, thing, clip.frame, clip.duration) for thing in things)
        x, y = a.x - b.x, a.y - b.y
        # the relation holds at the start; `_inside` looks at the rest
        if x * dx + y * dy > abs(x * dy + y * dx) + 0.1:
            break
    return _scene(rng, clip, (a, b), family="pair", relation=relation)


def collision(rng: random.Random, clip: Clip) -> Scene:
    """The first object runs into the second, which is at rest, along one axis.

    In two cases of three one of them is large, and heavier.
    """
    relation = rng.choice(list(RELATIONS))
    sizes = rng.choice((("small", "small"), ("small", "large"), ("large", "small")))
    first, second = (_object(rng, clip, motion="still", size=size) for size in sizes)
    first = replace(first, radius=rng.uniform(SIZES[sizes[0]][0], SIZES[sizes[0]][0] + 0.03))
    second = replace(second, radius=rng.uniform(SIZES[sizes[1]][0], SIZES[sizes[1]][0] + 0.03))
    speed = rng.uniform(0.3, 0.6) * 2.0 / clip.duration
    a, b = _approach(rng, clip, first, second, relation, speed, rng.uniform(0.15, 0.35))
    a = replace(a, motion="hits")
    b = replace(b, motion="hit")
    return _scene(rng, clip, (a, b), family="collision", relation=relation, verb="hits")


def fall(rng: random.Random, clip: Clip) -> Scene:
    """The first object falls onto the second, which stands on the floor, and bounces off it.

    It touches it, for the first time, before three fifths of the clip are over.
    """
    sizes = rng.choice((("small", "small"), ("small", "large"), ("large", "small")))
    first = _one_of(rng, clip, LANDS_IN_THE_MIDDLE, sizes[0])
    second = _one_of(rng, clip, HIT_FROM_ABOVE, sizes[1])
    side_a, top_a, bottom_a = (extent * first.radius for extent in EXTENT[first.shape])
    side_b, top_b, bottom_b = (extent * second.radius for extent in EXTENT[second.shape])
    half_width, half_height = clip.frame
    stands = half_height - bottom_b
    touch = stands - top_b - bottom_a  # where the first one's centre is then
    room = touch - (top_a - half_height)
    in_time = GRAVITY * (0.6 * clip.duration) ** 2 / 2
    drop = rng.uniform(0.6, 1.0) * min(room, in_time, 0.8)
    x = rng.uniform(-1, 1) * (half_width - max(side_a, side_b))
    a = replace(first, motion="falls onto", x=x, y=touch - drop, gravity=GRAVITY)
    b = replace(second, motion="hit", x=x, y=stands)
    return _scene(rng, clip, (a, b), family="fall", relation="above", verb="falls onto")


def _one_of(rng: random.Random, clip: Clip, shapes: tuple[str, ...], size: str) -> SceneObject:
    """An object at rest of one of some shapes, rather small for its size."""
    thing = _object(rng, clip, motion="still", size=size)
    while thing.shape not in shapes:
        thing = _object(rng, clip, motion="still", size=size)
    return replace(thing, radius=rng.uniform(SIZES[size][0], SIZES[size][0] + 0.03))


def number(rng: random.Random, clip: Clip) -> Scene:
    """Two or three objects that look alike and do the same."""
    count = rng.choice((2, 3))
    motion = rng.choice(("still", *DIRECTIONS))
    thing = _object(rng, clip, motion=motion, size="small")
    radius = rng.uniform(0.2, 0.25) if count == 3 else thing.radius
    for _ in range(50):
        things = [
            place(rng, replace(thing, radius=radius), clip.frame, clip.duration)
            for _ in range(count)
        ]
        things = [replace(t, vx=things[0].vx, vy=things[0].vy) for t in things]
        if _apart(things):
            break
    return _scene(rng, clip, tuple(things), family="number")


def _apart(things: list[SceneObject]) -> bool:
    for i, a in enumerate(things):
        for b in things[:i]:
            if math.hypot(a.x - b.x, a.y - b.y) < 1.2 * (a.radius + b.radius) + 0.05:
                return False
    return True


# ------------------------------------------------------------------- marks: what happens, stays


def paint(rng: random.Random, clip: Clip) -> Scene:
    """A brush paints a line that stays."""
    way = rng.choice(list(DIRECTIONS))
    color = rng.choice(list(COLORS))
    brush = SceneObject("brush", color, "small", way, rng.uniform(0.28, 0.32), 0.0, 0.0)
    brush = place(rng, brush, clip.frame, clip.duration, speeds=(0.8, 1.2))
    return _scene(rng, clip, (brush,), family="paint", verb="paints")


def bite(rng: random.Random, clip: Clip) -> Scene:
    """A chomper takes a bite out of what it touches, and goes back."""
    relation = rng.choice(list(RELATIONS))
    target = _object(rng, clip, motion="still", size="large")
    color = rng.choice([c for c in COLORS if c != target.color])
    chomper = SceneObject("chomper", color, "small", "still", rng.uniform(0.28, 0.32), 0.0, 0.0)
    gap = rng.uniform(0.2, 0.4)
    deep = rng.uniform(0.5, 0.6) * clip.duration  # when it is deepest inside
    speed = (gap + 0.45 * target.radius + 0.3 * chomper.radius) / deep
    a, b = _approach(rng, clip, chomper, target, relation, speed, gap)
    facing = {"left of": 0.0, "right of": math.pi, "above": math.pi / 2, "below": -math.pi / 2}
    turn = Turn(deep, -a.vx, -a.vy)
    a = replace(a, motion="hits", turn=turn, angle=facing[relation])
    b = replace(b, motion="hit")
    return _scene(rng, clip, (a, b), family="bite", relation=relation, verb="bites")


def light(rng: random.Random, clip: Clip) -> Scene:
    """An object touches a lamp, which lights and stays lit; the object goes back."""
    relation = rng.choice(("left of", "right of", "above"))
    first = _object(rng, clip, motion="still", size="small")
    lamp = SceneObject("lamp", "off", "small", "hit", rng.uniform(0.34, 0.4), 0.0, 0.0)
    gap = rng.uniform(0.3, 0.5)
    touch = rng.uniform(0.45, 0.6) * clip.duration
    a, b = _approach(rng, clip, first, lamp, relation, gap / touch, gap)
    a = replace(a, motion="hits", turn=Turn(touch, -a.vx, -a.vy))
    b = replace(b, turn=Turn(touch, color=LAMP_ON))
    return _scene(rng, clip, (a, b), family="lamp", relation=relation, verb="lights")


FAMILIES = {
    "solo": solo,
    "pair": pair,
    "collision": collision,
    "fall": fall,
    "number": number,
    "order": order,
    "return": returning,
    "wall": behind_wall,
    "camera": camera,
    "away": looking_away,
    "shots": shots,
    "paint": paint,
    "bite": bite,
    "lamp": light,
}


# ------------------------------------------------------------------------------------------- parts


def _scene(
    rng: random.Random,
    clip: Clip,
    objects: tuple[SceneObject, ...],
    texture: str | None = None,
    **more: Any,
) -> Scene:
    """A scene before a background that is fixed, or else the family's own, or else random."""
    fixed = clip.fixed
    background = fixed.get("background") or rng.choice(list(BACKGROUND_COLORS))
    texture = fixed.get("texture") or texture or rng.choice(TEXTURES)
    return Scene(objects, background, texture, **more)


def _object(
    rng: random.Random, clip: Clip, motion: str | None = None, size: str | None = None
) -> SceneObject:
    """An object of the split, placed for its motion."""
    fixed = clip.fixed
    chosen = motion or fixed.get("motion")
    pairs = pairs_of(clip.split, fixed.get("shape"), fixed.get("color"))
    if chosen == "spinning":
        pairs = [pair for pair in pairs if pair[0] not in ROUND]
    shape, color = rng.choice(pairs)
    if chosen is None:
        chosen = rng.choice([m for m in SOLO_MOTIONS if m != "spinning" or shape not in ROUND])
    size = fixed.get("size") or size or rng.choice(list(SIZES))
    thing = SceneObject(shape, color, size, chosen, rng.uniform(*SIZES[size]), 0.0, 0.0)
    return place(rng, thing, clip.frame, clip.duration)


def _velocity(way: str, speed: float) -> tuple[float, float]:
    dx, dy = DIRECTIONS[way]
    return dx * speed, dy * speed


def _approach(
    rng: random.Random,
    clip: Clip,
    first: SceneObject,
    second: SceneObject,
    relation: str,
    speed: float,
    gap: float,
) -> tuple[SceneObject, SceneObject]:
    """The first object on its way to the second, which is at rest, along one axis."""
    dx, dy = (-d for d in RELATIONS[relation])  # the way that it runs
    half = clip.frame[0] if dx else clip.frame[1]
    start = -half + first.radius * rng.uniform(1.05, 1.3)
    other = start + first.radius + gap + second.radius
    wide = clip.frame[1] if dx else clip.frame[0]
    across = rng.uniform(-0.5, 0.5) * wide
    if dx:
        a_at, b_at = (start * dx, across), (other * dx, across)
    else:
        a_at, b_at = (across, start * dy), (across, other * dy)
    a = replace(first, x=a_at[0], y=a_at[1], vx=speed * dx, vy=speed * dy)
    return a, replace(second, x=b_at[0], y=b_at[1])


# ---------------------------------------------------------------------- positions and speeds


@dataclass(frozen=True)
class _Room:
    """Where an object's centre may be, in half-widths."""

    left: float
    right: float
    ceiling: float
    floor: float


def place(
    rng: random.Random,
    thing: SceneObject,
    frame: tuple[float, float],
    duration: float,
    speeds: tuple[float, float] | None = None,
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
        return _moving(rng, thing, room, duration, speeds or rng.choice((SLOW, FAST)))
    if thing.motion in ("falling", "bouncing"):
        return _falling(rng, thing, room)
    if thing.motion == "thrown":
        return _thrown(rng, thing, room)
    if thing.motion == "circling":
        return _circling(rng, thing, room)
    if thing.motion == "spinning":
        return replace(thing, spin=rng.uniform(*SPIN) * _sign(rng))
    if thing.motion in ("growing", "shrinking"):
        factor = rng.uniform(*GROWTH)
        change = factor - 1 if thing.motion == "growing" else 1 / factor - 1
        return replace(thing, growth=change / duration)
    return thing  # still


def _sign(rng: random.Random) -> int:
    return rng.choice((-1, 1))


def _moving(
    rng: random.Random,
    thing: SceneObject,
    room: _Room,
    duration: float,
    speeds: tuple[float, float],
) -> SceneObject:
    dx, dy = DIRECTIONS.get(thing.motion) or (_sign(rng), _sign(rng))
    travel = rng.uniform(*speeds)  # half-widths in the whole clip
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
    rate = rng.uniform(1.9, 2.3) * _sign(rng)
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
