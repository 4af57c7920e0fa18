"""Distillation: pairs are the teacher's clips, steps the sampler's, students whole models."""

import json
import math

import pytest
import torch

from data.experiments import distil
from data.experiments.distil import (
    TRIALS,
    Settings,
    draw_pairs,
    own_grid,
    read,
    run,
    shortcut_loss,
)
from data.experiments.few_steps import STUDENT_STEPS, write_entry
from data.experiments.step_sizes import (
    SIZES,
    draw_steps,
    for_one_size,
    size_for,
    two_steps,
    with_step_sizes,
)
from minisora.flow import sigma_schedule
from minisora.patchify import positions_of, unpatchify
from minisora.pipeline import MiniSora
from minisora.sampling import euler
from minisora.train.data import WorldClips, cache_latents, world_of
from minisora.train.loop import fit

from .conftest import wake

QUICK = Settings(
    minutes=0.02, teacher_steps=2, clips=8, batch_size=8, prompts=2, spread_clips=2, compile=False
)


@pytest.fixture
def few_pairs(monkeypatch):
    monkeypatch.setattr(distil, "PAIRS_AT_ONCE", 4)


@pytest.fixture
def data(model):
    clips = WorldClips(world_of(model.preset), 2)
    return cache_latents(model.vae, model.tokenizer, clips, 8, progress=False, measure=False)


def inputs(model, count=3):
    """What a transformer is called with, at several noise levels."""
    generator = torch.Generator().manual_seed(1)
    grid = own_grid(model)
    tokens = torch.randn(count, math.prod(grid), 48, generator=generator)
    sigma = torch.rand(count, 1, generator=generator)
    ids, _ = model.tokenizer(["a red circle moving left", "a blue square", ""][:count])
    return tokens, sigma, positions_of(grid), *read(model, ids)


def test_a_pair_is_what_the_model_generates_from_its_noise(model, few_pairs):
    model.dtype = torch.float32
    _, x_0, _ = draw_pairs(model, QUICK, until=0)
    world = world_of(model.preset)
    prompts = [world.captions(world.scene(i), 2)[0] for i in range(4)]
    generated = model.generate(
        prompts,
        upsample=False,
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(0),
    )
    latents = unpatchify(x_0.float(), own_grid(model), model.preset.dit.patch_size)
    assert torch.allclose(model.decode(latents), generated, atol=0.02)
    assert len(x_0) == 4 and generated.std() > 0.05


def test_a_student_begins_as_its_teacher_for_every_size(model):
    student = with_step_sizes(model.dit)
    given = inputs(model)
    expected = model.dit(*given)
    for size in range(len(SIZES)):
        told = torch.full((3, 1), size)
        assert torch.equal(student(*given, actions=told), expected)


def test_the_student_of_one_size_is_the_student_that_is_told_it(model):
    student = with_step_sizes(model.dit)
    wake(student)
    given = inputs(model)
    outputs = [student(*given, actions=torch.full((3, 1), size)) for size in range(len(SIZES))]
    for size, output in enumerate(outputs):
        assert torch.allclose(for_one_size(student, size)(*given), output, atol=1e-5)
    assert (outputs[1] - outputs[2]).abs().max() > 1e-3


def test_steps_are_those_that_the_sampler_makes():
    size, levels = draw_steps(2000, 3.0, torch.Generator().manual_seed(0))
    for number, length in enumerate(SIZES[1:], 1):
        steps = round(1 / length)
        assert size_for(steps) == number
        own = levels[size[:, 0] == number]
        sigmas = sigma_schedule(steps, 3.0)
        halves = sigma_schedule(2 * steps, 3.0)
        drawn = {tuple(row) for row in (own * 1e4).round().int().tolist()}
        triples = torch.stack([sigmas[:-1], halves[1::2], sigmas[1:]], dim=1)
        assert drawn == {tuple(row) for row in (triples * 1e4).round().int().tolist()}

    assert size_for(20) == 0


def test_two_steps_are_eulers():
    def velocity(x, sigma):
        return x * sigma[..., None] + 1

    x_t = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    sigmas = sigma_schedule(2, 3.0)  # 1, 0.75, 0
    mean = two_steps(velocity, x_t, sigmas.expand(2, -1))
    assert torch.allclose(x_t - mean, euler(velocity, x_t, sigmas), atol=1e-6)


def test_every_weight_of_the_student_gets_a_gradient_and_none_of_the_teacher(model, data):
    student = with_step_sizes(model.dit)
    loss_of = shortcut_loss(model, model.dit, student, data, batch_size=8)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = loss_of(0, torch.Generator().manual_seed(0))
    loss.backward()
    for name, p in student.named_parameters():
        assert p.grad is not None and p.grad.abs().sum() > 0, name
    assert all(p.grad is None for p in model.parameters())


def test_a_shortcut_student_learns_from_itself_and_from_its_teacher(model, data, tmp_path):
    """Both losses fall on one batch, drawn again and again."""
    student = with_step_sizes(model.dit)
    loss_of = shortcut_loss(model, model.dit, student, data, batch_size=8)

    def same_batch(step, _):
        return loss_of(step, torch.Generator().manual_seed(0))

    config = distil.TrainConfig(steps=60, learning_rate=3e-3, warmup_steps=1)
    history = fit("student", student, same_batch, config, tmp_path, progress=False)
    for name in ("to itself", "to teacher"):
        assert 0 < history[-1][name] < 0.7 * history[0][name], name


@pytest.mark.slow
@pytest.mark.parametrize("trial", TRIALS)
def test_a_trial_trains_saves_and_measures(trial, model, few_pairs, tmp_path):
    before = [p.clone() for p in model.dit.parameters()]
    entry = run(trial, model, QUICK, tmp_path / "students")
    assert all(map(torch.equal, before, model.dit.parameters()))
    assert entry["training"]["steps"] > 1
    assert all(math.isfinite(record["loss"]) for record in entry["training"]["history"])
    rows = {f"student, {steps} steps, guidance 1" for steps in STUDENT_STEPS}
    rows |= {f"teacher, {steps} steps, guidance 2" for steps in STUDENT_STEPS}
    assert set(entry["as asked"]) == rows | {"teacher, 4 steps, guidance 1"}
    for figures in entry["as asked"].values():
        assert figures["all"]["n"] == 2 and "low" in figures["difference"]
    assert set(entry["spread"]) == {
        "teacher, 20 steps, guidance 2",
        "student, 4 steps, guidance 1",
        "student, 1 steps, guidance 1",
    }
    for steps in STUDENT_STEPS:
        student = MiniSora.load(tmp_path / "students" / f"{steps} steps", "cpu")
        assert not all(map(torch.equal, before, student.dit.parameters()))
    write_entry(tmp_path / "results.json", "first", entry)
    write_entry(tmp_path / "results.json", "second", {})
    table = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert table == {"first": entry, "second": {}}
