"""What all widgets share: the set-up of a notebook, pictures as HTML, and `Panel`.

A widget is a pure function `render_…(values) → Html` and a `Panel` with controls around it. Only
this folder imports ipywidgets, and only when a widget is made. It uses what ipywidgets 7.7 and 8
share.
"""

import html
import os
import platform
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from minisora.show.clip import Clip, image_html
from minisora.show.plots import figure_html
from minisora.threads import choose_threads

STAGES = ("prompt", "text encoder", "noise", "transformer", "latents", "decoder", "video")
RED = "#D55E00"


@dataclass(frozen=True)
class Mode:
    """How a notebook runs: `fast` for tests, `train` to train live."""

    fast: bool
    train: bool


def setup(train: bool = False) -> Mode:
    """Say where this notebook runs and how; safe to call again."""
    threads = choose_threads("training" if train else "sampling")
    mode = Mode(fast=os.environ.get("MINISORA_FAST") == "1", train=train)
    device = "GPU" if torch.cuda.is_available() else "CPU"
    version = torch.__version__.split("+")[0]
    name = "FAST (test)" if mode.fast else "TRAIN" if train else "LOAD"
    print(
        f"minisora on {device}, threads: {threads} · Python {platform.python_version()} · "
        f"torch {version} · mode {name}"
    )
    return mode


class Html:
    """HTML that Jupyter shows, with words for those who do not see it."""

    def __init__(self, text: str, words: str):
        self.text = text
        self.words = words

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.text, "text/plain": self.words}


def page(*parts: str, style: str = "") -> str:
    """Parts one after the other on an opaque white ground."""
    base = "background:#fff;color:#000;font-size:13px;padding:4px"
    return f'<div style="{base};{style}">{"".join(parts)}</div>'


def side_by_side(*parts: str) -> str:
    """Parts side by side, in as many lines as the page needs."""
    return f'<div style="display:flex;flex-wrap:wrap;gap:10px">{"".join(parts)}</div>'


def table(rows: Iterable[Iterable[str]]) -> str:
    """Rows of cells that are HTML already; the first cell of a row is its name."""
    lines = []
    for name, *cells in rows:
        rest = "".join(f'<td style="padding:1px 8px">{cell}</td>' for cell in cells)
        lines.append(f'<tr><th style="text-align:left">{name}</th>{rest}</tr>')
    return f'<table style="font-size:13px;text-align:left">{"".join(lines)}</table>'


def picture(frame: np.ndarray, alt: str, size: int = 96) -> str:
    """One frame (H, W, 3) uint8 as an image tag, `size` pixels high."""
    return image_html(Image.fromarray(frame), alt, scale=size / len(frame))


def still(image: np.ndarray, label: str) -> str:
    """An image (H, W, 3) of numbers from 0 to 255 with its label, as HTML."""
    video = torch.from_numpy(image / 127.5 - 1).permute(2, 0, 1)[:, None]
    return Clip(video.float(), label, scale=1).html()


def film(video: torch.Tensor, alt: str, count: int = 6, scale: int = 3) -> str:
    """`count` frames of a video (3, T, H, W) side by side, as an image tag.

    Values outside of [-1, 1] are shown as the nearest end.
    """
    return image_html(Clip(video).strip(count, scale=1), alt, scale)


def drawn(figure: Any, words: str, dpi: int = 80) -> Html:
    """A matplotlib figure as `Html`; the words stand for it where it cannot be seen."""
    return Html(figure_html(figure, words, dpi), words)


def pipeline_map(lit: Iterable[str] = STAGES, pictures: dict[str, str] | None = None) -> str:
    """The stages from prompt to video as HTML.

    Args:
        lit: the stages that are bright.
        pictures: stage → HTML that stands under its name.
    """
    boxes = []
    for stage in STAGES:
        mark, border = "○", "border:2px solid #bbb;background:#f2f2f2;color:#555"
        if stage in lit:
            mark, border = "●", "border:2px solid #0072B2;background:#fff"
        below = (pictures or {}).get(stage, "")
        style = f"{border};border-radius:6px;padding:4px 8px;margin:2px;text-align:center"
        boxes.append(f'<div style="{style}"><b>{mark} {stage}</b><br>{below}</div>')
    arrow = '<div style="align-self:center;padding:0 2px">→</div>'
    return page(arrow.join(boxes), style="display:flex;flex-wrap:wrap")


def control(kind: str, name: str, about: str, width: str = "340px", **options: Any) -> Any:
    """A control of ipywidgets with its name before it and a tooltip over it."""
    import ipywidgets as w

    widget = getattr(w, kind)(
        description=name,
        style={"description_width": "110px"},
        layout=w.Layout(width=width),
        **options,
    )
    return tip(widget, about or name)


def tip(widget: Any, text: str) -> Any:
    """A tooltip under the name that this ipywidgets has for it."""
    name = "tooltip" if widget.has_trait("tooltip") else "description_tooltip"
    setattr(widget, name, text)
    return widget


def slider(
    name: str,
    value: float,
    low: float,
    high: float,
    step: float | None = None,
    about: str = "",
    width: str = "340px",
) -> Any:
    """A slider that answers when it is let go; whole numbers where `value` is one."""
    if isinstance(value, int):
        kind = "IntSlider"
        step = step or 1
    else:
        kind = "FloatSlider"
        step = step or (high - low) / 100
    bounds = {"value": value, "min": low, "max": high, "step": step}
    return control(kind, name, about, width, continuous_update=False, **bounds)


def menu(
    name: str, options: Iterable[Any], value: Any = None, about: str = "", width: str = "340px"
) -> Any:
    """A menu; `options` are words, or (word, value) pairs, and None chooses the first."""
    options = list(options)
    if value is None:
        value = options[0][1] if isinstance(options[0], tuple) else options[0]
    return control(
        "Dropdown", name, about or f"Choose the {name}", width, options=options, value=value
    )


def line(name: str, value: str = "", about: str = "", width: str = "690px") -> Any:
    """A line of text that answers when it is left."""
    return control("Text", name, about, width, value=value, continuous_update=False)


def sampling_controls(seed: int = 0, steps: int | None = None, upsample: bool = True) -> dict:
    """Controls for what `MiniSora.generate` leaves open; 0 steps stands for None."""
    counts = sorted({1, 2, 4, 8, 20, 50, steps or 1})
    number = [("as the prompt needs", 0), *((str(count), count) for count in counts)]
    adds = [("adds positions", True), ("is left out", False)]
    return {
        "num_inference_steps": menu("steps", number, steps or 0, "Steps from noise to clip"),
        "upsample": menu("upsampler", adds, upsample, "It makes the prompt longer"),
        "seed": slider("seed", seed, 0, 99, about="Which noise to start from"),
    }


def error_html(error: BaseException) -> str:
    """An error as one line; what is not the reader's mistake has its traceback folded under it."""
    message = str(error)
    details = ""
    if not isinstance(error, ValueError):
        first = message.splitlines()[0] if message else "stopped"
        message = f"{type(error).__name__}: {first}"
        trace = html.escape("".join(traceback.format_exception(error)))
        details = f"<details><summary>where it happened</summary><pre>{trace}</pre></details>"
    return f'<b style="color:{RED}">✗ {html.escape(message)}</b>{details}'


class Panel:
    """Controls, and under them what `render(**values of the controls)` makes of them.

    Every change of a control renders anew; with `button`, only a press does. An error of any kind
    is shown where the words would be, and the last picture stays. `box` is the widget, `values`
    what the controls say, `result` the last answer, and `press()` renders now.

    Args:
        render: the controls' values → Html; pure, and needs no ipywidgets.
        controls: name of an argument of `render` → its control.
        height: of the answer in pixels, fixed, so that the page does not jump.
        button: words on the button, for what takes longer than 0.3 s.
        wait: render nothing before the first press.
    """

    def __init__(
        self,
        render: Callable[..., Html],
        controls: dict[str, Any],
        height: int = 320,
        button: str = "",
        wait: bool = False,
    ):
        import ipywidgets as w

        self.render = render
        self.controls = controls
        self.result: Html | None = None
        self.words = w.HTML(layout=w.Layout(height="56px", overflow="auto"))
        self.output = answer_box(height)
        self.button = w.Button(description=button, tooltip=button, button_style="primary")
        rows = [flow_box(controls.values())]
        if button:
            self.button.on_click(lambda _: self.press())
            rows.append(self.button)
        else:
            for widget in controls.values():
                widget.observe(lambda _: self.press(), "value")
        self.box = w.VBox([*rows, self.words, self.output])
        if not wait:
            self.press()

    @property
    def values(self) -> dict[str, Any]:
        return {name: widget.value for name, widget in self.controls.items()}

    def press(self) -> None:
        """Render the present state; an error of any kind is shown in words."""
        if self.button.description:
            self.words.value = "working …"
        try:
            self.result = self.render(**self.values)
        except (Exception, KeyboardInterrupt) as error:
            self.words.value = error_html(error)
            return
        self.output.value = self.result.text
        self.words.value = html.escape(self.result.words)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.box)


def answer_box(height: int) -> Any:
    """A frame of fixed height for HTML."""
    import ipywidgets as w

    return w.HTML(layout=w.Layout(height=f"{height}px", overflow="auto", border="1px solid #bbb"))


def flow_box(widgets: Iterable[Any]) -> Any:
    """Controls side by side, in as many lines as they need."""
    import ipywidgets as w

    return w.HBox(list(widgets), layout=w.Layout(flex_flow="row wrap", width="720px"))
