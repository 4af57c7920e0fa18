"""The scene builder (notebook 01): menus and a seed → a clip, its captions, its slices through time, and what the judge reads."""

import html
import random

import torch

from minisora.measure.judge import Reading, read, verdict
from minisora.show.clip import Clip
from minisora.show.plots import figure_html, new_axes
from minisora.widgets.common import Html, Panel, menu, slider
from minisora.world.captions import caption, parse
from minisora.world.dataset import is_held_out, sample_scene
from minisora.world.render import render
from minisora.world.scene import (
    BACKGROUND_COLORS,
    COLORS,
    FPS,
    MOTIONS,
    SHAPES,
    SIZES,
    TEXTURES,
    Scene,
    simulate,
)


def slices(video: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut a clip along the row and the column that go through an object, frame by frame.

    Args:
        video: (3, T, H, W). positions: (T, 2) of the object, in half-widths.

    Returns:
        The x–t slice (3, T, W) and the y–t slice (3, T, H).
    """
    _, T, H, W = video.shape
    column, row = ((positions * min(H, W) + torch.tensor([W, H]) - 1) / 2).round().long().unbind(-1)
    frames = torch.arange(T)
    return video[:, frames, row.clamp(0, H - 1)], video.mT[:, frames, column.clamp(0, W - 1)]


def draw_slices(
    video: torch.Tensor, truth: torch.Tensor, seen: torch.Tensor | None = None, fps: float = FPS
) -> str:
    """Both slices of a clip (3, T, H, W) as an image tag, with the true track (T, 2) as a line and the one `seen` (T, 2) as dots."""
    _, T, H, W = video.shape
    x_t, y_t = (((cut + 1) / 2).numpy() for cut in slices(video, truth))
    truth = truth.numpy()
    half, w, h = 0.5 / fps, W / min(H, W), H / min(H, W)
    times = [frame / fps for frame in range(T)]
    end = times[-1] + half
    figure, (left, right) = new_axes(6.6, 2.9, columns=2)
    figure.set_layout_engine(
        "none"
    )  # fixed places: twice as fast to draw, and a slider waits for it
    left.set_position((0.085, 0.17, 0.39, 0.73))
    right.set_position((0.60, 0.17, 0.39, 0.73))
    left.imshow(
        x_t.transpose(1, 2, 0), extent=(-w, w, end, -half), aspect="auto", interpolation="nearest"
    )
    right.imshow(
        y_t.transpose(2, 1, 0), extent=(-half, end, h, -h), aspect="auto", interpolation="nearest"
    )
    for axes, name, xs, ys in (
        (left, "x–t", truth[:, 0], times),
        (right, "y–t", times, truth[:, 1]),
    ):
        axes.plot(xs, ys, color="white", linewidth=3.5)
        axes.plot(xs, ys, color="black", linewidth=1.3)
        axes.set_title(
            f"{name} slice (line: truth" + ("; dots: judge)" if seen is not None else ")"),
            fontsize=10,
        )
    if seen is not None:
        seen = seen.numpy()
        style = {
            "linestyle": "none",
            "marker": "o",
            "markersize": 4,
            "color": "white",
            "markeredgecolor": "black",
        }
        left.plot(seen[:, 0], times, **style)
        right.plot(times, seen[:, 1], **style)
    left.set(xlabel="x (half-widths)", ylabel="time (s), downwards")
    right.set(xlabel="time (s)", ylabel="y (half-widths), downwards")
    words = "x–t and y–t slices: one row and one column of pixels through the object in every frame, side by side, with its track"
    return figure_html(figure, words, dpi=75)


def render_scene(
    shape: str, color: str, size: str, motion: str, background: str, texture: str, seed: int
) -> Html:
    """Make the scene of a choice and a seed: clip, captions, slices, data, and what the judge reads.

    Raises:
        ValueError: a combination that the world does not make, such as a spinning circle.
    """
    held_out = is_held_out(shape, color)
    scene = sample_scene(
        seed,
        split="held_out" if held_out else "seen",
        shape=shape,
        color=color,
        size=size,
        motion=motion,
        background=background,
        texture=texture,
    )
    video = render([scene])[0]
    truth = simulate(scene).positions[:, 0]
    reading = read(video)
    full, short = (caption(scene, random.Random(seed), style) for style in ("descriptive", "short"))
    seen = reading.objects[0].positions if reading.objects else None
    split = (
        f"Held out: no training clip shows a {color} {shape}."
        if held_out
        else f"Seen: training has clips of a {color} {shape}."
    )
    judged = _judged(reading, truth, 16.0)
    judged += f" Held against the long caption: {verdict(reading, parse(full))}."
    rows = {
        "long caption": full,
        "short caption": short,
        "scene": _data(scene),
        "split": split,
        "judge": judged,
    }
    table = "".join(
        f'<tr><th style="text-align:left;padding-right:8px">{k}</th><td>{html.escape(v)}</td></tr>'
        for k, v in rows.items()
    )
    return Html(
        f'<div style="background:#fff;color:#000;font-size:13px;padding:4px"><div style="display:flex;flex-wrap:wrap;align-items:center">'
        f'{Clip(video, full).html()}{draw_slices(video, truth, seen)}</div><table style="vertical-align:top">{table}</table></div>',
        f"{full}. {split} {judged}",
    )


def _judged(reading: Reading, truth: torch.Tensor, unit: float) -> str:
    """What was seen, and how far from the truth; `unit` pixels are a half-width."""
    if not reading.objects:
        return f"It saw {reading}."
    thing = reading.objects[0]
    miss = (thing.positions - truth).square().sum(-1).nanmean().sqrt() * unit
    return f"It saw {reading}. Its track is {miss:.2f} pixels from the truth, and the law {thing.law.error * unit:.2f} pixels from the track."


def _data(scene: Scene) -> str:
    """The numbers of a solo scene that are not zero."""
    (thing,) = scene.objects
    numbers = {
        name: getattr(thing, name)
        for name in ("radius", "x", "y", "vx", "vy", "turn", "spin", "growth", "gravity")
    }
    return ", ".join(f"{name} {value:.2f}" for name, value in numbers.items() if value)


class SceneBuilder(Panel):
    """Menus for everything that a solo scene is, and a seed for what they leave open."""

    def __init__(self):
        controls = {
            "shape": menu(
                "shape", SHAPES, "star", "Outline; circle and ring cannot be seen spinning"
            ),
            "color": menu(
                "color",
                COLORS,
                "yellow",
                "Colour; six pairs of shape and colour are held out of training",
            ),
            "size": menu("size", SIZES, "small", "Small or large, at the first frame"),
            "motion": menu("motion", MOTIONS, "thrown", "The law that moves the object"),
            "background": menu("background", BACKGROUND_COLORS, "navy", "Colour of the stage"),
            "texture": menu("texture", TEXTURES, "plain", "Pattern of the stage"),
            "seed": slider(
                "seed",
                0,
                0,
                99,
                about="Decides what the menus leave open: place, speed, exact size",
            ),
        }
        super().__init__(render_scene, controls, height=460)
