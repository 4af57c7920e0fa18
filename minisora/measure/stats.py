"""Shares and means with their 95 % intervals."""

import math

import torch


def wilson(successes: int, n: int, z: float = 1.96) -> dict[str, float]:
    """A share with its 95 % interval (Wilson's score interval): value, low, high, n."""
    if n == 0:
        raise ValueError("a share of nothing has no interval; measure at least one")
    p = successes / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    rounded = lambda x: round(min(1.0, max(0.0, x)), 4)
    return {
        "value": round(p, 4),
        "low": rounded(middle - half),
        "high": rounded(middle + half),
        "n": n,
    }


def share(flags: list[bool]) -> dict[str, float] | None:
    """How many of the flags are set, with Wilson's interval; None where there are none."""
    return wilson(sum(flags), len(flags)) if flags else None


def mean_of(values: list[float]) -> dict[str, float] | None:
    """A mean with its 95 % interval (normal approximation) over what is finite; None where fewer than two values are."""
    x = torch.tensor(values, dtype=torch.float64)
    x = x[x.isfinite()]
    if len(x) < 2:
        return None
    mean, half = float(x.mean()), 1.96 * float(x.std()) / len(x) ** 0.5
    return {
        "mean": round(mean, 4),
        "low": round(mean - half, 4),
        "high": round(mean + half, 4),
        "n": len(x),
    }


def lines_of(table: dict, path: str = "") -> str:
    """Nested figures as text, a line each: path, value, interval, n."""
    lines = []
    for name, f in table.items():
        if isinstance(f, dict) and "n" not in f:
            lines.append(lines_of(f, f"{path}{name} · "))
        elif isinstance(f, dict):
            scale, unit, value = (100, "%", f["value"]) if "value" in f else (1, "", f["mean"])
            lines.append(
                f"  {path + name:<44} {scale * value:7.3f} {unit:<2} [{scale * f['low']:.3f}, {scale * f['high']:.3f}]   n = {f['n']}"
            )
        elif isinstance(f, (int, float)):
            lines.append(f"  {path + name:<44} {f:7.3f}")
    return "\n".join(filter(None, lines))


def psnr_of(video: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio in dB of each clip, (B,), for videos in [-1, 1]: 10·log10(2² / mean squared error)."""
    return 10 * torch.log10(
        4 / (video.clamp(-1, 1) - truth).square().flatten(1).mean(1).clamp(min=1e-10)
    )
