"""Intervals hold what they promise, and nothing to measure is None, not a crash."""

import math
import random

import pytest
import torch

from minisora.measure.stats import (
    fraction_of,
    fraction_of_groups,
    lines_of,
    mean_of,
    percent,
    psnr_of,
    slope_of,
    wilson_interval,
)


def test_wilsons_interval_is_the_textbook_one():
    assert wilson_interval(8, 10) == {
        "value": 0.8,
        "low": pytest.approx(0.4902, abs=1e-3),
        "high": pytest.approx(0.9433, abs=1e-3),
        "n": 10,
    }
    assert wilson_interval(0, 5)["low"] == 0
    assert wilson_interval(5, 5)["high"] == 1
    for successes, n in ((0, 0), (3, 2), (-1, 4)):
        with pytest.raises(ValueError, match="n="):
            wilson_interval(successes, n)


def test_nothing_to_measure_is_none():
    assert fraction_of([]) is None
    assert fraction_of_groups([]) is None and fraction_of_groups([[], []]) is None
    for values in ([], [1.0], [float("nan")] * 5, [1.0, float("inf")]):
        assert mean_of(values) is None
    for pairs in ([], [(1, 2)], [(1, 2), (1, 3), (1, 4)], [(1, math.nan)] * 9):
        assert slope_of(pairs) is None
    assert lines_of({"a": None, "b": {"c": None}, "d": {}}) == ""
    assert percent(None) == "–"


def test_means_leave_out_what_is_not_finite():
    figure = mean_of([1.0, 2.0, 3.0, float("nan"), float("inf")])
    assert figure["mean"] == 2 and figure["n"] == 3 and figure["low"] < 2 < figure["high"]


def test_intervals_hold_the_true_value_in_nineteen_of_twenty_samples():
    rng = random.Random(0)
    held = {"mean": 0, "slope": 0, "fraction": 0}
    tries = 400
    for _ in range(tries):
        x = [rng.uniform(0, 1) for _ in range(40)]
        noise = [rng.gauss(0, 1) for _ in x]
        mean = mean_of([5 + e for e in noise])
        slope = slope_of([(a, 2 * a + e) for a, e in zip(x, noise, strict=True)])
        fraction = fraction_of([a < 0.3 for a in x])
        for name, figure, right in (
            ("mean", mean, 5),
            ("slope", slope, 2),
            ("fraction", fraction, 0.3),
        ):
            held[name] += int(figure["low"] <= right <= figure["high"])
    for name, count in held.items():
        assert 0.9 < count / tries < 0.99, name


def test_flags_of_one_game_are_not_counted_as_independent():
    """Games differ, and the flags of a game agree: only the interval of groups holds."""
    rng = random.Random(0)
    held = {"groups": 0, "flags": 0}
    tries = 400
    for _ in range(tries):
        games = []
        for _ in range(60):
            right = rng.betavariate(1.4, 0.6)  # 0.7 in the mean
            games.append([rng.random() < right for _ in range(rng.randrange(0, 20))])
        figures = {
            "groups": fraction_of_groups(games),
            "flags": fraction_of([flag for game in games for flag in game]),
        }
        assert figures["groups"]["value"] == figures["flags"]["value"]
        assert figures["groups"]["n"] == figures["flags"]["n"]
        for name, figure in figures.items():
            held[name] += int(figure["low"] <= 0.7 <= figure["high"])
    assert 0.9 < held["groups"] / tries < 0.99
    assert held["flags"] / tries < 0.8


def test_groups_of_one_flag_are_flags():
    flags = [number % 3 == 0 for number in range(90)]
    grouped = fraction_of_groups([[flag] for flag in flags])
    assert grouped == pytest.approx(fraction_of(flags), abs=2e-3)
    alike = fraction_of_groups([[True] * 10] * 8)  # no more is known than of eight games
    assert alike == fraction_of([True] * 8) | {"n": 80}
    assert fraction_of_groups([[True, False] * 5])["low"] < 0.1  # one game says next to nothing


def test_psnr_is_that_of_the_range_two():
    truth = torch.zeros(2, 3, 1, 4, 4)
    assert psnr_of(truth + 0.2, truth).tolist() == pytest.approx([20.0, 20.0], abs=1e-4)


def test_figures_are_told_with_their_intervals():
    text = lines_of({"a": {"b": wilson_interval(1, 2), "c": mean_of([1.0, 3.0])}, "d": 1.5})
    assert "a · b" in text and "50 % [" in text and "n = 2" in text and "a · c" in text
    assert len(text.splitlines()) == 3
    assert percent(wilson_interval(1, 2)).startswith("50 % [")
