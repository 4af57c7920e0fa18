"""Rectified flow: the straight line from data to noise, and what a network learns about it.

    x_t = (1 − σ) x_0 + σ noise        x_0 clean; sigma (σ) is the noise level, one for every token
    velocity = dx_t / dσ = noise − x_0

Sources: arXiv:2209.03003; Stable Diffusion 3, arXiv:2403.03206. (The library flow_matching counts
the other way: its t is 1 − σ, and its velocity has the opposite sign.) The older way, DDPM, is in
compare/ddpm.py.
"""

import math

import torch

from minisora.inputs import MAX_STEPS


def add_noise(x_0: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Mix clean values and noise: x_t = (1 − σ) x_0 + σ noise. Eq. (13), arXiv:2403.03206.

    Args:
        x_0, noise: one shape, as (B, N, P).
        sigma: in [0, 1], broadcasts against them, as (B, N, 1).

    Returns:
        x_t, of the shape of x_0.
    """
    return (1 - sigma) * x_0 + sigma * noise


def velocity_of(x_0: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """The velocity of the straight line from x_0 to noise, which a network learns: noise − x_0."""
    return noise - x_0


def clean_from_velocity(
    x_t: torch.Tensor, velocity: torch.Tensor, sigma: torch.Tensor
) -> torch.Tensor:
    """Guess the clean values from a predicted velocity: x_0 = x_t − σ velocity."""
    return x_t - sigma * velocity


def noise_from_velocity(
    x_t: torch.Tensor, velocity: torch.Tensor, sigma: torch.Tensor
) -> torch.Tensor:
    """Guess the noise from a predicted velocity: noise = x_t + (1 − σ) velocity."""
    return x_t + (1 - sigma) * velocity


def shift_sigma(sigma: torch.Tensor, shift: float) -> torch.Tensor:
    """Move noise levels towards noise: σ ← s·σ / (1 + (s − 1)·σ). Eq. (23), arXiv:2403.03206.

    s = 1 changes nothing.
    """
    return shift * sigma / (1 + (shift - 1) * sigma)


def sigma_schedule(
    num_inference_steps: int, shift: float = 1.0, device: torch.device | None = None
) -> torch.Tensor:
    """Give noise levels from 1 down to 0, evenly spaced and then shifted.

    Args:
        num_inference_steps: 1 to 1000.
        shift: s of `shift_sigma`, above 0.

    Returns:
        sigmas (steps + 1,).

    Raises:
        ValueError: a number of steps outside of 1 to 1000, or a shift that is not a number above 0.
    """
    steps = num_inference_steps
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= MAX_STEPS:
        raise ValueError(
            f"num_inference_steps={steps} should be a whole number from 1 to {MAX_STEPS}; "
            "20 is usual"
        )
    if not (math.isfinite(shift) and shift > 0):
        raise ValueError(f"shift={shift} should be a number above 0; 1 changes nothing")
    return shift_sigma(torch.linspace(1, 0, steps + 1, device=device), shift)


def flow_loss(
    velocity: torch.Tensor, x_0: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor
) -> torch.Tensor:
    """Mean squared error of the predicted velocity, one per token. Eq. (1) of arXiv:2209.03003.

    Args:
        velocity: (B, N, P), predicted.
        x_0, noise: (B, N, P).
        sigma: (B, N), the noise levels.

    Returns:
        (B, N), zero for conditioning tokens, which are clean already.
    """
    error = (velocity - velocity_of(x_0, noise)).square().mean(-1)
    return error * (sigma > 0)
