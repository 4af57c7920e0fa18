"""Notebook 07, Train it."""

import itertools
import math
from collections.abc import Callable

import torch
import torch.nn as nn

from minisora.config import TrainConfig
from minisora.train.loop import EMA, learning_rate_at

from .common import Function, called, is_close, same, say

# ------------------------------------------------------------------------------ 1 averaged weights


def check_ema_step(ema_step: Function) -> bool:
    """Exercise 1: ema_step(average, weights, decay, step) → the new average, with the warm-in."""
    for shape, decay in itertools.product(((3,), (2, 5), (1, 1, 4)), (0.5, 0.9, 0.995)):
        generator = torch.Generator().manual_seed(0)
        model = nn.ParameterDict({"w": nn.Parameter(torch.zeros(shape, dtype=torch.float64))})
        right = EMA(model, decay)
        rows: dict[str, list[torch.Tensor]] = {}
        for step in range(1, 101):
            average = right.weights["w"].clone()
            weights = torch.randn(shape, generator=generator, dtype=torch.float64)
            model["w"].data.copy_(weights)
            right.update(model, step)
            answer = called(ema_step, average.clone(), weights.clone(), decay, step)
            if answer is None:
                return False
            if not isinstance(answer, torch.Tensor) or answer.shape != average.shape:
                return same(answer, average, "ema_step", f"decay {decay:g}, step {step}")
            rows.setdefault("yours", []).append(answer)
            rows.setdefault("right", []).append(right.weights["w"].clone())
            for words, kept in _wrong_decays(decay, step).items():
                rows.setdefault(words, []).append(kept * average + (1 - kept) * weights)
        steps = {name: torch.stack(row) for name, row in rows.items()}
        yours, expected = steps.pop("yours"), steps.pop("right")
        where = f"shape {shape}, decay {decay:g}, steps 1 to 100"
        other = "what is kept of the average and what is taken of the weights add up to one"
        if not same(yours, expected, "ema_step", where, steps, otherwise=other):
            return False
    return say("right for three shapes and three decays, over a hundred steps", True)


def _wrong_decays(decay: float, step: int) -> dict[str, float]:
    """Words for a mistake → what it keeps of the average."""
    warm = (1 + step) / (10 + step)
    return {
        "the two have changed places: a decay near 1 should keep the average": 1 - min(decay, warm),
        "the decay is the same at every step: where is the warm-in?": decay,
        "it takes the larger of decay and warm-in": max(decay, warm),
        "the warm-in should not go on for ever: decay is its upper end": warm,
        "the warm-in is one step off": min(decay, step / (10 + step)),
        "it keeps nothing of the average": 0.0,
    }


# -------------------------------------------------------------------------------- 2 learning rate

MOMENTS = (  # step, fraction of the budget that is spent
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
)


def check_learning_rate(learning_rate: Function) -> bool:
    """Exercise 2: learning_rate(step, progress, peak, warmup_steps, cooldown_fraction)."""
    for peak, warmup, cooldown in ((1e-3, 10, 0.4), (2e-3, 1, 1.0), (0.5, 100, 0.25)):
        config = TrainConfig(learning_rate=peak, warmup_steps=warmup, cooldown_fraction=cooldown)
        for step, progress in MOMENTS:
            right = learning_rate_at(config, step, progress)
            answer = called(learning_rate, step, progress, peak, warmup, cooldown)
            if answer is None:
                return False
            rate = float(answer)
            if not math.isclose(rate, right, rel_tol=1e-9, abs_tol=1e-12):
                factor = rate / right if right else math.inf
                hint = _rate_hint(rate, step, progress, peak, warmup, cooldown)
                return say(
                    f"at step {step}, {100 * progress:g} % of the budget, peak {peak:g}, "
                    f"warm-up {warmup}, cool-down over the last {100 * cooldown:g} %: "
                    f"{rate:.3g} is off by a factor of {factor:.2f}; {hint}"
                )
    return say("right in the warm-up, on the plateau, in the cool-down and after the end", True)


def _rate_hint(
    rate: float, step: int, progress: float, peak: float, warmup: int, cooldown: float
) -> str:
    """What a wrong rate looks like."""
    fall = min(1.0, max(0.0, 1 - progress) / cooldown)
    warm = min(1.0, (step + 1) / warmup)
    if rate < 0:
        return "a budget counted in minutes ends a little late: the rate must not turn negative"
    if step == 0 and rate == 0:
        return "a first step at rate zero changes nothing: count it as step one of the warm-up"
    if rate > peak:
        return "the peak should never be passed"
    mistakes = {
        "the first step is already one step of the warm-up": peak * min(1.0, step / warmup) * fall,
        "the warm-up is right; and at the end?": peak * warm,
        "it falls from the start: hold it until the last part of the budget": (
            peak * warm * max(0.0, 1 - progress)
        ),
        "the end is right; and at the beginning?": peak * fall,
    }
    for words, wrong in mistakes.items():
        if math.isclose(rate, wrong, rel_tol=1e-9, abs_tol=1e-12):
            return words
    return "is the cool-down a straight line over the last part of the budget, down to zero?"


# --------------------------------------------------------------------------- 3 three planted bugs

Step = Callable[..., float]


class _Lines(nn.Module):
    """A velocity that is linear in x_t and σ, of tokens that do not see each other."""

    def __init__(self, size: int):
        super().__init__()
        generator = torch.Generator().manual_seed(size)
        weight = torch.randn(size, size, generator=generator, dtype=torch.float64)
        bias = torch.randn(size, generator=generator, dtype=torch.float64)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)

    def forward(self, x_t: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return x_t @ self.weight + sigma[..., None] * self.bias


def _step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    x_0: torch.Tensor,
    noise: torch.Tensor,
    sigma: torch.Tensor,
    fault: str = "",
) -> float:
    """One training step, right or with one fault."""
    level = {"first": sigma[:, :1], "clean": 1 - sigma}.get(fault, sigma)
    x_t = (1 - level[..., None]) * x_0 + level[..., None] * noise
    target = {"swapped": x_0 - noise, "noise": noise, "x_0": x_0}.get(fault, noise - x_0)
    error = (model(x_t, sigma) - target).square().mean(-1)
    loss = error.mean() if fault == "conditioning" else error[sigma > 0].mean()
    if fault != "gathers":
        optimizer.zero_grad()
    loss.backward()
    if fault != "still":
        optimizer.step()
    return loss.item()


FAULTS = {
    "swapped": (
        "the loss is that of a velocity which points the other way: "
        "samples will go away from the data"
    ),
    "first": (
        "tokens of one clip have noise levels of their own; here one level is used for all of them"
    ),
    "gathers": (
        "the first step is right and the second is not: something of the first is still there"
    ),
    "clean": "at noise level 1 there should be nothing but noise, at 0 nothing but data",
    "noise": "the target is the noise alone",
    "x_0": "the target is the clean tokens alone",
    "conditioning": (
        "tokens at noise level 0 are conditioning, so they should not count in the loss"
    ),
    "still": "the loss is right, but the weights never move",
}


PLANTED = {"A": "swapped", "B": "first", "C": "gathers"}  # never explained: they are the exercise


def _walk(step: Step, shape: tuple[int, int, int], **options: str) -> torch.Tensor:
    """Losses and last weights of three steps on a small fixed problem, in one row."""
    B, N, P = shape
    model, generator = _Lines(P), torch.Generator().manual_seed(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    for _ in range(3):
        x_0, noise = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
        sigma = torch.rand(B, N, generator=generator, dtype=torch.float64)
        sigma[0, -1] = 0
        losses.append(float(step(model, optimizer, x_0, noise, sigma, **options)))
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    return torch.cat([torch.tensor(losses, dtype=torch.float64), weights])


def check_repairs(step_a: Step, step_b: Step, step_c: Step) -> bool:
    """Exercise 3: three training steps, each without its bug."""
    steps = {"A": step_a, "B": step_b, "C": step_c}
    return all([_check_step(letter, step) for letter, step in steps.items()])


def _check_step(letter: str, step: Step) -> bool:
    for shape in ((4, 3, 2), (2, 5, 1), (3, 2, 4)):
        try:
            answer = _walk(step, shape)
        except Exception as error:
            return say(f"step {letter} raised {type(error).__name__}: {error}")
        mistakes = {words: _walk(_step, shape, fault=fault) for fault, words in FAULTS.items()}
        planted = mistakes[FAULTS[PLANTED[letter]]]
        if is_close(answer, planted):
            return say(f"step {letter} still has its bug")
        other = "the weights and losses go another way"
        right = _walk(_step, shape)
        if not same(answer, right, f"step {letter}", "", mistakes, otherwise=other):
            return False
    return say(f"step {letter} is sound", True)


# ----------------------------------------------------------------------------- 4 is my loss normal


def check_trivial_losses(trivial_losses: Function) -> bool:
    """Exercise 4: trivial_losses(sigma, std) → loss of zero, loss of the best multiple of x_t."""
    for shape, std in itertools.product(((5,), (2, 3), (1, 7, 1)), (1.0, 0.5, 3.0)):
        sigma = torch.rand(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        sigma.flatten()[0] = 0.0
        sigma.flatten()[-1] = 1.0
        answer = called(trivial_losses, sigma.clone(), std)
        if answer is None:
            return False
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            return say(
                "trivial_losses should return two tensors: "
                "the loss of zero, and of the best multiple of x_t"
            )
        where = f"shape {shape}, standard deviation {std:g}"
        power = (1 - sigma) ** 2 * std**2 + sigma**2  # variance of x_t
        shared = sigma - (1 - sigma) * std**2  # covariance of x_t and velocity
        zero = torch.full_like(sigma, 1 + std**2)
        scaled = zero - shared**2 / power
        one_only = "it holds for standard deviation 1 only"
        for_zero = {
            "is it written yet?": torch.zeros_like(sigma),
            "the noise has a variance too": zero - 1,
            "noise and data are independent: their variances add": (
                torch.full_like(sigma, (1 - std) ** 2)
            ),
            "a velocity has no noise level in it: the loss of zero is the same at every σ": power,
            one_only: torch.full_like(sigma, 2.0),
            "variances add, not standard deviations": torch.full_like(sigma, 1 + std),
        }
        for_scaled = {
            "that is what x_t explains; what is left?": shared**2 / power,
            "divide what x_t and velocity share by the variance of x_t": zero - shared**2,
            one_only: 1 / ((1 - sigma) ** 2 + sigma**2),
            "that is still the loss of zero": zero,
        }
        if not same(answer[0], zero, "the loss of zero", where, for_zero):
            return False
        if not same(answer[1], scaled, "the loss of the best multiple", where, for_scaled):
            return False
    return say("right at every noise level, for normalised latents and others", True)
