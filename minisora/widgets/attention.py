"""The attention explorer (notebook 06): what one token attends to, in the clip and in the prompt.

token, block, head, noise level ──► weights over the grid (t, h, w) and over the words (S,)
"""

import html
from typing import Any

import numpy as np
import torch

from minisora.measure.network import AttentionMaps, attention_maps, attention_of
from minisora.pipeline import MiniSora
from minisora.show.clip import to_frames
from minisora.widgets.common import Html, Panel, line, menu, page, side_by_side, slider, still
from minisora.world.parse import understand

CIVIDIS = np.array(
    [(0, 34, 78), (53, 69, 108), (102, 105, 112), (148, 142, 119), (200, 184, 102), (254, 232, 56)],
    float,
)
ALL_HEADS = -1  # in the menu, in place of a head: the mean of all


def _outline(image: np.ndarray, top: int, left: int, tall: int, wide: int) -> None:
    """Draw a white box with a black line in it around a token."""
    for inset, color in ((0, 255), (2, 0)):
        box = image[top + inset : top + tall - inset, left + inset : left + wide - inset]
        box[:2] = color
        box[-2:] = color
        box[:, :2] = color
        box[:, -2:] = color


def _column(
    frame: np.ndarray, weights: np.ndarray, top: float, cell: tuple[int, int] | None
) -> np.ndarray:
    """A frame (H, W, 3) above the weights of its tokens (h, w), as one image.

    Args:
        top: the weight that is drawn in yellow.
        cell: row and column of the token that attends, where it is in this frame.
    """
    scale = max(1, 96 // min(frame.shape[:2]))
    tall = frame.shape[0] * scale // weights.shape[0]  # of a token on screen
    wide = frame.shape[1] * scale // weights.shape[1]
    steps = weights / top * (len(CIVIDIS) - 1)
    channels = [np.interp(steps, range(len(CIVIDIS)), channel) for channel in CIVIDIS.T]
    colors = np.stack(channels, axis=-1)  # (h, w, 3)
    above = np.kron(frame, np.ones((scale, scale, 1)))
    below = np.kron(colors, np.ones((tall, wide, 1)))
    if cell:
        row, column = cell
        for image in (above, below):
            _outline(image, row * tall, column * wide, tall, wide)
    width = above.shape[1]
    gap = np.full((4, width, 3), 255.0)
    return np.concatenate([above, gap, below[:, :width]])


def _bar(fraction: float, label: str = "") -> str:
    """A horizontal bar; its whole width is all of the attention."""
    bar = f'<div style="width:{96 * fraction:.0f}px;height:10px;background:#0072B2"></div>'
    ground = f'<div style="width:96px;height:10px;background:#ddd;margin:2px 4px">{bar}</div>'
    return f'<div style="display:flex;line-height:1.15">{ground}{label}</div>'


def _columns(
    video: torch.Tensor, weights: torch.Tensor, token: tuple[int, int, int], step: int
) -> list[str]:
    """Every latent frame: a still of the clip, the attention on it, and a bar for its part.

    Args:
        weights: (t, h, w). token: whose attention it is. step: pixel frames of a latent frame.
    """
    frames = to_frames(video)
    top = float(weights.max())
    columns = []
    for t, fraction in enumerate(weights.sum((1, 2)).tolist()):
        # the middle of its pixel frames: latent frame 0 is one of them, every other is `step`
        middle = frames[max(0, t * step - step // 2)]
        here = t == token[0]
        image = _column(middle, weights[t].numpy(), top, token[1:] if here else None)
        label = f"{'▶ ' if here else ''}frame {t}: {100 * fraction:.0f} %"
        columns.append(f"<div>{still(image, label)}{_bar(fraction)}</div>")
    return columns


def render_attention(
    model: MiniSora,
    video: torch.Tensor,
    prompt: str,
    frame: int = 2,
    row: int = 1,
    column: int = 1,
    block: int = 3,
    head: int = ALL_HEADS,
    sigma: float = 0.6,
    seed: int = 0,
    cache: dict[tuple, AttentionMaps] | None = None,
) -> Html:
    """Show what one token of a noisy clip (3, T, H, W) attends to, in the clip and in the prompt.

    Args:
        frame, row, column: the token, counted in tokens from 0.
        head: ALL_HEADS is the mean of all heads.
        cache: forward passes made before, by prompt, noise level and seed; filled here.

    Raises:
        ValueError: a token, block, head or noise level that is not there; or as `understand`.
    """
    understand(prompt, model)
    cache = {} if cache is None else cache
    key = (prompt, round(sigma, 3), seed)
    if key not in cache:
        cache[key] = attention_maps(model, video, prompt, sigma, seed)
    maps = cache[key]
    one_head = None if head == ALL_HEADS else head
    weights, word_weights = attention_of(maps, frame, row, column, block, one_head)
    top = float(weights.max())
    columns = _columns(video, weights, (frame, row, column), model.vae.config.patch_size[0])
    pairs = list(zip(maps.words, word_weights.tolist(), strict=True))
    bars = [_bar(part, f"{html.escape(word)} {100 * part:.0f} %") for word, part in pairs]
    most = sorted(pairs, key=lambda pair: -pair[1])[:3]
    which = "mean of all heads" if head == ALL_HEADS else f"head {head}"
    words = (
        f"Token (frame {frame}, row {row}, column {column}), block {block}, "
        f"{which}, σ = {sigma:.2f}, noise {seed}: "
        f"{100 * float(weights[frame].sum()):.0f} % of its attention stays in its own latent frame "
        f"(uniform attention would leave {100 / maps.grid[0]:.0f} %); "
        "in the prompt it attends most to "
        + ", ".join(f"{word} ({100 * part:.0f} %)" for word, part in most)
    )
    note = (
        f"Above the clip, below the attention: yellow is {100 * top:.1f} % on one token, dark blue "
        f"none. Uniform attention would give {100 / weights.numel():.1f} % to each."
    )
    return Html(page(side_by_side(*columns, f"<div>{''.join(bars)}</div>"), note), f"{words}.")


class AttentionExplorer(Panel):
    """Sliders for a token, a block, a head and a noise level; a line for the prompt.

    Forward passes are kept, so most changes cost none.
    """

    def __init__(self, model: MiniSora, video: torch.Tensor, prompt: str):
        first = attention_maps(model, video, prompt, 0.6)
        self.cache: dict[tuple, AttentionMaps] = {(prompt, 0.6, 0): first}
        t, h, w = first.grid
        depth = model.dit.config.depth
        heads = [("mean of all", ALL_HEADS)]
        heads += [(f"head {i}", i) for i in range(model.dit.config.num_heads)]
        controls = {
            "frame": slider("frame", t // 2, 0, t - 1, about="Latent frame of the token"),
            "sigma": slider("noise level σ", 0.6, 0.0, 1.0, 0.05, "How noisy the clip is"),
            "row": slider("row", h // 2, 0, h - 1, about="Row of the token, from the top"),
            "block": slider("block", depth // 2, 0, depth - 1, about="Which of the blocks"),
            "column": slider("column", w // 2, 0, w - 1, about="Column of the token"),
            "head": menu("head", heads, about="One head, or the mean of all"),
            "prompt": line("prompt", prompt, "The clip stays the same", "340px"),
            "seed": slider("noise", 0, 0, 9, about="Which noise lies on the clip"),
        }

        def render(**values: Any) -> Html:
            return render_attention(model, video, cache=self.cache, **values)

        super().__init__(render, controls, height=330)
