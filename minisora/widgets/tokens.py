"""The token explorer (notebook 03): sizes → tokens and what they cost; a token → its cube in the video and its place.

pixels (T, H, W) ── compressor ──► latent cells (Tz, Hz, Wz) ── patch_size ──► a grid (t, h, w) of N = t·h·w tokens
"""

from contextlib import suppress
from functools import cache, lru_cache
from math import prod

import numpy as np
import torch

from minisora.config import DiTConfig
from minisora.patchify import Size, grid_of, positions_of
from minisora.show.clip import Clip, to_frames
from minisora.show.plots import figure_html, new_axes
from minisora.vae import VideoVAE
from minisora.widgets.common import Html, Panel, menu, slider
from minisora.world.dataset import sample_scene
from minisora.world.render import render

BLUE, ORANGE, SKY = "#0072B2", "#D55E00", "#56B4E9"  # Okabe and Ito


@cache
def compressor() -> VideoVAE:
    """The compressor's sizes, without weights."""
    with torch.device("meta"):
        return VideoVAE()


def token_grid(num_frames: int, height: int, width: int, patch_size: Size) -> Size:
    """Tokens along frames, rows and columns of a clip in pixels; ValueError where something does not divide."""
    cells = compressor().latent_shape(num_frames, height, width)
    try:
        return grid_of(cells, patch_size)
    except ValueError as error:
        raise ValueError(
            f"{num_frames}×{height}×{width} pixels make {'×'.join(map(str, cells))} latents; of these, {error}"
        ) from None


def cube_of(token: int, grid: Size, patch_size: Size) -> tuple[range, range, range]:
    """Pixel frames, rows and columns that a token stands for: the first latent frame is one pixel frame, every other is four."""
    (f, r, c), (pt, ph, pw), (ct, ch, cw) = (
        map(int, np.unravel_index(token, grid)),
        patch_size,
        compressor().config.patch_size,
    )
    frames = range(max(f * pt * ct - (ct - 1), 0), (f + 1) * pt * ct - (ct - 1))
    return frames, range(r * ph * ch, (r + 1) * ph * ch), range(c * pw * cw, (c + 1) * pw * cw)


def forward_flops(num_tokens: int, config: DiTConfig = DiTConfig()) -> tuple[int, int]:  # noqa: B008
    """Floating-point operations of all blocks in one forward pass, as (linear layers, self-attention), without the prompt's own."""
    N, D = num_tokens, config.hidden_size
    linear = (
        2 * N * D**2 * (4 + 2 + 2 * config.mlp_ratio)
    )  # q, k, v, out; cross-attention's q, out; MLP up, down
    attention = 2 * N**2 * (D + D)  # Q Kᵀ, and the map times V
    return int(config.depth * linear), config.depth * attention


@lru_cache(16)
def _toy_frames(num_frames: int, height: int, width: int) -> np.ndarray:
    size = {"num_frames": num_frames, "height": height, "width": width}
    scene = sample_scene(
        5,
        shape="star",
        color="yellow",
        motion="circling",
        background="navy",
        texture="plain",
        **size,
    )
    return to_frames(render([scene], **size)[0])


def _film(
    frames: np.ndarray, lit: list[bool], rows: range, columns: range, scale: int
) -> torch.Tensor:
    """Frames (n, H, W, 3) side by side as a still (3, 1, h, w): pale, but for the cube in the lit ones, which has a line around it."""
    top, bottom, left, right = (
        scale * i for i in (rows.start, rows.stop, columns.start, columns.stop)
    )
    parts = []
    for frame, on in zip(frames.repeat(scale, 1).repeat(scale, 2), lit, strict=True):
        image = 0.2 * frame + 0.8 * 225.0
        if on:
            image[max(top - 2, 0) : bottom + 2, max(left - 2, 0) : right + 2] = (213, 94, 0)
            image[top:bottom, left:right] = frame[top:bottom, left:right]
        parts += [image, np.full((len(image), 2, 3), 255.0)]
    return (
        torch.from_numpy(np.concatenate(parts[:-1], axis=1) / 127.5 - 1)
        .permute(2, 0, 1)[:, None]
        .float()
    )


def _plot_places(grid: Size, token: int) -> str:
    """All places, one leaning sheet a frame, and the chosen one marked."""
    (t, h, w), (f, r, c) = grid, (axis.ravel() for axis in np.indices(grid))
    at = lambda f, r, c: (f * (0.6 * w + 1.2) + 0.6 * c, -r + 0.25 * c)
    figure, ax = new_axes(5.6, 2.9)
    for frame in range(t):
        ax.fill(
            *np.transpose(
                [
                    at(frame, i, j)
                    for i, j in ((-0.5, -0.5), (-0.5, w - 0.5), (h - 0.5, w - 0.5), (h - 0.5, -0.5))
                ]
            ),
            color="#EEEEEE",
        )
        ax.text(*at(frame, h, 0), f"frame {frame}" if t < 6 else frame, va="top", fontsize=8)
    x, y = at(f, r, c)
    ax.scatter(x, y, s=16, color=SKY, edgecolor=BLUE, linewidth=0.5)
    ax.scatter(x[token], y[token], s=110, marker="s", color=ORANGE, edgecolor="black", zorder=3)
    place = ", ".join(f"{number:g}" for number in positions_of(grid)[token].tolist())
    ax.set(title=f"token {token}: place ({place}) as frame, row, column")
    ax.set_axis_off()
    return figure_html(
        figure,
        f"places of all {len(x)} tokens, one sheet a frame; token {token} is marked at ({place})",
        dpi=80,
    )


@lru_cache(16)
def _plot_cost(num_tokens: int) -> str:
    """Cost of the linear layers and of attention against the number of tokens, in powers of ten, and where this clip stands."""
    figure, ax = new_axes(3.8, 2.9)
    for i, (name, style, mark) in enumerate(
        (("linear layers", "-", "o"), ("attention", "--", "s"))
    ):
        line = ax.plot(
            (0, 5),
            np.log10([forward_flops(n)[i] for n in (1, 100_000)]),
            style,
            color=(BLUE, ORANGE)[i],
            label=name,
        )[0]
        ax.plot(
            np.log10(num_tokens),
            np.log10(forward_flops(num_tokens)[i]),
            mark,
            color=line.get_color(),
            markeredgecolor="black",
        )
    ax.set_xticks(range(6), ["1", "10", "100", "1,000", "10⁴", "10⁵"])
    ax.set_yticks(range(4, 15, 2), ["10⁴", "10⁶", "10⁸", "10¹⁰", "10¹²", "10¹⁴"])
    ax.set(title="one forward pass", xlabel=f"tokens (here {num_tokens:,})", ylabel="FLOPs")
    ax.legend()
    return figure_html(
        figure,
        f"FLOPs against tokens: linear layers grow in proportion, attention as the square; here {num_tokens} tokens",
        dpi=80,
    )


def render_tokens(num_frames=17, height=32, width=32, p_t=1, p_h=2, p_w=2, token=38) -> Html:
    """Cut a toy clip (sizes in pixels) into tokens (sizes in latents), count them and their cost, and light up the cube of one.

    Raises ValueError for a size that does not divide, and for a token that the clip does not have.
    """
    patch_size = (p_t, p_h, p_w)
    grid = token_grid(num_frames, height, width, patch_size)
    N, latent_channels = prod(grid), DiTConfig().latent_channels
    if not 0 <= token < N:
        raise ValueError(f"there is no token {token}: this clip has {N}, from 0 to {N - 1}")
    frames, rows, columns = cube_of(token, grid, patch_size)
    f, r, c = map(int, np.unravel_index(token, grid))
    span = lambda pixels: f"{pixels[0]}" if len(pixels) == 1 else f"{pixels[0]} to {pixels[-1]}"
    linear, attention = (f"{flops / 1e9:.3g} GFLOPs" for flops in forward_flops(N))
    words = (
        f"{N} tokens = {' × '.join(map(str, grid))} (frames × rows × columns), {latent_channels * prod(patch_size)} numbers each. "
        f"One forward pass: linear layers {linear}, attention {attention}. Token {token} is frame {f}, row {r}, column {c} of that grid; "
        f"its cube is pixel frame{'s' * (len(frames) > 1)} {span(frames)}, rows {span(rows)}, columns {span(columns)}."
    )
    film, scale, clip = "", max(1, 64 // max(height, width)), _toy_frames(num_frames, height, width)
    for k in range((num_frames + 6) // 4):
        shown = range(max(4 * k - 3, 0), 4 * k + 1)
        still = _film(
            clip[shown.start : shown.stop], [i in frames for i in shown], rows, columns, scale
        )
        film += Clip(
            still, f"{'▶ ' * (shown[0] in frames)}latent frame {k} = pixel {span(shown)}", scale=1
        ).html()
    return Html(
        f'<div style="background:#fff;color:#000">{film}<br>{_plot_places(grid, token)}{_plot_cost(N)}<p>{words}</p></div>',
        words,
    )


class TokenExplorer(Panel):
    """Sizes of a clip and of a patch, and a slider over its tokens; the rest as `Panel`."""

    def __init__(self):
        sizes = {
            "num_frames": slider("frames", 17, 1, 33, 4, "Pixel frames: 4k + 1"),
            "p_t": menu("patch: frames", (1, 2, 4), 1, "Latent frames a token"),
            "height": slider("height", 32, 8, 64, 4, "Pixel rows"),
            "p_h": menu("patch: rows", (1, 2, 4), 2, "Latent rows a token"),
            "width": slider("width", 32, 8, 64, 4, "Pixel columns"),
            "p_w": menu("patch: columns", (1, 2, 4), 2, "Latent columns a token"),
        }
        super().__init__(
            render_tokens,
            sizes | {"token": slider("token", 38, 0, 79, 1, "Which cube lights up", "700px")},
            height=520,
        )

    def press(self) -> None:
        """Let the token slider end at the last token, then render."""
        sizes = [
            self.values[name] for name in ("num_frames", "height", "width", "p_t", "p_h", "p_w")
        ]
        with suppress(ValueError):  # what does not divide is said where the answer would be
            self.controls["token"].max = (
                prod(token_grid(*sizes[:3], tuple(sizes[3:]))) - 1
            )  # a token beyond it becomes the last one
        super().press()
