"""Pixels from scenes: every shape is a signed distance, and an edge is as soft as one pixel.

    list of Scene ── prepare ──► Drawing ── draw ──► videos (B, 3, T, H, W) in [-1, 1]

A signed distance is negative inside a shape, zero on its edge, positive outside, in half-widths.
Its coverage of a pixel is `clamp(1/2 - distance / pixel, 0, 1)`, which is the anti-aliasing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch

from minisora.world.scene import (
    BACKGROUND_COLORS,
    COLORS,
    FPS,
    SHAPES,
    TEXTURES,
    Scene,
    simulate,
)


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
TEXTURE_PAIRS = [(background, texture) for background in BACKGROUND_COLORS for texture in TEXTURES]


@dataclass(frozen=True)
class Drawing:
    """What pixels are made of: B scenes of T frames and at most K objects, as numbers."""

    backgrounds: torch.Tensor  # (B,) int16, rows of TEXTURE_PAIRS
    shapes: torch.Tensor  # (B, K) int16, of SHAPES; -1 where there is no object
    colors: torch.Tensor  # (B, K, 3) in [0, 1]
    positions: torch.Tensor  # (B, K, T, 2), in half-widths
    radii: torch.Tensor  # (B, K, T)
    angles: torch.Tensor  # (B, K, T)

    def __len__(self) -> int:
        return len(self.backgrounds)

    def part(self, start: int, count: int, device: torch.device) -> "Drawing":
        """Some of the scenes, on a device."""
        tensors = [getattr(self, f.name)[start : start + count] for f in fields(self)]
        return Drawing(*(tensor.to(device) for tensor in tensors))


def prepare(
    scenes: Sequence[Scene], num_frames: int, height: int, width: int, fps: float
) -> Drawing:
    """Find where everything is in every frame: what a processor does before pixels are drawn."""
    most = max((len(scene.objects) for scene in scenes), default=0)
    bottom = height / min(height, width)
    shapes = torch.full((len(scenes), most), -1, dtype=torch.int16)
    colors = torch.zeros(len(scenes), most, 3)
    positions = torch.zeros(len(scenes), most, num_frames, 2)
    radii = torch.ones(len(scenes), most, num_frames)
    angles = torch.zeros(len(scenes), most, num_frames)
    for b, scene in enumerate(scenes):
        tracks = simulate(scene, num_frames, fps, bottom)
        for k, thing in enumerate(scene.objects):
            shapes[b, k] = SHAPES.index(thing.shape)
            colors[b, k] = torch.tensor(COLORS[thing.color]) / 255
            positions[b, k] = tracks.positions[:, k]
            radii[b, k] = tracks.radii[:, k]
            angles[b, k] = tracks.angles[:, k]
    keys = [TEXTURE_PAIRS.index((s.background, s.texture)) for s in scenes]
    backgrounds = torch.tensor(keys, dtype=torch.int16)
    return Drawing(backgrounds, shapes, colors, positions, radii, angles)


def draw(
    drawing: Drawing, height: int, width: int, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Draw what `prepare` made, all shapes of a kind in one go.

    Returns:
        videos (B, 3, T, H, W) float32 in [-1, 1], on the device.
    """
    device = torch.device(device)
    at_once = AT_ONCE if device.type == "cpu" else max(len(drawing), 1)
    parts = [drawing.part(i, at_once, device) for i in range(0, len(drawing), at_once)]
    return torch.cat([_draw(part, height, width) for part in parts])


def _draw(drawing: Drawing, height: int, width: int) -> torch.Tensor:
    device = drawing.radii.device
    empty = torch.stack([background_image(*pair, height, width) for pair in TEXTURE_PAIRS])
    frames = empty.to(device)[drawing.backgrounds.long()]
    num_frames = drawing.radii.shape[2]
    video = frames[:, :, None].repeat(1, 1, num_frames, 1, 1)
    for k in range(drawing.shapes.shape[1]):
        for number, shape in enumerate(SHAPES):
            (rows,) = torch.nonzero(drawing.shapes[:, k] == number, as_tuple=True)
            if not len(rows):
                continue
            alpha = coverage(
                shape,
                drawing.positions[rows, k],
                drawing.radii[rows, k],
                drawing.angles[rows, k],
                height,
                width,
            )[:, None]  # (n, 1, T, H, W)
            below = video[rows]
            colors = drawing.colors[rows, k][:, :, None, None, None].expand_as(below)
            video[rows] = torch.lerp(below, colors, alpha)
    return video * 2 - 1


def render(
    scenes: Sequence[Scene],
    num_frames: int = 17,
    height: int = 32,
    width: int = 32,
    fps: float = FPS,
) -> torch.Tensor:
    """Draw scenes.

    Returns:
        videos (B, 3, T, H, W) float32 in [-1, 1].
    """
    return draw(prepare(scenes, num_frames, height, width, fps), height, width)
