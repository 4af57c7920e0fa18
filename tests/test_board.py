"""What others ask: true clips answer every question rightly, and wrong ones are seen."""

import json
from dataclasses import replace

import pytest

from minisora.config import PRESETS
from minisora.measure.board import (
    judge_family,
    looking_away_figures,
    measure_board,
    preference_figures,
)
from minisora.measure.clips import clip_shape
from minisora.measure.clips import test_prompts as prompts_of
from minisora.measure.clips import test_scenes as scenes_of
from minisora.measure.stats import wilson_interval
from minisora.world.render import render
from minisora.world.scene import Camera

COUNT = 8


class Painter:
    """A stand-in for a model: it paints the true clips of its prompts, or changed ones."""

    def __init__(self, family, change=lambda scene: scene):
        self.preset = PRESETS["base"]
        scenes = scenes_of(family, "seen", 2 * COUNT, **clip_shape(self))
        prompts = prompts_of(scenes, "descriptive", **clip_shape(self))
        self.scenes = dict(zip(prompts, map(change, scenes), strict=True))

    def generate(self, prompts, **options):
        assert options["upsample"] is False
        return render([self.scenes[p] for p in prompts], **clip_shape(self))


def looked_away(change=lambda scene: scene):
    return looking_away_figures(judge_family(Painter("away", change), "away", COUNT, 0))


def test_true_clips_pass_all_three_stages_of_looking_away():
    assert [figure["value"] for figure in looked_away().values()] == [1.0, 1.0, 1.0]


def test_a_state_that_waits_for_the_camera_fails_the_last_stage_alone():
    def still(scene):
        (thing,) = scene.objects
        kept = replace(thing, motion="still", vx=0.0, vy=0.0, spin=0.0, growth=0.0)
        return replace(scene, objects=(kept,))

    assert [figure["value"] for figure in looked_away(still).values()] == [1.0, 1.0, 0.0]


def test_a_camera_that_does_not_move_fails_every_stage():
    figures = looked_away(lambda scene: replace(scene, camera=Camera()))
    assert [figure["value"] for figure in figures.values()] == [0.0, 0.0, 0.0]


def test_a_camera_that_nothing_shows_is_not_as_asked():
    """A model that draws plain backgrounds does not pass by that."""
    plain = looked_away(lambda scene: replace(scene, texture="plain", camera=Camera()))
    assert [figure["value"] for figure in plain.values()] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("family", ["camera", "order"])
def test_true_clips_are_as_asked(family):
    assert all(verdict.all for verdict in judge_family(Painter(family), family, COUNT, 0))


def test_pairs_of_all_kinds_count_alike():
    kinds = {"vanish": {"error": wilson_interval(1, 4)}, "reversed": {"error": None}}
    kinds["reversed"]["error"] = wilson_interval(6, 8)
    figures = preference_figures(kinds)
    assert figures["all pairs"] == wilson_interval(7, 12)
    assert figures["vanish"] == wilson_interval(1, 4)


def test_a_model_is_asked_only_what_its_world_knows(model):
    table = measure_board(model, clips=3, num_inference_steps=1)
    assert set(table) == {"preference", "velocity"}
    assert table["preference"]["all pairs"]["n"] == 15
    assert "points" not in table["velocity"]["faster"]


def test_the_command_writes_the_board_and_says_it(model, tmp_path, run_command):
    model.save(tmp_path / "m")
    command = ["evaluate", "--board", "--prompts", "3", "--model", str(tmp_path / "m")]
    said = run_command(*command, "--json", str(tmp_path / "board.json"))
    assert "finds a false clip more likely" in said
    assert json.loads((tmp_path / "board.json").read_text())["settings"]["prompts"] == 3


def test_two_measurements_at_once_are_refused(run_command, capsys):
    with pytest.raises(SystemExit):
        run_command("evaluate", "--board", "--task", "animate")
    assert "give one of them" in capsys.readouterr().err
