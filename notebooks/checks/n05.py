"""Notebook 05, From noise to data in two dimensions."""

import torch

from minisora.compare.toy2d import Mixture
from minisora.sampling import ddim, heun

from .common import called, same, say

SHAPES = ((1, 5, 2), (2, 3, 4), (3, 1, 1))
LEVELS = ((0.6, 0.1), (1.0, 0.75), (0.2, 0.0))


def _draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _hint(yours, faults) -> str:
    """What a wrong answer looks like, where it equals one of the known ones, as (wrong answer, what it is)."""
    for wrong, fault in faults:
        if (
            isinstance(yours, torch.Tensor)
            and yours.shape == wrong.shape
            and torch.allclose(yours.double(), wrong, atol=1e-9)
        ):
            return fault
    return ""


def check_ddim_step(ddim_step) -> bool:
    """Notebook 05, exercise 1: one step of DDIM with eta 0."""
    for shape in SHAPES:
        x, v = _draw(2, *shape)
        for now, after in LEVELS:
            right = ddim(
                lambda tokens, sigma, v=v: v, x, torch.tensor([now, after], dtype=torch.float64)
            )
            yours = called(ddim_step, x, v, now, after)
            if yours is None:
                return False
            x_0, noise = x - now * v, x + (1 - now) * v
            faults = [
                (x, "the points have not moved"),
                (
                    x_0,
                    "this is the guess of the clean points; mix it with the guessed noise at the next level",
                ),
                (
                    x + (now - after) * v,
                    "it went towards noise; one of the two guesses has the wrong sign",
                ),
                (
                    after * x_0 + (1 - after) * noise,
                    "the weights of x_0 and noise are swapped: at σ = 0 nothing of the noise should be left",
                ),
                (
                    (1 - now) * x_0 + now * noise,
                    "it was mixed at the level where the points are already, not at the next one",
                ),
                (
                    (1 - after) * x_0 + after * v,
                    "the velocity was taken for the noise; the noise has to be guessed from it",
                ),
                ((1 - after) * x_0 + after * x, "the noisy points were taken for the noise"),
            ]
            if not same(yours, right, "ddim_step", f"σ {now:g} → {after:g} and shape {shape}"):
                fault = _hint(yours, faults)
                return say(fault) if fault else False
    return say(
        "right for every shape and level; with eta 0 it is Euler's step, written differently", True
    )


def check_heun_step(heun_step) -> bool:
    """Notebook 05, exercise 2: Heun's step, by how its error falls on an equation whose solution is known."""
    data = Mixture(torch.tensor([[1.0, -0.5]], dtype=torch.float64), 0.3, torch.tensor([0]))
    velocity = lambda x, sigma: data.velocity(
        x, torch.full(x.shape[:2], float(sigma), dtype=x.dtype)
    )
    noise = _draw(1, 9, 2)
    solution, errors = data.means + data.std * noise, []
    for steps in (80, 160):
        sigmas, x = torch.linspace(1, 0, steps + 1, dtype=torch.float64), noise
        for now, after in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True):
            x = called(heun_step, velocity, x, now, after)
            if x is None:
                return False
            if not isinstance(x, torch.Tensor) or x.shape != noise.shape:
                return say(f"heun_step should give back points of shape {tuple(noise.shape)}")
        errors.append(float((x - solution).abs().mean()))
    ratio = errors[0] / max(errors[1], 1e-30)
    told = f"from 80 to 160 steps the error goes from {errors[0]:.1e} to {errors[1]:.1e}, a factor of {ratio:.2f}"
    if not errors[1] < 0.1:  # also where it is not a number
        return say(
            f"{told}: it does not arrive. Is it the mean of the two velocities, not their sum? And does the step go from σ down to sigma_next?"
        )
    if not ratio > 3.3:
        return say(
            f"{told}; Heun's is 4, Euler's is 2. Is the second look taken where Euler's step ends, and at sigma_next?"
        )
    x = _draw(2, 3, 2, seed=1)
    if not same(
        heun_step(velocity, x, 0.6, 0.3),
        heun(data.velocity, x, torch.tensor([0.6, 0.3], dtype=torch.float64)),
        "heun_step",
    ):
        return say(
            f"{told}: fast enough, but this is not Heun's step; his second look is at its end, and both count half"
        )
    return say(f"{told}, as it should be", True)


def check_gaussian_velocity(gaussian_velocity) -> bool:
    """Notebook 05, exercise 3: the exact velocity of a single Gaussian."""
    for shape, std in zip(SHAPES, (0.5, 0.1, 2.0), strict=True):
        x, mean = _draw(*shape), _draw(shape[-1], seed=1)
        for sigma in (0.7, 0.2, 1.0):
            data = Mixture(mean[None], std, torch.tensor([0]))
            right = data.velocity(x, torch.full(shape[:2], sigma, dtype=torch.float64))
            yours = called(gaussian_velocity, x, sigma, mean, std)
            if yours is None:
                return False
            apart, variance = x - (1 - sigma) * mean, (1 - sigma) ** 2 * std**2 + sigma**2
            gain = (sigma - (1 - sigma) * std**2) / variance
            narrow = (sigma - (1 - sigma) * std**2) / ((1 - sigma) * std**2 + sigma**2)
            faults = [
                (-right, "the sign is wrong: the velocity is noise − x_0, away from the data"),
                (
                    (x - mean) / sigma,
                    "this is right for a single point; a Gaussian's points are spread by std",
                ),
                (
                    mean + (1 - sigma) * std**2 / variance * apart,
                    "this is the posterior mean of x_0, not the velocity",
                ),
                (
                    sigma / variance * apart,
                    "this is the posterior mean of the noise; subtract that of x_0",
                ),
                (gain * (x - mean) - mean, "x_t lies around (1 − σ) mean, not around mean"),
                (narrow * apart - mean, "the variance of (1 − σ) x_0 has (1 − σ)², not (1 − σ)"),
                (
                    gain * apart,
                    "the mean of noise − x_0 is missing: it is −mean where x_t is in the middle",
                ),
            ]
            if not same(yours, right, "gaussian_velocity", f"σ = {sigma:g}, std = {std:g}"):
                fault = _hint(yours, faults)
                return say(fault) if fault else False
    return say("right from σ = 1 down to 0.2, for narrow data and for wide", True)


def check_renoise(renoise) -> bool:
    """Notebook 05, exercise 4: noise put back so that mean and variance are those of the higher level."""
    mean, std = 2.0, 0.5
    variance_at = lambda sigma: (1 - sigma) ** 2 * std**2 + sigma**2
    for low, high in ((0.3, 0.6), (0.0, 0.4), (0.5, 0.55), (0.2, 1.0)):
        where = f"from σ = {low:g} to {high:g}"
        x, fresh = _draw(2, 1, 4, 2)
        parts = [
            called(renoise, a, low, high, b) for a, b in ((x, 0 * x), (0 * x, fresh), (x, fresh))
        ]
        if any(part is None for part in parts):
            return False
        for part in parts:
            if not isinstance(part, torch.Tensor) or part.shape != x.shape:
                return say(f"renoise should give back points of shape {tuple(x.shape)}")
            if part.is_complex() or not part.isfinite().all():
                return say(
                    f"{where} it takes the root of a negative number; the higher level has the larger variance of noise"
                )
        keep, add = (
            float((part * of).sum() / of.square().sum())
            for part, of in zip(parts[:2], (x, fresh), strict=True)
        )
        if not torch.allclose(parts[2], keep * x + add * fresh):
            return say(
                f"{where} it is not a fixed share of x plus a fixed share of the fresh noise"
            )
        told = f"{where} the mean should go from {(1 - low) * mean:.3f} to {(1 - high) * mean:.3f}"
        if abs(keep - (1 - high) / (1 - low)) > 1e-9:
            hint = (
                "the data in x must shrink as the noise grows"
                if keep > (1 - high) / (1 - low)
                else "x is not clean: it has been mixed once already"
            )
            return say(f"{told}, and goes to {keep * (1 - low) * mean:.3f}: {hint}")
        right, yours = variance_at(high), keep**2 * variance_at(low) + add**2
        if abs(yours - right) > 1e-9:
            hint = (
                "too much fresh noise; part of it is in x already"
                if yours > right
                else "too little fresh noise: variances add up, not levels, and what is in x shrinks with x"
            )
            return say(
                f"{where} the mean is right, but the variance of a Gaussian should be {right:.4f} and is {yours:.4f}: {hint}"
            )
    return say("mean and variance are those of the higher level, in every case", True)
