"""Rectified flow and earlier formulations on the same data in the plane.

    python -m data.experiments.objectives_report

prints how far the samples of each are from the data.
"""

from collections.abc import Sequence

import torch

from minisora.compare.objectives import DRAWS, sample_with, train_objective
from minisora.compare.toy2d import Mixture, mixture

COUNT = 2000  # points of a cloud
Row = dict[str, dict[str, float]]  # sampler and steps → mean and largest distance over trainings


def distance(points: torch.Tensor, data: torch.Tensor) -> float:
    """Energy distance of two clouds (1, N, 2), in units of the plane; 0 where they are alike.

    2 E|x − y| − E|x − x′| − E|y − y′|
    """
    x = points[0].double()
    y = data[0].double()
    return 2 * float(torch.cdist(x, y).mean()) - _within(x) - _within(y)


def _within(x: torch.Tensor) -> float:
    """Mean distance between two points of one cloud (N, 2)."""
    return float(torch.cdist(x, x).sum()) / (len(x) * (len(x) - 1))


def objectives() -> list[tuple[str, str, str]]:
    """The objectives that are compared: (schedule, target, times)."""
    rows = [("flow", "velocity", times) for times in DRAWS]
    for schedule in ("linear", "cosine"):
        rows += [(schedule, target, "uniform") for target in ("noise", "clean", "v")]
    return rows


def compare(
    name: str = "moons",
    num_inference_steps: Sequence[int] = (5, 20, 100),
    steps: int = 1500,
    seeds: Sequence[int] = (0, 1, 2),
) -> dict[tuple[str, str, str], Row]:
    """Train every objective, and measure its samples.

    Returns:
        (schedule, target, times) → a row; under "ground truth", the distance of two clouds of data.
    """
    data = mixture(name)
    truth = _cloud(data, 99)
    table: dict[tuple[str, str, str], Row] = {}
    for schedule, target, times in objectives():
        guesses = [
            train_objective(data, schedule, target, times, steps, seed=seed) for seed in seeds
        ]
        row: Row = {}
        for sampler in ("ddim",) if schedule == "flow" else ("ddim", "ddpm"):
            for n in num_inference_steps:
                samples = [sample_with(guess, schedule, n, sampler=sampler) for guess in guesses]
                row[f"{sampler} {n}"] = _summary([distance(x, truth) for x in samples])
        table[schedule, target, times] = row
    again = [distance(_cloud(data, 100 + seed), truth) for seed in seeds]
    table["ground truth", "–", "–"] = {"–": _summary(again)}
    return table


def _cloud(data: Mixture, seed: int) -> torch.Tensor:
    return data.sample(COUNT, torch.Generator().manual_seed(seed))


def _summary(distances: list[float]) -> dict[str, float]:
    return {
        "mean": sum(distances) / len(distances),
        "largest": max(abs(distance) for distance in distances),
    }


if __name__ == "__main__":
    for (schedule, target, times), row in compare().items():
        cells = [
            f"{name} {1000 * f['mean']:.1f} (≤ {1000 * f['largest']:.1f})"
            for name, f in row.items()
        ]
        print(f"{schedule:12s} {target:9s} {times:13s} {'   '.join(cells)}")
