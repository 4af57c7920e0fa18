"""minisora train: a model from nothing, or on from another."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minisora.cli.common import COMPILE, DEVICE
from minisora.config import PLAY_PRESETS, PRESETS, PlayPreset, Preset, TrainConfig

if TYPE_CHECKING:  # torch is loaded when a command runs, so that --help is quick
    from minisora.train.folder import Folder

FIXED = ("preset", "from", "data", "skip-bad")  # options that a run keeps for its whole life


PRESET = Annotated[
    str | None,
    typer.Option(
        help="Which preset to train: tiny (if left out), base, play-tiles, play-platform."
    ),
]
RUN = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the run; runs/PRESET if left out. The model ends up in its model/."
    ),
]
RESUME = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with the run in that folder, which knows its options; minutes may grow.",
    ),
]
FROM = Annotated[
    str | None,
    typer.Option(
        "--from",
        help="A shipped model's name or a folder with a model.json: go on from its weights.",
    ),
]
VAE_MINUTES = Annotated[float | None, typer.Option(help="Minutes for the compressor.", min=0)]
LANGUAGE_MINUTES = Annotated[
    float | None, typer.Option(help="Minutes for the text encoder.", min=0)
]
UPSAMPLER_MINUTES = Annotated[
    float | None, typer.Option(help="Minutes for the prompt upsampler.", min=0)
]
DIT_MINUTES = Annotated[float | None, typer.Option(help="Minutes for the transformer.", min=0)]
VAE_CLIPS = Annotated[
    int | None, typer.Option(help="Clips that the compressor learns from.", min=8)
]
CACHED_CLIPS = Annotated[
    int | None, typer.Option(help="Clips that the other stages learn from.", min=64)
]
EVALUATE_EVERY = Annotated[
    float | None,
    typer.Option(help="Seconds of training between two evaluations; 150 if left out.", min=1),
]
DATA = Annotated[
    Path | None,
    typer.Option(
        help="A folder with clips and a captions.csv (file,caption) instead of the toy world."
    ),
]
SKIP_BAD = Annotated[
    bool | None,
    typer.Option("--skip-bad", help="Leave out its files that cannot be used, and name them."),
]


def train(
    preset: PRESET = None,
    out: RUN = None,
    resume: RESUME = False,
    start: FROM = None,
    vae_minutes: VAE_MINUTES = None,
    language_minutes: LANGUAGE_MINUTES = None,
    upsampler_minutes: UPSAMPLER_MINUTES = None,
    dit_minutes: DIT_MINUTES = None,
    vae_clips: VAE_CLIPS = None,
    cached_clips: CACHED_CLIPS = None,
    evaluate_every: EVALUATE_EVERY = None,
    data: DATA = None,
    skip_bad: SKIP_BAD = None,
    compile: COMPILE = None,
    device: DEVICE = "auto",
) -> None:
    """Train a model, from nothing or --from another, in four stages.

    The stages are compressor, text encoder, prompt upsampler and transformer. Ctrl-C keeps what
    was learned; --resume goes on.
    """
    minutes = {
        "train_vae": vae_minutes,
        "train_language": language_minutes,
        "train_upsampler": upsampler_minutes,
        "train_dit": dit_minutes,
    }
    clips = {"vae_clips": vae_clips, "cached_clips": cached_clips}
    if start and Path(start).is_dir():
        start = str(Path(start).resolve())
    asked = {
        "preset": preset,
        "from": start,
        "data": str(data.resolve()) if data else None,
        "skip-bad": skip_bad,
        "evaluate-every": evaluate_every,
        "compile": compile,
    }
    out = out or Path("runs") / (preset or "tiny")
    chosen, options = _resumed(out, asked) if resume else _begun(asked)
    if isinstance(chosen, PlayPreset):
        _refuse_for_play(options, {**minutes, **clips})
        if dit_minutes is not None:
            chosen = replace(chosen, train=replace(chosen.train, minutes=dit_minutes))
        _run_play(chosen, options, out, resume, device)
    else:
        _run(_with_flags(chosen, minutes, clips), options, out, resume, device)


def _refuse_for_play(options: dict[str, Any], numbers: dict[str, Any]) -> None:
    """Complain of what a model that is played has no use for: its one stage is the transformer."""
    others = {f"train_{name}" for name in ("vae", "language", "upsampler")}
    wrong = [name for name in ("from", "data", "skip-bad") if options[name]]
    wrong += [
        name.removeprefix("train_") + ("-minutes" if name in others else "")
        for name, value in numbers.items()
        if value is not None and name != "train_dit"
    ]
    if wrong:
        flag = "--" + wrong[0].replace("_", "-")
        raise ValueError(
            f"{flag} has no meaning for {options['preset']}, which learns from games that it plays "
            "itself, in one stage; its minutes are --dit-minutes"
        )


def _run_play(
    preset: PlayPreset, options: dict[str, Any], out: Path, resume: bool, device: str
) -> None:
    """Train a model of a game, and say what begins and how to play it."""
    from minisora.threads import choose_threads
    from minisora.train.play import train_play
    from minisora.train.recipe import EVALUATION_SECONDS

    begin = "going on with" if resume else "training"
    typer.echo(
        f"{begin} {options['preset']} in {out}: {preset.train.minutes:g} minutes of training; "
        "stop with Ctrl-C"
    )
    choose_threads("training")
    train_play(
        preset,
        out,
        device=device,
        compile=_should_compile(options["compile"], [preset.train], device),
        resume=resume,
        evaluate_every=options["evaluate-every"] or EVALUATION_SECONDS,
        say=typer.echo,
        options=options,
    )
    typer.echo(f"done: minisora play --model {shlex.quote(str(out / 'model'))}")


def _run(preset: Preset, options: dict[str, Any], out: Path, resume: bool, device: str) -> None:
    """Train, and say what begins and what to do with the model."""
    from minisora.pipeline import MiniSora
    from minisora.threads import choose_threads
    from minisora.train.recipe import EVALUATION_SECONDS, train_model

    folder = _read_folder(options, preset) if options["data"] else None
    _announce(preset, options, out, resume, folder)
    choose_threads("training")
    train_model(
        preset,
        out,
        start=MiniSora.load(options["from"], "cpu") if options["from"] else None,
        folder=folder,
        resume=resume,
        device=device,
        compile=_should_compile(options["compile"], [preset.train_vae, preset.train_dit], device),
        evaluate_every=options["evaluate-every"] or EVALUATION_SECONDS,
        options=options,
    )
    example = folder.captions[0][0] if folder else "a small blue star spinning"
    command = ["minisora", "generate", example, "--model", str(out / "model")]
    typer.echo(f"done: {shlex.join(command)}")


def _begun(asked: dict[str, Any]) -> tuple[Preset | PlayPreset, dict[str, Any]]:
    """The preset and the options of a new run."""
    from minisora.world.scene import check_choice

    options = {**asked, "preset": asked["preset"] or "tiny"}
    known: dict[str, Preset | PlayPreset] = {**PRESETS, **PLAY_PRESETS}
    check_choice("preset", options["preset"], known)
    return known[options["preset"]], options


def _resumed(out: Path, asked: dict[str, Any]) -> tuple[Preset | PlayPreset, dict[str, Any]]:
    """The preset and the options of a run that goes on: what it remembers, and no contradiction."""
    from minisora.train.run import read_run

    run = read_run(out)
    if run is None:
        raise ValueError(
            f"{out} holds no training to go on with (it has no run.json); "
            "name its folder with --out, or leave out --resume"
        )
    options = dict(asked)
    for name, value in asked.items():
        former = run.options.get(name)
        if value is None:
            options[name] = former
        elif name in FIXED and value != former:
            raise ValueError(
                f"--{name} {value} contradicts the run in {out}, which was begun with "
                f"{'--' + name + ' ' + str(former) if former else 'no --' + name}; "
                "leave it out, or train into another folder"
            )
    return run.preset, options


def _with_flags(
    preset: Preset, minutes: dict[str, float | None], clips: dict[str, int | None]
) -> Preset:
    """The preset with the numbers that were typed."""
    changes: dict[str, Any] = {name: count for name, count in clips.items() if count is not None}
    for stage, value in minutes.items():
        if value is not None:
            changes[stage] = replace(getattr(preset, stage), minutes=value)
    return replace(preset, **changes)


def _read_folder(options: dict[str, Any], preset: Preset) -> "Folder":
    """The reader's clips, and what is left out of them."""
    from minisora.train.folder import read_folder

    folder = read_folder(
        options["data"],
        preset.num_frames,
        preset.height,
        preset.width,
        preset.fps,
        skip=bool(options["skip-bad"]),
        max_words=preset.text.max_length - 1,
    )
    typer.echo(f"{len(folder.videos)} clips in {options['data']}")
    for file, reason in folder.skipped.items():
        typer.echo(f"left out {file}: {reason}")
    return folder


def _announce(
    preset: Preset, options: dict[str, Any], out: Path, resume: bool, folder: "Folder | None"
) -> None:
    """Say what begins and how long it takes."""
    stages = ["train_vae", "train_dit"]
    if not options["from"]:
        stages.append("train_language")
    if not folder:
        stages.append("train_upsampler")
    minutes = sum(getattr(preset, stage).minutes for stage in stages)
    begin = "going on with" if resume else "training"
    typer.echo(
        f"{begin} {options['preset']} in {out}: {minutes:.0f} minutes of training, "
        "and some for its clips and samples; stop with Ctrl-C"
    )


def _should_compile(wanted: bool | None, stages: list[TrainConfig], device: str) -> bool:
    """What was asked for, or whether it pays."""
    from minisora.device import COMPILE_FROM, can_compile, choose_device

    if wanted is not None:
        return wanted
    kind = choose_device(device).type
    least = COMPILE_FROM.get(kind, COMPILE_FROM["cpu"])
    long = all(stage.steps is None and stage.minutes >= least for stage in stages)
    return long and can_compile(kind)
