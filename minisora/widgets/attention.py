"""The attention explorer (notebook 06): pick a token, a block, a head and a noise level → where it looks, in the clip and in the prompt.

clip, prompt, sigma ── one forward pass ──► maps: self (depth, heads, N, N), cross (depth, heads, N, S) ── token ──► pictures
"""

import html
from dataclasses import dataclass

import numpy as np
import torch

from minisora.flow import add_noise
from minisora.layers import attention_maps as attention_maps_of
from minisora.patchify import Size, grid_of
from minisora.pipeline import MiniSora
from minisora.show.clip import Clip, to_frames
from minisora.widgets.common import Html, Panel, line, menu, slider

CIVIDIS = np.array(
    [(0, 34, 78), (53, 69, 108), (102, 105, 112), (148, 142, 119), (200, 184, 102), (254, 232, 56)],
    float,
)
MEAN = -1  # in place of a head: all heads together


@dataclass(frozen=True)
class Maps:
    """What every token looked at in one forward pass."""

    self_maps: torch.Tensor  # (depth, heads, N, N), rows sum to one
    cross_maps: torch.Tensor  # (depth, heads, N, S), rows sum to one
    words: list[str]  # S
    grid: Size


@torch.no_grad()
def attention_maps(
    model: MiniSora, video: torch.Tensor, prompt: str, sigma: float, seed: int = 0
) -> Maps:
    """Put noise on a clip (3, T, H, W), run the transformer once, and keep every map. ValueError for a word that it does not know."""
    if not 0 <= sigma <= 1:
        raise ValueError(
            f"sigma={sigma:g} is not a noise level; it lies between 0 (clean) and 1 (noise)"
        )
    ids, x_0 = model.tokenizer([prompt])[0], model.encode(video[None]).float()
    noise = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(seed)).to(x_0)
    x_t = add_noise(x_0, noise, torch.tensor(float(sigma)))
    with attention_maps_of(model.dit) as maps:
        model.velocity(x_t, sigma, ids)
    depth, grid = len(model.dit.blocks), grid_of(x_0.shape[2:], model.dit.config.patch_size)
    self_maps = [maps[f"blocks.{i}.attention"][0].float().cpu() for i in range(depth)]
    cross_maps = [maps[f"blocks.{i}.cross_attention"][0].float().cpu() for i in range(depth)]
    return Maps(
        torch.stack(self_maps),
        torch.stack(cross_maps),
        [*model.tokenizer.words(prompt), "(end)"],
        grid,
    )


def look_of(
    maps: Maps, frame: int, row: int, column: int, block: int, head: int = MEAN
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where one token looks: shares over the grid (t, h, w), and over the words (S,). ValueError where something is not there."""
    depth, heads = maps.self_maps.shape[:2]
    limits = {
        "frame": (frame, maps.grid[0]),
        "row": (row, maps.grid[1]),
        "column": (column, maps.grid[2]),
        "block": (block, depth),
    }
    for name, (value, count) in {**limits, "head": (head if head != MEAN else 0, heads)}.items():
        if not 0 <= value < count:
            raise ValueError(f"{name} {value} is not there; {name}s count from 0 to {count - 1}")
    token = (frame * maps.grid[1] + row) * maps.grid[2] + column
    pick = lambda m: m[block, :, token].mean(0) if head == MEAN else m[block, head, token]
    return pick(maps.self_maps).reshape(maps.grid), pick(maps.cross_maps)


def _outline(image: np.ndarray, top: int, left: int, tall: int, wide: int) -> None:
    """Draw a white box with a black line in it around a token."""
    for inset, color in ((0, 255), (2, 0)):
        box = image[top + inset : top + tall - inset, left + inset : left + wide - inset]
        box[:2] = box[-2:] = box[:, :2] = box[:, -2:] = color


def _column(
    still: np.ndarray, look: np.ndarray, top: float, cell: tuple[int, int] | None
) -> torch.Tensor:
    """A frame (H, W, 3) over the shares of its tokens (h, w), as a still (3, 1, ·, ·); `cell` is the token that looks."""
    scale = max(1, 96 // min(still.shape[:2]))
    tall, wide = (
        still.shape[0] * scale // look.shape[0],
        still.shape[1] * scale // look.shape[1],
    )  # of a token on screen
    steps = look / top * (len(CIVIDIS) - 1)
    heat = np.stack(
        [np.interp(steps, range(len(CIVIDIS)), CIVIDIS[:, c]) for c in range(3)], axis=-1
    )
    images = [np.kron(still, np.ones((scale, scale, 1))), np.kron(heat, np.ones((tall, wide, 1)))]
    if cell:
        for image in images:
            _outline(image, cell[0] * tall, cell[1] * wide, tall, wide)
    whole = np.concatenate([images[0], np.full((4, still.shape[1] * scale, 3), 255.0), images[1]])
    return torch.from_numpy(whole / 127.5 - 1).permute(2, 0, 1)[:, None].float()


def _bar(share: float, label: str = "") -> str:
    """A horizontal bar; its whole width is all of the attention."""
    bar = f'<div style="width:{96 * share:.0f}px;height:10px;background:#0072B2"></div>'
    return f'<div style="display:flex"><div style="width:96px;height:10px;background:#ddd;margin:2px 4px">{bar}</div>{label}</div>'


def render_attention(
    model: MiniSora,
    video: torch.Tensor,
    prompt: str,
    frame: int = 2,
    row: int = 1,
    column: int = 1,
    block: int = 3,
    head: int = MEAN,
    sigma: float = 0.6,
    seed: int = 0,
    cache: dict | None = None,
) -> Html:
    """Show where one token of a noisy clip (3, T, H, W) looks: in space, in time and in the prompt.

    Args:
        frame, row, column: the token, counted in tokens from 0. head: -1 is the mean of all.
        cache: forward passes made before, by prompt, noise level and seed; filled here.
    """
    cache, key = {} if cache is None else cache, (prompt, round(sigma, 3), seed)
    if key not in cache:
        cache[key] = attention_maps(model, video, prompt, sigma, seed)
    maps = cache[key]
    look, words = look_of(maps, frame, row, column, block, head)
    frames, step, top, columns = (
        to_frames(video),
        model.vae.config.patch_size[0],
        float(look.max()),
        [],
    )
    for t, share in enumerate(look.sum((1, 2)).tolist()):
        first, last = (
            max(0, (t - 1) * step + 1),
            t * step,
        )  # latent frame 0 is one pixel frame, every other is `step`
        still = _column(
            frames[(first + last) // 2], look[t].numpy(), top, (row, column) if t == frame else None
        )
        label = f"{'▶ ' if t == frame else ''}frame {t}: {100 * share:.0f} %"
        columns.append(f"<div>{Clip(still, label, scale=1).html()}{_bar(share)}</div>")
    lines = "".join(
        _bar(share, f"{html.escape(word)} {100 * share:.0f} %")
        for word, share in zip(maps.words, words.tolist(), strict=True)
    )
    read = ", ".join(
        f"{maps.words[i]} ({100 * words[i]:.0f} %)" for i in words.topk(min(3, len(words))).indices
    )
    text = (
        f"Token (frame {frame}, row {row}, column {column}), block {block}, {'all heads' if head == MEAN else f'head {head}'}, "
        f"σ = {sigma:.2f}, noise {seed}: {100 * float(look[frame].sum()):.0f} % of its attention stays in its own latent frame (an even spread "
        f"would leave {100 / maps.grid[0]:.0f} %); in the prompt it looks most at {read}."
    )
    note = f"Above the clip, below the attention: yellow is {100 * top:.1f} % on one token, dark blue none. An even spread: {100 / look.numel():.1f} %."
    return Html(
        f'<div style="background:#fff;color:#000;font-size:12px;padding:4px"><div style="display:flex;flex-wrap:wrap">{"".join(columns)}'
        f'<div style="line-height:1.15">{lines}</div></div>{note}</div>',
        text,
    )


class AttentionExplorer(Panel):
    """Sliders for a token, a block, a head and a noise level; a line for the prompt. Forward passes are kept, so most drags cost none."""

    def __init__(self, model: MiniSora, video: torch.Tensor, prompt: str):
        self.cache = {(prompt, 0.6, 0): attention_maps(model, video, prompt, 0.6)}
        (t, h, r), config = self.cache[prompt, 0.6, 0].grid, model.dit.config
        heads = [("all together", MEAN), *((f"head {i}", i) for i in range(config.num_heads))]
        controls = {
            "frame": slider(
                "frame", t // 2, 0, t - 1, about="Latent frame of the token that looks"
            ),
            "sigma": slider(
                "noise level σ", 0.6, 0.0, 1.0, 0.05, "How noisy the clip is that the network sees"
            ),
            "row": slider("row", h // 2, 0, h - 1, about="Row of the token, from the top"),
            "block": slider(
                "block",
                config.depth // 2,
                0,
                config.depth - 1,
                about="Which of the blocks, from the first",
            ),
            "column": slider(
                "column", r // 2, 0, r - 1, about="Column of the token, from the left"
            ),
            "head": menu("head", heads, about="One head, or the mean of all"),
            "prompt": line(
                "prompt", prompt, "What the network is told; the clip stays the same", width="340px"
            ),
            "seed": slider("noise", 0, 0, 9, about="Which noise lies on the clip"),
        }
        super().__init__(
            lambda **values: render_attention(model, video, cache=self.cache, **values),
            controls,
            height=330,
        )
