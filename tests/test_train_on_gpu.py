"""The script for a GPU: from nothing to files within its minutes, cut off or not."""

import json
import os
import signal
import sys
import time
from dataclasses import replace

import pytest
import torch

from data.experiments import train_on_gpu
from minisora import config
from minisora.pipeline import MiniSora
from minisora.train import recipe
from tests.conftest import SMALL
from tests.test_recipe import FIGURES

FILES = 8  # at most, in the output folder


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run the script for a number of seconds with a small preset; its exit code."""
    monkeypatch.setitem(config.PRESETS, "small", replace(SMALL, other_sizes=()))
    monkeypatch.setattr("minisora.train.data.HELD_BACK", 2)
    for place in (recipe, train_on_gpu):
        monkeypatch.setattr(place, "judged_figures", lambda model, count: FIGURES)
    monkeypatch.setattr(train_on_gpu, "SAMPLES", 2)
    short = dict.fromkeys(train_on_gpu.CONFIGS, 0.03)  # a test need not use its time
    monkeypatch.setattr(train_on_gpu, "FRACTIONS", short)
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])  # the first one loads modules
    former = signal.getsignal(signal.SIGTERM)

    def start(seconds: float, *words: str) -> int:
        monkeypatch.setattr(train_on_gpu, "BEGAN", time.monotonic())
        typed = ["--preset", "small", "--minutes", str(seconds / 60), "--device", "cpu"]
        typed += ["--out", str(tmp_path / "out"), "--run", str(tmp_path / "run"), "--judged", "2"]
        monkeypatch.setattr(sys, "argv", ["train_on_gpu", *typed, *words])
        return train_on_gpu.main()

    yield start
    signal.signal(signal.SIGTERM, former)


def joined(tmp_path) -> MiniSora:
    """The model that was written out."""
    train_on_gpu.join(tmp_path / "out", tmp_path / "joined")
    return MiniSora.load(tmp_path / "joined", "cpu")


def report_of(tmp_path) -> dict:
    return json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_it_runs_from_nothing_to_files_and_its_model_can_be_loaded(run, tmp_path, monkeypatch):
    monkeypatch.setattr(train_on_gpu, "PIECE", 100_000)
    assert run(40) == 0
    report = report_of(tmp_path)
    assert all(report["stages"][name]["steps"] > 0 for name in train_on_gpu.CONFIGS)
    assert report["errors"] == [] and "solo, typed" in report["figures"]
    assert {"samples.png", "curve.png"} <= {path.name for path in (tmp_path / "out").iterdir()}
    pieces = sorted((tmp_path / "out").glob("model.tar.??"))
    assert len(pieces) > 1 and max(path.stat().st_size for path in pieces) <= 100_000
    assert joined(tmp_path).metadata["curve"] == report["curve"]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="os.kill ends the process on Windows")
@pytest.mark.parametrize("moment", ["clips", "vae", "latents", "text", "upsampler", "dit"])
def test_it_is_cut_off_anywhere_and_goes_on(run, tmp_path, monkeypatch, moment):
    where = {
        "clips": ("clips", 1),
        "vae": ("train_vae", 0),
        "latents": ("cached_latents", 0),
        "text": ("train_language", 0),
        "upsampler": ("train_upsampler", 0),
        "dit": ("train_dit", 0),
    }
    name, in_stages = where[moment]
    owner = recipe.Stages if in_stages else recipe
    original = getattr(owner, name)

    def cut_off(*args, **options):
        if moment in ("clips", "latents"):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        stop = options["should_stop"]
        calls = []

        def killed():
            calls.append(1)
            if len(calls) == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return stop()

        return original(*args, **{**options, "should_stop": killed})

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, cut_off)
        assert run(40) == 143
    kept = joined(tmp_path)
    assert len(list((tmp_path / "out").iterdir())) <= FILES
    assert "SystemExit" in report_of(tmp_path)["errors"][-1]
    assert kept.preset.height == SMALL.height
    assert run(40) == 0
    assert all(report_of(tmp_path)["stages"][stage]["steps"] > 0 for stage in ("vae", "dit"))


@pytest.mark.parametrize("minutes", [0.5, 6.0, 9.0])
def test_a_stage_takes_its_fraction_of_what_is_left(monkeypatch, tmp_path, preset, minutes):
    """Budgets of all stages, one after the other, leave the reserve for what comes after them."""
    now = [100.0]
    monkeypatch.setattr(train_on_gpu, "BEGAN", 100.0)
    monkeypatch.setattr(train_on_gpu.time, "monotonic", lambda: now[0])
    stages = recipe.begin(replace(preset, other_sizes=()), tmp_path, device="cpu")
    run = train_on_gpu.Run(stages, tmp_path / "out", minutes, 2)
    for name, field in train_on_gpu.CONFIGS.items():
        asked = run._with_budget(name)
        seconds = 60 * getattr(run.model.preset, field).minutes
        assert seconds > 0 and not asked.should_stop()
        now[0] += 1.02 * seconds
    assert run.left() > 60 * minutes * train_on_gpu.RESERVE
    now[0] += run.left() - 60 * minutes * train_on_gpu.RESERVE + 0.1
    assert asked.should_stop()


@pytest.mark.slow
def test_what_fails_compiled_goes_on_without(run, tmp_path, monkeypatch):
    monkeypatch.setattr(train_on_gpu, "can_compile", lambda kind: True)
    monkeypatch.setattr(train_on_gpu, "COMPILE_FROM", {"cpu": 0.0})
    train_vae = recipe.train_vae

    def fails_compiled(*args, compile, **options):
        if compile:
            raise RuntimeError("no compiler")
        return train_vae(*args, **options)

    monkeypatch.setattr(recipe, "train_vae", fails_compiled)
    assert run(40) == 0
    report = report_of(tmp_path)
    assert "no compiler" in report["errors"][0] and not report["compiled"]
    assert report["stages"]["dit"]["steps"] > 0
