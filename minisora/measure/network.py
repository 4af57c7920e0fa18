"""Questions to the transformer itself: where attention goes, what a word changes, the loss.

clip, prompt, sigma ── one forward pass ──► attention maps (depth, heads, N, N) and (…, N, S)
prompt, seed ── leave out one word at a time ──► changes of the velocity (words, noise levels, N)
latents, prompts ── one noise level for all tokens ──► loss of the velocity at that level
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn as nn

from minisora.device import autocast
from minisora.flow import add_noise, sigma_schedule, velocity_of
from minisora.layers import Attention
from minisora.patchify import Size, grid_of, patchify, positions_of
from minisora.pipeline import MiniSora
from minisora.sampling import euler, guided

SIGMAS = (0.125, 0.375, 0.625, 0.875)  # the middles of the four quarters of [0, 1]
STEPS = 8  # of the walk on which words are compared
COMPARED = (0, 4, 7)  # its steps at which they are: σ = 1, 0.75 and 0.3 at the preset's shift


@dataclass(frozen=True)
class AttentionMaps:
    """What every token attended to in one forward pass; every row of a map sums to one."""

    self_maps: torch.Tensor  # (depth, heads, N, N)
    cross_maps: torch.Tensor  # (depth, heads, N, S)
    words: list[str]  # S
    grid: Size


@contextmanager
def record_attention(network: nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    """Collect the map of every attention layer while the network runs, through forward hooks.

    Use it as `with record_attention(dit) as maps:`. What runs inside fills the dict: the name of a
    layer, as "blocks.0.attention" → the map of its last call (B, heads, N, M), whose rows sum to
    one.
    """
    maps: dict[str, torch.Tensor] = {}

    def keep(name: str, module: nn.Module, inputs: Any, output: tuple[torch.Tensor, ...]) -> None:
        maps[name] = output[1].detach()

    hooks = []
    for name, layer in network.named_modules():
        if isinstance(layer, Attention):
            hooks.append(layer.attention.register_forward_hook(partial(keep, name)))
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def attention_maps(
    model: MiniSora, video: torch.Tensor, prompt: str, sigma: float, seed: int = 0
) -> AttentionMaps:
    """Put noise on a clip (3, T, H, W), run the transformer once, and keep every attention map.

    Raises:
        ValueError: a noise level outside of [0, 1], or a word that the model does not know.
    """
    if not 0 <= sigma <= 1:
        raise ValueError(
            f"sigma={sigma:g} is not a noise level; it lies between 0 (clean) and 1 (noise)"
        )
    ids = model.tokenizer([prompt])[0]
    x_0 = model.encode(video[None]).float()
    noise = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(seed)).to(x_0)
    x_t = add_noise(x_0, noise, torch.tensor(float(sigma)))
    with record_attention(model.dit) as maps:
        model.velocity(x_t, sigma, ids)
    blocks = range(len(model.dit.blocks))
    self_maps = [maps[f"blocks.{i}.attention"][0].float().cpu() for i in blocks]
    cross_maps = [maps[f"blocks.{i}.cross_attention"][0].float().cpu() for i in blocks]
    return AttentionMaps(
        self_maps=torch.stack(self_maps),
        cross_maps=torch.stack(cross_maps),
        words=[*model.tokenizer.words(prompt), "EOS"],
        grid=grid_of(x_0.shape[2:], model.dit.config.patch_size),
    )


def attention_of(
    maps: AttentionMaps, frame: int, row: int, column: int, block: int, head: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """What one token attends to: weights over the grid (t, h, w), and over the words (S,).

    Args:
        head: one head, or the mean of all where None.

    Raises:
        ValueError: a frame, row, column, block or head that is not there.
    """
    depth, heads = maps.self_maps.shape[:2]
    t, h, w = maps.grid
    for name, value, count in (
        ("frame", frame, t),
        ("row", row, h),
        ("column", column, w),
        ("block", block, depth),
        ("head", head or 0, heads),
    ):
        if not 0 <= value < count:
            raise ValueError(f"{name} {value} is not there; {name}s count from 0 to {count - 1}")
    token = (frame * h + row) * w + column
    chosen = slice(None) if head is None else slice(head, head + 1)
    weights = maps.self_maps[block, chosen, token].mean(0)
    return weights.reshape(maps.grid), maps.cross_maps[block, chosen, token].mean(0)


def at_scales(
    model: MiniSora,
    prompt: str,
    negative_prompt: str,
    scales: Sequence[float],
    num_inference_steps: int | None = None,
    seed: int = 0,
    upsample: bool = True,
) -> torch.Tensor:
    """Make one clip for each guidance scale, (G, 3, T, H, W), all from the same noise."""
    videos = [
        model.generate(
            prompt,
            upsample=upsample,
            negative_prompt=negative_prompt,
            guidance_scale=scale,
            num_inference_steps=num_inference_steps,
            generator=torch.Generator().manual_seed(seed),
        )
        for scale in scales
    ]
    return torch.cat(videos)


@torch.no_grad()
def word_changes(
    model: MiniSora, prompt: str, seed: int = 0
) -> tuple[list[str], torch.Tensor, Size]:
    """Leave out one word at a time, and measure how far the velocity of every token moves.

    The noisy tokens are those of a walk under the whole prompt, at three noise levels.

    Returns:
        The words; the changes (words, levels, N), each a root mean square over a token's numbers;
        and the grid of the tokens.

    Raises:
        ValueError: a word that the model does not know.
    """
    preset, patch = model.preset, model.dit.config.patch_size
    words = model.tokenizer.words(prompt)
    shorter = [" ".join(words[:i] + words[i + 1 :]) for i in range(len(words))]
    texts = [prompt, *shorter]
    ids = model.tokenizer(texts)[0].to(model.device)
    shape = model.vae.latent_shape(preset.num_frames, preset.height, preset.width)
    grid = grid_of(shape, patch)
    positions = positions_of(grid, device=model.device)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, preset.vae.latent_channels, *shape, generator=generator)
    sigmas = sigma_schedule(STEPS, preset.shift, model.device)
    stops: list[torch.Tensor] = []
    with autocast(model.device, model.dtype):
        embeds = model.text.read(ids, grid)
        whole = tuple(part[:1] for part in embeds)
        euler(
            guided(model.dit, positions, whole, whole, 1.0),
            patchify(noise, patch).to(model.device),
            sigmas,
            callback=lambda step, sigma, tokens, x_0: stops.append(tokens),
        )
        rows = []
        for step in COMPARED:
            tokens = stops[step].expand(len(texts), -1, -1)
            sigma = sigmas[step].expand(tokens.shape[:2])
            rows.append(model.dit(tokens, sigma, positions, *embeds).float())
    velocity = torch.stack(rows, dim=1)  # (texts, levels, N, P)
    changes = (velocity[1:] - velocity[:1]).square().mean(-1).sqrt()
    return words, changes.cpu(), grid


def word_importance(model: MiniSora, prompt: str, seed: int = 0) -> list[tuple[str, float]]:
    """Word → its fraction of all the change that leaving words out makes.

    The mean over three noise levels; the fractions sum to 1.
    """
    words, changes, _ = word_changes(model, prompt, seed)
    moved = changes.square().mean(-1).sqrt()  # (words, levels)
    fractions = (moved / moved.sum(0).clamp(min=1e-12)).mean(-1)
    return list(zip(words, fractions.tolist(), strict=True))


@torch.no_grad()
def loss_by_sigma(
    model: MiniSora, latents: torch.Tensor, ids: torch.Tensor, sigmas: Sequence[float] = SIGMAS
) -> list[float]:
    """Mean squared error of the velocity with all tokens at one noise level, a level at a time.

    The noise is the same at every call.

    Args:
        latents: (B, Cz, Tz, Hz, Wz), normalised. ids: (B, S) of their captions.
    """
    x_0 = latents.to(model.device).float()
    noise = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(0)).to(x_0)
    losses = []
    with autocast(model.device, model.dtype):
        for sigma in sigmas:
            velocity = model.velocity(add_noise(x_0, noise, torch.tensor(sigma)), sigma, ids)
            losses.append((velocity - velocity_of(x_0, noise)).square().mean().item())
    return losses
