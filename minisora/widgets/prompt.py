"""The prompt builder (notebook 00): menus and a free line → a clip, with everything that passed on the way."""

import html
import time
from dataclasses import dataclass

import torch

from minisora.config import GUIDANCE_SCALE
from minisora.measure.judge import read, verdict
from minisora.patchify import grid_of, unpatchify
from minisora.pipeline import MiniSora
from minisora.show.clip import Clip, latents_to_rgb, to_frames
from minisora.widgets.common import Html, Panel, line, menu, picture, pipeline_map, slider
from minisora.world.captions import PHRASES, parse
from minisora.world.scene import BACKGROUND_COLORS, COLORS, MOTIONS, SHAPES, SIZES, TEXTURES


@dataclass(frozen=True)
class PromptState:
    """Everything that decides a clip."""

    prompt: str = "a large red circle bouncing on a navy background"
    negative_prompt: str = ""
    seed: int = 0
    num_inference_steps: int = 20
    guidance_scale: float = GUIDANCE_SCALE
    upsample: bool = True  # let the model's prompt upsampler add where things are


class PromptResult(Html):
    """The pipeline with its pictures and the clip, the judge's words for those who see none, and the clip itself."""

    def __init__(self, text: str, words: str, clip: Clip, seconds: float):
        super().__init__(text, words)
        self.clip, self.seconds = clip, seconds


def sentence(size: str, color: str, shape: str, motion: str, background: str, texture: str) -> str:
    """A prompt from menus, in canonical words."""
    stage = f"{background} background" if texture == "plain" else f"{background} {texture}"
    return f"a {size} {color} {shape} {PHRASES['motion'][motion][0]} on a {stage}"


def render_prompt(model: MiniSora, state: PromptState) -> PromptResult:
    """Make the clip of a state, and keep what passed on the way: noise, guesses of x_0, latents, frames.

    Raises:
        ValueError: as `MiniSora.generate`.
    """
    seen: list[tuple[float, torch.Tensor, torch.Tensor]] = []
    began = time.perf_counter()
    (longer,) = (
        model.upsample(state.prompt, torch.Generator().manual_seed(state.seed))
        if state.upsample
        else [state.prompt]
    )
    video = model.generate(
        longer,
        upsample=False,
        negative_prompt=state.negative_prompt,
        num_inference_steps=state.num_inference_steps,
        guidance_scale=state.guidance_scale,
        generator=torch.Generator().manual_seed(state.seed),
        callback=lambda step, sigma, tokens, x_0: seen.append((sigma, tokens, x_0)),
    )[0]
    seconds = time.perf_counter() - began
    patch = model.dit.config.patch_size
    grid = grid_of(model.vae.latent_shape(*video.shape[1:]), patch)
    latents_of = lambda tokens: unpatchify(tokens.float(), grid, patch)
    middle = video.shape[1] // 2
    show = lambda x, alt, size=64: picture(to_frames(x)[min(middle, x.shape[1] - 1)], alt, size)
    picks = sorted({0, len(seen) // 4, len(seen) // 2, 3 * len(seen) // 4})
    guesses = "".join(
        show(
            model.decode(latents_of(seen[i][2]))[0],
            f"guess of the clean clip at noise level {seen[i][0]:.2f}",
        )
        for i in picks
    )
    final = latents_to_rgb(latents_of(seen[-1][2])[0])
    words = len(model.tokenizer.words(longer))
    frames = "".join(picture(to_frames(video)[i], f"frame {i}", 64) for i in (0, middle))
    clip = Clip(video, state.prompt or "(no prompt)")
    pictures = {
        "prompt": f"<i>{html.escape(state.prompt) or '(empty)'}</i>"
        + f"<br>expanded: <i>{html.escape(longer)}</i>" * (longer != state.prompt),
        "text encoder": f"{words} words and an end mark<br>→ {words + 1} × {model.preset.text.hidden_size} numbers",
        "noise": show(
            latents_to_rgb(latents_of(seen[0][1])[0]), "noise, its three main channels as colours"
        ),
        "transformer": f"{len(seen)} steps; guesses on the way<br>{guesses}",
        "latents": show(final, "final latents, three main channels as colours"),
        "decoder": frames,
        "video": clip.html(),
    }
    reading = read(video)
    try:
        says = f"The judge saw {reading}: {verdict(reading, parse(state.prompt))}."
    except ValueError as error:
        says = f"The judge saw {reading}; it cannot hold that against the prompt: {error}."
    text = f"{says} {seconds:.2f} s, seed {state.seed}, {state.num_inference_steps} steps, guidance {state.guidance_scale:g}."
    page = (
        pipeline_map(pictures=pictures)
        + f'<p style="background:#fff;color:#000">{html.escape(text)}</p>'
    )
    return PromptResult(page, text, clip, seconds)


class PromptBuilder(Panel):
    """Menus that write a sentence, a free line to change it, and a button that makes its clip. `state` is what the controls say."""

    def __init__(self, model: MiniSora, state: PromptState | None = None):
        import ipywidgets as w

        state = state or PromptState()
        controls = {
            "prompt": line("prompt", state.prompt, "Any sentence in the toy world's words"),
            "negative_prompt": line("negative", state.negative_prompt, "What to get away from"),
            "seed": slider("seed", state.seed, 0, 99, about="Which noise to start from"),
            "num_inference_steps": slider(
                "steps", state.num_inference_steps, 1, 50, about="Steps from noise to clip"
            ),
            "guidance_scale": slider(
                "guidance", state.guidance_scale, 0.0, 8.0, 0.5, about="How hard the prompt pulls"
            ),
            "upsample": menu(
                "upsampler",
                [("adds where things are", True), ("is left out", False)],
                state.upsample,
                "A small language model that makes the prompt longer",
            ),
        }
        super().__init__(
            lambda **values: render_prompt(model, PromptState(**values)),
            controls,
            height=520,
            button="Make the clip",
        )
        choices = {
            "size": SIZES,
            "color": COLORS,
            "shape": SHAPES,
            "motion": MOTIONS,
            "background": BACKGROUND_COLORS,
            "texture": TEXTURES,
        }
        first = {"size": "large", "color": "red", "motion": "bouncing", "background": "navy"}
        self.menus = {
            name: menu(name, options, first.get(name), width="230px")
            for name, options in choices.items()
        }
        for choice in self.menus.values():
            choice.observe(self._write, "value")
        self.box.children = (
            w.HBox(list(self.menus.values()), layout=w.Layout(flex_flow="row wrap", width="720px")),
            *self.box.children,
        )

    @property
    def state(self) -> PromptState:
        return PromptState(**self.values)

    def _write(self, _=None) -> None:
        self.controls["prompt"].value = sentence(
            **{name: choice.value for name, choice in self.menus.items()}
        )
