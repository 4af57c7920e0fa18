"""Plots: the only place that imports matplotlib.

points of a training's curve.json ── plot_curve ──► axes; a figure ── figure_html ──► an image tag
"""

import io
from typing import TYPE_CHECKING, Any

from PIL import Image

from minisora.show.clip import image_html

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FAMILIES = (("solo", "#0072B2", "o"), ("pair", "#D55E00", "s"))  # name, colour, marker


def new_axes(
    width: float = 6.0,
    height: float = 3.2,
    columns: int = 1,
    rows: int = 1,
    **options: Any,
) -> "tuple[Figure, Any]":
    """Make a figure on opaque white, which no one shows by accident, and its axes.

    Args:
        width, height: inches.
        options: those of matplotlib's `Figure.subplots`.

    Returns:
        the figure, and its axes: one, or an array of them where there are several.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white", layout="constrained")
    axes = figure.subplots(rows, columns, **options)
    return figure, axes


def figure_html(figure: "Figure", alt: str, dpi: int = 80) -> str:
    """A matplotlib figure as an image tag, with words for those who do not see it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    picture = Image.open(buffer)
    return image_html(picture, alt)


def plot_curve(points: list[dict[str, Any]], ax: "Axes | None" = None) -> "Axes":
    """Draw prompt accuracy against minutes of training from nothing, with 95 % bands.

    Args:
        points: of a run's `curve.json`.
    """
    if ax is None:
        _, ax = new_axes()
    points = [point for point in points if point["stage"] == "dit" and "solo" in point]
    minutes = [point["minutes"] for point in points]
    for family, color, marker in FAMILIES:
        figures = [point[family]["all"] for point in points]
        values = [figure["value"] for figure in figures]
        low = [figure["low"] for figure in figures]
        high = [figure["high"] for figure in figures]
        label = f"{family}, all attributes at once"
        ax.plot(minutes, values, color=color, marker=marker, markersize=3, label=label)
        ax.fill_between(minutes, low, high, color=color, alpha=0.15)
    ax.set_xlabel("minutes of training from nothing, all stages counted")
    ax.set_ylabel("fraction of clips as asked")
    ax.set_ylim(0, 1)
    ax.legend(loc="lower right")
    return ax
