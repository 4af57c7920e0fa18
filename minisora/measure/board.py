"""Ours beside theirs: what others ask of large video models, asked of a small one.

    model ── measure_board ──► question → figure

Every question is that of a published benchmark, asked in the toy world and answered by the judge's
rules, with prompts as typed. The toy world is a far easier one, so a figure here says how this
model does, not that it does better than those.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from minisora.measure.clips import (
    clip_shape,
    generate_clips,
    test_prompts,
    test_scenes,
    verdicts_of,
)
from minisora.measure.judge import Verdict
from minisora.measure.limits import measure_preference, measure_velocity
from minisora.measure.stats import Figure, fraction_of, percent, wilson_interval
from minisora.pipeline import MiniSora
from minisora.world.dataset import WORLDS

Table: TypeAlias = dict[str, Any]
OnPart: TypeAlias = Callable[[str], Any]


def measure_board(
    model: MiniSora,
    clips: int = 200,
    seed: int = 0,
    on_part: OnPart | None = None,
    **options: Any,
) -> Table:
    """Every question that the model's world can ask.

    Args:
        clips: how many for each figure. on_part: called with each question's name before it.
        options: of `MiniSora.generate`.

    Returns:
        Question → figures: "preference", "velocity" of any model; "camera", "looking away" and
        "order" of one that has learned these families.
    """
    known = WORLDS[model.preset.world]
    table: Table = {}

    def ask(question: str, measure: Callable[[], Table]) -> None:
        if on_part:
            on_part(question)
        table[question] = measure()

    def judged(family: str) -> list[Verdict]:
        return judge_family(model, family, clips, seed, **options)

    ask("preference", lambda: preference_figures(measure_preference(model, clips)))
    ask("velocity", lambda: _without_points(measure_velocity(model, clips, seed, **options)))
    if "camera" in known:
        ask("camera", lambda: {"moves as asked": _right(judged("camera"), "camera")})
    if "away" in known:
        ask("looking away", lambda: looking_away_figures(judged("away")))
    if "order" in known:
        ask("order", lambda: {"both events, in order": _right(judged("order"), *EVENTS)})
    return table


EVENTS = ("motion", "order")  # attributes: what happens first, and what then
READABLE = ("count", "shape", "color")  # attributes that can be seen while it is in view


def preference_figures(kinds: Table) -> Table:
    """The error for each kind of implausible clip, and for all pairs together.

    Args:
        kinds: what `limits.measure_preference` gives.
    """
    figures = {kind: own["error"] for kind, own in kinds.items()}
    pairs = sum(figure["n"] for figure in figures.values())
    wrong = sum(round(figure["value"] * figure["n"]) for figure in figures.values())
    return {"all pairs": wilson_interval(wrong, pairs), **figures}


def looking_away_figures(verdicts: list[Verdict]) -> Table:
    """The three stages of WRBench (arXiv:2606.20545), each on top of the ones before it.

    The camera looks away and back as asked; what is in view can be recognised; after the return,
    the object is where its motion has brought it meanwhile.
    """
    return {
        "camera as asked": _right(verdicts, "camera"),
        "and readable": _right(verdicts, "camera", *READABLE),
        "and what happened meanwhile shows": _right(verdicts, "camera", *READABLE, "motion"),
    }


def judge_family(
    model: MiniSora, family: str, clips: int, seed: int, **options: Any
) -> list[Verdict]:
    """Clips of a family by prompts as typed that say what moves; something moves in each."""
    shape = clip_shape(model)
    scenes = test_scenes(family, "seen", 2 * clips, **shape)
    if family == "away":
        scenes = [scene for scene in scenes if scene.objects[0].motion != "still"]
    prompts = test_prompts(scenes[:clips], "descriptive", **shape)
    videos = generate_clips(model, prompts, seed, upsample=False, **options)
    return verdicts_of(videos, prompts, shape["fps"])


def _right(verdicts: list[Verdict], *names: str) -> Figure | None:
    """How often all of these attributes are right, as far as the prompt asks for them.

    A camera that is asked about is in every prompt: where the judge leaves it out, because nothing
    in the background shows it, it is not as asked.
    """
    return fraction_of(
        [all(v.attributes.get(name, name != "camera") for name in names) for v in verdicts]
    )


def _without_points(bands: Table) -> Table:
    """Velocity figures without the points of their scatter plot."""
    return {
        band: {name: figure for name, figure in own.items() if name != "points"}
        for band, own in bands.items()
    }


def headline(table: Table) -> str:
    """One line for each question."""
    lines = [
        f"{'finds a false clip more likely':<40} {percent(table['preference']['all pairs'])}",
    ]
    for question in ("camera", "looking away", "order"):
        for name, figure in table.get(question, {}).items():
            lines.append(f"{question + ': ' + name:<40} {percent(figure)}")
    for band, own in table["velocity"].items():
        lines.append(f"{'velocity error, ' + band:<40} {percent(own['error'])}")
    return "\n".join(lines)
