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
    for ax, (title, values) in zip(plots[0], panels.items(), strict=True):
        bar = figure.colorbar(ax.imshow(values, extent=extent, **shown))
        bar.ax.tick_params(labelsize=7)
        for mark in marks:
            ax.axhline(mark, color="white", linewidth=0.7)
            ax.axvline(mark, color="white", linewidth=0.7)
        if numbers:
            middle = float(values.min() + values.max()) / 2
            for (i, j), value in np.ndenumerate(np.asarray(values)):
                color = "black" if value > middle else "white"
                ax.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=8, color=color)
        ax.set(title=title, **axes)
    return drawn(figure, alt)


def token_maps(rows: Mapping[str, torch.Tensor], alt: str) -> Html:
    """Values of the tokens (t, h, w), a column for each latent frame and a row for each name."""
    columns = len(next(iter(rows.values())))
    size = (6.8, 0.3 + 1.25 * len(rows))
    figure, plots = new_axes(*size, columns=columns, rows=len(rows), squeeze=False)
    for i, (line, (title, values)) in enumerate(zip(plots, rows.items(), strict=True)):
        ends = {"vmin": float(values.min()), "vmax": float(values.max())}
        for t, ax in enumerate(line):
            image = ax.imshow(values[t], cmap="cividis", **ends)
            ax.set(xticks=[], yticks=[])
            ax.set_title("" if i else f"latent frame {t}", fontsize=8)
        line[0].set_ylabel(title, fontsize=8)
        figure.colorbar(image, ax=line.tolist()).ax.tick_params(labelsize=7)
    return drawn(figure, alt)


def lines(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], alt: str, **axes: Any
) -> Html:
    """Curves, each with its own colour, dashes and marker: name → x and y."""
    figure, ax = new_axes(8.0, 2.6)
    for k, (name, (xs, ys)) in enumerate(curves.items()):
        style: dict[str, Any] = {"linestyle": DASHES[k % 4], "marker": MARKERS[k], "markersize": 3}
        ax.plot(xs, ys, color=COLORS[k], label=name, **style)
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
        rows = [i + wide * (k - len(groups) / 2 + 0.5) for i in range(len(names))]
        ends = np.array([values[name] for name in names])
        style = {"color": COLORS[k], "hatch": HATCHES[k], "edgecolor": "white"}
        ax.barh(rows, ends - start, 0.75 / len(groups), left=start, label=group, **style)
        if errors:
            ax.errorbar(ends, rows, xerr=errors[k], linestyle="none", color="black", elinewidth=0.9)
    ax.set(yticks=range(len(names)), yticklabels=names, **axes)
    ax.minorticks_off()
    ax.invert_yaxis()
    figure.legend(fontsize=8, loc="outside upper center", ncols=len(groups))
    return drawn(figure, alt)
