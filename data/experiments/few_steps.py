"""Few sampling steps: how good clips of distilled students are, and how much they spread.

    teacher, students ── accuracies, spreads ──► row → figures ── write_entry ──► distil.json

`python -m data.experiments.distil` calls them.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minisora.checkpoints import write_text
from minisora.config import GUIDANCE_SCALE
from minisora.measure.accuracy import judge_clips, make_clips, summarise
from minisora.measure.clips import clip_shape, generate_clips, test_prompts, test_scenes
from minisora.measure.spread import PROMPT, measure_spread, read_traits, spread_figures
from minisora.measure.stats import lines_of, mean_of
from minisora.pipeline import MiniSora

RESULTS = Path(__file__).parents[1] / "results" / "distil.json"
# numbers of steps, and guidance scale
TEACHER_ROWS = [(steps, GUIDANCE_SCALE) for steps in (20, 4, 2, 1)] + [(4, 1.0)]
STUDENT_STEPS = (20, 4, 2, 1)
SPREAD_STEPS = (4, 1)

Row = tuple[str, MiniSora, dict[str, Any]]  # name, model, options of `generate`


def row_of(name: str, model: MiniSora, steps: int, scale: float = 1.0) -> Row:
    """One way to sample prompts as typed."""
    options = {
        "upsample": False,
        "num_inference_steps": steps,
        "guidance_scale": scale,
    }
    return f"{name}, {steps} steps, guidance {scale:g}", model, options


def accuracies(
    teacher: MiniSora,
    students: Mapping[int, MiniSora],
    count: int,
) -> dict[str, dict[str, Any]]:
    """How often clips of one object are as asked; the noise is the same in every row.

    Args:
        students: number of steps → the student for it. count: of test prompts.

    Returns:
        row → attribute → fraction; "difference" is to the teacher's first row, clip by clip.
    """
    shape = clip_shape(teacher)
    prompts = test_prompts(test_scenes("solo", "seen", count, **shape), **shape)
    rows = [row_of("teacher", teacher, *own) for own in TEACHER_ROWS]
    rows += [row_of("student", students[steps], steps) for steps in STUDENT_STEPS]
    table: dict[str, dict[str, Any]] = {}
    best: list[float] = []
    for name, model, options in rows:
        make = make_clips(model, **options)
        verdicts = judge_clips(make, prompts, fps=shape["fps"])
        right = [float(verdict.all) for verdict in verdicts]
        best = best or right
        changes = [own - other for own, other in zip(right, best, strict=True)]
        table[name] = {
            **summarise(verdicts),
            "difference": mean_of(changes),
        }
        shown = {key: table[name][key] for key in ("all", "difference")}
        print(lines_of({name: shown}), flush=True)
    return table


def spreads(
    teacher: MiniSora,
    students: Mapping[int, MiniSora],
    clips: int,
) -> dict[str, dict[str, Any]]:
    """How clips of one prompt spread: over the world's spread, and over the teacher's."""
    rows = [row_of("teacher", teacher, *TEACHER_ROWS[0])]
    rows += [row_of("student", students[steps], steps) for steps in SPREAD_STEPS]
    table: dict[str, dict[str, Any]] = {}
    taught = None
    for name, model, options in rows:
        videos = generate_clips(model, [PROMPT] * clips, **options)
        own = read_traits(videos, model.preset.fps)
        taught = taught or own
        world = measure_spread(model, clips, 0, **options)
        table[name] = {
            "over the world's": world["generated"],
            "over the teacher's": spread_figures(own, taught),
        }
    return table


def write_entry(path: Path, name: str, entry: dict[str, Any]) -> None:
    """Put one trial into the file of results, and keep the others."""
    table = {}
    if path.is_file():
        table = json.loads(path.read_text(encoding="utf-8"))
    table[name] = entry
    text = json.dumps(table, indent=1, ensure_ascii=False)
    write_text(path, text + "\n")
