"""The stored results are those of the shipped model, and the page of tables shows them all."""

import json
from pathlib import Path

import pytest

from data.experiments.results_readme import (
    README,
    RESULTS,
    TASK_FIGURES,
    figures_of,
    markdown,
    read,
    table,
)
from minisora.measure.stats import percent
from minisora.measure.tasks import STEPPED, TASKS

FRONT = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("family", "split"),
    [
        ("solo", "seen"),
        ("solo", "held_out"),
        ("pair", "seen"),
        ("pair", "held_out"),
        ("collision", "seen"),
    ],
)
def test_the_readmes_table_is_what_was_measured(family, split):
    result = read("tiny")
    figures = result[family][split]
    assert f" | {percent(figures['all'])} | {percent(figures['all and outline'])} |" in FRONT
    assert f"--prompts {result['settings']['prompts']} --json data/results/tiny.json" in FRONT


def test_the_readmes_seconds_are_what_was_measured():
    speed = read("speed")
    text = " ".join(FRONT.split())
    quiet = speed["seconds for one clip (4 steps, guided)"]
    busy = speed["seconds for one clip beside two busy Python loops"]
    minute = speed["seconds for 60 s of video"]
    assert f"one clip takes {quiet:.2f} s, and {busy:.2f} s while two other programs" in text
    assert f"a minute of video takes {minute:.1f} s" in text


def test_the_readme_says_what_comes_back_for_students():
    outcomes = read("sentences").values()
    answers = sum("answer" in one for one in outcomes)
    right, made = (sum(one.get(key, 0) for one in outcomes) for key in ("right", "clips"))
    text = " ".join(FRONT.split())
    assert len(outcomes) == 60
    assert f"{answers} of them get an answer that says what would work" in text
    assert f"for the others, {100 * right / made:.0f} % are as asked (`base`)" in text


def test_the_readme_says_how_good_prompts_as_typed_are():
    typed = read("tiny_typed")
    text = " ".join(FRONT.split())
    one, two = [typed[family]["seen"]["all"]["value"] for family in ("solo", "pair")]
    prompts = typed["settings"]["prompts"]
    assert f"20 steps, {prompts} prompts), {100 * one:.0f} % of clips of one object" in text
    assert f"as asked, and {100 * two:.0f} % of two" in text


def test_the_readme_says_how_many_minutes_keep_their_object():
    kept = read("tasks")["long-video"]["generated"]["itself to the end"]["value"]
    assert f"# {100 * kept:.0f} % keep their object to the end" in FRONT


def test_the_two_trainings_of_masks_differ_in_nothing_else():
    result = read("masks")
    curves = [result[name]["curve"] for name in ("all masks", "text to video alone")]
    assert curves[0].keys() == curves[1].keys()
    assert list(curves[0])[-1] == str(result["settings"]["steps"])


def test_the_page_is_what_the_command_prints():
    assert README.read_text(encoding="utf-8") == markdown(), (
        "python -m data.experiments.results_readme --write"
    )


def test_every_task_is_measured_and_shown():
    result = read("tasks")
    assert set(result) - {"settings"} == set(TASKS)
    assert set(TASK_FIGURES) | {"video-to-video", "sizes"} == set(TASKS)
    steps = read("steps")
    assert set(steps) - {"settings"} == {"text to video", *STEPPED}


def test_both_columns_of_limits_hold_the_same_figures():
    result = read("limits")
    typed = dict(figures_of(result["typed"]))
    upsampled = dict(figures_of(result["upsampled"]))
    assert upsampled.keys() <= typed.keys()
    parts = {path[0] for path in typed} - {path[0] for path in upsampled}
    assert parts == {"plausibility"}


def test_results_say_how_they_were_measured():
    for name in ("tiny", "tiny_typed", "steps", "tasks", "limits"):
        settings = read(name)["settings"]
        for key in ("model", "seed", "dtype", "device", "num_inference_steps", "guidance_scale"):
            assert key in settings, (name, key)


def test_a_table_has_a_cell_for_every_column():
    text = table(["a", "b"], [["1", "2"], ["3", "4"]])
    assert text.splitlines() == ["| a | b |", "|---|---|", "| 1 | 2 |", "| 3 | 4 |"]


def test_intervals_hold_their_values():
    for path in RESULTS.glob("*.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        if "settings" not in result:
            continue
        for where, figure in figures_of(result):
            value = next(figure[k] for k in ("value", "mean", "slope") if k in figure)
            assert figure["low"] <= value <= figure["high"], (path.name, where)
            if "value" in figure:
                assert figure["low"] >= 0 and figure["high"] <= 1, (path.name, where)
