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
from einops import rearrange

from minisora.world import tiles
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
MOUTH = 0.6  # of a chomper: radians from its middle to a lip
BOARD = tiles.SIZE * tiles.TILE  # pixels on each side of the game's board, or a multiple of them
BOARD_SIZES = f"the game has frames of {BOARD}×{BOARD}, {2 * BOARD}×{2 * BOARD} and so on"
AT_ONCE = 64  # scenes that fit a processor's cache are drawn three times as fast


def fits_board(height: int, width: int) -> bool:
    """Whether a frame can show the game's board in whole pixels."""
    return height == width and height % BOARD == 0


# ------------------------------------------------------------------------------------------ shapes


def signed_distance(shape: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Distance to the edge of an upright shape of radius 1 with its centre of mass at (0, 0).

    Args:
        x, y: coordinates of one shape, y down.

    Returns:
        Distances of the same shape; exact near the edge, a lower bound far outside.
    """
    if shape == "circle":
        return _disc(x, y, 1.0)
    if shape == "ring":
        return _disc(x, y, 0.75).abs() - 0.25
    if shape == "square":
        return _box(x, y, 0.85, 0.85)
    if shape == "triangle":
        return _star(x, y, points=3, outer=1.2, inner=0.6)
    if shape == "star":
        return _star(x, y, points=5, outer=1.15, inner=0.58)
    if shape == "heart":
        return _heart(x, y)
    if shape == "brush":  # a thin handle above a round tip
        handle = _box(x, y + 0.45, 0.22, 0.55)
        tip = _disc(x, y - 0.45, 0.55)
        return torch.minimum(handle, tip)
    if shape == "chomper":  # a disc with an open mouth to its right
        disc = _disc(x, y, 1.0)
        mouth = x * math.sin(MOUTH) - y.abs() * math.cos(MOUTH)
        return torch.maximum(disc, mouth)
    if shape == "lamp":  # a bulb on a socket
        bulb = _disc(x, y, 0.9)
        socket = _box(x, y - 1.0, 0.4, 0.35)
        return torch.minimum(bulb, socket)
    raise ValueError(f"shape={shape!r} cannot be drawn")


def _disc(x: torch.Tensor, y: torch.Tensor, radius: float) -> torch.Tensor:
    return torch.hypot(x, y) - radius


def _box(x: torch.Tensor, y: torch.Tensor, half_width: float, half_height: float) -> torch.Tensor:
    return torch.maximum(x.abs() - half_width, y.abs() - half_height)


def _heart(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """A square on its tip, with a half disc on each of its two upper sides."""
    radius = 0.604  # of the half discs: half of a side of the square
    middle = radius / math.sqrt(2)  # of a side: so far sideways, and so far up
    x = x.abs()
    y = y - 0.443 * radius  # the centre of mass lies above the square's middle
    square = (x + y.abs()) / math.sqrt(2) - radius
    lobe = _disc(x - middle, y + middle, radius)
    return torch.minimum(square, lobe)


def _star(
    x: torch.Tensor, y: torch.Tensor, points: int, outer: float, inner: float
) -> torch.Tensor:
    """A star with a point straight up.

    The plane is folded into half of one point, where the edge is a single line.
    """
    sector = math.pi / points
    angle = torch.atan2(x, -y)  # 0 is straight up
    angle = torch.remainder(angle + sector, 2 * sector) - sector  # 0 is the nearest point
    angle = angle.abs()
    radius = torch.hypot(x, y)
    px = radius * torch.cos(angle)
    py = radius * torch.sin(angle)
    ex = inner * math.cos(sector) - outer  # from the point to the notch
    ey = inner * math.sin(sector)
    cross = (px - outer) * ey - py * ex
    return cross / math.hypot(ex, ey)


def pixel_grid(
    height: int, width: int, device: torch.device | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Centres of the pixels in half-widths: x (1, W) and y (H, 1)."""
    unit = min(height, width)
    columns = torch.arange(width, device=device)
    rows = torch.arange(height, device=device)
    x = (2 * columns + 1 - width) / unit
    y = (2 * rows + 1 - height) / unit
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
    across = dx * cos + dy * sin
    down = dy * cos - dx * sin
    r = radii[..., None, None]
    if callable(shape):
        distance = shape(across / r, down / r)
    else:
        distance = signed_distance(shape, across / r, down / r)
    return _soft_edge(distance * r, height, width)


def _soft_edge(distance: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Coverage in [0, 1] of pixels whose centres are at a signed distance in half-widths."""
    pixels = distance * min(height, width) / 2
    return (0.5 - pixels).clamp(0, 1)


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
    boards: torch.Tensor  # (B, T, 8, 8) uint8, tiles of the game, which hides the rest; NO_TILE

    def __len__(self) -> int:
        return len(self.kinds)

    def __getitem__(self, rows: slice) -> "Drawing":
        parts = [tensor[rows] for tensor in self._tensors()]
        return Drawing(*parts)

    @classmethod
    def join(cls, parts: Sequence["Drawing"]) -> "Drawing":
        """Several drawings of clips of one size as one."""
        joined = []
        for field in fields(cls):
            column = [getattr(part, field.name) for part in parts]
            joined.append(torch.cat(column))
        return cls(*joined)

    def to(self, device: torch.device | str) -> "Drawing":
        moved = [tensor.to(device) for tensor in self._tensors()]
        return Drawing(*moved)

    def _tensors(self) -> list[torch.Tensor]:
        return [getattr(self, field.name) for field in fields(self)]


NO_TILE = 255  # where a scene has no board
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
    parts = [_prepare(scene, num_frames, fps, bottom) for scene in scenes]
    return Drawing.join(parts)


def _prepare(scene: Scene, num_frames: int, fps: float, bottom: float) -> Drawing:
    """The drawing of one scene; the lower edge is at y = bottom."""
    kinds = [KINDS.index(thing.shape) for thing in scene.objects]
    missing = MOST_OBJECTS - len(kinds)
    if missing < 0:
        raise ValueError(f"a scene has {len(kinds)} objects; at most {MOST_OBJECTS} are drawn")
    kinds += [-1] * missing

    tracks = simulate(scene, num_frames, fps, bottom)
    positions, radii = tracks.on_screen()
    bites = _bites_on_screen(tracks)
    line = _line(scene, tracks, positions)
    paint = LINE if scene.verb == "paints" else 0.0
    backgrounds, textures = _surroundings(scene, num_frames, fps)
    return Drawing(
        kinds=torch.tensor([kinds]),
        positions=_padded(positions, missing),
        radii=_padded(radii, missing),
        angles=_padded(tracks.angles, missing),
        colors=_padded(tracks.colors / 255, missing),
        bites=_padded(bites, missing),
        lines=line[None].float(),
        paint=torch.tensor([paint]),
        camera=tracks.camera[None].float(),
        walls=torch.tensor([scene.wall]),
        backgrounds=torch.tensor([backgrounds]) / 255,
        textures=torch.tensor([textures]),
        boards=_boards(scene, num_frames)[None],
    )


def _boards(scene: Scene, num_frames: int) -> torch.Tensor:
    """The tiles of the game (T, 8, 8) uint8, or else NO_TILE.

    Raises:
        ValueError: the scene has boards for a clip of another length.
    """
    shape = (num_frames, tiles.SIZE, tiles.SIZE)
    if not scene.boards:
        return torch.full(shape, NO_TILE, dtype=torch.uint8)
    if len(scene.boards) != num_frames:
        raise ValueError(
            f"a scene with {len(scene.boards)} boards is a clip of {len(scene.boards)} frames, "
            f"not of {num_frames}"
        )
    cells = bytearray(b"".join(scene.boards))
    return torch.frombuffer(cells, dtype=torch.uint8).view(shape)


def _bites_on_screen(tracks: Tracks) -> torch.Tensor:
    """The missing discs (T, K, 3) as the camera shows them."""
    camera = tracks.camera[:, None]  # (T, 1, 3)
    zoom = camera[..., 2:]
    centres = (tracks.bites[..., :2] - camera[..., :2]) * zoom
    radii = tracks.bites[..., 2:] * zoom
    return torch.cat([centres, radii], dim=2)


def _line(scene: Scene, tracks: Tracks, positions: torch.Tensor) -> torch.Tensor:
    """From where the first object began to where it is, as the camera shows them: (T, 4)."""
    if not scene.objects:
        return positions.new_zeros(len(positions), 4)
    first = scene.objects[0]
    began = positions.new_tensor([first.x, first.y])
    camera = tracks.camera[:, :2]
    zoom = tracks.camera[:, 2:]
    start = (began - camera) * zoom
    return torch.cat([start, positions[:, 0]], dim=1)


def _surroundings(
    scene: Scene, num_frames: int, fps: float
) -> tuple[list[tuple[int, int, int]], list[int]]:
    """Of every frame: the background's colour, RGB 0..255, and the number of its texture."""
    backgrounds = [scene.background] * num_frames
    textures = [scene.texture] * num_frames
    if scene.cut:
        first = math.ceil(scene.cut.time * fps - 1e-6)  # the first frame after the cut
        for frame in range(first, num_frames):
            backgrounds[frame] = scene.cut.background
            textures[frame] = scene.cut.texture
    colors = [BACKGROUND_COLORS[background] for background in backgrounds]
    numbers = [TEXTURES.index(texture) for texture in textures]
    return colors, numbers


def _padded(x: torch.Tensor, missing: int) -> torch.Tensor:
    """(T, K, ...) → (1, T, K + missing, ...) float32."""
    T, _, *rest = x.shape
    none = x.new_zeros(T, missing, *rest)
    padded = torch.cat([x, none], dim=1)
    return padded[None].float()


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
    drawing = prepare(scenes, num_frames, height, width, fps)
    return draw(drawing, height, width, device)


def draw(
    drawing: Drawing, height: int, width: int, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Draw what was prepared: videos (B, 3, T, H, W) float32 in [-1, 1] on a device."""
    on_cpu = torch.device(device).type == "cpu"
    at_once = AT_ONCE if on_cpu else max(len(drawing), 1)
    parts = []
    for start in range(0, len(drawing), at_once):
        part = drawing[start : start + at_once]
        parts.append(_draw(part.to(device), height, width))
    return torch.cat(parts)


def _draw(d: Drawing, height: int, width: int) -> torch.Tensor:
    """Draw from back to front: videos (B, 3, T, H, W) in [-1, 1]."""
    video = _backgrounds(d, height, width)  # in [0, 1]
    _draw_lines(video, d)
    _, K = d.kinds.shape
    for k in reversed(range(K)):  # objects[0] acts on the others: it is in front of them
        _draw_objects(video, d, k)
    _draw_walls(video, d)
    _draw_boards(video, d)
    return video * 2 - 1


def _draw_lines(video: torch.Tensor, d: Drawing) -> None:
    """Draw painted lines, in the colours of the first objects, onto videos (B, 3, T, H, W)."""
    rows = d.paint > 0
    if not rows.any():
        return
    *_, height, width = video.shape
    zoom = d.camera[rows, 0, 2]
    half_width = d.paint[rows] * zoom
    alpha = _line_coverage(d.lines[rows], half_width, height, width)
    video[rows] = _over(video[rows], d.colors[rows, :, 0], alpha)


def _draw_objects(video: torch.Tensor, d: Drawing, k: int) -> None:
    """Draw object k of every scene onto videos (B, 3, T, H, W), all shapes of a kind in one go."""
    *_, height, width = video.shape
    kinds = d.kinds[:, k]
    for kind in kinds.unique().tolist():
        if kind == -1:
            continue
        (rows,) = torch.where(kinds == kind)  # n of the B scenes
        positions = d.positions[rows, :, k]  # (n, T, 2)
        radii = d.radii[rows, :, k]
        angles = d.angles[rows, :, k]
        alpha = coverage(KINDS[kind], positions, radii, angles, height, width)  # (n, T, H, W)
        bites = d.bites[rows, :, k]
        centres = bites[..., :2]
        sizes = bites[..., 2]
        if sizes.any():
            gone = coverage("circle", centres, sizes + 1e-6, 0 * angles, height, width)
            alpha = torch.minimum(alpha, 1 - gone)
        video[rows] = _over(video[rows], d.colors[rows, :, k], alpha)


def _draw_walls(video: torch.Tensor, d: Drawing) -> None:
    """Draw walls onto videos (B, 3, T, H, W), from the upper to the lower edge."""
    rows = d.walls > 0
    if not rows.any():
        return
    *_, height, width = video.shape
    x, _ = pixel_grid(height, width, video.device)
    half_width = d.walls[rows, None, None, None]
    alpha = _soft_edge(x.abs() - half_width, height, width)  # (n, 1, 1, W)
    color = video.new_tensor([[WALL]]) / 255  # (1, 1, 3)
    video[rows] = _over(video[rows], color, alpha)


def _draw_boards(video: torch.Tensor, d: Drawing) -> None:
    """Draw the game over videos (B, 3, T, H, W), each pixel of a tile as a square of pixels.

    Raises:
        ValueError: frames into which the board does not fit.
    """
    rows = d.boards[:, 0, 0, 0] != NO_TILE
    if not rows.any():
        return
    *_, height, width = video.shape
    if not fits_board(height, width):
        raise ValueError(f"a frame of {height}×{width} shows no board; {BOARD_SIZES}")
    times = height // BOARD
    pictures = tiles.PATTERNS.to(video.device)[d.boards[rows].long()] / 255
    small = rearrange(pictures, "n t row col c y x -> n c t (row y) (col x)")
    video[rows] = small.repeat_interleave(times, 3).repeat_interleave(times, 4)


def _over(video: torch.Tensor, color: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """Put a colour (B, T, 3) over a video (B, 3, T, H, W), where alpha (B, T, H, W) says."""
    color = color.movedim(2, 1)[..., None, None]  # (B, 3, T, 1, 1)
    return torch.lerp(video, color, alpha[:, None])


def _line_coverage(
    lines: torch.Tensor, half_width: torch.Tensor, height: int, width: int
) -> torch.Tensor:
    """Straight lines (B, T, 4) with round ends: (B, T, H, W) in [0, 1]."""
    x, y = pixel_grid(height, width, lines.device)
    x0, y0, x1, y1 = lines[..., None, None].unbind(2)  # (B, T, 1, 1)
    dx = x1 - x0
    dy = y1 - y0
    x = x - x0
    y = y - y0
    squared_length = dx * dx + dy * dy
    along = (x * dx + y * dy) / squared_length.clamp(min=1e-9)
    along = along.clamp(0, 1)  # the nearest point: 0 is the start of the line, 1 its end
    distance = torch.hypot(x - along * dx, y - along * dy)
    distance = distance - half_width[:, None, None, None]
    return _soft_edge(distance, height, width)


# ------------------------------------------------------------------------------------- backgrounds

GAP = 0.5  # half-widths between lines of the grid
BAND = 0.35  # width of a stripe
FAR, NEAR = 0.35, 0.7  # how much of the camera's way a layer of hills seems to move


def background_image(background: str, texture: str, height: int, width: int) -> torch.Tensor:
    """The empty background of a still camera (3, H, W) in [0, 1]."""
    scene = Scene((), background, texture)
    drawing = prepare([scene], 1, height, width)
    return _backgrounds(drawing, height, width)[0, :, 0]


def _backgrounds(d: Drawing, height: int, width: int) -> torch.Tensor:
    """(B, 3, T, H, W) in [0, 1]."""
    B, T = d.textures.shape
    amount = torch.zeros(B, T, height, width, device=d.camera.device)
    for number in d.textures.unique().tolist():
        name = TEXTURES[number]
        if name == "plain":
            continue
        inside = d.textures == number  # (B, T)
        rows = inside.any(1)
        value = _texture(name, d.camera[rows], height, width)
        frames = inside[rows][..., None, None]
        amount[rows] = torch.where(frames, value, amount[rows])
    color = d.backgrounds.movedim(2, 1)[..., None, None]  # (B, 3, T, 1, 1)
    # a dark background is lightened, a light one darkened
    dark = d.backgrounds.mean(-1) < 0.5  # (B, T)
    toward = dark.float()[:, None, :, None, None]
    return color + amount[:, None] * (toward - color)


def _texture(name: str, camera: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """How far a texture goes from the background's colour to black or white, seen by cameras.

    Args:
        name: one of TEXTURES but "plain".
        camera: (B, T, 3) x, y and zoom.

    Returns:
        (B, T, H, W) in [0, 1]; H or W is 1 where all rows or columns are alike.
    """
    x, y = pixel_grid(height, width, camera.device)
    camera_x, camera_y, zoom = camera[..., None, None].unbind(2)  # (B, T, 1, 1)
    pixel = 2 / min(height, width)
    if name == "hills":
        return _hills(x, y, camera_x, camera_y, zoom, pixel)
    x = x / zoom + camera_x  # world coordinates of the pixels
    y = y / zoom + camera_y
    if name == "gradient":
        level = 0.5 + y * min(height, width) / height / 2
        return 0.35 * level.clamp(0, 1)
    if name == "grid":
        offset = -0.75 + pixel / 2
        upright = _grid_line(x, offset, pixel / zoom)
        level = _grid_line(y, offset, pixel / zoom)
        return 0.22 * torch.maximum(upright, level)
    return 0.2 * _band(x, pixel / zoom)  # stripes


def _grid_line(x: torch.Tensor, offset: float, pixel: torch.Tensor) -> torch.Tensor:
    """1 on lines every GAP half-widths, one pixel wide."""
    away = torch.remainder(x - offset + GAP / 2, GAP) - GAP / 2
    return (1 - away.abs() / pixel).clamp(0, 1)


def _band(x: torch.Tensor, pixel: torch.Tensor) -> torch.Tensor:
    """1 on every second band, with edges as soft as a pixel."""
    away = torch.remainder(x, 2 * BAND) - BAND
    distance = away.abs() - BAND / 2  # negative inside a band
    return (0.5 - distance / pixel).clamp(0, 1)


# of a layer: its depth, height of its middle, size and rate of its waves, phase, strength
HILLS = (
    (FAR, 0.0, 0.22, 1.7, 0.7, 0.16),
    (NEAR, 0.45, 0.16, 2.9, 2.1, 0.32),
)


def wave(x: torch.Tensor, rate: float, phase: float) -> torch.Tensor:
    """The outline of a layer of hills at its own coordinates x, from −1.3 to 1.3."""
    large = torch.sin(rate * x + phase)
    small = torch.sin(2.3 * rate * x)
    return large + 0.3 * small


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
        below = Y - level - size * wave(X, rate, phase)  # the outline
        inside = (0.5 + below * zoom / pixel).clamp(0, 1)
        value = torch.lerp(value, torch.full_like(value, amount), inside)
    return value
