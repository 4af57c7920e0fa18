"""How well the judge reads: `python -m data.experiments.judge_report [clips]` prints its figures on truth and on planted lies."""

import random
import sys
from collections import Counter
from dataclasses import replace

import torch

from minisora.measure.judge import read, verdict
from minisora.world.captions import spec_of
from minisora.world.dataset import TEST_SEEDS, ToyWorld, sample_scene
from minisora.world.render import render
from minisora.world.scene import BACKGROUND_COLORS, COLORS, MOTIONS, ROUND, SHAPES, SIZES, Scene

ATTRIBUTES = ("count", "shape", "color", "size", "motion", "background", "relation")


def truth(clips: int, see=lambda videos: videos) -> tuple[Counter, int]:
    """How often each attribute of true clips is read rightly; `see` may change what the judge is shown."""
    rights: Counter = Counter()
    world = ToyWorld(first_seed=TEST_SEEDS, pair_fraction=0.5)
    for start in range(0, clips, 64):
        scenes = [world.scene(i) for i in range(start, min(start + 64, clips))]
        for video, scene in zip(see(render(scenes)), scenes, strict=True):
            seen = verdict(read(video), spec_of(scene))
            rights["all"] += seen.all
            for name, right in seen.attributes.items():
                rights[name] += right
                rights[f"asked {name}"] += 1
    return rights, clips


def planted(clips: int) -> tuple[Counter, Counter]:
    """How many lies of each kind are caught: clips in which one thing is not as the caption has it."""
    caught, total = Counter(), Counter()
    for i in range(clips):
        scene = sample_scene(TEST_SEEDS + i)
        rng = random.Random(i)
        for kind in ("swap", "vanish", "teleport", "recolour", "reverse"):
            video = _lie(kind, scene, rng)
            if video is not None:
                total[kind] += 1
                caught[kind] += not verdict(read(video), spec_of(scene)).all
    return caught, total


def _lie(kind: str, scene: Scene, rng: random.Random) -> torch.Tensor | None:
    thing = scene.objects[0]
    other = lambda values, own: rng.choice([v for v in values if v != own])
    if kind == "swap":
        name = rng.choice(("shape", "color", "size", "motion", "background"))
        if name == "background":
            return render([replace(scene, background=other(BACKGROUND_COLORS, scene.background))])[
                0
            ]
        if name == "shape":
            shapes = [s for s in SHAPES if s not in ROUND] if thing.motion == "spinning" else SHAPES
            return render(
                [replace(scene, objects=(replace(thing, shape=other(shapes, thing.shape)),))]
            )[0]
        if name == "color":
            return render(
                [replace(scene, objects=(replace(thing, color=other(COLORS, thing.color)),))]
            )[0]
        if name == "size":
            size = other(SIZES, thing.size)
            return render(
                [sample_scene(scene.seed + 1, shape=thing.shape, size=size, motion=thing.motion)]
            )[0]
        motions = [m for m in MOTIONS if m != "spinning"] if thing.shape in ROUND else MOTIONS
        return render(
            [sample_scene(scene.seed + 1, shape=thing.shape, motion=other(motions, thing.motion))]
        )[0]
    video = render([scene])[0]
    cut = rng.randrange(4, 13)
    if kind == "vanish":
        empty = render([replace(scene, objects=())])[0]
        video[:, cut:] = empty[:, cut:]
    elif kind == "teleport":
        shift = rng.choice((-12, 12))
        empty = render([replace(scene, objects=())])[0]
        moved = torch.roll(video - empty, shift, dims=3) + empty
        if (moved[:, cut:].amax() > 1.2) or thing.motion in ("left", "right"):
            return None
        video[:, cut:] = moved[:, cut:].clamp(-1, 1)
    elif kind == "recolour":
        changed = render(
            [replace(scene, objects=(replace(thing, color=other(COLORS, thing.color)),))]
        )[0]
        video[:, cut:] = changed[:, cut:]
    elif kind == "reverse":
        if thing.motion != "falling":
            return None
        video = video.flip(1)
    return video


def main() -> None:
    clips = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    rights, total = truth(clips)
    print(f"truth, {total} clips: all at once {rights['all'] / total:.4f}")
    for name in ATTRIBUTES:
        print(
            f"  {name:<12} {rights[name] / rights[f'asked {name}']:.4f} of {rights[f'asked {name}']}"
        )
    caught, lies = planted(clips // 5)
    print(
        f"planted lies caught: {sum(caught.values())} of {sum(lies.values())} = {sum(caught.values()) / sum(lies.values()):.4f}"
    )
    for kind, n in lies.items():
        print(f"  {kind:<12} {caught[kind]} of {n}")


if __name__ == "__main__":
    main()
