"""Notebook 02, The time-space compressor."""

import torch
import torch.nn.functional as F

from minisora.vae import Posterior

from .common import called, same, say

SHAPES = ((2, 3, 2, 4, 6), (1, 2, 1, 3, 2), (3, 1, 5, 2, 2))  # (B, Cz, Tz, Hz, Wz)


def _posterior(shape: tuple[int, ...], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random mean and log variance in float64."""
    return torch.randn(
        2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    ).unbind(0)


def _like(yours, wrong: torch.Tensor, tolerance: float = 1e-9) -> bool:
    """Whether a reader's answer is this wrong one."""
    if not isinstance(yours, torch.Tensor) or yours.shape != wrong.shape:
        return False
    return bool((yours.detach().double() - wrong.detach().double()).abs().max() <= tolerance)


def check_reparameterise(reparameterise) -> bool:
    """Notebook 02, exercise 1: latents from mean, log variance and noise, with a gradient to the first two."""
    for seed, shape in enumerate(SHAPES):
        mean, logvar = (x.clone().requires_grad_() for x in _posterior(shape, seed))
        noise = _posterior(shape, seed + 10)[0]
        yours = called(reparameterise, mean, logvar, noise)
        if yours is None:
            return False
        for wrong, fault in (
            (mean, "it gives back the mean: where is the noise?"),
            (
                mean + noise,
                "it adds noise of standard deviation 1: the width in logvar is not used",
            ),
            (
                mean + logvar * noise,
                "it multiplies the noise by logvar: that is the logarithm of a variance, not a standard deviation",
            ),
            (
                mean + logvar.exp() * noise,
                "it multiplies the noise by the variance: a standard deviation is its square root",
            ),
            (
                mean - (0.5 * logvar).exp() * noise,
                "it subtracts the noise: the sign is turned round",
            ),
        ):
            if _like(yours, wrong):
                return say(fault)
        values = yours.detach() if isinstance(yours, torch.Tensor) else yours
        if not same(
            values,
            Posterior(mean, logvar).at(noise).detach(),
            "reparameterise",
            f"latents of shape {shape}",
        ):
            return False
        if not yours.requires_grad:
            return say(
                "the values are right, but no gradient flows back: do not detach, and no torch.no_grad or torch.normal"
            )
        grads = torch.autograd.grad(yours.sum(), (mean, logvar), allow_unused=True)
        right = torch.autograd.grad(Posterior(mean, logvar).at(noise).sum(), (mean, logvar))
        for name, grad, expected in zip(("mean", "logvar"), grads, right, strict=True):
            if grad is None:
                return say(
                    f"the values are right, but no gradient reaches {name}: was it detached?"
                )
            if not same(grad, expected, f"the gradient with respect to {name}"):
                return False
    return say("right values, and the gradient reaches mean and logvar", True)


def check_causal_conv(causal_conv) -> bool:
    """Notebook 02, exercise 2: a convolution along time that sees the present and the past, the first frame repeated before it."""
    for seed, (B, C, T, out, K) in enumerate(
        ((1, 1, 5, 1, 3), (2, 3, 7, 4, 3), (1, 2, 1, 3, 4), (2, 1, 6, 2, 1), (1, 2, 4, 2, 2))
    ):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(B, C, T, dtype=torch.float64, generator=generator)
        weight = torch.randn(out, C, K, dtype=torch.float64, generator=generator)
        where = f"x {tuple(x.shape)} and weight {tuple(weight.shape)}"
        yours = called(causal_conv, x, weight)
        if yours is None:
            return False
        if isinstance(yours, torch.Tensor) and yours.ndim == 3 and yours.shape[-1] == T - K + 1 < T:
            return say(
                f"you give back {yours.shape[-1]} of {T} frames for {where}: repeat the first frame {K - 1} times before the start"
            )
        if isinstance(yours, torch.Tensor) and yours.ndim == 3 and yours.shape[-1] == T + K - 1 > T:
            return say(
                f"you give back {yours.shape[-1]} frames of {T} for {where}: pad one side, not both"
            )
        repeat = lambda before, after, x=x: F.pad(x, (before, after), mode="replicate")
        left, right = (K - 1) // 2, K - 1 - (K - 1) // 2
        for wrong, fault in (
            (
                F.conv1d(F.pad(x, (K - 1, 0)), weight),
                "the frames before the first are zeros; here the first frame is repeated",
            ),
            (
                F.conv1d(F.pad(x, (left, right)), weight),
                "a frame sees later ones: padding on both sides is not causal",
            ),
            (
                F.conv1d(repeat(left, right), weight),
                "a frame sees later ones: padding on both sides is not causal",
            ),
            (
                F.conv1d(repeat(0, K - 1), weight),
                "a frame sees only the future: the padding is at the end",
            ),
            (
                F.conv1d(repeat(K - 1, 0), weight.flip(-1)),
                "the kernel is turned round in time: its last entry belongs to the present",
            ),
        ):
            if K > 1 and T > 1 and _like(yours, wrong):
                return say(f"{fault} ({where})")
        if not same(yours, F.conv1d(repeat(K - 1, 0), weight), "causal_conv", where):
            return False
    return say(
        "right for one frame, for kernels of 1 to 4 frames, and nothing from the future", True
    )


def check_find_collapsed(find_collapsed) -> bool:
    """Notebook 02, exercise 3: the channels whose KL is almost nothing."""
    for seed, shape in enumerate(((2, 6, 2, 3, 4), (3, 6, 1, 2, 2))):
        mean, logvar = _posterior(shape, seed)
        logvar = logvar - 2
        mean[:, 0], logvar[:, 0] = 0.02 * mean[:, 0], 0.02 * (logvar[:, 0] + 2)  # collapsed
        mean[:, 2] = 0  # mean always 0, but narrow: it has a KL
        logvar[:, 3] = 0  # as wide as the prior, but its mean says something
        mean[:, 5], logvar[:, 5] = 0, 0  # collapsed
        yours = called(find_collapsed, Posterior(mean, logvar))
        if yours is None:
            return False
        try:
            yours = sorted(int(c) for c in yours)
        except (TypeError, ValueError):
            return say(
                f"find_collapsed should give back a list of channel numbers, not {type(yours).__name__}"
            )
        if yours == [0, 5]:
            continue
        if yours == [1, 2, 3, 4]:
            return say("you named the channels that carry something; the others are asked for")
        if 2 in yours:
            return say(
                "channel 2 has a mean near 0, but it is much narrower than the prior: look at the KL, not only at the mean"
            )
        if 3 in yours:
            return say(
                "channel 3 is as wide as the prior, but its mean moves: look at the KL, not only at logvar"
            )
        if yours == [5]:
            return say(
                "channel 5 has exactly no KL, but another has next to none: compare with a small threshold, not with 0"
            )
        if not yours:
            return say(
                "you found none of the collapsed channels; take the mean KL of a channel over clips and cells"
            )
        return say(f"you named {len(yours)} channels {yours}; some do not belong or are missing")
    return say(
        "right: narrow channels and channels with a moving mean carry something, the others do not",
        True,
    )


def check_kl(kl) -> bool:
    """Notebook 02, exercise 4: KL(q ‖ N(0, 1)) in nats, summed over each clip."""
    for seed, shape in enumerate(SHAPES):
        mean, logvar = _posterior(shape, seed)
        yours = called(kl, mean, logvar)
        if yours is None:
            return False
        right = Posterior(mean, logvar).kl()
        where = f"latents of shape {shape}"
        if isinstance(yours, torch.Tensor) and yours.shape == mean.shape:
            return say(
                f"you give back a KL for every number; sum over all axes but the first ({where})"
            )
        if isinstance(yours, torch.Tensor) and yours.ndim == 0:
            return say(
                f"you give back one number for the whole batch; it should be one a clip, of shape {tuple(right.shape)}"
            )
        for factor, fault in (
            (2.0, "it is twice as large as it should be: a half is missing"),
            (-1.0, "its sign is turned round: a KL is never negative"),
            (1 / mean[0].numel(), "it is a mean over each clip; it should be a sum"),
            (
                1 / torch.log(torch.tensor(2.0, dtype=torch.float64)),
                "it is in bits; nats are asked for",
            ),
        ):
            if _like(yours, right * factor, 1e-8):
                return say(f"{fault} ({where})")
        flat = lambda x: 0.5 * x.flatten(1).sum(1)
        for wrong, fault in (
            (
                flat(mean**2 + logvar - 1 - logvar.exp()),
                "variance and log variance have changed places",
            ),
            (
                flat(mean**2 + logvar.exp() ** 2 - 1 - 2 * logvar),
                "logvar is the logarithm of the variance, not of the standard deviation",
            ),
            (flat(mean + logvar.exp() - 1 - logvar), "the mean enters squared"),
            (
                flat(mean**2 + logvar.exp() - logvar),
                "where q is the prior the KL should be 0, and yours is not",
            ),
        ):
            if _like(yours, wrong, 1e-8):
                return say(f"{fault} ({where})")
        if not same(yours, right, "kl", where, tolerance=1e-8):
            return False
    return say("right, one number a clip", True)
