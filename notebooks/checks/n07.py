"""Notebook 07, Train it."""

import itertools
import math

import torch
import torch.nn as nn

from minisora.config import TrainConfig
from minisora.train.loop import EMA, learning_rate_at

from .common import called, same, say


def check_ema_step(ema_step) -> bool:
    """Notebook 07, exercise 1: ema_step(average, weights, decay, step) → the new average, with the warm-in."""
    for shape, decay in itertools.product(((3,), (2, 5), (1, 1, 4)), (0.5, 0.9, 0.995)):
        generator = torch.Generator().manual_seed(0)
        draw = lambda: torch.randn(shape, generator=generator, dtype=torch.float64)  # noqa: B023, E731
        model = nn.ParameterDict({"w": nn.Parameter(draw())})
        right = EMA(model, decay)
        yours = right.weights["w"].clone()
        for step in range(1, 101):
            before, weights = yours.clone(), draw()
            with torch.no_grad():
                model["w"].copy_(weights)
            right.update(model, step)
            yours = called(ema_step, before.clone(), weights.clone(), decay, step)
            if yours is None:
                return False
            where = f"shape {shape}, decay {decay:g}, step {step}"
            if (
                isinstance(yours, torch.Tensor)
                and yours.shape == shape
                and not torch.allclose(yours.double(), right.weights["w"], atol=1e-9)
            ):
                return say(
                    f"ema_step is off by up to {float((yours - right.weights['w']).abs().max()):.3g} for {where}{_ema_fault(ema_step)}"
                )
            if not same(yours, right.weights["w"], "ema_step", where):
                return False
    return say("right for three shapes and three decays, over a hundred steps", True)


def _ema_fault(ema_step) -> str:
    """What a wrong function resembles, by the share that it keeps of an average of one when the weights are zero."""
    faults = {
        "the two have changed places: a decay near 1 should keep the average": lambda decay, warm, step: (
            1 - min(decay, warm)
        ),
        "the decay is the same at every step: where is the warm-in?": lambda decay, warm, step: (
            decay
        ),
        "it takes the larger of decay and warm-in": lambda decay, warm, step: max(decay, warm),
        "the warm-in should never let go: decay is its upper end": lambda decay, warm, step: warm,
        "the warm-in is one step off": lambda decay, warm, step: min(decay, step / (10 + step)),
        "it keeps nothing of the average": lambda decay, warm, step: 0.0,
    }
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    probes = [(decay, step) for decay in (0.5, 0.995) for step in (1, 20, 9000)]
    shares = [float(ema_step(one.clone(), zero.clone(), decay, step)) for decay, step in probes]
    for words, share in faults.items():
        if all(
            math.isclose(s, share(d, (1 + n) / (10 + n), n), rel_tol=1e-9)
            for s, (d, n) in zip(shares, probes, strict=True)
        ):
            return f"; {words}"
    return "; what you keep of the average and what you take of the weights should add up to one"


def check_learning_rate(learning_rate) -> bool:
    """Notebook 07, exercise 2: learning_rate(step, progress, peak, warmup_steps, cooldown_fraction) → the rate of this step."""
    for peak, warmup, share in ((1e-3, 10, 0.4), (2e-3, 1, 1.0), (0.5, 100, 0.25)):
        config = TrainConfig(learning_rate=peak, warmup_steps=warmup, cooldown_fraction=share)
        for step, progress in (
            (0, 0.0),
            (1, 0.01),
            (4, 0.02),
            (9, 0.05),
            (50, 0.3),
            (200, 0.58),
            (200, 0.7),
            (300, 0.9),
            (400, 1.0),
            (401, 1.002),
        ):
            right = learning_rate_at(config, step, progress)
            yours = called(learning_rate, step, progress, peak, warmup, share)
            if yours is None:
                return False
            if not math.isclose(float(yours), right, rel_tol=1e-9, abs_tol=1e-12):
                where = f"at step {step}, {100 * progress:g} % of the budget, peak {peak:g}, warm-up {warmup}, decay over the last {100 * share:g} %"
                return say(
                    f"{where}: {float(yours):.3g} is off by a factor of {float(yours) / right if right else math.inf:.2f}{_rate_fault(float(yours), right, step, progress, peak, warmup, share)}"
                )
    return say("right in the warm-up, on the plateau, in the decay and after the end", True)


def _rate_fault(yours, right, step, progress, peak, warmup, share) -> str:
    close = lambda value: math.isclose(yours, value, rel_tol=1e-9, abs_tol=1e-12)
    fall = min(1.0, max(0.0, 1 - progress) / share)
    if yours < 0:
        return "; a budget counted in minutes ends a little late: the rate must not turn negative"
    if step == 0 and yours == 0:
        return "; a first step at rate zero is a step wasted: count it as step one of the warm-up"
    if close(peak * min(1.0, step / warmup) * fall):
        return "; the first step is already one step of the warm-up"
    if yours > peak:
        return "; the peak should never be passed"
    if close(peak * min(1.0, (step + 1) / warmup)):
        return "; the warm-up is right; and at the end?"
    if close(peak * min(1.0, (step + 1) / warmup) * max(0.0, 1 - progress)):
        return "; it falls from the start: hold it until the last part of the budget"
    if close(peak * fall):
        return "; the end is right; and at the beginning?"
    return "; is the decay a straight line that begins where the last share of the budget begins, and ends at zero?"


class _Lines(nn.Module):
    """A velocity that is linear in x_t and σ, of tokens that do not see each other."""

    def __init__(self, size: int):
        super().__init__()
        draw = lambda *shape: nn.Parameter(
            torch.randn(*shape, generator=torch.Generator().manual_seed(size), dtype=torch.float64)
        )
        self.weight, self.bias = draw(size, size), draw(size)

    def forward(self, x_t: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return x_t @ self.weight + sigma[..., None] * self.bias


def _step(model, optimizer, x_0, noise, sigma, fault: str = ""):
    """One training step, right or with one fault."""
    level = sigma[:, :1] if fault == "first" else 1 - sigma if fault == "clean" else sigma
    x_t = (1 - level[..., None]) * x_0 + level[..., None] * noise
    target = {"swapped": x_0 - noise, "noise": noise, "x_0": x_0}.get(fault, noise - x_0)
    error = (model(x_t, sigma) - target).square().mean(-1)
    loss = error.mean() if fault == "given" else error[sigma > 0].mean()
    if fault != "gathers":
        optimizer.zero_grad()
    loss.backward()
    if fault != "still":
        optimizer.step()
    return loss.item()


FAULTS = {
    "swapped": "the loss is that of a velocity which points the other way: samples will run away from the data",
    "first": "tokens of one clip have noise levels of their own; here one level is used for all of them",
    "gathers": "the first step is right and the second is not: something of the first is still there",
    "clean": "at noise level 1 there should be nothing but noise, at 0 nothing but data",
    "noise": "the target is the noise alone",
    "x_0": "the target is the clean tokens alone",
    "given": "tokens at noise level 0 are given; nothing is asked of them, so they should not count",
    "still": "the loss is right, but the weights never move",
}


def _walk(step, shape) -> tuple[list[float], torch.Tensor]:
    """Losses and last weights of three steps on a small fixed problem."""
    B, N, P = shape
    model, generator = _Lines(P), torch.Generator().manual_seed(1)
    optimizer, losses = torch.optim.SGD(model.parameters(), lr=0.05), []
    for _ in range(3):
        x_0, noise = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
        sigma = torch.rand(B, N, generator=generator, dtype=torch.float64)
        sigma[0, -1] = 0
        losses.append(float(step(model, optimizer, x_0, noise, sigma)))
    return losses, torch.cat([p.detach().flatten() for p in model.parameters()])


def check_repairs(step_a, step_b, step_c) -> bool:
    """Notebook 07, exercise 3: three training steps, each without its bug."""
    return all(
        [
            _check_step(letter, step)
            for letter, step in zip("ABC", (step_a, step_b, step_c), strict=True)
        ]
    )


def _check_step(letter: str, step) -> bool:
    alike = lambda a, b: (
        torch.allclose(torch.tensor(a[0]), torch.tensor(b[0]), atol=1e-9)
        and torch.allclose(a[1], b[1], atol=1e-9)
    )
    for shape in ((4, 3, 2), (2, 5, 1), (3, 2, 4)):
        try:
            yours = _walk(step, shape)
        except Exception as error:
            return say(f"step {letter} raised {type(error).__name__}: {error}")
        right = _walk(_step, shape)
        if not alike(yours, right):
            wrong = {
                name: _walk(lambda *a, name=name: _step(*a, fault=name), shape) for name in FAULTS
            }
            words = next(
                (FAULTS[name] for name in FAULTS if alike(yours, wrong[name])),
                "the weights and losses go another way",
            )
            miss = max(abs(a - b) for a, b in zip(yours[0], right[0], strict=True))
            return say(
                f"step {letter}: {words} (loss off by up to {miss:.3g}, weights by {float((yours[1] - right[1]).abs().max()):.3g})"
            )
    return say(f"step {letter} is sound", True)


def check_trivial_losses(trivial_losses) -> bool:
    """Notebook 07, exercise 4: trivial_losses(sigma, std) → loss of saying zero, loss of the best multiple of x_t."""
    for shape, std in itertools.product(((5,), (2, 3), (1, 7, 1)), (1.0, 0.5, 3.0)):
        sigma = torch.rand(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        sigma.flatten()[0], sigma.flatten()[-1] = 0.0, 1.0
        yours = called(trivial_losses, sigma.clone(), std)
        if yours is None:
            return False
        if not isinstance(yours, (tuple, list)) or len(yours) != 2:
            return say(
                "trivial_losses should return two tensors: the loss of saying zero, and of the best multiple of x_t"
            )
        where = f"shape {shape}, standard deviation {std:g}"
        spread = (1 - sigma) ** 2 * std**2 + sigma**2  # variance of x_t
        shared = sigma - (1 - sigma) * std**2  # covariance of x_t and velocity
        zero, scaled = torch.full_like(sigma, 1 + std**2), 1 + std**2 - shared**2 / spread
        faults = {
            "zero": {
                "is it written yet?": torch.zeros_like(sigma),
                "the noise has a variance too": zero - 1,
                "noise and data are independent: their variances add": torch.full_like(
                    sigma, (1 - std) ** 2
                ),
                "a velocity has no noise level in it: the loss of zero is the same at every σ": spread,
                "it holds for standard deviation 1 only": torch.full_like(sigma, 2.0),
                "variances add, not standard deviations": torch.full_like(sigma, 1 + std),
            },
            "scaled": {
                "that is what x_t explains; what is left?": shared**2 / spread,
                "divide what x_t and velocity share by the variance of x_t": zero - shared**2,
                "it holds for standard deviation 1 only": 1 / ((1 - sigma) ** 2 + sigma**2),
                "that is still the loss of zero": zero,
            },
        }
        for value, right, kind, name in (
            (yours[0], zero, "zero", "the loss of saying zero"),
            (yours[1], scaled, "scaled", "the loss of the best multiple"),
        ):
            if (
                isinstance(value, torch.Tensor)
                and value.shape == right.shape
                and not torch.allclose(value.double(), right, atol=1e-9)
            ):
                words = next(
                    (
                        f"; {w}"
                        for w, guess in faults[kind].items()
                        if torch.allclose(value.double(), guess, atol=1e-9)
                    ),
                    "",
                )
                return say(
                    f"{name} is off by up to {float((value - right).abs().max()):.3g} for {where}{words}"
                )
            if not same(value, right, name, where):
                return False
    return say("right at every noise level, for normalised latents and others", True)
