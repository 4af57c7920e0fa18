"""The guidance desk (notebook 08): a prompt at several scales, and what each word changes.

prompt, negative prompt, scale, seed ──► clips at 0, 1 and the scale, verdicts, a bar a word
"""

import html
from typing import Any

from minisora.config import GUIDANCE_SCALE
from minisora.measure.judge import read, verdict
from minisora.measure.network import at_scales, word_importance
from minisora.pipeline import MiniSora
from minisora.show.clip import Clip
from minisora.widgets.common import (
    Html,
    Panel,
    line,
    page,
    sampling_controls,
    side_by_side,
    slider,
    table,
)
from minisora.world.parse import parse
from minisora.world.retell import read_again


def word_bars(fractions: list[tuple[str, float]]) -> str:
    """Words with their fractions as bars; the longest bar is the word that changes most."""
    if not fractions:
        return "<p>an empty prompt has no words</p>"
    top = max(fraction for _, fraction in fractions) or 1.0
    rows = []
    for word, fraction in fractions:
        style = f"width:{150 * fraction / top:.0f}px;height:11px;background:#0072B2"
        bar = f'<div style="{style}"></div>'
        rows.append((html.escape(word), bar, f"{100 * fraction:.0f} %"))
    return f"<div>what each word changes{table(rows)}</div>"


def render_guidance(
    model: MiniSora,
    prompt: str,
    negative_prompt: str = "",
    guidance_scale: float = GUIDANCE_SCALE,
    num_inference_steps: int | None = None,
    seed: int = 0,
    upsample: bool = True,
) -> Html:
    """Show a prompt at guidance 0, 1 and the chosen scale, and what each word changes.

    Raises:
        ValueError: as `understand` and `MiniSora.generate`.
    """
    told = read_again(prompt, model)
    scales = sorted({0.0, 1.0, float(guidance_scale)})
    steps = num_inference_steps or None
    videos = at_scales(model, told, negative_prompt, scales, steps, seed, upsample)
    meanings = {
        0.0: f"the negative prompt alone ({negative_prompt or 'empty'})",
        1.0: "the prompt alone",
    }
    shown, said = [], []
    for scale, video in zip(scales, videos, strict=True):
        beyond = "beyond the prompt" if scale > 1 else "between the two"
        reading = read(video, model.preset.fps)
        try:
            answer = str(verdict(reading, parse(prompt)))
        except ValueError as error:
            answer = f"the judge cannot compare it with the prompt: {error}"
        said.append(f"guidance {scale:g}: the judge saw {reading}; {answer}")
        label = f"guidance {scale:g}: {meanings.get(scale, beyond)}"
        mark = "✓" if answer == "as asked" else "✗"
        clip = Clip(video, label, model.preset.fps, scale=5).html()
        shown.append(f'<div style="width:176px">{clip}{mark} {html.escape(answer)}</div>')
    fractions = word_importance(model, told, seed)
    words = f"{'. '.join(said)}. {steps or 'default'} steps, seed {seed}."
    if fractions:
        parts = ", ".join(f"{word} {100 * part:.0f} %" for word, part in fractions)
        words += f" What each word of the prompt as typed changes: {parts}."
    return Html(page(side_by_side(*shown, word_bars(fractions))), words)


class GuidanceDesk(Panel):
    """Controls and a button around `render_guidance`."""

    def __init__(
        self, model: MiniSora, prompt: str = "a large red star moving right on a navy background"
    ):
        scale_about = "0 is the negative prompt alone, 1 the prompt alone"
        controls = {
            "prompt": line("prompt", prompt, "What the clip should show"),
            "negative_prompt": line("negative", "", "What guidance moves away from"),
            "guidance_scale": slider("guidance", GUIDANCE_SCALE, 0.0, 8.0, 0.5, scale_about),
            **sampling_controls(),
        }

        def render(**values: Any) -> Html:
            return render_guidance(model, **values)

        super().__init__(render, controls, height=330, button="Make the clips")
