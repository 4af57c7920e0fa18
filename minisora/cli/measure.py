"""minisora evaluate | limits | benchmark: what a model is worth, where it breaks, and how fast it is."""

from pathlib import Path
from typing import Annotated

import typer

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
    load,
    refuse,
    write_json,
)
from minisora.config import GUIDANCE_SCALE


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
    write_json(
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
    write_json(
        json_file,
        {**table, "settings": {"preset": preset, "clips": clips, "seed": seed, **options}},
    )


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
    write_json(json_file, table)


# ---------------------------------------------------------------------------------------- parts


def _measured(
    json_file: Path | None, force: bool, preset: str, device: str, compile: bool | None, clips: int
):
    """A model from which many clips are wanted."""
    from minisora.device import can_compile, compiled

    refuse(json_file, force)
    model = load(preset, device, 0)[0]
    model.dit = compiled(
        model.dit, (clips >= 100 and can_compile()) if compile is None else compile
    )
    return model
