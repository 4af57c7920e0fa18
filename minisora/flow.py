"""The way from data to noise, and what a network has to learn about it.

Rectified flow (arXiv:2209.03003; Stable Diffusion 3, arXiv:2403.03206), the one that everything here uses:

    x_t = (1 − σ) x_0 + σ noise        x_0 clean, x_t the mixture at level σ (the literature's t), which may differ from token to token
    velocity = dx_t / dσ = noise − x_0

(The library flow_matching counts the other way: its t is 1 − σ and its velocity has the opposite sign.) Below it the older way,
DDPM (arXiv:2006.11239), for comparison: x_t = √ᾱ x_0 + √(1 − ᾱ) noise, in 1000 timesteps, each of which replaces a share β of the
variance by noise; ᾱ is the share of the clean variance that is left.
"""

import math

import torch

# -------------------------------------------------------------------------------------------------------- rectified flow


def add_noise(x_0: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Mix clean values and noise: x_t = (1 − σ) x_0 + σ noise. sigma broadcasts against x_0. Eq. (13), arXiv:2403.03206."""
    return (1 - sigma) * x_0 + sigma * noise


def velocity_of(x_0: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """The target: noise − x_0."""
    return noise - x_0


def clean_from_velocity(x_t: torch.Tensor, velocity: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """The guess of the clean values: x_0 = x_t − σ velocity."""
    return x_t - sigma * velocity


def noise_from_velocity(x_t: torch.Tensor, velocity: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
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
        raise ValueError(f"num_inference_steps={num_inference_steps} is too few; 1 is the least, 20 is usual")
    return shift_sigma(torch.linspace(1, 0, num_inference_steps + 1, device=device), shift)


KINDS = {  # share of the clips in training
    "one level": 0.5, "a level a frame": 0.15, "start given": 0.15, "end given": 0.05, "ends given": 0.05, "run given": 0.05, "box made": 0.05,
}  # fmt: skip


def draw_sigma(
    batch_size: int, grid: tuple[int, int, int], generator: torch.Generator, shift: float = 3.0, kinds: dict[str, float] = KINDS
) -> torch.Tensor:  # fmt: skip
    """Noise levels for training, one a token: what makes one network serve every prompt.

    Args:
        kinds: kind → share of the clips. "one level" has the same level throughout; "a level a frame" one of its own in every latent
            frame (diffusion forcing, arXiv:2407.01392). In the others a part is given, at level 0, and the rest has one level: "start given"
            and "end given" (one frame in half of the cases, else a random number of them), "ends given" (one or two frames and the last
            one), "run given" (a random run of frames), "box made" (everything but a random box of tokens, the same in all frames).

    Returns:
        sigma (B, N) in [0, 1], in the token order of `patchify`.

    Raises:
        ValueError: a kind that is not one of these.
    """
    (t, h, w), device = grid, generator.device
    rand = lambda *shape: torch.rand(*shape, generator=generator, device=device)  # noqa: E731
    below = lambda most: (rand(batch_size, 1) * most).floor()  # noqa: E731, whole numbers from 0 to most - 1
    one, apart = rand(batch_size, 1).expand(-1, t), rand(batch_size, t)
    frame, row, column = (torch.arange(n, device=device).expand(batch_size, -1) for n in grid)
    some = torch.where(rand(batch_size, 1) < 0.5, 1, 1 + below(t - 1))  # frames that are given
    begin, tall, wide = below(t), 1 + below(h), 1 + below(w)
    top, left = (rand(batch_size, 1) * (h - tall + 1)).floor(), (rand(batch_size, 1) * (w - wide + 1)).floor()
    inside = ((row >= top) & (row < top + tall))[:, None, :, None] & ((column >= left) & (column < left + wide))[:, None, None, :]
    whole = lambda frames: frames[:, :, None, None].expand(-1, -1, h, w)  # noqa: E731
    given = {
        "one level": whole(frame < 0), "a level a frame": whole(frame < 0),
        "start given": whole(frame < some), "end given": whole(frame >= t - some),
        "ends given": whole((frame < 1 + below(2)) | (frame == t - 1)), "run given": whole((frame >= begin) & (frame < begin + some)),
        "box made": ~inside.expand(-1, t, -1, -1),
    }  # fmt: skip
    if unknown := set(kinds) - set(given):
        raise ValueError(f"kind {unknown.pop()!r} of noise levels is not known; it is one of {', '.join(given)}")
    choice = torch.multinomial(torch.tensor(list(kinds.values()), device=device), batch_size, replacement=True, generator=generator)
    sigma = torch.zeros(batch_size, t, h, w, device=device)
    for i, name in enumerate(kinds):
        level = shift_sigma(apart if name == "a level a frame" else one, shift)[:, :, None, None]
        sigma = torch.where((choice == i)[:, None, None, None], torch.where(given[name], 0, level), sigma)
    if t == 1:  # an image that is wholly given teaches nothing
        sigma = torch.where((sigma == 0).flatten(1).all(1)[:, None, None, None], shift_sigma(one, shift)[:, :, None, None], sigma)
    return sigma.flatten(1)


def flow_loss(velocity: torch.Tensor, x_0: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Mean squared error of the velocity per token, (B, N), zero for tokens that are given.

    Args:
        velocity, x_0, noise: (B, N, P). sigma: (B, N). Eq. (1) of arXiv:2209.03003.
    """
    return (velocity - velocity_of(x_0, noise)).square().mean(-1) * (sigma > 0)


# ------------------------------------------------------------------------------------------------------ DDPM, to compare


def alphas_cumprod(schedule: str = "cosine", num_train_timesteps: int = 1000) -> torch.Tensor:
    """ᾱ for every timestep, float64: "linear" as arXiv:2006.11239, section 4; "cosine" as Eq. (17), arXiv:2102.09672."""
    if schedule == "linear":
        betas = torch.linspace(1e-4, 0.02, num_train_timesteps, dtype=torch.float64)
    elif schedule == "cosine":
        level = lambda i: math.cos((i / num_train_timesteps + 0.008) / 1.008 * math.pi / 2) ** 2  # noqa: E731
        steps = [min(1 - level(i + 1) / level(i), 0.999) for i in range(num_train_timesteps)]
        betas = torch.tensor(steps, dtype=torch.float64)
    else:
        raise ValueError(f"schedule={schedule!r} is not known; it is linear or cosine")
    return (1 - betas).cumprod(0)


def v_from(x_0: torch.Tensor, noise: torch.Tensor, alpha_bar: torch.Tensor) -> torch.Tensor:
    """DDPM's counterpart of the velocity: v = √ᾱ noise − √(1 − ᾱ) x_0. Appendix D of arXiv:2202.00512."""
    return alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * x_0


def clean_and_noise_from_v(x_t: torch.Tensor, v: torch.Tensor, alpha_bar: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Undo `v_from`: x_0 = √ᾱ x_t − √(1 − ᾱ) v and noise = √(1 − ᾱ) x_t + √ᾱ v."""
    a, s = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    return a * x_t - s * v, s * x_t + a * v
