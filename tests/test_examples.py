"""The sentences that README gives as examples come out as asked, whatever the seed."""

import re
import shlex
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from minisora.cli.main import app
from minisora.cli.play import is_sentence
from minisora.measure.clips import verdicts_of
from minisora.pipeline import MiniSora

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
SEEDS = 8


def examples(of_a_game: bool = False) -> list[tuple[str, str]]:
    """Model and prompt of every clip that README makes from text alone, or of those of the game."""
    found, of_game = [], []
    for line in re.findall(r"^(?:uv run )?(minisora generate .*)$", README, re.M):
        words = shlex.split(line, comments=True)
        model = words[words.index("--model") + 1] if "--model" in words else "tiny"
        (of_game if is_sentence(words[2]) else found).append((model, words[2]))
    found += [("tiny", prompt) for prompt in re.findall(r"model\.generate\(\"(.*?)\"", README)]
    return of_game if of_a_game else found


def test_the_examples_of_readme_are_found():
    assert {model for model, _ in examples()} == {"tiny", "base"}
    assert len(examples()) >= 3
    assert examples(of_a_game=True)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "prompt"), examples())
def test_an_example_succeeds_with_every_seed(name, prompt):
    model = MiniSora.load(name, "cpu")
    clips = []
    for seed in range(SEEDS):
        generator = torch.Generator().manual_seed(seed)
        clips.append(model.generate(prompt, generator=generator))
    verdicts = verdicts_of(torch.cat(clips), [prompt] * SEEDS, model.preset.fps)
    wrong = {seed: str(v) for seed, v in enumerate(verdicts) if not v.all}
    assert not wrong, f"{prompt!r} fails with seeds {wrong}"


@pytest.mark.parametrize(("_", "prompt"), examples(of_a_game=True))
def test_an_example_of_the_game_succeeds_with_every_seed(_, prompt, tmp_path):
    for seed in range(SEEDS):
        out = str(tmp_path / f"{seed}.png")
        done = CliRunner().invoke(app, ["generate", prompt, "--seed", str(seed), "--out", out])
        assert ": as asked" in done.output, done.output + str(done.exception or "")
