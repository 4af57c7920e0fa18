"""Clips that several measurements share: test scenes, prompts, and batches made from them."""

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import count, islice

import torch

from minisora import tasks
from minisora.measure.judge import read
from minisora.world.captions import PHRASES, caption
from minisora.world.dataset import SHAPE_COLOR_PAIRS, TEST_SEEDS, sample_scene
from minisora.world.scene import BACKGROUND_COLORS, Scene

LASTING = (
    "still",
    "falling",
    "bouncing",
    "circling",
    "spinning",
)  # motions that stay on the stage however long they last


BATCH = 40  # divides 200, so that a compiled transformer meets one size


def in_batches(function: Callable, *columns, seed: int | None = None, **options) -> torch.Tensor:
    """Call `function(*part of every column, **options)` for 40 rows at a time and join what comes back.

    With a seed, batch i is also given a `generator` seeded with seed + i.
    """
    parts = []
    for i in range(0, len(columns[0]), BATCH):
        noise = (
            {} if seed is None else {"generator": torch.Generator().manual_seed(seed + i // BATCH)}
        )
        parts.append(function(*(c[i : i + BATCH] for c in columns), **noise, **options).cpu())
    return torch.cat(parts)


def make(model, prompts: list[str], seed: int = 0, **options) -> torch.Tensor:
    """Videos (B, 3, T, H, W), one a prompt."""
    return in_batches(model.generate, prompts, seed=seed, **options)


def remake(
    model, videos: torch.Tensor, prompts: list[str], start: list[float], seed: int = 0, **options
) -> torch.Tensor:
    """Make videos again from others, latent frame k starting at noise level start[k]: 0 is kept as given, 1 is made anew.

    [0, 0, 1, 1, 1] goes on from the first five frames; 0.7 everywhere is SDEdit (arXiv:2108.01073).
    """
    levels = torch.tensor(start)[:, None, None]
    return in_batches(
        lambda video, texts, **o: tasks.denoise_video(model, video, levels, texts, **o),
        videos,
        prompts,
        seed=seed,
        **options,
    )


def slide(model, prompts: list[str], num_frames: int, seed: int = 0, **options) -> torch.Tensor:
    """A longer clip by a window that slides: `generate`, then `extend` by what is missing."""

    def batch(texts: list[str], **options) -> torch.Tensor:
        video = model.generate(texts, **options)
        return tasks.extend(model, video, num_frames - video.shape[2], texts, **options)

    return in_batches(batch, prompts, seed=seed, **options)


def round_trip(model, videos: torch.Tensor) -> torch.Tensor:
    """Videos as the compressor gives them back."""
    return in_batches(lambda v: model.decode(model.encode(v)), videos)


def pairs(number: int, split: str = "seen", collide: bool = False) -> list[Scene]:
    """The first test scenes of two objects that collide, or that do not."""
    scenes = (sample_scene(TEST_SEEDS + i, "pair", split) for i in count())
    return list(islice((s for s in scenes if s.collides == collide), number))


def sentence(scene: Scene) -> str:
    """Everything about a scene of one object in a fixed order, so that two prompts differ in what they say and in nothing else."""
    (o,), stage = scene.objects, "background" if scene.texture == "plain" else scene.texture
    return f"a {o.size} {o.color} {o.shape} {PHRASES['motion'][o.motion][0]} on a {scene.background} {stage}"


def change_word(scene: Scene, attribute: str) -> Scene:
    """Another value of color, shape, motion or background, and no look that training has not shown."""
    (o,), rng = scene.objects, random.Random(f"{attribute} {scene.seed}")
    values = {
        "color": [c for s, c in SHAPE_COLOR_PAIRS["seen"] if s == o.shape],
        "shape": [s for s, c in SHAPE_COLOR_PAIRS["seen"] if c == o.color],
        "motion": LASTING[:4],
        "background": list(BACKGROUND_COLORS),
    }
    own = scene.background if attribute == "background" else getattr(o, attribute)
    change = {attribute: rng.choice([v for v in values[attribute] if v != own])}
    return (
        replace(scene, **change)
        if attribute == "background"
        else replace(scene, objects=(replace(o, **change),))
    )


def test_scenes(family: str, split: str, count: int, **shape) -> list[Scene]:
    """The first `count` test scenes of a family and split; the same on every machine."""
    return [sample_scene(TEST_SEEDS + i, family, split, **shape) for i in range(count)]


def test_prompts(scenes: list[Scene]) -> list[str]:
    """One caption each, in the mixture of forms that training uses."""
    return [caption(s, random.Random(f"caption {s.seed}")) for s in scenes]


def lasting(clips: int, num_frames: int) -> list[Scene]:
    """Scenes whose motion goes on for as long as the clip."""
    return [
        sample_scene(TEST_SEEDS + i, motion=LASTING[i % len(LASTING)], num_frames=num_frames)
        for i in range(clips)
    ]


def track_of(video: torch.Tensor, color: str) -> torch.Tensor:
    """Centre (T, 2) of what has this colour in a clip (3, T, H, W), nan where the judge sees none."""
    found = [o.positions for o in read(video).objects if o.color == color]
    return found[0] if found else torch.full((video.shape[1], 2), torch.nan)
