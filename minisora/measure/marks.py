"""Marks: what one object does to another, or to the background, and what stays of it.

A painted line is there from where the brush began to where it is, in every frame. A bite is missing
from the moment on at which the chomper has been there. A lamp is off until it is touched, and lit
from then on.
"""

from dataclasses import dataclass, replace

import torch

from minisora.measure.laws import CONTACT, between_rows
from minisora.measure.shapes import Fit, fit_open
from minisora.world.render import LINE, coverage, pixel_grid
from minisora.world.scene import BITE, DIRECTIONS

STROKE_STEP = 1 / 32  # half-widths between two drawn lengths of a line
LONGEST = 1.6  # half-widths
LEAST_STROKE = 0.4  # half-widths that a brush must paint
LIKE = 0.5  # IoU with what must be there, in every frame; how sharp it is, outlines say
LEAST_LINE = 0.5  # fraction of a line that must be there, in every frame
LEAST_BITE = 0.05  # fraction of the target that must be missing
HEALED = 0.5  # fraction of the bite above which it is not there
IN_VIEW = 0.5  # fraction of the bite that must be in view where one looks for it
LEAST_AREA = 4.0  # pixels below which nobody could say whether something is there
APART = 1.2  # times the sum of two radii: what is farther away has touched nothing yet


def stroke(alpha: torch.Tensor, brush: Fit) -> tuple[Fit, torch.Tensor, torch.Tensor]:
    """Follow a brush by the line that it has painted.

    Args:
        alpha: (T, H, W) of both. brush: in the first frame, where there is no line yet.

    Returns:
        The brush in every frame, IoU (T,) of brush and line with the drawn ones, and the fraction
        (T,) of the line that is there, 1 where the brush hides it.
    """
    T, H, W = alpha.shape
    start = brush.positions[0]
    radius = brush.radii[0]
    directions = torch.tensor(list(DIRECTIONS.values())).float()
    ways = []
    totals = []
    for direction in directions:
        ends, costs = _lines(alpha, start, radius, direction)
        ways.append((ends, costs))
        totals.append(float(costs.amin(1).sum()))
    best = totals.index(min(totals))
    ends, costs = ways[best]

    rows = costs.argmin(1)  # (T,)
    shift = between_rows(costs, rows)
    step = ends[1] - ends[0]
    positions = ends[rows] + shift[:, None] * step
    drawn = _strokes(start, positions, radius, H, W)
    everywhere = torch.ones(T, dtype=torch.bool)
    fitted = replace(
        brush,
        positions=positions,
        radii=radius.expand(T),
        angles=torch.zeros(T),
        seen=everywhere,
        whole=everywhere,
    )
    brushes = coverage("brush", positions, fitted.radii, fitted.angles, H, W)
    line = (drawn - brushes).clamp(min=0)
    overlap = iou(alpha, drawn)
    there = fraction_in(alpha, line)
    return fitted, overlap, there


def _lines(
    alpha: torch.Tensor,
    start: torch.Tensor,
    radius: torch.Tensor,
    direction: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ends (N, 2) of lines of all lengths in one direction, and how each fits each frame (T, N).

    Of the squared difference |drawn - seen|², |seen|² is left out: it is the same for all lines.
    """
    height, width = alpha.shape[1:]
    number = round(LONGEST / STROKE_STEP)
    lengths = torch.arange(number) * STROKE_STEP
    ends = start + lengths[:, None] * direction
    drawn = _strokes(start, ends, radius, height, width)
    drawn = drawn.flatten(1)  # (N, P)
    seen = alpha.flatten(1)  # (T, P)
    products = 2 * seen @ drawn.T
    own = drawn.square().sum(1)
    return ends, own - products


def _strokes(
    start: torch.Tensor,
    ends: torch.Tensor,
    radius: torch.Tensor,
    height: int,
    width: int,
) -> torch.Tensor:
    """A brush at each of the ends (N, 2) and its line from the start: (N, H, W)."""
    zeros = torch.zeros(len(ends))
    radii = radius.expand(len(ends))
    brush = coverage("brush", ends, radii, zeros, height, width)
    x, y = pixel_grid(height, width)
    low = torch.minimum(start, ends)[..., None, None]
    high = torch.maximum(start, ends)[..., None, None]
    dx = x - x.clamp(low[:, 0], high[:, 0])  # a line lies along an axis
    dy = y - y.clamp(low[:, 1], high[:, 1])
    unit = min(height, width) / 2  # pixels in a half-width
    distance = torch.hypot(dx, dy) - LINE
    line = 0.5 - distance * unit
    return torch.maximum(brush, line.clamp(0, 1))


def is_painted(
    positions: torch.Tensor,
    overlap: torch.Tensor,
    there: torch.Tensor,
) -> bool:
    """Whether a line grows with the brush and stays; arguments as `stroke` returns them."""
    way = positions[-1] - positions[0]
    grows = float(way.norm()) > LEAST_STROKE
    like = bool((overlap > LIKE).all())
    stays = bool((there > LEAST_LINE).all())
    return grows and like and stays


def at_rest(alpha: torch.Tensor, chomper: Fit, target: Fit) -> Fit:
    """The target (T, H, W) as it was before the chomper reached it, in every frame."""
    T = len(alpha)
    way = target.positions - chomper.positions
    reach = chomper.radii + 1.2 * target.radii[0]
    clear = way.norm(dim=1) > reach
    reached = (~clear).nonzero()[:, 0].tolist()
    first = reached[0] if reached else T
    own = fit_open(alpha[: max(first, 1)])
    if own is None:
        return target
    return replace(
        target,
        shape=own.shape,
        error=own.error,
        positions=own.positions.mean(0).expand(T, 2),
        radii=own.radii.mean().expand(T),
        angles=own.angles[:1].expand(T),
        whole=torch.ones(T, dtype=torch.bool),
    )


@dataclass(frozen=True)
class Bite:
    """What a chomper has left of its target, held against what it must leave.

    Attributes:
        overlap: IoU (T,) of the target with what must be left.
        right: whether it is bitten as it must be.
        after_touch: whether nothing is missing before the touch; None where nothing is missing.
    """

    overlap: torch.Tensor
    right: bool
    after_touch: bool | None


def bitten(chomper: Fit, target: Fit, alpha: torch.Tensor) -> Bite:
    """Hold a target against what a chomper, which is in front of it, must have left of it.

    Args:
        alpha: coverage (T, H, W) of the target.
    """
    T, H, W = alpha.shape
    start = chomper.positions[0]
    way = target.positions[0] - start
    distance = way.norm().clamp(min=1e-6)
    way = way / distance
    depth = (chomper.positions - start) @ way
    deepest = depth.cummax(0).values  # (T,)
    centers = start + deepest[:, None] * way
    radius = chomper.radii.median() * BITE
    radii = radius.expand(T)
    disc = coverage("circle", centers, radii, torch.zeros(T), H, W)
    whole = _drawn(target, H, W)
    in_view = 1 - _drawn(chomper, H, W)
    not_bitten = torch.minimum(whole, 1 - disc)
    left = not_bitten * in_view
    overlap = iou(alpha, left)

    entire = whole[-1]
    bite = torch.minimum(entire, disc[-1])
    mass = entire.sum()
    size = bite.sum() / mass.clamp(min=1e-6)
    open_bite = bite * in_view  # (T, H, W)
    remains = fraction_in(alpha, open_bite)
    area = open_bite.sum((1, 2))
    complete = deepest > deepest[-1] - 0.02
    looked_at = complete & (area > IN_VIEW * bite.sum())
    gone = remains[looked_at] <= HEALED
    stays = bool(looked_at.any() and gone.all())
    like = bool((overlap > LIKE).all())
    large = float(size) > LEAST_BITE
    right = like and large and stays
    missing = remains < HEALED
    gap = _gap(chomper, target)
    nearest = gap.cummin(0).values  # so far
    before = nearest > APART
    early = bool((missing & before).any())
    return Bite(overlap, right, not early if missing.any() else None)


def _drawn(own: Fit, height: int, width: int) -> torch.Tensor:
    """Coverage (T, H, W) of a shape where it was found."""
    return coverage(own.shape, own.positions, own.radii, own.angles, height, width)


def is_lit(thing: Fit, lamp: Fit, colors: tuple[str | None, ...]) -> bool:
    """Whether a lamp is off before it is touched, and lit from that frame on."""
    if set(colors) != {"off", "on"}:
        return False
    first = colors.index("on")
    if any(color != "on" for color in colors[first:]):
        return False
    gap = _gap(thing, lamp)
    around = slice(max(first - 1, 0), first + 2)
    closest = gap[around].min()
    touches = bool(closest < CONTACT)
    nearest = int(gap.argmin())
    return touches and abs(nearest - first) <= 1


def lit_after_touch(thing: Fit, lamp: Fit, colors: tuple[str | None, ...]) -> bool | None:
    """Whether a lamp is not lit before it is touched; None where it never is lit."""
    if "on" not in colors:
        return None
    until = colors.index("on") + 2
    gap = _gap(thing, lamp)[:until]
    return bool(gap.min() < CONTACT)


def _gap(a: Fit, b: Fit) -> torch.Tensor:
    """How far two are apart in every frame, (T,), in sums of their radii: at 1 they touch."""
    way = a.positions - b.positions
    return way.norm(dim=1) / (a.radii + b.radii)


def fraction_in(alpha: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    """How much of a part (T, H, W) is covered by alpha (T, H, W): (T,); 1 where it is too small."""
    area = part.sum((1, 2))
    covered = (alpha * part).sum((1, 2))
    fraction = covered / area.clamp(min=1.0)
    return torch.where(area > LEAST_AREA, fraction, torch.ones_like(area))


def iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Intersection over union (T,) of two coverages (T, H, W): Σ min / Σ max."""
    intersection = torch.minimum(a, b).sum((1, 2))
    union = torch.maximum(a, b).sum((1, 2))
    return intersection / union.clamp(min=1e-6)
