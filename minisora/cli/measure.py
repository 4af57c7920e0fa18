"""minisora evaluate | limits | benchmark: what a model is worth, where it breaks, its speed."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minisora import config
from minisora.cli.common import (
    COMPILE,
    DEVICE,
    FORCE,
    GUIDANCE,
    JSON,
    MODEL,
    NOISE_SEED,
    STEPS,
    UPSAMPLE,
    leave_out,
    load,
    refuse,
    write_json,
)
from minisora.config import GUIDANCE_SCALE

if TYPE_CHECKING:
    from minisora.pipeline import MiniSora

PROMPTS, GAMES = 512, 64  # a game has 1,000 steps: 256 of them take half an hour
USED_BY_PLAY = (  # parameters of `evaluate`
    "capability",
    "play_steps",
    "prompts",
    "json_file",
    "num_inference_steps",
    "seed",
    "preset",
    "device",
    "force",
)
VERBOSE = Annotated[bool, typer.Option("--verbose", help="Print every figure.")]
COUNT = Annotated[
    int | None,
    typer.Option(
        help=f"Prompts for each figure, or games of --capability play; {PROMPTS} prompts or "
        f"{GAMES} games if left out.",
        min=1,
    ),
]


def evaluate(
    context: typer.Context,
    numbers: Annotated[
        list[int] | None, typer.Argument(help="With --steps: the numbers of steps.", min=1)
    ] = None,
    prompts: COUNT = None,
    task: Annotated[
        list[str] | None,
        typer.Option(help="Measure this task instead, or all; may be given several times."),
    ] = None,
    long_prompts: Annotated[
        int | None, typer.Option(help="Prompts of the tasks with long clips.", min=1)
    ] = None,
    steps: Annotated[
        bool, typer.Option("--steps", help="Compare numbers of steps: --steps 1 2 4 8 20.")
    ] = False,
    board: Annotated[
        bool, typer.Option("--board", help="Ask what others ask of large video models.")
    ] = False,
    capability: Annotated[
        str | None,
        typer.Option(help="play: hold a model of a game (--model play-tiles) against the game."),
    ] = None,
    play_steps: Annotated[
        int | None,
        typer.Option(help="Steps of the longest games; 1000 in tiles, 200 in platform.", min=1),
    ] = None,
    json_file: JSON = None,
    num_inference_steps: STEPS = None,
    guidance_scale: GUIDANCE = GUIDANCE_SCALE,
    upsample: UPSAMPLE = True,
    seed: NOISE_SEED = 0,
    verbose: VERBOSE = False,
    preset: MODEL = "tiny",
    compile: COMPILE = None,
    device: DEVICE = "auto",
    force: FORCE = False,
) -> None:
    """Measure a model, with 95 % intervals.

    Text to video and the compressor; or tasks, numbers of steps, or questions of others.
    """
    from minisora.measure.stats import lines_of
    from minisora.measure.tasks import check_tasks

    if capability is None and play_steps is not None:
        raise ValueError("--play-steps comes with --capability play")
    if capability is not None:
        _check_capability(capability, context)
        name = "play-tiles" if preset == "tiny" else preset
        refuse(json_file, force)
        games = prompts or GAMES
        table = _evaluate_play(name, device, games, play_steps, seed, num_inference_steps or 1)
        write_json(json_file, table)
        return
    prompts = prompts or PROMPTS
    if steps != bool(numbers):
        raise ValueError("numbers of steps come with --steps, as in --steps 1 2 4 8 20")
    if [steps, board, bool(task)].count(True) > 1:
        raise ValueError("--steps, --board and --task are measurements; give one of them")
    names = _task_names(task)
    check_tasks(names)
    model = _measured(json_file, force, preset, device, compile, prompts)
    options = _options(num_inference_steps, guidance_scale)
    settings = _settings(model, preset, seed, options) | {"prompts": prompts}
    if steps:
        options.pop("num_inference_steps", None)
        settings["num_inference_steps"] = numbers
        table = _evaluate_steps(model, numbers or [], prompts, seed, options)
    elif board:
        table = _evaluate_board(model, prompts, seed, options)
    elif names:
        table = _evaluate_tasks(model, names, prompts, long_prompts, seed, options, settings)
    else:
        settings["upsample"] = upsample
        table = _evaluate_model(model, prompts, seed, options | {"upsample": upsample})
    if verbose:
        typer.echo(lines_of(table))
    write_json(json_file, table | {"settings": settings})


def limits(
    clips: Annotated[int, typer.Option(help="Clips a figure.", min=1)] = 200,
    json_file: JSON = None,
    num_inference_steps: STEPS = None,
    guidance_scale: GUIDANCE = GUIDANCE_SCALE,
    seed: NOISE_SEED = 0,
    verbose: VERBOSE = False,
    preset: MODEL = "tiny",
    compile: COMPILE = None,
    device: DEVICE = "auto",
    force: FORCE = False,
) -> None:
    """Measure where a model breaks, with prompts as typed and upsampled, and 95 % intervals."""
    from minisora.measure.limits import headline, measure_limits
    from minisora.measure.stats import lines_of

    model = _measured(json_file, force, preset, device, compile, clips)
    options = _options(num_inference_steps, guidance_scale)
    table = {"settings": _settings(model, preset, seed, options) | {"clips": clips}}
    for column in ("typed", "upsampled"):
        say = _timed(f"{column}: ")
        upsample = column == "upsampled"
        table[column] = measure_limits(model, clips, seed, say, upsample=upsample, **options)
    typer.echo(headline(table))
    if verbose:
        typer.echo(lines_of({column: table[column] for column in ("typed", "upsampled")}))
    write_json(json_file, table)


def benchmark(
    json_file: JSON = None,
    preset: MODEL = "tiny",
    device: DEVICE = "auto",
    quick: Annotated[bool, typer.Option("--quick", help="Fewer repetitions.")] = False,
    busy: Annotated[
        bool, typer.Option("--busy", help="Also time a clip while other programs run beside it.")
    ] = False,
    force: FORCE = False,
) -> None:
    """Measure speed here: a clip, a minute of video, and clips a second, stage by stage."""
    from minisora.measure.speed import benchmark as measure
    from minisora.train.speed import training_speeds

    refuse(json_file, force)
    model = load(preset, device, 0)[0]
    table = measure(model, quick, busy) | training_speeds(model, 7 if quick else 20)
    for name, value in table.items():
        typer.echo(f"{name:<52} {value}")
    write_json(json_file, table)


# ----------------------------------------------------------------------------------------- parts


def _task_names(task: list[str] | None) -> list[str]:
    """The tasks that were named; all that can be measured here for "all"."""
    from minisora.measure.tasks import TASKS, real_clips

    if task and "all" in task:
        return [name for name in TASKS if name != "real video" or real_clips()]
    return task or []


def _evaluate_model(
    model: "MiniSora", prompts: int, seed: int, options: dict[str, Any]
) -> dict[str, Any]:
    """Text to video and the compressor."""
    from tqdm import tqdm

    from minisora.measure.accuracy import (
        SPLITS,
        evaluate_compressor,
        evaluate_text_to_video,
        families_of,
        headline,
    )

    with tqdm(total=2 * len(SPLITS) * len(families_of(model)) * prompts, unit="clip") as bar:
        table = evaluate_text_to_video(model, prompts, seed, bar.update, **options)
        table["compressor"] = evaluate_compressor(model, prompts, bar.update)
    typer.echo(headline(table))
    return table


def _evaluate_steps(
    model: "MiniSora", numbers: list[int], prompts: int, seed: int, options: dict[str, Any]
) -> dict[str, Any]:
    """Text to video and some tasks at several numbers of steps."""
    from minisora.measure.stats import percent
    from minisora.measure.tasks import STEPPED, measure_steps

    table = measure_steps(model, numbers, prompts, seed, _timed(), **options)
    typer.echo(f"{'as asked':<34}" + "".join(f"{n:>16} steps" for n in numbers))
    for column, families in table["text to video"].items():
        for family, by_steps in families.items():
            figures = [percent(by_steps[str(n)]["all"]) for n in numbers]
            typer.echo(f"{family + ', ' + column:<34}" + "".join(f"{f:>22}" for f in figures))
    for name in STEPPED:
        figures = [percent(table[name]["generated"][str(n)]["as asked"]) for n in numbers]
        typer.echo(f"{name:<34}" + "".join(f"{f:>22}" for f in figures))
    return table


def _evaluate_tasks(
    model: "MiniSora",
    names: list[str],
    prompts: int,
    long_prompts: int | None,
    seed: int,
    options: dict[str, Any],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Tasks against their baselines; a task's first figure is its headline."""
    from minisora.measure.stats import is_figure, percent
    from minisora.measure.tasks import LONG, LONG_CLIPS, measure_tasks

    long_prompts = min(prompts, LONG_CLIPS) if long_prompts is None else long_prompts
    if any(name in LONG for name in names):
        settings["prompts of long clips"] = long_prompts
    table = measure_tasks(model, names, prompts, seed, _timed(), long_prompts, **options)
    for name, ways in table.items():
        for way, figures in ways.items():
            first = next((k for k, f in figures.items() if is_figure(f)), None)
            if first:
                typer.echo(f"{name:<18} {way:<14} {first:<16} {percent(figures[first])}")
    return table


def _evaluate_board(
    model: "MiniSora", prompts: int, seed: int, options: dict[str, Any]
) -> dict[str, Any]:
    """What others ask of large video models."""
    from minisora.measure.board import headline, measure_board

    table = measure_board(model, prompts, seed, _timed(), **options)
    typer.echo(headline(table))
    return table


def _check_capability(capability: str, context: typer.Context) -> None:
    """Complain of an unknown capability, and of options that play has no use for."""
    if capability != "play":
        raise ValueError(
            f"--capability {capability!r} is not known; it is play. Others have --task and --board"
        )
    why = "--capability play measures a model of a game as it is, and prints every figure"
    leave_out(context, USED_BY_PLAY, why)


def _evaluate_play(
    name: str, device: str, games: int, play_steps: int | None, seed: int, steps: int
) -> dict[str, Any]:
    """A model of a game beside the true one."""
    import torch

    from minisora.measure.play import measure_play
    from minisora.measure.speed import processor_name
    from minisora.measure.stats import lines_of
    from minisora.play.model import PlayModel
    from minisora.threads import choose_threads

    choose_threads("sampling")
    model = PlayModel.load(name, device)
    table = measure_play(model, games, seed, _timed(), play_steps, num_inference_steps=steps)
    typer.echo(lines_of(table))
    settings = {
        "model": name,
        "seed": seed,
        "processor": processor_name(),
        "device": str(model.device),
        "threads": torch.get_num_threads(),
        "dtype": str(model.dtype).removeprefix("torch."),
        "torch": torch.__version__,
        "num_inference_steps": steps,
        "games": games,
    }
    return table | {"settings": settings}


def _timed(prefix: str = "") -> Callable[[str], None]:
    """Say what is measured now, with the time of day."""
    import time

    def say(name: str) -> None:
        typer.echo(f"{time.strftime('%H:%M:%S')} measuring {prefix}{name} …")

    return say


def _options(num_inference_steps: int | None, guidance_scale: float) -> dict[str, Any]:
    """Options of `MiniSora.generate` and of the tasks."""
    return {"num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale}


def _settings(model: "MiniSora", name: str, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    """What a table of results says of how it was measured."""
    import torch

    settings = {
        "model": name,
        "seed": seed,
        "device": str(model.device),
        "dtype": model.dtype_name,
        "torch": torch.__version__,
    }
    settings |= options
    if options.get("num_inference_steps") is None:
        settings["num_inference_steps"] = dict(config.STEPS)
    return settings


def _measured(
    json_file: Path | None, force: bool, preset: str, device: str, compile: bool | None, clips: int
) -> "MiniSora":
    """A model from which many clips are wanted."""
    from minisora.device import can_compile, compiled

    refuse(json_file, force)
    model = load(preset, device, 0)[0]
    wanted = clips >= 100 and can_compile() if compile is None else compile
    model.dit = compiled(model.dit, wanted)
    return model
