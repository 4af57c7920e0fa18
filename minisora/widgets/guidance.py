"""The guidance desk (notebook 08): one prompt at several guidance scales from one noise, and what each word of it moves.

prompt, negative prompt, scales, seed ── one batch ──► videos (G, 3, T, H, W)
prompt, seed ── leave one word out at a time ──► changes of velocity (words, noise levels, N) ──► shares of the words
"""

import html

import torch

from minisora.config import GUIDANCE_SCALE
from minisora.device import autocast
from minisora.flow import sigma_schedule
from minisora.measure.judge import read, verdict
from minisora.patchify import Size, grid_of, patchify, positions_of, unpatchify
from minisora.pipeline import MiniSora
from minisora.sampling import euler, guided
from minisora.show.clip import Clip
from minisora.widgets.common import Html, Panel, line, slider
from minisora.world.captions import parse

WALK = 8  # steps of the walk on which words are compared
STOPS = (0, 4, 7)  # its steps at which they are: σ = 1, 0.75 and 0.3 at the preset's shift


def _start(model: MiniSora, rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, Size]:
    """The preset's noise of this seed as tokens (rows, N, P), the same in every row, their positions, and the grid."""
    preset, patch = model.preset, model.dit.config.patch_size
    shape = model.vae.latent_shape(preset.num_frames, preset.height, preset.width)
    noise = torch.randn(
        1, preset.vae.latent_channels, *shape, generator=torch.Generator().manual_seed(seed)
    )
    grid = grid_of(shape, patch)
    return (
        patchify(noise, patch).to(model.device).repeat(rows, 1, 1),
        positions_of(grid, device=model.device),
        grid,
    )


@torch.no_grad()
def at_scales(
    model: MiniSora,
    prompt: str,
    negative_prompt: str,
    scales: list[float],
    num_inference_steps: int = 10,
    seed: int = 0,
) -> torch.Tensor:
    """Make one clip for each guidance scale, (G, 3, T, H, W), all from the same noise and in one batch.

    A row at scale 0 never asks with the prompt, a row at scale 1 never with the negative one; what is not asked counts as zero.
    """
    tokens, positions, grid = _start(model, len(scales), seed)
    ids = model.tokenizer([prompt, negative_prompt])[0].to(model.device)
    scale = torch.tensor(scales, device=model.device)
    asks = [(0, i) for i, s in enumerate(scales) if s != 0] + [
        (1, i) for i, s in enumerate(scales) if s != 1
    ]
    side, row = torch.tensor(asks, device=model.device).T
    with autocast(model.device):
        words = model.text.read(ids, grid)

        def velocity(tokens: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
            both = tokens.new_zeros(2, *tokens.shape)
            both[side, row] = model.dit(
                tokens[row], sigma[row], positions, *(part[side] for part in words)
            )
            return both[1] + scale[:, None, None] * (both[0] - both[1])

        tokens = euler(
            velocity, tokens, sigma_schedule(num_inference_steps, model.preset.shift, model.device)
        )
        return model.decode(unpatchify(tokens, grid, model.dit.config.patch_size))


@torch.no_grad()
def word_changes(
    model: MiniSora, prompt: str, seed: int = 0
) -> tuple[list[str], torch.Tensor, Size]:
    """Leave out one word at a time, and see how far the velocity of every token moves.

    The noisy tokens are those of a walk under the whole prompt, at three noise levels.

    Returns:
        The words, the changes (words, levels, N), each a root mean square over a token's numbers, and the grid of the tokens.

    Raises:
        ValueError: a word that the model never met.
    """
    words = model.tokenizer.words(prompt)
    texts = [prompt, *(" ".join(words[:i] + words[i + 1 :]) for i in range(len(words)))]
    ids = model.tokenizer(texts)[0].to(model.device)
    tokens, positions, grid = _start(model, 1, seed)
    sigmas, kept = sigma_schedule(WALK, model.preset.shift, model.device)[: STOPS[-1] + 2], []
    with autocast(model.device):
        words_read = model.text.read(ids, grid)
        first = tuple(part[:1] for part in words_read)
        whole = guided(model.dit, positions, first, first, 1.0)
        euler(
            whole,
            tokens,
            sigmas,
            callback=lambda step, sigma, x, x_0: kept.append(x) if step in STOPS else None,
        )
        x = torch.cat(kept).repeat_interleave(len(texts), 0)  # (levels · texts, N, P)
        level = sigmas[list(STOPS)].repeat_interleave(len(texts))[:, None].expand(x.shape[:2])
        velocity = model.dit(
            x, level, positions, *(torch.cat([part] * len(STOPS)) for part in words_read)
        )
    velocity = velocity.float().view(len(STOPS), len(texts), *x.shape[1:])
    return (
        words,
        (velocity[:, 1:] - velocity[:, :1]).square().mean(-1).sqrt().transpose(0, 1).cpu(),
        grid,
    )


def word_importance(model: MiniSora, prompt: str, seed: int = 0) -> list[tuple[str, float]]:
    """Word → its share of all the change that leaving words out makes, the mean over three noise levels; the shares sum to 1."""
    words, changes, _ = word_changes(model, prompt, seed)
    moved = changes.square().mean(-1).sqrt()  # (words, levels)
    return list(zip(words, (moved / moved.sum(0).clamp(min=1e-12)).mean(-1).tolist(), strict=True))


def word_bars(shares: list[tuple[str, float]]) -> str:
    """Words with their shares as bars; the longest bar is the word that moves most."""
    top = max((share for _, share in shares), default=1.0) or 1.0
    rows = []
    for word, share in shares:
        bar = f'<div style="width:{150 * share / top:.0f}px;height:11px;background:#0072B2"></div>'
        rows.append(
            f'<tr><td style="text-align:right">{html.escape(word)}</td><td>{bar}</td><td>{100 * share:.0f} %</td></tr>'
        )
    table = "".join(rows) or "<tr><td>an empty prompt has no words</td></tr>"
    return f'<table style="background:#fff;color:#000;line-height:1;font-size:12px"><caption>what each word moves</caption>{table}</table>'


def render_guidance(
    model: MiniSora,
    prompt: str,
    negative_prompt: str = "",
    guidance_scale: float = GUIDANCE_SCALE,
    num_inference_steps: int = 10,
    seed: int = 0,
) -> Html:
    """Show a prompt at guidance 0, 1 and the chosen scale, what the judge says of each clip, and what each word moves."""
    scales = sorted({0.0, 1.0, float(guidance_scale)})
    videos = at_scales(model, prompt, negative_prompt, scales, num_inference_steps, seed)
    shares = word_importance(model, prompt, seed)
    meaning = {
        0.0: f"the negative prompt alone ({negative_prompt or 'empty'})",
        1.0: "the prompt alone",
    }
    shown, said = [], []
    for scale, video in zip(scales, videos, strict=True):
        seen = read(video)
        try:
            answer = str(verdict(seen, parse(prompt)))
        except ValueError as error:
            answer = f"the judge cannot hold that against the prompt: {error}"
        said.append(f"guidance {scale:g}: the judge saw {seen}; {answer}")
        label = f"guidance {scale:g}: {meaning.get(scale, 'beyond the prompt' if scale > 1 else 'between the two')}"
        clip = Clip(video, label, scale=5).html()
        shown.append(
            f'<div style="width:176px;line-height:1.2">{clip}{"✓ " if answer == "as asked" else "✗ "}{html.escape(answer)}</div>'
        )
    words = f"{'. '.join(said)}. {num_inference_steps} steps, seed {seed}."
    if shares:
        words += (
            " What each word moves: "
            + ", ".join(f"{word} {100 * share:.0f} %" for word, share in shares)
            + "."
        )
    style = "display:flex;flex-wrap:wrap;align-items:flex-start;gap:10px;background:#fff;color:#000;font-size:12px;padding:4px"
    return Html(f'<div style="{style}">{"".join(shown)}{word_bars(shares)}</div>', words)


class GuidanceDesk(Panel):
    """Two lines, three sliders and a button around `render_guidance`."""

    def __init__(
        self, model: MiniSora, prompt: str = "a large red star moving right on a navy background"
    ):
        controls = {
            "prompt": line("prompt", prompt, "What the clip should show"),
            "negative_prompt": line(
                "negative", "", "What guidance moves away from; empty is the null prompt"
            ),
            "guidance_scale": slider(
                "guidance",
                GUIDANCE_SCALE,
                0.0,
                8.0,
                0.5,
                "0 is the negative prompt alone, 1 the prompt alone",
            ),
            "num_inference_steps": slider("steps", 8, 1, 20, about="Steps from noise to clip"),
            "seed": slider("seed", 0, 0, 99, about="Which noise to start from"),
        }
        super().__init__(
            lambda **values: render_guidance(model, **values),
            controls,
            height=330,
            button="Make the clips",
        )
