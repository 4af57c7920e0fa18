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

from .common import called, same, say

SHAPES = (
    (3, 3, 3),
    (2, 6, 4),
    (1, 1, 5),
    (4, 7, 2),
)  # B, N, P; in the first a forgotten axis raises nothing


def _draw(*shape: int, count: int = 2) -> tuple[torch.Tensor, ...]:
    return torch.randn(
        count, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape))
    ).unbind(0)


def _levels(*shape: int) -> torch.Tensor:
    return 0.05 + 0.9 * torch.rand(
        *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(len(shape))
    )


def _pair(yours, name: str, words: str):
    """Two tensors, or None after saying what came instead."""
    if isinstance(yours, (tuple, list)) and len(yours) == 2:
        return yours
    if yours is not None:
        say(f"{name} should give back two things, {words}")
    return None


def _hint(yours, faults: dict[str, torch.Tensor]) -> str:
    """The fault whose result this is, or nothing."""
    for words, wrong in faults.items():
        if (
            isinstance(yours, torch.Tensor)
            and yours.shape == wrong.shape
            and torch.allclose(yours.double(), wrong, atol=1e-9)
        ):
            return words
    return ""


def _judge(
    yours, right: torch.Tensor, name: str, where: str, faults: dict[str, torch.Tensor]
) -> bool:
    """`same`, and then what the fault probably is."""
    if same(yours, right, name, where):
        return True
    if hint := _hint(yours, faults):
        say(hint)
    return False


def check_noised(noised) -> bool:
    """Exercise 1: x_t and SNR of tokens with a level each."""
    for B, N, P in SHAPES:
        (x_0, noise), sigma, where = _draw(B, N, P), _levels(B, N), f"(B, N, P) = {(B, N, P)}"
        yours = _pair(called(noised, x_0, noise, sigma), "noised", "x_t and snr")
        if yours is None:
            return False
        s = sigma[..., None]
        faults = {
            "signal and noise have changed places: σ = 0 should be clean": add_noise(noise, x_0, s),
            "this is DDPM's way of mixing: rectified flow walks the chord, without roots": (
                1 - s
            ).sqrt()
            * x_0
            + s.sqrt() * noise,
        }
        if B == N == P:
            faults[
                "σ went along the wrong axis: it is one number a token, (B, N), and has to reach all P numbers of it"
            ] = add_noise(x_0, noise, sigma)
        if not _judge(yours[0], add_noise(x_0, noise, s), "x_t", where, faults):
            return False
        ratio = (1 - sigma) / sigma
        faults = {
            "this is the ratio of amplitudes; power is the square of it": ratio,
            "this is noise to signal": ratio**-2,
            "these are decibels; the ratio itself is asked for": 20 * ratio.log10(),
        }
        if not _judge(yours[1], ratio.square(), "snr", where, faults):
            return False
    return say("right for every level and shape", True)


def check_from_velocity(from_velocity) -> bool:
    """Exercise 2, first part: x_0 and noise from x_t and velocity, at both ends too."""
    for sigma in (None, 0.0, 1.0):
        x_0, noise = _draw(2, 5, 3)
        s = _levels(2, 5, 1) if sigma is None else torch.full((2, 5, 1), sigma, dtype=torch.float64)
        x_t, velocity = add_noise(x_0, noise, s), velocity_of(x_0, noise)
        where = "levels between 0 and 1" if sigma is None else f"σ = {sigma:g}"
        yours = _pair(called(from_velocity, x_t, velocity, s), "from_velocity", "x_0 and noise")
        if yours is None:
            return False
        if sigma is not None and any(
            isinstance(y, torch.Tensor) and not torch.isfinite(y).all() for y in yours
        ):
            return say(
                f"not a number for {where}: something is divided by σ or by 1 − σ, and nothing has to be"
            )
        clean, wrong_way = clean_from_velocity(x_t, velocity, s), x_t + s * velocity
        rest = noise_from_velocity(x_t, velocity, s)
        faults = {
            "x_0 and noise have changed places": rest,
            "the sign of the velocity is turned round: it points from x_0 to the noise": wrong_way,
            "that is a whole velocity; from x_t back to x_0 it is only σ of it": x_t - velocity,
        }
        if not _judge(yours[0], clean, "x_0", where, faults):
            return False
        faults = {
            "the sign of the velocity is turned round: it points from x_0 to the noise": x_t
            - (1 - s) * velocity,
            "that is a whole velocity; from x_t on to the noise it is only what is left of the way": x_t
            + velocity,
            "that goes on by σ; what is left of the way is something else": wrong_way,
        }
        if not _judge(yours[1], rest, "noise", where, faults):
            return False
    return say("right at every level, both ends too", True)


def check_v_from_noise(v_from_noise) -> bool:
    """Exercise 2, second part: v from DDPM's noise answer."""
    for shape in ((2, 5, 3), (1, 4, 1), (3, 2, 6)):
        (x_0, noise), bar = _draw(*shape), _levels(shape[0], shape[1], 1)
        a, s = bar.sqrt(), (1 - bar).sqrt()
        x_t, right = a * x_0 + s * noise, v_from(x_0, noise, bar)
        faults = {
            "this is the noise itself": noise,
            "the sign is turned round: on the arc, v points towards the noise": -right,
            "this is rectified flow's velocity, noise − x_0; on the arc both have a coefficient": noise
            - x_0,
            "x_t stands where x_0 should": a * noise - s * x_t,
            "ᾱ is a share of power; amplitudes have its root": bar * noise - (1 - bar) * x_0,
        }
        if not _judge(
            called(v_from_noise, x_t, noise, bar), right, "v", f"the shape {shape}", faults
        ):
            return False
    return say("right for every ᾱ", True)


def check_share_drowned(share_drowned) -> bool:
    """Exercise 3: the share of draws below an SNR."""
    for decibels, shift in ((-20.0, 1.0), (-20.0, 3.0), (7.5, 2.0), (-12.0, 0.5), (0.0, 3.0)):
        yours = called(share_drowned, decibels, shift)
        if yours is None:
            return False
        try:
            yours = float(yours)
        except (TypeError, ValueError):
            return say(f"share_drowned should give back a number, not {type(yours).__name__}")
        sigma_at = lambda per_ten: (
            1 / (1 + torch.tensor(10.0, dtype=torch.float64) ** (decibels / per_ten))
        )
        sigma = sigma_at(20)
        right = 1 - float(shift_sigma(sigma, 1 / shift))
        if not abs(yours - right) < 1e-6:
            faults = {
                "that is the share above, not below": 1 - right,
                "that leaves the shift out": 1 - float(sigma),
                "that is shifted the wrong way: u → σ multiplies odds by the shift, so σ → u divides them": 1
                - float(shift_sigma(sigma, shift)),
                "SNR is a ratio of powers, and odds are a ratio of amplitudes: their dB have 20 in front of the logarithm": 1
                - float(shift_sigma(sigma_at(10), 1 / shift)),
            }
            hint = next((words for words, wrong in faults.items() if abs(yours - wrong) < 1e-6), "")
            say(
                f"share_drowned({decibels:g}, {shift:g}) gives {yours:.4f}, off by {abs(yours - right):.4f}"
                + (f": {hint}" if hint else "")
            )
            return False
    return say("right for every threshold and shift", True)


def check_levels_given(levels_given) -> bool:
    """Exercise 4: levels (B, N) with clean frames."""
    for B, grid, given in (
        (2, (5, 4, 4), (0,)),
        (3, (5, 2, 3), (0, -1)),
        (1, (1, 2, 2), (0, -1)),
        (2, (4, 3, 1), (0, 1)),
    ):
        t, h, w = grid
        sigma = _levels(B)
        frames = sigma[:, None].repeat(1, t)
        for frame in given:
            frames[:, frame] = 0
        right = patchify(frames[:, None, :, None, None].expand(B, 1, t, h, w), (1, 1, 1))[..., 0]
        kept = sigma.clone()
        yours = called(levels_given, sigma, grid, given)
        if yours is None:
            return False
        if not torch.equal(sigma, kept):
            return say("levels_given has changed the sigma that it was given; work on a copy")
        one_token = sigma[:, None].repeat(1, t * h * w)
        one_token[:, list(given)] = 0
        upright = sigma[:, None].repeat(1, t)
        upright[:, [f for f in given if f >= 0]] = 0
        faults = {
            "these are levels a frame; all h·w tokens of a frame need one": frames,
            "it is the wrong way round: what is given is clean, the rest has the level": sigma[
                :, None
            ]
            - right,
            "the order is wrong: all tokens of the first frame come first, then those of the second": frames.repeat(
                1, h * w
            ),
            "a single token is clean; a frame has h·w of them": one_token,
            "−1 is the last frame, as in any list": upright.repeat_interleave(h * w, dim=1),
            "nothing is given": sigma[:, None].repeat(1, t * h * w),
        }
        if not _judge(yours, right, "sigma", f"{B} clips, grid {grid}, given {given}", faults):
            return False
    return say("right for the first frame, both ends, images and oblong grids", True)
