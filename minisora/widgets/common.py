"""What all widgets share: the set-up line of a notebook, pictures as HTML, and `Panel`, the controls around a pure `render(state)`.

The only folder that imports ipywidgets, and only when a widget is made. It uses what ipywidgets 7.7 and 8 share.
"""

import html
import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from PIL import Image

from minisora.show.clip import Clip, image_html
from minisora.show.plots import figure_html

STAGES = ("prompt", "text encoder", "noise", "transformer", "latents", "decoder", "video")


@dataclass(frozen=True)
class Mode:
    """How a notebook runs: `fast` for tests, `train` to train live."""

    fast: bool
    train: bool


def setup(train: bool = False) -> Mode:
    """Say where this notebook runs and how; safe to call again."""
    import platform

    mode = Mode(fast=os.environ.get("MINISORA_FAST") == "1", train=train)
    device = "GPU" if torch.cuda.is_available() else "CPU"
    name = "FAST (test)" if mode.fast else "TRAIN" if train else "LOAD"
    print(
        f"minisora on {device} · Python {platform.python_version()} · torch {torch.__version__.split('+')[0]} · mode {name}"
    )
    return mode


def picture(frame, alt: str, size: int = 96) -> str:
    """One frame (H, W, 3) uint8 as an image tag, `size` pixels high."""
    return image_html(Image.fromarray(frame), alt, scale=size / len(frame), colors=256)


def film(video: torch.Tensor, alt: str, count: int = 6, scale: int = 3) -> str:
    """`count` frames of a video (3, T, H, W) side by side, as an image tag; values outside of [-1, 1] are shown as the nearest end."""
    return image_html(Clip(video).strip(count, scale=1), alt, scale)


def pipeline_map(lit: tuple[str, ...] = STAGES, pictures: dict[str, str] | None = None) -> str:
    """The stages from prompt to video as HTML; `lit` ones are bright, and `pictures` (stage → HTML) stand under their names."""
    boxes = []
    for stage in STAGES:
        on = stage in lit
        style = (
            "border:2px solid #0072B2;background:#fff"
            if on
            else "border:2px solid #bbb;background:#f2f2f2;color:#555"
        )
        mark = "● " if on else "○ "
        boxes.append(
            f'<div style="{style};border-radius:6px;padding:4px 8px;margin:2px;text-align:center;vertical-align:top">'
            f"<b>{mark}{stage}</b><br>{(pictures or {}).get(stage, '')}</div>"
        )
    arrow = '<div style="align-self:center;padding:0 2px">→</div>'
    return f'<div style="display:flex;flex-wrap:wrap;background:#fff;color:#000;font-size:13px;padding:4px">{arrow.join(boxes)}</div>'


class Html:
    """HTML that Jupyter shows, with words for those who see none."""

    def __init__(self, text: str, words: str):
        self.text, self.words = text, words

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return {"text/html": self.text, "text/plain": self.words}


def drawn(figure, words: str, dpi: int = 80, colors: int = 64) -> Html:
    """A matplotlib figure as `Html`; the words stand for it where it cannot be seen."""
    return Html(figure_html(figure, words, dpi, colors), words)


def tip(widget, text: str):
    """A tooltip under the name that this ipywidgets has for it."""
    name = "tooltip" if widget.has_trait("tooltip") else "description_tooltip"
    setattr(widget, name, text)
    return widget


def slider(name: str, value, low, high, step=None, about: str = "", width: str = "340px"):
    """A slider that answers when it is let go: whole numbers where `value` is one."""
    import ipywidgets as w

    kind, step = (
        (w.IntSlider, step or 1)
        if isinstance(value, int)
        else (w.FloatSlider, step or (high - low) / 100)
    )
    style = {"description_width": "110px"}
    return tip(
        kind(
            value=value,
            min=low,
            max=high,
            step=step,
            description=name,
            continuous_update=False,
            style=style,
            layout=w.Layout(width=width),
        ),
        about or name,
    )


def menu(name: str, options, value=None, about: str = "", width: str = "340px"):
    """A menu; `options` are words, or (word, value) pairs."""
    import ipywidgets as w

    options = list(options)
    value = (
        value
        if value is not None
        else options[0][1]
        if isinstance(options[0], tuple)
        else options[0]
    )
    return tip(
        w.Dropdown(
            options=options,
            value=value,
            description=name,
            style={"description_width": "110px"},
            layout=w.Layout(width=width),
        ),
        about or f"Choose the {name}",
    )


def line(name: str, value: str = "", about: str = "", width: str = "690px"):
    """A line of text that answers when it is left."""
    import ipywidgets as w

    style = {"description_width": "110px"}
    return tip(
        w.Text(
            value=value,
            description=name,
            continuous_update=False,
            style=style,
            layout=w.Layout(width=width),
        ),
        about or name,
    )


class Panel:
    """Controls, and under them what `render(**values of the controls)` makes of them.

    Every change of a control renders anew; with `button`, only a press does. An error is shown where the answer would be. `box` is the
    widget, `values` what the controls say, `result` the last answer, `press()` renders now.

    Args:
        render: controls' values → Html; pure, and needs no ipywidgets.
        controls: name of an argument of `render` → its control.
        height: of the answer in pixels, fixed, so that the page does not jump.
        button: words on the button, for what takes longer than 0.3 s. wait: render nothing before the first press.
    """

    def __init__(
        self,
        render: Callable[..., "Html"],
        controls: dict,
        height: int = 320,
        button: str | None = None,
        wait: bool = False,
    ):
        import ipywidgets as w

        self.render, self.controls, self.result = render, controls, None
        self.output = w.HTML(
            layout=w.Layout(height=f"{height}px", overflow="auto", border="1px solid #bbb")
        )
        self.words = w.HTML(layout=w.Layout(height="56px", overflow="auto"))
        rows = [
            w.HBox(list(controls.values()), layout=w.Layout(flex_flow="row wrap", width="720px"))
        ]
        self.button = (
            w.Button(description=button, tooltip=button, button_style="primary") if button else None
        )
        if self.button:
            self.button.on_click(lambda _: self.press())
            rows.append(self.button)
        else:
            for control in controls.values():
                control.observe(lambda _: self.press(), "value")
        self.box = w.VBox([*rows, self.words, self.output])
        if not wait:
            self.press()

    @property
    def values(self) -> dict:
        return {name: control.value for name, control in self.controls.items()}

    def press(self) -> None:
        """Render the present state; an error is shown in words and the last picture stays."""
        self.words.value = "working …" if self.button else self.words.value
        try:
            self.result = self.render(**self.values)
        except ValueError as error:
            self.words.value = f'<b style="color:#D55E00">✗ {html.escape(str(error))}</b>'
            return
        self.output.value, self.words.value = self.result.text, html.escape(self.result.words)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.box)
