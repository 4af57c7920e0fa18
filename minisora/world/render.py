"""Pixels from scenes: every shape is a signed distance, and an edge is as soft as one pixel.

    list of Scene ──► videos (B, 3, T, H, W) in [-1, 1]

A signed distance is negative inside a shape, zero on its edge, positive outside, in half-widths.
Its coverage of a pixel is `clamp(1/2 - distance / pixel, 0, 1)`, which is the anti-aliasing.
"""

import math
from collections.abc import Sequence

import torch

from minisora.world.scene import BACKGROUND_COLORS, COLORS, FPS, Scene, simulate


def signed_distance(shape: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Distance to the edge of an upright shape of radius 1 with its centre of mass at (0, 0).

    Args:
        x, y: coordinates of one shape, y down.

    Returns:
        Distances of the same shape; exact near the edge, a lower bound far outside.
    """
    if shape == "circle":
        return torch.hypot(x, y) - 1.0
    if shape == "ring":
        return (torch.hypot(x, y) - 0.75).abs() - 0.25
    if shape == "square":
        return torch.maximum(x.abs(), y.abs()) - 0.85
    if shape == "triangle":
        return _star(x, y, points=3, outer=1.2, inner=0.6)
    if shape == "star":
        return _star(x, y, points=5, outer=1.15, inner=0.58)
    if shape == "heart":  # a square on its tip, with a half disc on each of its two upper sides
        b = 0.604
        y = y - 0.443 * b  # the centre of mass lies above the square's middle
        tip = (x.abs() + y.abs()) / math.sqrt(2) - b
        lobe = torch.hypot(x.abs() - b / math.sqrt(2), y + b / math.sqrt(2)) - b
        return torch.minimum(tip, lobe)
    raise ValueError(f"shape={shape!r} cannot be drawn")


def _star(
    x: torch.Tensor, y: torch.Tensor, points: int, outer: float, inner: float
) -> torch.Tensor:
    """A star with a point straight up.

    The plane is folded into half of one point, where the edge is a single line.
    """
    sector = math.pi / points
    angle = torch.atan2(x, -y)  # 0 is straight up
    angle = (torch.remainder(angle + sector, 2 * sector) - sector).abs()
    radius = torch.hypot(x, y)
    px = radius * torch.cos(angle)
    py = radius * torch.sin(angle)
    ex = inner * math.cos(sector) - outer  # from the point to the notch
    ey = inner * math.sin(sector)
    return ((px - outer) * ey - py * ex) / math.hypot(ex, ey)


def pixel_grid(
    height: int, width: int, device: torch.device | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Centres of the pixels in half-widths: x (1, W) and y (H, 1)."""
    unit = min(height, width)
    x = (2 * torch.arange(width, device=device) + 1 - width) / unit
    y = (2 * torch.arange(height, device=device) + 1 - height) / unit
    return x[None, :].float(), y[:, None].float()


def coverage(
    shape: str,
    positions: torch.Tensor,
    radii: torch.Tensor,
    angles: torch.Tensor,
    height: int,
    width: int,
) -> torch.Tensor:
    """How much of every pixel a shape covers.

    Args:
        positions: (..., 2) centres; radii, angles: (...), all in the units of `scene.py`.

    Returns:
        (..., H, W) in [0, 1].
    """
    x, y = pixel_grid(height, width, positions.device)
    dx = x - positions[..., 0, None, None]
    dy = y - positions[..., 1, None, None]
    if angles.any():  # rotate the plane back, so that the shape stands upright
        cos = torch.cos(angles)[..., None, None]
        sin = torch.sin(angles)[..., None, None]
        dx, dy = dx * cos + dy * sin, dy * cos - dx * sin
    r = radii[..., None, None]
    distance = signed_distance(shape, dx / r, dy / r) * r
    return (0.5 - distance * min(height, width) / 2).clamp(0, 1)


def background_image(background: str, texture: str, height: int, width: int) -> torch.Tensor:
    """The empty background (3, H, W) in [0, 1].

    One colour, a vertical ramp, or lines every quarter of the shorter side.
    """
    color = torch.tensor(BACKGROUND_COLORS[background]).float()[:, None, None] / 255
    toward = 0.0 if background == "white" else 1.0  # white is darkened, the dark ones lightened
    if texture == "gradient":
        amount = torch.linspace(0.0, 0.35, height)[None, :, None]
    elif texture == "grid":
        gap = max(min(height, width) // 4, 1)
        rows = _lines(height, gap)[:, None]
        columns = _lines(width, gap)[None, :]
        amount = 0.22 * torch.maximum(rows, columns)[None]
    else:
        amount = torch.zeros(1, 1, 1)
    return (color + amount * (toward - color)).expand(3, height, width).contiguous()


def _lines(length: int, gap: int) -> torch.Tensor:
    """1 at the middle of every gap, 0 elsewhere: (length,)."""
    return (torch.arange(length) % gap == gap // 2).float()


AT_ONCE = 64  # scenes that fit a processor's cache are drawn three times as fast


def render(
    scenes: Sequence[Scene],
    num_frames: int = 17,
    height: int = 32,
    width: int = 32,
    fps: float = FPS,
) -> torch.Tensor:
    """Draw scenes, all shapes of a kind in one go.

    Returns:
        videos (B, 3, T, H, W) float32 in [-1, 1].
    """
    parts = [scenes[i : i + AT_ONCE] for i in range(0, len(scenes), AT_ONCE)]
    return torch.cat([_render(part, num_frames, height, width, fps) for part in parts])


def _render(
    scenes: Sequence[Scene], num_frames: int, height: int, width: int, fps: float
) -> torch.Tensor:
    keys = {(s.background, s.texture) for s in scenes}
    empty = {key: background_image(*key, height, width) for key in keys}
    frames = torch.stack([empty[s.background, s.texture] for s in scenes])
    video = frames[:, :, None].repeat(1, 1, num_frames, 1, 1)

    bottom = height / min(height, width)
    tracks = [simulate(scene, num_frames, fps, bottom) for scene in scenes]
    # objects of a scene never overlap, so the order in which they are drawn does not matter
    groups: dict[tuple[str, int], list[int]] = {}
    for b, scene in enumerate(scenes):
        for k, thing in enumerate(scene.objects):
            groups.setdefault((thing.shape, k), []).append(b)
    for (shape, k), rows in groups.items():
        positions = torch.stack([tracks[b].positions[:, k] for b in rows]).float()
        radii = torch.stack([tracks[b].radii[:, k] for b in rows]).float()
        angles = torch.stack([tracks[b].angles[:, k] for b in rows]).float()
        alpha = coverage(shape, positions, radii, angles, height, width)[:, None]  # (n, 1, T, H, W)
        colors = torch.tensor([COLORS[scenes[b].objects[k].color] for b in rows]) / 255
        colors = colors[:, :, None, None, None].expand_as(video[rows])
        video[rows] = torch.lerp(video[rows], colors, alpha)
    return video * 2 - 1
