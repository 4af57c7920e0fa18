"""The one loop that all trainings share.

    loss_of(step, generator) ── fit ──► a trained model, its history, `run_dir/stage.safetensors`

A step is a transaction: draw a batch, forward, loss, check, backward, clip, optimizer step,
average of the weights. A step whose loss or gradient is not finite changes nothing, and Ctrl-C is
acted on between two steps only, so what is saved is always whole.

A GPU is not waited for: it leaves out a step that is not finite by itself, and says so every ten
steps, when its figures are read.

Every draw of step s comes from a generator seeded with (seed, s). So a resumed run draws as one
that was never stopped (where the budget is minutes, its learning rates follow the clock).
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.nn as nn
from tqdm.auto import tqdm

from minisora.checkpoints import CheckpointError, load_tensors, save_tensors
from minisora.config import TrainConfig
from minisora.device import autocast, is_gpu
from minisora.train.muon import Muon

Figures = Mapping[str, torch.Tensor | float]  # read when there is time; NaN says nothing
LossOf = Callable[[int, torch.Generator], tuple[torch.Tensor, Figures]]
OnEvaluate = Callable[[nn.Module, dict], None]
PATIENCE = 10  # steps in a row that are not finite, after which a training ends
LOG_EVERY = 10  # steps that one record of the history is the mean of
FOUND_INF = "found_inf"  # torch's word for what is 1 where a step is not finite, else 0


# -------------------------------------------------------------------------------- what a step needs


def make_optimizers(model: nn.Module, learning_rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for everything else.

    That is embeddings, first and last layers, norms and biases. A model may lack either kind.
    """
    inner = [p for name, p in model.named_parameters() if p.ndim == 2 and "blocks." in name]
    chosen = {id(p) for p in inner}
    outer = [p for p in model.parameters() if id(p) not in chosen]
    optimizers: list[torch.optim.Optimizer] = []
    if inner:
        optimizers.append(Muon(inner, learning_rate))
    if outer:
        adamw = torch.optim.AdamW(
            outer,
            lr=learning_rate,
            betas=(0.9, 0.99),
            weight_decay=0.0,
            fused=is_gpu(outer[0].device) or None,
        )
        optimizers.append(adamw)
    return optimizers


def learning_rate_at(config: TrainConfig, step: int, progress: float) -> float:
    """Warm up over the first steps, hold, and fall to zero over the last `cooldown_fraction`.

    Args:
        step: counted from 0. progress: how much of the budget is spent, 1 is all of it.
    """
    rate = config.learning_rate
    if config.warmup_steps > 0:
        rate *= min(1.0, (step + 1) / config.warmup_steps)
    if config.cooldown_fraction > 0:
        rate *= min(1.0, max(0.0, 1.0 - progress) / config.cooldown_fraction)
    return rate


def budget_fraction(config: TrainConfig, step: int, seconds: float) -> float:
    """How much of a stage's budget is spent: 1 is all of it."""
    if config.steps is not None:
        return step / config.steps if config.steps > 0 else 1.0
    return seconds / (60 * config.minutes) if config.minutes > 0 else 1.0


class EMA:
    """A running average of the weights, which is what gets shipped.

        ema ← decay · ema + (1 − decay) · weights

    torch's AveragedModel is a second module beside the first. Here the averages change places with
    the weights, because samples are drawn by a MiniSora whose parts are the modules in training.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.weights = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int, found_inf: torch.Tensor | None = None) -> None:
        """Take in the weights after `step` steps. The first steps are forgotten soon.

        Args:
            found_inf: as in `Muon`, 1 where nothing is to change.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        parameters = dict(model.named_parameters())
        averages = [self.weights[name] for name in parameters]
        weights: list[torch.Tensor] = list(parameters.values())
        if found_inf is None:
            torch._foreach_lerp_(averages, weights, 1 - decay)
        else:
            changes = torch._foreach_sub(weights, averages)
            torch._foreach_mul_(changes, (1 - decay) * (1 - found_inf))
            torch._foreach_add_(averages, changes)

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchange the model's weights with the averaged ones; call it again to swap back."""
        for name, p in model.named_parameters():
            kept = p.detach().clone()
            p.copy_(self.weights[name])
            self.weights[name] = kept


# ----------------------------------------------------------------------------- the state of a stage


class TrainState:
    """What a stage needs to go on: weights, their average, the optimizers' moments, how far it is.

    Args:
        reads: what this stage is trained on, name → checksum. A checkpoint that was trained on
            something else does not fit.
    """

    def __init__(
        self, stage: str, model: nn.Module, config: TrainConfig, reads: dict[str, str] | None = None
    ):
        self.stage = stage
        self.model = model
        self.config = config
        self.reads = reads or {}
        self.optimizers = make_optimizers(model, config.learning_rate)
        self.ema = EMA(model, config.ema_decay)
        self.step = 0
        self.seconds = 0.0  # of training; evaluations do not count
        # figures of the last steps, on a GPU that is at work on them
        self.unread: list[dict[str, torch.Tensor]] = []
        self.skipped = 0  # steps that were not finite
        self.failed_in_a_row = 0
        self.evaluated_at = 0  # the step of the last evaluation
        self.history: list[dict] = []
        self.sums: dict[str, list[float]] = {}  # name → sum and count since the last record

    def spent(self) -> float:
        """How much of the budget is spent."""
        return budget_fraction(self.config, self.step, self.seconds)

    def read(self) -> None:
        """Read the figures of the steps that were made since the last time, and log them."""
        if not self.unread:
            return
        names = list(dict.fromkeys(name for figures in self.unread for name in figures))
        missing = torch.full_like(self.unread[0][FOUND_INF], math.nan)
        rows = [
            torch.stack([figures.get(name, missing) for name in names]) for figures in self.unread
        ]
        table = torch.stack(rows).tolist()  # waits for a GPU
        first = self.step - len(rows) + 1
        self.unread = []
        for step, row in enumerate(table, first):
            figures = dict(zip(names, row, strict=True))
            if figures.pop(FOUND_INF):
                self._leave_out(step)
            else:
                self.failed_in_a_row = 0
                self.log(figures)
        self._record()

    def _leave_out(self, step: int) -> None:
        """Count a step that was not finite."""
        self.skipped += 1
        self.failed_in_a_row += 1
        self.log({})
        tqdm.write(f"{self.stage}: step {step} is left out: loss or gradient is not finite")

    def log(self, figures: dict[str, float]) -> None:
        """Add a step's figures to the means."""
        for name, value in figures.items():
            if not math.isnan(value):
                total, count = self.sums.get(name, (0.0, 0))
                self.sums[name] = [total + value, count + 1]

    def _record(self) -> None:
        """Make a record of the means, every `LOG_EVERY` steps."""
        if self.step % LOG_EVERY or not self.sums:
            return
        means = {name: total / count for name, (total, count) in self.sums.items()}
        record = {"step": self.step, "seconds": round(self.seconds, 2), **means}
        if self.skipped:
            record["skipped"] = self.skipped
        self.history.append(record)
        self.sums = {}

    def save(self, path: Path) -> None:
        """Write everything to one file, atomically."""
        self.read()
        tensors = {f"model.{name}": x for name, x in self.model.state_dict().items()}
        tensors |= {f"ema.{name}": x for name, x in self.ema.weights.items()}
        for i, optimizer in enumerate(self.optimizers):
            for p, moments in optimizer.state_dict()["state"].items():
                for name, value in moments.items():
                    tensors[f"optimizer.{i}.{p}.{name}"] = torch.as_tensor(value)
        note = {
            "stage": self.stage,
            "step": self.step,
            "seconds": self.seconds,
            "skipped": self.skipped,
            "evaluated_at": self.evaluated_at,
            "reads": self.reads,
            "history": self.history,
            "sums": self.sums,
            "config": asdict(self.config),
        }
        save_tensors(path, tensors, note)

    @torch.no_grad()
    def restore(self, path: Path) -> None:
        """Go on from a file that `save` wrote, or say that it was trained on something else.

        Everything is copied: nothing that is kept lies in the memory of the file, because Windows
        replaces no file that is still in use.

        Raises:
            CheckpointError: a damaged file, or one of another model.
        """
        tensors, note = load_tensors(path)
        if note.get("reads", {}) != self.reads:
            change = _change(self.reads, note)
            tqdm.write(f"{self.stage}: trained anew, because {path} was trained on {change}")
            return

        try:
            self.model.load_state_dict(_part(tensors, "model."))
        except RuntimeError as error:
            raise CheckpointError(
                f"{path} holds another model ({str(error).splitlines()[-1].strip()}); "
                "train into another folder"
            ) from None
        for name, value in _part(tensors, "ema.").items():
            self.ema.weights[name].copy_(value)
        for i, optimizer in enumerate(self.optimizers):
            moments: dict[int, dict[str, torch.Tensor]] = {}
            for key, value in _part(tensors, f"optimizer.{i}.").items():
                p, name = key.split(".", 1)
                moments.setdefault(int(p), {})[name] = value.clone()
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.step = note["step"]
        self.seconds = note["seconds"]
        self.skipped = note.get("skipped", 0)
        self.evaluated_at = note.get("evaluated_at", self.step)
        self.history = note["history"]
        self.sums = note.get("sums", {})


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}


def _change(reads: dict[str, str], note: dict) -> str:
    """What a checkpoint was trained on that is another one now."""
    former = note.get("reads", {})
    names = sorted(name for name in reads | former if reads.get(name) != former.get(name))
    return " and ".join(f"another {name}" for name in names)


def read_note(run_dir: str | Path, stage: str) -> dict | None:
    """The note in the checkpoint of a stage; None where there is none yet."""
    path = Path(run_dir) / f"{stage}.safetensors"
    return load_tensors(path)[1] if path.is_file() else None


def is_finished(run_dir: str | Path, stage: str, config: TrainConfig) -> bool:
    """Whether an earlier run has spent this stage's budget."""
    note = read_note(run_dir, stage)
    return note is not None and budget_fraction(config, note["step"], note["seconds"]) >= 1


# ----------------------------------------------------------------------------------------- the loop


def fit(
    stage: str,
    model: nn.Module,
    loss_of: LossOf,
    config: TrainConfig,
    run_dir: str | Path,
    *,
    resume: bool = False,
    progress: bool = True,
    on_evaluate: OnEvaluate | None = None,
    evaluate_every: float = 60.0,
    should_stop: Callable[[], bool] = lambda: False,
    reads: dict[str, str] | None = None,
) -> list[dict]:
    """Train until the budget is spent or `should_stop()`; the model ends with its averaged weights.

    Ctrl-C (and SIGTERM) ends the training after the step that is being made; a second one at once.

    Args:
        stage: name of the checkpoint, `run_dir/stage.safetensors`.
        loss_of: (step, generator) → loss and figures to log; draws its own batch.
        on_evaluate: called about every `evaluate_every` seconds with the averaged model, its step
            and seconds, and at the end; samples go here. Its time does not count as training.
        reads: what the stage is trained on, see `TrainState`.

    Returns:
        History: a record of step, seconds and figures every ten steps.

    Raises:
        CheckpointError: `resume` with a damaged checkpoint, or one of another model.
        ValueError: the loss or its gradient was not finite for `PATIENCE` steps in a row.
    """
    path = Path(run_dir) / f"{stage}.safetensors"
    state = TrainState(stage, model, config, reads)
    if resume and path.is_file():
        state.restore(path)
    was_finished = state.spent() >= 1
    model.train()
    _make_steps(state, loss_of, path, progress, on_evaluate, evaluate_every, should_stop)
    if not was_finished:
        state.save(path)
    if on_evaluate and state.evaluated_at != state.step:
        _evaluate(state, on_evaluate)
        state.save(path)
    state.ema.swap(model)
    model.eval()
    return state.history


def _make_steps(
    state: TrainState,
    loss_of: LossOf,
    path: Path,
    progress: bool,
    on_evaluate: OnEvaluate | None,
    evaluate_every: float,
    should_stop: Callable[[], bool],
) -> None:
    """Step, evaluate and save until the budget is spent or someone stops it."""
    last_save = state.seconds
    last_evaluation = state.seconds
    with signals_held() as signals, _bar(state.stage, progress) as bar:
        try:
            while state.spent() < 1 and not should_stop() and not signals:
                _timed_step(state, loss_of, path)
                _show(bar, state)
                if on_evaluate and state.seconds - last_evaluation >= evaluate_every:
                    last_evaluation = state.seconds
                    _evaluate(state, on_evaluate)
                if state.seconds - last_save >= state.config.save_every:
                    last_save = state.seconds
                    state.save(path)
        except KeyboardInterrupt:  # from an evaluation: the state is whole
            if not signals:
                _keep(state, path)
            raise
    if signals:
        _keep(state, path)
        raise KeyboardInterrupt if signals[0] == signal.SIGINT else SystemExit(128 + signals[0])


def train_step(state: TrainState, loss_of: LossOf) -> dict[str, torch.Tensor]:
    """Take one step, whole or not at all.

    Returns:
        The step's figures. `FOUND_INF` among them is 1 where the loss or its gradient is not
        finite, and nothing has changed.
    """
    model, config = state.model, state.config
    device = next(model.parameters()).device
    generator = torch.Generator(device=device).manual_seed(config.seed * 1_000_003 + state.step)
    rate = learning_rate_at(config, state.step, state.spent())

    with autocast(device):
        loss, figures = loss_of(state.step, generator)  # draws a batch
    model.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    found_inf = 1.0 - (loss.isfinite() & norm.isfinite()).float()
    said = {
        name: torch.as_tensor(value, device=device).detach().float()
        for name, value in {"loss": loss, **figures, FOUND_INF: found_inf}.items()
    }
    on_gpu = is_gpu(device)
    if not on_gpu and found_inf.item():
        return said
    for optimizer in state.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        if on_gpu:  # as torch's GradScaler does: the optimizers leave the step out by themselves
            optimizer.found_inf = found_inf  # type: ignore[attr-defined]
        optimizer.step()
    state.ema.update(model, state.step + 1, found_inf if on_gpu else None)
    return said


def _timed_step(state: TrainState, loss_of: LossOf, path: Path) -> None:
    """One step with its book-keeping: time, history, and steps that were left out."""
    began = time.perf_counter()
    figures = train_step(state, loss_of)
    state.step += 1
    state.unread.append(figures)
    device = next(state.model.parameters()).device
    if is_gpu(device) and state.step % LOG_EVERY == 0:
        torch.cuda.synchronize(device)
    state.seconds += time.perf_counter() - began
    if not is_gpu(device) or state.step % LOG_EVERY == 0:
        state.read()
    if state.failed_in_a_row >= PATIENCE:
        state.save(path)
        raise ValueError(
            f"{state.stage}: loss or gradient was not finite for {PATIENCE} steps in a row; "
            f"what was learned before is kept in {path}; a learning rate below "
            f"{state.config.learning_rate:g} may help"
        )


def _evaluate(state: TrainState, on_evaluate: OnEvaluate) -> None:
    """Show the averaged model."""
    state.ema.swap(state.model)
    state.model.eval()
    try:
        with torch.no_grad():
            on_evaluate(state.model, {"step": state.step, "seconds": state.seconds})
        state.evaluated_at = state.step
    finally:  # also after an error: what is saved must be the weights that are being trained
        state.model.train()
        state.ema.swap(state.model)


def _keep(state: TrainState, path: Path) -> None:
    """Save because the reader stopped the training."""
    state.save(path)
    tqdm.write(f"{state.stage}: stopped at step {state.step}; what was learned is kept in {path}")


@contextmanager
def signals_held() -> Iterator[list[int]]:
    """Collect Ctrl-C (SIGINT) and SIGTERM in a list; the second one acts as usual.

    Only the main thread hears signals; in any other one this does nothing.
    """
    received: list[int] = []
    former: dict[int, Any] = {}

    def restore() -> None:
        for number, handler in former.items():
            signal.signal(number, handler)

    def hold(number: int, frame: FrameType | None) -> None:
        received.append(number)
        restore()

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if handler not in (None, signal.SIG_IGN):
                former[number] = handler
                signal.signal(number, hold)
    try:
        yield received
    finally:
        restore()


def _bar(stage: str, progress: bool) -> tqdm:
    layout = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining} {postfix}"
    return tqdm(total=100, desc=stage, disable=not progress, bar_format=layout)


def _show(bar: tqdm, state: TrainState) -> None:
    if state.step % LOG_EVERY == 0 and state.history:
        bar.n = min(100, round(100 * state.spent(), 1))
        bar.set_postfix_str(f"step {state.step}, loss {state.history[-1]['loss']:.4f}")
