"""Notebook 02: its checkers, its widget, and what its training cell relies on."""

import re

import pytest
import torch
import torch.nn.functional as F

from minisora.train.stages import train_vae
from minisora.vae import Posterior, VideoVAE
from minisora.widgets import drawn, film
from minisora.widgets.latent import (
    WALKS,
    LatentExplorer,
    change,
    make_atlas,
    render_latents,
    render_walks,
)
from tests.conftest import rejected, unwritten

NAMES = ["one", "two", "three"]


def test_check_reparameterise(checks, capsys):
    check = checks.check_reparameterise
    assert check(lambda mean, logvar, noise: mean + (0.5 * logvar).exp() * noise)
    for wrong, fault in (
        (lambda mean, logvar, noise: mean, "where is the noise"),
        (lambda mean, logvar, noise: mean + noise, "not used"),
        (lambda mean, logvar, noise: mean + logvar * noise, "not a standard deviation"),
        (lambda mean, logvar, noise: mean + logvar.exp() * noise, "square root"),
        (lambda mean, logvar, noise: mean - (0.5 * logvar).exp() * noise, "sign"),
        (
            lambda mean, logvar, noise: (mean + (0.5 * logvar).exp() * noise).detach(),
            "no gradient flows",
        ),
        (
            lambda mean, logvar, noise: mean.detach() + (0.5 * logvar).exp() * noise,
            "no gradient reaches mean",
        ),
        (
            lambda mean, logvar, noise: mean + (0.5 * logvar.detach()).exp() * noise,
            "no gradient reaches logvar",
        ),
        (
            lambda mean, logvar, noise: mean + (0.5 * logvar).exp() * torch.randn_like(mean),
            "off by",
        ),
        (lambda mean, logvar, noise: 3.0, "tensor"),
        (unwritten, "still to be written"),
    ):
        rejected(check, wrong, fault, capsys)


def padded(x, before, after, mode="replicate"):
    return F.pad(x, (before, after), mode=mode)


def test_check_causal_conv(checks, capsys):
    check = checks.check_causal_conv
    assert check(
        lambda x, w: F.conv1d(torch.cat([x[..., :1].expand(-1, -1, w.shape[-1] - 1), x], -1), w)
    )
    for wrong, fault in (
        (lambda x, w: F.conv1d(x, w), "first frame [12] times"),
        (lambda x, w: F.conv1d(padded(x, w.shape[-1] - 1, 0, "constant"), w), "zeros"),
        (lambda x, w: F.conv1d(padded(x, 1, 1) if w.shape[-1] == 3 else x, w), "later ones"),
        (lambda x, w: F.conv1d(padded(x, 0, w.shape[-1] - 1), w), "only the future"),
        (lambda x, w: F.conv1d(padded(x, w.shape[-1] - 1, w.shape[-1] - 1), w), "one side"),
        (lambda x, w: F.conv1d(padded(x, w.shape[-1] - 1, 0), w.flip(-1)), "reversed in time"),
        (lambda x, w: 2 * F.conv1d(padded(x, w.shape[-1] - 1, 0), w), "off by"),
        (unwritten, "still to be written"),
    ):
        rejected(check, wrong, fault, capsys)


def kl_of(q):
    return (
        torch.stack(
            [
                Posterior(q.mean[:, [c]], q.logvar[:, [c]]).kl().mean()
                for c in range(q.mean.shape[1])
            ]
        )
        / q.mean[0, 0].numel()
    )


def test_check_find_collapsed(checks, capsys):
    check = checks.check_find_collapsed
    assert check(lambda q: [c for c, v in enumerate(kl_of(q)) if v < 0.01])
    assert check(lambda q: (kl_of(q) < 0.01).nonzero().flatten()), "a tensor of numbers will do"

    def silent_mean(q):
        return [c for c, v in enumerate(q.mean.abs().mean((0, 2, 3, 4))) if v < 0.05]

    def as_wide(q):
        return [c for c, v in enumerate(q.logvar.abs().mean((0, 2, 3, 4))) if v < 0.05]

    for wrong, fault in (
        (silent_mean, "channel 2"),
        (as_wide, "channel 3"),
        (lambda q: [c for c, v in enumerate(kl_of(q)) if v == 0], "threshold"),
        (lambda q: [c for c, v in enumerate(kl_of(q)) if v >= 0.01], "others are asked for"),
        (lambda q: [], "none"),
        (lambda q: 5, "list"),
        (unwritten, "still to be written"),
    ):
        rejected(check, wrong, fault, capsys)


def test_check_kl(checks, capsys):
    check = checks.check_kl

    def numbers(m, v):
        return 0.5 * (m**2 + v.exp() - 1 - v)

    assert check(lambda m, v: numbers(m, v).flatten(1).sum(1))
    for wrong, fault in (
        (numbers, "every number"),
        (lambda m, v: numbers(m, v).sum(), "whole batch"),
        (lambda m, v: numbers(m, v).flatten(1).mean(1), "mean over each clip"),
        (lambda m, v: 2 * numbers(m, v).flatten(1).sum(1), "half"),
        (lambda m, v: -numbers(m, v).flatten(1).sum(1), "sign"),
        (lambda m, v: numbers(m, v).flatten(1).sum(1) / 0.6931471805599453, "bits"),
        (lambda m, v: numbers(m, 2 * v).flatten(1).sum(1), "not of the standard deviation"),
        (lambda m, v: 0.5 * (m**2 + v.exp() - v).flatten(1).sum(1), "prior"),
        (lambda m, v: 0.5 * (m + v.exp() - 1 - v).flatten(1).sum(1), "squared"),
        (lambda m, v: 0.5 * (m**2 + v - 1 - v.exp()).flatten(1).sum(1), "swapped"),
        (unwritten, "still to be written"),
    ):
        rejected(check, wrong, fault, capsys)


def test_change_does_what_it_says(model, batch):
    atlas = make_atlas(model, batch.videos[:3], NAMES)
    assert atlas.latents.shape[0] == 3
    before = atlas.latents.clone()
    assert torch.equal(change(atlas), atlas.latents[0])
    assert change(atlas, channel=4, scale=0.0)[4].abs().max() == 0
    assert torch.allclose(change(atlas, 0, other=2, mix=1.0), atlas.latents[2], atol=1e-6)
    step = change(atlas, axis=1, walk=2.0) - atlas.latents[0]
    assert torch.allclose(
        step,
        (2 * atlas.basis.std[1] * atlas.basis.axes[1])[:, None, None, None].expand_as(step),
        atol=1e-5,
    )
    assert torch.equal(atlas.latents, before), "the clips that were encoded ahead stay as they are"
    for wrong, fault in (
        ({"clip": 3}, "clip=3"),
        ({"other": -1}, "other=-1"),
        ({"channel": 12}, "channel=12"),
        ({"mix": 1.5}, "fraction"),
    ):
        with pytest.raises(ValueError, match=fault):
            change(atlas, **wrong)


def test_render_is_pure_and_has_words(model, batch):
    atlas = make_atlas(model, batch.videos[:3], NAMES)
    a, b = (render_latents(model, atlas, clip=1, channel=2, scale=0.0) for _ in range(2))
    assert (
        a.text == b.text
        and a.words == b.words
        and "“two”" in a.words
        and "channel 2 × 0" in a.words
        and "dB" in a.words
    )
    assert "unchanged" in render_latents(model, atlas).words
    tags = re.findall(r"<img[^>]*>", a.text)
    assert len(tags) == 2 + 1 + 1 + 12 and all("alt=" in tag for tag in tags)
    assert 'alt="a &quot;b&quot;"' in film(batch.videos[0], 'a "b"')


def test_walks_start_from_the_clip(model, batch):
    atlas = make_atlas(model, batch.videos[:3], NAMES)
    shown = render_walks(model, atlas, clip=1, axes=2)
    assert shown.text == render_walks(model, atlas, clip=1, axes=2).text
    tags = re.findall(r"<img[^>]*>", shown.text)
    assert len(tags) == 2 and all(f"{WALKS[0]:+d}" in tag for tag in tags) and tags[0] != tags[1]


def test_figures_are_opaque():
    from minisora.show.plots import new_axes

    shown = drawn(new_axes(2, 1)[0], "nothing")
    assert 'alt="nothing"' in shown.text and shown.words == "nothing"


def test_the_explorer_answers_and_shows_errors(model, batch):
    pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")
    explorer = LatentExplorer(model, batch.videos[:3], NAMES)
    shown = explorer.output.value
    for name, value in (
        ("channel", 5),
        ("scale", 0.0),
        ("mix", 0.5),
        ("axis", 0),
        ("walk", 2.0),
        ("clip", 1),
        ("other", 0),
    ):
        explorer.controls[name].value = value
        assert explorer.output.value != shown or name in ("channel", "axis"), (
            name
        )  # these two wait for their slider
        shown = explorer.output.value
    assert (
        "“two”; 50 % of the way to “one”; channel 5 × 0; +2 standard deviations along axis 1"
        in explorer.result.words
    )
    explorer.controls["clip"].options = [("none such", 9)]
    assert (
        "✗" in explorer.words.value
        and "clip=9" in explorer.words.value
        and explorer.output.value == shown
    )
    for control in explorer.controls.values():
        assert control.description and (
            getattr(control, "tooltip", None) or getattr(control, "description_tooltip", None)
        )


def test_a_stopped_training_is_finished_by_resuming_it(preset, batch, tmp_path):
    from dataclasses import replace

    preset = replace(preset, train_vae=replace(preset.train_vae, steps=200, batch_size=2))
    videos = ((batch.videos[:4] + 1) * 127.5).round().byte()
    torch.manual_seed(0)
    vae = VideoVAE(preset.vae)

    def look(model, record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_vae(
            vae, videos, preset, tmp_path, on_evaluate=look, evaluate_every=0.2, progress=False
        )
    trained = vae.decoder.embed.weight.clone()
    history = train_vae(
        vae, videos, preset, tmp_path, resume=True, should_stop=lambda: True, progress=False
    )
    assert not vae.training and not torch.equal(vae.decoder.embed.weight, trained), (
        "the averaged weights are in place"
    )
    assert all("mse" in record for record in history)
