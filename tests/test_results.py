"""The stored results are those of the shipped model, and the page of tables shows them all."""

import json

from data.experiments.results_readme import (
    README,
    RESULTS,
    TASK_FIGURES,
    figures_of,
    markdown,
    read,
    table,
)
from minisora.measure.tasks import STEPPED, TASKS


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
