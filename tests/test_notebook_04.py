"""Notebook 04, Noise: its checkers tell right from wrong, and the noise explorer answers."""

import re

import pytest
import torch

from minisora import render, sample_scene
from minisora.compare.ddpm import v_from
from minisora.flow import add_noise, shift_sigma
from minisora.show.latents import latent_basis, latents_to_rgb
from minisora.widgets import film
from minisora.widgets.noise import (
    PROGRESS,
    SCHEDULES,
    NoiseExplorer,
    guess,
    render_noise,
    schedule_db,
    snr_db,
)
from tests.conftest import rejected, unwritten


def test_check_noised(checks, capsys):
    def noised(x_0, noise, sigma):
        return (1 - sigma[..., None]) * x_0 + sigma[..., None] * noise, ((1 - sigma) / sigma) ** 2

    def power(sigma):
        return ((1 - sigma) / sigma) ** 2

    assert checks.check_noised(noised)
    for wrong, fault in (
        (lambda x, n, s: ((1 - s) * x + s * n, power(s)), "wrong axis"),
        (lambda x, n, s: (add_noise(n, x, s[..., None]), power(s)), "swapped"),
        (
            lambda x, n, s: ((1 - s[..., None]).sqrt() * x + s[..., None].sqrt() * n, power(s)),
            "DDPM",
        ),
        (lambda x, n, s: (noised(x, n, s)[0], (1 - s) / s), "amplitudes"),
        (lambda x, n, s: (noised(x, n, s)[0], 1 / power(s)), "noise to signal"),
        (lambda x, n, s: (noised(x, n, s)[0], 10 * power(s).log10()), "decibels"),
        (lambda x, n, s: (noised(x, n, s)[0], power(s[..., None])), r"snr has the shape"),
        (lambda x, n, s: noised(x, n, s)[0], "two things"),
        (unwritten, "still to be written"),
    ):
        rejected(checks.check_noised, wrong, fault, capsys)


def test_check_from_velocity(checks, capsys):
    assert checks.check_from_velocity(lambda x, v, s: (x - s * v, x + (1 - s) * v))
    for wrong, fault in (
        (lambda x, v, s: (x + (1 - s) * v, x - s * v), "swapped"),
        (lambda x, v, s: (x + s * v, x + (1 - s) * v), "sign .* is wrong"),
        (lambda x, v, s: (x - v, x + (1 - s) * v), "only σ of it"),
        (lambda x, v, s: (x - s * v, x + v), "what is left"),
        (lambda x, v, s: (x - s * v, (x - (1 - s) * (x - s * v)) / s), "divided"),
        (lambda x, v, s: ((x - s * (x + (1 - s) * v)) / (1 - s), x + (1 - s) * v), "divided"),
        (lambda x, v, s: x - s * v, "two things"),
        (unwritten, "still to be written"),
    ):
        rejected(checks.check_from_velocity, wrong, fault, capsys)


def test_check_v_from_noise(checks, capsys):
    def right(x_t, noise, bar):
        return (noise - (1 - bar).sqrt() * x_t) / bar.sqrt()

    assert checks.check_v_from_noise(right)

    def x_0(x_t, n, bar):
        return (x_t - (1 - bar).sqrt() * n) / bar.sqrt()

    for wrong, fault in (
        (lambda x, n, b: n, "noise itself"),
        (lambda x, n, b: -right(x, n, b), "sign is wrong"),
        (lambda x, n, b: n - x_0(x, n, b), "rectified flow"),
        (lambda x, n, b: v_from(x, n, b), "where x_0 should"),
        (lambda x, n, b: b * n - (1 - b) * x_0(x, n, b), "root"),
        (lambda x, n, b: 1.0, "tensor"),
    ):
        rejected(checks.check_v_from_noise, wrong, fault, capsys)


def test_check_fraction_below(checks, capsys):
    def right(decibels, shift):
        odds = 10 ** (-decibels / 20) / shift
        return 1 / (1 + odds)

    assert checks.check_fraction_below(right)
    u = torch.rand(200_000, generator=torch.Generator().manual_seed(0))
    assert right(-12.0, 3.0) == pytest.approx(
        float((snr_db(shift_sigma(u, 3.0)) < -12).double().mean()), abs=0.005
    )
    for wrong, fault in (
        (lambda d, s: 1 - right(d, s), "above"),
        (lambda d, s: right(d, 1.0), "leaves the shift out"),
        (lambda d, s: right(d, 1 / s), "wrong way"),
        (lambda d, s: right(2 * d, s), "20 in front"),
        (lambda d, s: 0.0, "off by"),
        (lambda d, s: "much", "one number"),
        (unwritten, "still to be written"),
    ):
        rejected(checks.check_fraction_below, wrong, fault, capsys)


def test_check_conditioning_sigma(checks, capsys):
    def frames(sigma, grid, clean):
        sigmas = sigma[:, None].repeat(1, grid[0])
        sigmas[:, list(clean)] = 0
        return sigmas

    def right(sigma, grid, clean):
        return frames(sigma, grid, clean).repeat_interleave(grid[1] * grid[2], dim=1)

    def one_token(sigma, grid, clean):
        return frames(sigma, (grid[0] * grid[1] * grid[2],), clean)

    def in_place(sigma, grid, clean):
        sigmas = right(sigma, grid, clean)
        sigma.zero_()
        return sigmas

    assert checks.check_conditioning_sigma(right)
    for wrong, fault in (
        (frames, "levels of frames"),
        (lambda s, g, clean: s[:, None] - right(s, g, clean), "wrong way round"),
        (lambda s, g, clean: frames(s, g, clean).repeat(1, g[1] * g[2]), "order"),
        (one_token, "single token"),
        (lambda s, g, clean: right(s, g, [f for f in clean if f >= 0]), "last frame"),
        (lambda s, g, clean: s[:, None].repeat(1, g[0] * g[1] * g[2]), "no frame is clean"),
        (in_place, "copy"),
        (unwritten, "still to be written"),
    ):
        rejected(checks.check_conditioning_sigma, wrong, fault, capsys)


# -------------------------------------------------------------------------------------- the widget


@pytest.fixture
def clips():
    scenes = [
        sample_scene(1, shape="square", color="red", motion="left"),
        sample_scene(2, shape="ring", color="blue", motion="still"),
    ]
    return list(zip(("a red square moving left", "a blue ring"), render(scenes), strict=True))


def test_schedules_fall_from_clean_to_noise():
    for name in SCHEDULES:
        assert (schedule_db(name).diff() < 0).all()
    shifted = schedule_db("rectified flow") - schedule_db("rectified flow, shift 3")
    assert torch.allclose(shifted, torch.full_like(shifted, 9.5424), atol=1e-4), (
        "a shift moves all levels by the same dB"
    )
    assert snr_db(torch.tensor(0.5), std=10.0) == pytest.approx(20)
    assert len(PROGRESS) == 1000
    with pytest.raises(ValueError, match="DDPM cosine"):
        schedule_db("cosine")


def test_clean_latents_are_guessed_as_they_are(model, clips):
    x_0 = model.encode(clips[0][1][None])
    velocity, x_0_hat = guess(model, x_0, 0.0, [clips[0][0]])
    assert (
        torch.allclose(x_0_hat, x_0, atol=1e-5)
        and velocity.shape == x_0.shape
        and velocity.abs().max() > 0
    )
    colors = latents_to_rgb(x_0[0], latent_basis(model))
    assert colors.shape == (3, *x_0.shape[2:])


@pytest.mark.parametrize(
    "sigma,snr", [(0.0, "no noise"), (0.5, r"[+-]0\.0 dB"), (0.9, r"-19\.1 dB"), (1.0, "no signal")]
)
def test_a_level_is_shown(model, clips, sigma, snr):
    answer = render_noise(model, clips[0][1], clips[0][0], sigma, 0, "DDPM linear")
    assert re.search(snr, answer.words) and "DDPM linear is here after" in answer.words
    images = re.findall("<img[^>]*>", answer.text)
    assert len(images) == 8 and all('alt="' in image for image in images)
    assert (
        render_noise(model, clips[0][1], clips[0][0], sigma, 0, "DDPM linear").text == answer.text
    ), "the same state, the same picture"


def test_other_sizes_and_mistakes(model):
    video = render([sample_scene(3, height=24, width=40)], num_frames=5, height=24, width=40)[0]
    assert "guess of x_0" in render_noise(model, video, "", 0.4, 1, "rectified flow").text
    assert "width:162px;height:48px" in film(video, "two frames", 2, 2), (
        "two frames of 40 and a gap of 1, twice as large"
    )
    for sigma, prompt, schedule, fault in (
        (1.2, "", "rectified flow", "0 is clean"),
        (0.5, "a purple circle", "rectified flow", "never met"),
        (0.5, "", "cosine", "DDPM cosine"),
    ):
        with pytest.raises(ValueError, match=fault):
            render_noise(model, video, prompt, sigma, 0, schedule)


def test_noise_explorer(model, clips):
    pytest.importorskip("ipywidgets")
    panel = NoiseExplorer(model, clips)
    first = panel.output.value
    panel.controls["sigma"].value = 0.9
    assert "σ = 0.90" in panel.words.value and panel.output.value != first
    panel.controls["clip"].value = 1
    assert panel.controls["prompt"].value == "a blue ring"
    other = panel.output.value
    panel.controls["schedule"].value = "DDPM cosine"
    assert "DDPM cosine is here" in panel.words.value and panel.output.value != other
    last = panel.output.value
    panel.controls["prompt"].value = "a purple ring"
    assert (
        "✗" in panel.words.value and "never met" in panel.words.value and panel.output.value == last
    )
    panel.controls["prompt"].value = ""
    assert "✗" not in panel.words.value
