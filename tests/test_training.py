import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
import torch.nn as nn

from minisora.checkpoints import CheckpointError, load_tensors
from minisora.config import TrainConfig
from minisora.pipeline import MiniSora
from minisora.text import PAD
from minisora.train.data import Latents, cache_latents, render_pool, world_of, world_source
from minisora.train.loop import EMA, fit, learning_rate_at
from minisora.train.recipe import train_model
from minisora.train.run import take_over
from minisora.train.stages import train_dit, train_upsampler, train_vae
from minisora.vae import VideoVAE

CONFIG = TrainConfig(steps=30, batch_size=4, learning_rate=3e-3, warmup_steps=5, ema_decay=0.9)


class Line(nn.Module):
    """A model small enough to train in milliseconds, with a matrix in a block for Muon."""

    def __init__(self):
        super().__init__()
        self.embed, self.blocks, self.out = (
            nn.Linear(2, 8),
            nn.ModuleList([nn.Linear(8, 8)]),
            nn.Linear(8, 1),
        )

    def forward(self, x):
        return self.out(torch.tanh(self.blocks[0](self.embed(x))))


def line(seed=0):
    torch.manual_seed(seed)
    model = Line()

    def loss_of(step, generator):
        x = torch.randn(16, 2, generator=generator)
        loss = (model(x)[:, 0] - x.prod(1)).square().mean()
        return loss, {"again": loss.item()}

    return model, loss_of


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_resume_equals_an_uninterrupted_run(tmp_path):
    whole, loss_of = line()
    fit("m", whole, loss_of, CONFIG, tmp_path / "a", progress=False)
    part, loss_of = line()
    calls = []
    fit(
        "m",
        part,
        loss_of,
        CONFIG,
        tmp_path / "b",
        progress=False,
        should_stop=lambda: len(calls) >= 11 or calls.append(1),
    )
    again, loss_of = line(seed=5)
    history = fit("m", again, loss_of, CONFIG, tmp_path / "b", resume=True, progress=False)
    assert torch.equal(weights(whole), weights(again))
    assert [h["step"] for h in history] == [10, 20, 30]


def test_ctrl_c_keeps_what_was_learned(tmp_path):
    model, loss_of = line()

    def interrupted(step, generator):
        if step == 7:
            raise KeyboardInterrupt
        return loss_of(step, generator)

    with pytest.raises(KeyboardInterrupt):
        fit("m", model, interrupted, CONFIG, tmp_path, progress=False)
    assert load_tensors(tmp_path / "m.safetensors")[1]["step"] == 7


SCRIPT = """
import sys, time, torch
from minisora.train.loop import fit
from tests.test_training import CONFIG, line
from dataclasses import replace
model, loss_of = line()
def slow(step, generator):
    time.sleep(0.002)
    return loss_of(step, generator)
fit("m", model, slow, replace(CONFIG, steps=100000, save_every=0.02), sys.argv[1], progress=False, resume=True)
"""


def test_kill_at_any_moment_loses_no_file(tmp_path):
    path, last = tmp_path / "m.safetensors", 0
    for pause in (0.05, 0.31, 0.123):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        deadline, before = time.monotonic() + 90, path.stat().st_mtime_ns if path.exists() else 0
        while (path.stat().st_mtime_ns if path.exists() else 0) == before:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
        step = load_tensors(path)[1]["step"]
        assert step > last, "a run that goes on goes forward"
        last = step


def test_another_models_checkpoint_is_refused(tmp_path):
    model, loss_of = line()
    fit("m", model, loss_of, CONFIG, tmp_path, progress=False)
    other = nn.ModuleDict({"blocks": nn.ModuleList([nn.Linear(3, 3)])})
    with pytest.raises(CheckpointError, match="another model"):
        fit("m", other, loss_of, CONFIG, tmp_path, resume=True, progress=False)


def test_ema_is_the_running_average():
    model, ema_decay = Line(), 0.9
    ema = EMA(model, ema_decay)
    with torch.no_grad():
        model.out.bias.fill_(1.0)
        start = ema.weights["out.bias"].clone()
    for step in range(100, 103):
        ema.update(model, step)
    assert torch.allclose(ema.weights["out.bias"], 1 - (1 - start) * ema_decay**3)
    ema.swap(model)
    assert torch.allclose(model.out.bias.detach(), 1 - (1 - start) * ema_decay**3)
    ema.swap(model)
    assert float(model.out.bias.detach()) == 1.0


def test_learning_rate_warms_up_holds_and_ends_at_zero():
    rates = [learning_rate_at(CONFIG, s, s / 30) for s in range(31)]
    assert (
        rates[0] == pytest.approx(CONFIG.learning_rate / 5)
        and max(rates) == CONFIG.learning_rate
        and rates[-1] == 0
    )
    assert rates[10] == CONFIG.learning_rate


def test_vae_overfits_one_batch(preset, tmp_path):
    torch.manual_seed(0)
    vae = VideoVAE(preset.vae)
    videos = render_pool(world_of(preset), 2)
    config = replace(CONFIG, steps=120, batch_size=2)
    history = train_vae(vae, videos, replace(preset, train_vae=config), tmp_path, progress=False)
    assert history[-1]["mse"] < 0.35 * history[0]["mse"]


def test_cached_latents_are_normalised_and_captions_go_with_their_clips(model, preset, tmp_path):
    world = world_of(model.preset)

    def clips(start, size):
        batch = world.batch(start, size)
        return batch.videos, [[c, "a red circle"] for c in batch.captions]

    data = cache_latents(model.vae, model.tokenizer, clips, 12, progress=False, chunk=5)
    assert data.latents.shape == (12, preset.vae.latent_channels, 5, 8, 8) and data.ids.shape[
        :2
    ] == (12, 2)
    values = data.latents.float()
    assert (
        values.mean((0, 2, 3, 4)).abs().max() < 1e-2
        and (values.std((0, 2, 3, 4)) - 1).abs().max() < 1e-2
    )
    row = model.tokenizer([world.batch(7, 1).captions[0]])[0][0]
    assert data.ids[7, 0, : len(row)].tolist() == row.tolist()
    latents, ids, mask = data.draw(6, torch.Generator().manual_seed(0))
    assert (
        latents.shape == (6, preset.vae.latent_channels, 5, 8, 8) and ((ids != PAD) == mask).all()
    )


def test_sentences_that_say_where_are_drawn_as_often_as_their_share_says():
    data = Latents(
        torch.zeros(1, 1), torch.tensor([[[2], [3], [4], [5]]]).to(torch.int16), paired=True
    )
    seen = lambda share: (
        data.draw(400, torch.Generator().manual_seed(0), share)[1]
        .flatten()
        .bincount(minlength=6)[2:]
        / 400
    )
    assert (seen(None) - 0.25).abs().max() < 0.08
    assert seen(1.0).tolist()[::2] == [0, 0] and (seen(1.0)[1::2] - 0.5).abs().max() < 0.1
    assert (seen(0.8) - torch.tensor([0.1, 0.4, 0.1, 0.4])).abs().max() < 0.08


def test_the_basics_come_first(model, preset, tmp_path, monkeypatch):
    ids = torch.tensor([[[2, 3, 1]]]).to(torch.int16)
    data = [
        Latents(torch.randn(1, preset.vae.latent_channels, t, 8, 8).half(), ids, 0.5)
        for t in (5, 1)
    ]
    seen, forward = [], type(model.dit).forward
    monkeypatch.setattr(
        type(model.dit),
        "forward",
        lambda self, tokens, sigma, *a, **k: (
            seen.append((tokens.shape[1], sigma.shape[1])) or forward(self, tokens, sigma, *a, **k)
        ),
    )
    both = nn.ModuleDict({"text": model.text, "dit": model.dit})
    train_dit(
        both,
        data,
        replace(preset, curriculum_steps=10, train_dit=replace(CONFIG, steps=40, batch_size=4)),
        tmp_path,
        progress=False,
    )
    assert set(seen[:10]) == {(80, 1)}, "one size, one noise level a clip"
    assert set(seen[10:]) == {(80, 80), (16, 16)}


def test_the_expander_learns_from_captions_in_pairs(model, preset, tmp_path):
    source = world_source(replace(preset, captions_per_clip=4))
    ids = model.tokenizer(
        [text for several in source.buckets[0].clips(0, 16)[1] for text in several]
    )[0].view(16, 4, -1)
    plain, detailed = ids[:, ::2], ids[:, 1::2]
    words = (plain > 1).sum(-1, keepdim=True)
    assert ((detailed == plain) | (torch.arange(ids.shape[-1]) >= words)).all() and (
        (detailed > 1).sum(-1) >= words[..., 0] + 3
    ).all()
    wanted = replace(
        preset,
        train_upsampler=replace(
            CONFIG, steps=60, batch_size=16, learning_rate=1e-2, warmup_steps=5
        ),
    )
    history = train_upsampler(
        model.upsampler, Latents(torch.zeros(16, 1), ids), wanted, tmp_path, progress=False
    )
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]


def test_dit_training_lowers_the_loss_and_says_it_by_noise_level(model, preset, tmp_path):
    data = Latents(
        torch.randn(1, preset.vae.latent_channels, 5, 8, 8).half(),
        torch.tensor([[[2, 3, 1]]]).to(torch.int16),
    )
    both = nn.ModuleDict({"text": model.text, "dit": model.dit})
    config = replace(CONFIG, steps=80, batch_size=8)
    history = train_dit(both, data, replace(preset, train_dit=config), tmp_path, progress=False)
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]
    assert {"σ ≤ 0.25", "σ ≤ 0.5", "σ ≤ 0.75", "σ ≤ 1.0"} <= set(history[-1])


def test_steps_go_to_every_size_as_often_as_their_shares_say(model, preset, tmp_path, monkeypatch):
    source = world_source(
        replace(
            preset, cached_clips=200, other_sizes=((1, 32, 32), (17, 24, 40)), other_fraction=0.25
        )
    )
    assert [b.fraction for b in source.buckets] == [0.5, 0.25, 0.25] and [
        b.count for b in source.buckets
    ] == [200, 500, 106]
    assert [b.clips(0, 2)[0].shape[2:] for b in source.buckets] == [
        (17, 32, 32),
        (1, 32, 32),
        (17, 24, 40),
    ]
    assert [pool.shape[2:] for pool in source.pools()] == [(17, 32, 32), (1, 32, 32), (17, 24, 40)]
    ids = torch.tensor([[[2, 3, 1]]]).to(torch.int16)
    shapes = ((5, 8, 8), (1, 8, 8), (5, 6, 10))
    data = [
        Latents(torch.randn(1, preset.vae.latent_channels, *s).half(), ids, b.fraction)
        for s, b in zip(shapes, source.buckets, strict=True)
    ]
    seen, forward = [], type(model.dit).forward
    monkeypatch.setattr(
        type(model.dit),
        "forward",
        lambda self, tokens, *a, **k: (
            seen.append(tuple(tokens.shape[:2])) or forward(self, tokens, *a, **k)
        ),
    )
    both = nn.ModuleDict({"text": model.text, "dit": model.dit})
    train_dit(
        both,
        data,
        replace(preset, train_dit=replace(CONFIG, steps=60, batch_size=4)),
        tmp_path,
        progress=False,
    )
    assert set(seen) == {(4, 80), (17, 16), (4, 75)}, (
        "about as many patches and words in every batch"
    )
    assert 20 <= seen.count((4, 80)) <= 40


def test_what_is_given_may_be_a_little_off_and_what_is_made_is_not(
    model, preset, tmp_path, monkeypatch
):
    told = []
    monkeypatch.setattr(
        "minisora.train.stages.add_noise",
        lambda x_0, noise, sigma: told.append(sigma[..., 0]) or x_0,
    )
    levels = torch.zeros(4, 80)
    levels[:, 16:] = 0.5
    monkeypatch.setattr("minisora.train.stages.draw_sigma", lambda *a: levels)
    data = Latents(
        torch.randn(1, preset.vae.latent_channels, 5, 8, 8).half(),
        torch.tensor([[[2, 3, 1]]]).to(torch.int16),
    )
    both = nn.ModuleDict({"text": model.text, "dit": model.dit})
    train_dit(
        both,
        data,
        replace(preset, train_dit=replace(CONFIG, steps=1, batch_size=4)),
        tmp_path,
        progress=False,
    )
    (told,) = told
    assert (
        (told[:, 16:] == 0.5).all()
        and (told[:, :16] > 0).all()
        and told[:, :16].max() < preset.noise_augmentation
    )
    assert len(told[:, 0].unique()) == 4 and (told[:, :16] == told[:, :1]).all(), "one a clip"


def test_the_whole_recipe_runs_resumes_and_never_overwrites(preset, tmp_path, monkeypatch):
    monkeypatch.setattr("minisora.train.recipe.EVALUATION_PROMPTS", 2)

    train_model(preset, tmp_path / "run", device="cpu", progress=False)
    assert {p.name for p in (tmp_path / "run").iterdir()} >= {
        "curve.json",
        "curve.png",
        "samples",
        "model",
        "upsampler.safetensors",
    }
    first = MiniSora.load(tmp_path / "run" / "model", "cpu")
    with pytest.raises(FileExistsError, match="--resume"):
        train_model(preset, tmp_path / "run", device="cpu", progress=False)
    train_model(preset, tmp_path / "run", device="cpu", progress=False, resume=True)
    again = MiniSora.load(tmp_path / "run" / "model", "cpu")
    assert all(
        torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True)
    )
    with pytest.raises(ValueError, match="begun with another"):
        train_model(
            preset, tmp_path / "run", start=first, device="cpu", progress=False, resume=True
        )
    longer = replace(preset, train_vae=replace(preset.train_vae, steps=4))
    kept = load_tensors(tmp_path / "run" / "latents.safetensors")[0]["latents.0"]
    train_model(longer, tmp_path / "run", device="cpu", progress=False, resume=True)
    assert not torch.equal(
        load_tensors(tmp_path / "run" / "latents.safetensors")[0]["latents.0"], kept
    ), "another compressor, other latents"
    with pytest.raises(CheckpointError, match="the one above"):
        train_model(preset, tmp_path / "run" / "model", device="cpu", progress=False, resume=True)


def test_a_stage_without_minutes_is_left_out(preset, tmp_path, model, monkeypatch):
    monkeypatch.setattr("minisora.train.recipe.EVALUATION_PROMPTS", 1)
    still = replace(CONFIG, steps=None, minutes=0.0)
    options = {"start": model, "device": "cpu", "progress": False}
    after = train_model(
        replace(preset, train_vae=still, train_dit=replace(CONFIG, steps=1)),
        tmp_path / "run",
        **options,
    )
    assert all(
        torch.equal(a, b)
        for a, b in zip(after.vae.parameters(), model.vae.parameters(), strict=True)
    )


def test_a_training_goes_on_from_another_model(preset, model, tmp_path, monkeypatch):
    monkeypatch.setattr("minisora.train.recipe.EVALUATION_PROMPTS", 2)
    wanted = replace(
        preset,
        dit=replace(preset.dit, hidden_size=64),
        train_vae=replace(CONFIG, steps=2),
        train_dit=replace(CONFIG, steps=1, learning_rate=0.0),
    )
    model.vae.latents_mean.fill_(0.5)
    model.metadata = {"curve": [{"stage": "vae", "minutes": 3.0, "psnr_mean": 20.0}]}
    after = train_model(wanted, tmp_path / "run", start=model, device="cpu", progress=False)
    assert after.preset.dit == model.preset.dit, "the sizes are the first model's"
    same = lambda part: [
        torch.equal(a, b)
        for a, b in zip(part(after).parameters(), part(model).parameters(), strict=True)
    ]
    assert all(same(lambda m: m.vae.encoder)) and torch.equal(
        after.vae.latents_mean, model.vae.latents_mean
    ), "latents keep their meaning"
    assert (
        not any(same(lambda m: m.vae.decoder))
        and not (tmp_path / "run" / "text.safetensors").exists()
    )
    assert all(same(lambda m: m.dit)) and all(same(lambda m: m.text))
    points = MiniSora.load(tmp_path / "run" / "model", "cpu").metadata["curve"]
    assert (
        points[0] == model.metadata["curve"][0]
        and all(p["minutes"] >= 3 for p in points[1:])
        and len(points) > 2
    ), "the curve goes on"


def test_an_expander_goes_on_where_words_are_the_same(preset, model):
    fresh, other = (
        MiniSora(preset, model.tokenizer.vocabulary),
        MiniSora(preset, ["a", "zebra", "red"]),
    )
    kept = other.upsampler.embed.weight.clone()
    take_over(fresh, model)
    take_over(other, model)
    assert torch.equal(fresh.upsampler.embed.weight, model.upsampler.embed.weight) and torch.equal(
        other.upsampler.embed.weight, kept
    )
    take_over(MiniSora(replace(preset, upsampler=None), model.tokenizer.vocabulary), model)


def test_a_model_with_other_words_is_taken_over_word_by_word(preset, model):
    other = MiniSora(preset, ["a", "zebra", "red"])
    fresh = other.text.embed.weight[other.tokenizer.ids["zebra"]].clone()
    take_over(other, model)
    row = lambda m, word: m.text.embed.weight[m.tokenizer.ids[word]]
    assert torch.equal(row(other, "red"), row(model, "red")) and torch.equal(
        row(other, "zebra"), fresh
    )
    assert torch.equal(other.text.embed.weight[:2], model.text.embed.weight[:2])
