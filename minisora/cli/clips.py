"""Commands that make a clip: minisora generate | image | animate | extend | connect | loop | inpaint | edit | restyle | minute."""

import inspect
import time
from pathlib import Path

import typer

from minisora import tasks
from minisora.cli.common import (
    CLIP,
    DEVICE,
    DIRECTION,
    FORCE,
    FRAMES,
    GUIDANCE,
    HEIGHT,
    MISSING,
    MODEL,
    MORE,
    NEGATIVE,
    OUT,
    PICTURE,
    PROMPT,
    RATE,
    REGION,
    SECONDS,
    SEED,
    SENTENCES,
    STEPS,
    STRENGTH,
    UPSAMPLE,
    WIDTH,
    load,
)
from minisora.config import GUIDANCE_SCALE

SHARED = {  # options of every command that makes a clip
    "out": (OUT, Path("clip.png")),
    "seed": (SEED, None),
    "num_inference_steps": (STEPS, 20),
    "guidance_scale": (GUIDANCE, GUIDANCE_SCALE),
    "negative_prompt": (NEGATIVE, ""),
    "height": (HEIGHT, None),
    "width": (WIDTH, None),
    "fps": (RATE, 8.0),
    "preset": (MODEL, "tiny"),
    "device": (DEVICE, "auto"),
    "force": (FORCE, False),
}
COMMANDS = []


def makes_a_clip(function):
    """Turn `function(model, its own arguments, **options) → video (1, 3, T, H, W)` into a command with the shared options."""

    def command(**values):
        from minisora.show.clip import can_save

        out, seed, fps, preset, device, force = (
            values.pop(name) for name in ("out", "seed", "fps", "preset", "device", "force")
        )
        can_save(out, force)
        if "clip" in values:  # clips come at their own size, or at the one that is asked for
            size = values.pop("height"), values.pop("width")
            values |= {
                name: _clip(values[name], *size, fps)
                for name in ("clip", "after")
                if name in values
            }
        model, seed, generator = load(preset, device, seed)
        began = time.perf_counter()
        video = function(model, generator=generator, **values)[0].cpu()
        _show(video, values["prompt"], out, seed, time.perf_counter() - began, fps, force)

    own = [
        p
        for p in list(inspect.signature(function).parameters.values())[1:-1]
        if p.name not in SHARED
    ]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=kind)
        for name, (kind, value) in SHARED.items()
    ]
    command.__signature__ = inspect.Signature([*own, *shared])
    command.__annotations__ = {p.name: p.annotation for p in (*own, *shared)}
    command.__name__, command.__doc__ = function.__name__, function.__doc__
    COMMANDS.append(command)
    return command


@makes_a_clip
def generate(
    model, prompt: PROMPT, num_frames: FRAMES = None, upsample: UPSAMPLE = True, **options
):
    """Make a clip from a sentence."""
    usual = (model.preset.num_frames, model.preset.height, model.preset.width)
    if upsample and all(
        n in (None, own)
        for n, own in zip((num_frames, options["height"], options["width"]), usual, strict=True)
    ):
        (longer,) = model.upsample(
            prompt, options["generator"].clone_state()
        )  # the same noise, expanded or not
        if longer != prompt:
            typer.echo(f"the prompt became: {longer}")
            prompt = longer
    return model.generate(prompt, upsample=False, num_frames=num_frames, **options)


@makes_a_clip
def image(model, prompt: PROMPT, **options):
    """Make a picture from a sentence: a clip of one frame."""
    return tasks.text_to_image(model, prompt, **options)[:, :, None]


@makes_a_clip
def animate(
    model,
    image: PICTURE,
    prompt: PROMPT,
    num_frames: FRAMES = None,
    height=None,
    width=None,
    **options,
):
    """Make a clip that starts with a picture."""
    from minisora.show.media import as_image

    return tasks.animate(
        model,
        as_image(image, height or model.preset.height, width or model.preset.width),
        prompt,
        num_frames=num_frames,
        **options,
    )


@makes_a_clip
def extend(
    model,
    clip: CLIP,
    prompt: PROMPT,
    num_frames: MORE = 8,
    direction: DIRECTION = "forward",
    **options,
):
    """Go on where a clip ends, or say what came before it."""
    return tasks.extend(model, clip, num_frames, prompt, direction=direction, **options)


@makes_a_clip
def connect(model, clip: CLIP, after: CLIP, prompt: PROMPT, num_frames: MORE = 8, **options):
    """Lead from one clip into another."""
    return tasks.connect(model, clip, after, prompt, num_frames, **options)


@makes_a_clip
def loop(model, clip: CLIP, prompt: PROMPT, num_frames: MORE = 8, **options):
    """Lead from a clip's end back to its beginning."""
    return tasks.loop(model, clip, prompt, num_frames, **options)


@makes_a_clip
def inpaint(model, clip: CLIP, prompt: PROMPT, missing: MISSING, **options):
    """Make frames anew that are missing or spoilt."""
    try:
        first, _, last = missing.partition("-")
        first, last = int(first), int(last or first)
    except ValueError:
        raise ValueError(
            f"--missing {missing!r} is not understood; write 5-12, or one number"
        ) from None
    return tasks.inpaint(model, clip, prompt, frames=range(first, last + 1), **options)


@makes_a_clip
def edit(model, clip: CLIP, prompt: PROMPT, region: REGION, **options):
    """Make a region of a clip anew and keep the rest."""
    return tasks.inpaint(model, clip, prompt, region=region, **options)


@makes_a_clip
def restyle(model, clip: CLIP, prompt: PROMPT, strength: STRENGTH = 0.7, **options):
    """Change a whole clip as the sentence says."""
    return tasks.video_to_video(model, clip, prompt, strength, **options)


@makes_a_clip
def minute(model, prompt: SENTENCES, seconds: SECONDS = 60.0, **options):
    """Make a long clip, window by window."""
    return tasks.long_video(
        model, [(seconds / len(prompt), sentence) for sentence in prompt], **options
    )


# ---------------------------------------------------------------------------------------- parts


def _clip(path: Path, height: int | None, width: int | None, fps: float):
    """A clip at a size that the transformer can take in without hours of work."""
    from minisora.show.media import as_video

    video = as_video(path, height, width, fps)
    if max(video.shape[2:]) > 128:
        raise ValueError(
            f"{path} is {video.shape[2]}×{video.shape[3]}, far from what the model was trained on; resize it with --height 32 --width 32"
        )
    return video


def _show(
    video, prompt: str | list[str], out: Path, seed: int, seconds: float, fps: float, force: bool
) -> None:
    from minisora.measure.judge import read, verdict
    from minisora.show.clip import Clip, text_strip
    from minisora.world.captions import parse

    sentences = [prompt] if isinstance(prompt, str) else prompt
    clip = Clip(video, " / ".join(sentences), fps)
    clip.save(out, force)
    if strip := text_strip(clip):
        typer.echo(strip)
    typer.echo(f"{out}: {video.shape[1]} frames in {seconds:.2f} s, seed {seed}")
    long = video.shape[1] > 49
    seen = read(video[:, -17:] if long else video, fps)
    where = ", in its last 17 frames, " if long else " "
    try:
        typer.echo(f"the judge saw{where}{seen}: {verdict(seen, parse(sentences[-1]))}")
    except ValueError as error:
        typer.echo(
            f"the judge saw{where}{seen}; it cannot hold that against the prompt, because {error}"
        )
