"""What several commands share: their options, each defined once, and their first and last steps."""

import json
import secrets
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import torch

    from minisora.pipeline import MiniSora

JUDGED = 17  # frames at the end of a long clip that the judge looks at
MAX_SEED = 2**32 - 1  # torch's generators on the CPU take no more of a seed than 32 bits

PROMPT = Annotated[
    str,
    typer.Argument(
        help='A sentence of the toy world: "a large red circle bouncing on a navy background".'
    ),
]
SENTENCES = Annotated[
    list[str], typer.Argument(help="One sentence, or several that share the time equally.")
]
IMAGE = Annotated[
    Path,
    typer.Argument(
        help="The first frame: PNG, JPEG, GIF or WebP; cropped to the middle and resized."
    ),
]
CLIP = Annotated[
    Path,
    typer.Argument(
        help="A clip: animated PNG, GIF, WebP or mp4 (extra: video). "
        "At its own size, or at --height and --width."
    ),
]
OUT = Annotated[
    Path | None,
    typer.Option(
        help="Where the clip goes: .png (animated), .gif, .webp or .mp4 (extra: video). "
        "clip.png if left out, or clip-1.png, clip-2.png where that is taken."
    ),
]
SCALE = Annotated[
    int,
    typer.Option(help="Pixels of the file for each pixel of the clip, 1 to 32; none is smoothed."),
]
FORCE = Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")]
SEED = Annotated[
    int | None,
    typer.Option(
        help="Seed of the noise, 0 to 4294967295; the same seed gives the same clip. "
        "Random, and printed, if left out."
    ),
]
NOISE_SEED = Annotated[int, typer.Option("--seed", help="Seed of the noise.")]
STEPS = Annotated[
    int | None,
    typer.Option(
        help="Steps from noise to clip, 1 to 1000. If left out: the fewer, the less is left open "
        "(2 where frames are there already, 4 where the prompt says positions or a region is "
        "generated, else 20)."
    ),
]
GUIDANCE = Annotated[
    float,
    typer.Option(help="How strongly the prompt guides; 1 is no guidance."),
]
NEGATIVE = Annotated[str, typer.Option(help="A sentence that guidance moves away from.")]
UPSAMPLE = Annotated[
    bool,
    typer.Option(
        help="Let the prompt upsampler add positions, for clips of the model's own size. "
        "Positions of your own stand at the end of the prompt."
    ),
]
FRAMES = Annotated[int | None, typer.Option(help="Frames, 4k + 1.")]
MORE = Annotated[int, typer.Option(help="How many frames more.")]
HEIGHT = Annotated[int | None, typer.Option(help="Rows, a multiple of 8.")]
WIDTH = Annotated[int | None, typer.Option(help="Columns, a multiple of 8.")]
RATE = Annotated[float, typer.Option(help="Frames a second, of what is read and written.")]
SECONDS = Annotated[float, typer.Option(help="Length of the clip.")]
DIRECTION = Annotated[str, typer.Option(help="forward or backward.")]
SPAN = Annotated[
    str | None,
    typer.Option("--frames", help="Frames to generate, counted from 0: 5-12, or one number."),
]
REGION = Annotated[
    tuple[int, int, int, int] | None,
    typer.Option(help="Top, left, height and width of a region to generate, in pixels."),
]
STRENGTH = Annotated[
    float, typer.Option(help="Noise level that the clip starts from: 0 keeps all, 1 keeps nothing.")
]
MODEL = Annotated[
    str, typer.Option("--model", help="A shipped model's name, or a folder with a model.json.")
]
DEVICE = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
COMPILE = Annotated[
    bool | None,
    typer.Option(
        help="Translate networks to machine code first: a minute each, then faster. "
        "If left out: where it pays."
    ),
]
JSON = Annotated[Path | None, typer.Option("--json", help="Also write the figures to this file.")]


def refuse(path: Path | None, force: bool) -> None:
    """Complain before the work, not after it."""
    if path is not None and path.exists() and not force:
        raise FileExistsError(f"{path} exists; choose another name, or overwrite it with --force")


def is_typed(context: typer.Context, name: str) -> bool:
    """Whether a parameter stands on the command line, and was not left out."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def leave_out(context: typer.Context, used: Collection[str], why: str) -> None:
    """Complain of options that were typed and would have no effect.

    Args:
        used: names of the parameters that have an effect. why: the others have none.

    Raises:
        ValueError: the option, and why.
    """
    for parameter in context.command.params:
        name = str(parameter.name)
        if is_typed(context, name) and name not in used:
            label = "/".join([*parameter.opts, *parameter.secondary_opts])
            raise ValueError(f"leave out {label}: {why}")


def draw_seed(seed: int | None) -> int:
    """The seed, or a random one for None.

    Raises:
        ValueError: outside of torch's range.
    """
    if seed is None:
        return secrets.randbelow(MAX_SEED + 1)
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"--seed {seed} is not possible; it goes from 0 to {MAX_SEED}")
    return seed


def load(model: str, device: str, seed: int | None) -> "tuple[MiniSora, int, torch.Generator]":
    """A model, the seed (drawn where it is None), and a generator with that seed."""
    seed = draw_seed(seed)
    import torch

    from minisora.pipeline import MiniSora
    from minisora.threads import choose_threads

    choose_threads("sampling")
    return MiniSora.load(model, device), seed, torch.Generator().manual_seed(seed)


def free_name(force: bool) -> Path:
    """The first free of clip.png, clip-1.png, clip-2.png and so on; clip.png where forced."""
    path = Path("clip.png")
    number = 0
    while path.exists() and not force:
        number += 1
        path = Path(f"clip-{number}.png")
    return path


def what_the_judge_saw(video: "torch.Tensor", prompt: str, fps: float) -> str:
    """One line: objects and motions that the judge reads, and whether they are as asked."""
    from minisora.measure import judge
    from minisora.world.parse import parse

    try:
        asked, problem = parse(prompt), ""
    except ValueError as error:
        asked, problem = None, str(error)
    is_game = asked is not None and asked.game is not None  # of which nothing repeats
    long = video.shape[1] > 49 and not is_game
    where = f", in its last {JUDGED} frames," if long else ""
    seen = judge.read(video[:, -JUDGED:] if long else video, fps)
    if asked is None:
        return f"the judge saw{where} {seen}; it cannot hold that against the prompt: {problem}"
    return f"the judge saw{where} {seen}: {judge.verdict(seen, asked)}"


def write_json(path: Path | None, table: dict[str, Any]) -> None:
    """Write figures to a file, if one was named."""
    from minisora.checkpoints import write_text

    if path is not None:
        write_text(path, json.dumps(table, indent=1, ensure_ascii=False) + "\n")
        typer.echo(f"written to {path}")
