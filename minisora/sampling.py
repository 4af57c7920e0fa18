"""From noise to tokens: samplers as plain functions of (velocity, tokens, sigmas).

A sampler walks down the noise levels. Every token has a level `start` at which it begins: 1 for what is to be made, 0 for what is
given, between for what is to be redone from a half-noised video (SDEdit, arXiv:2108.01073). On the way a token's level is min(sigma, start), so a given
token never moves, and no sampler knows what the caller has in mind.
"""

from collections.abc import Callable

import torch

from minisora.flow import clean_from_velocity, noise_from_velocity

Velocity = Callable[
    [torch.Tensor, torch.Tensor], torch.Tensor
]  # tokens (B, N, P), sigma (B, N) → velocity (B, N, P)
Callback = Callable[
    [int, float, torch.Tensor, torch.Tensor], None
]  # step, sigma, tokens, guess of x_0


def euler(
    velocity: Velocity,
    tokens: torch.Tensor,
    sigmas: torch.Tensor,
    start: torch.Tensor | None = None,
    callback: Callback | None = None,
) -> torch.Tensor:
    """Follow the velocity in straight steps: tokens += (σ_next − σ) · velocity.

    Args:
        tokens: (B, N, P) at their starting levels. sigmas: (steps + 1,), falling to 0. start: (B, N) or (B, 1); None is 1 everywhere.
        callback: called before every step with the guess of x_0.
    """
    start = torch.ones_like(tokens[..., 0]) if start is None else start
    for step, (sigma, sigma_next) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
        now, after = start.clamp(max=sigma), start.clamp(max=sigma_next)  # as start
        v = velocity(tokens, now)
        if callback:
            callback(step, float(sigma), tokens, clean_from_velocity(tokens, v, now[..., None]))
        tokens = tokens + (after - now)[..., None] * v
    return tokens


def heun(
    velocity: Velocity,
    tokens: torch.Tensor,
    sigmas: torch.Tensor,
    start: torch.Tensor | None = None,
    callback: Callback | None = None,
) -> torch.Tensor:
    """Take Euler's step, look again at its end, and go with the mean of both velocities: two network calls a step, and an error
    that falls fourfold when steps double. Algorithm 1 of arXiv:2206.00364, in our σ. Arguments as in `euler`."""
    start = torch.ones_like(tokens[..., 0]) if start is None else start
    for step, (sigma, sigma_next) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
        now, after = start.clamp(max=sigma), start.clamp(max=sigma_next)
        width = (after - now)[..., None]
        v = velocity(tokens, now)
        if callback:
            callback(step, float(sigma), tokens, clean_from_velocity(tokens, v, now[..., None]))
        tokens = tokens + width * (v + velocity(tokens + width * v, after)) / 2
    return tokens


def ddim(
    velocity: Velocity,
    tokens: torch.Tensor,
    sigmas: torch.Tensor,
    start: torch.Tensor | None = None,
    callback: Callback | None = None,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Guess x_0 and the noise, and mix them again at the next level. Eq. (12) of arXiv:2010.02502, for x_t = (1 − σ) x_0 + σ noise.

    With eta = 0 this is `euler`, written differently; with eta up to 1, the share eta² of the noise's variance is drawn afresh.
    """
    start = torch.ones_like(tokens[..., 0]) if start is None else start
    for step, (sigma, sigma_next) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
        now, after = start.clamp(max=sigma), start.clamp(max=sigma_next)
        v = velocity(tokens, now)
        x_0, noise = (
            clean_from_velocity(tokens, v, now[..., None]),
            noise_from_velocity(tokens, v, now[..., None]),
        )
        if callback:
            callback(step, float(sigma), tokens, x_0)
        if eta > 0:
            fresh = torch.randn(tokens.shape, generator=generator, device=tokens.device)
            noise = (1 - eta**2) ** 0.5 * noise + eta * fresh
        mixed = (1 - after[..., None]) * x_0 + after[..., None] * noise
        tokens = torch.where(
            (now > after)[..., None], mixed, tokens
        )  # given tokens stay as they are
    return tokens


SAMPLERS = {"euler": euler, "heun": heun, "ddim": ddim}


def guided(
    model,
    positions: torch.Tensor,
    prompt: tuple[torch.Tensor, ...],
    negative: tuple[torch.Tensor, ...],
    guidance_scale: float,
) -> Velocity:
    """Classifier-free guidance (arXiv:2207.12598, Eq. (6)): uncond + guidance_scale · (cond − uncond), velocities without and with the prompt.

    Args:
        model: a DiT. positions: (N, 3). prompt, negative: prompt_embeds (B, S, D), attention_mask (B, S) and prompt_positions (B, S, 3) of what is
            wanted and of what to get away from, as from `TextEncoder.read`, padded to the same S.
        guidance_scale: 1 is the prompt alone, 0 the negative prompt alone; both take one network call instead of a double one.
    """

    def velocity(tokens: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        if guidance_scale in (0, 1):
            return model(tokens, sigma, positions, *(prompt if guidance_scale == 1 else negative))
        both = (torch.cat([a, b]) for a, b in zip(prompt, negative, strict=True))
        cond, uncond = model(tokens.repeat(2, 1, 1), sigma.repeat(2, 1), positions, *both).chunk(2)
        return uncond + guidance_scale * (cond - uncond)

    return velocity
