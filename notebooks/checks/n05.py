"""Notebook 05, From noise to data in two dimensions."""

import torch

from minisora.compare.toy2d import Mixture
from minisora.sampling import ddim

from .common import Function, called, same, say

SHAPES = ((1, 5, 2), (2, 3, 4), (3, 1, 1))
LEVELS = ((0.6, 0.1), (1.0, 0.75), (0.2, 0.0))


def _draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def check_ddim_step(ddim_step: Function) -> bool:
    """Exercise 1: one step of DDIM with eta 0."""
    for shape in SHAPES:
        for now, after in LEVELS:
            x, v = _draw(2, *shape)
            levels = torch.tensor([now, after], dtype=torch.float64)
            right = ddim(lambda tokens, sigma, v=v: v, x, levels)
            x_0, noise = x - now * v, x + (1 - now) * v
            mistakes = {
                "the points have not moved": x,
                "this is the guess of the clean points; mix it with the guessed noise "
                "at the next level": x_0,
                "it went towards noise; one of the two guesses has the wrong sign": (
                    x + (now - after) * v
                ),
                "the weights of x_0 and noise are swapped: at σ = 0 nothing of the noise "
                "should be left": after * x_0 + (1 - after) * noise,
                "it was mixed at the level where the points are already, not at the next one": (
                    (1 - now) * x_0 + now * noise
                ),
                "the velocity was taken for the noise; the noise has to be guessed from it": (
                    (1 - after) * x_0 + after * v
                ),
                "the noisy points were taken for the noise": (1 - after) * x_0 + after * x,
            }
            answer = called(ddim_step, x, v, now, after)
            if answer is None:
                return False
            where = f"σ {now:g} → {after:g} and shape {shape}"
            if not same(answer, right, "ddim_step", where, mistakes):
                return False
    return say("right for every shape and level; with eta 0 it is Euler's step", True)


def check_heun_step(heun_step: Function) -> bool:
    """Exercise 2: Heun's step, by how its error falls on an equation whose solution is known."""
    data = Mixture(torch.tensor([[1.0, -0.5]], dtype=torch.float64), 0.3, torch.tensor([0]))

    def velocity(x: torch.Tensor, sigma: float) -> torch.Tensor:
        return data.velocity(x, torch.full(x.shape[:2], float(sigma), dtype=x.dtype))

    noise = _draw(1, 9, 2)
    solution = data.means + data.std * noise
    errors = []
    for steps in (80, 160):
        x: object = noise
        levels = torch.linspace(1, 0, steps + 1, dtype=torch.float64).tolist()
        for now, after in zip(levels[:-1], levels[1:], strict=True):
            x = called(heun_step, velocity, x, now, after)
            if x is None:
                return False
            if not isinstance(x, torch.Tensor) or x.shape != noise.shape:
                return say(f"heun_step should give back points of shape {tuple(noise.shape)}")
        errors.append(float((x - solution).abs().mean()))
    factor = errors[0] / max(errors[1], 1e-30)
    told = (
        f"from 80 to 160 steps the error goes from {errors[0]:.1e} to {errors[1]:.1e}, "
        f"a factor of {factor:.2f}"
    )
    if not errors[1] < 0.1:  # also where it is not a number
        return say(
            f"{told}: it does not arrive. Is it the mean of the two velocities, not their sum? "
            "And does the step go from σ down to sigma_next?"
        )
    if not factor > 3.3:
        return say(
            f"{told}; Heun's is 4, Euler's is 2. Is the second velocity taken where Euler's step "
            "ends, and at sigma_next?"
        )
    x, width = _draw(2, 3, 2, seed=1), 0.3 - 0.6
    first = velocity(x, 0.6)
    right = x + width * (first + velocity(x + width * first, 0.3)) / 2
    other = (
        "fast enough, but this is not Heun's step: "
        "its second velocity is at the end, and both count half"
    )
    if not same(heun_step(velocity, x, 0.6, 0.3), right, "heun_step", otherwise=other):
        return False
    return say(f"{told}, as it should be", True)


def check_gaussian_velocity(gaussian_velocity: Function) -> bool:
    """Exercise 3: the exact velocity of a single Gaussian."""
    for shape, std in zip(SHAPES, (0.5, 0.1, 2.0), strict=True):
        for sigma in (0.7, 0.2, 1.0):
            x, mean = _draw(*shape), _draw(shape[-1], seed=1)
            data = Mixture(mean[None], std, torch.tensor([0]))
            right = data.velocity(x, torch.full(shape[:2], sigma, dtype=torch.float64))
            apart = x - (1 - sigma) * mean
            variance = (1 - sigma) ** 2 * std**2 + sigma**2
            gain = (sigma - (1 - sigma) * std**2) / variance
            narrow = (sigma - (1 - sigma) * std**2) / ((1 - sigma) * std**2 + sigma**2)
            mistakes = {
                "the sign is wrong: the velocity is noise − x_0, away from the data": -right,
                "this is right for a single point; a Gaussian's points have a standard deviation": (
                    (x - mean) / sigma
                ),
                "this is the posterior mean of x_0, not the velocity": (
                    mean + (1 - sigma) * std**2 / variance * apart
                ),
                "this is the posterior mean of the noise; subtract that of x_0": (
                    sigma / variance * apart
                ),
                "x_t lies around (1 − σ) mean, not around mean": gain * (x - mean) - mean,
                "the variance of (1 − σ) x_0 has (1 − σ)², not (1 − σ)": narrow * apart - mean,
                "the mean of noise − x_0 is missing: it is −mean where x_t is in the middle": (
                    gain * apart
                ),
            }
            answer = called(gaussian_velocity, x, sigma, mean, std)
            if answer is None:
                return False
            where = f"σ = {sigma:g}, std = {std:g}"
            if not same(answer, right, "gaussian_velocity", where, mistakes):
                return False
    return say("right from σ = 1 down to 0.2, for narrow data and for wide", True)


def check_renoise(renoise: Function) -> bool:
    """Exercise 4: noise put back so that mean and variance are those of the higher level."""
    for low, high in ((0.3, 0.6), (0.0, 0.4), (0.5, 0.55), (0.2, 1.0)):
        factors = _factors(renoise, low, high)
        if factors is None or not _right_factors(*factors, low, high):
            return False
    return say("mean and variance are those of the higher level, in every case", True)


def _factors(renoise: Function, low: float, high: float) -> tuple[float, float] | None:
    """By what x and the fresh noise are multiplied, or None after saying why that is not known."""
    x, fresh = _draw(2, 1, 4, 2)
    parts = []
    for one, other in ((x, 0 * x), (0 * x, fresh), (x, fresh)):
        part = called(renoise, one, low, high, other)
        if part is None:
            return None
        if not isinstance(part, torch.Tensor) or part.shape != x.shape:
            say(f"renoise should give back points of shape {tuple(x.shape)}")
            return None
        if part.is_complex() or not part.isfinite().all():
            say(
                f"from σ = {low:g} to {high:g} it takes the root of a negative number; "
                "the higher level has the larger variance of noise"
            )
            return None
        parts.append(part)
    keep = float((parts[0] * x).sum() / x.square().sum())
    add = float((parts[1] * fresh).sum() / fresh.square().sum())
    if not torch.allclose(parts[2], keep * x + add * fresh):
        say("it is not a fixed part of x plus a fixed part of the fresh noise")
        return None
    return keep, add


def _right_factors(keep: float, add: float, low: float, high: float) -> bool:
    mean, std = 2.0, 0.5
    where = f"from σ = {low:g} to {high:g}"
    right_keep = (1 - high) / (1 - low)
    if abs(keep - right_keep) > 1e-9:
        hint = "the data in x must shrink as the noise grows"
        if keep < right_keep:
            hint = "x is not clean: it has been mixed once already"
        return say(
            f"{where} the mean should go from {(1 - low) * mean:.3f} to {(1 - high) * mean:.3f}, "
            f"and goes to {keep * (1 - low) * mean:.3f}: {hint}"
        )
    right = (1 - high) ** 2 * std**2 + high**2
    variance = keep**2 * ((1 - low) ** 2 * std**2 + low**2) + add**2
    if abs(variance - right) > 1e-9:
        hint = "too much fresh noise; part of it is in x already"
        if variance < right:
            hint = (
                "too little fresh noise: variances add up, not levels, "
                "and what is in x shrinks with x"
            )
        return say(
            f"{where} the mean is right, but the variance of a Gaussian should be {right:.4f} "
            f"and is {variance:.4f}: {hint}"
        )
    return True
