"""The prompt builder (notebook 00): menus and a free line → a clip.

prompt ── upsampler ── text encoder ── transformer ── decoder ──► a picture of each
"""

import html
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from minisora.config import GUIDANCE_SCALE
from minisora.measure.judge import read, verdict
from minisora.patchify import grid_of, unpatchify
from minisora.pipeline import MiniSora
from minisora.show.clip import Clip, to_frames
from minisora.show.latents import latent_basis, latents_to_rgb
from minisora.widgets.common import (
    Html,
    Panel,
    flow_box,
    line,
    menu,
    page,
    picture,
    pipeline_map,
    sampling_controls,
    slider,
)
from minisora.world.captions import background_words
from minisora.world.families import SOLO_MOTIONS
from minisora.world.parse import parse
from minisora.world.phrases import MOTION_WORDS
from minisora.world.retell import read_again
from minisora.world.scene import BACKGROUND_COLORS, COLORS, SHAPES, SIZES, TEXTURES

WORDS: dict[str, Iterable[str]] = {  # menu → its words
    "size": SIZES,
    "color": COLORS,
    "shape": SHAPES,
    "motion": SOLO_MOTIONS,
    "background": BACKGROUND_COLORS,
    "texture": TEXTURES,
}
FIRST = {"size": "large", "color": "red", "motion": "bouncing", "background": "navy"}


@dataclass(frozen=True)
class PromptState:
    """Everything that decides a clip."""

    prompt: str = "a large red circle bouncing on a navy background"
    negative_prompt: str = ""
    seed: int = 0
    num_inference_steps: int | None = None  # as many as the prompt needs; so does 0
    guidance_scale: float = GUIDANCE_SCALE
    upsample: bool = True  # let the model's prompt upsampler add positions


class PromptResult(Html):
    """The pipeline with its pictures, what the judge says, and the clip itself."""

    def __init__(self, text: str, words: str, clip: Clip, seconds: float):
        super().__init__(text, words)
        self.clip = clip
        self.seconds = seconds


def sentence(size: str, color: str, shape: str, motion: str, background: str, texture: str) -> str:
    """A prompt from menus, in canonical words."""
    where = background_words(background, texture)
    return f"a {size} {color} {shape} {MOTION_WORDS[motion][0][0]} on {where}"


def render_prompt(model: MiniSora, state: PromptState) -> PromptResult:
    """Make the clip of a state, and show the noise, the guesses of x_0, the latents and frames.

    Raises:
        ValueError: as `understand` and `MiniSora.generate`.
    """
    told = longer = read_again(state.prompt, model)
    began = time.perf_counter()
    if state.upsample:
        longer = model.upsample(told, torch.Generator().manual_seed(state.seed))[0]
    steps: list[tuple[float, torch.Tensor, torch.Tensor]] = []  # noise level, tokens, guess of x_0
    video = model.generate(
        longer,
        upsample=False,  # it is done
        negative_prompt=state.negative_prompt,
        num_inference_steps=state.num_inference_steps or None,
        guidance_scale=state.guidance_scale,
        generator=torch.Generator().manual_seed(state.seed),
        callback=lambda step, sigma, tokens, x_0: steps.append((sigma, tokens, x_0)),
    )[0]
    seconds = time.perf_counter() - began
    clip = Clip(video, state.prompt or "(no prompt)", model.preset.fps)
    said = (
        f"{_judged(video, state.prompt, model.preset.fps)} {seconds:.2f} s, seed {state.seed}, "
        f"{len(steps)} steps, guidance {state.guidance_scale:g}."
    )
    pictures = _stages(model, (state.prompt, told, longer), video, steps) | {"video": clip.html()}
    text = pipeline_map(pictures=pictures) + page(html.escape(said))
    return PromptResult(text, said, clip, seconds)


def _judged(video: torch.Tensor, prompt: str, fps: float) -> str:
    """What the judge saw, and whether the prompt asks for it."""
    reading = read(video, fps)
    try:
        return f"The judge saw {reading}: {verdict(reading, parse(prompt))}."
    except ValueError as error:
        return f"The judge saw {reading}; it cannot compare that with the prompt: {error}."


def _stages(
    model: MiniSora,
    sentences: tuple[str, str, str],
    video: torch.Tensor,
    steps: list[tuple[float, torch.Tensor, torch.Tensor]],
) -> dict[str, str]:
    """Stage of the pipeline → what it gave, as HTML.

    Args:
        sentences: as typed, as read again, as upsampled.
    """
    prompt, told, longer = sentences
    patch = model.dit.config.patch_size
    grid = grid_of(model.vae.latent_shape(*video.shape[1:]), patch)

    def middle(frames: torch.Tensor, alt: str) -> str:
        return picture(to_frames(frames)[frames.shape[1] // 2], alt, 64)

    def latents(tokens: torch.Tensor) -> torch.Tensor:
        return unpatchify(tokens.float(), grid, patch)

    guesses = []
    for i in sorted({len(steps) * quarter // 4 for quarter in range(4)}):
        sigma, _, x_0 = steps[i]
        alt = f"guess of the clean clip at noise level {sigma:.2f}"
        guesses.append(middle(model.decode(latents(x_0))[0], alt))
    written = f"<i>{html.escape(prompt) or '(empty)'}</i>"
    if told != prompt:
        written += f"<br>read as: <i>{html.escape(told)}</i>"
    if longer != told:
        written += f"<br>upsampled: <i>{html.escape(longer)}</i>"
    words = len(model.tokenizer.words(longer))
    basis = latent_basis(model)
    noise = latents_to_rgb(latents(steps[0][1])[0], basis)
    last = latents_to_rgb(latents(steps[-1][2])[0], basis)
    first = picture(to_frames(video)[0], "the first frame", 64)
    return {
        "prompt": written,
        "text encoder": f"{words} words and EOS<br>→ {words + 1} × {model.preset.text.hidden_size}",
        "noise": middle(noise, "noise, its three main axes as colours"),
        "transformer": f"{len(steps)} steps; guesses on the way<br>{''.join(guesses)}",
        "latents": middle(last, "last latents, their three main axes as colours"),
        "decoder": first + middle(video, "the frame in the middle"),
    }


class PromptBuilder(Panel):
    """Menus that write a sentence, a free line to change it, and a button that makes its clip.

    `state` is what the controls say.
    """

    def __init__(self, model: MiniSora, state: PromptState | None = None):
        start = state or PromptState()
        controls = {
            "prompt": line("prompt", start.prompt, "Any sentence in the toy world's words"),
            "negative_prompt": line("negative", start.negative_prompt, "What to move away from"),
            "guidance_scale": slider(
                "guidance", start.guidance_scale, 0.0, 8.0, 0.5, "1 is the prompt alone"
            ),
            **sampling_controls(start.seed, start.num_inference_steps, start.upsample),
        }

        def render(**values: Any) -> Html:
            return render_prompt(model, PromptState(**values))

        super().__init__(render, controls, height=520, button="Make the clip")
        self.menus = {
            name: menu(name, words, FIRST.get(name), width="230px") for name, words in WORDS.items()
        }
        for choice in self.menus.values():
            choice.observe(self._write, "value")
        self.box.children = (flow_box(self.menus.values()), *self.box.children)

    @property
    def state(self) -> PromptState:
        return PromptState(**self.values)

    def _write(self, _: Any = None) -> None:
        """Write the sentence of the menus into the line."""
        words = {name: choice.value for name, choice in self.menus.items()}
        self.controls["prompt"].value = sentence(**words)
