"""The token explorer (notebook 03): sizes → tokens and their cost; a token → its cube.

pixels (T, H, W) ── compressor ──► cells (Tz, Hz, Wz) ── patch_size ──► N = t·h·w tokens
"""

import math
from contextlib import suppress
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch

from minisora.config import PRESETS
from minisora.measure.speed import forward_flops
from minisora.patchify import Size, grid_of, positions_of
from minisora.show.clip import to_frames
from minisora.show.plots import figure_html, new_axes
from minisora.vae import VideoVAE
from minisora.widgets.common import Html, Panel, menu, page, slider, still
from minisora.world.dataset import sample_scene
from minisora.world.render import render

BLUE, ORANGE, SKY = "#0072B2", "#D55E00", "#56B4E9"  # Okabe and Ito
PRESET = PRESETS["tiny"]


@cache
def _compressor() -> VideoVAE:
    """The compressor's sizes, without weights."""
    with torch.device("meta"):
        return VideoVAE(PRESET.vae)


def token_grid(num_frames: int, height: int, width: int, patch_size: Size) -> Size:
    """Tokens along frames, rows and columns of a clip in pixels.

    Raises:
        ValueError: a size that does not divide.
    """
    cells = _compressor().latent_shape(num_frames, height, width)
    try:
        return grid_of(cells, patch_size)
    except ValueError as error:
        sizes = (
            f"{num_frames}×{height}×{width} pixels make {'×'.join(map(str, cells))} latent cells"
        )
        raise ValueError(f"{sizes}; of these, {error}") from None


def cube_of(token: int, grid: Size, patch_size: Size) -> tuple[range, range, range]:
    """Pixel frames, rows and columns that a token stands for.

    The first latent frame is one pixel frame, every other is four.
    """
    cell = PRESET.vae.patch_size
    spans = []
    for axis, position in enumerate(np.unravel_index(token, grid)):
        side = patch_size[axis] * cell[axis]
        start = int(position) * side
        spans.append(range(start, start + side))
    frames, rows, columns = spans
    before = cell[0] - 1  # frames that the first cell lacks
    frames = range(max(frames.start - before, 0), frames.stop - before)
    return frames, rows, columns


@lru_cache(16)
def _toy_frames(num_frames: int, height: int, width: int) -> np.ndarray:
    """Frames (T, H, W, 3) of a yellow star that circles."""
    scene = sample_scene(
        5,
        shape="star",
        color="yellow",
        motion="circling",
        background="navy",
        texture="plain",
        num_frames=num_frames,
        height=height,
        width=width,
    )
    return to_frames(render([scene], num_frames, height, width)[0])


def _lit_film(
    frames: np.ndarray, lit: list[bool], rows: range, columns: range, scale: int
) -> np.ndarray:
    """Frames (n, H, W, 3) side by side as one image: pale, but for the cube in the lit ones."""
    top = scale * rows.start
    bottom = scale * rows.stop
    left = scale * columns.start
    right = scale * columns.stop
    large = frames.repeat(scale, 1).repeat(scale, 2)
    gap = np.full((large.shape[1], 2, 3), 255.0)
    parts: list[np.ndarray] = []
    for frame, on in zip(large, lit, strict=True):
        image = 0.2 * frame + 0.8 * 225.0
        if on:
            image[max(top - 2, 0) : bottom + 2, max(left - 2, 0) : right + 2] = (213, 94, 0)
            image[top:bottom, left:right] = frame[top:bottom, left:right]
        parts += [image, gap]
    return np.concatenate(parts[:-1], axis=1)


def _plot_positions(grid: Size, token: int) -> str:
    """All positions, one leaning sheet a frame, and the chosen one marked."""
    t, h, w = grid

    def at(frame: Any, row: Any, column: Any) -> tuple[Any, Any]:
        return frame * (0.6 * w + 1.2) + 0.6 * column, -row + 0.25 * column

    figure, ax = new_axes(5.6, 2.9)
    rows = np.array([0, 0, h, h]) - 0.5  # of a sheet's corners
    columns = np.array([0, w, w, 0]) - 0.5
    for frame in range(t):
        ax.fill(*at(frame, rows, columns), color="#EEEEEE")
        name = f"frame {frame}" if t < 6 else str(frame)
        ax.text(*at(frame, h, 0), name, va="top", fontsize=8)
    x, y = at(*np.indices(grid).reshape(3, -1))
    ax.scatter(x, y, s=16, color=SKY, edgecolor=BLUE, linewidth=0.5)
    ax.scatter(x[token], y[token], s=110, marker="s", color=ORANGE, edgecolor="black", zorder=3)
    chosen = positions_of(grid)[token].tolist()
    position = ", ".join(f"{number:g}" for number in chosen)
    ax.set(title=f"token {token}: position ({position}) as frame, row, column")
    ax.set_axis_off()
    alt = f"positions of all {len(x)} tokens, one sheet a frame; token {token} is at ({position})"
    return figure_html(figure, alt)


@lru_cache(16)
def _plot_cost(num_tokens: int) -> str:
    """Operations of linear layers and of attention against the number of tokens."""
    figure, ax = new_axes(3.8, 2.9)
    styles = (("linear layers", BLUE, "-", "o"), ("attention", ORANGE, "--", "s"))
    for i, (name, color, line, mark) in enumerate(styles):
        ends = [math.log10(forward_flops(tokens)[i]) for tokens in (1, 100_000)]
        here = math.log10(forward_flops(num_tokens)[i])
        ax.plot((0, 5), ends, line, color=color, label=name)
        ax.plot(math.log10(num_tokens), here, mark, color=color, markeredgecolor="black")
    ax.set_xticks(range(6), ["1", "10", "100", "1,000", "10⁴", "10⁵"])
    ax.set_yticks(range(4, 15, 2), ["10⁴", "10⁶", "10⁸", "10¹⁰", "10¹²", "10¹⁴"])
    ax.set(title="one forward pass", xlabel=f"tokens (here {num_tokens:,})", ylabel="FLOPs")
    ax.legend()
    alt = (
        "FLOPs against tokens: linear layers grow in proportion, attention as the square; "
        f"here {num_tokens} tokens"
    )
    return figure_html(figure, alt)


def _span(pixels: range) -> str:
    return f"{pixels[0]}" if len(pixels) == 1 else f"{pixels[0]} to {pixels[-1]}"


def _words(grid: Size, patch_size: Size, token: int) -> str:
    """Number of tokens, their cost, and the cube of one."""
    count = math.prod(grid)
    numbers = PRESET.dit.latent_channels * math.prod(patch_size)
    linear, attention = (f"{flops / 1e9:.3g} GFLOPs" for flops in forward_flops(count))
    frame, row, column = map(int, np.unravel_index(token, grid))
    frames, rows, columns = cube_of(token, grid, patch_size)
    name = "pixel frame" if len(frames) == 1 else "pixel frames"
    return (
        f"{count} tokens = {' × '.join(map(str, grid))} (frames × rows × columns), "
        f"{numbers} numbers each. One forward pass: linear layers {linear}, "
        f"attention {attention}. Token {token} is "
        f"frame {frame}, row {row}, column {column} of that grid; "
        f"its cube is {name} {_span(frames)}, rows {_span(rows)}, columns {_span(columns)}."
    )


def render_tokens(
    num_frames: int = 17,
    height: int = 32,
    width: int = 32,
    p_t: int = 1,
    p_h: int = 2,
    p_w: int = 2,
    token: int = 38,
) -> Html:
    """Cut a toy clip into tokens of p_t × p_h × p_w cells, and light up the cube of one.

    Raises:
        ValueError: a size that does not divide, or a token that the clip does not have.
    """
    patch_size = (p_t, p_h, p_w)
    grid = token_grid(num_frames, height, width, patch_size)
    count = math.prod(grid)
    if not 0 <= token < count:
        raise ValueError(f"there is no token {token}: this clip has {count}, from 0 to {count - 1}")
    frames, rows, columns = cube_of(token, grid, patch_size)
    clip = _toy_frames(num_frames, height, width)
    scale = max(1, 64 // max(height, width))
    films = []
    for k in range(_compressor().latent_shape(num_frames, height, width)[0]):
        shown = range(max(4 * k - 3, 0), 4 * k + 1)
        lit = [frame in frames for frame in shown]
        image = _lit_film(clip[shown.start : shown.stop], lit, rows, columns, scale)
        label = f"{'▶ ' if any(lit) else ''}latent frame {k} = pixel {_span(shown)}"
        films.append(still(image, label))
    words = _words(grid, patch_size, token)
    plots = _plot_positions(grid, token) + _plot_cost(count)
    return Html(page(*films, "<br>", plots, f"<p>{words}</p>"), words)


class TokenExplorer(Panel):
    """Sizes of a clip and of a patch, and a slider over its tokens; the rest as `Panel`."""

    def __init__(self) -> None:
        sizes = (1, 2, 4)
        controls = {
            "num_frames": slider("frames", 17, 1, 33, 4, "Pixel frames: 4k + 1"),
            "p_t": menu("patch: frames", sizes, 1, "Latent frames a token"),
            "height": slider("height", 32, 8, 64, 4, "Pixel rows"),
            "p_h": menu("patch: rows", sizes, 2, "Latent rows a token"),
            "width": slider("width", 32, 8, 64, 4, "Pixel columns"),
            "p_w": menu("patch: columns", sizes, 2, "Latent columns a token"),
            "token": slider("token", 38, 0, 79, 1, "Which cube lights up", "700px"),
        }
        super().__init__(render_tokens, controls, height=520)

    def press(self) -> None:
        """Let the token slider end at the last token, then render."""
        v = self.values
        patch_size = (v["p_t"], v["p_h"], v["p_w"])
        with suppress(ValueError):  # `render` says what does not divide
            grid = token_grid(v["num_frames"], v["height"], v["width"], patch_size)
            self.controls["token"].max = math.prod(grid) - 1
        super().press()
