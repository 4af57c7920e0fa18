"""Notebook 12, Where it breaks."""

import math

import torch

from minisora import MiniSora, parse, read, verdict
from minisora.measure.clips import generate_clips
from minisora.measure.physics import velocity_error
from minisora.widgets.failures import prompt_of

from .common import Function, called, is_near, number, same_number, say


def check_velocity_error(velocity_error_of: Function) -> bool:
    """Exercise 1: mean length of the difference of two velocities."""
    generator = torch.Generator().manual_seed(0)
    for frames, fps, lost in ((17, 8.0, ()), (5, 10.0, ()), (2, 8.0, ()), (17, 8.0, (6, 11))):
        positions, truth = torch.randn(2, frames, 2, dtype=torch.float64, generator=generator)
        positions[list(lost)] = torch.nan
        answer = called(velocity_error_of, positions.clone(), truth.clone(), fps)
        if answer is None:
            return False
        error = number(answer, "the error")
        if error is None:
            return False
        right = velocity_error(positions, truth, fps)
        mistakes = _velocity_mistakes(positions, truth, fps)
        hint = ""
        if lost:
            hint = (
                "it was right without lost frames; with them, count only differences"
                " between two frames in which the object was seen"
            )
        if math.isnan(error):
            hint = (
                "frames in which the judge saw no object hold nan;"
                " leave them out of the mean (nanmean does)"
            )
        where = f"{frames} frames at {fps:g} a second"
        if not same_number(error, right, "the error", where, mistakes, hint):
            return False
    return say("right for any length and frame rate, and where the object is lost", True)


def _velocity_mistakes(
    positions: torch.Tensor, truth: torch.Tensor, fps: float
) -> dict[str, float]:
    v = positions.diff(dim=0) * fps
    w = truth.diff(dim=0) * fps
    gap = v - w
    lengths = gap.norm(dim=-1)
    known = gap[gap.isfinite().all(-1)]
    return {
        "this is per frame; a velocity is per second, so the frame rate belongs in it": float(
            lengths.nanmean() / fps
        ),
        "the difference was divided by the frame rate; frames are 1 / fps seconds apart": float(
            lengths.nanmean() / fps**2
        ),
        "this compares positions; a clip that starts elsewhere but moves rightly is right": float(
            (positions - truth).norm(dim=-1).nanmean()
        ),
        "this compares speeds: left instead of right would be no error. Subtract vectors": float(
            (v.norm(dim=-1) - w.norm(dim=-1)).abs().nanmean()
        ),
        "this is the mean of the squares; the metric is the mean of the lengths": float(
            lengths.square().nanmean()
        ),
        "this is the root of the mean square; the metric is the mean of the lengths": float(
            lengths.square().nanmean().sqrt()
        ),
        "this is the mean over components; take the length over x and y first": float(
            gap.abs().nanmean()
        ),
        "this adds the components; a length is the root of the sum of their squares": float(
            gap.abs().sum(-1).nanmean()
        ),
        "the mean was taken before the length, so errors in opposite directions cancel": float(
            known.sum(0).norm() / max(len(known), 1)
        ),
        "this is the sum over frames, not their mean": float(lengths.nansum()),
    }


def check_preference_error(preference_error_of: Function) -> bool:
    """Exercise 2: the fraction of pairs in which the true clip has the higher loss."""
    generator = torch.Generator().manual_seed(1)
    for n, shift in ((7, 0.3), (40, 0.2), (1, 5.0), (1, -5.0), (25, -0.4)):
        true = torch.randn(n, dtype=torch.float64, generator=generator)
        implausible = true + shift + torch.randn(n, dtype=torch.float64, generator=generator)
        answer = called(preference_error_of, true.clone(), implausible.clone())
        if answer is None:
            return False
        error = number(answer, "the error")
        if error is None:
            return False
        right = float((true > implausible).double().mean())
        mistakes = {
            "these are pairs that are preferred rightly; in an error the TRUE loss is higher": (
                1 - right
            ),
            "this is in percent; give a fraction between 0 and 1": 100 * right,
            "this is how many pairs, not which fraction of them": n * right,
            "this compares the two means; compare pair by pair, because clips differ more"
            " from each other than the two of a pair": float(true.mean() > implausible.mean()),
            "this compares every true clip with every implausible one; only the two of a pair"
            " share their objects and their noise": float(
                (true[:, None] > implausible[None]).double().mean()
            ),
            "this is how large the differences are; the metric counts which is larger": float(
                (true - implausible).mean()
            ),
            "this does not use the implausible clips": float(
                (true > true.median()).double().mean()
            ),
        }
        if not same_number(error, right, "the error", f"{n} pairs", mistakes):
            return False
    return say("right; a perfect model gets 0, a coin about 0.5", True)


# --------------------------------------------------------------------- 3 make one failure better


def check_better(
    model: MiniSora,
    better: Function,
    kind: str = "physics: thrown",
    clips: int = 24,
    seed: int = 500,
    **options: object,
) -> bool:
    """Exercise 3: does `better(model, prompts, seed)` follow prompts more often? A sign test.

    It is compared with clips of prompts as typed.
    """
    options = {"upsample": False} | options
    prompts = [prompt_of(kind, i) for i in range(clips)]
    videos = called(better, model, prompts, seed)
    if videos is None:
        return False
    plain = generate_clips(model, prompts, seed, **options)
    if not isinstance(videos, torch.Tensor) or videos.shape != plain.shape:
        got = type(videos).__name__
        if isinstance(videos, torch.Tensor):
            got = tuple(videos.shape)
        return say(
            f"better should give back one video for each prompt, {tuple(plain.shape)}, not {got}"
        )
    if not videos.isfinite().all() or videos.abs().max() > 1.01:
        return say("better should give back videos in [-1, 1]; these have other values")
    before = _follows(plain, prompts)
    after = _follows(videos, prompts)
    flips = list(zip(before, after, strict=True))
    mended = flips.count((False, True))
    broken = flips.count((True, False))
    told = (
        f"as asked: {sum(before)} of {clips} plain, {sum(after)} of {clips} yours;"
        f" {mended} mended, {broken} broken"
    )
    if torch.allclose(videos, plain, atol=1e-3):
        return say(f"{told}. These are the plain clips: nothing was changed")
    if sum(before) == clips:
        return say(f"{told}. The plain model is never wrong here; choose another kind")
    if mended < broken:
        return say(f"{told}. That is worse. Do you keep the clip that the judge rejects?")
    if mended == broken:
        return say(f"{told}. That is no better")
    chance = _coin_chance(mended, broken)
    if chance >= 0.05:
        need = mended
        while _coin_chance(need, broken) >= 0.05:
            need += 1
        return say(
            f"{told}. Better, but a coin does as well with a chance of {chance:.2f};"
            f" with {broken} broken you need {need} mended to be below 0.05"
        )
    return say(f"{told}. A coin does as well with a chance of only {chance:.4f}", True)


def _follows(videos: torch.Tensor, prompts: list[str]) -> list[bool]:
    results = []
    for video, prompt in zip(videos, prompts, strict=True):
        results.append(verdict(read(video), parse(prompt)).all)
    return results


def _coin_chance(mended: int, broken: int) -> float:
    """The chance that a fair coin wins at least `mended` of all changes."""
    changes = mended + broken
    ways = sum(math.comb(changes, k) for k in range(mended, changes + 1))
    return ways / 2**changes


# -------------------------------------------------------------------------------- 4 an interval


def check_wilson(wilson_of: Function) -> bool:
    """Exercise 4: Wilson's 95 % interval of a fraction."""
    for k, n in ((8, 10), (50, 200), (0, 24), (24, 24), (1, 3)):
        answer = called(wilson_of, k, n)
        if answer is None:
            return False
        name = f"wilson_interval({k}, {n})"
        try:
            low, high = (float(value) for value in answer)
        except (TypeError, ValueError):
            return say(f"{name} should give back two numbers, low and high, not {answer!r}")
        right, mistakes = _wilson_cases(k, n)
        cut = (max(0.0, right[0]), min(1.0, right[1]))
        if _both_near((low, high), right) or _both_near((low, high), cut):
            continue
        hint = ""
        for words, wrong in mistakes.items():
            if _both_near((low, high), wrong):
                hint = f": {words}"
                break
        off = max(abs(low - right[0]), abs(high - right[1]))
        return say(f"{name} is off by up to {off:.3g}{hint}")
    return say("right in the middle and at both ends, where the interval still has a width", True)


def _both_near(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return is_near(a[0], b[0]) and is_near(a[1], b[1])


def _wilson_cases(
    k: int, n: int, z: float = 1.96
) -> tuple[tuple[float, float], dict[str, tuple[float, float]]]:
    """The right interval, and those of plausible mistakes."""
    p = k / n
    divisor = 1 + z * z / n
    middle = p + z * z / (2 * n)
    root = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    wald = z * math.sqrt(p * (1 - p) / n)
    low = (middle - root) / divisor
    high = (middle + root) / divisor
    return (low, high), {
        "this is p ± 1.96 √(p (1 − p) / n), which has no width at 0 of n and can leave"
        " 0 … 1; Wilson's interval mends that": (p - wald, p + wald),
        "this is the normal interval, cut at 0 and 1; at 0 of n it still has no width": (
            max(0.0, p - wald),
            min(1.0, p + wald),
        ),
        "this is in percent; give fractions": (100 * low, 100 * high),
        "low and high are swapped": (high, low),
        "the division by 1 + z² / n is missing": (middle - root, middle + root),
        "the middle is divided by 1 + z² / n, the half-width is not": (
            middle / divisor - root,
            middle / divisor + root,
        ),
        "the middle is not p but p + z² / (2 n): it is drawn towards one half": (
            (p - root) / divisor,
            (p + root) / divisor,
        ),
        "under the root, z² / (4 n²) is missing": (
            (middle - wald) / divisor,
            (middle + wald) / divisor,
        ),
        "high is a count, not a fraction": (low, high * n),
    }
