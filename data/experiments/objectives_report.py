"""Rectified flow and its elders on the same data in the plane: `python -m data.experiments.objectives_report` prints how far their samples are from it."""

import math
from collections.abc import Sequence

import torch

from minisora.compare.objectives import DRAWS, sample_with, train_objective
from minisora.compare.toy2d import mixture


def distance(points: torch.Tensor, truth: torch.Tensor) -> float:
    """Energy distance of two clouds (1, N, 2): 2 E|x − y| − E|x − x′| − E|y − y′|, 0 where they are alike. In units of the plane."""
    x, y = points[0].double(), truth[0].double()
    apart = lambda a: float(torch.cdist(a, a).sum()) / (len(a) * (len(a) - 1))
    return 2 * float(torch.cdist(x, y).mean()) - apart(x) - apart(y)


def compare(
    name: str = "moons",
    num_inference_steps: Sequence[int] = (5, 20, 100),
    steps: int = 1500,
    seeds: Sequence[int] = (0, 1, 2),
) -> dict[tuple[str, str, str], dict[str, dict[str, float]]]:
    """(schedule, target, times) → sampler and steps → mean and largest energy distance over trainings; and under "truth" two true clouds."""
    data = mixture(name)
    truth = data.sample(2000, torch.Generator().manual_seed(99))
    rows = [("flow", "velocity", times) for times in DRAWS]
    rows += [
        (schedule, target, "uniform")
        for schedule in ("linear", "cosine")
        for target in ("noise", "clean", "v")
    ]
    table = {}
    for schedule, target, times in rows:
        guesses, row = (
            [train_objective(data, schedule, target, times, steps, seed=seed) for seed in seeds],
            {},
        )
        for sampler in ("ddim", "ddpm")[: 1 if schedule == "flow" else 2]:
            for n in num_inference_steps:
                far = [
                    distance(sample_with(guess, schedule, n, sampler=sampler), truth)
                    for guess in guesses
                ]
                row[f"{sampler} {n}"] = {"mean": sum(far) / len(far), "largest": max(far)}
        table[schedule, target, times] = row
    again = [
        distance(data.sample(2000, torch.Generator().manual_seed(100 + seed)), truth)
        for seed in seeds
    ]
    table["truth", "–", "–"] = {
        "–": {"mean": sum(again) / len(again), "largest": max(map(abs, again))}
    }
    return table


if __name__ == "__main__":
    for (schedule, target, times), row in compare().items():
        cells = "   ".join(
            f"{name} {1000 * f['mean']:.1f} (≤ {1000 * f['largest']:.1f})"
            for name, f in row.items()
            if not math.isnan(f["mean"])
        )
        print(f"{schedule:7s} {target:9s} {times:13s} {cells}")
