"""The way from data to noise, and what a network has to learn about it.

Rectified flow (arXiv:2209.03003; Stable Diffusion 3, arXiv:2403.03206), the one that everything here uses:

    x_t = (1 − σ) x_0 + σ noise        x_0 clean, x_t the mixture at level σ (the literature's t), which may differ from token to token
    velocity = dx_t / dσ = noise − x_0

(The library flow_matching counts the other way: its t is 1 − σ and its velocity has the opposite sign.) Below it the older way,
DDPM (arXiv:2006.11239), for comparison: x_t = √ᾱ x_0 + √(1 − ᾱ) noise, in 1000 timesteps, each of which replaces a share β of the
variance by noise; ᾱ is the share of the clean variance that is left.
"""

import torch

# -------------------------------------------------------------------------------------------------------- rectified flow


def add_noise(x_0: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Mix clean values and noise: x_t = (1 − σ) x_0 + σ noise. sigma broadcasts against x_0. Eq. (13), arXiv:2403.03206."""
    return (1 - sigma) * x_0 + sigma * noise


def velocity_of(x_0: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """The target: noise − x_0."""
    return noise - x_0


def clean_from_velocity(
    x_t: torch.Tensor, velocity: torch.Tensor, sigma: torch.Tensor
) -> torch.Tensor:
    """The guess of the clean values: x_0 = x_t − σ velocity."""
    return x_t - sigma * velocity


def noise_from_velocity(
    x_t: torch.Tensor, velocity: torch.Tensor, sigma: torch.Tensor
) -> torch.Tensor:
    """The guess of the noise: x_t + (1 − σ) velocity."""
    return x_t + (1 - sigma) * velocity


def shift_sigma(sigma: torch.Tensor, shift: float) -> torch.Tensor:
    """Move noise levels towards noise: σ ← s·σ / (1 + (s − 1)·σ). Eq. (23), arXiv:2403.03206; s = 1 changes nothing."""
    return shift * sigma / (1 + (shift - 1) * sigma)


def sigma_schedule(num_inference_steps: int, shift: float = 1.0, device=None) -> torch.Tensor:
    """Noise levels from 1 down to 0, (steps + 1,), evenly spaced and then shifted.

    Raises:
        ValueError: fewer than one step.
    """
    if num_inference_steps < 1:
        raise ValueError(
            f"num_inference_steps={num_inference_steps} is too few; 1 is the least, 20 is usual"
        )
    return shift_sigma(torch.linspace(1, 0, num_inference_steps + 1, device=device), shift)


def flow_loss(
    velocity: torch.Tensor, x_0: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor
) -> torch.Tensor:
    """Mean squared error of the velocity per token, (B, N), zero for tokens that are given.

    Args:
        velocity, x_0, noise: (B, N, P). sigma: (B, N). Eq. (1) of arXiv:2209.03003.
    """
    return (velocity - velocity_of(x_0, noise)).square().mean(-1) * (sigma > 0)


# ------------------------------------------------------------------------------------------------------ DDPM, to compare
