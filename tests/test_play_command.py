"""minisora play, and play in minisora train and evaluate."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from minisora.cli.main import app
from minisora.config import PlayPreset
from minisora.measure.play import draw_games
from minisora.play.model import PlayModel, Session
from minisora.show.media import as_video, metadata_of
from minisora.train.run import Run, remember
from minisora.world.game import frames_of, game_of
from minisora.world.platform import BRICK
from tests.conftest import small_play_preset


def run(*words: str):
    return CliRunner().invoke(app, [*words])


def said(done) -> str:
    """What a command said, or its error."""
    return done.output + str(done.exception or "")


def test_actions_become_a_clip(tmp_path, shipped):
    out = tmp_path / "game.png"
    done = run("play", "→→↑", "--out", str(out), "--scale", "1", "--seed", "3")
    assert done.exit_code == 0, said(done)
    assert "4 frames, tiles, seed 3" in done.output
    assert "as the true game for all 3 steps" in done.output
    assert as_video(out, fps=10).shape == (3, 4, 32, 32)


def test_the_true_game_stands_beside_it(tmp_path, shipped):
    out = tmp_path / "game.png"
    done = run("play", "policy", "--steps", "6", "--truth", "--out", str(out), "--scale", "1")
    assert done.exit_code == 0, said(done)
    video = as_video(out, fps=10)
    assert video.shape == (3, 7, 32, 66)
    assert (video[..., :32] - video[..., 34:]).abs().mean() < 0.1


class Planted:
    """A stand-in for a model: it shows 40 true states of seed 1, some of them changed on purpose.

    Args:
        change: makes what is shown from the number of a step, 1 for the first, and its true state.
    """

    def __init__(self, preset: PlayPreset, change):
        self.preset, self.game = preset, game_of(preset.game)
        games = draw_games(self.game, 1, 40, preset.context, seed=1)
        states = games.states[0][games.shown :]
        self.states = iter([change(step, state) for step, state in enumerate(states, start=1)])

    def begin(self, *_, **__):
        return self

    def step(self, _):
        return frames_of(self.game, [next(self.states)])


def played(preset: PlayPreset, change, tmp_path, monkeypatch) -> list[str]:
    """What the command says of a planted model, after the line that names the file."""
    monkeypatch.setattr(PlayModel, "load", lambda *_: Planted(preset, change))
    out = str(tmp_path / "game.png")
    done = run("play", "policy", "--steps", "40", "--seed", "1", "--out", out, "--scale", "1")
    assert done.exit_code == 0, said(done)
    return done.output.splitlines()[1:]


def test_a_wrong_tile_is_told_by_its_step(tmp_path, monkeypatch):
    def change(step, board):
        wrong = np.array(board)
        wrong[0, 0] = 1 - min(wrong[0, 0], 1)
        return wrong if step in (5, 8) else board

    lines = played(small_play_preset("play-tiles"), change, tmp_path, monkeypatch)
    assert lines == ["left the ground truth at step 5; 38 of 40 frames are right"]


def bricks(state, columns: slice):
    """The state in a level where these columns are all of brick."""
    level = state.level.copy()
    level[:, columns] = BRICK
    return replace(state, level=level)


PLATFORM = {  # name → what is wrong, and what is said of it; columns 10 and more were never shown
    "new ground": (
        lambda step, state: bricks(state, slice(10, None)),
        "as the true game for all 40 steps",
    ),
    "known ground": (
        lambda step, state: bricks(state, slice(8)) if step == 4 else state,
        "left the ground truth at step 4; 39 of 40 frames are right",
    ),
    "player": (
        lambda step, state: replace(state, y=state.y - 3) if step >= 7 else state,
        "left the ground truth at step 7; 6 of 40 frames are right",
    ),
}


@pytest.mark.parametrize("wrong", PLATFORM)
def test_only_what_can_be_known_is_held_against_a_model(wrong, tmp_path, monkeypatch):
    change, expected = PLATFORM[wrong]
    preset = small_play_preset("play-platform", context=4)
    first, second = played(preset, change, tmp_path, monkeypatch)
    assert first == expected
    assert second.startswith("new ground came into view at step 5, which no model can know")


DOOR = "In the game, the player takes the key, then opens the door"


@pytest.mark.parametrize("words", [("play", "--steps", "20"), ("generate", "--num-frames", "21")])
def test_a_sentence_becomes_a_clip(words, tmp_path, shipped):
    out = tmp_path / "game.png"
    command, *options = words
    done = run(command, DOOR, *options, "--out", str(out), "--scale", "1", "--seed", "5")
    assert done.exit_code == 0, said(done)
    assert "21 frames, tiles, seed 5" in done.output
    assert "the first frame is the true game's" in done.output
    assert "the player takes the key" in done.output
    assert ": as asked" in done.output
    assert as_video(out, fps=10).shape == (3, 21, 32, 32)
    assert metadata_of(out)["prompt"] == DOOR


def test_a_long_clip_is_judged_as_a_whole(tmp_path, shipped):
    out = tmp_path / "game.png"
    done = run("play", DOOR, "--steps", "60", "--out", str(out), "--scale", "1", "--seed", "5")
    assert ": as asked" in said(done)


def test_a_sentence_that_comes_false_is_told(tmp_path, monkeypatch, shipped):
    monkeypatch.setattr(Session, "step", lambda self, action: self.frame)  # nothing ever moves
    out = tmp_path / "game.png"
    done = run("play", DOOR, "--out", str(out), "--scale", "1")
    assert done.exit_code == 0, said(done)
    assert "left the ground truth at step" in done.output
    assert "not as asked: events, order" in done.output


def test_actions_from_a_file(tmp_path, shipped):
    script, out = tmp_path / "moves.txt", tmp_path / "game.gif"
    script.write_text("right, right\nup", encoding="utf-8")
    done = run("play", str(script), "--out", str(out))
    assert done.exit_code == 0, said(done)
    assert "4 frames" in done.output


def test_a_file_is_what_it_holds_and_not_its_name(tmp_path, shipped):
    actions, sentence = tmp_path / "game.txt", tmp_path / "moves.txt"
    actions.write_text("right, right\nup", encoding="utf-8")
    sentence.write_text(DOOR, encoding="utf-8")
    out = str(tmp_path / "game.png")
    assert "the judge" not in run("play", str(actions), "--out", out).output
    assert ": as asked" in run("play", str(sentence), "--out", out, "--force").output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("play", "rrx"), "is not known in tiles"),
        (("play", ""), "0 actions are not possible"),
        (("play", "r", "--model", "nothing"), "no model to play"),
        (("play", "r", "--scale", "0"), "scale"),
        (("play", DOOR, "--model", "play-platform"), "sentences are about the game of tiles"),
        (("play", "in the game, the player flies"), "is nothing that the game shows"),
        (("play", "a player walks left"), "does not begin with 'in the game'"),
        (("play", DOOR, "--steps", "101"), "too many"),
        (("generate", DOOR, "--model", "base"), "minisora play makes a clip"),
        (("generate", DOOR, "--guidance-scale", "3"), "leave out --guidance-scale"),
        (("generate", DOOR, "--num-frames", "1"), "has 2 to 101"),
        (("generate", DOOR, "--num-frames", "102"), "has 2 to 101"),
        (("evaluate", "--capability", "swim"), "it is play"),
        (("evaluate", "--capability", "play", "--no-compile"), "leave out --compile/--no-compile:"),
        (("evaluate", "--capability", "play", "--verbose"), "leave out --verbose"),
        (("evaluate", "--capability", "play", "--guidance-scale", "3"), "leave out --guidance"),
        (
            ("evaluate", "--capability", "play", "--no-upsample"),
            "leave out --upsample/--no-upsample:",
        ),
        (("evaluate", "--capability", "play", "--board"), "leave out --board"),
        (("evaluate", "--capability", "play", "4", "8"), "leave out numbers"),
        (("train", "--preset", "play-chess"), "play-tiles"),
        (("train", "--preset", "play-tiles", "--from", "tiny"), "--from has no meaning"),
        (("train", "--preset", "play-tiles", "--vae-minutes", "1"), "--vae-minutes has no meaning"),
        (("train", "--preset", "play-tiles", "--vae-clips", "9"), "--vae-clips has no meaning"),
    ],
)
def test_mistakes_end_in_one_sentence(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*words)
    assert done.exit_code != 0
    assert message in said(done)
    assert not any(path.suffix == ".png" for path in tmp_path.iterdir())


@pytest.mark.slow
def test_a_training_makes_a_model_that_plays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_dir = Path("runs/game")
    words = ("train", "--preset", "play-tiles", "--out", str(run_dir), "--dit-minutes", "0.02")
    done = run(*words)
    assert done.exit_code == 0, said(done)
    assert f"minisora play --model {run_dir / 'model'}" in done.output
    assert "--resume" in said(run(*words))
    assert run("train", "--resume", "--out", str(run_dir)).exit_code == 0
    done = run("play", "→", "--model", str(run_dir / "model"))
    assert done.exit_code == 0 and Path("clip.png").is_file()


@pytest.fixture
def calls(monkeypatch):
    """What the training of a game is asked for; it remembers its run and trains nothing."""
    seen = []

    def train_play(preset, run_dir, **options):
        remember(run_dir, Run(preset, [], options=options["options"]))
        seen.append((preset, options))

    monkeypatch.setattr("minisora.train.play.train_play", train_play)
    return seen


def test_a_resume_needs_no_preset_again(calls, tmp_path):
    out = ("--out", str(tmp_path / "game"))
    begun = run("train", "--preset", "play-platform", "--dit-minutes", "2", "--no-compile", *out)
    assert begun.exit_code == 0, said(begun)
    again = run("train", "--resume", *out)
    assert again.exit_code == 0 and "going on with play-platform" in again.output, said(again)
    (first, first_options), (preset, options) = calls
    assert preset == first and preset.game == "platform" and preset.train.minutes == 2
    assert not first_options["resume"] and options["resume"] and options["compile"] is False
    assert run("train", "--resume", "--dit-minutes", "3", *out).exit_code == 0
    assert calls[-1][0].train.minutes == 3 and calls[-1][0].dit == first.dit


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--preset", "play-tiles"), "contradicts the run"),
        (("--preset", "tiny"), "contradicts the run"),
        (("--dit-minutes", "1"), "may grow, not shrink to 1"),
        (("--vae-minutes", "1"), "--vae-minutes has no meaning for play-platform"),
        (("--data", "."), "contradicts the run"),
    ],
)
def test_a_resume_contradicts_nothing(calls, tmp_path, words, message):
    out = ("--out", str(tmp_path / "game"))
    assert run("train", "--preset", "play-platform", "--dit-minutes", "2", *out).exit_code == 0
    assert message in said(run("train", "--resume", *words, *out))
    assert len(calls) == 1


@pytest.mark.parametrize(("typed", "games"), [((), 64), (("--prompts", "3"), 3)])
def test_games_are_fewer_than_prompts(typed, games, monkeypatch, shipped):
    """512 games of 1,000 steps would take half an hour."""
    asked = []

    def measure_play(model, count, *_, **__):
        asked.append(count)
        return {}

    monkeypatch.setattr("minisora.measure.play.measure_play", measure_play)
    done = run("evaluate", "--capability", "play", *typed)
    assert done.exit_code == 0 and asked == [games], said(done)


def test_figures_are_printed_and_written(tmp_path, shipped):
    out = tmp_path / "play.json"
    words = ("evaluate", "--capability", "play", "--prompts", "2", "--play-steps", "20")
    done = run(*words, "--json", str(out))
    assert done.exit_code == 0, said(done)
    assert "frames right" in done.output and out.is_file()
    settings = json.loads(out.read_text(encoding="utf-8"))["settings"]
    assert settings["dtype"] in ("float32", "bfloat16") and settings["processor"]
    assert settings["threads"] >= 1 and settings["games"] == 2
    assert "exists" in said(run(*words, "--json", str(out)))
