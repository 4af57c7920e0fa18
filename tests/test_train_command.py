"""minisora train: a run folder remembers its options, and a resume needs none of them."""

import json
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from minisora import config
from minisora.cli.main import main
from minisora.train.folder import Folder
from minisora.train.run import read_run
from tests.test_recipe import measure_nothing, tiny


@pytest.fixture
def small(preset, monkeypatch):
    measure_nothing(monkeypatch)
    small = tiny(preset)
    monkeypatch.setitem(config.PRESETS, "small", small)
    return small


@pytest.fixture
def calls(monkeypatch, small, tmp_path):
    """What the recipe is asked for; it writes `run.json` and trains nothing."""
    from minisora.train import recipe

    seen = []

    def train_model(preset, run_dir, **options):
        run_dir = Path(run_dir)
        start = options["start"] and "the model's checksum"
        clips = options["folder"] and "the clips' checksum"
        recipe.remember(run_dir, recipe.Run(preset, [], start, clips, options["options"]))
        seen.append((preset, options))

    monkeypatch.setattr(recipe, "train_model", train_model)
    return seen


def run(monkeypatch, *words) -> int:
    monkeypatch.setattr(sys, "argv", ["minisora", "train", "--device", "cpu", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code or 0


def test_a_resume_needs_no_flags_and_equals_one_run(small, tmp_path, monkeypatch, capsys):
    out = tmp_path / "run"
    assert run(monkeypatch, "--preset", "small", "--out", out) == 0
    assert run(monkeypatch, "--resume", "--out", out) == 0
    assert "going on with small" in capsys.readouterr().out
    assert run(monkeypatch, "--preset", "small", "--out", out) == 2
    assert "--resume" in capsys.readouterr().err


def test_every_option_is_remembered(calls, tmp_path, monkeypatch):
    out = tmp_path / "run"
    folder = Folder(torch.zeros(1, 3, 1, 8, 8), [["a"]], ["a.gif"], {})
    monkeypatch.setattr("minisora.train.folder.read_folder", lambda *args, **kwargs: folder)
    typed = ["--preset", "small", "--from", "tiny", "--data", tmp_path, "--skip-bad"]
    typed += ["--vae-clips", 9, "--cached-clips", 70, "--evaluate-every", 5, "--no-compile"]
    monkeypatch.setattr("minisora.pipeline.MiniSora.load", lambda name, device: name)
    assert run(monkeypatch, *typed, "--dit-minutes", 3, "--out", out) == 0
    assert run(monkeypatch, "--resume", "--out", out) == 0
    (first, first_options), (again, options) = calls
    assert again == first and again.vae_clips == 9 and again.train_dit.minutes == 3
    for name in ("start", "folder", "evaluate_every", "compile", "options"):
        assert options[name] == first_options[name]
    assert options["start"] == "tiny" and options["evaluate_every"] == 5
    assert run(monkeypatch, "--resume", "--out", out, "--dit-minutes", 4) == 0
    assert calls[-1][0] == replace(first, train_dit=replace(first.train_dit, minutes=4))
    assert read_run(out).preset.train_dit.minutes == 4


@pytest.mark.parametrize(
    "flags, sentence",
    [
        (["--preset", "tiny"], "--preset tiny contradicts .* begun with --preset small"),
        (["--from", "tiny"], "--from tiny contradicts .* begun with no --from"),
        (["--data", "."], "--data .* contradicts .* begun with no --data"),
        (["--skip-bad"], "--skip-bad True contradicts"),
        (["--vae-clips", "90"], "begun with vae_clips = 4, not 90"),
        (["--cached-clips", "90"], "begun with cached_clips = 4, not 90"),
        (["--dit-minutes", "0.5"], "train_dit.minutes = 5.0; that may grow, not shrink to 0.5"),
    ],
)
def test_a_flag_that_contradicts_is_refused(calls, tmp_path, monkeypatch, capsys, flags, sentence):
    out = tmp_path / "run"
    assert run(monkeypatch, "--preset", "small", "--out", out) == 0
    before = (out / "run.json").read_bytes()
    assert run(monkeypatch, "--resume", "--out", out, *flags) == 2
    error = capsys.readouterr().err
    assert re.search(sentence, error), error
    assert len(calls) == 1 and (out / "run.json").read_bytes() == before


def test_the_same_flags_again_are_no_contradiction(calls, tmp_path, monkeypatch):
    out = tmp_path / "run"
    assert run(monkeypatch, "--preset", "small", "--vae-clips", 9, "--out", out) == 0
    again = ["--preset", "small", "--vae-clips", 9, "--out", out]
    assert run(monkeypatch, *again, "--resume") == 0


def test_there_must_be_something_to_resume(calls, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "--resume", "--out", tmp_path / "typo") == 2
    assert "no training to go on with" in capsys.readouterr().err
    assert not calls and not (tmp_path / "typo").exists()
    assert run(monkeypatch, "--preset", "giant", "--out", tmp_path / "run") == 2
    assert "tiny" in capsys.readouterr().err


@pytest.mark.parametrize("caption", ['it\'s a "$HOME" `ls`', "naïve – ✓", "a; b", "two\nlines"])
def test_the_last_line_can_be_typed_as_it_is(calls, tmp_path, monkeypatch, capsys, caption):
    folder = Folder(torch.zeros(1, 3, 1, 8, 8), [[caption]], ["a.gif"], {})
    monkeypatch.setattr("minisora.train.folder.read_folder", lambda *args, **kwargs: folder)
    out = tmp_path / "a run"
    assert run(monkeypatch, "--preset", "small", "--data", tmp_path, "--out", out) == 0
    said = capsys.readouterr().out
    words = shlex.split(said[said.index("done: ") + len("done: ") :])
    assert words == ["minisora", "generate", caption, "--model", str(out / "model")]


@pytest.mark.parametrize("minutes, expected", [(4.0, True), (3.9, False)])
def test_networks_are_compiled_where_it_pays(
    calls, monkeypatch, tmp_path, preset, minutes, expected
):
    stage = config.TrainConfig(minutes=minutes)
    long = replace(preset, train_vae=stage, train_dit=stage)
    monkeypatch.setitem(config.PRESETS, "long", long)
    monkeypatch.setattr("minisora.device.can_compile", lambda *args: True)
    assert run(monkeypatch, "--preset", "long", "--out", tmp_path / "run") == 0
    assert calls[-1][1]["compile"] is expected
    assert run(monkeypatch, "--preset", "small", "--out", tmp_path / "steps") == 0
    assert calls[-1][1]["compile"] is False, "a budget of steps says nothing about time"


def test_run_json_is_written_before_any_weights(small, tmp_path, monkeypatch):
    from minisora.train import recipe

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(recipe, "train_vae", killed)
    out = tmp_path / "run"
    assert run(monkeypatch, "--preset", "small", "--out", out) == 130
    assert json.loads((out / "run.json").read_text())["options"]["preset"] == "small"
