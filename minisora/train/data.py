"""What trainings read: sources of clips, buckets of one size each, cached latents."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from tqdm.auto import tqdm

from minisora.config import Preset
from minisora.device import autocast
from minisora.measure.clips import test_scenes
from minisora.text import PAD, Tokenizer
from minisora.train.folder import Folder
from minisora.vae import VideoVAE
from minisora.world.captions import VOCABULARY, caption, detailed_caption
from minisora.world.dataset import ToyWorld
from minisora.world.render import render


@dataclass
class Latents:
    """Clips of one size that were encoded once: what the other trainings read."""

    latents: torch.Tensor  # (M, Cz, Tz, Hz, Wz), normalised, float16
    ids: torch.Tensor  # (M, captions a clip, S) word numbers, padded with 0
    share: float = 1.0  # of the steps, beside clips of other sizes
    paired: bool = False  # whether caption 2j + 1 is caption 2j with places, as in the toy world

    def draw(
        self, batch_size: int, generator: torch.Generator, detailed_fraction: float | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """A batch: latents (B, Cz, Tz, Hz, Wz), ids and attention_mask (B, S) of one of each clip's captions, with places in this share of them
        where captions come in pairs (None: every caption is as likely as another)."""
        device = generator.device
        rows = torch.randint(
            len(self.latents), (batch_size,), generator=generator, device=device
        ).cpu()
        which = torch.randint(
            self.ids.shape[1], (batch_size,), generator=generator, device=device
        ).cpu()
        if self.paired and detailed_fraction is not None:
            which = (
                which // 2 * 2
                + (
                    torch.rand(batch_size, generator=generator, device=device) < detailed_fraction
                ).cpu()
            )
        ids = self.ids[rows, which].to(device).long()
        return self.latents[rows].to(device).float(), ids, ids != PAD


@torch.no_grad()
def cache_latents(
    vae: VideoVAE,
    tokenizer: Tokenizer,
    clips: Callable[[int, int], tuple[torch.Tensor, list[list[str]]]],
    count: int,
    progress: bool = True,
    chunk: int = 32,
    share: float = 1.0,
    paired: bool = False,
    measure: bool = True,
) -> Latents:
    """Encode `count` clips, measure the latents' mean and standard deviation into the VAE (unless not `measure`), and keep them normalised.

    Args:
        clips: (start, size) → videos (size, 3, T, H, W) in [-1, 1] and as many captions for every clip. share, paired: see `Latents`.
    """
    device = next(vae.parameters()).device
    means, captions = [], []
    bar = tqdm(total=count, desc="latents", unit="clip", disable=not progress)
    for start in range(0, count, chunk):
        videos, several = clips(start, min(chunk, count - start))
        with autocast(device):
            means.append(vae.encode(videos.to(device)).mean.cpu())
        captions += several
        bar.update(len(videos))
    bar.close()
    latents = torch.cat(means)
    if measure:
        vae.latents_mean.copy_(latents.mean((0, 2, 3, 4)))
        vae.latents_std.copy_(latents.std((0, 2, 3, 4)))
    latents = vae.cpu().normalise(latents).half()
    vae.to(device)
    ids, _ = tokenizer([prompt for several in captions for prompt in several])
    return Latents(latents, ids.view(count, -1, ids.shape[-1]).to(torch.int16), share, paired)


def _pick(shares: torch.Tensor, generator: torch.Generator) -> int:
    """The number of one of several sizes, each drawn as often as its share says."""
    return (
        int(torch.multinomial(shares.to(generator.device), 1, generator=generator))
        if len(shares) > 1
        else 0
    )


SAMPLE_PROMPTS = [  # drawn from one seed at every look, so that the pictures can be compared
    "a large red circle bouncing on a navy background",
    "a small yellow star spinning on a black grid",
    "a large green heart growing on a white gradient",
    "a red ring hits a blue square from the left on a black background",
]


def world_of(preset: Preset, size: tuple[int, int, int] | None = None, **options) -> ToyWorld:
    """The toy world as a preset wants it. size: frames, rows, columns; the preset's where None."""
    num_frames, height, width = size or (preset.num_frames, preset.height, preset.width)
    return ToyWorld(
        pair_fraction=preset.pair_fraction,
        num_frames=num_frames,
        height=height,
        width=width,
        fps=preset.fps,
        **options,
    )


def render_pool(world: ToyWorld, count: int) -> torch.Tensor:
    """The first `count` clips as (count, 3, T, H, W) uint8."""
    chunks = [
        render([world.scene(j) for j in range(i, min(i + 64, count))], **world.shape)
        for i in range(0, count, 64)
    ]
    return torch.cat([((chunk + 1) * 127.5).round().byte() for chunk in chunks])


@dataclass(frozen=True)
class Bucket:
    """Clips of one size for the stages after the compressor."""

    clips: Callable[
        [int, int], tuple[torch.Tensor, list[list[str]]]
    ]  # (start, how many) → videos in [-1, 1] and their captions
    count: int  # how many there are
    share: float = 1.0  # of the transformer's steps


@dataclass(frozen=True)
class Source:
    """Where a training takes its clips from."""

    vocabulary: tuple[str, ...]
    pools: Callable[
        [int], list[torch.Tensor]
    ]  # how many of the first size at most → (M, 3, T, H, W) uint8 of every size, for the compressor
    buckets: list[Bucket]  # the first is the preset's own size
    held_back: torch.Tensor  # (B, 3, T, H, W) in [-1, 1], to measure the compressor on
    samples: list[str]  # prompts of the pictures at every look
    judged: bool  # whether these are clips of the toy world: the judge can read them, and captions come in pairs, without places and with


def world_source(preset: Preset) -> Source:
    """The toy world, without end, in the preset's size and in the others."""
    world, others = world_of(preset), preset.other_sizes
    worlds = [
        world,
        *(world_of(preset, size, first_seed=(i + 1) * 10_000_000) for i, size in enumerate(others)),
    ]

    if preset.captions_per_clip % 2:
        raise ValueError(
            f"captions_per_clip={preset.captions_per_clip} is odd; in the toy world every sentence comes without places and with them"
        )

    def clips(world: ToyWorld, start: int, count: int):
        scenes = [world.scene(i) for i in range(start, start + count)]
        forms = caption, partial(detailed_caption, **world.shape)
        several = [
            [
                form(s, random.Random(f"{k} {s.seed}"))
                for k in range(0, preset.captions_per_clip, 2)
                for form in forms
            ]
            for s in scenes
        ]
        return render(scenes, **world.shape), several

    shares = [1 - preset.other_fraction * len(others)] + [preset.other_fraction] * len(others)
    cells = [
        (w.shape["num_frames"] + 3) // 4 * w.shape["height"] * w.shape["width"] for w in worlds
    ]  # the smaller, the more clips
    counts = lambda most: [
        max(int(most * s / shares[0] * cells[0] / n), 1) for s, n in zip(shares, cells, strict=True)
    ]
    buckets = [
        Bucket(partial(clips, w), *numbers)
        for w, *numbers in zip(worlds, counts(preset.cached_clips), shares, strict=True)
    ]
    pools = lambda most: [
        render_pool(w, count) for w, count in zip(worlds, counts(most), strict=True)
    ]
    held_back = render(test_scenes("solo", "seen", 64) + test_scenes("pair", "seen", 64))
    return Source(VOCABULARY, pools, buckets, held_back, SAMPLE_PROMPTS, True)


def folder_source(folder: Folder) -> Source:
    """A reader's own clips; of twenty or more, every tenth is held back."""
    rows = torch.arange(len(folder.videos))
    kept = rows[rows % 10 != 0] if len(rows) >= 20 else rows
    most = max(len(several) for several in folder.captions)

    def clips(start: int, count: int):
        picks = kept[start : start + count].tolist()
        several = [(folder.captions[i] * most)[:most] for i in picks]  # as many for each
        return folder.videos[picks].float() / 127.5 - 1, several

    held_back = folder.videos[rows[rows % 10 == 0]][:128].float() / 127.5 - 1
    samples = list(dict.fromkeys(several[0] for several in folder.captions))[:4]
    return Source(
        folder.vocabulary,
        lambda most: [folder.videos[kept[:most]]],
        [Bucket(clips, len(kept))],
        held_back,
        samples,
        False,
    )
