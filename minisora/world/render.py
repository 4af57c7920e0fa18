"""Pixels from scenes: every shape is a signed distance, and an edge is as soft as one pixel.

    list of Scene ── prepare ──► Drawing ── draw ──► videos (B, 3, T, H, W) in [-1, 1]

A signed distance is negative inside a shape, zero on its edge, positive outside, in half-widths.
Its coverage of a pixel is `clamp(1/2 - distance / pixel, 0, 1)`, which is the anti-aliasing.
`prepare` works on the CPU, where other processes may help; `draw` works on any device.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

import torch

from minisora.world.scene import (
    BACKGROUND_COLORS,
    FPS,
    MOST_OBJECTS,
    SHAPES,
    TEXTURES,
    TOOLS,
    WALL,
    Scene,
    Tracks,
    simulate,
)

SignedDistance: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (x, y) → it
KINDS = (*SHAPES, *TOOLS)
AT_ONCE = 64  # scenes that fit a processor's cache are drawn three times as fast

# ------------------------------------------------------------------------------------------ shapes


def signed_distance(shape: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Distance to the edge of an upright shape of radius 1 with its centre of mass at (0, 0).

    Args:
        x, y: coordinates of one shape, y down.

    Returns:
        Distances of the same shape; exact near the edge, a lower bound far outside.
    """
    if shape == "brush":  # a thin handle above a round tip
        handle = torch.maximum(x.abs() - 0.22, (y + 0.45).abs() - 0.55)
        return torch.minimum(handle, torch.hypot(x, y - 0.45) - 0.55)
    if shape == "chomper":  # a disc with an open mouth to its right
        mouth = x * math.sin(MOUTH) - y.abs() * math.cos(MOUTH)
        return torch.maximum(torch.hypot(x, y) - 1.0, mouth)
    if shape == "lamp":  # a bulb on a socket
        socket = torch.maximum(x.abs() - 0.4, (y - 1.0).abs() - 0.35)
        return torch.minimum(torch.hypot(x, y) - 0.9, socket)
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


MOUTH = 0.6  # radians from the middle of the mouth to a lip


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
    shape: str | SignedDistance,
    positions: torch.Tensor,
    radii: torch.Tensor,
    angles: torch.Tensor,
    height: int,
    width: int,
) -> torch.Tensor:
    """How much of every pixel a shape covers.

    Args:
        shape: one of KINDS, or a shape of your own: a function like `signed_distance` without its
            name, of an upright shape of radius 1.
        positions: (..., 2) centres; radii, angles: (...), all in the units of `scene.py`.

    Returns:
        (..., H, W) in [0, 1].
    """
    x, y = pixel_grid(height, width, positions.device)
    dx = x - positions[..., 0, None, None]
    dy = y - positions[..., 1, None, None]
    cos = torch.cos(angles)[..., None, None]
    sin = torch.sin(angles)[..., None, None]
    # rotate the plane back, so that the shape stands upright
    dx, dy = dx * cos + dy * sin, dy * cos - dx * sin
    r = radii[..., None, None]
    if callable(shape):
        distance = shape(dx / r, dy / r) * r
    else:
        distance = signed_distance(shape, dx / r, dy / r) * r
    return (0.5 - distance * min(height, width) / 2).clamp(0, 1)


# ----------------------------------------------------------------------------------------- prepare


@dataclass(frozen=True)
class Drawing:
    """What is to be drawn of B scenes, as the camera shows it; some of the K objects are none."""

    kinds: torch.Tensor  # (B, K) numbers of KINDS; -1: no object
    positions: torch.Tensor  # (B, T, K, 2)
    radii: torch.Tensor  # (B, T, K)
    angles: torch.Tensor  # (B, T, K)
    colors: torch.Tensor  # (B, T, K, 3) RGB in [0, 1]
    bites: torch.Tensor  # (B, T, K, 3): x, y and radius of a missing disc
    lines: torch.Tensor  # (B, T, 4): x and y of a painted line's start, the same of its end
    paint: torch.Tensor  # (B,): half of the width of the painted line; 0: none
    camera: torch.Tensor  # (B, T, 3): x, y, zoom
    walls: torch.Tensor  # (B,): half of the width of the wall; 0: none
    backgrounds: torch.Tensor  # (B, T, 3) RGB in [0, 1]
    textures: torch.Tensor  # (B, T) numbers of TEXTURES

    def __len__(self) -> int:
        return len(self.kinds)

    def __getitem__(self, rows: slice) -> "Drawing":
        return Drawing(*(getattr(self, f.name)[rows] for f in fields(self)))

    @classmethod
    def join(cls, parts: Sequence["Drawing"]) -> "Drawing":
        """Several drawings of clips of one size as one."""
        columns = {f.name: [getattr(part, f.name) for part in parts] for f in fields(cls)}
        return cls(**{name: torch.cat(column) for name, column in columns.items()})

    def to(self, device: torch.device | str) -> "Drawing":
        return Drawing(*(getattr(self, f.name).to(device) for f in fields(self)))


LINE = 0.09  # half of the width of a painted line


def prepare(
    scenes: Sequence[Scene],
    num_frames: int = 17,
    height: int = 32,
    width: int = 32,
    fps: float = FPS,
) -> Drawing:
    """Everything that `draw` needs to know of scenes in a clip of this size."""
    bottom = height / min(height, width)
    return Drawing.join([_prepare(scene, num_frames, fps, bottom) for scene in scenes])


def _prepare(scene: Scene, num_frames: int, fps: float, bottom: float) -> Drawing:
    tracks = simulate(scene, num_frames, fps, bottom)
    positions, radii = tracks.on_screen()
    zoom = tracks.camera[:, 2]
    kinds = [KINDS.index(thing.shape) for thing in scene.objects]
    missing = MOST_OBJECTS - len(kinds)
    if missing < 0:
        raise ValueError(f"a scene has {len(kinds)} objects; at most {MOST_OBJECTS} are drawn")

    line = _line(scene, tracks, positions)
    bites = tracks.bites.clone()
    bites[..., :2] = (bites[..., :2] - tracks.camera[:, None, :2]) * zoom[:, None, None]
    bites[..., 2] *= zoom[:, None]

    looks = [(scene.background, scene.texture)] * num_frames
    if scene.cut:
        first = math.ceil(scene.cut.time * fps - 1e-6)  # the first frame after the cut
        looks[first:] = [(scene.cut.background, scene.cut.texture)] * (num_frames - first)
    colors = [BACKGROUND_COLORS[background] for background, _ in looks]
    return Drawing(
        kinds=torch.tensor([kinds + [-1] * missing]),
        positions=_padded(positions, missing),
        radii=_padded(radii, missing),
        angles=_padded(tracks.angles, missing),
        colors=_padded(tracks.colors / 255, missing),
        bites=_padded(bites, missing),
        lines=line[None].float(),
        paint=torch.tensor([LINE if scene.verb == "paints" else 0.0]),
        camera=tracks.camera[None].float(),
        walls=torch.tensor([scene.wall]),
        backgrounds=torch.tensor(colors)[None] / 255,
        textures=torch.tensor([[TEXTURES.index(texture) for _, texture in looks]]),
    )


def _line(scene: Scene, tracks: Tracks, positions: torch.Tensor) -> torch.Tensor:
    """From where the first object began to where it is, as the camera shows them: (T, 4)."""
    if not scene.objects:
        return positions.new_zeros(len(positions), 4)
    began = positions.new_tensor([scene.objects[0].x, scene.objects[0].y])
    start = (began - tracks.camera[:, :2]) * tracks.camera[:, 2:]
    return torch.cat([start, positions[:, 0]], dim=1)


def _padded(x: torch.Tensor, missing: int) -> torch.Tensor:
    """(T, K, ...) → (1, T, K + missing, ...) float32."""
    none = x.new_zeros(x.shape[0], missing, *x.shape[2:])
    return torch.cat([x, none], dim=1)[None].float()


# -------------------------------------------------------------------------------------------- draw


def render(
    scenes: Sequence[Scene],
    num_frames: int = 17,
    height: int = 32,
    width: int = 32,
    fps: float = FPS,
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Draw scenes, all shapes of a kind in one go.

    Returns:
        videos (B, 3, T, H, W) float32 in [-1, 1].
    """
    return draw(prepare(scenes, num_frames, height, width, fps), height, width, device)


def draw(
    drawing: Drawing, height: int, width: int, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Draw what was prepared: videos (B, 3, T, H, W) float32 in [-1, 1] on a device."""
    at_once = AT_ONCE if torch.device(device).type == "cpu" else max(len(drawing), 1)
    parts = []
    for start in range(0, len(drawing), at_once):
        part = drawing[start : start + at_once].to(device)
        parts.append(_draw(part, height, width))
    return torch.cat(parts)


def _draw(d: Drawing, height: int, width: int) -> torch.Tensor:
    video = _backgrounds(d, height, width)  # (B, 3, T, H, W)
    B, T, K = d.radii.shape
    colors = d.colors.permute(2, 0, 3, 1)  # (K, B, 3, T)

    painted = d.paint > 0
    if painted.any():
        rows = painted.nonzero()[:, 0]
        line = _line_coverage(d.lines[rows], d.paint[rows] * d.camera[rows, 0, 2], height, width)
        video[rows] = _over(video[rows], colors[0, rows], line)

    kinds = d.kinds.tolist()
    for k in reversed(range(K)):  # objects[0] does something to the others: it is in front of them
        for kind in sorted({row[k] for row in kinds} - {-1}):
            rows = torch.tensor([b for b in range(B) if kinds[b][k] == kind], device=video.device)
            shape = KINDS[kind]
            position, radius, angle = (x[rows, :, k] for x in (d.positions, d.radii, d.angles))
            alpha = coverage(shape, position, radius, angle, height, width)  # (n, T, H, W)
            bite = d.bites[rows, :, k]
            if bite[..., 2].any():
                gone = coverage(
                    "circle", bite[..., :2], bite[..., 2] + 1e-6, 0 * angle, height, width
                )
                alpha = torch.minimum(alpha, 1 - gone)
            video[rows] = _over(video[rows], colors[k, rows], alpha)

    walled = d.walls > 0
    if walled.any():
        x, _ = pixel_grid(height, width, video.device)
        distance = x.abs() - d.walls[walled, None, None]  # (n, 1, W)
        alpha = (0.5 - distance * min(height, width) / 2).clamp(0, 1)
        alpha = alpha[:, None].expand(-1, T, height, width)
        color = video.new_tensor(WALL)[:, None].expand(len(alpha), 3, T) / 255
        video[walled] = _over(video[walled], color, alpha)
    return video * 2 - 1


def _over(video: torch.Tensor, color: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """Put a colour (B, 3, T) over a video (B, 3, T, H, W), where alpha (B, T, H, W) says."""
    return torch.lerp(video, color[..., None, None].expand_as(video), alpha[:, None])


def _line_coverage(
    lines: torch.Tensor, half_width: torch.Tensor, height: int, width: int
) -> torch.Tensor:
    """Straight lines (B, T, 4) with round ends: (B, T, H, W) in [0, 1]."""
    x, y = pixel_grid(height, width, lines.device)
    x0, y0, x1, y1 = (lines[..., i, None, None] for i in range(4))
    dx, dy = x1 - x0, y1 - y0
    along = ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy).clamp(min=1e-9)
    along = along.clamp(0, 1)
    distance = torch.hypot(x - x0 - along * dx, y - y0 - along * dy)
    distance = distance - half_width[:, None, None, None]
    return (0.5 - distance * min(height, width) / 2).clamp(0, 1)


# ------------------------------------------------------------------------------------- backgrounds

GAP = 0.5  # half-widths between lines of the grid
BAND = 0.35  # width of a stripe
FAR, NEAR = 0.35, 0.7  # how much of the camera's way a layer of hills seems to move


def background_image(background: str, texture: str, height: int, width: int) -> torch.Tensor:
    """The empty background of a still camera (3, H, W) in [0, 1]."""
    drawing = _prepare(Scene((), background, texture), 1, FPS, height / min(height, width))
    return _backgrounds(drawing, height, width)[0, :, 0]


def _backgrounds(d: Drawing, height: int, width: int) -> torch.Tensor:
    """(B, 3, T, H, W) in [0, 1]."""
    x, y = pixel_grid(height, width, d.camera.device)
    camera_x, camera_y, zoom = (d.camera[..., i, None, None] for i in range(3))  # (B, T, 1, 1)
    pixel = 2 / min(height, width)
    # a dark background is lightened, a light one darkened
    toward = (d.backgrounds.mean(-1) < 0.5).float()  # (B, T)

    amount = torch.zeros(*d.textures.shape, height, width, device=d.camera.device)
    for texture in d.textures.unique().tolist():
        name = TEXTURES[texture]
        if name == "plain":
            continue
        inside = d.textures == texture  # (B, T)
        rows = inside.any(1)
        X = x / zoom[rows] + camera_x[rows]  # world coordinates of the pixels (n, T, H or 1, W)
        Y = y / zoom[rows] + camera_y[rows]
        if name == "gradient":
            value = 0.35 * (0.5 + Y * min(height, width) / height / 2).clamp(0, 1)
        elif name == "grid":
            offset = -0.75 + pixel / 2
            value = 0.22 * torch.maximum(
                _grid_line(X, offset, pixel / zoom[rows]), _grid_line(Y, offset, pixel / zoom[rows])
            )
        elif name == "stripes":
            value = 0.2 * _band(X, pixel / zoom[rows])
        else:
            value = _hills(x, y, camera_x[rows], camera_y[rows], zoom[rows], pixel)
        amount[rows] = torch.where(inside[rows][..., None, None], value, amount[rows])
    color = d.backgrounds.permute(0, 2, 1)[..., None, None]  # (B, 3, T, 1, 1)
    return color + amount[:, None] * (toward[:, None, :, None, None] - color)


def _grid_line(x: torch.Tensor, offset: float, pixel: torch.Tensor) -> torch.Tensor:
    """1 on lines every GAP half-widths, one pixel wide."""
    away = (torch.remainder(x - offset + GAP / 2, GAP) - GAP / 2).abs()
    return (1 - away / pixel).clamp(0, 1)


def _band(x: torch.Tensor, pixel: torch.Tensor) -> torch.Tensor:
    """1 on every second band, with edges as soft as a pixel."""
    away = (torch.remainder(x, 2 * BAND) - BAND).abs() - BAND / 2  # negative inside a band
    return (0.5 - away / pixel).clamp(0, 1)


# of a layer: its depth, height of its middle, size and rate of its waves, phase, strength
HILLS = ((FAR, 0.0, 0.22, 1.7, 0.7, 0.16), (NEAR, 0.45, 0.16, 2.9, 2.1, 0.32))


def wave(x: torch.Tensor, rate: float, phase: float) -> torch.Tensor:
    """The outline of a layer of hills at its own coordinates x, from −1.3 to 1.3."""
    return torch.sin(rate * x + phase) + 0.3 * torch.sin(2.3 * rate * x)


def _hills(
    x: torch.Tensor,
    y: torch.Tensor,
    camera_x: torch.Tensor,
    camera_y: torch.Tensor,
    zoom: torch.Tensor,
    pixel: float,
) -> torch.Tensor:
    """Two layers of hills; the far one moves less with the camera, which is parallax."""
    value = torch.zeros_like(x + y + zoom)
    for depth, level, size, rate, phase, amount in HILLS:
        X = x / zoom + depth * camera_x
        Y = y / zoom + depth * camera_y
        inside = (0.5 + (Y - level - size * wave(X, rate, phase)) * zoom / pixel).clamp(0, 1)
        value = torch.lerp(value, torch.full_like(value, amount), inside)
    return value
