"""Figures that notebooks draw more than once: heat maps, maps over tokens, lines and bars.

    names → numbers ──► a matplotlib figure as `Html`, with words for those who do not see it

`axes` are names of matplotlib's `Axes.set`, such as xlabel.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from minisora.show.plots import new_axes
from minisora.widgets.common import Html, drawn

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#000000")  # Okabe and Ito
DASHES = ("-", "--", ":", "-.")
MARKERS = "os^vDx"
HATCHES = ("", "//", "..")


def heat(
    panels: Mapping[str, torch.Tensor],
    alt: str,
    marks: Sequence[float] = (),
    numbers: bool = False,
    extent: tuple[float, float, float, float] | None = None,
    **axes: Any,
) -> Html:
    """Matrices side by side, each with its own colours.

    Args:
        panels: title → (rows, columns).
        marks: places of white lines, along rows and columns.
        numbers: write the value into every cell.
        extent: left, right, bottom, top, as matplotlib has it.
    """
    figure, plots = new_axes(6.8, 2.6, columns=len(panels), squeeze=False)
    shown: dict[str, Any] = {"cmap": "cividis", "aspect": "auto", "interpolation": "nearest"}
    for ax, title in zip(plots[0], panels, strict=True):
        image = ax.imshow(panels[title], extent=extent, **shown)
        bar = figure.colorbar(image)
        bar.ax.tick_params(labelsize=7)
        for mark in marks:
            ax.axhline(mark, color="white", linewidth=0.7)
            ax.axvline(mark, color="white", linewidth=0.7)
        if numbers:
            _write_numbers(ax, np.asarray(panels[title]))
        ax.set(title=title, **axes)
    return drawn(figure, alt)


def _write_numbers(ax: Any, values: np.ndarray) -> None:
    """Write every value (rows, columns) into its cell, in black where that is bright."""
    middle = (values.min() + values.max()) / 2
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8}
    for (row, column), value in np.ndenumerate(values):
        color = "black" if value > middle else "white"
        ax.text(column, row, f"{value:.0f}", color=color, **style)


def token_maps(rows: Mapping[str, torch.Tensor], alt: str) -> Html:
    """Values of the tokens (t, h, w), a column for each latent frame and a row for each name."""
    columns = len(next(iter(rows.values())))
    height = 0.3 + 1.25 * len(rows)
    figure, plots = new_axes(6.8, height, columns=columns, rows=len(rows), squeeze=False)
    for line, title in zip(plots, rows, strict=True):
        values = rows[title]
        low = float(values.min())
        high = float(values.max())
        for ax, frame in zip(line, values, strict=True):
            image = ax.imshow(frame, cmap="cividis", vmin=low, vmax=high)
            ax.set(xticks=[], yticks=[])
        line[0].set_ylabel(title, fontsize=8)
        bar = figure.colorbar(image, ax=line.tolist())
        bar.ax.tick_params(labelsize=7)
    for t, ax in enumerate(plots[0]):
        ax.set_title(f"latent frame {t}", fontsize=8)
    return drawn(figure, alt)


def lines(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], alt: str, **axes: Any
) -> Html:
    """Curves, each with its own colour, dashes and marker: name → x and y."""
    figure, ax = new_axes(8.0, 2.6)
    for k, name in enumerate(curves):
        ax.plot(
            *curves[name],
            color=COLORS[k],
            linestyle=DASHES[k % 4],
            marker=MARKERS[k],
            markersize=3,
            label=name,
        )
    ax.set(**axes)
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))  # it hides no curve
    return drawn(figure, alt)


def bars(
    groups: Mapping[str, Mapping[str, float]],
    alt: str,
    start: float = 0.0,
    errors: Sequence[Sequence[float]] | None = None,
    height: float = 2.7,
    **axes: Any,
) -> Html:
    """Horizontal bars: a row for each name, in it a bar for each group.

    Args:
        groups: group → name → value.
        start: where the bars begin.
        errors: of every group, half of an interval for each name.
    """
    figure, ax = new_axes(6.8, height)
    wide = 0.8 / len(groups)
    names = list(next(iter(groups.values())))
    for k, (group, values) in enumerate(groups.items()):
        offset = wide * (k - len(groups) / 2 + 0.5)
        rows = np.arange(len(names)) + offset
        ends = np.array([values[name] for name in names])
        ax.barh(
            rows,
            ends - start,
            0.75 / len(groups),
            left=start,
            label=group,
            color=COLORS[k],
            hatch=HATCHES[k],
            edgecolor="white",
        )
        if errors:
            ax.errorbar(ends, rows, xerr=errors[k], linestyle="none", color="black", elinewidth=0.9)
    ax.set(yticks=range(len(names)), yticklabels=names, **axes)
    ax.minorticks_off()
    ax.invert_yaxis()
    figure.legend(fontsize=8, loc="outside upper center", ncols=len(groups))
    return drawn(figure, alt)
