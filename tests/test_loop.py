"""The loop: a step is whole or not made, and a resumed run equals one that was never stopped."""

import math
import os
import signal
import threading
from dataclasses import replace

import pytest
import torch
import torch.nn as nn
from torch.optim.swa_utils import AveragedModel

from minisora.checkpoints import CheckpointError, load_tensors
from minisora.config import TrainConfig
from minisora.train import loop
from minisora.train.loop import EMA, PATIENCE, fit, is_finished, learning_rate_at, make_optimizers

CONFIG = TrainConfig(steps=30, batch_size=4, learning_rate=3e-3, warmup_steps=5, ema_decay=0.9)


class Line(nn.Module):
    """A model small enough to train in milliseconds, with a matrix in a block for Muon."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(2, 8)
        self.blocks = nn.ModuleList([nn.Linear(8, 8)])
        self.out = nn.Linear(8, 1)

    def forward(self, x):
        return self.out(torch.tanh(self.blocks[0](self.embed(x))))


def line(seed=0):
    """A model and its loss."""
    torch.manual_seed(seed)
    model = Line()

    def loss_of(step, generator):
        x = torch.randn(16, 2, generator=generator)
        loss = (model(x)[:, 0] - x.prod(1)).square().mean()
        return loss, {"again": loss.item()}

    return model, loss_of


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def train(folder, seed=0, config=CONFIG, wrap=lambda loss_of: loss_of, **options):
    model, loss_of = line(seed)
    history = fit("m", model, wrap(loss_of), config, folder, progress=False, **options)
    return model, history


def figures_of(history):
    """A history without its times."""
    return [{k: v for k, v in record.items() if k != "seconds"} for record in history]


@pytest.mark.parametrize("stop", [1, 10, 11, 29])
def test_resume_equals_an_uninterrupted_run(tmp_path, stop):
    whole, expected = train(tmp_path / "a")
    calls = []
    part, _ = train(tmp_path / "b", should_stop=lambda: len(calls) >= stop or calls.append(1))
    again, history = train(tmp_path / "b", seed=5, resume=True)
    assert torch.equal(weights(whole), weights(again))
    assert not torch.equal(weights(whole), weights(part))
    assert [record["step"] for record in history] == [10, 20, 30]
    assert figures_of(history) == figures_of(expected), "means of ten steps, wherever it stopped"


# ---------------------------------------------------------------------- losses that are not finite


def failing(steps, how):
    """Make the loss of some steps not finite, or its gradient alone."""

    def wrap(loss_of):
        def loss(step, generator):
            value, figures = loss_of(step, generator)
            if step not in steps:
                return value, figures
            if how == "gradient":
                return value + torch.sqrt(0 * value), figures  # infinite · 0 on the way back
            return value * how, figures

        return loss

    return wrap


@pytest.mark.parametrize("how", [math.nan, math.inf, -math.inf, "gradient"])
def test_a_step_that_is_not_finite_changes_nothing(tmp_path, how, capsys):
    seen = {}

    def wrap(loss_of):
        broken = failing({7}, how)(loss_of)

        def loss(step, generator):
            if step in (7, 8):
                seen[step] = load_tensors(tmp_path / "m.safetensors")[0]
            return broken(step, generator)

        return loss

    model, history = train(tmp_path, wrap=wrap, config=replace(CONFIG, save_every=0.0))
    assert seen[7].keys() == seen[8].keys()
    assert all(torch.equal(seen[7][name], seen[8][name]) for name in seen[7]), "as if it never was"
    assert weights(model).isfinite().all()
    assert all(math.isfinite(value) for record in history for value in record.values())
    assert history[-1]["skipped"] == 1 and history[-1]["step"] == 30
    assert "step 8" in capsys.readouterr().out


def test_a_run_that_stays_broken_ends_and_keeps_what_was_learned(tmp_path):
    good, _ = train(tmp_path / "good", should_stop=Count(12))
    kept = load_tensors(tmp_path / "good" / "m.safetensors")[0]
    with pytest.raises(
        ValueError, match=f"not finite for {PATIENCE} steps in a row.*rate below 0.003"
    ):
        train(tmp_path / "bad", wrap=failing(range(12, 30), math.nan))
    tensors, note = load_tensors(tmp_path / "bad" / "m.safetensors")
    assert note["step"] == 12 + PATIENCE and note["skipped"] == PATIENCE
    assert all(torch.equal(tensors[name], kept[name]) for name in kept)


class Count:
    """A `should_stop` that says no a number of times."""

    def __init__(self, times):
        self.left = times

    def __call__(self):
        self.left -= 1
        return self.left < 0


# -------------------------------------------------------------------------------------- signals


@pytest.mark.skipif(os.name != "posix", reason="os.kill ends the process on Windows")
@pytest.mark.parametrize(
    "number, error", [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
@pytest.mark.parametrize("moment", ["loss", "optimizer", "average"])
def test_signals_are_acted_on_between_steps(tmp_path, monkeypatch, number, error, moment):
    whole, _ = train(tmp_path / "a")
    sent = []

    def send():
        if not sent:
            sent.append(number)
            os.kill(os.getpid(), number)

    def wrap(loss_of):
        def loss(step, generator):
            if step == 12 and moment == "loss":
                send()
            return loss_of(step, generator)

        return loss

    for name, kind, method in (
        ("optimizer", torch.optim.AdamW, "step"),  # after Muon's half of the step
        ("average", EMA, "update"),
    ):
        original = getattr(kind, method)

        def interrupted(self, *args, original=original, name=name):
            if name == moment and (tmp_path / "b").exists():
                send()
            return original(self, *args)

        monkeypatch.setattr(kind, method, interrupted)
    former = signal.getsignal(number)
    with pytest.raises(error) as stop:
        train(tmp_path / "b", wrap=wrap, config=replace(CONFIG, save_every=0.0))
    if number == signal.SIGTERM:
        assert stop.value.code == 143
    assert signal.getsignal(number) == former, "the handlers are put back"
    assert sent and not is_finished(tmp_path / "b", "m", CONFIG)
    again, _ = train(tmp_path / "b", seed=5, resume=True)
    assert torch.equal(weights(whole), weights(again)), "no half-made step was saved"


def test_a_second_ctrl_c_acts_at_once_and_saves_nothing_half_made(tmp_path):
    def wrap(loss_of):
        def loss(step, generator):
            if step == 7:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
            return loss_of(step, generator)

        return loss

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, wrap=wrap)
    assert not (tmp_path / "m.safetensors").exists()


def test_a_training_in_a_thread_leaves_signals_alone(tmp_path):
    former = signal.getsignal(signal.SIGINT)
    seen = []
    thread = threading.Thread(
        target=train,
        args=(tmp_path,),
        kwargs={"should_stop": lambda: seen.append(signal.getsignal(signal.SIGINT)) or False},
    )
    thread.start()
    thread.join(60)
    assert is_finished(tmp_path, "m", CONFIG) and set(seen) == {former}


def test_an_evaluation_may_end_the_training(tmp_path):
    def evaluate(model, record):
        raise KeyboardInterrupt

    whole, _ = train(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "b", on_evaluate=evaluate, evaluate_every=0.0)
    assert load_tensors(tmp_path / "b" / "m.safetensors")[1]["step"] == 1
    again, _ = train(tmp_path / "b", seed=5, resume=True)
    assert torch.equal(weights(whole), weights(again)), "weights, not their averages, were saved"


# ---------------------------------------------------------------------------------- evaluations


def test_every_step_is_evaluated_once_and_the_last_one_always(tmp_path):
    steps = []
    options = {"on_evaluate": lambda model, record: steps.append(record["step"])}
    train(tmp_path / "often", evaluate_every=0.0, **options)
    assert steps == list(range(1, 31))
    steps.clear()
    train(tmp_path / "rarely", evaluate_every=1e9, **options)
    assert steps == [30]
    train(tmp_path / "rarely", evaluate_every=1e9, resume=True, **options)
    assert steps == [30], "a finished run has been evaluated"


def test_an_evaluation_that_was_killed_is_made_on_resume(tmp_path):
    def killed(model, record):
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        train(tmp_path, on_evaluate=killed, evaluate_every=1e9)
    steps = []
    train(tmp_path, resume=True, on_evaluate=lambda m, record: steps.append(record["step"]))
    assert steps == [30]


# ----------------------------------------------------------------------------------- checkpoints


def test_nothing_that_is_kept_lies_in_the_memory_of_the_file(tmp_path, monkeypatch):
    train(tmp_path, should_stop=Count(12))
    of_file, states = set(), []
    load, restore = loop.load_tensors, loop.TrainState.restore

    def remembered(path):
        tensors, note = load(path)
        of_file.update(x.untyped_storage().data_ptr() for x in tensors.values())
        states.append(tensors)  # so that the memory is not used again
        return tensors, note

    def restored(self, path):
        restore(self, path)
        states.append(self)

    monkeypatch.setattr(loop, "load_tensors", remembered)
    monkeypatch.setattr(loop.TrainState, "restore", restored)
    train(tmp_path, resume=True)
    state = states[1]
    kept = [*state.model.state_dict().values(), *state.ema.weights.values()]
    for optimizer in state.optimizers:
        for moments in optimizer.state.values():
            kept += [value for value in moments.values() if isinstance(value, torch.Tensor)]
    assert len(of_file) > 10 and len(kept) > len(of_file) // 2
    assert not of_file & {x.untyped_storage().data_ptr() for x in kept}


def test_another_models_checkpoint_is_refused(tmp_path):
    train(tmp_path)
    other = nn.ModuleDict({"blocks": nn.ModuleList([nn.Linear(3, 3)])})
    with pytest.raises(CheckpointError, match="another model"):
        fit("m", other, line()[1], CONFIG, tmp_path, resume=True, progress=False)


def test_what_was_trained_on_something_else_is_trained_anew(tmp_path, capsys):
    first, _ = train(tmp_path, reads={"compressor": "a"})
    same, _ = train(tmp_path, seed=5, reads={"compressor": "a"}, resume=True)
    assert torch.equal(weights(first), weights(same))
    other, history = train(tmp_path, seed=5, reads={"compressor": "b"}, resume=True)
    assert not torch.equal(weights(first), weights(other)) and history[-1]["step"] == 30
    assert "trained anew" in capsys.readouterr().out
    assert load_tensors(tmp_path / "m.safetensors")[1]["reads"] == {"compressor": "b"}


# --------------------------------------------------------------------- rates, averages, optimizers


def test_ema_is_torchs_averaged_model_with_a_warm_in():
    model = Line()
    ema = EMA(model, decay=0.9)

    def average(averaged, current, count):
        decay = torch.minimum(torch.tensor(0.9), (1 + count) / (10 + count))
        return decay * averaged + (1 - decay) * current

    theirs = AveragedModel(model, avg_fn=average)
    theirs.n_averaged += 1  # the first weights are part of the average
    generator = torch.Generator().manual_seed(0)
    for step in range(1, 120):
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(torch.randn(p.shape, generator=generator))
        ema.update(model, step)
        theirs.update_parameters(model)
    for name, p in theirs.module.named_parameters():
        assert torch.allclose(ema.weights[name], p, atol=1e-5)


def test_weights_and_averages_change_places():
    model = Line()
    ema = EMA(model, 0.9)
    with torch.no_grad():
        model.out.bias.fill_(7.0)
    average = ema.weights["out.bias"].clone()
    ema.swap(model)
    assert torch.equal(model.out.bias.detach(), average)
    ema.swap(model)
    assert float(model.out.bias.detach()) == 7.0


def test_learning_rate_warms_up_holds_and_ends_at_zero():
    rates = [learning_rate_at(CONFIG, s, s / 30) for s in range(31)]
    assert rates[0] == pytest.approx(CONFIG.learning_rate / 5)
    assert max(rates) == rates[10] == CONFIG.learning_rate
    assert rates[-1] == 0


def test_warm_up_and_cool_down_may_be_left_out(tmp_path):
    config = replace(CONFIG, warmup_steps=0, cooldown_fraction=0.0)
    rates = [learning_rate_at(config, s, s / 30) for s in range(30)]
    assert set(rates) == {CONFIG.learning_rate}
    _, history = train(tmp_path, config=config)
    assert history[-1]["loss"] < history[0]["loss"]


@pytest.mark.parametrize("where", ["outside of blocks", "inside of blocks"])
def test_a_model_may_lack_matrices_in_blocks_or_everything_else(tmp_path, where):
    torch.manual_seed(0)
    linear = nn.Linear(2, 1, bias=where == "outside of blocks")
    model = (
        linear if linear.bias is not None else nn.ModuleDict({"blocks": nn.ModuleList([linear])})
    )
    optimizers = make_optimizers(model, 1e-3)
    held = [p for o in optimizers for group in o.param_groups for p in group["params"]]
    assert {id(p) for p in held} == {id(p) for p in model.parameters()}

    def loss_of(step, generator):
        x = torch.randn(16, 2, generator=generator)
        return (linear(x)[:, 0] - x[:, 0]).square().mean(), {}

    config = replace(CONFIG, steps=20, learning_rate=0.2)
    history = fit("m", model, loss_of, config, tmp_path, progress=False)
    assert history[-1]["loss"] < history[0]["loss"]
    longer = replace(config, steps=30)
    history = fit("m", model, loss_of, longer, tmp_path, progress=False, resume=True)
    assert [record["step"] for record in history] == [10, 20, 30]


# ------------------------------------------------------------------ a GPU that nobody waits for


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """The steps of a GPU, which leaves a step out by itself, on the CPU."""
    monkeypatch.setattr(loop, "is_gpu", lambda device: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)


def test_a_gpu_learns_what_a_cpu_learns(tmp_path, monkeypatch, as_on_a_gpu):
    model, history = train(tmp_path / "gpu")
    monkeypatch.setattr(loop, "is_gpu", lambda device: False)
    expected, figures = train(tmp_path / "cpu")
    assert torch.allclose(weights(model), weights(expected), atol=1e-4)
    for record, other in zip(figures_of(history), figures_of(figures), strict=True):
        assert record == pytest.approx(other, rel=1e-3)


@pytest.mark.parametrize("how", [math.nan, math.inf, "gradient"])
def test_a_gpu_leaves_out_a_step_that_is_not_finite(tmp_path, how, as_on_a_gpu, capsys):
    train(tmp_path / "a", config=replace(CONFIG, warmup_steps=0), should_stop=Count(7))
    before = load_tensors(tmp_path / "a" / "m.safetensors")[0]
    options = {"config": replace(CONFIG, warmup_steps=0), "wrap": failing({7}, how)}
    train(tmp_path / "b", should_stop=Count(8), **options)
    after, note = load_tensors(tmp_path / "b" / "m.safetensors")
    assert before.keys() == after.keys() and note["step"] == 8 and note["skipped"] == 1
    assert all(torch.equal(before[name], after[name]) for name in before), "as if it never was"
    assert "step 8 is left out" in capsys.readouterr().out
