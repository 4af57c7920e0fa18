"""Plots: what they say, and that nobody shows them by accident."""

import base64
import io
import re
import sys

import numpy as np
import pytest
from PIL import Image

from minisora.show.plots import figure_html, new_axes, plot_curve


def points() -> list[dict]:
    figure = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 64}
    families = {"solo": {"all": figure}, "pair": {"all": {**figure, "value": 0.3}}}
    return [
        {"stage": "vae", "minutes": 1.0},
        {"stage": "dit", "minutes": 5.0, **families},
        {"stage": "dit", "minutes": 6.0},  # not evaluated yet
        {"stage": "dit", "minutes": 9.0, **families},
    ]


def test_a_curve_shows_both_families_against_minutes_from_nothing():
    ax = plot_curve(points())
    assert "minutes" in ax.get_xlabel() and "from nothing" in ax.get_xlabel()
    assert ax.get_ylabel() == "fraction of clips as asked" and ax.get_ylim() == (0, 1)
    solo, pair = ax.get_lines()
    assert list(solo.get_xdata()) == [5.0, 9.0] and list(solo.get_ydata()) == [0.5, 0.5]
    assert list(pair.get_ydata()) == [0.3, 0.3]
    bands = [band.get_paths()[0].vertices[:, 1] for band in ax.collections]
    assert all(
        band.min() == pytest.approx(0.4) and band.max() == pytest.approx(0.6) for band in bands
    )


def test_a_curve_of_nothing_and_axes_of_ones_own():
    figure, axes = new_axes(columns=2, rows=1)
    assert plot_curve([], axes[1]) is axes[1] and len(axes) == 2
    assert figure.get_facecolor() == (1, 1, 1, 1)
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )


def test_figures_are_small_and_keep_their_colours():
    figure, axes = new_axes(8, 3, columns=3)
    rng = np.random.default_rng(0)
    axes[0].imshow(rng.random((16, 16)))
    axes[1].plot(rng.random(50).cumsum(), label="a curve")
    axes[1].legend()
    axes[2].imshow(rng.random((12, 12, 3)))
    html = figure_html(figure, 'noise, "a curve" & colours')
    data = base64.b64decode(re.search(r"base64,([^\"]+)", html)[1])
    assert "&quot;a curve&quot; &amp; colours" in html and len(data) < 30_000
    exact = io.BytesIO()
    figure.savefig(exact, format="png", dpi=80)
    off = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert abs(off - np.asarray(Image.open(exact).convert("RGB"))).max() <= 16
