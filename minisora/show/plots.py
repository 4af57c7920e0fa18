"""Plots. The only place that imports matplotlib."""

import io

from PIL import Image

from minisora.show.clip import image_html


def new_axes(width: float = 6.0, height: float = 3.2, columns: int = 1, rows: int = 1, **options):
    """A figure on opaque white that no one shows by accident, and its axes: one, or an array of rows × columns."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white", layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def figure_html(figure, alt: str, dpi: int = 80, colors: int = 64) -> str:
    """A matplotlib figure as an image tag; with pictures of many hues in it, more `colors`."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return image_html(Image.open(buffer), alt, colors=colors)


def plot_curve(points: list[dict], ax=None):
    """Prompt accuracy against minutes from nothing, with 95 % bands, from a run's `curve.json`."""
    ax = ax or new_axes()[1]
    points = [p for p in points if p["stage"] == "dit" and "solo" in p]
    minutes = [p["minutes"] for p in points]
    for family, color, marker in (("solo", "#0072B2", "o"), ("pair", "#D55E00", "s")):
        figures = [p[family]["all"] for p in points]
        ax.plot(
            minutes,
            [f["value"] for f in figures],
            color=color,
            marker=marker,
            markersize=3,
            label=f"{family}, all attributes at once",
        )
        ax.fill_between(
            minutes,
            [f["low"] for f in figures],
            [f["high"] for f in figures],
            color=color,
            alpha=0.15,
        )
    ax.set(
        xlabel="minutes from nothing, all stages counted",
        ylabel="share of clips as asked",
        ylim=(0, 1),
    )
    ax.legend(loc="lower right")
    return ax
