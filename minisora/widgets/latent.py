"""The latent explorer (notebook 02): a clip's latents, channel by channel, changed by hand and read back."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from minisora.pipeline import MiniSora
from minisora.show.clip import Clip
from minisora.widgets.common import Html, Panel, film, menu, slider

NONE = -1  # no channel, no axis


@dataclass(frozen=True, eq=False)
class Atlas:
    """Clips that were encoded ahead, and the directions in which their cells vary most."""

    names: tuple[str, ...]
    latents: torch.Tensor  # (M, Cz, Tz, Hz, Wz), normalised
    axes: torch.Tensor  # (Cz, Cz): a row is a direction, the one of largest spread first
    spread: torch.Tensor  # (Cz,): standard deviation of the cells along each


def make_atlas(model: MiniSora, videos: torch.Tensor, names: Sequence[str]) -> Atlas:
    """Encode videos (M, 3, T, H, W), and find the principal axes of all their cells."""
    latents = model.encode(videos).float().cpu()
    cells = latents.movedim(1, -1).flatten(0, -2)  # (cells, Cz)
    _, spread, axes = torch.linalg.svd(cells - cells.mean(0), full_matrices=False)
    return Atlas(tuple(names), latents, axes, spread / len(cells) ** 0.5)


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
    """The latents (Cz, Tz, Hz, Wz) of a clip, mixed with another's, with one channel scaled, and all cells moved along one axis.

    Args:
        scale: factor of the channel; 0 knocks it out. mix: 0 is the clip, 1 the other. walk: in standard deviations along the axis.

    Raises:
        ValueError: no such clip, channel or axis, or a mix outside [0, 1].
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
        raise ValueError(f"mix={mix:g} is a share: between 0 and 1")
    latents = torch.lerp(atlas.latents[clip], atlas.latents[other], mix)
    if channel != NONE:
        latents[channel] *= scale
    if axis != NONE:
        latents += walk * atlas.spread[axis] * atlas.axes[axis][:, None, None, None]
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
    """Change a clip's latents (arguments of `change`), read them back, and show both with every channel as a film strip."""
    latents = change(atlas, clip, channel, scale, other, mix, axis, walk)
    before, after = model.decode(torch.stack([atlas.latents[clip], latents]).to(model.device)).cpu()
    difference = 3 * (after - before).abs().mean(0, keepdim=True).expand(3, -1, -1, -1) - 1
    same = torch.equal(latents, atlas.latents[clip])
    words = [f"“{atlas.names[clip]}”"]
    words += [f"{100 * mix:.0f} % of the way to “{atlas.names[other]}”"] * (mix > 0)
    words += [f"channel {channel} × {scale:g}"] * (channel != NONE)
    words += [f"{walk:+g} standard deviations along axis {axis + 1}"] * (axis != NONE)
    error = (after - before).square().mean().clamp(min=1e-10)
    words.append(
        "unchanged"
        if same
        else f"{float(10 * torch.log10(4 / error)):.1f} dB (PSNR) against the unchanged clip"
    )
    clips = Clip(before, "unchanged", scale=5).html() + Clip(after, "changed", scale=5).html()
    strip = film(difference, "difference, bright where pixels changed", 5, 2)
    return Html(
        '<div style="display:flex;flex-wrap:wrap;background:#fff;color:#000;font-size:12px">'
        f'<div style="margin-right:12px">{clips}<br>difference × 3<br>{strip}</div><div>{_channels(atlas, latents, channel)}</div></div>',
        "; ".join(words) + ".",
    )


def _channels(atlas: Atlas, latents: torch.Tensor, chosen: int) -> str:
    """Three principal axes as colours, then every channel in grey from -3 (black) to 3 (white) standard deviations."""
    Cz, Tz = latents.shape[:2]
    colors = torch.einsum("ac,cthw->athw", atlas.axes[:3], latents) / (
        2 * atlas.spread[:3, None, None, None]
    )
    rows = []
    for c in range(Cz):
        image = film(
            latents[c].expand(3, -1, -1, -1) / 3, f"channel {c}, {Tz} latent frames", Tz, 4
        )
        style = (
            "border:2px solid #D55E00;font-weight:bold" if c == chosen else "border:2px solid #fff"
        )
        mark = "▶" if c == chosen else "&nbsp;"
        rows.append(
            f'<div style="{style}"><span style="display:inline-block;width:34px">{mark} {c}</span>{image}</div>'
        )
    main = film(colors, "the three main axes as red, green and blue", Tz, 6)
    grid = f'<div style="display:grid;grid-template-columns:auto auto">{"".join(rows)}</div>'
    return f"axes 1, 2, 3 as red, green, blue; time runs to the right<br>{main}<br>channels (black −3, white +3)<br>{grid}"


class LatentExplorer(Panel):
    """Menus and sliders around `render_latents`. Args: videos (M, 3, T, H, W), encoded once, and a name for each."""

    def __init__(self, model: MiniSora, videos: torch.Tensor, names: Sequence[str]):
        self.atlas = make_atlas(model, videos, names)
        clips = [(name, i) for i, name in enumerate(names)]
        numbers = range(self.atlas.latents.shape[1])
        controls = {
            "clip": menu("clip", clips, about="The clip whose latents are changed"),
            "other": menu("other clip", clips, value=len(clips) - 1, about="The clip to mix with"),
            "channel": menu(
                "channel",
                [("none", NONE), *((str(c), c) for c in numbers)],
                about="The channel to scale",
            ),
            "mix": slider("mix", 0.0, 0.0, 1.0, 0.05, about="0 is the clip, 1 the other clip"),
            "scale": slider(
                "scale",
                1.0,
                -2.0,
                3.0,
                0.25,
                about="Factor of the chosen channel: 1 leaves it, 0 knocks it out",
            ),
            "axis": menu(
                "axis",
                [("none", NONE), *((str(c + 1), c) for c in numbers)],
                about="The principal axis to walk along; 1 is the longest",
            ),
            "walk": slider(
                "walk",
                0.0,
                -3.0,
                3.0,
                0.25,
                about="Standard deviations by which every cell moves along the axis",
            ),
        }
        super().__init__(partial(render_latents, model, self.atlas), controls, height=400)
