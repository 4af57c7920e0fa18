"""DDPM, the older way from data to noise, to compare with rectified flow."""

import math

import torch


def alphas_cumprod(schedule: str = "cosine", num_train_timesteps: int = 1000) -> torch.Tensor:
    """ᾱ for every timestep, float64: "linear" as arXiv:2006.11239, section 4; "cosine" as Eq. (17), arXiv:2102.09672."""
    if schedule == "linear":
        betas = torch.linspace(1e-4, 0.02, num_train_timesteps, dtype=torch.float64)
    elif schedule == "cosine":
        level = lambda i: math.cos((i / num_train_timesteps + 0.008) / 1.008 * math.pi / 2) ** 2
        steps = [min(1 - level(i + 1) / level(i), 0.999) for i in range(num_train_timesteps)]
        betas = torch.tensor(steps, dtype=torch.float64)
    else:
        raise ValueError(f"schedule={schedule!r} is not known; it is linear or cosine")
    return (1 - betas).cumprod(0)


def v_from(x_0: torch.Tensor, noise: torch.Tensor, alpha_bar: torch.Tensor) -> torch.Tensor:
    """DDPM's counterpart of the velocity: v = √ᾱ noise − √(1 − ᾱ) x_0. Appendix D of arXiv:2202.00512."""
    return alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * x_0


def clean_and_noise_from_v(
    x_t: torch.Tensor, v: torch.Tensor, alpha_bar: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Undo `v_from`: x_0 = √ᾱ x_t − √(1 − ᾱ) v and noise = √(1 − ᾱ) x_t + √ᾱ v."""
    a, s = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    return a * x_t - s * v, s * x_t + a * v
