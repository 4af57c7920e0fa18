"""From noise to tokens: samplers are functions of (velocity, tokens, sigmas).

    noise (B, N, P), sigmas (steps + 1,) ── euler, heun, ddim ──► clean tokens (B, N, P)

A sampler walks down the noise levels. Every token has a level `start` at which it begins: 1 if it
is to be generated, 0 if it is clean already (a conditioning token), between if it comes from a
half-noised video (SDEdit, arXiv:2108.01073). On the way its level is min(sigma, start). So a
conditioning token never moves, and a sampler does not have to know the task.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn as nn

from minisora.flow import clean_from_velocity, noise_from_velocity
from minisora.inputs import MAX_GUIDANCE, Generators

# tokens (B, N, P), sigma (B, N) → velocity (B, N, P)
Velocity = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
# step from 0, sigma, tokens (B, N, P), guess of x_0 (B, N, P)
Callback = Callable[[int, float, torch.Tensor, torch.Tensor], None]
# prompt_embeds (B, S, D_text), attention_mask (B, S), prompt_positions (B, S, 3)
Condition = tuple[torch.Tensor, ...]


def euler(
    velocity: Velocity,
    tokens: torch.Tensor,
    sigmas: torch.Tensor,
    start: torch.Tensor | None = None,
    callback: Callback | None = None,
) -> torch.Tensor:
    """Follow the velocity in straight steps: tokens += (σ_next − σ) · velocity.

    Args:
        velocity: tokens (B, N, P) and their noise levels (B, N) → velocity (B, N, P).
        tokens: (B, N, P) at their starting levels.
        sigmas: (steps + 1,), falling to 0.
        start: (B, N) or (B, 1), the level at which each token begins; None is 1 everywhere.
        callback: called before every step with the step, sigma, the tokens and the guess of x_0.

    Returns:
        clean tokens (B, N, P).
    """
    for step, sigma, now, after in _levels(tokens, sigmas, start):
        v = velocity(tokens, now)
        if callback:
            callback(step, sigma, tokens, clean_from_velocity(tokens, v, now[..., None]))
        tokens = tokens + (after - now)[..., None] * v
    return tokens


def heun(
    velocity: Velocity,
    tokens: torch.Tensor,
    sigmas: torch.Tensor,
    start: torch.Tensor | None = None,
    callback: Callback | None = None,
) -> torch.Tensor:
    """Take Euler's step, compute the velocity at its end, and step with the mean of both.

    A step calls the network twice, and the error falls fourfold when the steps double. The last
    step is Euler's, because it ends at σ = 0, where the network never had to predict a velocity.
    Algorithm 1 of arXiv:2206.00364, in our σ. Arguments and result as in `euler`.
    """
    for step, sigma, now, after in _levels(tokens, sigmas, start):
        width = (after - now)[..., None]
        v = velocity(tokens, now)
        if callback:
            callback(step, sigma, tokens, clean_from_velocity(tokens, v, now[..., None]))
        is_last = step == len(sigmas) - 2
        if not is_last:
            v = (v + velocity(tokens + width * v, after)) / 2
        tokens = tokens + width * v
    return tokens


def ddim(
    velocity: Velocity,
    tokens: torch.Tensor,
    sigmas: torch.Tensor,
    start: torch.Tensor | None = None,
    callback: Callback | None = None,
    eta: float = 0.0,
    generator: Generators = None,
) -> torch.Tensor:
    """Guess x_0 and the noise, and mix them again at the next level. Eq. (12) of arXiv:2010.02502.

    It is written for x_t = (1 − σ) x_0 + σ noise. With eta = 0 it gives what `euler` gives. With
    eta up to 1, a fraction eta² of the noise's variance is drawn afresh in every step. (In the
    paper η multiplies another amount of noise: η = 1 is DDPM there, and not here.)

    Args:
        eta: in [0, 1].
        generator: source of the fresh noise, as in `draw_noise`; other arguments as in `euler`.

    Returns:
        clean tokens (B, N, P).

    Raises:
        ValueError: eta outside of [0, 1].
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta={eta} should be from 0 (no fresh noise) to 1 (all of it)")
    for step, sigma, now, after in _levels(tokens, sigmas, start):
        v = velocity(tokens, now)
        x_0 = clean_from_velocity(tokens, v, now[..., None])
        noise = noise_from_velocity(tokens, v, now[..., None])
        if callback:
            callback(step, sigma, tokens, x_0)
        if eta > 0:
            fresh = draw_noise(tokens.shape, generator, tokens.device)
            noise = math.sqrt(1 - eta**2) * noise + eta * fresh
        mixed = (1 - after[..., None]) * x_0 + after[..., None] * noise
        moves = (after < now)[..., None]  # not conditioning tokens, nor others that start lower
        tokens = torch.where(moves, mixed, tokens)
    return tokens


SAMPLERS = {"euler": euler, "heun": heun, "ddim": ddim}


def _levels(
    tokens: torch.Tensor, sigmas: torch.Tensor, start: torch.Tensor | None
) -> Iterator[tuple[int, float, torch.Tensor, torch.Tensor]]:
    """Number and sigma of every step, and the levels (B, N) of the tokens before and after it."""
    if start is None:
        start = torch.ones_like(tokens[..., 0])
    for step, (sigma, sigma_next) in enumerate(zip(sigmas[:-1], sigmas[1:], strict=True)):
        yield step, float(sigma), start.clamp(max=sigma), start.clamp(max=sigma_next)


def draw_noise(
    shape: Sequence[int], generator: Generators, device: torch.device | str
) -> torch.Tensor:
    """Draw normal noise where the generator is, and bring it to the device.

    So one seed gives one noise on every device.

    Args:
        shape: (B, ...).
        generator: one for the batch, a list of one for each clip, or None for torch's own.

    Raises:
        ValueError: a list of another length than B.
    """
    if generator is None:
        return torch.randn(shape, device=device)
    if isinstance(generator, torch.Generator):
        return torch.randn(shape, generator=generator, device=generator.device).to(device)
    if len(generator) != shape[0]:
        raise ValueError(f"{shape[0]} clips and {len(generator)} generators do not pair up")
    clips = [draw_noise((1, *shape[1:]), own, device) for own in generator]
    return torch.cat(clips)


def guided(
    model: nn.Module,
    positions: torch.Tensor,
    prompt: Condition,
    negative: Condition,
    guidance_scale: float,
) -> Velocity:
    """Classifier-free guidance: uncond + guidance_scale · (cond − uncond).

    Eq. (6) of arXiv:2207.12598, whose w is guidance_scale − 1; here of the velocities with the
    prompt (cond) and without it or with a negative prompt (uncond).

    Args:
        model: a DiT.
        positions: (N, 3).
        prompt: prompt_embeds (B, S, D_text), attention_mask (B, S) and prompt_positions (B, S, 3)
            of what is wanted, as from `TextEncoder.read`.
        negative: the same of what to move away from, padded to the same S.
        guidance_scale: 1 is the prompt alone, 0 the negative prompt alone; either takes half of the
            work of all other values.

    Returns:
        The `velocity` of the samplers.

    Raises:
        ValueError: a guidance scale that is not a number from −100 to 100.
    """
    if not -MAX_GUIDANCE <= guidance_scale <= MAX_GUIDANCE:
        raise ValueError(
            f"guidance_scale={guidance_scale} should be from {-MAX_GUIDANCE:g} "
            f"to {MAX_GUIDANCE:g}; 1 is the prompt alone, 2 is usual"
        )

    def velocity(tokens: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        if guidance_scale == 1:
            return model(tokens, sigma, positions, *prompt)
        if guidance_scale == 0:
            return model(tokens, sigma, positions, *negative)
        both = [torch.cat(parts) for parts in zip(prompt, negative, strict=True)]
        twice = model(tokens.repeat(2, 1, 1), sigma.repeat(2, 1), positions, *both)
        cond, uncond = twice.chunk(2)
        return uncond + guidance_scale * (cond - uncond)

    return velocity
