"""Shapes: from one object's coverage to what it is, where, how large and how far rotated.

    alpha (T, H, W) ── fit ──► Fit: shape, positions (T, 2), radii (T,), angles (T,), …

A shape is the nearest of a bank of drawn ones, over all frames that show the object whole. Where a
wall or the frame's edge cuts it off, the shape is moved until what can be seen of it has its centre
of mass where the picture has it.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter

import torch
import torch.nn.functional as F

from minisora.measure.laws import PERIOD, fit_line, rotation, unwrap, vertex
from minisora.measure.regions import RIPPLE, centers_of
from minisora.world.render import KINDS, coverage
from minisora.world.scene import ROUND, SHAPES

AREA = {  # at radius 1
    "circle": math.pi,
    "square": 2.89,
    "triangle": 1.871,
    "star": 1.960,
    "heart": 2.605,
    "ring": 0.75 * math.pi,
    "brush": 1.353,
    "chomper": 2.542,
    "lamp": 2.929,
}
CENTER = {"brush": (0.0, 0.155), "chomper": (-0.148, 0.0), "lamp": (0.0, 0.146)}  # of mass
UPRIGHT = (*ROUND, "brush", "lamp")  # are never rotated, or look the same
BANK_RADII = (3.0, 4.0, 5.0, 6.0, 7.0, 9.0, 12.0)  # pixels
BANK_STEP = 9  # degrees between two drawn angles
CROP = 20  # side of the cut-out in which shapes are compared
UNCLEAR_SHAPE = 0.08  # mean squared difference to the best drawn shape above which there is none
TOUCHES = 0.006  # the same below which an object at the edge only touches it
WHOLE_FRAMES = 2  # as many frames that show an object whole tell its shape
COARSE = 24  # pixels of a frame's side that show what a cut-off object is
MOST_CUT = 0.35  # fraction of an object that must be seen for its place to be known


@dataclass(frozen=True)
class Fit:
    """One shape's place in every frame, on the screen. Frames without it hold guesses."""

    shape: str  # one of KINDS
    error: float  # mean squared difference to the shape as it is drawn
    positions: torch.Tensor  # (T, 2)
    radii: torch.Tensor  # (T,)
    angles: torch.Tensor  # (T,), without jumps; zero for round shapes
    seen: torch.Tensor  # (T,) bool
    whole: torch.Tensor  # (T,) bool: nothing cuts it off


def fit(alpha: torch.Tensor, visible: torch.Tensor, zoom: torch.Tensor) -> Fit | None:
    """Fit the best shape to one object's coverage.

    Args:
        alpha: (T, H, W). visible: (H, W), False behind a wall. zoom: (T,) the camera's.
    """
    T, H, W = alpha.shape
    unit = min(H, W) / 2  # pixels in a half-width
    area = alpha.sum((1, 2))
    seen = area >= 12 * (unit / 16) ** 2
    if not seen.any():
        return None
    edge = (alpha * _edge(visible)).sum((1, 2))
    whole = seen & (edge < 0.5)
    enough = min(WHOLE_FRAMES, T)
    few = int(whole.sum()) < enough
    clear = whole
    if few:
        clear = seen & (area >= 0.8 * area.max())
    centers = centers_of(alpha)
    shape, error, angles = _nearest_shape(alpha, centers, area, clear, unit)
    if few and error < TOUCHES:  # nothing is missing of it
        whole = clear
    if int(whole.sum()) < enough:
        shape, error, radius = _fit_cut(alpha, visible, clear)
        radii = radius.expand(T)
        angles = torch.zeros(T)
    else:
        radii = (area / AREA[shape]).sqrt() / unit
        radii = _even_radii(radii, zoom, clear, whole)
        period = PERIOD.get(shape, 0.0)
        angles = _even_angles(angles, period, clear, whole)
    positions = centers - offset(shape, radii, angles)
    cut = seen & ~whole
    if cut.any():
        own = (positions[cut], radii[cut], angles[cut])
        positions[cut] = _settle(alpha[cut], visible, shape, *own)
    if shape in PERIOD:
        angles = unwrap(angles, PERIOD[shape])
    return Fit(shape, error, positions, radii, angles, seen, whole)


def fit_open(alpha: torch.Tensor) -> Fit | None:
    """The same where there is no wall and the camera does not zoom."""
    visible = torch.ones(alpha.shape[1:], dtype=torch.bool)
    zoom = torch.ones(len(alpha))
    return fit(alpha, visible, zoom)


def offset(shape: str, radii: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """From where a shape is drawn to its centre of mass (..., 2)."""
    x, y = CENTER.get(shape, (0.0, 0.0))
    cos = angles.cos()
    sin = angles.sin()
    dx = x * cos - y * sin
    dy = x * sin + y * cos
    return radii[..., None] * torch.stack([dx, dy], dim=-1)


def _edge(visible: torch.Tensor) -> torch.Tensor:
    """Visible pixels (H, W) at the frame's edge or beside a wall."""
    padded = F.pad(visible[None, None].float(), (1, 1, 1, 1))
    around = F.avg_pool2d(padded, 3, 1)[0, 0]  # fraction of the 3×3 pixels that is visible
    inner = around > 0.99
    return visible & ~inner


def _even_radii(
    radii: torch.Tensor,
    zoom: torch.Tensor,
    clear: torch.Tensor,
    whole: torch.Tensor,
) -> torch.Tensor:
    """Radii (T,); where an object is not whole, those of even growth through the clear frames."""
    frames = torch.arange(len(radii)).float()
    in_world = radii / zoom
    start, slope = fit_line(in_world[clear], frames[clear])
    even = (start + slope * frames).clamp(min=0.02)
    return torch.where(whole, radii, even * zoom)


def _even_angles(
    angles: torch.Tensor,
    period: float,
    clear: torch.Tensor,
    whole: torch.Tensor,
) -> torch.Tensor:
    """Angles (T,); where an object is not whole, those of an even rotation."""
    frames = torch.arange(len(angles)).float()
    start, rate, _ = rotation(angles[clear], frames[clear], period, 0.5)
    return torch.where(whole, angles, start + rate * frames)


# ------------------------------------------------------------------------- objects seen whole


def _nearest_shape(
    alpha: torch.Tensor,
    centers: torch.Tensor,
    area: torch.Tensor,
    clear: torch.Tensor,
    unit: float,
) -> tuple[str, float, torch.Tensor]:
    """The drawn shape that is nearest over clear frames, by how much it misses, its angles (T,)."""
    crops = _crops(alpha, centers, area, unit)  # (T, CROP²)
    bank, squares, spans = _bank()
    radii = area.sqrt() * 0.6  # pixels, about
    misses = radii[:, None] - torch.tensor(BANK_RADII)
    nearest = misses.abs().argmin(1)  # (T,) which of the bank's sizes
    products = torch.einsum("tc,rnc->trn", crops, bank)
    frames = torch.arange(len(area))
    errors = squares[nearest] - 2 * products[frames, nearest]
    errors = errors + crops.square().sum(1, keepdim=True)
    errors = errors / CROP**2  # (T, N)
    means = {}
    for shape, span in spans.items():
        least = errors[clear, span].amin(1)
        means[shape] = float(least.mean())
    shape = min(means, key=means.__getitem__)
    if shape in UPRIGHT:
        return shape, means[shape], torch.zeros(len(area))
    own = errors[:, spans[shape]]
    angles = _refine(own, _bank_angles(shape), PERIOD[shape])
    return shape, means[shape], angles


def _crops(
    alpha: torch.Tensor,
    centers: torch.Tensor,
    area: torch.Tensor,
    unit: float,
) -> torch.Tensor:
    """Cut each frame's object out, centred and scaled to the same area: (T, CROP²)."""
    T, H, W = alpha.shape
    reach = area.clamp(min=1).sqrt() / unit * 0.95  # half-widths from the centre to the border
    offsets = reach[:, None] * torch.linspace(-1, 1, CROP)  # (T, CROP)
    x = (centers[:, :1] + offsets) * 2 * unit / W
    y = (centers[:, 1:] + offsets) * 2 * unit / H
    x = x[:, None, :].expand(T, CROP, CROP)
    y = y[:, :, None].expand(T, CROP, CROP)
    grid = torch.stack([x, y], dim=-1)
    crops = F.grid_sample(alpha[:, None], grid, align_corners=False)
    return crops.flatten(1)


def _bank_angles(shape: str) -> torch.Tensor:
    """The angles at which the bank holds a shape."""
    if shape in UPRIGHT:
        return torch.zeros(1)
    period = PERIOD[shape]
    count = max(1, round(math.degrees(period) / BANK_STEP))
    return torch.arange(count) * (period / count)


@lru_cache
def _bank() -> tuple[torch.Tensor, torch.Tensor, dict[str, slice]]:
    """Every shape at every size and angle, drawn and cut out as objects are.

    Returns:
        (radii, N, CROP²), the sums of its squares (radii, N), and which of the N a shape has.
    """
    parts = []
    spans = {}
    start = 0
    for shape in KINDS:
        own = torch.stack([_bank_crops(shape, radius) for radius in BANK_RADII])
        end = start + own.shape[1]
        spans[shape] = slice(start, end)
        start = end
        parts.append(own)
    bank = torch.cat(parts, dim=1)
    return bank, bank.square().sum(-1), spans


def _bank_crops(shape: str, radius: float) -> torch.Tensor:
    """One shape at one radius (pixels) and all its angles: (angles, CROP²)."""
    side = 40
    unit = side / 2
    angles = _bank_angles(shape)
    radii = torch.full_like(angles, radius / unit)
    # an object may sit anywhere between pixels: the mean over five offsets
    shifts = torch.tensor([[0.0, 0.0], [0.25, 0.25], [0.5, 0.0], [0.0, 0.5], [0.5, 0.5]]) / unit
    total = torch.zeros(len(angles), CROP**2)
    for shift in shifts:
        alpha = coverage(shape, shift.expand(len(angles), 2), radii, angles, side, side)
        alpha = torch.where(alpha > RIPPLE, alpha, 0)
        total += _crops(alpha, centers_of(alpha), alpha.sum((1, 2)), unit)
    return total / len(shifts)


def _refine(error: torch.Tensor, angles: torch.Tensor, period: float) -> torch.Tensor:
    """Angle of the least error (T, angles): the top of a parabola through the best three."""
    count = len(angles)
    best = error.argmin(1)
    rows = torch.arange(len(best))
    left = error[rows, (best - 1) % count]
    middle = error[rows, best]
    right = error[rows, (best + 1) % count]
    shift = vertex(left, middle, right)
    return angles[best] + shift * period / count


# --------------------------------------------------------------------- objects that are cut off


def _settle(
    alpha: torch.Tensor,
    visible: torch.Tensor,
    shape: str,
    positions: torch.Tensor,
    radii: torch.Tensor,
    angles: torch.Tensor,
    steps: int = 8,
) -> torch.Tensor:
    """Move a shape until its visible part has its centre of mass where the picture has it."""
    height, width = alpha.shape[1:]
    wanted = centers_of(alpha)
    for _ in range(steps):
        drawn = coverage(shape, positions, radii, angles, height, width) * visible
        missed = wanted - centers_of(drawn)
        positions = positions + 1.3 * missed
        if missed.abs().max() < 0.003:
            break
    return positions


def _fit_cut(
    alpha: torch.Tensor, visible: torch.Tensor, clear: torch.Tensor
) -> tuple[str, float, torch.Tensor]:
    """The upright shape, how much it misses, and the radius that explain cut-off frames best."""
    rows = clear.nonzero()[:2, 0]
    alpha = alpha[rows]
    shown = visible.float()
    if min(shown.shape) >= 2 * COARSE:  # half as fine is fine enough
        alpha = F.avg_pool2d(alpha, 2)
        shown = F.avg_pool2d(shown[None], 2)[0]
    fits = [_grow(alpha, shown, shape, None, 3) for shape in SHAPES]  # no tool leaves the view
    fits.sort(key=attrgetter("error"))
    fits = [_grow(alpha, shown, one.shape, one, 6) for one in fits[:2]]
    best = min(fits, key=attrgetter("error"))
    return best.shape, best.error, best.radius


@dataclass(frozen=True)
class _Cut:
    """A shape behind an edge."""

    shape: str
    error: float
    positions: torch.Tensor  # (n, 2)
    radius: torch.Tensor  # ()


def _grow(
    alpha: torch.Tensor,
    visible: torch.Tensor,
    shape: str,
    start: _Cut | None,
    steps: int,
) -> _Cut:
    """Move and scale an upright shape until its visible part is where, and as large as, it is."""
    height, width = visible.shape
    number = len(alpha)
    area = alpha.sum()
    wanted = centers_of(alpha)
    zeros = torch.zeros(number)
    radius = (area / number / AREA[shape]).sqrt() * 2 / min(height, width)
    positions = wanted
    if start:
        radius = start.radius
        positions = start.positions
    for _ in range(steps):
        drawn = coverage(shape, positions, radius.expand(number), zeros, height, width)
        drawn = drawn * visible
        missed = wanted - centers_of(drawn)
        positions = positions + 1.3 * missed
        ratio = area / drawn.sum().clamp(min=1e-6)
        radius = radius * ratio.sqrt().clamp(0.8, 1.25)
    drawn = coverage(shape, positions, radius.expand(number), zeros, height, width)
    missed = drawn * visible - alpha
    error = float(missed.square().sum() / area)
    return _Cut(shape, error, positions, radius)
