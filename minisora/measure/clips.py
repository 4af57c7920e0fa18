"""Clips that several measurements share: test scenes, prompts, and batches generated from them.

    scenes ── test_prompts ──► prompts ── generate_clips ──► videos (B, 3, T, H, W) in [-1, 1]

Sizes and frame rate are the model's own (`clip_shape`).
"""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypedDict

import torch

from minisora import tasks
from minisora.measure.judge import Reading, Verdict, read, verdict
from minisora.pipeline import MiniSora
from minisora.world.captions import background_words, caption
from minisora.world.dataset import SHAPE_COLOR_PAIRS, TEST_SEEDS, sample_scene
from minisora.world.parse import PromptSpec, parse
from minisora.world.phrases import MOTION_WORDS
from minisora.world.scene import BACKGROUND_COLORS, FPS, Scene

LASTING = ("still", "falling", "bouncing", "circling", "spinning")  # never leave the frame
BATCH = 40  # divides 200, so that a compiled transformer meets one size


class ClipShape(TypedDict):
    """What `sample_scene` and `render` ask of a clip."""

    num_frames: int
    height: int
    width: int
    fps: float


def clip_shape(model: MiniSora, num_frames: int | None = None) -> ClipShape:
    """Frames, rows, columns and frame rate of a model's own clips, or of longer or shorter ones."""
    preset = model.preset
    return {
        "num_frames": preset.num_frames if num_frames is None else num_frames,
        "height": preset.height,
        "width": preset.width,
        "fps": preset.fps,
    }


# ----------------------------------------------------------------------------- scenes and prompts


def test_scenes(family: str, split: str, count: int, **shape: Any) -> list[Scene]:
    """The first `count` test scenes of a family and split; the same on every machine."""
    seeds = range(TEST_SEEDS, TEST_SEEDS + count)
    return [sample_scene(seed, family, split, **shape) for seed in seeds]


def test_prompts(
    scenes: Sequence[Scene],
    style: str | None = None,
    *,
    num_frames: int = 17,
    height: int = 32,
    width: int = 32,
    fps: float = FPS,
) -> list[str]:
    """One caption each, in the mixture of forms that training uses.

    Args:
        style: of `caption`. num_frames, fps: as there.
        height, width: change no caption; they are here so that a clip's whole shape may be given.
    """
    prompts = []
    for scene in scenes:
        rng = random.Random(f"caption {scene.seed}")
        prompts.append(caption(scene, rng, style, num_frames=num_frames, fps=fps))
    return prompts


def moving_scenes(motions: Sequence[str], count: int, **shape: Any) -> list[Scene]:
    """The first `count` test scenes of one object, the motions in turn."""
    scenes = []
    for i in range(count):
        motion = motions[i % len(motions)]
        scenes.append(sample_scene(TEST_SEEDS + i, motion=motion, **shape))
    return scenes


def pairs(number: int, split: str = "seen", collide: bool = False, **shape: Any) -> list[Scene]:
    """The first test scenes of two objects that collide, or that do not, and are told apart."""
    family = "collision" if collide else "pair"
    seed = TEST_SEEDS
    found: list[Scene] = []
    while len(found) < number:
        scene = sample_scene(seed, family, split, **shape)
        seed += 1
        if tells_apart(scene, **shape):
            found.append(scene)
    return found


def tells_apart(scene: Scene, **shape: Any) -> bool:
    """Whether the prompt of two objects gives each its own colour, and says on which side it is."""
    (prompt,) = test_prompts([scene], **shape)
    asked = parse(prompt)
    colors = {thing.color for thing in asked.objects} - {None}
    ordered = scene.collides or asked.relation is not None
    return len(colors) == 2 and ordered


def sentence(scene: Scene) -> str:
    """Everything about a scene of one object, in a fixed order.

    Two such sentences differ in what they say and in nothing else.
    """
    (thing,) = scene.objects
    motion = MOTION_WORDS[thing.motion][0][0]
    where = background_words(scene.background, scene.texture)
    return f"a {thing.size} {thing.color} {thing.shape} {motion} on {where}"


def change_word(scene: Scene, attribute: str) -> Scene:
    """Another color, shape, motion or background; the shape–colour pair stays one of training's."""
    (thing,) = scene.objects
    seen = SHAPE_COLOR_PAIRS["seen"]
    values = {
        "color": [color for shape, color in seen if shape == thing.shape],
        "shape": [shape for shape, color in seen if color == thing.color],
        "motion": list(LASTING[:4]),
        "background": list(BACKGROUND_COLORS),
    }
    owner = scene if attribute == "background" else thing
    others = [value for value in values[attribute] if value != getattr(owner, attribute)]
    chosen = random.Random(f"{attribute} {scene.seed}").choice(others)
    if attribute == "background":
        return replace(scene, background=chosen)
    change: dict[str, Any] = {attribute: chosen}
    return replace(scene, objects=(replace(thing, **change),))


# ---------------------------------------------------------------------------- generating in batches


def noise(seed: int, index: int) -> torch.Generator:
    """The source of noise of batch `index`; two seeds share no noise, however near they are."""
    digest = hashlib.sha256(f"noise {seed} {index}".encode()).digest()
    number = int.from_bytes(digest[:4], "little")
    return torch.Generator().manual_seed(number)


def in_batches(
    function: Callable[..., torch.Tensor],
    *columns: Sequence[Any] | torch.Tensor,
    seed: int | None = None,
    **options: Any,
) -> torch.Tensor:
    """Call a function for 40 rows of every column at a time, and join what comes back.

    Args:
        function: (part of every column, options) → tensor.
        seed: each batch is given a `generator` of its own; none where None.
    """
    parts = []
    starts = range(0, len(columns[0]), BATCH)
    for index, start in enumerate(starts):
        rows = [column[start : start + BATCH] for column in columns]
        if seed is not None:
            options["generator"] = noise(seed, index)
        part = function(*rows, **options)
        parts.append(part.cpu())
    return torch.cat(parts)


def generate_clips(
    model: MiniSora,
    prompts: Sequence[str],
    seed: int = 0,
    **options: Any,
) -> torch.Tensor:
    """Videos (B, 3, T, H, W), one for each prompt. options: of `MiniSora.generate`."""
    return in_batches(model.generate, prompts, seed=seed, **options)


def denoise_clips(
    model: MiniSora,
    videos: torch.Tensor,
    prompts: Sequence[str],
    sigma: Sequence[float],
    seed: int = 0,
    **options: Any,
) -> torch.Tensor:
    """Denoise videos again, latent frame k from noise level sigma[k]: 0 is kept, 1 is anew.

    [0, 0, 1, 1, 1] goes on from the first five frames; 0.7 everywhere is SDEdit (arXiv:2108.01073).
    """

    levels = torch.tensor(sigma)

    def denoise(video: torch.Tensor, texts: list[str], **own: Any) -> torch.Tensor:
        return tasks.denoise_video(model, video, levels, texts, **own)

    return in_batches(denoise, videos, prompts, seed=seed, **options)


def extend_clips(
    model: MiniSora,
    prompts: Sequence[str],
    num_frames: int,
    seed: int = 0,
    upsample: bool = True,
    **options: Any,
) -> torch.Tensor:
    """Clips of `num_frames`: `generate`, then `extend` by what is missing."""

    def longer(texts: list[str], **own: Any) -> torch.Tensor:
        video = model.generate(texts, upsample=upsample, **own)
        missing = num_frames - video.shape[2]
        return tasks.extend(model, video, missing, texts, **own)

    return in_batches(longer, prompts, seed=seed, **options)


def round_trip(model: MiniSora, videos: torch.Tensor) -> torch.Tensor:
    """Videos as the compressor gives them back."""

    def encode_decode(part: torch.Tensor) -> torch.Tensor:
        return model.decode(model.encode(part))

    return in_batches(encode_decode, videos)


# ----------------------------------------------------------------------------------------- judging


def verdicts_of(
    videos: torch.Tensor,
    asked: Sequence[str | PromptSpec],
    fps: float = FPS,
) -> list[Verdict]:
    """Hold each clip (3, T, H, W) against its prompt, or against what a prompt asks for."""
    verdicts = []
    for video, request in zip(videos, asked, strict=True):
        if isinstance(request, str):
            request = parse(request)
        verdicts.append(verdict(read(video, fps), request))
    return verdicts


def track_of(video: torch.Tensor, color: str, fps: float = FPS) -> torch.Tensor:
    """Centre (T, 2) of what has this colour in a clip, nan where the judge sees none."""
    reading = read(video, fps)
    return track_in(reading, color, video.shape[1])


def track_in(reading: Reading, color: str, num_frames: int) -> torch.Tensor:
    """As `track_of`, from a clip of `num_frames` that was read before."""
    for thing in reading.objects:
        if thing.color == color:
            return thing.positions
    return torch.full((num_frames, 2), torch.nan)
