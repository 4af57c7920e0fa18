"""The one loop that all trainings share: steps, averaged weights, progress, checkpoints, resume.

    loss_of(step, generator) ── fit ──► a trained model, its history, `run_dir/stage.safetensors`

Every draw of step s comes from a generator seeded with (seed, s): a resumed run draws as one that was never stopped
(where the budget is minutes, its rates follow the clock).
"""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
import torch.nn as nn
from tqdm.auto import tqdm

from minisora.checkpoints import CheckpointError, load_tensors, save_tensors
from minisora.config import TrainConfig
from minisora.device import autocast
from minisora.train.muon import Muon


def make_optimizers(model: nn.Module, learning_rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks; AdamW for the rest: embeddings, first and last layers, norms, biases."""
    inner = [p for name, p in model.named_parameters() if p.ndim == 2 and "blocks." in name]
    chosen = {id(p) for p in inner}
    outer = [p for p in model.parameters() if id(p) not in chosen]
    return [
        Muon(inner, learning_rate),
        torch.optim.AdamW(outer, lr=learning_rate, betas=(0.9, 0.99), weight_decay=0.0),
    ]


def learning_rate_at(config: TrainConfig, step: int, progress: float) -> float:
    """Warm up over the first steps, hold, and fall to zero over the last `cooldown_fraction` of the budget."""
    warm = min(1.0, (step + 1) / config.warmup_steps)
    return (
        config.learning_rate * warm * min(1.0, max(0.0, 1.0 - progress) / config.cooldown_fraction)
    )


def budget_fraction(config: TrainConfig, step: int, seconds: float) -> float:
    """How much of a stage's budget is spent: 1 is all of it."""
    spent, budget = (
        (step, config.steps) if config.steps is not None else (seconds, 60 * config.minutes)
    )
    return spent / budget if budget > 0 else 1.0


def is_finished(run_dir: str | Path, stage: str, config: TrainConfig) -> bool:
    """Whether an earlier run has spent this stage's budget."""
    path = Path(run_dir) / f"{stage}.safetensors"
    if not path.is_file():
        return False
    _, note = load_tensors(path)
    if "step" not in note:
        raise CheckpointError(
            f"{path} is part of a model, not of a training; name the run's folder, which is the one above"
        )
    return budget_fraction(config, note["step"], note["seconds"]) >= 1


class EMA:
    """A running average of the weights, which is what gets shipped: ema ← decay · ema + (1 − decay) · weights."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.weights = {name: p.detach().clone() for name, p in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))  # the first steps are forgotten soon
        for name, p in model.named_parameters():
            self.weights[name].lerp_(p, 1 - decay)

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchange the model's weights with the averaged ones; call it again to swap back."""
        for name, p in model.named_parameters():
            kept = p.detach().clone()
            p.copy_(self.weights[name])
            self.weights[name] = kept


def fit(
    stage: str,
    model: nn.Module,
    loss_of: Callable[[int, torch.Generator], tuple[torch.Tensor, dict[str, float]]],
    config: TrainConfig,
    run_dir: str | Path,
    *,
    resume: bool = False,
    progress: bool = True,
    on_evaluate: Callable[[nn.Module, dict], None] | None = None,
    evaluate_every: float = 60.0,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[dict]:
    """Train until the budget is spent or `should_stop()`; the model ends with its averaged weights. Ctrl-C saves and is raised again.

    Args:
        stage: name of the checkpoint, `run_dir/stage.safetensors`.
        loss_of: (step, generator) → loss and figures to log; draws its own batch.
        on_evaluate: called about every `evaluate_every` seconds with the averaged model and the last record, and at the end; samples go here.
            Its time does not count as training.

    Returns:
        History: a record of step, seconds and figures every ten steps.

    Raises:
        CheckpointError: `resume` with a damaged checkpoint, or one of another model.
    """
    path = Path(run_dir) / f"{stage}.safetensors"
    optimizers, ema = make_optimizers(model, config.learning_rate), EMA(model, config.ema_decay)
    step, seconds, history, sums = 0, 0.0, [], {}
    if resume and path.is_file():
        step, seconds, history = _restore(path, model, ema, optimizers)
    device = next(model.parameters()).device
    share = lambda: budget_fraction(config, step, seconds)
    bar = tqdm(
        total=100,
        desc=stage,
        disable=not progress,
        bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining} {postfix}",
    )
    save = lambda: _save(path, stage, model, ema, optimizers, step, seconds, history, config)
    last_save, last_evaluation, finished_before = seconds, seconds, share() >= 1
    model.train()
    try:
        while share() < 1 and not should_stop():
            began = time.perf_counter()
            for group in (g for o in optimizers for g in o.param_groups):
                group["lr"] = learning_rate_at(config, step, share())
            generator = torch.Generator(device=device).manual_seed(config.seed * 1_000_003 + step)
            with autocast(device):
                loss, figures = loss_of(step, generator)
            model.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
            step += 1
            ema.update(model, step)
            for name, value in {"loss": loss.item(), **figures}.items():
                total, count = sums.get(name, (0.0, 0))
                sums[name] = (total + value, count + 1)
            seconds += time.perf_counter() - began
            if step % 10 == 0:
                history.append(
                    {"step": step, "seconds": round(seconds, 2)}
                    | {k: s / n for k, (s, n) in sums.items()}
                )
                sums = {}
                bar.n = min(100, round(100 * share(), 1))
                bar.set_postfix_str(f"step {step}, loss {history[-1]['loss']:.4f}")
            if on_evaluate and seconds - last_evaluation >= evaluate_every:
                last_evaluation = seconds
                _evaluate(on_evaluate, model, ema, {"step": step, "seconds": seconds})
            if seconds - last_save >= config.save_every:
                last_save = seconds
                save()
    except KeyboardInterrupt:
        tqdm.write(f"{stage}: stopped at step {step}; what was learned is kept in {path}")
        save()
        raise
    finally:
        bar.close()
    if not finished_before:
        save()
        if on_evaluate:
            _evaluate(on_evaluate, model, ema, {"step": step, "seconds": seconds})
    ema.swap(model)
    model.eval()
    return history


def _evaluate(on_evaluate, model: nn.Module, ema: EMA, record: dict) -> None:
    ema.swap(model)
    model.eval()
    try:
        with torch.no_grad():
            on_evaluate(model, record)
    finally:  # also after Ctrl-C: what is saved must be the weights that are being trained
        model.train()
        ema.swap(model)


def _save(path, stage, model, ema, optimizers, step, seconds, history, config) -> None:
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()} | {
        f"ema.{k}": v for k, v in ema.weights.items()
    }
    for i, optimizer in enumerate(optimizers):
        for p, state in optimizer.state_dict()["state"].items():
            tensors |= {
                f"optimizer.{i}.{p}.{name}": torch.as_tensor(value) for name, value in state.items()
            }
    note = {
        "stage": stage,
        "step": step,
        "seconds": seconds,
        "history": history,
        "config": asdict(config),
    }
    save_tensors(path, tensors, note)


def _restore(path, model, ema, optimizers) -> tuple[int, float, list[dict]]:
    tensors, note = load_tensors(path)
    part = lambda start: {k[len(start) :]: v for k, v in tensors.items() if k.startswith(start)}
    try:
        model.load_state_dict(part("model."))
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} holds another model ({str(error).splitlines()[-1].strip()}); train into another folder"
        ) from None
    device = next(model.parameters()).device
    ema.weights = {k: v.to(device) for k, v in part("ema.").items()}
    for i, optimizer in enumerate(optimizers):
        state: dict[int, dict] = {}
        for key, value in part(f"optimizer.{i}.").items():
            p, name = key.split(".", 1)
            state.setdefault(int(p), {})[name] = value
        optimizer.load_state_dict(
            {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
        )
    return note["step"], note["seconds"], note["history"]
