"""How well the judge reads: `python -m data.experiments.judge_report [clips]`.

It prints how often true clips are read rightly, at several sizes and frame rates, and how many
planted wrong clips are caught.
"""

import random
import sys
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import replace

import torch

from minisora.measure.judge import judge
from minisora.world.dataset import TEST_SEEDS, ToyWorld, sample_scene
from minisora.world.parse import spec_of
from minisora.world.render import background_image, coverage, pixel_grid, render
from minisora.world.scene import (
    BACKGROUND_COLORS,
    COLORS,
    MOTIONS,
    ROUND,
    SHAPES,
    SIZES,
    Scene,
    Tracks,
    simulate,
)

CLIPS = (  # (frames, height, width, frames per second)
    (17, 32, 32, 8),
    (17, 24, 40, 8),
    (17, 32, 32, 6),
    (17, 32, 32, 12),
    (17, 32, 32, 16),
    (33, 32, 32, 8),
    (9, 40, 24, 8),
    (17, 48, 64, 12),
)


def read_truth(
    clips: int, num_frames: int = 17, height: int = 32, width: int = 32, fps: float = 8
) -> Counter:
    """How often each attribute of true clips is read rightly ("right shape") and asked ("shape").

    "all" and "all and outline" are over every clip.
    """
    counts: Counter = Counter()
    size = {"num_frames": num_frames, "height": height, "width": width, "fps": fps}
    world = ToyWorld(first_seed=TEST_SEEDS, pair_fraction=0.5, **size)
    for i in range(clips):
        scene = world.scene(i)
        verdict = judge(render([scene], **size)[0], spec_of(scene), fps)
        rights = {**verdict.attributes, "all": verdict.all}
        rights["all and outline"] = verdict.all_and_outline
        for name, right in rights.items():
            counts[name] += 1
            counts[f"right {name}"] += right
    return counts


# --------------------------------------------------------------------------- wrong clips


def plant(clips: int) -> tuple[Counter, Counter]:
    """How many wrong clips of each kind are caught, and how many there were.

    In each of them one thing is not as the scene has it.
    """
    caught: Counter = Counter()
    total: Counter = Counter()
    for kind, change in WRONG.items():
        for i in range(clips):
            scene, video = change(i, random.Random(f"{kind} {i}"))
            total[kind] += 1
            caught[kind] += not judge(video, spec_of(scene)).all_and_outline
    return caught, total


def _other(rng: random.Random, values: Collection[str], own: str) -> str:
    return rng.choice([value for value in values if value != own])


def _change_object(scene: Scene, **changes: object) -> Scene:
    (thing,) = scene.objects
    return replace(scene, objects=(replace(thing, **changes),))


def _attribute(i: int, rng: random.Random) -> tuple[Scene, torch.Tensor]:
    """Another background, shape, colour, size or motion."""
    scene = sample_scene(TEST_SEEDS + i)
    (thing,) = scene.objects
    name = ("background", "shape", "color", "size", "motion")[i % 5]
    if name == "background":
        wrong = replace(scene, background=_other(rng, BACKGROUND_COLORS, scene.background))
    elif name == "shape":
        shapes = [s for s in SHAPES if s not in ROUND or thing.motion != "spinning"]
        wrong = _change_object(scene, shape=_other(rng, shapes, thing.shape))
    elif name == "color":
        wrong = _change_object(scene, color=_other(rng, COLORS, thing.color))
    elif name == "size":
        own = {"shape": thing.shape, "motion": thing.motion}
        wrong = sample_scene(TEST_SEEDS + i, size=_other(rng, SIZES, thing.size), **own)
    else:
        motions = [m for m in MOTIONS if m != "spinning" or thing.shape not in ROUND]
        motion = _other(rng, motions, thing.motion)
        wrong = sample_scene(TEST_SEEDS + i, shape=thing.shape, motion=motion)
    return scene, render([wrong])[0]


def _cut(scene: Scene, after: Scene, rng: random.Random) -> torch.Tensor:
    """The clip of a scene, from some frame on the clip of another."""
    start = rng.randrange(4, 13)
    first, second = render([scene, after])
    return torch.cat([first[:, :start], second[:, start:]], dim=1)


def _vanish(i: int, rng: random.Random) -> tuple[Scene, torch.Tensor]:
    scene = sample_scene(TEST_SEEDS + i)
    return scene, _cut(scene, replace(scene, objects=()), rng)


def _recolor(i: int, rng: random.Random) -> tuple[Scene, torch.Tensor]:
    scene = sample_scene(TEST_SEEDS + i)
    color = _other(rng, COLORS, scene.objects[0].color)
    return scene, _cut(scene, _change_object(scene, color=color), rng)


def _teleport(i: int, rng: random.Random) -> tuple[Scene, torch.Tensor]:
    """A jump across the way of the object."""
    scene = sample_scene(TEST_SEEDS + i, motion=("still", "up", "falling", "bouncing")[i % 4])
    (thing,) = scene.objects
    x = thing.x - 0.7 if thing.x > 0 else thing.x + 0.7
    return scene, _cut(scene, _change_object(scene, x=x), rng)


def _backwards(i: int, rng: random.Random) -> tuple[Scene, torch.Tensor]:
    scene = sample_scene(TEST_SEEDS + i, motion=("falling", "left", "growing")[i % 3])
    return scene, render([scene])[0].flip(1)


def _no_contact(i: int, rng: random.Random) -> tuple[Scene, torch.Tensor]:
    """A collision in which nothing touches: discs that are too small for their tracks."""
    seeds = range(TEST_SEEDS + 1000 * i, TEST_SEEDS + 1000 * (i + 1))
    pairs = (sample_scene(seed, "pair") for seed in seeds)
    scene = next(s for s in pairs if s.collides and {o.size for o in s.objects} == {"small"})
    tracks = simulate(scene)
    radii = tracks.radii / rng.uniform(1.18, 1.23)
    return scene, draw(scene, replace(tracks, radii=radii))


def _broken(i: int, rng: random.Random) -> tuple[Scene, torch.Tensor]:
    """A third of a ring is missing in one frame."""
    motion = ("left", "up", "falling", "bouncing", "thrown", "circling", "growing")[i % 7]
    scene = sample_scene(TEST_SEEDS + i, shape="ring", motion=motion)
    return scene, break_outline(scene, rng.randrange(17), rng.uniform(0, 6.28))


WRONG: dict[str, Callable[[int, random.Random], tuple[Scene, torch.Tensor]]] = {
    "another attribute": _attribute,
    "vanishes": _vanish,
    "changes color": _recolor,
    "jumps": _teleport,
    "runs backwards": _backwards,
    "hits without contact": _no_contact,
    "broken outline": _broken,
}


def draw(scene: Scene, tracks: Tracks, height: int = 32, width: int = 32) -> torch.Tensor:
    """A clip (3, T, H, W) of a scene's objects on other tracks than its own."""
    empty = background_image(scene.background, scene.texture, height, width)
    video = empty[:, None].repeat(1, len(tracks.positions), 1, 1)
    for k, thing in enumerate(scene.objects):
        position, radius, angle = (
            values[:, k].float() for values in (tracks.positions, tracks.radii, tracks.angles)
        )
        alpha = coverage(thing.shape, position, radius, angle, height, width)
        color = torch.tensor(COLORS[thing.color])[:, None, None, None] / 255
        video = torch.lerp(video, color.expand_as(video), alpha[None].expand_as(video))
    return video * 2 - 1


def break_outline(scene: Scene, frame: int, start: float, fraction: float = 1 / 3) -> torch.Tensor:
    """A clip in which a sector of the object, from `start` on, is missing in one frame."""
    video, empty = render([scene, replace(scene, objects=())])
    center = simulate(scene).positions[frame, 0]
    x, y = pixel_grid(*video.shape[2:])
    angles = torch.atan2(y - center[1], x - center[0])
    missing = torch.remainder(angles - start, 2 * torch.pi) < fraction * 2 * torch.pi
    video[:, frame] = torch.where(missing, empty[:, frame], video[:, frame])
    return video


def main() -> None:
    clips = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    for number, size in enumerate(CLIPS):
        counts = read_truth(clips if number == 0 else clips // 10, *size)
        print("true clips of {} frames, {}×{}, at {} frames per second:".format(*size))
        for name in [name for name in counts if not name.startswith("right ")]:
            right = counts[f"right {name}"]
            print(f"  {name:<16} {right / counts[name]:.4f} of {counts[name]}")
    caught, total = plant(clips // 10)
    for kind, number in total.items():
        print(f"wrong clips caught: {kind:<22} {caught[kind]} of {number}")


if __name__ == "__main__":
    main()
