"""What is behind the objects: background, camera, cut and wall, from pixels.

    video (3, T, H, W) ── look ──► View: the empty background of every frame, and the camera's path

Every pixel of a background lies on one line of colours, from the background's own colour towards
white or black; how far along it lies is its *amount*. So a frame is held, in amounts alone, against
backgrounds that are drawn with the camera at many positions, and the path is the cheapest way
through those positions (Viterbi's algorithm). What lies off the line of colours belongs to objects
and is not looked at.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from minisora.measure.laws import between_rows, fit_line
from minisora.world.render import draw, pixel_grid, prepare
from minisora.world.scene import (
    BACKGROUND_COLORS,
    DIRECTIONS,
    LAMP_OFF,
    TEXTURES,
    WALL,
    Scene,
)

OFF_LINE = 0.12  # root mean square over the channels by which a pixel may miss a line of colours
LAMP_LIKE = 0.03  # the same by which a pixel of a lamp that is off may miss its colour
MOST_AMOUNT = 0.42  # backgrounds go 0.35 of the way to white or black
STEP = 0.02  # half-widths, or of the logarithm of the zoom, between two drawn positions
AXES = {"plain": "", "gradient": "yz", "grid": "xyz", "stripes": "xz", "hills": "xyz"}
PERIODIC = ("grid", "stripes")
MOST_STEP = 0.2  # by which the camera may move in a frame before a background that repeats itself
WAY = 2e-5  # price of a half-width of the camera's way, in mean squared differences
BETTER = 2e-4  # mean squared difference that a cut or a moving camera must explain
UNEXPLAINED = 1.5e-3  # mean squared difference above which a background explains no frame
LEAST_SHOT = 3  # frames on each side of a cut
LEAST_PATH = 0.12  # what moves less stands still
PARALLAX = (0.7, 1.4)  # the far hills' way over the near ones', each in units of its own depth
FAR_EDGE, NEAR_EDGE = 0.08, 0.24  # amounts between sky and far hills, and far and near ones


@dataclass(frozen=True)
class View:
    """What a clip shows behind its objects."""

    background: str  # a key of BACKGROUND_COLORS, at first
    texture: str
    camera: torch.Tensor  # (T, 3): x, y, zoom
    kind: str = "still"  # one of CAMERAS, or "unclear"
    cut: tuple[str, str] | None = None  # colour and texture after a cut
    start: int = 0  # the first frame after the cut
    wall: float = 0.0  # half of the width of a wall in front; 0: none

    def shows(self, kind: str) -> bool:
        """Whether a camera of this kind can be seen before this background."""
        if kind == "still":
            return True
        direction = kind.split()[1]
        return AXIS[direction] in AXES[self.texture]

    def empty(self, height: int, width: int) -> torch.Tensor:
        """The frames without objects (3, T, H, W) in [0, 1]."""
        size = (3, len(self.camera), height, width)
        camera = self.camera
        if self.kind == "still":
            camera = camera[:1]  # one picture for all frames
        first = _drawn(self.background, self.texture, camera, height, width)
        first = first.expand(size)
        if self.cut is None:
            return first
        second = _drawn(*self.cut, camera, height, width)
        second = second.expand(size)
        parts = [first[:, : self.start], second[:, self.start :]]
        return torch.cat(parts, dim=1)

    def visible(self, height: int, width: int) -> torch.Tensor:
        """Pixels (H, W) that are not behind the wall."""
        if self.wall == 0:
            return torch.ones(height, width, dtype=torch.bool)
        x, _ = pixel_grid(height, width)
        edge = self.wall + 1 / min(height, width)
        shown = x.abs() > edge
        return shown.expand(height, width)


AXIS = {"left": "x", "right": "x", "up": "y", "down": "y", "in": "z", "out": "z"}


def look(video: torch.Tensor) -> View:
    """Find what is behind the objects of a clip (3, T, H, W) in [0, 1]."""
    T, H, W = video.shape[1:]
    still_camera = torch.tensor([0.0, 0.0, 1.0]).repeat(T, 1)
    view = View("black", "plain", still_camera, wall=_wall(video))
    lines = _lines(video, view.visible(H, W))
    view, cost, off_line = _best_still(view, lines, H, W)
    for color, line in lines.items():
        if line.off_line > cost - BETTER:
            continue  # no camera can explain more than the pixels on the line
        texture, axis = _best_axis(line, H, W)
        path, path_cost = _follow(line, texture, axis, H, W)
        if path_cost > cost - BETTER:
            continue
        cost = path_cost
        off_line = line.off_line
        kind = _kind_of(path, axis, W / min(H, W))
        if texture == "hills" and axis != "z":
            some = line.frames(slice(None, None, 2))
            if not _has_parallax(some, axis, H, W):
                kind = "unclear"
        view = View(color, texture, _camera_of(path, axis), kind, wall=view.wall)
    if cost - off_line > UNEXPLAINED:
        return replace(view, kind="unclear")
    return view


def _wall(video: torch.Tensor) -> float:
    """Half of the width of a wall across the middle: columns that always have its colour."""
    color = torch.tensor(WALL)[:, None] / 255
    difference = video.mean((1, 2)) - color  # (3, W)
    same = difference.abs().amax(0) < 0.025
    if not same.any():
        return 0.0
    steady = video.std((1, 2)).amax(0) < 0.04
    number = int((same & steady).sum())
    half_width = (number + 1) / min(video.shape[2:])  # its edges cover half a column more
    return half_width if half_width > 0.15 else 0.0


# --------------------------------------------------------------------------- one colour


@dataclass(frozen=True)
class _Line:
    """How every pixel lies to the line of colours of one background."""

    amounts: torch.Tensor  # (T, H·W), 0 off the line
    inside: torch.Tensor  # (T, H·W) 1 on the line, 0 off it and behind a wall
    scale: float  # squared difference that an amount of 1 makes
    pixels: int  # how many can be seen
    off: torch.Tensor  # (T,) the cost of what is off the line

    @property
    def off_line(self) -> float:
        return float(self.off.mean())

    def costs(self, bank: "_Bank") -> torch.Tensor:
        """Mean squared differences (T, N) of frames and N drawn backgrounds."""
        products = self.amounts @ bank.amounts.T
        squares = self.inside @ bank.squares.T - 2 * products
        squares = squares + self.amounts.square().sum(1, keepdim=True)
        means = self.scale * squares / self.pixels
        return means + self.off[:, None]

    def frames(self, chosen: slice) -> "_Line":
        """The same of some frames."""
        return replace(
            self,
            amounts=self.amounts[chosen],
            inside=self.inside[chosen],
            off=self.off[chosen],
        )

    def above(self, amount: float) -> "_Line":
        """The same of a picture that is 1 where there is more than this amount."""
        more = (self.amounts > amount).float()
        return replace(self, amounts=more * self.inside)


@dataclass(frozen=True)
class _Bank:
    """N drawn backgrounds, in amounts."""

    amounts: torch.Tensor  # (N, P)
    squares: torch.Tensor  # (N, P)

    @classmethod
    def of(cls, amounts: torch.Tensor) -> "_Bank":
        return cls(amounts, amounts.square())


def _lines(video: torch.Tensor, visible: torch.Tensor) -> dict[str, _Line]:
    """Lay every pixel of a video (3, T, H, W) to the lines of all colours."""
    T = video.shape[1]
    pixels = video.flatten(1)  # (3, T·P)
    colors = torch.tensor(list(BACKGROUND_COLORS.values())) / 255  # (4, 3)
    dark = colors.mean(1, keepdim=True) < 0.5
    ways = dark.float() - colors  # to white or black
    lamp = torch.tensor(LAMP_OFF) / 255  # lies near the lines of gray and white
    products = torch.cat([ways, colors, lamp[None]]) @ pixels
    along, by_color, by_lamp = products.split([len(ways), len(colors), 1])
    squares = pixels.square().sum(0)
    from_lamp = squares - 2 * by_lamp[0] + lamp.square().sum()
    no_lamp = from_lamp > 3 * LAMP_LIKE**2
    shown = no_lamp & visible.flatten().repeat(T)
    number = int(visible.sum())
    lines = {}
    for k, color in enumerate(BACKGROUND_COLORS):
        own = colors[k]
        way = ways[k]
        length = float(way.square().sum())  # squared
        amounts = (along[k] - float(own @ way)) / length
        from_color = squares - 2 * by_color[k] + float(own.square().sum())
        from_line = from_color - length * amounts**2
        near = from_line < 3 * OFF_LINE**2
        possible = (amounts > -0.1) & (amounts < MOST_AMOUNT)
        inside = (near & possible & shown).float()
        inside = inside.view(T, -1)
        amounts = amounts.view(T, -1) * inside
        off = (number - inside.sum(1)) * OFF_LINE**2 / number
        lines[color] = _Line(amounts, inside, length / 3, number, off)
    return lines


def _drawn(
    color: str,
    texture: str,
    camera: torch.Tensor,
    height: int,
    width: int,
) -> torch.Tensor:
    """A background (3, N, H, W) in [0, 1] from camera positions (N, 3)."""
    scene = Scene((), color, texture)
    drawing = prepare([scene], len(camera), height, width)
    drawing = replace(drawing, camera=camera[None])
    video = draw(drawing, height, width)[0]
    return (video + 1) / 2


def _amounts(texture: str, camera: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The same as amounts (N, H·W)."""
    black = BACKGROUND_COLORS["black"][0] / 255
    red = _drawn("black", texture, camera, height, width)[0]
    amounts = (red - black) / (1 - black)
    return amounts.flatten(1)


@lru_cache
def _still_bank(height: int, width: int) -> _Bank:
    """Every texture under a still camera."""
    camera = torch.tensor([[0.0, 0.0, 1.0]])
    parts = [_amounts(texture, camera, height, width) for texture in TEXTURES]
    return _Bank.of(torch.cat(parts))


@lru_cache
def _bank(
    texture: str,
    axis: str,
    height: int,
    width: int,
    above: float | None = None,
) -> _Bank:
    """A texture from all positions along one axis, or where it is above an amount."""
    path = _positions(texture, axis, height, width)
    camera = _camera_of(path, axis)
    amounts = _amounts(texture, camera, height, width)
    if above is not None:
        amounts = (amounts > above).float()
    return _Bank.of(amounts)


def _positions(texture: str, axis: str, height: int, width: int) -> torch.Tensor:
    """Where a camera may be along one axis; z is the logarithm of its zoom."""
    unit = min(height, width)
    most = {"x": 1.2, "y": 1.2, "z": 0.8}[axis]
    most = most * max(height, width) / unit
    if axis == "x" and texture == "hills":
        most = 2 * width / unit + 0.7  # a look away
    number = round(most / STEP)
    return torch.arange(-number, number + 1) * STEP


def _camera_of(path: torch.Tensor, axis: str) -> torch.Tensor:
    """Positions along one axis as (N, 3): x, y, zoom."""
    camera = torch.tensor([0.0, 0.0, 1.0]).repeat(len(path), 1)
    column = "xyz".index(axis)
    camera[:, column] = path.exp() if axis == "z" else path
    return camera


# --------------------------------------------------------------------------- cut and path


def _best_still(
    view: View,
    lines: dict[str, _Line],
    height: int,
    width: int,
) -> tuple[View, float, float]:
    """The background, or two with a cut between, that explain most under a still camera.

    Returns:
        View, what it costs, and how much of that is the cost of what is off the line of colours.
    """
    keys = [(color, texture) for color in lines for texture in TEXTURES]
    bank = _still_bank(height, width)
    costs = torch.cat([line.costs(bank) for line in lines.values()], dim=1)  # (T, N)
    best = int(costs.sum(0).argmin())
    cost = float(costs[:, best].mean())
    cut_cost, start, first, second = _best_cut(costs)
    if cost - cut_cost > BETTER:
        color, texture = keys[first]
        cut = keys[second]
        off_line = max(lines[color].off_line, lines[cut[0]].off_line)
        view = replace(view, background=color, texture=texture, cut=cut, start=start)
        return view, cut_cost, off_line
    color, texture = keys[best]
    view = replace(view, background=color, texture=texture)
    return view, cost, lines[color].off_line


def _best_cut(costs: torch.Tensor) -> tuple[float, int, int, int]:
    """One background after another: cost, first frame of the second, and which two they are."""
    T, N = costs.shape
    summed = torch.cat([costs.new_zeros(1, N), costs.cumsum(0)])  # (T + 1, N)
    best = (math.inf, 0, 0, 0)
    for start in range(LEAST_SHOT, T - LEAST_SHOT + 1):
        before, first = summed[start].min(0)
        rest = summed[T] - summed[start]
        after, second = rest.min(0)
        cost = float(before + after) / T
        best = min(best, (cost, start, int(first), int(second)))
    return best


def _best_axis(line: _Line, height: int, width: int) -> tuple[str, str]:
    """The texture and the axis along which single frames are explained best."""
    every = max(1, (len(line.off) - 1) // 4)
    some = line.frames(slice(None, None, every))
    costs = {}
    for texture in TEXTURES:
        for axis in AXES[texture]:
            bank = _bank(texture, axis, height, width)
            least = some.costs(bank).amin(1)
            costs[texture, axis] = float(least.mean())
    return min(costs, key=costs.__getitem__)


def _follow(
    line: _Line,
    texture: str,
    axis: str,
    height: int,
    width: int,
) -> tuple[torch.Tensor, float]:
    """The cheapest path (T,) through the positions of one axis, and its mean cost."""
    bank = _bank(texture, axis, height, width)
    costs = line.costs(bank)  # (T, N)
    positions = _positions(texture, axis, height, width)
    most_step = MOST_STEP if texture in PERIODIC else math.inf
    rows = _cheapest(costs, positions, most_step)
    frames = torch.arange(len(rows))
    cost = float(costs[frames, rows].mean())
    shift = between_rows(costs, rows, 1e-12)
    return positions[rows] + STEP * shift, cost


def _cheapest(costs: torch.Tensor, positions: torch.Tensor, most_step: float) -> torch.Tensor:
    """Rows (T,) of positions with the least sum of costs (T, N) and of the price of the way."""
    step = (positions[:, None] - positions).abs()
    price = torch.where(step <= most_step, WAY * step, math.inf)
    total = costs[0] + WAY * positions.abs()
    came_from = []
    for cost in costs[1:]:
        least, row = (total + price).min(1)
        total = least + cost
        came_from.append(row)
    last = total.argmin()
    rows = [last]
    for row in reversed(came_from):
        last = row[last]
        rows.append(last)
    return torch.stack(rows[::-1])


def _kind_of(path: torch.Tensor, axis: str, half_width: float) -> str:
    """Name a path: a pan or a zoom is even; a look goes a frame's width away and comes back."""
    reach = path - path[0]
    way = float(reach[-1])
    furthest = float(reach[reach.abs().argmax()])
    if abs(furthest) < LEAST_PATH:
        return "still"
    frames = torch.arange(len(path)).float()
    start, slope = fit_line(path, frames)
    misses = path - start - slope * frames
    uneven = float(misses.abs().max())
    even = uneven < 0.15 * abs(way) + 0.05
    if even and abs(way) > 0.25:
        if axis == "z":
            return "zooms in" if way > 0 else "zooms out"
        return f"pans {_direction(axis, way)}"
    far = abs(furthest) > 1.9 * half_width
    returns = abs(way) < 0.15
    if axis == "x" and far and returns:
        return f"looks {_direction(axis, furthest)} and back"
    return "unclear"


def _direction(axis: str, way: float) -> str:
    sign = 1 if way > 0 else -1
    vector = (sign, 0) if axis == "x" else (0, sign)
    return next(name for name, own in DIRECTIONS.items() if own == vector)


def _has_parallax(line: _Line, axis: str, height: int, width: int) -> bool:
    """Whether far and near hills move as their depths say: each gives the same camera's path."""
    positions = _positions("hills", axis, height, width)
    paths = []
    for edge in (FAR_EDGE, NEAR_EDGE):
        bank = _bank("hills", axis, height, width, edge)
        costs = line.above(edge).costs(bank)
        rows = _cheapest(costs, positions, math.inf)
        paths.append(positions[rows])
    far, near = paths
    reach = near.max() - near.min()
    if reach < LEAST_PATH:
        return False
    _, ratio = fit_line(far, near)
    return PARALLAX[0] < float(ratio) < PARALLAX[1]
