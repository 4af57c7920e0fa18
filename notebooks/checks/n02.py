"""Notebook 02, The time-space compressor."""

import math

import torch
import torch.nn.functional as F

from minisora.vae import Posterior

from .common import Function, called, hint_for, same, say

SHAPES = ((2, 3, 2, 4, 6), (1, 2, 1, 3, 2), (3, 1, 5, 2, 2))  # (B, Cz, Tz, Hz, Wz)


def _draw(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def check_reparameterise(reparameterise: Function) -> bool:
    """Exercise 1: latents from mean, log variance and noise, with a gradient to the first two."""
    for seed, shape in enumerate(SHAPES):
        mean = _draw(shape, seed).requires_grad_()
        logvar = _draw(shape, seed + 10).requires_grad_()
        noise = _draw(shape, seed + 20)
        answer = called(reparameterise, mean, logvar, noise)
        if answer is None:
            return False
        right = Posterior(mean, logvar).at(noise)
        mistakes = {
            "it gives back the mean: where is the noise?": mean,
            "the noise has standard deviation 1: the width in logvar is not used": mean + noise,
            "the noise is multiplied by logvar: that is the logarithm of a variance,"
            " not a standard deviation": mean + logvar * noise,
            "the noise is multiplied by the variance: a standard deviation is its square root": mean
            + logvar.exp() * noise,
            "the noise is subtracted: the sign is wrong": mean - (0.5 * logvar).exp() * noise,
        }
        where = f"latents of shape {shape}"
        if not same(answer, right, "reparameterise", where, mistakes):
            return False
        if not _gradients_pass(answer, right, mean, logvar):
            return False
    return say("right values, and the gradient reaches mean and logvar", True)


def _gradients_pass(
    answer: torch.Tensor, right: torch.Tensor, mean: torch.Tensor, logvar: torch.Tensor
) -> bool:
    if not answer.requires_grad:
        return say(
            "the values are right, but no gradient flows back:"
            " do not detach, and use neither torch.no_grad nor torch.normal"
        )
    gradients = torch.autograd.grad(answer.sum(), (mean, logvar), allow_unused=True)
    expected = torch.autograd.grad(right.sum(), (mean, logvar))
    for name, gradient, wanted in zip(("mean", "logvar"), gradients, expected, strict=True):
        if gradient is None:
            return say(f"the values are right, but no gradient reaches {name}: was it detached?")
        if not same(gradient, wanted, f"the gradient with respect to {name}"):
            return False
    return True


def check_causal_conv(causal_conv: Function) -> bool:
    """Exercise 2: a convolution over present and past, the first frame repeated before it."""
    cases = ((1, 1, 5, 1, 3), (2, 3, 7, 4, 3), (1, 2, 1, 3, 4), (2, 1, 6, 2, 1), (1, 2, 4, 2, 2))
    for seed, (B, C, T, out, K) in enumerate(cases):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(B, C, T, dtype=torch.float64, generator=generator)
        weight = torch.randn(out, C, K, dtype=torch.float64, generator=generator)
        answer = called(causal_conv, x, weight)
        if answer is None:
            return False
        right = F.conv1d(_repeated(x, K - 1, 0), weight)
        where = f"x {tuple(x.shape)} and weight {tuple(weight.shape)}"
        if not same(answer, right, "causal_conv", where, _conv_mistakes(x, weight)):
            return False
    return say("right for kernels of 1 to 4 frames, and nothing comes from the future", True)


def _repeated(x: torch.Tensor, before: int, after: int) -> torch.Tensor:
    return F.pad(x, (before, after), mode="replicate")


def _conv_mistakes(x: torch.Tensor, weight: torch.Tensor) -> dict[str, torch.Tensor]:
    K = weight.shape[-1]
    T = x.shape[-1]
    if K == 1:
        return {}
    both = "a frame sees later ones: padding on both sides is not causal"
    left = (K - 1) // 2
    mistakes = {
        "the frames before the first are zeros; here the first frame is repeated": F.conv1d(
            F.pad(x, (K - 1, 0)), weight
        ),
        both: F.conv1d(_repeated(x, left, K - 1 - left), weight),
        both + ", and zeros are no frames": F.conv1d(F.pad(x, (left, K - 1 - left)), weight),
        "a frame sees only the future: the padding is at the end": F.conv1d(
            _repeated(x, 0, K - 1), weight
        ),
        "the kernel is reversed in time: its last entry belongs to the present": F.conv1d(
            _repeated(x, K - 1, 0), weight.flip(-1)
        ),
        "pad one side, not both": F.conv1d(_repeated(x, K - 1, K - 1), weight),
    }
    if T >= K:
        mistakes[f"repeat the first frame {K - 1} times before the start"] = F.conv1d(x, weight)
    return mistakes


def check_find_collapsed(find_collapsed: Function) -> bool:
    """Exercise 3: the channels whose KL is almost nothing."""
    for seed, shape in enumerate(((2, 6, 2, 3, 4), (3, 6, 1, 2, 2))):
        mean = _draw(shape, seed)
        logvar = _draw(shape, seed + 10)
        logvar[:, 1:] -= 2
        mean[:, 0] *= 0.02  # collapsed: close to the prior
        logvar[:, 0] *= 0.02
        mean[:, 2] = 0  # a mean that is always 0, but narrow: it has a KL
        logvar[:, 3] = 0  # as wide as the prior, but its mean says something
        mean[:, 5] = 0  # collapsed: equal to the prior
        logvar[:, 5] = 0
        answer = called(find_collapsed, Posterior(mean, logvar))
        if answer is None:
            return False
        try:
            channels = sorted(int(channel) for channel in answer)
        except (TypeError, ValueError):
            got = type(answer).__name__
            return say(f"find_collapsed should give back a list of channel numbers, not {got}")
        if channels != [0, 5]:
            return say(_collapse_mistake(channels))
    return say("right: channels that are narrow or whose mean moves carry something", True)


def _collapse_mistake(channels: list[int]) -> str:
    if channels == [1, 2, 3, 4]:
        return "you named the channels that carry something; the others are asked for"
    if 2 in channels:
        return (
            "channel 2 has a mean near 0, but it is much narrower than the prior:"
            " use the KL, not the mean alone"
        )
    if 3 in channels:
        return "channel 3 is as wide as the prior, but its mean moves: use the KL, not logvar alone"
    if channels == [5]:
        return (
            "channel 5 has no KL at all, but another has next to none:"
            " compare with a small threshold, not with 0"
        )
    if not channels:
        return (
            "you found none of the collapsed channels;"
            " take the mean KL of a channel over clips and cells"
        )
    return f"you named {len(channels)} channels {channels}; some do not belong or are missing"


def check_kl(kl: Function) -> bool:
    """Exercise 4: KL(q ‖ N(0, 1)) in nats, summed over each clip."""
    for seed, shape in enumerate(SHAPES):
        mean = _draw(shape, seed)
        logvar = _draw(shape, seed + 10)
        answer = called(kl, mean, logvar)
        if answer is None:
            return False
        right = Posterior(mean, logvar).kl()
        where = f"latents of shape {shape}"
        hint = hint_for(answer, _kl_mistakes(mean, logvar, right), 1e-8)
        if isinstance(answer, torch.Tensor) and answer.shape == mean.shape:
            hint = "this is a KL for every number; sum over all axes but the first"
        if isinstance(answer, torch.Tensor) and answer.ndim == 0:
            hint = "this is one number for the whole batch; one for each clip is asked for"
        if not same(answer, right, "kl", where, tolerance=1e-8, otherwise=hint):
            return False
    return say("right, one number for each clip", True)


def _kl_mistakes(
    mean: torch.Tensor, logvar: torch.Tensor, right: torch.Tensor
) -> dict[str, torch.Tensor]:
    def summed(numbers: torch.Tensor) -> torch.Tensor:
        return 0.5 * numbers.flatten(1).sum(1)

    variance = logvar.exp()
    return {
        "it is twice as large as it should be: a half is missing": 2 * right,
        "its sign is wrong: a KL is never negative": -right,
        "it is a mean over each clip; it should be a sum": right / mean[0].numel(),
        "it is in bits; nats are asked for": right / math.log(2),
        "variance and log variance are swapped": summed(mean**2 + logvar - 1 - variance),
        "logvar is the logarithm of the variance, not of the standard deviation": summed(
            mean**2 + variance**2 - 1 - 2 * logvar
        ),
        "the mean enters squared": summed(mean + variance - 1 - logvar),
        "where q is the prior the KL should be 0, and yours is not": summed(
            mean**2 + variance - logvar
        ),
    }
