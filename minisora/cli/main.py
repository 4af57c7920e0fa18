"""minisora generate | animate | extend | … | train | evaluate | benchmark | lab: thin words around the package."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from minisora.cli.clips import (
    COMMANDS,
    DEVICE,
    FORCE,
    GUIDANCE,
    MODEL,
    STEPS,
    UPSAMPLE,
    load,
    refuse,
)
from minisora.config import GUIDANCE_SCALE

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A whole Sora, small: text to video on two CPU cores.",
)
for command in COMMANDS:
    app.command()(command)

COMPILE = Annotated[
    bool | None,
    typer.Option(
        help="Translate networks to machine code first: a minute each, then faster. Left out: where it pays."
    ),
]
NOISE_SEED = Annotated[int, typer.Option("--seed", help="Seed of the noise.")]
JSON = Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file.")]


@app.command()
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
        can_compile() and min(chosen.train_vae.minutes, chosen.train_dit.minutes) >= 4
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
        f"done: minisora generate {json.dumps(example, ensure_ascii=False)} --preset {out / 'model'}"
    )


@app.command()
def evaluate(
    prompts: Annotated[int, typer.Option(help="Prompts a family and split.", min=1)] = 512,
    capability: Annotated[
        list[str] | None,
        typer.Option(help="Measure this one instead, or all; may be given several times."),
    ] = None,
    json_file: JSON = None,
    num_inference_steps: STEPS = 20,
    guidance_scale: GUIDANCE = GUIDANCE_SCALE,
    upsample: UPSAMPLE = True,
    seed: NOISE_SEED = 0,
    preset: MODEL = "tiny",
    compile: COMPILE = None,
    device: DEVICE = "auto",
    force: FORCE = False,
) -> None:
    """Measure a model, with 95 % intervals: the compressor, text to video and image to video; or other capabilities."""
    from tqdm import tqdm

    from minisora.measure.accuracy import evaluate_animate, evaluate_text_to_video, evaluate_vae
    from minisora.measure.stats import lines_of
    from minisora.measure.tasks import TASKS, measure_tasks, real_clips

    model = _measured(json_file, force, preset, device, compile, prompts)
    options = {"num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale}
    if capability:
        names = (
            [name for name in TASKS if name != "real video" or real_clips()]
            if "all" in capability
            else capability
        )
        table = shown = measure_tasks(
            model, names, prompts, seed, lambda name: typer.echo(f"measuring {name} …"), **options
        )
    else:
        with tqdm(total=9 * prompts, unit="clip") as bar:
            table = evaluate_text_to_video(
                model, prompts, seed, bar.update, upsample=upsample, **options
            ) | {"settings": {"upsample": upsample}}
            table["animate"] = evaluate_animate(model, prompts, seed, bar.update, **options)
            table["vae"] = evaluate_vae(model, prompts, bar.update)
        shown = {
            "text to video": {name: table[name] for name in ("solo", "pair", "motions")},
            "image to video": table["animate"],
            "compressor": table["vae"],
        }
    typer.echo(lines_of(shown))
    _write_json(
        json_file,
        table
        | {
            "settings": {
                "preset": preset,
                "prompts": prompts,
                "seed": seed,
                **table.pop("settings", {}),
                **options,
            }
        },
    )


@app.command()
def limits(
    clips: Annotated[int, typer.Option(help="Clips a figure.", min=1)] = 200,
    json_file: JSON = None,
    num_inference_steps: STEPS = 20,
    guidance_scale: GUIDANCE = GUIDANCE_SCALE,
    seed: NOISE_SEED = 0,
    preset: MODEL = "tiny",
    compile: COMPILE = None,
    device: DEVICE = "auto",
    force: FORCE = False,
) -> None:
    """Measure where a model breaks: physics, space and time, interaction, length, plausibility, with 95 % intervals."""
    from minisora.measure.limits import measure_limits
    from minisora.measure.stats import lines_of

    model = _measured(json_file, force, preset, device, compile, clips)
    options = {"num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale}
    table = measure_limits(
        model, clips, seed, lambda name: typer.echo(f"measuring {name} …"), **options
    )
    typer.echo(lines_of(table))
    _write_json(
        json_file,
        {**table, "settings": {"preset": preset, "clips": clips, "seed": seed, **options}},
    )


@app.command()
def benchmark(
    json_file: JSON = None,
    preset: MODEL = "tiny",
    device: DEVICE = "auto",
    quick: Annotated[bool, typer.Option("--quick", help="Fewer repetitions.")] = False,
    force: FORCE = False,
) -> None:
    """Measure speed on this machine: clips rendered, encoded, decoded, trained and sampled a second, and one clip's latency."""
    from minisora.measure.speed import benchmark as measure

    refuse(json_file, force)
    table = measure(load(preset, device, 0)[0], quick)
    for name, value in table.items():
        typer.echo(f"{name:<44} {value}")
    _write_json(json_file, table)


@app.command()
def lab() -> None:
    """Open JupyterLab at the first notebook."""
    first = Path(__file__).resolve().parents[2] / "notebooks" / "00_a_video_from_a_sentence.ipynb"
    if not first.is_file():
        raise ValueError(
            "the notebooks lie in the repository: clone it and install it with pip install -e '.[lab]'"
        )
    try:
        import jupyterlab  # noqa: F401
    except ImportError:
        raise ValueError("JupyterLab is not installed: pip install -e '.[lab]'") from None
    raise SystemExit(subprocess.call([sys.executable, "-m", "jupyterlab", str(first)]))


# ------------------------------------------------------------------------------------------------------------------ parts


def _measured(
    json_file: Path | None, force: bool, preset: str, device: str, compile: bool | None, clips: int
):
    """A model from which many clips are wanted."""
    from minisora.device import can_compile, compiled

    refuse(json_file, force)
    model = load(preset, device, 0)[0]
    model.dit = compiled(
        model.dit, (can_compile() and clips >= 100) if compile is None else compile
    )
    return model


def _write_json(path: Path | None, table: dict) -> None:
    from minisora.checkpoints import write_text

    if path is not None:
        write_text(path, json.dumps(table, indent=1, ensure_ascii=False) + "\n")
        typer.echo(f"written to {path}")


def main() -> None:
    """Run the command line; a user's mistake ends in one line and exit code 2, Ctrl-C in 130."""
    try:
        app()
    except (ValueError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
