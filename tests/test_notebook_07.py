"""Notebook 07: its checkers tell right from wrong, and the desk starts, stops and resumes."""

import re
import time
from dataclasses import replace

import pytest
import torch

from minisora.config import TrainConfig
from minisora.measure.network import loss_by_sigma
from minisora.train.data import Latents
from minisora.widgets.desk import TrainingDesk
from minisora.widgets.watch import Watch, render_desk
from tests.conftest import rejected

# ---------------------------------------------------------------------------------------- checkers


def mix(share):
    return lambda average, weights, decay, step: (
        share(decay, step) * average + (1 - share(decay, step)) * weights
    )


def test_check_ema_step(checks, capsys):
    def warm(step):
        return (1 + step) / (10 + step)

    assert checks.check_ema_step(mix(lambda d, s: min(d, warm(s))))
    for share, fault in (
        (lambda d, s: d, "where is the warm-in"),
        (lambda d, s: 1 - min(d, warm(s)), "changed places"),
        (lambda d, s: max(d, warm(s)), "larger"),
        (lambda d, s: warm(s), "upper end"),
        (lambda d, s: min(d, s / (10 + s)), "one step off"),
    ):
        rejected(checks.check_ema_step, mix(share), fault, capsys)
    rejected(checks.check_ema_step, lambda a, w, d, s: None, "gave nothing back", capsys)
    rejected(checks.check_ema_step, lambda a, w, d, s: undefined, "NameError", capsys)  # noqa: F821
    rejected(checks.check_ema_step, lambda a, w, d, s: w.sum(), "shape", capsys)


def test_check_learning_rate(checks, capsys):
    def rate(step, progress, peak, warmup, share):
        return peak * min(1.0, (step + 1) / warmup) * min(1.0, max(0.0, 1 - progress) / share)

    assert checks.check_learning_rate(rate)
    for answer, fault in (
        (lambda s, p, peak, w, d: peak, "beginning"),
        (
            lambda s, p, peak, w, d: peak * min(1.0, s / w) * min(1.0, max(0.0, 1 - p) / d),
            "first step at rate zero",
        ),
        (lambda s, p, peak, w, d: peak * min(1.0, (s + 1) / w), "at the end"),
        (
            lambda s, p, peak, w, d: peak * min(1.0, (s + 1) / w) * max(0.0, 1 - p),
            "falls from the start",
        ),
        (
            lambda s, p, peak, w, d: peak * (s + 1) / w * min(1.0, max(0.0, 1 - p) / d),
            "never be passed",
        ),
        (lambda s, p, peak, w, d: peak * min(1.0, (s + 1) / w) * min(1.0, (1 - p) / d), "negative"),
        (lambda s, p, peak, w, d: None, "gave nothing back"),
    ):
        rejected(checks.check_learning_rate, answer, fault, capsys)


def step(fault="", zero_grad=True):
    def training_step(model, optimizer, x_0, noise, sigma):
        level = sigma[:, :1, None] if fault == "first" else sigma[..., None]
        target = x_0 - noise if fault == "swapped" else noise - x_0
        error = (model((1 - level) * x_0 + level * noise, sigma) - target).square().mean(-1)
        loss = error.mean() if fault == "given" else error[sigma > 0].mean()
        if zero_grad:
            optimizer.zero_grad()
        loss.backward()
        if fault != "still":
            optimizer.step()
        return loss.item()

    return training_step


def test_check_repairs(checks, capsys):
    assert checks.check_repairs(step(), step(), step())
    for broken, fault in (
        (step("swapped"), "points the other way"),
        (step("first"), "still has its bug"),
        (step(zero_grad=False), "still there"),
        (step("given"), "should not count"),
        (step("still"), "never move"),
        (lambda *a: 0.0, "another way"),
        (lambda *a: 1 / 0, "ZeroDivisionError"),
    ):
        rejected(checks.check_repairs, (step(), broken, step()), f"step B[^\n]*{fault}", capsys)
    checks.check_repairs(step("first"), step(), step())
    assert "✓ step B" in capsys.readouterr().out, "one bug does not hide the others' verdicts"


def test_check_trivial_losses(checks, capsys):
    def losses(sigma, std):
        return torch.full_like(sigma, 1 + std**2), std**2 / ((1 - sigma) ** 2 * std**2 + sigma**2)

    assert checks.check_trivial_losses(losses)

    def right(i):
        return lambda sigma, std: losses(sigma, std)[i]

    for zero, multiple, fault in (
        (lambda s, std: torch.full_like(s, std**2), right(1), "variance too"),
        (lambda s, std: torch.full_like(s, 2.0), right(1), "standard deviation 1 only"),
        (lambda s, std: (1 - s) ** 2 * std**2 + s**2, right(1), "same at every"),
        (right(0), lambda s, std: 1 / ((1 - s) ** 2 + s**2), "standard deviation 1 only"),
        (right(0), right(0), "still the loss of zero"),
        (right(0), lambda s, std: 1 + std**2 - losses(s, std)[1], "what is left"),
        (right(0), lambda s, std: 0.5, "tensor"),
    ):
        rejected(
            checks.check_trivial_losses,
            lambda s, std, z=zero, m=multiple: (z(s, std), m(s, std)),
            fault,
            capsys,
        )
    rejected(checks.check_trivial_losses, lambda s, std: s, "two tensors", capsys)


# ---------------------------------------------------------------------------------------- the desk


def loss_of(model, held_out):
    return loss_by_sigma(model, held_out.latents, held_out.ids[:, 0])


PROMPTS = ["a red circle", "a blue square"]


@pytest.fixture
def held_out(model):
    generator = torch.Generator().manual_seed(5)  # not the seed of the noise in loss_by_sigma
    latents = torch.randn(3, model.preset.vae.latent_channels, 5, 8, 8, generator=generator)
    return Latents(
        latents.half(), model.tokenizer(["a red circle"] * 3)[0][:, None].to(torch.int16)
    )


@pytest.fixture
def desk(model, held_out, tmp_path):
    pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")
    config = TrainConfig(
        minutes=5.0, batch_size=2, learning_rate=2e-3, warmup_steps=5, ema_decay=0.9
    )
    desk = TrainingDesk(
        model, held_out, held_out, tmp_path, PROMPTS, config, refresh=0.1, sample_every=60.0
    )
    yield desk
    desk.stop()
    assert desk.wait(60)


def until(fact, seconds=60):
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_desk_starts_stops_and_resumes(desk):
    desk.buttons["Resume"].click()
    assert "✗" in desk.words.value and "Start" in desk.words.value, "there is nothing to resume yet"
    began = time.perf_counter()
    desk.buttons["Start"].click()
    assert time.perf_counter() - began < 1, "the kernel stays free"
    assert not desk.buttons["Stop"].disabled and desk.buttons["Start"].disabled
    until(lambda: desk.watch.history and desk.watch.history[-1]["step"] >= 3)
    desk.start()
    assert "under way" in desk.words.value
    desk.buttons["Stop"].click()
    assert desk.wait(60)
    first = desk.watch.history[-1]["step"]
    assert (
        first >= 3
        and "stopped" in desk.words.value
        and desk.output.value.count("alt=") == desk.output.value.count("<img") > 0
    )
    assert desk.buttons["Stop"].disabled and not desk.buttons["Resume"].disabled
    desk.rate.value = 2e-4
    desk.buttons["Resume"].click()
    until(lambda: desk.watch.history[-1]["step"] > first)
    desk.stop()
    assert desk.wait(60)
    steps = [record["step"] for record in desk.watch.history]
    assert steps == sorted(steps) and steps[0] == 0 and steps[-1] > first


@pytest.mark.slow
def test_the_desk_starts_anew_from_the_first_weights(desk):
    before = loss_of(desk.model, desk.watch.held_out)
    desk.config = replace(desk.config, steps=6)
    for _ in range(2):
        desk.start()
        assert desk.wait(60) and "budget is spent" in desk.words.value
        assert desk.watch.history[0]["losses"] == before and desk.watch.history[-1]["step"] == 6
    desk._show("training")


def test_an_error_in_the_thread_is_shown(desk):
    desk.data.ids[:] = 10_000  # a word that the text encoder has no row for
    desk.start()
    assert desk.wait(60)
    assert (
        "✗" in desk.words.value
        and "IndexError" in desk.words.value
        and not desk.buttons["Start"].disabled
    )
    (desk.run_dir / "dit.safetensors").write_bytes(b"cut short")
    desk.resume()
    assert desk.wait(60) and "is damaged" in desk.words.value


def test_controls_say_what_they_do(desk):
    for control in (desk.rate, desk.minutes, *desk.buttons.values()):
        assert control.description and (
            getattr(control, "tooltip", None) or getattr(control, "description_tooltip", None)
        )


def test_render_desk_is_pure_and_says_it_in_words(model, held_out):
    watch = Watch(model, held_out, PROMPTS)
    for number in (0, 10):
        watch(None, {"step": number, "seconds": 20.0 * number})
    a, b = (render_desk(watch.history, watch.samples, PROMPTS, left=30) for _ in range(2))
    assert (
        a.text == b.text
        and "step 10" in a.words
        and "30 s to go" in a.words
        and len(watch.samples) == 2
    )
    assert all("alt=" in tag for tag in re.findall(r"<img[^>]*>", a.text)) and "step 0" in a.text
    assert "press Start" in render_desk([], [], PROMPTS).words
    assert "4 minutes" in render_desk(watch.history, watch.samples, PROMPTS, left=240).words


def test_a_silent_network_costs_two(model, held_out):
    torch.nn.init.zeros_(model.dit.final_layer.linear.weight)
    torch.nn.init.zeros_(model.dit.final_layer.linear.bias)
    assert all(abs(loss - 2) < 0.1 for loss in loss_of(model, held_out))
