"""Notebook 05: its checkers tell right from wrong, its widget answers."""

import re

import pytest
import torch

from minisora.compare.toy2d import PlaneNet
from minisora.widgets.flow import FlowExplorer, exact_walk, path_to, render_flow
from tests.conftest import rejected


def test_check_ddim_step(checks, capsys):
    def clean(x, v, now):
        return x - now * v

    def noise(x, v, now):
        return x + (1 - now) * v

    assert checks.check_ddim_step(
        lambda x, v, now, after: (1 - after) * clean(x, v, now) + after * noise(x, v, now)
    )
    assert checks.check_ddim_step(lambda x, v, now, after: x + (after - now) * v), (
        "Euler's step is the same"
    )
    for wrong, fault in (
        (lambda x, v, now, after: x, "not moved"),
        (lambda x, v, now, after: x - (after - now) * v, "towards noise"),
        (
            lambda x, v, now, after: after * clean(x, v, now) + (1 - after) * noise(x, v, now),
            "swapped",
        ),
        (
            lambda x, v, now, after: (1 - after) * clean(x, v, now) + after * v,
            "velocity was taken for the noise",
        ),
        (lambda x, v, now, after: (1 - after) * clean(x, v, now) + after * x, "noisy points"),
        (lambda x, v, now, after: clean(x, v, now), "guess of the clean"),
        (lambda x, v, now, after: x[0], "shape"),
        (lambda x, v, now, after: undefined, "NameError"),  # noqa: F821
    ):
        rejected(checks.check_ddim_step, wrong, fault, capsys)


def test_check_heun_step(checks, capsys):
    def step(second_place=1.0, second_level=1.0, weight=0.5):
        def heun_step(velocity, x, sigma, sigma_next):
            width = sigma_next - sigma
            first = velocity(x, sigma)
            second = velocity(x + second_place * width * first, sigma + second_level * width)
            return x + width * ((1 - weight) * first + weight * second)

        return heun_step

    assert checks.check_heun_step(step())
    for wrong, fault in (
        (step(weight=0.0), r"factor of (2\.|1\.9).*Euler's is 2"),
        (step(second_place=0.0), "Euler's is 2"),
        (step(second_level=0.0), "Euler's is 2"),
        (step(second_place=0.5, second_level=0.5, weight=1.0), "not Heun's step"),
        (lambda v, x, a, b: x + (b - a) * (v(x, a) + v(x + (b - a) * v(x, a), b)), "sum"),
        (lambda v, x, a, b: x.sum(), "shape"),
    ):
        rejected(checks.check_heun_step, wrong, fault, capsys)


def test_check_gaussian_velocity(checks, capsys):
    def velocity(x, sigma, mean, std):
        variance = (1 - sigma) ** 2 * std**2 + sigma**2
        return (sigma - (1 - sigma) * std**2) / variance * (x - (1 - sigma) * mean) - mean

    assert checks.check_gaussian_velocity(velocity)
    for wrong, fault in (
        (lambda x, sigma, mean, std: (x - mean) / sigma, "single point"),
        (lambda x, sigma, mean, std: -velocity(x, sigma, mean, std), "sign"),
        (
            lambda x, sigma, mean, std: x - sigma * velocity(x, sigma, mean, std),
            "posterior mean of x_0",
        ),
        (
            lambda x, sigma, mean, std: x + (1 - sigma) * velocity(x, sigma, mean, std),
            "posterior mean of the noise",
        ),
        (lambda x, sigma, mean, std: velocity(x, sigma, mean, std) + mean, "missing"),
        (lambda x, sigma, mean, std: velocity(x, sigma, mean, std**0.5), "off by"),
    ):
        rejected(checks.check_gaussian_velocity, wrong, fault, capsys)


def test_check_renoise(checks, capsys):
    def keep(low, high):
        return (1 - high) / (1 - low)

    def right(x, low, high, fresh):
        return keep(low, high) * x + (high**2 - (keep(low, high) * low) ** 2) ** 0.5 * fresh

    assert checks.check_renoise(right)
    for wrong, fault in (
        (lambda x, low, high, fresh: x, "must shrink"),
        (lambda x, low, high, fresh: x + (high**2 - low**2) ** 0.5 * fresh, "must shrink"),
        (lambda x, low, high, fresh: (1 - high) * x + high * fresh, "not clean"),
        (lambda x, low, high, fresh: keep(low, high) * x + (high - low) * fresh, "too little"),
        (
            lambda x, low, high, fresh: keep(low, high) * x + (high**2 - low**2) ** 0.5 * fresh,
            "too little",
        ),
        (lambda x, low, high, fresh: keep(low, high) * x + high * fresh, "too much"),
        (
            lambda x, low, high, fresh: keep(low, high) * x + (low**2 - high**2) ** 0.5 * fresh,
            "negative|TypeError",
        ),
        (
            lambda x, low, high, fresh: keep(low, high) * x + 0.1 * torch.randn_like(x),
            "fixed part|mean",
        ),
    ):
        rejected(checks.check_renoise, wrong, fault, capsys)


def test_a_path_ends_where_the_particles_are():
    stops = exact_walk("ring", "euler", 4)
    assert stops.shape == (5, 40, 2)
    assert torch.equal(path_to(stops, 1.0)[-1], stops[0]) and torch.allclose(
        path_to(stops, 0.0)[-1], stops[-1]
    )
    assert torch.allclose(path_to(stops, 0.625)[-1], (stops[1] + stops[2]) / 2)
    assert torch.allclose(path_to(stops, 0.5)[-1], stops[2])


def test_render_is_pure_and_says_what_it_shows():
    a, b = render_flow({}, "spiral", steps=5), render_flow({}, "spiral", steps=5)
    assert a.text == b.text and "spiral, exact field, euler, 5 steps (5 calls)" in a.words
    assert re.search(r'<img alt="spiral', a.text)

    def off(solver, steps):
        return float(
            re.search(
                r"are ([\d.]+) from", render_flow({}, "ring", "exact", solver, steps, 0.0).words
            )[1]
        )

    assert off("heun", 10) < off("euler", 10) < off("euler", 5)
    assert "compare the clouds" in render_flow({}, solver="ddim", eta=0.5).words
    with pytest.raises(ValueError, match="not known"):
        render_flow({}, solver="runge")


def test_the_explorer_answers_and_shows_errors():
    pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")
    explorer = FlowExplorer({"moons": PlaneNet()})
    shown = explorer.output.value
    for name, value in (
        ("steps", 20),
        ("sigma", 0.6),
        ("solver", "heun"),
        ("field", "network"),
        ("dataset", "moons"),
    ):
        explorer.controls[name].value = value
    assert (
        explorer.output.value != shown
        and "moons, network field, heun, 20 steps (39 calls)" in explorer.words.value
    )
    shown = explorer.output.value
    explorer.controls["dataset"].value = "ring"
    assert (
        "✗" in explorer.words.value
        and "train_plane" in explorer.words.value
        and explorer.output.value == shown
    )
    explorer.controls["field"].value = "exact"
    assert "ring, exact field" in explorer.words.value
    for control in explorer.controls.values():
        assert control.description and (
            getattr(control, "tooltip", None) or getattr(control, "description_tooltip", None)
        )
    explorer.controls["sigma"].value = 0.3
