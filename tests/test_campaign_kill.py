"""A training that is killed at any moment goes on, and ends where an undisturbed one ends."""

import multiprocessing
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from minisora.checkpoints import load_tensors
from minisora.pipeline import MiniSora
from tests.conftest import SMALL
from tests.test_loop import CONFIG, line
from tests.test_recipe import measure_nothing, tiny

PATIENCE = 120.0  # seconds for one process


def start(work, folder: Path) -> multiprocessing.Process:
    """Run `work(folder)` in a process of its own, as quickly as this machine can make one."""
    can_fork = "fork" in multiprocessing.get_all_start_methods() and not torch.cuda.is_available()
    context = multiprocessing.get_context("fork" if can_fork else "spawn")
    process = context.Process(target=_alone, args=(work, folder), daemon=True)
    process.start()
    return process


def _alone(work, folder: Path) -> None:
    torch.set_num_threads(1)  # a fork has no threads but this one
    (folder / "begun").touch()
    work(folder)
    (folder / "ended").touch()


def wait_for(path: Path, process: multiprocessing.Process) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert process.exitcode in (None, 0) and time.monotonic() < deadline
        time.sleep(0.001)


def finish(work, folder: Path) -> float:
    """Let it end by itself; its seconds."""
    folder.mkdir(exist_ok=True)
    process = start(work, folder)
    wait_for(folder / "begun", process)
    began = time.monotonic()
    process.join(PATIENCE)
    assert process.exitcode == 0 and (folder / "ended").exists()
    return time.monotonic() - began


def kill_at_random(work, folder: Path, kills: int, seconds: float) -> None:
    """Kill it at moments drawn over its whole length; each time it goes on from what it left."""
    folder.mkdir()
    rng = random.Random(0)
    for _ in range(kills):
        (folder / "begun").unlink(missing_ok=True)
        process = start(work, folder)
        wait_for(folder / "begun", process)
        process.join(rng.uniform(0, seconds))
        process.kill()
        process.join(PATIENCE)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Everything in the checkpoints of the stages, and the weights of the model."""
    found = {}
    for path in folder.rglob("*.safetensors"):
        if path.parent.name != "model":  # whose files have one of two names
            tensors = load_tensors(path)[0]
            found |= {f"{path.name} {name}": tensor for name, tensor in tensors.items()}
    if (folder / "run" / "model").is_dir():
        found |= MiniSora.load(folder / "run" / "model", "cpu").state_dict()
    return found


def train_line(folder: Path) -> None:
    """One stage, saved after every step."""
    from minisora.train.loop import fit

    model, loss_of = line()
    config = replace(CONFIG, steps=40, save_every=0.0)
    fit("m", model, loss_of, config, folder, resume=True, progress=False)


def train_everything(folder: Path) -> None:
    """The whole recipe, every stage saved after every step."""
    from minisora.train.recipe import train_model

    with pytest.MonkeyPatch.context() as monkeypatch:
        measure_nothing(monkeypatch)
        train_model(tiny(SMALL), folder / "run", resume=True, device="cpu", progress=False)


@pytest.mark.parametrize(
    "work", [train_line, pytest.param(train_everything, marks=pytest.mark.slow)]
)
def test_killed_trainings_end_where_others_end(work, tmp_path, count):
    (tmp_path / "warm").mkdir()
    work(tmp_path / "warm")  # what torch imports at first use is imported here, before forks
    seconds = finish(work, tmp_path / "whole")
    kill_at_random(work, tmp_path / "killed", count, seconds)
    finish(work, tmp_path / "killed")
    expected, kept = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert kept.keys() == expected.keys() != set()
    for name in expected:
        assert torch.equal(kept[name], expected[name]), name
    assert not list((tmp_path / "killed").rglob("*.tmp")), "scratch files are removed"
