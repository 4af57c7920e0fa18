"""Latents for people: one fixed set of colours for each model, and a way between two noises.

    latents (Cz, Tz, Hz, Wz) ── latents_to_rgb ──► video of colours (3, Tz, Hz, Wz) in [-1, 1]

Two pictures of latents can only be compared where a colour means the same in both. So the colours
belong to the model and not to the clip: `latent_basis` finds them once, from the same clips.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F

from minisora.config import GUIDANCE_SCALE
from minisora.device import autocast
from minisora.flow import sigma_schedule
from minisora.patchify import grid_of, patchify, positions_of, unpatchify
from minisora.pipeline import MiniSora
from minisora.sampling import euler, guided
from minisora.world.dataset import ToyWorld

CLIPS = 32  # of the world's first scenes, from which a basis is made


@dataclass(frozen=True, eq=False)
class LatentBasis:
    """The principal axes of a model's latent cells, the one of largest deviation first."""

    mean: torch.Tensor  # (Cz,)
    axes: torch.Tensor  # (Cz, Cz): a row is a direction; its largest component is positive
    std: torch.Tensor  # (Cz,): standard deviation of the cells along each


@lru_cache(maxsize=4)
def latent_basis(model: MiniSora) -> LatentBasis:
    """Find the principal axes of the latents of CLIPS clips, the same ones every time.

    A model whose compressor is trained further keeps the basis of its first call.

    Returns:
        The basis, on the CPU.
    """
    preset = model.preset
    world = ToyWorld(
        world=preset.world,
        num_frames=preset.num_frames,
        height=preset.height,
        width=preset.width,
        fps=preset.fps,
    )
    batch = world.batch(0, CLIPS)
    latents = model.encode(batch.videos)  # (B, Cz, Tz, Hz, Wz)
    latents = latents.float().cpu()
    cells = latents.movedim(1, -1).flatten(0, -2)  # (cells, Cz)
    mean = cells.mean(0)
    _, values, axes = torch.linalg.svd(cells - mean, full_matrices=False)
    std = values / len(cells) ** 0.5
    where = axes.abs().argmax(1, keepdim=True)
    largest = axes.gather(1, where)  # (Cz, 1)
    return LatentBasis(mean, axes * largest.sign(), std)


def latents_to_rgb(latents: torch.Tensor, basis: LatentBasis) -> torch.Tensor:
    """Show normalised latents (Cz, Tz, Hz, Wz) as colours (3, Tz, Hz, Wz) in [-1, 1].

    Red, green and blue are the first three axes of the basis, from −2 to 2 standard deviations.
    """
    mean = basis.mean[:, None, None, None]
    std = basis.std[:3, None, None, None]
    away = latents.float().cpu() - mean
    along = torch.einsum("ac,cthw->athw", basis.axes[:3], away)
    colors = along / (2 * std)
    return colors.clamp(-1, 1)


def slerp(start: torch.Tensor, end: torch.Tensor, fraction: float) -> torch.Tensor:
    """Go from one noise to another along a sphere, so that the result is noise as well.

    sin((1 − f) θ) / sin θ · start + sin(f θ) / sin θ · end, where θ is the angle between the two.

    Args:
        start, end: Gaussian noise of one shape.
        fraction: 0 is the start, 1 the end.
    """
    cosine = F.cosine_similarity(start.flatten(), end.flatten(), dim=0)
    angle = cosine.clamp(-1, 1).acos()
    if angle < 1e-4:  # nearly the same noise: a straight line will do
        return torch.lerp(start, end, fraction)
    of_start = torch.sin((1 - fraction) * angle)
    of_end = torch.sin(fraction * angle)
    between = of_start * start + of_end * end
    return between / torch.sin(angle)


@torch.no_grad()
def clips_from_noise(
    model: MiniSora,
    prompt: str,
    noise: torch.Tensor,
    num_inference_steps: int,
) -> torch.Tensor:
    """Sample clips of one prompt from noise that the caller chose, as `denoise` does from a draw.

    Args:
        prompt: as typed.
        noise: (B, Cz, Tz, Hz, Wz).
        num_inference_steps: steps of Euler's sampler.

    Returns:
        videos (B, 3, T, H, W) in [-1, 1], on the CPU.
    """
    device = model.device
    patch = model.dit.config.patch_size
    grid = grid_of(noise.shape[2:], patch)
    positions = positions_of(grid, device=device)
    sigmas = sigma_schedule(num_inference_steps, model.preset.shift, device)
    ids, _ = model.tokenizer([prompt, ""])  # the second is the null prompt
    prompt_ids, null_ids = ids.to(device)
    with autocast(device, model.dtype):
        asked = model.text.read(prompt_ids.expand(len(noise), -1), grid)
        null = model.text.read(null_ids.expand(len(noise), -1), grid)
        velocity = guided(model.dit, positions, asked, null, GUIDANCE_SCALE)
        tokens = patchify(noise.to(device), patch)
        tokens = euler(velocity, tokens, sigmas)
        latents = unpatchify(tokens, grid, patch)
        return model.decode(latents).cpu()
