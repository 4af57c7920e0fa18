"""Notebook 04, Noise."""

import torch

from minisora.compare.ddpm import v_from
from minisora.flow import (
    add_noise,
    clean_from_velocity,
    noise_from_velocity,
    shift_sigma,
    velocity_of,
)
from minisora.patchify import patchify

from .common import Function, called, number, same, same_number, say

SHAPES = ((3, 3, 3), (2, 6, 4), (1, 1, 5), (4, 7, 2))  # B, N, P; the first lets any broadcast pass


def _draw(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Data and noise."""
    generator = torch.Generator().manual_seed(sum(shape))
    x_0, noise = torch.randn(2, *shape, dtype=torch.float64, generator=generator)
    return x_0, noise


def _sigma(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(len(shape))
    return 0.05 + 0.9 * torch.rand(*shape, dtype=torch.float64, generator=generator)


def _two(answer: object, name: str, words: str) -> tuple[object, object] | None:
    """Two answers, or None after saying what came instead."""
    if isinstance(answer, tuple | list) and len(answer) == 2:
        return answer[0], answer[1]
    if answer is not None:
        say(f"{name} should give back two things, {words}")
    return None


def check_noised(noised: Function) -> bool:
    """Exercise 1: x_t and SNR of tokens with a noise level each."""
    for B, N, P in SHAPES:
        x_0, noise = _draw(B, N, P)
        sigma = _sigma(B, N)
        answers = _two(called(noised, x_0, noise, sigma), "noised", "x_t and snr")
        if answers is None:
            return False
        where = f"(B, N, P) = {(B, N, P)}"
        s = sigma[..., None]
        mistakes = {
            "signal and noise are swapped: σ = 0 should be clean": add_noise(noise, x_0, s),
            "this is DDPM's way of mixing; rectified flow takes the straight line, without roots": (
                (1 - s).sqrt() * x_0 + s.sqrt() * noise
            ),
        }
        if B == N == P:
            axis = (
                "σ went along the wrong axis: it is one number for each token, (B, N),"
                " and has to reach all P numbers of that token"
            )
            mistakes[axis] = add_noise(x_0, noise, sigma)
        if not same(answers[0], add_noise(x_0, noise, s), "x_t", where, mistakes):
            return False
        ratio = (1 - sigma) / sigma
        mistakes = {
            "this is the ratio of amplitudes; power is the square of it": ratio,
            "this is noise to signal": ratio**-2,
            "these are decibels; the ratio itself is asked for": 20 * ratio.log10(),
        }
        if not same(answers[1], ratio.square(), "snr", where, mistakes):
            return False
    return say("right for every noise level and shape", True)


def check_from_velocity(from_velocity: Function) -> bool:
    """Exercise 2, first part: x_0 and noise from x_t and velocity, at both ends too."""
    cases = {
        "noise levels between 0 and 1": _sigma(2, 5, 1),
        "σ = 0": torch.zeros(2, 5, 1, dtype=torch.float64),
        "σ = 1": torch.ones(2, 5, 1, dtype=torch.float64),
    }
    for where, s in cases.items():
        x_0, noise = _draw(2, 5, 3)
        x_t = add_noise(x_0, noise, s)
        velocity = velocity_of(x_0, noise)
        answers = _two(called(from_velocity, x_t, velocity, s), "from_velocity", "x_0 and noise")
        if answers is None:
            return False
        for answer in answers:
            if isinstance(answer, torch.Tensor) and not torch.isfinite(answer).all():
                return say(
                    f"not a number for {where}: something is divided by σ or by 1 − σ,"
                    " and nothing has to be"
                )
        clean = clean_from_velocity(x_t, velocity, s)
        rest = noise_from_velocity(x_t, velocity, s)
        sign = "the sign of the velocity is wrong: it points from x_0 to the noise"
        mistakes = {
            "x_0 and noise are swapped": rest,
            sign: x_t + s * velocity,
            "that is a whole velocity; from x_t back to x_0 it is only σ of it": x_t - velocity,
        }
        if not same(answers[0], clean, "x_0", where, mistakes):
            return False
        mistakes = {
            sign: x_t - (1 - s) * velocity,
            "that is a whole velocity; from x_t to the noise it is only what is left of the way": (
                x_t + velocity
            ),
            "that goes on by σ; what is left of the way is something else": x_t + s * velocity,
        }
        if not same(answers[1], rest, "noise", where, mistakes):
            return False
    return say("right at every noise level, both ends too", True)


def check_v_from_noise(v_from_noise: Function) -> bool:
    """Exercise 2, second part: v from DDPM's prediction of the noise."""
    for shape in ((2, 5, 3), (1, 4, 1), (3, 2, 6)):
        x_0, noise = _draw(*shape)
        bar = _sigma(shape[0], shape[1], 1)
        a = bar.sqrt()
        s = (1 - bar).sqrt()
        x_t = a * x_0 + s * noise
        right = v_from(x_0, noise, bar)
        mistakes = {
            "this is the noise itself": noise,
            "the sign is wrong: on the arc, v points towards the noise": -right,
            "this is rectified flow's velocity, noise − x_0; on the arc both have a coefficient": (
                noise - x_0
            ),
            "x_t stands where x_0 should": a * noise - s * x_t,
            "ᾱ is a fraction of power; amplitudes have its root": bar * noise - (1 - bar) * x_0,
        }
        answer = called(v_from_noise, x_t, noise, bar)
        if answer is None or not same(answer, right, "v", f"the shape {shape}", mistakes):
            return False
    return say("right for every ᾱ", True)


def check_fraction_below(fraction_below: Function) -> bool:
    """Exercise 3: the fraction of training draws below an SNR."""
    cases = ((-20.0, 1.0), (-20.0, 3.0), (7.5, 2.0), (-12.0, 0.5), (0.0, 3.0))
    for decibels, shift in cases:
        name = f"fraction_below({decibels:g}, {shift:g})"
        answer = called(fraction_below, decibels, shift)
        if answer is None:
            return False
        fraction = number(answer, name)
        if fraction is None:
            return False
        sigma = _sigma_at(decibels, 20)
        right = 1 - float(shift_sigma(sigma, 1 / shift))
        mistakes = {
            "that is the fraction above, not below": 1 - right,
            "that leaves the shift out": 1 - float(sigma),
            "that is shifted the wrong way: u → σ multiplies odds by the shift,"
            " so σ → u divides them": 1 - float(shift_sigma(sigma, shift)),
            "SNR is a ratio of powers, and odds are a ratio of amplitudes:"
            " their dB have 20 in front of the logarithm": 1
            - float(shift_sigma(_sigma_at(decibels, 10), 1 / shift)),
        }
        if not same_number(fraction, right, name, mistakes=mistakes):
            return False
    return say("right for every threshold and shift", True)


def _sigma_at(decibels: float, factor: float) -> torch.Tensor:
    """σ at which (1 − σ) / σ has so many decibels."""
    odds = torch.tensor(10.0, dtype=torch.float64) ** (decibels / factor)
    return 1 / (1 + odds)


def check_conditioning_sigma(conditioning_sigma: Function) -> bool:
    """Exercise 4: noise levels (B, N) with clean latent frames."""
    cases = (
        (2, (5, 4, 4), (0,)),
        (3, (5, 2, 3), (0, -1)),
        (1, (1, 2, 2), (0, -1)),
        (2, (4, 3, 1), (0, 1)),
    )
    for B, grid, clean in cases:
        t, h, w = grid
        sigma = _sigma(B)
        kept = sigma.clone()
        answer = called(conditioning_sigma, sigma, grid, clean)
        if answer is None:
            return False
        if not torch.equal(sigma, kept):
            return say("conditioning_sigma has changed the sigma that it got; work on a copy")
        frames = sigma[:, None].repeat(1, t)
        frames[:, list(clean)] = 0
        video = frames[:, None, :, None, None].expand(B, 1, t, h, w)
        right = patchify(video, (1, 1, 1))[..., 0]
        where = f"{B} clips, grid {grid}, clean frames {clean}"
        mistakes = _conditioning_mistakes(sigma, frames, right, grid, clean)
        if not same(answer, right, "sigma", where, mistakes):
            return False
    return say("right for the first frame, both ends, images and oblong grids", True)


def _conditioning_mistakes(
    sigma: torch.Tensor,
    frames: torch.Tensor,
    right: torch.Tensor,
    grid: tuple[int, int, int],
    clean: tuple[int, ...],
) -> dict[str, torch.Tensor]:
    t, h, w = grid
    everywhere = sigma[:, None].repeat(1, t * h * w)
    one_token = everywhere.clone()
    one_token[:, list(clean)] = 0
    no_negative = sigma[:, None].repeat(1, t)
    no_negative[:, [frame for frame in clean if frame >= 0]] = 0
    return {
        "these are levels of frames; all h·w tokens of a frame need one": frames,
        "it is the wrong way round: conditioning frames are clean, the rest has the level": (
            sigma[:, None] - right
        ),
        "the order is wrong: all tokens of the first frame come first, then those of the second": (
            frames.repeat(1, h * w)
        ),
        "a single token is clean; a frame has h·w of them": one_token,
        "−1 is the last frame, as in any list": no_negative.repeat_interleave(h * w, dim=1),
        "no frame is clean": everywhere,
    }
