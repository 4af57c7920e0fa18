"""The scene builder (notebook 01): menus and a seed → a clip, captions, slices, the judge.

shape, colour, size, motion, background, texture, seed ──► Scene ── render ──► video (3, 17, 32, 32)
"""

import html
import random
from typing import Any

import torch

from minisora.measure.judge import Reading, read, verdict
from minisora.show.clip import Clip
from minisora.show.plots import figure_html, new_axes
from minisora.widgets.common import Html, Panel, menu, page, side_by_side, slider, table
from minisora.world.captions import caption
from minisora.world.dataset import is_held_out, sample_scene
from minisora.world.families import SOLO_MOTIONS
from minisora.world.parse import parse
from minisora.world.render import render
from minisora.world.scene import (
    BACKGROUND_COLORS,
    COLORS,
    FPS,
    SHAPES,
    SIZES,
    TEXTURES,
    Scene,
    simulate,
)


def slices(video: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut a clip along the row and the column that go through an object, frame by frame.

    Args:
        video: (3, T, H, W).
        positions: (T, 2) of the object, in half-widths.

    Returns:
        The x–t slice (3, T, W) and the y–t slice (3, T, H).
    """
    _, T, H, W = video.shape
    pixels = (positions * min(H, W) + torch.tensor([W, H]) - 1) / 2
    column, row = pixels.round().long().unbind(-1)
    frames = torch.arange(T)
    return video[:, frames, row.clamp(0, H - 1)], video.mT[:, frames, column.clamp(0, W - 1)]


def draw_slices(
    video: torch.Tensor, track: torch.Tensor, seen: torch.Tensor | None = None, fps: float = FPS
) -> str:
    """Both slices of a clip (3, T, H, W) as an image tag.

    Args:
        track: true positions (T, 2), drawn as a line.
        seen: positions (T, 2) that the judge read, drawn as dots.
    """
    _, T, H, W = video.shape
    w, h = W / min(H, W), H / min(H, W)  # half of the frame in half-widths
    times = torch.arange(T) / fps
    first, last = -0.5 / fps, (T - 0.5) / fps
    x_t, y_t = (((part + 1) / 2).numpy() for part in slices(video, track))
    figure, (left, right) = new_axes(6.6, 2.9, columns=2)
    figure.set_layout_engine("none")  # fixed positions: twice as fast, and a slider waits for it
    left.set_position((0.085, 0.17, 0.39, 0.73))
    right.set_position((0.60, 0.17, 0.39, 0.73))
    shown: dict[str, Any] = {"aspect": "auto", "interpolation": "nearest"}
    left.imshow(x_t.transpose(1, 2, 0), extent=(-w, w, last, first), **shown)
    right.imshow(y_t.transpose(2, 1, 0), extent=(first, last, h, -h), **shown)
    dots: dict[str, Any] = {"color": "white", "markeredgecolor": "black", "markersize": 4}
    for positions, is_line in ((track, True), (seen, False)):
        if positions is None:
            continue
        for axes, xs, ys in ((left, positions[:, 0], times), (right, times, positions[:, 1])):
            if is_line:
                axes.plot(xs, ys, color="white", linewidth=3.5)
                axes.plot(xs, ys, color="black", linewidth=1.3)
            else:
                axes.plot(xs, ys, "o", **dots)
    legend = "line: ground truth" if seen is None else "line: ground truth; dots: judge"
    left.set_title(f"x–t slice ({legend})", fontsize=9)
    right.set_title(f"y–t slice ({legend})", fontsize=9)
    left.set(xlabel="x (half-widths)", ylabel="time (s), downwards")
    right.set(xlabel="time (s)", ylabel="y (half-widths), downwards")
    alt = (
        "x–t and y–t slices: one row and one column of pixels through the object in every frame, "
        "side by side, with its track"
    )
    return figure_html(figure, alt, dpi=75)


def render_scene(
    shape: str, color: str, size: str, motion: str, background: str, texture: str, seed: int
) -> Html:
    """Make the scene of a choice and a seed: clip, captions, slices, and what the judge reads.

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
    track = simulate(scene).positions[:, 0]
    reading = read(video)
    seen = reading.objects[0].positions if reading.objects else None
    long = caption(scene, random.Random(seed), "descriptive")
    short = caption(scene, random.Random(seed), "short")
    split = f"Seen: training has clips of a {color} {shape}."
    if held_out:
        split = f"Held out: no training clip shows a {color} {shape}."
    judged = f"{_judged(reading, track)} By the long caption: {verdict(reading, parse(long))}."
    facts = {
        "long caption": long,
        "short caption": short,
        "scene": _numbers(scene),
        "split": split,
        "judge": judged,
    }
    pictures = side_by_side(Clip(video, long).html(), draw_slices(video, track, seen))
    rows = [(name, html.escape(value)) for name, value in facts.items()]
    return Html(page(pictures, table(rows)), f"{long}. {split} {judged}")


def _judged(reading: Reading, track: torch.Tensor, half_width: float = 16.0) -> str:
    """What was seen, and how far from the true track, in pixels."""
    if not reading.objects:
        return f"It saw {reading}."
    seen = reading.objects[0]
    error = (seen.positions - track).square().sum(-1).nanmean().sqrt() * half_width
    return (
        f"It saw {reading}. Its track is {error:.2f} pixels from the true one, and the law "
        f"{seen.law.error * half_width:.2f} pixels from the track."
    )


def _numbers(scene: Scene) -> str:
    """The numbers of a scene with one object that are not zero."""
    values = vars(scene.objects[0]).items()
    numbers = {name: value for name, value in values if isinstance(value, float) and value}
    return ", ".join(f"{name} {value:.2f}" for name, value in numbers.items())


class SceneBuilder(Panel):
    """Menus for everything that a scene with one object is, and a seed for what they leave open."""

    def __init__(self) -> None:
        pairs = "Six pairs of shape and colour are held out of training"
        open_ = "Decides what the menus leave open: position, speed, exact size"
        controls = {
            "shape": menu("shape", SHAPES, "star", "A spinning circle or ring cannot be seen"),
            "color": menu("color", COLORS, "yellow", pairs),
            "size": menu("size", SIZES, "small", "Small or large, at the first frame"),
            "motion": menu("motion", SOLO_MOTIONS, "thrown", "The law that moves the object"),
            "background": menu("background", BACKGROUND_COLORS, "navy", "Its colour"),
            "texture": menu("texture", TEXTURES, "plain", "Pattern of the background"),
            "seed": slider("seed", 0, 0, 99, about=open_),
        }
        super().__init__(render_scene, controls, height=460)
