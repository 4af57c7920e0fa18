"""The four trainings: what each draws, and that each learns."""

from dataclasses import replace

import pytest
import torch
import torch.nn as nn

from minisora.config import TrainConfig
from minisora.text import EOS, PAD
from minisora.train.contrastive import TextVideoPair
from minisora.train.data import Latents, render_pool, world_of
from minisora.train.stages import (
    augment_clean,
    drop_prompts,
    train_dit,
    train_language,
    train_upsampler,
    train_vae,
)
from minisora.vae import VideoVAE

CONFIG = TrainConfig(steps=30, batch_size=4, learning_rate=3e-3, warmup_steps=5, ema_decay=0.9)


@pytest.fixture
def both(model):
    return nn.ModuleDict({"text": model.text, "dit": model.dit})


def latents_of(preset, *shape, fraction=1.0):
    """One clip of a size with one caption."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(1, preset.vae.latent_channels, *shape, generator=generator)
    return Latents(values.half(), torch.tensor([[[2, 3, 1]]]).to(torch.int16), fraction)


@pytest.fixture
def calls(model, monkeypatch):
    """Shapes of tokens and noise levels that the transformer is asked about."""
    seen = []
    forward = type(model.dit).forward

    def noted(self, tokens, sigma, *args, **kwargs):
        seen.append((tuple(tokens.shape[:2]), sigma.shape[1]))
        return forward(self, tokens, sigma, *args, **kwargs)

    monkeypatch.setattr(type(model.dit), "forward", noted)
    return seen


def test_the_compressor_overfits_one_batch(preset, tmp_path):
    torch.manual_seed(0)
    vae = VideoVAE(preset.vae)
    videos = render_pool(world_of(preset), 2)
    config = replace(CONFIG, steps=30, batch_size=2, learning_rate=1e-2)
    history = train_vae(vae, videos, replace(preset, train_vae=config), tmp_path, progress=False)
    assert history[-1]["mse"] < 0.5 * history[0]["mse"]


def test_the_text_encoder_learns_which_caption_is_a_clips_own(model, preset, tmp_path):
    torch.manual_seed(0)
    ids = torch.tensor([[[word, EOS]] for word in range(2, 10)]).to(torch.int16)
    data = Latents(torch.randn(8, preset.vae.latent_channels, 1, 8, 8).half(), ids)
    pair = TextVideoPair(model.text, preset.vae.latent_channels, hidden_size=32, num_heads=2)
    wanted = replace(preset, train_language=replace(CONFIG, steps=40, batch_size=8))
    history = train_language(pair, data, wanted, tmp_path, progress=False)
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert history[-1]["own caption nearest"] > history[0]["own caption nearest"]


def test_the_upsampler_learns_what_comes_after(model, preset, tmp_path):
    plain, detailed = [2, 3, EOS, PAD, PAD], [2, 3, 7, 8, EOS]
    ids = torch.tensor([[plain, detailed]] * 4)
    data = Latents(torch.zeros(4, 1), ids, paired=True)
    config = replace(CONFIG, learning_rate=1e-2)
    wanted = replace(preset, train_upsampler=config)
    history = train_upsampler(model.upsampler, data, wanted, tmp_path, progress=False)
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]


def test_the_transformer_learns_and_says_it_by_noise_level(both, preset, tmp_path):
    data = latents_of(preset, 1, 4, 4)
    wanted = replace(preset, train_dit=replace(CONFIG, steps=40, batch_size=16))
    history = train_dit(both, data, wanted, tmp_path, progress=False)
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert {"σ ≤ 0.25", "σ ≤ 0.5", "σ ≤ 0.75", "σ ≤ 1.0"} <= set(history[-1])


def test_the_curriculum_is_one_size_and_one_noise_level_a_clip(both, preset, tmp_path, calls):
    data = [latents_of(preset, t, 4, 4, fraction=0.5) for t in (5, 1)]
    config = replace(CONFIG, batch_size=4)
    wanted = replace(preset, curriculum_steps=10, train_dit=config)
    train_dit(both, data, wanted, tmp_path, progress=False)
    assert {(tokens, levels) for (_, tokens), levels in calls[:10]} == {(20, 1)}
    assert {(tokens, levels) for (_, tokens), levels in calls[10:]} == {(20, 20), (4, 4)}


def test_batches_of_every_size_have_about_as_many_tokens(both, preset, tmp_path, calls):
    sizes = ((5, 8, 8), (1, 8, 8), (5, 6, 10))
    fractions = (0.5, 0.25, 0.25)
    data = [
        latents_of(preset, *size, fraction=fraction)
        for size, fraction in zip(sizes, fractions, strict=True)
    ]
    wanted = replace(preset, train_dit=replace(CONFIG, steps=24))
    train_dit(both, data, wanted, tmp_path, progress=False)
    shapes = [shape for shape, _ in calls]
    assert set(shapes) == {(4, 80), (17, 16), (4, 75)}, "patches and words together"


def test_a_fraction_of_the_prompts_is_dropped():
    ids = torch.tensor([[5, 6, EOS, PAD]]).expand(400, -1).clone()
    dropped = drop_prompts(ids, 0.25, torch.Generator().manual_seed(0))
    null = torch.tensor([EOS, PAD, PAD, PAD])
    gone = (dropped == null).all(1)
    assert ((dropped == ids).all(1) | gone).all()
    assert abs(gone.float().mean() - 0.25) < 0.08
    assert (ids == torch.tensor([5, 6, EOS, PAD])).all(), "the caller's ids stay"


def test_clean_tokens_get_a_little_noise_and_the_others_no_more():
    sigma = torch.zeros(4, 80)
    sigma[:, 16:] = 0.5
    augmented = augment_clean(sigma, 0.1, torch.Generator().manual_seed(0))
    clean = augmented[:, :16]
    assert (augmented[:, 16:] == 0.5).all()
    assert (clean > 0).all() and clean.max() < 0.1
    assert len(clean[:, 0].unique()) == 4 and (clean == clean[:, :1]).all(), "one level a clip"


def test_the_network_is_told_that_clean_tokens_are_clean(both, preset, tmp_path, monkeypatch):
    """The noise on clean tokens is in x_t and in nothing that the network or the loss is told."""
    levels = torch.zeros(4, 20)
    levels[:, 4:] = 0.5
    used, told = [], []
    monkeypatch.setattr("minisora.train.stages.draw_sigma", lambda *args: levels)
    monkeypatch.setattr(
        "minisora.train.stages.add_noise",
        lambda x_0, noise, sigma: used.append(sigma[..., 0]) or x_0,
    )
    forward = type(both["dit"]).forward

    def noted(self, tokens, sigma, *args):
        told.append(sigma)
        return forward(self, tokens, sigma, *args)

    monkeypatch.setattr(type(both["dit"]), "forward", noted)
    wanted = replace(preset, train_dit=replace(CONFIG, steps=1))
    train_dit(both, latents_of(preset, 5, 4, 4), wanted, tmp_path, progress=False)
    assert torch.equal(told[0], levels)
    assert (used[0][:, :4] > 0).all() and torch.equal(used[0][:, 4:], levels[:, 4:])
