"""Every family of scenes: one small function draws a scene of it.

    rng, Clip ── FAMILIES[name] ──► Scene

A function may draw a scene that does not fit into its frame; `dataset.sample_scene` looks at that
and draws again.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise, product
from typing import Any

import numpy as np

from minisora.world.game import GAMES
from minisora.world.policies import Explore, Policy, Seek, play
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
from minisora.world.story import COINS, DOOR, KEY, PUSH, Story, holds, tell, way_of

HELD_OUT = {  # one colour a shape
    ("circle", "green"),
    ("square", "pink"),
    ("triangle", "orange"),
    ("star", "blue"),
    ("heart", "cyan"),
    ("ring", "red"),
}
SHAPE_COLOR_PAIRS = {
    "seen": [pair for pair in product(SHAPES, COLORS) if pair not in HELD_OUT],
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
# what an object does while the camera looks away, or through a cut
SIMPLE_MOTIONS = ("still", "spinning", "growing", "shrinking", *DIRECTIONS)
PANS_AND_ZOOMS = tuple(kind for kind in CAMERAS if kind.startswith(("pans", "zooms")))
LOOKS = tuple(kind for kind in CAMERAS if kind.startswith("looks"))
# of two objects that meet
SIZES_OF_TWO = (("small", "small"), ("small", "large"), ("large", "small"))
FACING = {  # relation → angle in radians at which a chomper faces what it bites
    "left of": 0.0,
    "right of": math.pi,
    "above": math.pi / 2,
    "below": -math.pi / 2,
}


@dataclass(frozen=True)
class Clip:
    """The clip that a scene is for, and what is fixed of the scene."""

    frame: tuple[float, float] = (1.0, 1.0)  # half-extents in half-widths
    duration: float = 2.0  # seconds
    split: str = "seen"
    fixed: Mapping[str, str] = field(default_factory=dict)
    num_frames: int = 17


def pairs_of(split: str, shape: str | None, color: str | None) -> list[tuple[str, str]]:
    """The shapes and colours of a split that agree with what is fixed; None is free."""
    pairs = SHAPE_COLOR_PAIRS[split]
    if shape is not None:
        pairs = [pair for pair in pairs if pair[0] == shape]
    if color is not None:
        pairs = [pair for pair in pairs if pair[1] == color]
    return pairs


# --------------------------------------------------------------------------------- one object


def solo(rng: random.Random, clip: Clip) -> Scene:
    """One object, one motion."""
    thing = _object(rng, clip)
    return _scene(rng, clip, (thing,))


def order(rng: random.Random, clip: Clip) -> Scene:
    """One object that does two things, one after the other."""
    first, then = rng.sample(list(DIRECTIONS), 2)
    middle = clip.duration / 2
    speed = rng.uniform(0.5, 0.8) / middle
    size = rng.choice(("small", "small", "large"))
    thing = _object(rng, clip, motion="still", size=size)
    vx, vy = _velocity(first, speed)
    thing = replace(thing, motion=first, vx=vx, vy=vy)
    kind = rng.choice(("direction", "direction", "stops", "color"))
    if kind == "direction":
        vx, vy = _velocity(then, speed)
        turn = Turn(middle, vx, vy)
    elif kind == "stops":
        then = "stops"
        turn = Turn(middle)
    else:
        pairs = pairs_of(clip.split, thing.shape, None)
        colors = [color for _, color in pairs if color != thing.color]
        then = rng.choice(colors or list(COLORS))
        if rng.random() < 0.4:
            thing = replace(thing, motion="still", vx=0.0, vy=0.0)
        turn = Turn(middle, thing.vx, thing.vy, COLORS[then])
    thing = replace(thing, then=then, turn=turn)
    return _scene(rng, clip, (thing,), family="order")


def returning(rng: random.Random, clip: Clip) -> Scene:
    """An object leaves the frame by its own motion, and comes back."""
    way = rng.choice(("left", "right"))
    thing = _object(rng, clip, motion="still")
    dx, _ = DIRECTIONS[way]
    half_width, _ = clip.frame
    edge = half_width + thing.radius * 1.25  # where it is out of view
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
    half_width, _ = clip.frame
    margin = thing.radius * rng.uniform(1.15, 1.25)
    start = -dx * (half_width - margin)
    vx = -2 * start / clip.duration
    thing = replace(thing, motion=way, x=start, vx=vx)
    wall = rng.uniform(0.3, 0.4) * max(1.0, half_width * 0.9)
    return _scene(rng, clip, (thing,), family="wall", wall=wall)


def camera(rng: random.Random, clip: Clip) -> Scene:
    """The camera pans or zooms."""
    kind = rng.choice(PANS_AND_ZOOMS)
    move, way = kind.split()
    motion = rng.choice(("still", "still", "still", "spinning", *DIRECTIONS))
    thing = _object(rng, clip, motion=motion)
    amount = rng.uniform(0.5, 0.9)
    if kind == "zooms in":
        amount = rng.uniform(0.4, 0.6)
    elif kind == "zooms out":
        amount = -rng.uniform(0.4, 0.6)
    texture = rng.choice(SHOWS_PAN.get(way, SHOWS_ZOOM))
    if move == "pans":  # start where it is still in view at the end
        dx, dy = DIRECTIONS[way]
        x = thing.x + dx * amount / 2
        y = thing.y + dy * amount / 2
        thing = replace(thing, x=x, y=y)
    path = Camera(kind, amount, clip.duration)
    return _scene(rng, clip, (thing,), family="camera", camera=path, texture=texture)


def looking_away(rng: random.Random, clip: Clip) -> Scene:
    """The camera looks away, by more than a frame's width, and comes back."""
    kind = rng.choice(LOOKS)
    motion = rng.choice(SIMPLE_MOTIONS)
    thing = _object(rng, clip, motion=motion)
    half_width, _ = clip.frame
    amount = 2 * half_width + rng.uniform(0.1, 0.5)
    path = Camera(kind, amount, clip.duration)
    # other backgrounds repeat themselves within the frame, so that a fast look is not seen in them
    return _scene(rng, clip, (thing,), family="away", camera=path, texture="hills")


def shots(rng: random.Random, clip: Clip) -> Scene:
    """A cut: the same object before another background."""
    motion = rng.choice(SIMPLE_MOTIONS)
    thing = _object(rng, clip, motion=motion)
    scene = _scene(rng, clip, (thing,), family="shots")
    backgrounds = [name for name in BACKGROUND_COLORS if name != scene.background]
    others = list(product(backgrounds, TEXTURES))
    background, texture = rng.choice(others)
    cut = Cut(clip.duration / 2, background, texture)
    return replace(scene, cut=cut)


# -------------------------------------------------------------------------------- several objects


def pair(rng: random.Random, clip: Clip) -> Scene:
    """Two objects that move, one beside the other."""
    relation = rng.choice(list(RELATIONS))
    first = second = "still"
    while first == second == "still":
        first = rng.choice(("still", *DIRECTIONS))
        second = rng.choice(("still", *DIRECTIONS))
    one = _object(rng, clip, motion=first, size="small")
    other = _object(rng, clip, motion=second, size="small")
    dx, dy = RELATIONS[relation]
    for _ in range(30):
        a = place(rng, one, clip)
        b = place(rng, other, clip)
        x = a.x - b.x
        y = a.y - b.y
        along = x * dx + y * dy
        across = abs(x * dy + y * dx)
        if along > across + 0.1:  # the relation holds at the start; `_inside` looks at the rest
            break
    return _scene(rng, clip, (a, b), family="pair", relation=relation)


def collision(rng: random.Random, clip: Clip) -> Scene:
    """The first object runs into the second, which is at rest, along one axis.

    In two cases of three one of them is large, and heavier.
    """
    relation = rng.choice(list(RELATIONS))
    size_a, size_b = rng.choice(SIZES_OF_TWO)
    a = _object(rng, clip, motion="still", size=size_a)
    b = _object(rng, clip, motion="still", size=size_b)
    a = replace(a, radius=_low_radius(rng, size_a))
    b = replace(b, radius=_low_radius(rng, size_b))
    speed = rng.uniform(0.3, 0.6) * 2.0 / clip.duration
    gap = rng.uniform(0.15, 0.35)
    a, b = _approach(rng, clip, a, b, relation, speed, gap)
    a = replace(a, motion="hits")
    b = replace(b, motion="hit")
    return _scene(rng, clip, (a, b), family="collision", relation=relation, verb="hits")


def fall(rng: random.Random, clip: Clip) -> Scene:
    """The first object falls onto the second, which stands on the floor, and bounces off it.

    It touches it, for the first time, before three fifths of the clip are over.
    """
    size_a, size_b = rng.choice(SIZES_OF_TWO)
    a = _one_of(rng, clip, LANDS_IN_THE_MIDDLE, size_a)
    b = _one_of(rng, clip, HIT_FROM_ABOVE, size_b)
    side_a, top_a, bottom_a = _extent(a)
    side_b, top_b, bottom_b = _extent(b)
    half_width, half_height = clip.frame
    stands = half_height - bottom_b
    touch = stands - top_b - bottom_a  # where the first one's centre is then
    room = touch - (top_a - half_height)
    latest = 0.6 * clip.duration
    in_time = GRAVITY * latest**2 / 2
    drop = rng.uniform(0.6, 1.0) * min(room, in_time, 0.8)
    x = rng.uniform(-1, 1) * (half_width - max(side_a, side_b))
    a = replace(a, motion="falls onto", x=x, y=touch - drop, gravity=GRAVITY)
    b = replace(b, motion="hit", x=x, y=stands)
    return _scene(rng, clip, (a, b), family="fall", relation="above", verb="falls onto")


def _one_of(rng: random.Random, clip: Clip, shapes: tuple[str, ...], size: str) -> SceneObject:
    """An object at rest of one of some shapes, rather small for its size."""
    thing = _object(rng, clip, motion="still", size=size)
    while thing.shape not in shapes:
        thing = _object(rng, clip, motion="still", size=size)
    return replace(thing, radius=_low_radius(rng, size))


def _low_radius(rng: random.Random, size: str) -> float:
    lowest, _ = SIZES[size]
    return rng.uniform(lowest, lowest + 0.03)


def number(rng: random.Random, clip: Clip) -> Scene:
    """Two or three objects that look alike and do the same."""
    count = rng.choice((2, 3))
    motion = rng.choice(("still", *DIRECTIONS))
    thing = _object(rng, clip, motion=motion, size="small")
    if count == 3:
        radius = rng.uniform(0.2, 0.25)
        thing = replace(thing, radius=radius)
    for _ in range(50):
        placed = [place(rng, thing, clip) for _ in range(count)]
        vx, vy = placed[0].vx, placed[0].vy
        things = [replace(one, vx=vx, vy=vy) for one in placed]
        if _apart(things):
            break
    return _scene(rng, clip, tuple(things), family="number")


def _apart(things: list[SceneObject]) -> bool:
    for a, b in combinations(things, 2):
        distance = math.hypot(a.x - b.x, a.y - b.y)
        if distance < 1.2 * (a.radius + b.radius) + 0.05:
            return False
    return True


# ------------------------------------------------------------------- marks: what happens, stays


def paint(rng: random.Random, clip: Clip) -> Scene:
    """A brush paints a line that stays."""
    way = rng.choice(list(DIRECTIONS))
    color = rng.choice(list(COLORS))
    radius = rng.uniform(0.28, 0.32)
    brush = SceneObject("brush", color, "small", way, radius, 0.0, 0.0)
    brush = place(rng, brush, clip, speeds=(0.8, 1.2))
    return _scene(rng, clip, (brush,), family="paint", verb="paints")


def bite(rng: random.Random, clip: Clip) -> Scene:
    """A chomper takes a bite out of what it touches, and goes back."""
    relation = rng.choice(list(RELATIONS))
    target = _object(rng, clip, motion="still", size="large")
    colors = [color for color in COLORS if color != target.color]
    color = rng.choice(colors)
    radius = rng.uniform(0.28, 0.32)
    chomper = SceneObject("chomper", color, "small", "still", radius, 0.0, 0.0)
    gap = rng.uniform(0.2, 0.4)
    deep = rng.uniform(0.5, 0.6) * clip.duration  # when it is deepest inside
    way = gap + 0.45 * target.radius + 0.3 * chomper.radius
    a, b = _approach(rng, clip, chomper, target, relation, way / deep, gap)
    turn = Turn(deep, -a.vx, -a.vy)
    a = replace(a, motion="hits", turn=turn, angle=FACING[relation])
    b = replace(b, motion="hit")
    return _scene(rng, clip, (a, b), family="bite", relation=relation, verb="bites")


def light(rng: random.Random, clip: Clip) -> Scene:
    """An object touches a lamp, which lights and stays lit; the object goes back."""
    relation = rng.choice(("left of", "right of", "above"))
    first = _object(rng, clip, motion="still", size="small")
    radius = rng.uniform(0.34, 0.4)
    lamp = SceneObject("lamp", "off", "small", "hit", radius, 0.0, 0.0)
    gap = rng.uniform(0.3, 0.5)
    touch = rng.uniform(0.45, 0.6) * clip.duration
    speed = gap / touch
    a, b = _approach(rng, clip, first, lamp, relation, speed, gap)
    back = Turn(touch, -a.vx, -a.vy)
    lit = Turn(touch, color=LAMP_ON)
    a = replace(a, motion="hits", turn=back)
    b = replace(b, turn=lit)
    return _scene(rng, clip, (a, b), family="lamp", relation=relation, verb="lights")


# ------------------------------------------------------------------------------------- the game

WANTED = {"walks": 4, **dict.fromkeys(COINS, 1), KEY: 3, DOOR: 3, PUSH: 2}  # and how often
LONGER = 40  # steps of a play beyond those of the clip that is cut out of it
LIVELY = 0.6  # fraction of the steps of a clip, at least, in which the player moves
PLAYS = 200  # plays, of which one should have what is wanted


def game(rng: random.Random, clip: Clip) -> Scene:
    """The tile game: a part of a play, one step a frame, in which something happens.

    What is rare, as a door that is opened, is wanted as often as what is not.
    """
    chance = np.random.default_rng(rng.getrandbits(64))
    for _ in range(PLAYS):
        (wanted,) = rng.choices(list(WANTED), list(WANTED.values()))
        states, _ = long_play(rng, chance, clip.num_frames, held_out=clip.split == "held_out")
        boards = tuple(state.tobytes() for state in states)
        story = tell(boards)
        starts = [
            start
            for start in lively_starts(story, clip.num_frames)
            if _happens(wanted, story, start, start + clip.num_frames - 1)
        ]
        if starts:
            start = rng.choice(starts)
            return Scene((), family="game", boards=boards[start : start + clip.num_frames])
    raise ValueError(f"nothing happens in {clip.num_frames} frames of the game; take more")


def long_play(
    rng: random.Random, chance: np.random.Generator, num_frames: int, held_out: bool = False
) -> tuple[list[np.ndarray], list[int]]:
    """A play of the tile game, longer than a clip by 41 frames: its boards and actions."""
    tiles = GAMES["tiles"]
    seeks = rng.random() < 0.8
    policy: Policy = Seek(tiles, mistakes=0.05) if seeks else Explore(tiles)
    board = tiles.new_game(chance, held_out)
    return play(tiles, policy, board, num_frames + LONGER, chance)


def lively_starts(story: Story, num_frames: int) -> list[int]:
    """The first frames of all parts of a play in which the player moves in most steps."""
    stays = [here == there for here, there in pairwise(story.cells)]
    most = (1 - LIVELY) * (num_frames - 1)
    starts = range(len(story.cells) - num_frames + 1)
    return [start for start in starts if sum(stays[start : start + num_frames - 1]) <= most]


def _happens(wanted: str, story: Story, start: int, end: int) -> bool:
    """Whether something is done in a part of a play; "walks" is to get on in any direction."""
    if wanted == "walks":
        return way_of(story, start, end) is not None
    return holds(wanted, story, start, end)


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
    "game": game,
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
    rng: random.Random,
    clip: Clip,
    motion: str | None = None,
    size: str | None = None,
) -> SceneObject:
    """An object of the split, placed for its motion."""
    fixed = clip.fixed
    motion = motion or fixed.get("motion")
    pairs = pairs_of(clip.split, fixed.get("shape"), fixed.get("color"))
    if motion == "spinning":
        pairs = [pair for pair in pairs if pair[0] not in ROUND]
    shape, color = rng.choice(pairs)
    if motion is None:
        motions = list(SOLO_MOTIONS)
        if shape in ROUND:
            motions.remove("spinning")
        motion = rng.choice(motions)
    size = fixed.get("size") or size or rng.choice(list(SIZES))
    radius = rng.uniform(*SIZES[size])
    thing = SceneObject(shape, color, size, motion, radius, 0.0, 0.0)
    return place(rng, thing, clip)


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
    """The first object on its way to the second, which is at rest, along one axis.

    Args:
        speed: of the first, in half-widths per second.
        gap: between the two at the beginning, in half-widths.
    """
    x, y = RELATIONS[relation]
    dx, dy = -x, -y  # the way that it runs
    if dx:
        length, breadth = clip.frame
    else:
        breadth, length = clip.frame
    start = -length + first.radius * rng.uniform(1.05, 1.3)
    other = start + first.radius + gap + second.radius
    across = rng.uniform(-0.5, 0.5) * breadth
    if dx:
        a = replace(first, x=start * dx, y=across)
        b = replace(second, x=other * dx, y=across)
    else:
        a = replace(first, x=across, y=start * dy)
        b = replace(second, x=across, y=other * dy)
    a = replace(a, vx=speed * dx, vy=speed * dy)
    return a, b


# ---------------------------------------------------------------------- positions and speeds


@dataclass(frozen=True)
class _Room:
    """Where an object's centre may be, in half-widths."""

    left: float
    right: float
    ceiling: float
    floor: float


def _extent(thing: SceneObject) -> tuple[float, float, float]:
    """How far an upright object reaches from its centre: sideways, up, down, in half-widths."""
    side, top, bottom = EXTENT[thing.shape]
    r = thing.radius
    return side * r, top * r, bottom * r


def place(
    rng: random.Random,
    thing: SceneObject,
    clip: Clip,
    speeds: tuple[float, float] | None = None,
) -> SceneObject:
    """Give an object a start and what its motion needs.

    It may leave the frame: the caller rejects that.

    Args:
        speeds: lowest and highest, in half-widths in the whole clip, of what goes straight.
    """
    side, top, bottom = _extent(thing)
    half_width, half_height = clip.frame
    room = _Room(
        left=side - half_width,
        right=half_width - side,
        ceiling=top - half_height,
        floor=half_height - bottom,
    )
    x = rng.uniform(room.left, room.right)
    y = rng.uniform(room.ceiling, room.floor)
    thing = replace(thing, x=x, y=y)
    motion = thing.motion
    if motion in DIRECTIONS or motion == "diagonal":
        speeds = speeds or rng.choice((SLOW, FAST))
        return _moving(rng, thing, room, clip.duration, speeds)
    if motion in ("falling", "bouncing"):
        return _falling(rng, thing, room)
    if motion == "thrown":
        return _thrown(rng, thing, room)
    if motion == "circling":
        return _circling(rng, thing, room)
    if motion == "spinning":
        spin = rng.uniform(*SPIN) * _sign(rng)
        return replace(thing, spin=spin)
    if motion in ("growing", "shrinking"):
        factor = rng.uniform(*GROWTH)
        if motion == "shrinking":
            factor = 1 / factor
        return replace(thing, growth=(factor - 1) / clip.duration)
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
    diagonal = thing.motion == "diagonal"
    if diagonal:
        dx, dy = _sign(rng), _sign(rng)
    else:
        dx, dy = DIRECTIONS[thing.motion]
    travel = rng.uniform(*speeds)  # half-widths in the whole clip
    slant = rng.uniform(0.85, 1.18) if diagonal else 1.0
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
    vy = dy * travel / duration
    return replace(thing, x=x, y=y, vx=vx, vy=vy)


def _falling(rng: random.Random, thing: SceneObject, room: _Room) -> SceneObject:
    bounces = thing.motion == "bouncing"
    # on the floor after 1.1 to 1.3 seconds; falling, to 1.7
    highest = 0.9 if bounces else max(0.6, room.floor - room.ceiling)
    drop = rng.uniform(0.6, highest)
    y = room.floor - drop
    return replace(thing, y=y, gravity=GRAVITY, restitution=float(bounces))


def _thrown(rng: random.Random, thing: SceneObject, room: _Room) -> SceneObject:
    up = rng.uniform(0.8, 1.05)  # in the air for 1.6 to 2.1 seconds
    travel = rng.uniform(0.5, 1.0) * _sign(rng)
    leftmost = max(room.left, room.left - travel)
    rightmost = min(room.right, room.right - travel)
    x = rng.uniform(leftmost, rightmost)
    vx = travel * GRAVITY / (2 * up)
    thing = replace(thing, x=x, y=room.floor, vx=vx, vy=-up)
    return replace(thing, gravity=GRAVITY, restitution=0.0)


def _circling(rng: random.Random, thing: SceneObject, room: _Room) -> SceneObject:
    orbit = rng.uniform(0.33, 0.5)
    rate = rng.uniform(1.9, 2.3) * _sign(rng)
    phase = rng.uniform(0, 2 * math.pi)
    center_x = rng.uniform(room.left + orbit, room.right - orbit)
    center_y = rng.uniform(room.ceiling + orbit, room.floor - orbit)
    cos = math.cos(phase)
    sin = math.sin(phase)
    return replace(
        thing,
        x=center_x + orbit * cos,
        y=center_y + orbit * sin,
        vx=-orbit * rate * sin,
        vy=orbit * rate * cos,
        angular_velocity=rate,
    )
