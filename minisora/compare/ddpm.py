"""DDPM, the older way from data to noise, to compare with rectified flow.

    x_t = √ᾱ x_0 + √(1 − ᾱ) noise

In each of 1000 timesteps noise replaces a fraction β of the variance; ᾱ is the fraction of the
clean variance that is left (arXiv:2006.11239).
"""

import math
from itertools import pairwise

import torch


def alphas_cumprod(schedule: str = "cosine", num_train_timesteps: int = 1000) -> torch.Tensor:
    """ᾱ after every timestep, (timesteps,) float64.

    Args:
        schedule: "linear" as arXiv:2006.11239, section 4, or "cosine" as Eq. (17) of
        arXiv:2102.09672.

    Raises:
        ValueError: another schedule.
    """
    if schedule == "linear":
        betas = torch.linspace(1e-4, 0.02, num_train_timesteps, dtype=torch.float64)
    elif schedule == "cosine":
        times = [i / num_train_timesteps for i in range(num_train_timesteps + 1)]
        levels = [_cosine_level(time) for time in times]
        falls = [1 - after / before for before, after in pairwise(levels)]
        betas = torch.tensor(falls, dtype=torch.float64)
        betas = betas.clamp(max=0.999)
    else:
        raise ValueError(f"schedule={schedule!r} is not known; it is linear or cosine")
    return (1 - betas).cumprod(0)


def _cosine_level(time: float) -> float:
    """The clean variance that is left at a time from 0 to 1, but for a constant factor."""
    angle = (time + 0.008) / 1.008 * math.pi / 2
    return math.cos(angle) ** 2


def v_from(x_0: torch.Tensor, noise: torch.Tensor, alpha_bar: torch.Tensor) -> torch.Tensor:
    """DDPM's counterpart of the velocity: v = √ᾱ noise − √(1 − ᾱ) x_0.

    Appendix D of arXiv:2202.00512.
    """
    a = alpha_bar.sqrt()
    s = (1 - alpha_bar).sqrt()
    return a * noise - s * x_0


def clean_and_noise_from_v(
    x_t: torch.Tensor, v: torch.Tensor, alpha_bar: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Undo `v_from`: x_0 = √ᾱ x_t − √(1 − ᾱ) v and noise = √(1 − ᾱ) x_t + √ᾱ v."""
    a = alpha_bar.sqrt()
    s = (1 - alpha_bar).sqrt()
    x_0 = a * x_t - s * v
    noise = s * x_t + a * v
    return x_0, noise
