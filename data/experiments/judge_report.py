"""How well the judge reads: `python -m data.experiments.judge_report [clips] [wrong clips]`.

It prints how often true clips of every family are read rightly, at several sizes and frame rates,
and how many planted wrong clips are caught.
"""

import math
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count, product

import numpy as np
import torch

import minisora.world.render as renderer
from minisora.measure.judge import judge
from minisora.world import tiles
from minisora.world.captions import place_of
from minisora.world.dataset import TEST_SEEDS, _inside, can_show, sample_scene
from minisora.world.families import FAMILIES
from minisora.world.parse import PromptSpec, spec_of
from minisora.world.render import draw, pixel_grid, prepare, render
from minisora.world.scene import (
    BACKGROUND_COLORS,
    COLORS,
    DIRECTIONS,
    EXTENT,
    MOTIONS,
    ROUND,
    SHAPES,
    SIZES,
    TEXTURES,
    Camera,
    Scene,
    SceneObject,
    Tracks,
    Turn,
    simulate,
)
from minisora.world.story import tell, way_of

CLIPS = (  # (frames, height, width, frames per second)
    (17, 64, 64, 8),
    (33, 64, 64, 8),
    (17, 48, 80, 8),
    (17, 80, 48, 8),
    (17, 64, 64, 12),
    (17, 32, 32, 8),
    (17, 24, 40, 8),
    (17, 32, 32, 16),
)
TINY = ("solo", "pair", "collision", "game")  # the families that are seen at 32×32, too
SIZE = {"num_frames": 17, "height": 64, "width": 64}  # of wrong clips


def families_at(num_frames: int, height: int, width: int) -> list[str]:
    """The families that are read in clips of this size."""
    families = FAMILIES if min(height, width) >= 48 else TINY
    return [family for family in families if can_show(family, num_frames, height, width)]


def read_truth(
    family: str,
    clips: int,
    num_frames: int = 17,
    height: int = 64,
    width: int = 64,
    fps: float = 8,
    change: Callable[[torch.Tensor], torch.Tensor] | None = None,
    split: str = "seen",
) -> Counter:
    """How often each attribute of true clips is read rightly ("right shape") and asked ("shape").

    "all" and "all and outline" are over every clip, "seconds" is what the judge took.

    Args:
        change: done to every clip before it is judged, for example a compressor's round trip.
    """
    counts: Counter = Counter()
    size = {"num_frames": num_frames, "height": height, "width": width, "fps": fps}
    for i in range(clips):
        scene = sample_scene(TEST_SEEDS + i, family, split, **size)
        video = render([scene], **size)[0]
        video = change(video) if change else video
        start = time.process_time()
        seen = judge(video, everything(scene, **size), fps)
        counts["seconds"] += time.process_time() - start
        rights = {**seen.attributes, "all": seen.all, "all and outline": seen.all_and_outline}
        for name, right in rights.items():
            counts[name] += 1
            counts[f"right {name}"] += right
    return counts


def everything(
    scene: Scene, num_frames: int = 17, height: int = 64, width: int = 64, fps: float = 8
) -> PromptSpec:
    """All that a prompt can ask of a scene but positions: with the places where objects begin."""
    spec = spec_of(scene, (num_frames - 1) / fps)
    unit = min(height, width)
    frame = (width / unit, height / unit)
    positions, _ = simulate(scene, 1, fps, frame[1]).on_screen()
    places = [place_of(x, y, frame) for x, y in positions[0].tolist()]
    own = zip(spec.objects, places, strict=True)
    return replace(spec, objects=tuple(replace(thing, place=place) for thing, place in own))


# --------------------------------------------------------------------------- wrong clips


Planted = tuple[Scene, torch.Tensor]  # a scene, and a clip in which one thing is not as it has it


def plant(kind: str, clips: int) -> int:
    """How many wrong clips of a kind are caught."""
    caught = 0
    for i in range(clips):
        scene, video = WRONG[kind](i, random.Random(f"{kind} {i}"))
        caught += not judge(video, spec_of(scene)).all_and_outline
    return caught


def _sample(i: int, family: str = "solo", **fixed: str) -> Scene:
    return sample_scene(TEST_SEEDS + i, family, **SIZE, **fixed)


def _where(i: int, family: str, fits: Callable[[Scene], bool]) -> Scene:
    """A scene of a family of which something holds."""
    return next(s for s in (_sample(1000 * i + k, family) for k in count()) if fits(s))


def _show(scene: Scene) -> torch.Tensor:
    return render([scene], **SIZE)[0]


def _other(rng: random.Random, values: Collection[str], own: str) -> str:
    return rng.choice([value for value in values if value != own])


def _change(scene: Scene, index: int = 0, **changes: object) -> Scene:
    """The scene with another object."""
    things = list(scene.objects)
    things[index] = replace(things[index], **changes)
    return replace(scene, objects=tuple(things))


def _cut(scene: Scene, after: Scene, start: int) -> torch.Tensor:
    """The clip of a scene, from some frame on the clip of another."""
    first, second = render([scene, after], **SIZE)
    return torch.cat([first[:, :start], second[:, start:]], dim=1)


def _attribute(i: int, rng: random.Random) -> Planted:
    """Another background, shape, colour, size or motion."""
    scene = _sample(i)
    (thing,) = scene.objects
    name = ("background", "shape", "color", "size", "motion")[i % 5]
    if name == "background":
        wrong = replace(scene, background=_other(rng, BACKGROUND_COLORS, scene.background))
    elif name == "shape":
        shapes = [s for s in SHAPES if s not in ROUND or thing.motion != "spinning"]
        wrong = _change(scene, shape=_other(rng, shapes, thing.shape))
    elif name == "color":
        wrong = _change(scene, color=_other(rng, COLORS, thing.color))
    elif name == "size":
        own = {"shape": thing.shape, "motion": thing.motion}
        wrong = _sample(i, size=_other(rng, SIZES, thing.size), **own)
    else:
        motions = [m for m in MOTIONS if m != "spinning" or thing.shape not in ROUND]
        motions = [m for m in motions if not m.startswith("leaving")]
        wrong = _sample(i, shape=thing.shape, motion=_other(rng, motions, thing.motion))
    return scene, _show(wrong)


def _vanish(i: int, rng: random.Random) -> Planted:
    scene = _sample(i)
    return scene, _cut(scene, replace(scene, objects=()), rng.randrange(4, 13))


def _recolor(i: int, rng: random.Random) -> Planted:
    scene = _sample(i)
    color = _other(rng, COLORS, scene.objects[0].color)
    return scene, _cut(scene, _change(scene, color=color), rng.randrange(4, 13))


def _teleport(i: int, rng: random.Random) -> Planted:
    """A jump across the way of the object."""
    scene = _sample(i, motion=("still", "up", "falling", "bouncing")[i % 4])
    (thing,) = scene.objects
    x = thing.x - 0.7 if thing.x > 0 else thing.x + 0.7
    return scene, _cut(scene, _change(scene, x=x), rng.randrange(4, 13))


def _backwards(i: int, rng: random.Random) -> Planted:
    scene = _sample(i, motion=("falling", "left", "growing", "circling")[i % 4])
    return scene, _show(scene).flip(1)


def _no_contact(i: int, rng: random.Random) -> Planted:
    """A collision in which nothing touches: discs that are too small for their tracks."""
    scene = _where(i, "collision", lambda s: {o.size for o in s.objects} == {"small"})
    tracks = simulate(scene)
    radii = tracks.radii / rng.uniform(1.18, 1.23)
    return scene, redraw(scene, replace(tracks, radii=radii))


def _broken(i: int, rng: random.Random) -> Planted:
    """A third of a shape is missing in one frame."""
    motion = ("left", "up", "falling", "bouncing", "thrown", "circling", "growing")[i % 7]
    scene = _sample(i, shape=SHAPES[i % len(SHAPES)], motion=motion)
    return scene, break_outline(scene, rng.randrange(17), rng.uniform(0, 6.28))


def _one_too_many(i: int, rng: random.Random) -> Planted:
    """A second object of the same or another colour, in every second clip from some frame on."""
    motions = ("still", "spinning", *DIRECTIONS)
    scene = _where(i, "solo", lambda s: s.objects[0].motion in motions and bool(_free_places(s)))
    (thing,) = scene.objects
    color = thing.color if i % 4 < 2 else _other(rng, COLORS, thing.color)
    x, y = rng.choice(_free_places(scene))
    extra = SceneObject(rng.choice(SHAPES), color, "small", "still", 0.25, x, y)
    more = replace(scene, objects=(thing, extra))
    return scene, _cut(scene, more, rng.choice((4, 8, 12)) if i % 2 else 0)


def _free_places(scene: Scene) -> list[tuple[float, float]]:
    """Where an object of radius 0.25 would never meet the scene's own."""
    (thing,) = scene.objects
    way = simulate(scene).positions[:, 0]
    reach = 1.2 * (thing.radius + 0.25) + 0.1
    points = [(x / 10, y / 10) for x in range(-7, 8) for y in range(-7, 8)]
    return [p for p in points if ((way - torch.tensor(p)).norm(dim=1) > reach).all()]


def _one_too_few(i: int, rng: random.Random) -> Planted:
    scene = _sample(i, "number")
    return scene, _show(replace(scene, objects=scene.objects[1:]))


def _camera_mirrored(i: int, rng: random.Random) -> Planted:
    """The camera goes the other way, and the object stays in view."""
    scene = _sample(i, "camera" if i % 3 else "away")
    kind, path = scene.camera.kind, scene.camera
    if kind.startswith("zooms"):
        other = "zooms out" if kind == "zooms in" else "zooms in"
        return scene, _show(replace(scene, camera=replace(path, kind=other, amount=-path.amount)))
    way = kind.split()[1]
    other = {"left": "right", "right": "left", "up": "down", "down": "up"}[way]
    wrong = replace(scene, camera=replace(path, kind=kind.replace(way, other)))
    if kind.startswith("pans"):
        (thing,) = scene.objects
        dx, dy = (d * path.amount for d in DIRECTIONS[way])
        wrong = _change(wrong, x=thing.x - dx, y=thing.y - dy)
    return scene, _show(wrong)


def _camera_stays(i: int, rng: random.Random) -> Planted:
    scene = _sample(i, "camera" if i % 3 else "away")
    return scene, _show(replace(scene, camera=Camera()))


def _camera_moves(i: int, rng: random.Random) -> Planted:
    """A camera that should stand still."""
    scene = _sample(i, "camera")
    return replace(scene, camera=Camera()), _show(scene)


def _parallax_reversed(i: int, rng: random.Random) -> Planted:
    """The far hills move more with the camera than the near ones."""
    scene = _where(i, "camera" if i % 2 else "away", _shows_parallax)
    far, near = renderer.HILLS
    with _hills((near[0], *far[1:]), (far[0], *near[1:])):
        return scene, _show(scene)


def _shows_parallax(scene: Scene) -> bool:
    return scene.texture == "hills" and not scene.camera.kind.startswith("zooms")


@contextmanager
def _hills(far: tuple[float, ...], near: tuple[float, ...]) -> Iterator[None]:
    own = renderer.HILLS
    renderer.HILLS = (far, near)
    try:
        yield
    finally:
        renderer.HILLS = own


def _changed_behind_wall(i: int, rng: random.Random) -> Planted:
    """Another shape or another colour comes out."""
    scene = _sample(i, "wall")
    (thing,) = scene.objects
    if i % 2:
        after = _change(scene, shape=_other(rng, SHAPES, thing.shape))
    else:
        after = _change(scene, color=_other(rng, COLORS, thing.color))
    return scene, _cut(scene, after, 8)


def _stays_behind_wall(i: int, rng: random.Random) -> Planted:
    scene = _sample(i, "wall")
    return scene, _cut(scene, replace(scene, objects=()), 8)


def _turns_back(i: int, rng: random.Random) -> Planted:
    """It comes out on the side on which it went in."""
    scene = _sample(i, "wall")
    first, mirrored = render([scene], **SIZE)[0], render([_mirrored(scene)], **SIZE)[0]
    return scene, torch.cat([first[:, :8], mirrored[:, 8:]], dim=1)


def _mirrored(scene: Scene) -> Scene:
    (thing,) = scene.objects
    return _change(scene, x=-thing.x, vx=-thing.vx)


def _frozen_away(i: int, rng: random.Random) -> Planted:
    """Nothing happened while the camera looked away."""
    scene = _where(i, "away", lambda s: s.objects[0].motion != "still")
    tracks = simulate(scene)
    x, _ = tracks.on_screen()[0][:, 0].unbind(1)
    (thing,) = scene.objects
    away = x.abs() > 1 + 1.2 * thing.radius
    rows = torch.arange(17) - away.cumsum(0)
    if thing.motion == "spinning":  # a shape that looks the same after the pause is no wrong clip
        period = {"square": 4, "triangle": 3, "star": 5, "heart": 1}[thing.shape]
        turned = thing.spin * int(away.sum()) / 8 * period / (2 * math.pi)
        if abs(turned - round(turned)) < 0.25:
            return _frozen_away(i + 10_000, rng)
    still = replace(
        tracks,
        positions=tracks.positions[rows],
        radii=tracks.radii[rows],
        angles=tracks.angles[rows],
    )
    return scene, redraw(scene, still)


def _never_back(i: int, rng: random.Random) -> Planted:
    """What left the frame, or was left by the camera, is not there any more."""
    scene = _sample(i, "return" if i % 2 else "away")
    return scene, _cut(scene, replace(scene, objects=()), 9)


def _swapped(i: int, rng: random.Random) -> Planted:
    """The second event comes first."""
    for k in count():
        scene = _sample(1000 * i + k, "order")
        (thing,) = scene.objects
        turn = thing.turn
        assert turn is not None
        if turn.color:
            own = Turn(turn.time, turn.vx, turn.vy, COLORS[thing.color])
            wrong = _change(scene, color=thing.then, turn=own)
        else:
            own = Turn(turn.time, thing.vx, thing.vy)
            wrong = _change(scene, vx=turn.vx, vy=turn.vy, turn=own)
        if _inside(wrong, 17, 8, (1.0, 1.0)):
            return scene, _show(wrong)
    raise AssertionError


def _nothing_then(i: int, rng: random.Random) -> Planted:
    """The second event does not come."""
    scene = _where(
        i, "order", lambda s: s.objects[0].motion == "still" or s.objects[0].then in COLORS
    )
    return scene, _show(_change(scene, turn=None))


def _healed(i: int, rng: random.Random) -> Planted:
    """The target is whole again when the chomper goes back."""
    scene = _sample(i, "bite")
    drawing = prepare([scene], **SIZE)
    bites = drawing.bites.clone()
    bites[:, 13 + i % 3 :] = 0
    return scene, draw(replace(drawing, bites=bites), 64, 64)[0]


def _not_bitten(i: int, rng: random.Random) -> Planted:
    scene = _sample(i, "bite")
    drawing = prepare([scene], **SIZE)
    return scene, draw(replace(drawing, bites=0 * drawing.bites), 64, 64)[0]


def _bitten_early(i: int, rng: random.Random) -> Planted:
    """The whole bite is missing while the chomper is still on its way."""
    scene = _sample(i, "bite")
    drawing = prepare([scene], **SIZE)
    bites = drawing.bites.clone()
    bites[:, 1 + i % 2 :] = bites[:, -1:]
    return scene, draw(replace(drawing, bites=bites), 64, 64)[0]


def _lit_early(i: int, rng: random.Random) -> Planted:
    scene = _sample(i, "lamp")
    lamp = scene.objects[1]
    assert lamp.turn is not None
    early = replace(lamp.turn, time=lamp.turn.time - rng.uniform(0.3, 0.7))
    return scene, _show(_change(scene, 1, turn=early))


def _dark_again(i: int, rng: random.Random) -> Planted:
    scene = _sample(i, "lamp")
    return scene, _cut(scene, _change(scene, 1, turn=None), 13 + i % 3)


def _lit_untouched(i: int, rng: random.Random) -> Planted:
    """The object turns back before it is there."""
    scene = _sample(i, "lamp")
    thing, lamp = scene.objects
    shorter = rng.uniform(0.3, 0.6)
    turn = thing.turn
    assert turn is not None
    slow = replace(turn, vx=turn.vx * shorter, vy=turn.vy * shorter)
    return scene, _show(_change(scene, vx=thing.vx * shorter, vy=thing.vy * shorter, turn=slow))


def _line_fades(i: int, rng: random.Random) -> Planted:
    """Only the last part of the line is there, or none from some frame on."""
    scene = _sample(i, "paint")
    drawing = prepare([scene], **SIZE)
    lines = drawing.lines.clone()
    if i % 2:
        lines[:, :, :2] = torch.lerp(lines[:, :, :2], lines[:, :, 2:], 0.6)
    else:
        start = rng.randrange(6, 14)
        lines[:, start:, :2] = lines[:, start:, 2:]
    return scene, draw(replace(drawing, lines=lines), 64, 64)[0]


def _no_cut(i: int, rng: random.Random) -> Planted:
    """There is no cut, or one to another background."""
    scene = _sample(i, "shots")
    assert scene.cut is not None
    own = (scene.cut.background, scene.cut.texture)
    others = [(b, t) for b in BACKGROUND_COLORS for t in TEXTURES if (b, t) != own]
    background, texture = rng.choice([(b, t) for b, t in others if b != scene.background])
    cut = replace(scene.cut, background=background, texture=texture) if i % 2 else None
    return scene, _show(replace(scene, cut=cut))


def _falls(i: int, rng: random.Random) -> tuple[Scene, Tracks, torch.Tensor]:
    """A fall, its tracks, and its frames from the touch on."""
    scene = _sample(i, "fall")
    tracks = simulate(scene)
    y = tracks.positions[:, 0, 1]
    rises = (y.diff() < 0).float()
    return scene, tracks, torch.arange(17) > int(rises.argmax())


def _turns_early(i: int, rng: random.Random) -> Planted:
    """It bounces off nothing, above the other one."""
    scene, tracks, _ = _falls(i, rng)
    higher = scene.objects[1].y - rng.uniform(0.18, 0.23) * sum(o.radius for o in scene.objects)
    wrong = simulate(_change(scene, 1, y=higher)).positions
    wrong[:, 1] = tracks.positions[:, 1]
    return scene, redraw(scene, replace(tracks, positions=wrong))


def _falls_through(i: int, rng: random.Random) -> Planted:
    """It falls to the floor, and bounces there in every second clip."""
    scene, tracks, _ = _falls(i, rng)
    (first, second) = scene.objects
    alone = replace(scene, verb=None, objects=(replace(first, restitution=float(i % 2)),))
    wrong = tracks.positions.clone()
    wrong[:, 0] = simulate(alone).positions[:, 0]
    return scene, redraw(scene, replace(tracks, positions=wrong))


def _lower_moves(i: int, rng: random.Random) -> Planted:
    """The touch sends the other one away, along the floor."""
    scene, tracks, after = _falls(i, rng)
    wrong = tracks.positions.clone()
    away = after.cumsum(0) / 8 * rng.uniform(0.3, 0.6)
    wrong[:, 1, 0] += away if scene.objects[1].x < 0 else -away
    return scene, redraw(scene, replace(tracks, positions=wrong))


def _sticks(i: int, rng: random.Random) -> Planted:
    """It stays on top of the other one."""
    scene, tracks, after = _falls(i, rng)
    first, second = scene.objects
    wrong = tracks.positions.clone()
    reach = first.radius * EXTENT[first.shape][2] + second.radius * EXTENT[second.shape][1]
    wrong[after, 0, 1] = second.y - reach
    return scene, redraw(scene, replace(tracks, positions=wrong))


Fits = Callable[[bytes, int, int, int], bool]  # board, and where the player is, goes, and pushes


def _against_the_rules(i: int, fits: Fits, pushed: int = tiles.FLOOR) -> Planted:
    """A step that the rules forbid, after which the player stands still.

    What is asked is all that is seen, so that nothing but the step is wrong.

    Args:
        fits: where the step is wrong. pushed: what comes to stand behind what the player walks on.
    """
    for scene in (_sample(1000 * i + k, "game") for k in count()):
        for frame, action in product(range(4, 13), range(1, len(tiles.MOVES))):
            board = bytearray(scene.boards[frame])
            here = tiles.player_cell(board)
            there = tiles.NEIGHBOURS[here][action]
            behind = tiles.NEIGHBOURS[there][action]
            if not fits(scene.boards[frame], here, there, behind):
                continue
            if pushed != tiles.FLOOR:
                board[behind] = pushed
            board[there], board[here] = board[here], tiles.FLOOR
            after = (bytes(board),) * (SIZE["num_frames"] - frame - 1)
            wrong = replace(scene, boards=scene.boards[: frame + 1] + after)
            return wrong, _show(wrong)
    raise AssertionError("there are scenes without end")


def _through_a_wall(i: int, rng: random.Random) -> Planted:
    return _against_the_rules(i, lambda board, here, there, behind: board[there] == tiles.WALL)


def _box_into_a_wall(i: int, rng: random.Random) -> Planted:
    def fits(board: bytes, here: int, there: int, behind: int) -> bool:
        return board[there] == tiles.BOX and board[behind] == tiles.WALL

    return _against_the_rules(i, fits, tiles.BOX)


def _door_without_a_key(i: int, rng: random.Random) -> Planted:
    def fits(board: bytes, here: int, there: int, behind: int) -> bool:
        return board[here] == tiles.PLAYER and board[there] == tiles.DOOR

    return _against_the_rules(i, fits)


def _coin_comes_back(i: int, rng: random.Random) -> Planted:
    """Where a coin was taken lies one again, as soon as the player is gone."""
    scene = _where(i, "game", lambda s: bool(_taken(s)))
    frame, cell = rng.choice(_taken(scene))
    boards = [bytearray(board) for board in scene.boards]
    for board in boards[frame:]:
        if board[cell] == tiles.FLOOR:
            board[cell] = tiles.COIN
    wrong = replace(scene, boards=tuple(map(bytes, boards)))
    return wrong, _show(wrong)


def _taken(scene: Scene) -> list[tuple[int, int]]:
    """Where coins were taken, and frames in which, as in the one before, there is nothing."""
    found = []
    boards = scene.boards
    for step, doing in tell(boards).events:
        cell = tiles.player_cell(boards[step])
        for frame in range(step + 2, len(boards)):
            free = boards[frame - 1][cell] == boards[frame][cell] == tiles.FLOOR
            if doing == "takes a coin" and free:
                found.append((frame, cell))
    return found


def _wrong_way(i: int, rng: random.Random) -> Planted:
    """The player walks the other way: the clip's mirror image."""
    scene = _where(i, "game", lambda s: way_of(tell(s.boards)) is not None)
    axis = 2 if way_of(tell(scene.boards)) in ("left", "right") else 1
    boards = np.frombuffer(b"".join(scene.boards), dtype=np.int8).reshape(-1, 8, 8)
    mirrored = tuple(board.tobytes() for board in np.flip(boards, axis))
    return scene, _show(replace(scene, boards=mirrored))


def _two_players(i: int, rng: random.Random) -> Planted:
    """In one frame there is a second player."""
    scene = _sample(i, "game")
    frame = rng.randrange(SIZE["num_frames"])
    boards = [bytearray(board) for board in scene.boards]
    floor = [cell for cell, tile in enumerate(boards[frame]) if tile == tiles.FLOOR]
    boards[frame][rng.choice(floor)] = rng.choice((tiles.PLAYER, tiles.HOLDER))
    return scene, _show(replace(scene, boards=tuple(map(bytes, boards))))


WRONG: dict[str, Callable[[int, random.Random], Planted]] = {
    "another attribute": _attribute,
    "vanishes": _vanish,
    "changes color": _recolor,
    "jumps": _teleport,
    "runs backwards": _backwards,
    "hits without contact": _no_contact,
    "broken outline": _broken,
    "one object too many": _one_too_many,
    "one object too few": _one_too_few,
    "camera the other way": _camera_mirrored,
    "camera stands still": _camera_stays,
    "camera should stand still": _camera_moves,
    "parallax reversed": _parallax_reversed,
    "changed behind the wall": _changed_behind_wall,
    "stays behind the wall": _stays_behind_wall,
    "turns back behind the wall": _turns_back,
    "frozen while away": _frozen_away,
    "does not come back": _never_back,
    "events swapped": _swapped,
    "no second event": _nothing_then,
    "bite healed": _healed,
    "not bitten": _not_bitten,
    "bitten before the touch": _bitten_early,
    "lit before the touch": _lit_early,
    "dark again": _dark_again,
    "lit without a touch": _lit_untouched,
    "line fades": _line_fades,
    "no cut, or another": _no_cut,
    "bounces off nothing": _turns_early,
    "falls through": _falls_through,
    "the lower one moves": _lower_moves,
    "lands and sticks": _sticks,
    "walks through a wall": _through_a_wall,
    "box pushed into a wall": _box_into_a_wall,
    "door without a key": _door_without_a_key,
    "coin comes back": _coin_comes_back,
    "walks the other way": _wrong_way,
    "two players": _two_players,
}
WRONG_IN_TINY = [*WRONG][:7] + [*WRONG][-6:]  # of what is seen at 32×32, too


def redraw(scene: Scene, tracks: Tracks) -> torch.Tensor:
    """A clip (3, T, H, W) of a scene's objects on other tracks than its own."""
    positions, radii = tracks.on_screen()
    number = len(scene.objects)
    drawing = prepare([scene], **SIZE)
    own = (drawing.positions.clone(), drawing.radii.clone(), drawing.angles.clone())
    for values, new in zip(own, (positions, radii, tracks.angles), strict=True):
        values[0, :, :number] = new.float()
    drawing = replace(drawing, positions=own[0], radii=own[1], angles=own[2])
    return draw(drawing, SIZE["height"], SIZE["width"])[0]


def break_outline(scene: Scene, frame: int, start: float, fraction: float = 1 / 3) -> torch.Tensor:
    """A clip in which a sector of the object, from `start` on, is missing in one frame."""
    video, empty = render([scene, replace(scene, objects=())], **SIZE)
    center = simulate(scene).positions[frame, 0]
    x, y = pixel_grid(*video.shape[2:])
    angles = torch.atan2(y - center[1], x - center[0])
    missing = torch.remainder(angles - start, 2 * torch.pi) < fraction * 2 * torch.pi
    video[:, frame] = torch.where(missing, empty[:, frame], video[:, frame])
    return video


def main() -> None:
    clips = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    wrong = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    for number, size in enumerate(CLIPS):
        print("true clips of {} frames, {}×{}, at {} frames per second:".format(*size))
        for family in families_at(*size[:3]):
            counts = read_truth(family, clips if number == 0 else clips // 10, *size)
            seconds = counts.pop("seconds")
            names = [name for name in counts if not name.startswith("right ")]
            missed = {name: counts[name] - counts[f"right {name}"] for name in names}
            shown = ", ".join(
                f"{name} {counts[name] - m}/{counts[name]}" for name, m in missed.items()
            )
            print(
                f"  {family:<10} {shown} ({counts['all'] / seconds:.0f} clips a second)", flush=True
            )
    for kind in WRONG:
        print(f"wrong clips caught: {kind:<26} {plant(kind, wrong)} of {wrong}", flush=True)


if __name__ == "__main__":
    main()
