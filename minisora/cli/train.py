"""minisora train: a model from nothing, or on from another."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from minisora.cli.common import COMPILE, DEVICE


def train(
    preset: Annotated[str, typer.Option(help="Which preset to train.")] = "tiny",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the run; runs/PRESET if left out. The model ends up in its model/."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in that folder.")
    ] = False,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="A shipped model's name or a folder with a model.json: go on from its weights.",
        ),
    ] = None,
    vae_minutes: Annotated[
        float | None, typer.Option(help="Minutes for the compressor.", min=0)
    ] = None,
    language_minutes: Annotated[
        float | None, typer.Option(help="Minutes for the text encoder.", min=0)
    ] = None,
    upsampler_minutes: Annotated[
        float | None, typer.Option(help="Minutes for the prompt upsampler.", min=0)
    ] = None,
    dit_minutes: Annotated[
        float | None, typer.Option(help="Minutes for the transformer.", min=0)
    ] = None,
    vae_clips: Annotated[
        int | None, typer.Option(help="Clips that the compressor learns from.", min=8)
    ] = None,
    cached_clips: Annotated[
        int | None, typer.Option(help="Clips that the other stages learn from.", min=64)
    ] = None,
    evaluate_every: Annotated[
        float, typer.Option(help="Seconds of training between two looks at samples.", min=1)
    ] = 60.0,
    data: Annotated[
        Path | None,
        typer.Option(
            help="A folder with clips and a captions.csv (file,caption) instead of the toy world."
        ),
    ] = None,
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="Leave out its files that cannot be used, and name them."),
    ] = False,
    compile: COMPILE = None,
    device: DEVICE = "auto",
) -> None:
    """Train a model, from nothing or --from another: compressor, text encoder, prompt upsampler, transformer. Ctrl-C keeps what was learned; --resume goes on."""
    from minisora.config import PRESETS
    from minisora.device import can_compile
    from minisora.pipeline import MiniSora
    from minisora.train.folder import read_folder
    from minisora.train.recipe import train_model
    from minisora.world.scene import check_choice

    check_choice("preset", preset, PRESETS)
    chosen, out = PRESETS[preset], out or Path("runs") / preset
    stages = {
        "train_vae": vae_minutes,
        "train_language": language_minutes,
        "train_upsampler": upsampler_minutes,
        "train_dit": dit_minutes,
    }
    for stage, minutes in stages.items():
        if minutes is not None:
            chosen = replace(chosen, **{stage: replace(getattr(chosen, stage), minutes=minutes)})
    for name, value in (("vae_clips", vae_clips), ("cached_clips", cached_clips)):
        chosen = replace(chosen, **{name: value}) if value is not None else chosen
    shape = (chosen.num_frames, chosen.height, chosen.width, chosen.fps)
    folder = read_folder(data, *shape, skip_bad, chosen.text.max_length - 1) if data else None
    if folder:
        typer.echo(
            "\n".join(
                [
                    f"{len(folder.videos)} clips in {data}",
                    *(f"left out {file}: {why}" for file, why in folder.skipped.items()),
                ]
            )
        )
    left_out = {"train_language": start, "train_upsampler": folder}
    total = sum(getattr(chosen, stage).minutes for stage in stages if not left_out.get(stage))
    typer.echo(
        f"training {preset} in {out}: {total:.0f} minutes of training, and some for its clips and samples; stop with Ctrl-C"
    )
    compile = (
        min(chosen.train_vae.minutes, chosen.train_dit.minutes) >= 4 and can_compile()
        if compile is None
        else compile
    )
    first = MiniSora.load(start, "cpu") if start else None
    train_model(
        chosen,
        out,
        start=first,
        folder=folder,
        resume=resume,
        device=device,
        compile=compile,
        evaluate_every=evaluate_every,
    )
    example = folder.captions[0][0] if folder else "a small blue star spinning"
    typer.echo(
        f"done: minisora generate {json.dumps(example, ensure_ascii=False)} --model {out / 'model'}"
    )
