"""The four trainings. Each is a batch and a loss; `loop.fit` does the rest.

1 train_vae       video → reconstruction                       (compressor)
2 train_language  latents + captions → text and video meet     (language)
3 train_upsampler  plain captions → detailed captions           (prompt upsampler)
4 train_dit       latents + captions → velocity                (world model); latents are encoded once and kept
"""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F

from minisora.config import Preset
from minisora.device import compiled
from minisora.flow import add_noise, flow_loss
from minisora.masks import MASKS, draw_sigma
from minisora.patchify import grid_of, patchify, positions_of
from minisora.text import EOS, TextVideoPair
from minisora.train.data import Latents, _pick
from minisora.train.loop import fit
from minisora.upsampler import PromptUpsampler
from minisora.vae import VideoVAE

# ------------------------------------------------------------------------------------------------------------ 1 compressor


def train_vae(
    vae: VideoVAE,
    videos: torch.Tensor | Sequence[torch.Tensor],
    preset: Preset,
    run_dir: str | Path,
    compile: bool = False,
    **options,
) -> list[dict]:
    """Teach the compressor to give back what it was given: mean squared error + kl_weight · KL per number of a clip.

    Args:
        videos: (M, 3, T, H, W) uint8; batches are drawn from these. Of several sizes, each beside the first has `other_fraction` of the steps.
        compile: see `device.compiled`; for the first size only. options: of `fit`.
    """
    batch_size, weight = preset.train_vae.batch_size, preset.kl_weight
    pools = [videos] if isinstance(videos, torch.Tensor) else list(videos)
    networks = [compiled(vae, compile)] + [vae] * (len(pools) - 1)
    shares = torch.tensor(
        [1 - preset.other_fraction * (len(pools) - 1)] + [preset.other_fraction] * (len(pools) - 1)
    )

    def loss_of(step: int, generator: torch.Generator):
        which = _pick(shares, generator)
        rows = torch.randint(
            len(pools[which]), (batch_size,), generator=generator, device=generator.device
        )
        video = pools[which][rows.cpu()].to(generator.device).float() / 127.5 - 1
        latents = (vae.config.latent_channels, *vae.latent_shape(*video.shape[2:]))
        noise = torch.randn(len(video), *latents, generator=generator, device=generator.device)
        decoded, kl = networks[which](video, noise)
        error, kl = F.mse_loss(decoded, video), kl.mean()
        return error + weight * kl / video[0].numel(), {"mse": error.item(), "kl": kl.item()}

    return fit("vae", vae, loss_of, preset.train_vae, run_dir, **options)


# ----------------------------------------------------------------------------------------------------- 2, 3, 4 the prompts


def train_language(
    pair: TextVideoPair, data: Latents, preset: Preset, run_dir: str | Path, **options
) -> list[dict]:
    """Teach the text encoder what words look like: every caption beside its own clip, away from all others."""

    def loss_of(step: int, generator: torch.Generator):
        loss, accuracy = pair(*data.draw(preset.train_language.batch_size, generator))
        return loss, {"own caption nearest": accuracy.item()}

    return fit("text", pair, loss_of, preset.train_language, run_dir, **options)


def train_upsampler(
    upsampler: PromptUpsampler, data: Latents, preset: Preset, run_dir: str | Path, **options
) -> list[dict]:
    """Teach the upsampler what a detailed caption adds to its plain one; the clips themselves are not looked at."""

    def loss_of(step: int, generator: torch.Generator):
        rows = torch.randint(
            len(data.ids),
            (preset.train_upsampler.batch_size,),
            generator=generator,
            device=generator.device,
        ).cpu()
        which = (
            2
            * torch.randint(
                data.ids.shape[1] // 2, rows.shape, generator=generator, device=generator.device
            ).cpu()
        )
        plain, detailed = (data.ids[rows, which + k].to(generator.device).long() for k in (0, 1))
        return upsampler.loss(plain, detailed), {}

    return fit("upsampler", upsampler, loss_of, preset.train_upsampler, run_dir, **options)


NOISE_BINS = (0.25, 0.5, 0.75, 1.0)  # upper edges


def train_dit(
    model: nn.ModuleDict,
    data: Latents | Sequence[Latents],
    preset: Preset,
    run_dir: str | Path,
    compile: bool = False,
    kinds: dict[str, float] = MASKS,
    **options,
) -> list[dict]:
    """Teach the transformer the velocity of every token: first the basics, then whatever is given, whatever is asked for, and whatever the size.

    Args:
        model: {"text": TextEncoder, "dit": DiT}; the text encoder goes on learning.
        data: clips of one size, or of several; a step then takes one of the sizes (a bucket), and as many of its clips as have about the patches
            and words of a batch of the first size.
        compile: see `device.compiled`. kinds: what is given, see `draw_sigma`. options: of `fit`.
    """
    text, dit = model["text"], model["dit"]
    buckets = [data] if isinstance(data, Latents) else list(data)
    network, reader = compiled(dit, compile), compiled(text, compile)
    shares, patch = (
        torch.tensor([bucket.share for bucket in buckets]),
        math.prod(dit.config.patch_size),
    )
    work = [
        bucket.latents[0, 0].numel() // patch + bucket.ids.shape[-1] for bucket in buckets
    ]  # of a clip: its patches and its words

    def loss_of(step: int, generator: torch.Generator):
        basics = step < preset.curriculum_steps
        which, detailed = (
            (0, preset.curriculum_detailed_fraction)
            if basics
            else (_pick(shares, generator), preset.detailed_fraction)
        )
        latents, ids, _ = buckets[which].draw(
            max(preset.train_dit.batch_size * work[0] // work[which], 1), generator, detailed
        )
        drop = (
            torch.rand(len(ids), generator=generator, device=ids.device)
            < preset.prompt_dropout_prob
        )
        ids = torch.where(drop[:, None], torch.zeros_like(ids), ids)
        ids[drop, 0] = EOS  # the null prompt
        grid = grid_of(latents.shape[2:], dit.config.patch_size)
        x_0 = patchify(latents, dit.config.patch_size)  # (B, N, P)
        noise = torch.randn(x_0.shape, generator=generator, device=x_0.device)
        sigma = draw_sigma(
            len(x_0), grid, generator, preset.shift, {"none": 1.0} if basics else kinds
        )  # (B, N)
        slip = (
            preset.noise_augmentation
            * torch.rand(len(x_0), 1, generator=generator, device=x_0.device)
            * (sigma == 0)
        )
        x_t = add_noise(
            x_0, noise, (sigma + slip)[..., None]
        )  # what is given may be a little off: in a long clip it is the model's own work
        level = (
            sigma[:, :1] if basics else sigma
        )  # where all tokens of a clip share a level, it is embedded once
        velocity = network(
            x_t, level, positions_of(grid, device=x_0.device), *reader.read(ids, grid)
        )
        error = flow_loss(velocity, x_0, noise, sigma)  # (B, N)
        return error.sum() / (sigma > 0).sum(), _by_noise_level(error.detach(), sigma)

    return fit("dit", model, loss_of, preset.train_dit, run_dir, **options)


def _by_noise_level(error: torch.Tensor, sigma: torch.Tensor) -> dict[str, float]:
    """Mean error of the tokens in each quarter of the noise levels."""
    figures, low = {}, 0.0
    for high in NOISE_BINS:
        inside = (sigma > low) & (sigma <= high)
        if inside.any():
            figures[f"σ ≤ {high}"] = error[inside].mean().item()
        low = high
    return figures
