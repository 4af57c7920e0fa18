"""All tables of results: `python -m data.experiments.results_readme` prints data/results/README.md.

data/results/*.json ──► Markdown. `--write` puts it into the file, which a test compares.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minisora.measure.stats import is_figure, percent

RESULTS = Path(__file__).resolve().parents[1] / "results"
README = RESULTS / "README.md"
WAYS = ("generated", "baseline", "ground truth")
CONTINUED = ("as asked", "outline", "same object", "track", "seam")
EDITED = ("obeyed", "stayed", "lost", "position", "outside")
TASK_FIGURES = {
    "animate": ("as asked", "outline", "motion", "shape"),
    "extend forward": CONTINUED,
    "extend backward": CONTINUED,
    "connect": CONTINUED,
    "inpaint": CONTINUED,
    "loop": ("same object", "outline", "largest step"),
    "inpaint region": (*EDITED, "inside", "outside box"),
    "long-video": (
        "seconds itself",
        "in the first sixth",
        "in the last sixth",
        "itself to the end",
        "seconds with outline",
        "area changed",
    ),
    "script": ("first event", "both, in order"),
    "spread": ("places", "travels", "sizes", "motions"),
    "real video": ("PSNR",),
}
WORDS = {
    "all": "all as asked",
    "as asked": "all as asked",
    "outline": "outline holds in every frame",
    "all and outline": "both",
    "same object": "the same object in every new frame",
    "track": "off its true track, half-widths",
    "seam": "jump of velocity at the seam, half-widths/s",
    "largest step": "largest step all the way round, half-widths",
    "obeyed": "new word obeyed",
    "stayed": "all other attributes stay",
    "lost": "object lost",
    "position": "first position moved by, half-widths",
    "outside": "change outside of the object, fraction of the range",
    "inside": "change inside the box, fraction of the range",
    "outside box": "change outside of the box, fraction of the range",
    "seconds itself": "seconds in which the object is itself, fraction",
    "in the first sixth": "the same, first ten seconds",
    "in the last sixth": "the same, last ten seconds",
    "itself to the end": "itself in every second",
    "seconds with outline": "seconds in which its outline holds, fraction",
    "area changed": "area changed, natural logarithm",
    "PSNR": "round trip, PSNR in dB",
    "places": "first places of one prompt's clips, spread over the world's",
    "travels": "how far they go, the same",
    "sizes": "their sizes, the same",
    "motions": "their motions, the same",
}
FAMILIES = {"solo": "one object", "pair": "two objects"}


def read(name: str) -> dict[str, Any]:
    """One file of results."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def markdown() -> str:
    """The whole page; what was not measured on the shipped model is left out."""
    parts = [introduction(), goals(), accuracy(), steps(), shifts()]
    parts += [tasks("tasks", "tiny"), limits()]
    if (RESULTS / "base.json").is_file():
        parts.append(whole_world())
    if (RESULTS / "tasks_base.json").is_file():
        parts.append(tasks("tasks_base", "base"))
    boards = [name for name in ("tiny", "base") if (RESULTS / f"board_{name}.json").is_file()]
    if boards:
        parts.append(board(boards))
    if (RESULTS / "sentences.json").is_file():
        parts.append(sentences())
    if (RESULTS / "distil.json").is_file():
        parts.append(few_steps())
    parts += play()
    if (RESULTS / "speed.json").is_file():
        parts.append(speed())
    return "\n\n".join(parts) + "\n"


def introduction() -> str:
    return """# Results

Every table is made from the JSON files beside it, by
`python -m data.experiments.results_readme --write`. Every figure is of the shipped model `tiny`
where no other is named, with its 95 % interval in brackets (fractions: Wilson; means and slopes:
normal approximation). The judge is rule-based: no part of it is learned.

- *All as asked*: everything that the prompt says is right at once. *Outline*: the drawn shape fits
  the object in every frame; no prompt asks for it, so it stands beside.
- *Upsampled*: the prompt upsampler added positions to the prompt first. *As typed*: it did not.
- *Ground truth*: true clips whose new frames went through the compressor, the best that the model
  could generate. *Baseline*: a trivial way of doing the same.
- *Seen* shape–colour pairs were in training, *held out* ones never were."""


def row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [row(*head), "|" + "---|" * len(head)]
    return "\n".join(lines + [row(*cells) for cells in rows])


def settings_of(result: dict[str, Any], *, leave: Sequence[str] = ()) -> str:
    """What a table was measured with, in one line."""
    told = []
    for name, value in result["settings"].items():
        if name == "num_inference_steps" and isinstance(value, dict):
            value = ", ".join(f"{number} {kind}" for kind, number in value.items())
        if name not in leave:
            told.append(f"{name} {value}")
    return "Settings: " + "; ".join(told) + "."


def word(name: str) -> str:
    return WORDS.get(name, name)


# ---------------------------------------------------------------------------------- sections

WHOLE = ("seen", "all and outline")
AWAY = ("board_base", "looking away")
TILES = ("play_tiles", "new levels")
PLATFORM = ("play_platform", "one screen", "player within a pixel")
BACK = ("play_platform", "what comes back")
SHORTCUT = ("distil", "shortcut", "as asked")
TILES_RIGHT = "every tile right"
BESIDE = " beside two busy Python loops"
ANY = "*"  # in a path: the family whose figure is lowest


def _task_goals(name: str) -> tuple[tuple[str, tuple[str, ...], float], ...]:
    """What was hoped for of the tasks, with the figures in the file of that name."""
    return (
        ("animate", (name, "animate", "generated", "as asked"), 0.9),
        ("extend", (name, "extend forward", "generated", "as asked"), 0.9),
        ("connect", (name, "connect", "generated", "as asked"), 0.9),
        ("inpaint", (name, "inpaint", "generated", "as asked"), 0.9),
        ("a minute: seconds itself", (name, "long-video", "generated", "seconds itself"), 0.9),
        ("a script in order", (name, "script", "generated", "both, in order"), 0.7),
        ("one prompt over many seeds: places", (name, "spread", "generated", "places"), 0.8),
        ("… travels", (name, "spread", "generated", "travels"), 0.8),
        ("… sizes", (name, "spread", "generated", "sizes"), 0.8),
        ("… motions", (name, "spread", "generated", "motions"), 0.8),
    )


GOALS = {  # what was asked for, the file and the place of its figure, the least that was asked for
    "`base`, sentences as typed, outlines and contact included": (
        ("one object", ("base", "solo", *WHOLE), 0.95),
        ("two objects", ("base", "pair", *WHOLE), 0.9),
        ("a camera that moves", ("base", "camera", *WHOLE), 0.95),
        ("two events in order", ("base", "order", *WHOLE), 0.9),
        ("behind a wall, and the same after it", ("base", "wall", *WHOLE), 0.9),
        ("the camera looks away and back", (*AWAY, "camera as asked"), 0.95),
        ("… and what is in view can be recognised", (*AWAY, "and readable"), 0.95),
        ("… and what happened meanwhile shows", (*AWAY, "and what happened meanwhile shows"), 0.8),
        ("a brush paints", ("base", "paint", *WHOLE), 0.9),
        ("a chomper bites", ("base", "bite", *WHOLE), 0.9),
        ("… and nothing is bitten before the touch", ("base", "bite", "seen", "touch"), 0.95),
        ("a lamp is lit", ("base", "lamp", *WHOLE), 0.9),
        ("… and not before the touch", ("base", "lamp", "seen", "touch"), 0.95),
        ("a collision follows its law", ("base", "collision", *WHOLE), 0.85),
        (
            "speed follows the given one: slope",
            ("board_base", "velocity", "as in training", "slope"),
            0.8,
        ),
    ),
    "`base`, tasks": _task_goals("tasks_base"),
    "The compressor of `base`, its worst family": (
        ("PSNR in dB, mean", ("base", "compressor", ANY, "seen", "psnr"), 32),
        ("PSNR in dB, worst decile", ("base", "compressor", ANY, "seen", "psnr_worst_decile"), 28),
        ("read rightly", ("base", "compressor", ANY, "seen", "judge", "all"), 0.97),
        ("outlines whole", ("base", "compressor", ANY, "seen", "judge", "outline"), 0.99),
    ),
    "`tiny`": (
        ("one object, as typed", ("tiny_typed", "solo", *WHOLE), 0.9),
        ("two objects, as typed", ("tiny_typed", "pair", *WHOLE), 0.8),
        (
            "one object, from nothing in twenty minutes",
            ("from_nothing", "as typed", "all and outline"),
            0.85,
        ),
        *_task_goals("tasks"),
        (
            "four steps without guidance: points beside the teacher's twenty with",
            (*SHORTCUT, "student, 4 steps, guidance 1", "difference"),
            -0.02,
        ),
        ("… one step", (*SHORTCUT, "student, 1 steps, guidance 1", "difference"), -0.1),
    ),
    "A world that is played": (
        ("*tiles*: every tile right after 50 steps", (*TILES, TILES_RIGHT, "after 50 steps"), 0.98),
        ("… after 200 steps", (*TILES, TILES_RIGHT, "after 200 steps"), 0.95),
        ("… after 1,000 steps", (*TILES, TILES_RIGHT, "after 1000 steps"), 0.85),
        ("a taken coin stays away", (*TILES, "a taken coin stays away"), 0.99),
        ("*platform*: player within a pixel after 50 steps", (*PLATFORM, "after 50 steps"), 0.95),
        ("… after 200 steps", (*PLATFORM, "after 200 steps"), 0.85),
        ("what comes back after 1 to 4 steps", (*BACK, "1 to 4 steps out of view"), 0.8),
        ("… after 5 to 8 steps", (*BACK, "5 to 8 steps out of view"), 0.8),
        ("… after 9 to 16 steps", (*BACK, "9 to 16 steps out of view"), 0.8),
    ),
    "Speed on one thread (true clips: hoped for on two)": (
        ("frames of *tiles* a second", ("speed", "frames of play-tiles a second"), 60),
        ("… beside two busy loops", ("speed", f"frames of play-tiles a second{BESIDE}"), 30),
        ("frames of *platform* a second", ("speed", "frames of play-platform a second"), 60),
        ("… beside two busy loops", ("speed", f"frames of play-platform a second{BESIDE}"), 30),
        ("true clips of 17×32×32 a second", ("speed", "clips rendered a second"), 300),
        (
            "true clips of 17×64×64 a second",
            ("speed", "clips of the whole world rendered a second, 64×64"),
            80,
        ),
    ),
}


def goals() -> str:
    """What was hoped for before training, and what came of it."""
    parts = [
        "## What was hoped for",
        "Set down before these models were trained; `data/LOG.md` says what was tried for what was "
        "missed. Figures of 512 clips each were hoped for; how many there are, the tables below "
        "say. *Reached* goes by the figure itself; its interval may reach below.",
    ]
    for subject, wishes in GOALS.items():
        rows = [_goal_row(*wish) for wish in wishes]
        parts += [f"### {subject}", table(["goal", "hoped for", "measured", "reached"], rows)]
    return "\n\n".join(parts)


def _goal_row(what: str, place: Sequence[str], least: float) -> list[str]:
    """A goal, the least that was hoped for, the figure, and whether that is as much."""
    name, *path = place
    figure = _at(read(name), path) if (RESULTS / f"{name}.json").is_file() else None
    is_fraction = isinstance(figure, dict) and "value" in figure
    asked = f"≥ {100 * least:.0f} %" if is_fraction else f"≥ {least:g}"
    if figure is None:
        return [what, asked, "–", "not measured"]
    words = percent(figure) if isinstance(figure, dict) else f"{figure:.1f}"
    return [what, asked, words, "yes" if _size(figure) >= least else "no"]


def _size(figure: Any) -> float:
    """A figure as one number."""
    if isinstance(figure, dict):
        return next(figure[key] for key in ("value", "mean", "slope") if key in figure)
    return figure


def accuracy() -> str:
    upsampled, typed = read("tiny"), read("tiny_typed")
    counts = [t["settings"]["prompts"] for t in (upsampled, typed)]
    rows = []
    for family, words in FAMILIES.items():
        for name, result in (("upsampled", upsampled), ("as typed", typed)):
            for key in ("all", "outline", "all and outline"):
                cells = [percent(result[family][split][key]) for split in ("seen", "held_out")]
                rows.append([f"{words}, {name}", word(key), *cells])
    attributes = []
    for family, words in FAMILIES.items():
        for key, figure in upsampled[family]["seen"].items():
            if not key.startswith("all") and key != "outline":
                own = typed[family]["seen"].get(key)
                attributes.append([words, key, percent(figure), percent(own)])
    motions = []
    for motion, figure in upsampled["motions"].items():
        cells = [percent(figure), str(figure["n"]), percent(typed["motions"].get(motion))]
        motions.append([motion, *cells])
    compressor = []
    for family, words in FAMILIES.items():
        for split, own in upsampled["compressor"][family].items():
            cells = [percent(own["psnr"]), f"{own['psnr_worst_decile']:.1f}"]
            cells += [percent(own["judge"][key]) for key in ("all", "outline")]
            compressor.append([f"{words}, {split.replace('_', ' ')}", *cells])
    head = ["clips", "PSNR in dB", "worst decile", "all as asked", "outline holds"]
    return "\n\n".join(
        [
            "## Text to video",
            f"`minisora evaluate --prompts {counts[0]} --json data/results/tiny.json` and "
            f"`minisora evaluate --no-upsample --prompts {counts[1]} "
            "--json data/results/tiny_typed.json`. " + settings_of(upsampled, leave=["upsample"]),
            table(["clips", "figure", "seen pairs", "held-out pairs"], rows),
            "Attribute by attribute, seen pairs:",
            table(["clips", "attribute", "upsampled", "as typed"], attributes),
            "One object, all as asked, by motion:",
            table(["motion", "upsampled", "clips", "as typed"], motions),
            "## Compressor",
            "The round trip of true clips, and what the judge still reads rightly (same command).",
            table(head, compressor),
        ]
    )


def steps() -> str:
    result = read("steps")
    numbers = [str(n) for n in result["settings"]["num_inference_steps"]]
    head = ["clips", "figure", *[f"{n} step" + "s" * (n != "1") for n in numbers]]
    rows = []
    for column, name in (("upsampled", "upsampled"), ("typed", "as typed")):
        for family, words in FAMILIES.items():
            by_steps = result["text to video"][column][family]
            for key in ("all", "outline"):
                cells = [percent(by_steps[n][key]) for n in numbers]
                rows.append([f"{words}, {name}", word(key), *cells])
    for task, ways in result.items():
        if task in TASK_FIGURES:
            for key in ("as asked", "outline"):
                cells = [percent(ways["generated"][n][key]) for n in numbers]
                rows.append([f"`{task}`", word(key), *cells])
    return "\n\n".join(
        [
            "## How many steps",
            f"`minisora evaluate --steps {' '.join(numbers)} --prompts "
            f"{result['settings']['prompts']} --json data/results/steps.json` (Euler). "
            + settings_of(result, leave=["num_inference_steps"]),
            "The more the condition says, the fewer steps are enough.",
            table(head, rows),
        ]
    )


def shifts() -> str:
    """Sentences as typed, by where the sampling steps stand and how many they are."""
    result = read("shifts")
    prompts = result.pop("settings")["prompts"]
    numbers = list(next(iter(result.values())))
    rows = []
    for family, words in FAMILIES.items():
        for name, by_steps in result.items():
            rows.append([words, name, *(percent(by_steps[n][family]) for n in numbers)])
    return "\n\n".join(
        [
            "### Where the steps stand",
            f"`python -m data.experiments.shifts`. As typed, {prompts} a figure, with the "
            "same noise. The shift of sampling moves steps towards noise; `tiny` takes 3, as in "
            "its training. Nothing is trained anew.",
            table(["clips", "sampling", *(f"{n} steps" for n in numbers)], rows),
        ]
    )


def few_steps() -> str:
    """Students of `tiny` in few steps beside their teacher."""
    result = read("distil")
    first = next(iter(result.values()))
    settings = first["settings"]
    traits = next(iter(first["spread"].values()))["over the teacher's"]
    return "\n\n".join(
        [
            "## Few steps for sentences: students of `tiny`",
            f"`python -m data.experiments.distil {'|'.join(result)}`. Each trial took "
            f"{settings['minutes']:g} minutes from the shipped model. {settings['prompts']} "
            "prompts of one object as typed, the same noise in every row; *guidance 1* is none. "
            "The difference is to the teacher's twenty steps with guidance, clip by clip, in "
            "points. Hoped for were four steps within 2 points and one within 10. No student is "
            "that good, so none ships; but guidance folds in wholly, which halves the cost.",
            table(["model", "all as asked", "outline, too", "difference"], _student_rows(result)),
            "One prompt over many seeds: how much the students' clips spread, over the teacher's.",
            table(["model", *traits], _spread_rows(result)),
        ]
    )


def _student_rows(result: dict[str, Any]) -> list[list[str]]:
    """What is as asked: the teacher, which every trial measured alike, then the students."""
    first = next(iter(result.values()))["as asked"]
    rows = [_student_row(name, own) for name, own in first.items() if name.startswith("teacher")]
    for trial, own in result.items():
        for name, figures in own["as asked"].items():
            if name.startswith("student"):
                rows.append(_student_row(name.replace("student", trial), figures))
    return rows


def _spread_rows(result: dict[str, Any]) -> list[list[str]]:
    rows = []
    for trial, own in result.items():
        for name, both in own["spread"].items():
            if name.startswith("student"):
                traits = both["over the teacher's"].values()
                rows.append([_one_step(name.replace("student", trial)), *map(percent, traits)])
    return rows


def _student_row(name: str, figures: dict[str, Any]) -> list[str]:
    difference = figures["difference"]
    low, high = (100 * difference[key] for key in ("low", "high"))
    points = f"{100 * difference['mean']:+.0f} [{low:+.0f}, {high:+.0f}]"
    if low == high == 0:
        points = "–"  # the teacher beside itself
    return [_one_step(name), percent(figures["all"]), percent(figures["all and outline"]), points]


def _one_step(name: str) -> str:
    return name.replace(" 1 steps", " 1 step")


BASELINES = """Baselines: the picture or the frame at the seam repeated (`animate`, `extend`), a
cross-fade (`connect`, `inpaint`), a cut (`loop`), a new clip of the new sentence
(`inpaint region`), words for two seconds only (`long-video`), the first sentence throughout
(`script`), cells of one colour (`real video`). `inpaint region` takes 4 steps, because no frame is
clean as a whole."""


def tasks(name: str, model: str) -> str:
    """Every task of one model, beside its baselines."""
    result = read(name)
    rows = []
    for task, names in TASK_FIGURES.items():
        for figure in names if task in result else ():
            cells = [percent(result[task].get(way, {}).get(figure)) for way in WAYS]
            rows.append([f"`{task}`", word(figure), *cells])
    changes = []
    for strength, figures in result["video-to-video"].items():
        changes.append([strength, *[percent(figures[name]) for name in EDITED]])
    sizes = []
    for size, ways in result["sizes"].items():
        cells = [percent(ways[way]["as asked"]) for way in ("generated", "baseline")]
        sizes.append([size, *cells, percent(ways["generated"]["outline"])])
    count = result["settings"]["prompts"]
    many = result["settings"].get("prompts of long clips", count)
    return "\n\n".join(
        [
            f"## Tasks of `{model}`",
            f"`minisora evaluate --task all --model {model} --prompts {count} "
            f"--long-prompts {many} --json data/results/{name}.json`. " + settings_of(result),
            " ".join(BASELINES.split()),
            table(["task", "figure", *WAYS], rows),
            "Another colour by `video-to-video`, by strength; baseline: a new clip:",
            table(["", *[word(name) for name in EDITED]], changes),
            "Text to video at several sizes (frames × rows × columns), prompts as typed; of an "
            "image no motion is asked; baseline: samples without the words:",
            table(["size", "all as asked", "baseline", "outline holds"], sizes),
        ]
    )


def whole_world() -> str:
    """The model of the whole world, family by family."""
    result = read("base")
    rows = []
    for family, splits in result["compressor"].items():
        compressor = splits["seen"]
        seen, held_out = result[family]["seen"], result[family]["held_out"]
        outlines = seen.get("all and outline")  # the game has none
        figures = (seen["all"], outlines, held_out["all"], compressor["psnr"])
        read_after = compressor["judge"]
        judged = read_after.get("all and outline", read_after["all"])
        worst = f"{compressor['psnr_worst_decile']:.1f}"
        rows.append([family, *map(percent, figures), worst, percent(judged)])
    head = [
        "family",
        "as asked",
        "and outlines hold",
        "as asked, held-out pairs",
        "compressor, PSNR in dB",
        "worst decile",
        "read rightly after it",
    ]
    count = result["settings"]["prompts"]
    return "\n\n".join(
        [
            "## The whole world: `base`",
            f"`minisora evaluate --model base --no-upsample --prompts {count} "
            "--json data/results/base.json`. Plain sentences about every family of the whole "
            "world, before a model that was trained for three minutes on a GPU and for one hour on "
            "two cores ([its card](../checkpoints/base/README.md)).",
            settings_of(result, leave=("prompts",)),
            table(head, rows),
        ]
    )


QUESTIONS = (  # the question, where its figure stands, what its benchmark found, why ours differs
    (
        "finds a false clip more likely than the true one (50 % is chance)",
        ("preference", "all pairs"),
        "LikePhys (arXiv:2510.11512): twelve scenarios; better with size, worse with chaos",
        "five kinds of false clips of one falling object; theirs are rendered scenes",
    ),
    (
        "the camera moves as asked",
        ("camera", "moves as asked"),
        "VBench-2.0 (arXiv:2503.21755) asks it among 18 questions",
        "six motions before a patterned background, read by rules; theirs are real scenes",
    ),
    (
        "the camera looks away and back as asked",
        ("looking away", "camera as asked"),
        "WRBench (arXiv:2606.20545), stage 1",
        "one path of the camera, in training; theirs is asked of models that never trained on it",
    ),
    (
        "… and what is in view can be recognised",
        ("looking away", "and readable"),
        "WRBench, stage 2",
        "one flat object; theirs are rooms, animals and people",
    ),
    (
        "… and what happened meanwhile shows",
        ("looking away", "and what happened meanwhile shows"),
        "WRBench, stage 3: 23 models go on with the state that they left",
        "the object moves, turns or grows all the time; theirs do something once, out of view",
    ),
    (
        "two events, in the order that was asked",
        ("order", "both events, in order"),
        "StoryEval (arXiv:2412.16211): none of 11 models above 50 %",
        "two motions of one object; theirs are stories of two to four events",
    ),
    (
        "velocity error at speeds of training, half-widths/s",
        ("velocity", "as in training", "error"),
        "PhyWorld (arXiv:2411.02385): as good as perfect where training was",
        "one object before a background of any kind, five conditioning frames",
    ),
    (
        "velocity error at slower speeds",
        ("velocity", "slower", "error"),
        "PhyWorld: fails there, at every size of model and data",
        "the same",
    ),
    ("velocity error at faster speeds", ("velocity", "faster", "error"), "the same", "the same"),
)


def board(models: Sequence[str]) -> str:
    """Ours beside theirs. What a source's own table says is left out where it was not at hand."""
    results = {name: read(f"board_{name}") for name in models}
    rows = []
    for question, path, theirs, why in QUESTIONS:
        cells = [percent(_at(results[name], path)) for name in models]
        rows.append([question, *cells, theirs, why])
    count = next(iter(results.values()))["settings"]["prompts"]
    return "\n\n".join(
        [
            "## Ours beside theirs",
            f"`minisora evaluate --board --prompts {count} --model base "
            "--json data/results/board_base.json`, and the same of `tiny`. Questions of published "
            "benchmarks, asked in the toy world with prompts as typed. Its clips are far simpler: "
            "no figure here says that a model of ours is better than one of theirs.",
            table(["question", *models, "who asks it, and finds", "why not the same"], rows),
        ]
    )


def play() -> list[str]:
    """The games: how long a model's game is the true one, and what that depends on."""
    parts = []
    if (RESULTS / "play_tiles.json").is_file():
        parts.append(_play_table("tiles"))
    if (RESULTS / "play_platform.json").is_file():
        parts += [_play_table("platform"), _memory_table()]
    if (RESULTS / "play_sentences.json").is_file():
        parts.append(_sentences_table())
    if (RESULTS / "play_noise.json").is_file():
        parts.append(_noise_table())
    if (RESULTS / "play_choices.json").is_file():
        parts.append(_choices_table())
    if (RESULTS / "play_regression.json").is_file():
        parts.append(_regression_table())
    return ["## A world that is played", *parts] if parts else []


ABOUT_GAMES = {
    "tiles": "*Crowded levels* have walls on 30 % of the tiles, where training had 18 %.",
    "platform": "On *one screen* the player keeps to the ground that it starts on; in *all ground* "
    "it walks on, and what scrolls into view no model can know. *Harder levels* have wider "
    "pits, closer obstacles and twice the spikes of any in training. The *last frame repeated* is "
    "the last that the model was shown: right where the player stands there again.",
}
FEWEST = 20  # draws of a figure that is shown


def _play_table(game: str) -> str:
    """Every figure of one game's model, but for what comes back."""
    result = read(f"play_{game}")
    rows = []
    for name, part in result.items():
        if name in ("settings", "what comes back") or not isinstance(part, dict):
            continue
        for path, figure in figures_of(part):
            if figure["n"] >= FEWEST:
                rows.append([name, ", ".join(path), percent(figure)])
    games = result["settings"]["games"]
    command = (
        f"`minisora evaluate --capability play --model play-{game} --prompts {games} "
        f"--json data/results/play_{game}.json`"
    )
    frame = f"A frame takes {result['milliseconds a frame']} ms on one thread."
    return "\n\n".join(
        [
            f"### *{game}*",
            f"{command}. Games that nobody played before, each action given to the model and to "
            f"the true game; one sampling step a frame. {frame} {ABOUT_GAMES[game]} The interval "
            "of a round of steps counts every game once.",
            table(["games", "figure", "right"], rows),
        ]
    )


def _memory_table() -> str:
    """What comes back right, by the steps out of view, for several contexts."""
    command = "minisora evaluate --capability play --model play-platform"
    if (RESULTS / "play_context.json").is_file():
        command = "python -m data.experiments.play_trials context"
        result = {f"{k} frames": v for k, v in read("play_context").items() if k != "settings"}
    else:
        result = {"16 frames": read("play_platform")["what comes back"]}
    ages = list(next(iter(result.values())))
    rows = [[name, *(percent(part[age]) for age in ages)] for name, part in result.items()]
    return "\n\n".join(
        [
            "### *platform*: what left the screen and comes back",
            f"`{command}`. A player walks away, which the model is shown, and back, which it "
            "plays. A column of tiles is right where all of its tiles are; the start, which is the "
            "same in every level, does not count. The model was trained with 16 frames of context.",
            table(["context", *ages], rows),
        ]
    )


def _sentences_table() -> str:
    """Clips of the game that sentences ask for."""
    result = read("play_sentences")
    games = result.pop("settings")["games"]
    return "\n\n".join(
        [
            "### *tiles*: sentences",
            f"`python -m data.experiments.play_trials sentences`. {games} captions of clips of the "
            "game, as in “in the game, the player takes the key, then opens the door”. For each a "
            "true play is searched in which the judge sees that happen; the model is given its "
            "first frame and its actions, and generates the other 16 frames. So the figure says "
            "whether the model stays true to the game, and not that it understands sentences.",
            table(["clips", "of all"], [[name, percent(own)] for name, own in result.items()]),
        ]
    )


def _noise_table() -> str:
    """Trainings that differ in the noise on the past."""
    result = read("play_noise")
    steps = result.pop("settings")["steps"]
    return "\n\n".join(
        [
            "### *tiles*: noise on the past",
            f"`python -m data.experiments.play_trials noise`. Trainings of {steps} steps that "
            "differ in the highest noise level of the past alone; every tile right.",
            _tiles_right("noise up to", result),
        ]
    )


def _choices_table() -> str:
    """Trainings that differ in one choice of the preset, beside the one with its own choices."""
    result = {"as shipped": read("play_noise")["0.5"]} | read("play_choices")
    steps = result.pop("settings")["steps"]
    return "\n\n".join(
        [
            "### *tiles*: tokens, context, and what is predicted",
            f"`python -m data.experiments.play_trials choices`. Trainings of {steps} steps that "
            "differ in one choice from the shipped one (x_0 of tokens of 4×4 pixels, made from one "
            "frame); every tile right.",
            _tiles_right("choice", result),
        ]
    )


def _regression_table() -> str:
    """The transformer beside convolutions that predict a mean."""
    result = read("play_regression")
    sizes = (result["parameters"], result["parameters of play-tiles"])
    return "\n\n".join(
        [
            "### *tiles*: a regression of the same size and minutes",
            f"`python -m data.experiments.play_trials regression`. Convolutions with {sizes[0]:,} "
            f"weights (the transformer has {sizes[1]:,}) that predict the next frame from the last "
            f"one and the action, trained for as many minutes: {result['steps']:,} steps, where "
            f"the transformer's took {result['steps of play-tiles']:,}.",
            _tiles_right("model", {name: result[name] for name in ("regression", "play-tiles")}),
        ]
    )


def _tiles_right(what: str, models: dict[str, Any]) -> str:
    """How many games have every tile right after some steps, a row for each model."""
    marks = list(next(iter(models.values()))["every tile right"])
    rows = [
        [name, *(percent(own["every tile right"][mark]) for mark in marks)]
        for name, own in models.items()
    ]
    return table([what, *marks], rows)


def _at(result: Any, path: Sequence[str]) -> Any:
    """The figure at the end of a path of names; None where it was not measured."""
    for place, name in enumerate(path):
        if name == ANY:
            found = [_at(part, path[place + 1 :]) for part in result.values()]
            return min((figure for figure in found if figure is not None), key=_size)
        result = result.get(name) if isinstance(result, dict) else None
    return result


def sentences() -> str:
    """What students typed, and what became of it."""
    outcomes = read("sentences")
    rows = []
    for sentence, result in outcomes.items():
        answer = result.get("answer") or f"{result['right']} of {result['clips']} clips as asked"
        rows.append([sentence, answer.replace("|", " ")])
    answered = sum("answer" in result for result in outcomes.values())
    right, made = (
        sum(result.get(key, 0) for result in outcomes.values()) for key in ("right", "clips")
    )
    return "\n\n".join(
        [
            "## Sixty sentences of students",
            "`python -m data.experiments.sentences`. Written by someone who knew what the world is "
            f"about, but not its words. {answered} of {len(rows)} get an answer that says what "
            "the world can show; the others are said again as captions say them, and `base` makes "
            f"four clips of each, of which {right} of {made} are as asked.",
            table(["typed", "what comes back"], rows),
        ]
    )


def limits() -> str:
    result = read("limits")
    lines = []
    for path, figure in figures_of(result["typed"]):
        other = _at(result["upsampled"], path)
        lines.append([*_three(path), percent(figure), percent(other) if other else "–"])
    count = result["settings"]["clips"]
    return "\n\n".join(
        [
            "## Where it breaks",
            f"`minisora limits --clips {count} --json data/results/limits.json` (notebook 12). "
            + settings_of(result),
            "Clips that start from true ones, and losses, have no upsampled column. *Floor*: the "
            "same figure of true clips after the compressor; of *preference*, which makes no clip, "
            "the pairs that the judge itself does not tell apart.",
            table(["part", "clips", "figure", "as typed", "upsampled"], lines),
        ]
    )


def _three(path: Sequence[str]) -> list[str]:
    """A path of names as three cells: the part, what lies between, the figure."""
    part = path[0].replace("_", " and ")
    return [part, ", ".join(name.replace("_", " ") for name in path[1:-1]), path[-1]]


def figures_of(part: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[tuple, Any]]:
    """Every figure of a nested table with its path."""
    found: list[tuple[tuple, Any]] = []
    for name, value in part.items():
        if is_figure(value):
            found.append(((*path, name), value))
        elif isinstance(value, dict):
            found += figures_of(value, (*path, name))
    return found


def speed() -> str:
    result = read("speed")
    rows = [[name, f"{value}"] for name, value in result.items()]
    return "\n\n".join(
        [
            "## Speed",
            "`minisora benchmark --busy --json data/results/speed.json`",
            table(["", "measured"], rows),
        ]
    )


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        README.write_text(markdown(), encoding="utf-8")
    else:
        print(markdown(), end="")
