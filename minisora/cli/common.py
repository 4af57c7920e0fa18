"""What several commands share: their options, each defined once, and their first and last steps."""

import json
from pathlib import Path
from typing import Annotated

import typer

PROMPT = Annotated[
    str,
    typer.Argument(
        help='A sentence of the toy world, such as "a large red circle bouncing on a navy background".'
    ),
]
SENTENCES = Annotated[
    list[str], typer.Argument(help="One sentence, or several that share the time equally.")
]
SECONDS = Annotated[float, typer.Option(help="Length of the clip, at 8 frames a second.", min=1)]
MISSING = Annotated[str, typer.Option(help="Frames to make, counted from 0: 5-12, or one number.")]
OUT = Annotated[
    Path,
    typer.Option(help="Where the clip goes: .png (animated), .gif, .webp or .mp4 (extra: video)."),
]
SEED = Annotated[
    int | None,
    typer.Option(
        help="Seed of the noise; the same seed gives the same clip. Random, and printed, if left out."
    ),
]
STEPS = Annotated[int, typer.Option(help="Steps from noise to clip.", min=1)]
GUIDANCE = Annotated[
    float, typer.Option(help="How hard the prompt pulls: 1 is not at all more than it says.")
]
NEGATIVE = Annotated[str, typer.Option(help="What to get away from.")]
UPSAMPLE = Annotated[
    bool,
    typer.Option(
        help="Let the prompt upsampler add where things are, in the preset's size; places of your own come last in the prompt."
    ),
]
FRAMES = Annotated[int | None, typer.Option(help="Frames, 4k + 1.", min=1)]
HEIGHT = Annotated[int | None, typer.Option(help="Rows, a multiple of 8.", min=8)]
WIDTH = Annotated[int | None, typer.Option(help="Columns, a multiple of 8.", min=8)]
RATE = Annotated[float, typer.Option(help="Frames a second of the files, as judged too.", min=0.5)]
PICTURE = Annotated[
    Path,
    typer.Argument(
        help="The first frame: PNG, JPEG, GIF or WebP; cropped to the middle and resized."
    ),
]
CLIP = Annotated[
    Path,
    typer.Argument(
        help="A clip: animated PNG, GIF, WebP or mp4 (extra: video). At its own size, or at --height and --width."
    ),
]
MORE = Annotated[int, typer.Option(help="How many frames more.", min=1)]
DIRECTION = Annotated[str, typer.Option(help="forward or backward.")]
REGION = Annotated[
    tuple[int, int, int, int],
    typer.Option(help="Top, left, height and width of what is made anew, in pixels."),
]
STRENGTH = Annotated[float, typer.Option(help="How much is changed: 0 nothing, 1 everything.")]
MODEL = Annotated[
    str, typer.Option("--model", help="A shipped model's name, or a folder with a model.json.")
]
DEVICE = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
FORCE = Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")]

COMPILE = Annotated[
    bool | None,
    typer.Option(
        help="Translate networks to machine code first: a minute each, then faster. Left out: where it pays."
    ),
]
NOISE_SEED = Annotated[int, typer.Option("--seed", help="Seed of the noise.")]
JSON = Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file.")]


def refuse(path: Path | None, force: bool) -> None:
    """Complain before the work, not after it."""
    if path is not None and path.exists() and not force:
        raise FileExistsError(f"{path} exists; choose another name, or overwrite it with --force")


def load(preset: str, device: str, seed: int | None):
    """A model, the seed (drawn where it is None), and a generator with that seed."""
    import torch

    from minisora.pipeline import MiniSora

    seed = torch.seed() % 2**31 if seed is None else seed
    return MiniSora.load(preset, device), seed, torch.Generator().manual_seed(seed)


def write_json(path: Path | None, table: dict) -> None:
    from minisora.checkpoints import write_text

    if path is not None:
        write_text(path, json.dumps(table, indent=1, ensure_ascii=False) + "\n")
        typer.echo(f"written to {path}")
