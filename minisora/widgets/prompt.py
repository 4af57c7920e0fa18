"""The prompt builder (notebook 00): menus and a free line → a clip, with everything that passed on the way."""

import html
import time
from dataclasses import dataclass

import torch

from minisora.config import GUIDANCE_SCALE
from minisora.judge import read, verdict
from minisora.patchify import grid_of, unpatchify
from minisora.pipeline import MiniSora
from minisora.viz import Clip, latents_to_rgb, to_frames
from minisora.widgets.common import picture, pipeline_map, tip
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


@dataclass(frozen=True)
class PromptResult:
    clip: Clip
    html: str  # the pipeline with its pictures, and the clip
    words: str  # the same for those who see no pictures
    seconds: float


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
    video = model.generate(
        state.prompt, negative_prompt=state.negative_prompt, num_inference_steps=state.num_inference_steps,
        guidance_scale=state.guidance_scale, generator=torch.Generator().manual_seed(state.seed),
        callback=lambda step, sigma, tokens, x_0: seen.append((sigma, tokens, x_0)),
    )[0]  # fmt: skip
    seconds = time.perf_counter() - began
    patch = model.dit.config.patch_size
    grid = grid_of(model.vae.latent_shape(*video.shape[1:]), patch)
    latents_of = lambda tokens: unpatchify(tokens.float(), grid, patch)  # noqa: E731
    middle = video.shape[1] // 2
    show = lambda x, alt, size=64: picture(to_frames(x)[min(middle, x.shape[1] - 1)], alt, size)  # noqa: E731
    picks = sorted({0, len(seen) // 4, len(seen) // 2, 3 * len(seen) // 4})
    guesses = "".join(
        show(model.decode(latents_of(seen[i][2]))[0], f"guess of the clean clip at noise level {seen[i][0]:.2f}") for i in picks
    )
    final = latents_to_rgb(latents_of(seen[-1][2])[0])
    words = len(model.tokenizer.words(state.prompt))
    frames = "".join(picture(to_frames(video)[i], f"frame {i}", 64) for i in (0, middle))
    clip = Clip(video, state.prompt or "(no prompt)")
    pictures = {
        "prompt": f"<i>{html.escape(state.prompt) or '(empty)'}</i>",
        "text encoder": f"{words} words and an end mark<br>→ {words + 1} × {model.preset.text.hidden_size} numbers",
        "noise": show(latents_to_rgb(latents_of(seen[0][1])[0]), "noise, its three main channels as colours"),
        "transformer": f"{len(seen)} steps; guesses on the way<br>{guesses}",
        "latents": show(final, "final latents, three main channels as colours"),
        "decoder": frames, "video": clip.html(),
    }  # fmt: skip
    reading = read(video)
    try:
        says = f"The judge saw {reading}: {verdict(reading, parse(state.prompt))}."
    except ValueError as error:
        says = f"The judge saw {reading}; it cannot hold that against the prompt: {error}."
    text = f"{says} {seconds:.2f} s, seed {state.seed}, {state.num_inference_steps} steps, guidance {state.guidance_scale:g}."
    return PromptResult(clip, pipeline_map(pictures=pictures) + f'<p style="background:#fff;color:#000">{html.escape(text)}</p>', text, seconds)


class PromptBuilder:
    """Menus that write a sentence, a free line to change it, and a button that makes its clip.

    `box` is the widget; `state` what the controls say; `press()` what the button does; `result` the last clip.
    """

    def __init__(self, model: MiniSora, state: PromptState | None = None):
        import ipywidgets as w

        self.model, self.result, state = model, None, state or PromptState()
        wide = {"description_width": "90px"}
        menu = lambda name, options, value: tip(  # noqa: E731
            w.Dropdown(options=list(options), value=value, description=name, style=wide, layout=w.Layout(width="230px")), f"Choose the {name}"
        )
        self.menus = {
            "size": menu("size", SIZES, "large"), "color": menu("color", COLORS, "red"), "shape": menu("shape", SHAPES, "circle"),
            "motion": menu("motion", MOTIONS, "bouncing"), "background": menu("background", BACKGROUND_COLORS, "navy"),
            "texture": menu("texture", TEXTURES, "plain"),
        }  # fmt: skip
        line = {"style": wide, "layout": w.Layout(width="700px"), "continuous_update": False}
        self.prompt = tip(w.Text(value=state.prompt, description="prompt", **line), "Any sentence in the toy world's words")
        self.negative = tip(w.Text(value=state.negative_prompt, description="negative", **line), "What to get away from")
        slide = {"style": wide, "layout": w.Layout(width="340px"), "continuous_update": False}
        self.seed = tip(w.IntSlider(value=state.seed, min=0, max=99, description="seed", **slide), "Which noise to start from")
        self.steps = tip(w.IntSlider(value=state.num_inference_steps, min=1, max=50, description="steps", **slide), "Steps from noise to clip")
        self.guidance = tip(
            w.FloatSlider(value=state.guidance_scale, min=0, max=8, step=0.5, description="guidance", **slide), "How hard the prompt pulls"
        )
        self.button = w.Button(description="Make the clip", tooltip="Run the whole pipeline", button_style="primary")
        self.output = w.HTML(layout=w.Layout(height="520px", overflow="auto", border="1px solid #bbb"))
        self.words = w.HTML(layout=w.Layout(height="48px", overflow="auto"))
        for control in self.menus.values():
            control.observe(self._write, "value")
        self.button.on_click(lambda _: self.press())
        rows = [w.HBox(list(self.menus.values())[:3]), w.HBox(list(self.menus.values())[3:]), self.prompt, self.negative]
        self.box = w.VBox([*rows, w.HBox([self.seed, self.steps]), w.HBox([self.guidance, self.button]), self.words, self.output])

    @property
    def state(self) -> PromptState:
        return PromptState(self.prompt.value, self.negative.value, self.seed.value, self.steps.value, self.guidance.value)

    def _write(self, _=None) -> None:
        self.prompt.value = sentence(**{name: menu.value for name, menu in self.menus.items()})

    def press(self) -> None:
        """Make the clip of the present state; an error is shown where the clip would be."""
        self.words.value = "working …"
        try:
            self.result = render_prompt(self.model, self.state)
        except ValueError as error:
            self.words.value = f'<b style="color:#D55E00">✗ {html.escape(str(error))}</b>'
            return
        self.output.value, self.words.value = self.result.html, html.escape(self.result.words)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.box)
