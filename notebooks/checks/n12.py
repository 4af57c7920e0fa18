"""Notebook 12, Where it breaks."""

import math

import torch

from minisora import parse, read, verdict
from minisora.measure.clips import make
from minisora.measure.physics import velocity_error
from minisora.widgets.failures import prompt_of

from .common import called, say


def _number(yours) -> float | None:
    """A float from what a reader's function gave back, after saying what is wrong where there is none."""
    if isinstance(yours, torch.Tensor) and yours.numel() == 1:
        return float(yours)
    if isinstance(yours, int | float) and not isinstance(yours, bool):
        return float(yours)
    say(
        f"it should give back one number, not {tuple(yours.shape) if isinstance(yours, torch.Tensor) else type(yours).__name__}"
    )
    return None


def _near(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)


def check_velocity_error(velocity_error_of) -> bool:
    """Notebook 12, exercise 1: mean length of the difference of two velocities."""
    source = torch.Generator().manual_seed(0)
    for frames, fps, lost in ((17, 8.0, ()), (5, 10.0, ()), (2, 8.0, ()), (17, 8.0, (6, 11))):
        yours, truth = torch.randn(2, frames, 2, dtype=torch.float64, generator=source)
        yours[list(lost)] = torch.nan
        answer = called(velocity_error_of, yours.clone(), truth.clone(), fps)
        if answer is None:
            return False
        answer = _number(answer)
        if answer is None:
            return False
        right = velocity_error(yours, truth, fps)
        if _near(answer, right):
            continue
        v, w = yours.diff(dim=0) * fps, truth.diff(dim=0) * fps
        gap = v - w
        known = gap.isfinite().all(-1)
        faults = (
            (
                float(gap.norm(dim=-1).nanmean()) / fps,
                "this is per frame; a velocity is per second, so the frame rate belongs in it",
            ),
            (
                float(gap.norm(dim=-1).nanmean()) / fps**2,
                "the difference was divided by the frame rate; two frames are 1 / fps seconds apart",
            ),
            (
                float((yours - truth).norm(dim=-1).nanmean()),
                "this compares places, not velocities: a clip that starts elsewhere but moves rightly is right",
            ),
            (
                float((v.norm(dim=-1) - w.norm(dim=-1)).abs().nanmean()),
                "this compares speeds: moving left instead of right would be no error. Subtract the vectors first",
            ),
            (
                float(gap.square().sum(-1).nanmean()),
                "this is the mean of the squares; the metric is the mean of the lengths",
            ),
            (
                float(gap.square().sum(-1).nanmean().sqrt()),
                "this is the root of the mean square; the metric is the mean of the lengths",
            ),
            (
                float(gap.abs().nanmean()),
                "this is the mean over components; take the length of each difference over x and y first",
            ),
            (
                float(gap.abs().sum(-1).nanmean()),
                "this adds the components; the length of a vector is the root of the sum of their squares",
            ),
            (
                float(gap[known].sum(0).norm()) / max(int(known.sum()), 1),
                "the differences were averaged before taking the length, so that errors in opposite directions cancel",
            ),
            (float(gap.norm(dim=-1).nansum()), "this is the sum over frames, not their mean"),
        )
        fault = next((words for wrong, words in faults if _near(answer, wrong)), "")
        if math.isnan(answer):
            fault = "frames in which the judge saw no object hold nan; leave them out of the mean (nanmean does)"
        if lost and not fault:
            fault = "it was right without lost frames; with them, count only differences between two frames in which the object was seen"
        return say(
            f"for {frames} frames at {fps:g} a second it gives {answer:.4g}, off by {abs(answer - right):.3g}"
            + f". {fault}" * bool(fault)
        )
    return say(
        "right for long and short tracks, other frame rates, and frames in which the object is lost",
        True,
    )


def check_preference_error(preference_error_of) -> bool:
    """Notebook 12, exercise 2: share of pairs in which the true clip has the higher loss."""
    source = torch.Generator().manual_seed(1)
    for n, shift in ((7, 0.3), (40, 0.2), (1, 5.0), (1, -5.0), (25, -0.4)):
        valid = torch.randn(n, dtype=torch.float64, generator=source)
        invalid = valid + shift + torch.randn(n, dtype=torch.float64, generator=source)
        answer = called(preference_error_of, valid.clone(), invalid.clone())
        if answer is None:
            return False
        answer = _number(answer)
        if answer is None:
            return False
        right = float((valid > invalid).double().mean())
        if _near(answer, right):
            continue
        faults = (
            (
                1 - right,
                "this is the share of pairs that are preferred rightly; the error is when the TRUE clip has the higher loss",
            ),
            (100 * right, "this is in percent; give a share between 0 and 1"),
            (n * right, "this is how many pairs, not which share of them"),
            (
                float(valid.mean() > invalid.mean()),
                "this compares the two means; compare pair by pair, because clips differ more from each other than a lie from the truth",
            ),
            (
                float((valid[:, None] > invalid[None]).double().mean()),
                "this compares every true clip with every false one; only clips of one pair share their looks and their noise",
            ),
            (
                float((valid - invalid).mean()),
                "this is how large the differences are; the metric only counts which is the larger",
            ),
            (
                float((valid > valid.median()).double().mean()),
                "this does not look at the false clips",
            ),
        )
        fault = next((words for wrong, words in faults if _near(answer, wrong)), "")
        return say(
            f"for {n} pairs it gives {answer:.4g}, off by {abs(answer - right):.3g}"
            + f". {fault}" * bool(fault)
        )
    return say("right; an oracle gets 0, a coin about 0.5, and a liar 1", True)


def check_better(
    model, better, kind: str = "physics: thrown", clips: int = 24, seed: int = 500, **options
) -> bool:
    """Notebook 12, exercise 3: does `better(model, prompts, seed)` make more clips as asked than plain generation? One-sided sign test."""
    prompts = [prompt_of(kind, i) for i in range(clips)]
    made = called(better, model, prompts, seed)
    if made is None:
        return False
    plain = make(model, prompts, seed, **options)
    if not isinstance(made, torch.Tensor) or made.shape != plain.shape:
        what = tuple(made.shape) if isinstance(made, torch.Tensor) else type(made).__name__
        return say(f"better should give back one video a prompt, {tuple(plain.shape)}, not {what}")
    if not made.isfinite().all() or made.abs().max() > 1.01:
        return say("better should give back videos in [-1, 1]; these have other values")
    right = lambda videos: [
        verdict(read(v), parse(p)).all for v, p in zip(videos, prompts, strict=True)
    ]
    old, new = right(plain), right(made)
    won, lost = (
        sum(a == x and b != x for a, b in zip(old, new, strict=True)) for x in (False, True)
    )
    chance = sum(math.comb(won + lost, k) for k in range(won, won + lost + 1)) / 2 ** (
        won + lost
    )  # that a coin wins so often
    told = f"as asked: {sum(old)} of {clips} plain, {sum(new)} of {clips} yours; {won} mended, {lost} broken"
    if torch.allclose(made, plain, atol=1e-3):
        return say(f"{told}. These are the plain clips: nothing was changed")
    if sum(old) == clips:
        return say(f"{told}. The plain model is never wrong here; choose another kind")
    if won <= lost:
        return say(
            f"{told}. That is no better"
            + (
                ". Do you keep the clip that the judge likes, or the one that it does not?"
                if won < lost
                else ""
            )
        )
    if chance >= 0.05:
        need = next(
            k
            for k in range(won, 10**6)
            if sum(math.comb(k + lost, j) for j in range(k, k + lost + 1)) / 2 ** (k + lost) < 0.05
        )
        return say(
            f"{told}. Better, but a coin does as well with a chance of {chance:.2f}; with {lost} broken you need {need} mended to be below 0.05"
        )
    return say(f"{told}. A coin does as well with a chance of only {chance:.4f}", True)


def check_wilson(wilson_of) -> bool:
    """Notebook 12, exercise 4: Wilson's 95 % interval of a share."""
    z = 1.96
    for k, n in ((8, 10), (50, 200), (0, 24), (24, 24), (1, 3)):
        yours = called(wilson_of, k, n)
        if yours is None:
            return False
        try:
            low, high = (float(v) for v in yours)
        except (TypeError, ValueError):
            return say(
                f"wilson_interval({k}, {n}) should give back two numbers, low and high, not {yours!r}"
            )
        p = k / n
        below, root = 1 + z * z / n, z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        middle = p + z * z / (2 * n)
        right = ((middle - root) / below, (middle + root) / below)
        if all(
            math.isclose(a, min(1.0, max(0.0, b)), abs_tol=1e-6) or math.isclose(a, b, abs_tol=1e-6)
            for a, b in zip((low, high), right, strict=True)
        ):
            continue
        wald = z * math.sqrt(p * (1 - p) / n)
        faults = (
            (
                (p - wald, p + wald),
                "this is p ± 1.96 √(p (1 − p) / n), which has no width at 0 of n and can leave 0 … 1; that is what Wilson's mends",
            ),
            (
                (max(0.0, p - wald), min(1.0, p + wald)),
                "this is the normal interval, cut at 0 and 1; at 0 of n it still has no width",
            ),
            ((100 * right[0], 100 * right[1]), "this is in percent; give shares"),
            ((right[1], right[0]), "low and high are swapped"),
            ((middle - root, middle + root), "the division by 1 + z² / n is missing"),
            (
                (middle / below - root, middle / below + root),
                "the middle is divided by 1 + z² / n, the half-width is not",
            ),
            (
                ((p - root) / below, (p + root) / below),
                "the middle is not p but p + z² / (2 n): it is drawn towards one half",
            ),
            (
                (middle / below - wald / below, middle / below + wald / below),
                "under the root, z² / (4 n²) is missing",
            ),
            ((right[0], (middle + root) / below * n), "high is a count, not a share"),
        )
        fault = next(
            (words for wrong, words in faults if _near(low, wrong[0]) and _near(high, wrong[1])), ""
        )
        off = max(abs(low - right[0]), abs(high - right[1]))
        return say(f"for {k} of {n} it is off by up to {off:.3g}" + f": {fault}" * bool(fault))
    return say("right in the middle and at both ends, where the interval still has a width", True)
