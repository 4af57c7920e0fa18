"""The four trainings. Each is a batch and a loss; `loop.fit` does the rest.

    1 train_vae        video → reconstruction                         (compressor)
    2 train_language   latents + captions → a clip finds its caption  (text encoder)
    3 train_upsampler  plain captions → detailed captions             (prompt upsampler)
    4 train_dit        latents + captions → velocity                  (transformer)

Latents are encoded once, between 1 and 2, and kept: `data.Latents`.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F

from minisora.config import Preset
from minisora.device import compiled, is_gpu
from minisora.dit import DiT
from minisora.flow import add_noise, flow_loss
from minisora.masks import MASKS, draw_sigma
from minisora.patchify import Size, grid_of, patchify, positions_of
from minisora.text import EOS, PAD, TextEncoder
from minisora.train.contrastive import TextVideoPair
from minisora.train.data import Latents, draw_size, fractions_of_sizes
from minisora.train.loop import Figures, fit
from minisora.upsampler import PromptUpsampler
from minisora.vae import VideoVAE

# ------------------------------------------------------------------------------------- 1 compressor


def train_vae(
    vae: VideoVAE,
    videos: torch.Tensor | Sequence[torch.Tensor],
    preset: Preset,
    run_dir: str | Path,
    compile: bool = False,
    **options: Any,
) -> list[dict]:
    """Teach the compressor to give back its input.

    The loss is the mean squared error + kl_weight · KL, per number of a clip.

    Args:
        videos: (M, 3, T, H, W) uint8; batches are drawn from these. Of several sizes, each one
            after the first has `other_fraction` of the steps.
        compile: see `device.compiled`; for the first size only. options: of `fit`.
    """
    if isinstance(videos, torch.Tensor):
        videos = [videos]
    pools = list(videos)
    config = preset.train_vae
    networks = compiled_for_sizes(vae, compile, len(pools), every=False)
    fractions = fractions_of_sizes(len(pools), preset.other_fraction)

    def loss_of(step: int, generator: torch.Generator) -> tuple[torch.Tensor, Figures]:
        size = draw_size(fractions, generator)
        video = draw_videos(pools[size], config.batch_size, generator)
        B, _, T, H, W = video.shape
        cells = vae.latent_shape(T, H, W)
        shape = (B, vae.config.latent_channels, *cells)
        noise = torch.randn(shape, generator=generator, device=video.device)

        decoded, kl = networks[size](video, noise)
        error = F.mse_loss(decoded, video)
        kl = kl.mean()
        numbers = video[0].numel()
        loss = error + preset.kl_weight * kl / numbers
        return loss, {"mse": error, "kl": kl}

    return fit("vae", vae, loss_of, config, run_dir, **options)


def compiled_for_sizes(
    network: nn.Module,
    compile: bool,
    sizes: int,
    every: bool,
) -> list[Any]:
    """A network for each of several sizes, compiled for every one or for the first alone.

    A size after the first may take longer to compile than it saves in its few steps.
    """
    first = compiled(network, compile)
    other = first if every else network
    return [first] + [other] * (sizes - 1)


def draw_videos(pool: torch.Tensor, batch_size: int, generator: torch.Generator) -> torch.Tensor:
    """Draw clips from a pool (M, 3, T, H, W) uint8: (B, 3, T, H, W) in [-1, 1]."""
    device = generator.device
    rows = torch.randint(len(pool), (batch_size,), generator=generator, device=device)
    videos = pool[rows.to(pool.device)]
    return videos.to(device).float() / 127.5 - 1


# ----------------------------------------------------------------------------------- 2 text encoder


def train_language(
    pair: TextVideoPair,
    data: Latents,
    preset: Preset,
    run_dir: str | Path,
    **options: Any,
) -> list[dict]:
    """Teach the text encoder what words look like: a caption is near its clip, far from others."""
    config = preset.train_language

    def loss_of(step: int, generator: torch.Generator) -> tuple[torch.Tensor, Figures]:
        batch = data.draw(config.batch_size, generator)
        loss, accuracy = pair(*batch)
        return loss, {"own caption nearest": accuracy}

    return fit("text", pair, loss_of, config, run_dir, **options)


# ------------------------------------------------------------------------------- 3 prompt upsampler


def train_upsampler(
    upsampler: PromptUpsampler,
    data: Latents,
    preset: Preset,
    run_dir: str | Path,
    **options: Any,
) -> list[dict]:
    """Teach the upsampler what a detailed caption adds to its plain one; it sees no clip."""
    config = preset.train_upsampler

    def loss_of(step: int, generator: torch.Generator) -> tuple[torch.Tensor, Figures]:
        plain, detailed = data.draw_pairs(config.batch_size, generator)
        return upsampler.loss(plain, detailed), {}

    return fit("upsampler", upsampler, loss_of, config, run_dir, **options)


# ------------------------------------------------------------------------------------ 4 transformer

NOISE_BINS = (0.25, 0.5, 0.75, 1.0)  # upper edges
NO_MASK = {"none": 1.0}  # text to video alone


def train_dit(
    model: nn.ModuleDict,
    data: Latents | Sequence[Latents],
    preset: Preset,
    run_dir: str | Path,
    compile: bool = False,
    masks: dict[str, float] = MASKS,
    **options: Any,
) -> list[dict]:
    """Teach the transformer the velocity of every token.

    The first `curriculum_steps` are text to video in the preset's own size, with one noise level a
    clip; after them every mask and every size is drawn.

    Args:
        model: {"text": TextEncoder, "dit": DiT}; the text encoder goes on learning.
        data: clips of one size, or of several. compile: see `device.compiled`.
        masks: which tokens are clean, see `draw_sigma`. options: of `fit`.
    """
    text, dit = model["text"], model["dit"]
    assert isinstance(text, TextEncoder) and isinstance(dit, DiT)
    patch_size = dit.config.patch_size
    if isinstance(data, Latents):
        data = [data]
    batches = Batches(data, patch_size, preset)
    device = next(dit.parameters()).device
    on_cpu = not is_gpu(device)
    networks = compiled_for_sizes(dit, compile, len(data), every=on_cpu)
    readers = compiled_for_sizes(text, compile, len(data), every=on_cpu)

    def loss_of(step: int, generator: torch.Generator) -> tuple[torch.Tensor, Figures]:
        early = step < preset.curriculum_steps
        size, latents, ids = batches.draw(early, generator)
        grid = grid_of(latents.shape[2:], patch_size)
        x_0 = patchify(latents, patch_size)  # (B, N, P)
        noise = torch.randn(x_0.shape, generator=generator, device=x_0.device)
        chosen = NO_MASK if early else masks
        sigma = draw_sigma(len(x_0), grid, generator, preset.shift, chosen)  # (B, N)
        augmented = augment_clean(sigma, preset.noise_augmentation, generator)

        x_t = add_noise(x_0, noise, augmented[..., None])
        told = sigma
        if early and on_cpu:  # on a GPU the network would be compiled for this shape as well
            told = sigma[:, :1]  # the one level of a clip, embedded once
        positions = positions_of(grid, device=x_0.device)
        condition = readers[size].read(ids, grid)
        velocity = networks[size](x_t, told, positions, *condition)

        error = flow_loss(velocity, x_0, noise, sigma)  # (B, N), zero for clean tokens
        loss = error.sum() / (sigma > 0).sum()
        return loss, _by_noise_level(error.detach(), sigma)

    return fit("dit", model, loss_of, preset.train_dit, run_dir, **options)


class Batches:
    """Draws the transformer's batches, each of one size, with as much work in one as in another."""

    def __init__(self, buckets: Sequence[Latents], patch_size: Size, preset: Preset):
        self.buckets = buckets
        self.preset = preset
        self.fractions = [bucket.fraction for bucket in buckets]
        tokens = []  # of a clip: patches and words
        for bucket in buckets:
            cells = bucket.latents[0, 0].numel()
            patches = cells // math.prod(patch_size)
            words = bucket.ids.shape[-1]
            tokens.append(patches + words)
        work = preset.train_dit.batch_size * tokens[0]
        self.batch_sizes = [max(work // count, 1) for count in tokens]

    def draw(
        self, early: bool, generator: torch.Generator
    ) -> tuple[int, torch.Tensor, torch.Tensor]:
        """The number of a size, latents (B, Cz, Tz, Hz, Wz) of it, ids (B, S) of their captions."""
        preset = self.preset
        if early:
            size = 0
            detailed = preset.curriculum_detailed_fraction
        else:
            size = draw_size(self.fractions, generator)
            detailed = preset.detailed_fraction
        bucket = self.buckets[size]
        latents, ids, _ = bucket.draw(self.batch_sizes[size], generator, detailed)
        ids = drop_prompts(ids, preset.prompt_dropout_prob, generator)
        return size, latents, ids


def drop_prompts(ids: torch.Tensor, probability: float, generator: torch.Generator) -> torch.Tensor:
    """Replace some prompts, ids (B, S), by the null prompt, which guidance needs."""
    drawn = torch.rand(len(ids), generator=generator, device=ids.device)
    dropped = drawn < probability
    ids = ids.masked_fill(dropped[:, None], PAD)
    ids[:, 0].masked_fill_(dropped, EOS)
    return ids


def augment_clean(sigma: torch.Tensor, most: float, generator: torch.Generator) -> torch.Tensor:
    """Put a little noise on clean tokens, one level a clip: in a long clip they are generated, too.

    Args:
        sigma: (B, N). The network is told this one, and calls the tokens clean.
        most: the highest level, see `Preset.noise_augmentation`.
    """
    drawn = torch.rand(len(sigma), 1, generator=generator, device=sigma.device)
    level = most * drawn
    return torch.where(sigma == 0, level, sigma)


def _by_noise_level(error: torch.Tensor, sigma: torch.Tensor) -> Figures:
    """Mean error of the tokens in each quarter of the noise levels; NaN where there are none."""
    figures: dict[str, torch.Tensor] = {}
    low = 0.0
    for high in NOISE_BINS:
        inside = (sigma > low) & (sigma <= high)
        total = (error * inside).sum()
        figures[f"σ ≤ {high}"] = total / inside.sum()
        low = high
    return figures
