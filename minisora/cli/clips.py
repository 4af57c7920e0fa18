"""Commands that make a clip: each calls a function of `minisora.tasks`, or `play` for the game.

generate, image, animate, extend, connect, loop, inpaint, video-to-video, long-video
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from minisora.cli.common import (
    CLIP,
    DEVICE,
    DIRECTION,
    FORCE,
    FRAMES,
    GUIDANCE,
    HEIGHT,
    IMAGE,
    MODEL,
    MORE,
    NEGATIVE,
    OUT,
    PROMPT,
    RATE,
    REGION,
    SCALE,
    SECONDS,
    SEED,
    SENTENCES,
    SPAN,
    STEPS,
    STRENGTH,
    UPSAMPLE,
    WIDTH,
    draw_seed,
    free_name,
    is_typed,
    leave_out,
    load,
    what_the_judge_saw,
)
from minisora.cli.play import is_sentence, play
from minisora.config import GUIDANCE_SCALE

if TYPE_CHECKING:
    import torch

MOST_OF_A_GAME = 101  # frames, of 100 steps
LONGEST_SIDE = 128  # of a clip that is read: attention would take hours with much more
USED_BY_A_GAME = ("prompt", "out", "seed", "num_frames", "scale", "device", "force")


def generate(
    context: typer.Context,
    prompt: PROMPT,
    out: OUT = None,
    seed: SEED = None,
    num_frames: FRAMES = None,
    upsample: UPSAMPLE = True,
    num_inference_steps: STEPS = None,
    guidance_scale: GUIDANCE = GUIDANCE_SCALE,
    negative_prompt: NEGATIVE = "",
    height: HEIGHT = None,
    width: WIDTH = None,
    fps: RATE = 8.0,
    scale: SCALE = 8,
    model: MODEL = "tiny",
    device: DEVICE = "auto",
    force: FORCE = False,
) -> None:
    """Make a clip from a sentence."""
    if is_sentence(prompt) and not is_typed(context, "model"):
        why = "play-tiles makes clips of the game; minisora play has its options"
        leave_out(context, USED_BY_A_GAME, why)
        if num_frames is not None and not 2 <= num_frames <= MOST_OF_A_GAME:
            raise ValueError(
                f"--num-frames {num_frames}: a clip of the game has 2 to {MOST_OF_A_GAME}"
            )
        steps = None if num_frames is None else num_frames - 1
        play(prompt, out, draw_seed(seed), steps, scale=scale, device=device, force=force)
        typer.echo("made by play-tiles: no other model that is shipped knows the game")
        return
    job = Job([prompt], out, force, fps, scale, model, device, seed)
    options = job.sampling(num_inference_steps, guidance_scale, negative_prompt)
    told = job.told[0]
    upsampled = job.upsampled(told, num_frames, height, width) if upsample else told
    if upsampled != told:
        typer.echo(f"the prompt became: {upsampled}")
        job.metadata["upsampled_prompt"] = upsampled
    options |= {"num_frames": num_frames, "height": height, "width": width, "upsample": False}
    job.finish(job.model.generate(upsampled, **options), prompt)


def image(
    prompt: PROMPT,
    out: OUT = None,
    seed: SEED = None,
    num_inference_steps: STEPS = None,
    guidance_scale: GUIDANCE = GUIDANCE_SCALE,
    negative_prompt: NEGATIVE = "",
    height: HEIGHT = None,
    width: WIDTH = None,
    scale: SCALE = 8,
    model: MODEL = "tiny",
    device: DEVICE = "auto",
    force: FORCE = False,
) -> None:
    """Make an image from a sentence: a clip of one frame."""
    from minisora import tasks

    job = Job([prompt], out, force, 8.0, scale, model, device, seed)
    options = job.sampling(num_inference_steps, guidance_scale, negative_prompt)
    images = tasks.text_to_image(job.model, job.told[0], height=height, width=width, **options)
    job.finish(images[:, :, None], prompt)


def animate(
    image: IMAGE,
    prompt: PROMPT,
    out: OUT = None,
    seed: SEED = None,
    num_frames: FRAMES = None,
    num_inference_steps: STEPS = None,
    guidance_scale: GUIDANCE = GUIDANCE_SCALE,
    negative_prompt: NEGATIVE = "",
    height: HEIGHT = None,
    width: WIDTH = None,
    fps: RATE = 8.0,
    scale: SCALE = 8,
    model: MODEL = "tiny",
    device: DEVICE = "auto",
    force: FORCE = False,
) -> None:
    """Make a clip that starts with an image."""
    from minisora import tasks
    from minisora.show.media import as_image

    job = Job([prompt], out, force, fps, scale, model, device, seed)
    options = job.sampling(num_inference_steps, guidance_scale, negative_prompt)
    preset = job.model.preset
    first = as_image(image, height or preset.height, width or preset.width)
    told = job.told[0]
    job.finish(tasks.animate(job.model, first, told, num_frames=num_frames, **options), prompt)


def extend(
    clip: CLIP,
    prompt: PROMPT,
    out: OUT = None,
    seed: SEED = None,
    num_frames: MORE = 8,
    direction: DIRECTION = "forward",
    num_inference_steps: STEPS = None,
    guidance_scale: GUIDANCE = GUIDANCE_SCALE,
    negative_prompt: NEGATIVE = "",
    height: HEIGHT = None,
    width: WIDTH = None,
    fps: RATE = 8.0,
    scale: SCALE = 8,
    model: MODEL = "tiny",
    device: DEVICE = "auto",
    force: FORCE = False,
) -> None:
    """Go on where a clip ends, or generate what came before it."""
    from minisora import tasks

    job = Job([prompt], out, force, fps, scale, model, device, seed)
    options = job.sampling(num_inference_steps, guidance_scale, negative_prompt)
    video = read_clip(clip, height, width, fps)
    told = job.told[0]
    longer = tasks.extend(job.model, video, num_frames, told, direction=direction, **options)
    job.finish(longer, prompt)


def connect(
    clip: CLIP,
    after: CLIP,
    prompt: PROMPT,
    out: OUT = None,
    seed: SEED = None,
    num_frames: MORE = 8,
    num_inference_steps: STEPS = None,
    guidance_scale: GUIDANCE = GUIDANCE_SCALE,
    negative_prompt: NEGATIVE = "",
    height: HEIGHT = None,
    width: WIDTH = None,
    fps: RATE = 8.0,
    scale: SCALE = 8,
    model: MODEL = "tiny",
    device: DEVICE = "auto",
    force: FORCE = False,
) -> None:
    """Lead from one clip into another."""
    from minisora import tasks

    job = Job([prompt], out, force, fps, scale, model, device, seed)
    options = job.sampling(num_inference_steps, guidance_scale, negative_prompt)
    first = read_clip(clip, height, width, fps)
    last = read_clip(after, height, width, fps)
    told = job.told[0]
    job.finish(tasks.connect(job.model, first, last, told, num_frames, **options), prompt)


def loop(
    clip: CLIP,
    prompt: PROMPT,
    out: OUT = None,
    seed: SEED = None,
    num_frames: MORE = 8,
    num_inference_steps: STEPS = None,
    guidance_scale: GUIDANCE = GUIDANCE_SCALE,
    negative_prompt: NEGATIVE = "",
    height: HEIGHT = None,
    width: WIDTH = None,
    fps: RATE = 8.0,
    scale: SCALE = 8,
    model: MODEL = "tiny",
    device: DEVICE = "auto",
    force: FORCE = False,
) -> None:
    """Lead from a clip's end back to its beginning."""
    from minisora import tasks

    job = Job([prompt], out, force, fps, scale, model, device, seed)
    options = job.sampling(num_inference_steps, guidance_scale, negative_prompt)
    video = read_clip(clip, height, width, fps)
    job.finish(tasks.loop(job.model, video, job.told[0], num_frames, **options), prompt)


def inpaint(
    clip: CLIP,
    prompt: PROMPT,
    frames: SPAN = None,
    region: REGION = None,
    out: OUT = None,
    seed: SEED = None,
    num_inference_steps: STEPS = None,
    guidance_scale: GUIDANCE = GUIDANCE_SCALE,
    negative_prompt: NEGATIVE = "",
    height: HEIGHT = None,
    width: WIDTH = None,
    fps: RATE = 8.0,
    scale: SCALE = 8,
    model: MODEL = "tiny",
    device: DEVICE = "auto",
    force: FORCE = False,
) -> None:
    """Generate some frames of a clip, or a region, and keep the rest."""
    from minisora import tasks

    span = frame_span(frames)
    if span is None and region is None:
        raise ValueError("say what to generate: --frames 5-12, or --region TOP LEFT HEIGHT WIDTH")
    job = Job([prompt], out, force, fps, scale, model, device, seed)
    options = job.sampling(num_inference_steps, guidance_scale, negative_prompt)
    video = read_clip(clip, height, width, fps)
    told = job.told[0]
    filled = tasks.inpaint(job.model, video, told, frames=span, region=region, **options)
    job.finish(filled, prompt)


def video_to_video(
    clip: CLIP,
    prompt: PROMPT,
    strength: STRENGTH = 0.7,
    out: OUT = None,
    seed: SEED = None,
    num_inference_steps: STEPS = None,
    guidance_scale: GUIDANCE = GUIDANCE_SCALE,
    negative_prompt: NEGATIVE = "",
    height: HEIGHT = None,
    width: WIDTH = None,
    fps: RATE = 8.0,
    scale: SCALE = 8,
    model: MODEL = "tiny",
    device: DEVICE = "auto",
    force: FORCE = False,
) -> None:
    """Change a whole clip as the sentence says."""
    from minisora import tasks

    job = Job([prompt], out, force, fps, scale, model, device, seed)
    options = job.sampling(num_inference_steps, guidance_scale, negative_prompt)
    job.metadata["strength"] = strength
    video = read_clip(clip, height, width, fps)
    told = job.told[0]
    job.finish(tasks.video_to_video(job.model, video, told, strength, **options), prompt)


def long_video(
    prompt: SENTENCES,
    seconds: SECONDS = 60.0,
    out: OUT = None,
    seed: SEED = None,
    upsample: UPSAMPLE = True,
    num_inference_steps: STEPS = None,
    guidance_scale: GUIDANCE = GUIDANCE_SCALE,
    negative_prompt: NEGATIVE = "",
    height: HEIGHT = None,
    width: WIDTH = None,
    fps: RATE = 8.0,
    scale: SCALE = 8,
    model: MODEL = "tiny",
    device: DEVICE = "auto",
    force: FORCE = False,
) -> None:
    """Make a long clip, window by window."""
    from minisora import tasks

    job = Job(prompt, out, force, fps, scale, model, device, seed)
    options = job.sampling(num_inference_steps, guidance_scale, negative_prompt)
    script = [(seconds / len(prompt), sentence) for sentence in job.told]
    options |= {"fps": fps, "height": height, "width": width, "upsample": upsample}
    job.finish(tasks.long_video(job.model, script, **options), *prompt)


COMMANDS = (
    generate,
    image,
    animate,
    extend,
    connect,
    loop,
    inpaint,
    video_to_video,
    long_video,
)


# ------------------------------------------------------------------------------------------ parts


class Job:
    """One clip in the making: its file is checked first, then the model loaded, the clip sampled.

    Args:
        out: None takes the first free of clip.png, clip-1.png, clip-2.png and so on.
        others: the options of the same name.
    """

    def __init__(
        self,
        prompts: Sequence[str],
        out: Path | None,
        force: bool,
        fps: float,
        scale: int,
        model: str,
        device: str,
        seed: int | None,
    ) -> None:
        from minisora.show.media import MAX_SCALE, can_save

        if not 1 <= scale <= MAX_SCALE:
            raise ValueError(f"--scale {scale} is not possible; it goes from 1 to {MAX_SCALE}")
        self.out = out
        self.force = force
        self.fps = fps
        self.scale = scale
        can_save(self._file(), force, fps)
        self.model, seed, self.generator = load(model, device, seed)
        self.metadata: dict[str, Any] = {"seed": seed, "model": model}
        self.steps: list[int] = []  # of each window
        self.told = [self._understand(prompt) for prompt in prompts]
        if self.told != [*prompts]:
            self.metadata["read_as"] = " / ".join(self.told)
        self.began = time.perf_counter()

    def sampling(
        self, num_inference_steps: int | None, guidance_scale: float, negative_prompt: str
    ) -> dict[str, Any]:
        """Options of every task."""
        options = {
            "num_inference_steps": num_inference_steps,
            "guidance_scale": guidance_scale,
            "negative_prompt": negative_prompt,
        }
        self.metadata |= options
        return {**options, "generator": self.generator, "callback": self._count}

    def _understand(self, prompt: str) -> str:
        """What the model is told in place of a prompt; it is printed where it differs.

        Raises:
            ValueError: what the model's world cannot show, and what it can.
        """
        from minisora.text import words_of
        from minisora.world.retell import read_again

        told = read_again(prompt, self.model)
        known = self.model.tokenizer.words(told)
        if known != words_of(prompt):
            typer.echo(f"read as: {' '.join(known)}")
        return told

    def upsampled(
        self, prompt: str, num_frames: int | None, height: int | None, width: int | None
    ) -> str:
        """The prompt with positions if the clip has the model's own size; the noise stays."""
        preset = self.model.preset
        own_size = (
            num_frames in (None, preset.num_frames)
            and height in (None, preset.height)
            and width in (None, preset.width)
        )
        return self.model.upsample(prompt, self.generator.clone_state())[0] if own_size else prompt

    def finish(self, videos: "torch.Tensor", *prompts: str) -> None:
        """Save the clip (1, 3, T, H, W), show it, and say what the judge saw."""
        from minisora.show.clip import Clip, text_strip

        seconds = time.perf_counter() - self.began
        video = videos[0].cpu()
        clip = Clip(video, " / ".join(prompts), self.fps)
        self.metadata |= {"prompt": clip.caption, "steps": self.steps}
        out = clip.save(self._file(), self.force, scale=self.scale, metadata=self.metadata)
        strip = text_strip(clip)
        if strip:
            typer.echo(strip)
        first = [str(number) for number in self.steps[:2]]
        steps = " + ".join([*first, "…"] if len(self.steps) > 2 else first)
        seed = self.metadata["seed"]
        count = len(clip.frames)
        frames = "1 frame" if count == 1 else f"{count} frames"
        typer.echo(f"{out}: {frames} in {seconds:.2f} s, seed {seed}, {steps} steps")
        typer.echo(what_the_judge_saw(video, prompts[-1], self.fps))

    def _file(self) -> Path:
        return self.out or free_name(self.force)

    def _count(self, step: int, *_: Any) -> None:
        if step == 0 or not self.steps:
            self.steps.append(0)
        self.steps[-1] += 1


def frame_span(text: str | None) -> range | None:
    """The frames that --frames names: 5-12, or one number."""
    if text is None:
        return None
    first, _, last = text.partition("-")
    try:
        return range(int(first), int(last or first) + 1)
    except ValueError:
        raise ValueError(f"--frames {text!r} is not understood; write 5-12, or 7") from None


def read_clip(path: Path, height: int | None, width: int | None, fps: float) -> "torch.Tensor":
    """A clip at a size that the transformer can take in without hours of work."""
    from minisora.show.media import as_image, as_video

    sides = as_image(path, height, width).shape[1:]  # before the whole clip is read
    if max(sides) > LONGEST_SIDE:
        raise ValueError(
            f"{path} is {sides[0]}×{sides[1]}, far from what the model was trained on; "
            "resize it with --height 32 --width 32"
        )
    return as_video(path, height, width, fps)
