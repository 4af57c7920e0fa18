"""The latent explorer (notebook 02): a clip's latents, changed by hand and decoded.

clips ── encode ──► latents (M, Cz, Tz, Hz, Wz) ── mix, scale, move ── decode ──► clip
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from minisora.pipeline import MiniSora
from minisora.show.clip import Clip
from minisora.show.latents import LatentBasis, latent_basis, latents_to_rgb
from minisora.widgets.common import Html, Panel, film, menu, page, side_by_side, slider, table

NONE = -1  # no channel, no axis


@dataclass(frozen=True, eq=False)
class Atlas:
    """Clips that were encoded ahead, and the axes and colours of their model's latents."""

    names: tuple[str, ...]
    latents: torch.Tensor  # (M, Cz, Tz, Hz, Wz), normalised
    basis: LatentBasis


def make_atlas(model: MiniSora, videos: torch.Tensor, names: Sequence[str]) -> Atlas:
    """Encode videos (M, 3, T, H, W)."""
    return Atlas(tuple(names), model.encode(videos).float().cpu(), latent_basis(model))


def change(
    atlas: Atlas,
    clip: int = 0,
    channel: int = NONE,
    scale: float = 1.0,
    other: int = 0,
    mix: float = 0.0,
    axis: int = NONE,
    walk: float = 0.0,
) -> torch.Tensor:
    """The latents (Cz, Tz, Hz, Wz) of a clip: mixed, one channel scaled, all cells moved.

    Args:
        scale: factor of the channel; 0 removes it.
        mix: 0 is the clip, 1 the other.
        walk: along the axis, in standard deviations.

    Raises:
        ValueError: no such clip, channel or axis, or a mix outside of [0, 1].
    """
    M, Cz = atlas.latents.shape[:2]
    for name, value, low, high in (
        ("clip", clip, 0, M),
        ("other", other, 0, M),
        ("channel", channel, NONE, Cz),
        ("axis", axis, NONE, Cz),
    ):
        if not low <= value < high:
            raise ValueError(f"{name}={value} is not there; it goes from {low} to {high - 1}")
    if not 0 <= mix <= 1:
        raise ValueError(f"mix={mix:g} is a fraction: between 0 and 1")
    latents = torch.lerp(atlas.latents[clip], atlas.latents[other], mix)
    if channel != NONE:
        latents[channel] *= scale
    if axis != NONE:
        step = atlas.basis.std[axis] * atlas.basis.axes[axis]
        latents += walk * step[:, None, None, None]
    return latents


def render_latents(
    model: MiniSora,
    atlas: Atlas,
    clip: int = 0,
    channel: int = NONE,
    scale: float = 1.0,
    other: int = 0,
    mix: float = 0.0,
    axis: int = NONE,
    walk: float = 0.0,
) -> Html:
    """Change a clip's latents (arguments of `change`), decode them, and show every channel."""
    latents = change(atlas, clip, channel, scale, other, mix, axis, walk)
    before, after = model.decode(torch.stack([atlas.latents[clip], latents]).to(model.device)).cpu()
    words = [f"“{atlas.names[clip]}”"]
    if mix:
        words.append(f"{100 * mix:.0f} % of the way to “{atlas.names[other]}”")
    if channel != NONE:
        words.append(f"channel {channel} × {scale:g}")
    if axis != NONE:
        words.append(f"{walk:+g} standard deviations along axis {axis + 1}")
    if torch.equal(latents, atlas.latents[clip]):
        words.append("unchanged")
    else:
        psnr = 10 * torch.log10(4 / (after - before).square().mean().clamp(min=1e-10))
        words.append(f"{float(psnr):.1f} dB (PSNR) against the unchanged clip")
    clips = Clip(before, "unchanged", scale=5).html() + Clip(after, "changed", scale=5).html()
    difference = 3 * (after - before).abs().mean(0, keepdim=True).expand(3, -1, -1, -1) - 1
    strip = film(difference, "difference, bright where pixels changed", 5, 2)
    left = f"<div>{clips}<br>difference × 3<br>{strip}</div>"
    right = f"<div>{_channels(atlas, latents, channel)}</div>"
    return Html(page(side_by_side(left, right)), f"{'; '.join(words)}.")


def _channels(atlas: Atlas, latents: torch.Tensor, chosen: int) -> str:
    """Three principal axes as colours, then every channel in grey from −3 (black) to 3 (white)."""
    Cz, Tz = latents.shape[:2]
    colors = latents_to_rgb(latents, atlas.basis)
    rows = []
    for c in range(Cz):
        alt = f"channel {c}, {Tz} latent frames"
        strip = film(latents[c].expand(3, -1, -1, -1) / 3, alt, Tz, 4)
        name = f"<b>▶ {c}</b>" if c == chosen else f"&nbsp; {c}"
        rows.append(
            f'<div><span style="display:inline-block;width:34px">{name}</span>{strip}</div>'
        )
    main = film(colors, "the three main axes as red, green and blue", Tz, 6)
    grid = f'<div style="display:grid;grid-template-columns:auto auto">{"".join(rows)}</div>'
    title = "axes 1, 2, 3 as red, green, blue; time runs to the right"
    return f"{title}<br>{main}<br>channels (black −3, white +3)<br>{grid}"


WALKS = (-2, -1, 0, 1, 2)  # standard deviations


def render_walks(model: MiniSora, atlas: Atlas, clip: int = 0, axes: int = 3) -> Html:
    """Move all cells of a clip along each of the first axes, and show its middle frame."""
    moved = [change(atlas, clip, axis=a, walk=step) for a in range(axes) for step in WALKS]
    videos = model.decode(torch.stack(moved).to(model.device)).cpu()
    frames = videos[:, :, videos.shape[2] // 2].unflatten(0, (axes, len(WALKS)))
    scale = max(1, 128 // frames.shape[-1])
    rows = []
    for a, row in enumerate(frames):
        alt = f"a frame at {', '.join(f'{step:+d}' for step in WALKS)} along axis {a + 1}"
        strip = film(row.transpose(0, 1), alt, len(WALKS), scale)
        rows.append((f"axis&nbsp;{a + 1}", strip))
    words = (
        f"“{atlas.names[clip]}”: all cells moved by {WALKS[0]} to {WALKS[-1]} standard deviations "
        f"along each of the first {axes} axes; the clip itself is in the middle"
    )
    return Html(page(table(rows)), words)


class LatentExplorer(Panel):
    """Menus and sliders around `render_latents`.

    Args:
        videos: (M, 3, T, H, W), encoded once.
        names: one for each.
    """

    def __init__(self, model: MiniSora, videos: torch.Tensor, names: Sequence[str]):
        self.atlas = make_atlas(model, videos, names)
        clips = [(name, i) for i, name in enumerate(names)]
        numbers = range(self.atlas.latents.shape[1])
        channels = [("none", NONE), *((str(c), c) for c in numbers)]
        axes = [("none", NONE), *((str(c + 1), c) for c in numbers)]
        controls = {
            "clip": menu("clip", clips, about="The clip whose latents are changed"),
            "other": menu("other clip", clips, len(clips) - 1, "The clip to mix with"),
            "channel": menu("channel", channels, about="The channel to scale"),
            "mix": slider("mix", 0.0, 0.0, 1.0, 0.05, "0 is the clip, 1 the other clip"),
            "scale": slider("scale", 1.0, -2.0, 3.0, 0.25, "Of the channel; 0 removes it"),
            "axis": menu("axis", axes, about="The principal axis; 1 is the longest"),
            "walk": slider("walk", 0.0, -3.0, 3.0, 0.25, "Standard deviations along the axis"),
        }

        def render(**values: Any) -> Html:
            return render_latents(model, self.atlas, **values)

        super().__init__(render, controls, height=400)
