"""Fractions, means and slopes with their 95 % intervals.

    flags ── fraction_of ──► {"value", "low", "high", "n"}
    flags of each game ── fraction_of_groups ──► {"value", "low", "high", "n"}
    values ── mean_of ──► {"mean", "low", "high", "n"}
    pairs ── slope_of ──► {"slope", "low", "high", "n"}

Wilson's interval: E. B. Wilson, Probable inference, the law of succession, and statistical
inference, JASA 22 (1927). Groups: W. G. Cochran, Sampling Techniques (1977), on proportions in
cluster sampling. Where there is nothing to measure, a figure is None.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import torch

Figure: TypeAlias = dict[str, float]
Z = 1.96  # standard deviations on either side that hold 95 % of a normal distribution


def wilson_interval(successes: int, n: int, z: float = Z) -> Figure:
    """A fraction with its 95 % interval (Wilson's score interval).

    Args:
        successes: how many of n. n: at least 1.

    Returns:
        value, low and high in [0, 1], and n.

    Raises:
        ValueError: n is 0, or there are more successes than n.
    """
    if n < 1:
        raise ValueError(f"n={n}: a fraction of nothing has no interval; measure at least one")
    if not 0 <= successes <= n:
        raise ValueError(f"successes={successes} is not between 0 and n={n}")
    return _wilson(successes / n, n, z) | {"n": n}


def _wilson(p: float, n: float, z: float = Z) -> Figure:
    """Value, low and high for a fraction p of n independent draws."""
    scale = 1 + z * z / n
    middle = (p + z * z / (2 * n)) / scale
    variance = p * (1 - p) / n + z * z / (4 * n * n)
    half = z * math.sqrt(variance) / scale
    return {
        "value": round(p, 4),
        "low": round(max(0.0, middle - half), 4),
        "high": round(min(1.0, middle + half), 4),
    }


def fraction_of(flags: Sequence[bool]) -> Figure | None:
    """How many of the flags are set, with Wilson's interval; None where there are none."""
    if not len(flags):
        return None
    return wilson_interval(sum(map(bool, flags)), len(flags))


def fraction_of_groups(groups: Sequence[Sequence[bool]]) -> Figure | None:
    """How many of all flags are set, where the flags of one group may agree with each other.

    Ten coins of one game say less than ten coins of ten games. So the interval is Wilson's for as
    many independent flags as would vary as much: m = p (1 − p) / variance, where
    variance = G / (G − 1) · Σ (set of a group − p · flags of it)² / n² for G groups. Where nothing
    varies, which is no proof that nothing ever would, each group counts as one flag.

    Returns:
        value, low and high in [0, 1], and n, the number of all flags; None where there are none.
    """
    groups = [flags for flags in groups if len(flags)]
    if not groups:
        return None
    G = len(groups)
    sizes = [len(flags) for flags in groups]
    counts = [sum(map(bool, flags)) for flags in groups]
    n = sum(sizes)
    p = sum(counts) / n
    pairs = zip(counts, sizes, strict=True)
    squares = sum((count - p * size) ** 2 for count, size in pairs)
    independent = float(G)
    if G > 1 and squares > 1e-9:
        variance = G / (G - 1) * squares / n**2
        independent = min(p * (1 - p) / variance, n)
    return _wilson(p, independent) | {"n": n}


def mean_of(values: Sequence[float]) -> Figure | None:
    """A mean with its 95 % interval (normal approximation) over the finite values.

    Returns:
        mean, low, high and n; None where fewer than two values are finite.
    """
    x = torch.tensor(list(values), dtype=torch.float64)
    x = x[x.isfinite()]
    n = len(x)
    if n < 2:
        return None
    error = float(x.std()) / math.sqrt(n)
    return _interval("mean", float(x.mean()), error, n)


def slope_of(pairs: Sequence[Sequence[float]]) -> Figure | None:
    """Slope of the least-squares line through (x, y), with its 95 % interval.

    Returns:
        slope, low, high and n; None for fewer than three pairs or where all x are the same.
    """
    points = torch.tensor([list(pair) for pair in pairs], dtype=torch.float64).reshape(-1, 2)
    points = points[points.isfinite().all(1)]
    n = len(points)
    if n < 3:
        return None
    x, y = (points - points.mean(0)).T
    squares = float(x.square().sum())
    if squares == 0:
        return None
    slope = float((x * y).sum()) / squares
    residuals = y - slope * x
    variance = float(residuals.square().sum()) / (n - 2)
    return _interval("slope", slope, math.sqrt(variance / squares), n)


def _interval(name: str, value: float, error: float, n: int) -> Figure:
    """A value and its 95 % interval from the standard error."""
    return {
        name: round(value, 4),
        "low": round(value - Z * error, 4),
        "high": round(value + Z * error, 4),
        "n": n,
    }


def psnr_of(video: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio of each clip: 10·log10(2² / mean squared error).

    Args:
        video, truth: (B, 3, T, H, W) in [-1, 1].

    Returns:
        (B,), in dB.
    """
    error = (video.clamp(-1, 1) - truth).square().flatten(1).mean(1)
    return 10 * torch.log10(4 / error.clamp(min=1e-10))


def is_figure(value: Any) -> bool:
    """Whether a part of a table is a figure with an interval, and no table itself."""
    return isinstance(value, dict) and "n" in value


def lines_of(table: dict[str, Any], path: str = "") -> str:
    """Nested figures as text, a line each: path, value, interval, n."""
    lines = []
    for name, part in table.items():
        label = f"  {path + name:<44} "
        if is_figure(part):
            lines.append(f"{label}{percent(part):<24} n = {part['n']}")
        elif isinstance(part, dict):
            lines.append(lines_of(part, f"{path}{name} · "))
        elif isinstance(part, int | float):
            lines.append(f"{label}{part:7.3f}")
    return "\n".join(line for line in lines if line)


def percent(figure: Figure | None) -> str:
    """A figure in short: "95 % [90, 98]", or "33.2 [33.0, 33.4]" where it is no fraction."""
    if figure is None:
        return "–"
    if "value" in figure:
        value, low, high = (100 * figure[name] for name in ("value", "low", "high"))
        return f"{value:.0f} % [{low:.0f}, {high:.0f}]"
    value = figure["mean"] if "mean" in figure else figure["slope"]
    digits = 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 3
    return f"{value:.{digits}f} [{figure['low']:.{digits}f}, {figure['high']:.{digits}f}]"
