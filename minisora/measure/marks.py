"""Marks: what one object does to another, or to the background, and what stays of it.

A painted line is there from where the brush began to where it is, in every frame. A bite is missing
from the moment on at which the chomper has been there. A lamp is off until it is touched, and lit
from then on.
"""

from dataclasses import replace

import torch

from minisora.measure.laws import CONTACT
from minisora.measure.shapes import Fit, fit_open
from minisora.world.render import LINE, coverage, pixel_grid
from minisora.world.scene import BITE, DIRECTIONS

STROKE_STEP = 1 / 32  # half-widths between two drawn lengths of a line
LONGEST = 1.6  # half-widths
LEAST_STROKE = 0.4  # half-widths that a brush must paint
WELL_PAINTED = 0.8  # IoU of brush and line with the drawn ones, in every frame
WELL_BITTEN = 0.8  # IoU of what is left with what must be left, in every frame
LEAST_BITE = 0.05  # fraction of the target that must be missing
HEALED = 0.3  # fraction of the bite above which it is not there


def stroke(alpha: torch.Tensor, brush: Fit) -> tuple[Fit, torch.Tensor]:
    """Follow a brush by the line that it has painted.

    Args:
        alpha: (T, H, W) of both. brush: in the first frame, where there is no line yet.

    Returns:
        The brush in every frame, and IoU (T,) of brush and line with the drawn ones.
    """
    T, H, W = alpha.shape
    start, radius = brush.positions[0], brush.radii[0]
    lengths = torch.arange(round(LONGEST / STROKE_STEP)) * STROKE_STEP
    best = None
    for direction in DIRECTIONS.values():
        ends = start + lengths[:, None] * torch.tensor(direction, dtype=torch.float32)
        drawn = _strokes(start, ends, radius, H, W).flatten(1)  # (N, P)
        seen = alpha.flatten(1)  # (T, P)
        costs = drawn.square().sum(1) - 2 * seen @ drawn.T  # (T, N)
        total = float(costs.amin(1).sum())
        if best is None or total < best[0]:
            best = (total, costs, ends, drawn)
    assert best is not None
    _, costs, ends, drawn = best
    rows = costs.argmin(1)
    inner = rows.clamp(1, len(ends) - 2)
    frames = torch.arange(T)
    left, middle, right = (costs[frames, inner + shift] for shift in (-1, 0, 1))
    shift = ((left - right) / (2 * (left - 2 * middle + right).clamp(min=1e-9))).clamp(-0.5, 0.5)
    positions = ends[rows] + (shift * STROKE_STEP)[:, None] * (ends[1] - ends[0]) / STROKE_STEP
    exact = _strokes(start, positions, radius, H, W)
    everywhere = torch.ones(T, dtype=torch.bool)
    fitted = replace(
        brush,
        positions=positions,
        radii=radius.expand(T),
        angles=torch.zeros(T),
        seen=everywhere,
        whole=everywhere,
    )
    return fitted, iou(alpha, exact)


def _strokes(
    start: torch.Tensor, ends: torch.Tensor, radius: torch.Tensor, height: int, width: int
) -> torch.Tensor:
    """A brush at each of the ends (N, 2) and its line from the start: (N, H, W)."""
    number = len(ends)
    brush = coverage("brush", ends, radius.expand(number), torch.zeros(number), height, width)
    x, y = pixel_grid(height, width)
    low = torch.minimum(start, ends)[:, :, None, None]
    high = torch.maximum(start, ends)[:, :, None, None]
    dx = x - torch.minimum(torch.maximum(x, low[:, 0]), high[:, 0])  # along an axis
    dy = y - torch.minimum(torch.maximum(y, low[:, 1]), high[:, 1])
    distance = torch.hypot(dx, dy) - LINE
    line = (0.5 - distance * min(height, width) / 2).clamp(0, 1)
    return torch.maximum(brush, line)


def is_painted(positions: torch.Tensor, overlap: torch.Tensor) -> bool:
    """Whether the line grows with the brush and never heals."""
    length = float((positions[-1] - positions[0]).norm())
    return length > LEAST_STROKE and bool((overlap > WELL_PAINTED).all())


def at_rest(alpha: torch.Tensor, chomper: Fit, target: Fit) -> Fit:
    """The target (T, H, W) as it was before the chomper reached it, in every frame."""
    T = len(alpha)
    gap = (target.positions - chomper.positions).norm(dim=1)
    clear = gap > chomper.radii + 1.2 * target.radii[0]
    first = int((~clear).nonzero()[0, 0]) if not clear.all() else T
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


def bitten(
    chomper: Fit, chomper_alpha: torch.Tensor, target: Fit, alpha: torch.Tensor
) -> tuple[torch.Tensor, bool]:
    """Hold a target against what a chomper must have left of it.

    Args:
        chomper_alpha, alpha: coverages (T, H, W) of the chomper, which is in front, and the target.

    Returns:
        IoU (T,) of the target with what must be left, and whether it is bitten as it must be.
    """
    T, H, W = alpha.shape
    way = target.positions[0] - chomper.positions[0]
    way = way / way.norm().clamp(min=1e-6)
    depth = (chomper.positions - chomper.positions[0]) @ way
    deepest = depth.cummax(0).values  # (T,)
    centers = chomper.positions[0] + deepest[:, None] * way
    zeros = torch.zeros(T)
    disc = coverage("circle", centers, chomper.radii.median().expand(T) * BITE, zeros, H, W)
    whole = coverage(target.shape, target.positions, target.radii, target.angles, H, W)
    covered = coverage(chomper.shape, chomper.positions, chomper.radii, chomper.angles, H, W)
    left = torch.minimum(whole, 1 - disc) * (1 - covered)
    overlap = iou(alpha, left)
    bite = torch.minimum(whole[-1], disc[-1])
    size = bite.sum() / whole[-1].sum().clamp(min=1e-6)
    open_to_view = bite * (1 - covered)  # (T, H, W)
    there = deepest > deepest[-1] - 0.02
    remains = (alpha * open_to_view).sum((1, 2)) / open_to_view.sum((1, 2)).clamp(min=1.0)
    healed = bool((remains[there] > HEALED).any())
    fits = bool((overlap > WELL_BITTEN).all())
    return overlap, fits and not healed and float(size) > LEAST_BITE


def is_lit(thing: Fit, lamp: Fit, colors: tuple[str | None, ...]) -> bool:
    """Whether a lamp is off before it is touched, and lit from that frame on."""
    if set(colors) != {"off", "on"}:
        return False
    first = colors.index("on")
    if any(color != "on" for color in colors[first:]):
        return False
    gap = (thing.positions - lamp.positions).norm(dim=1) / (thing.radii + lamp.radii)
    near = gap[max(first - 1, 0) : first + 2].min()
    return bool(near < CONTACT) and int(gap.argmin()) in range(first - 1, first + 2)


def iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Intersection over union (T,) of two coverages (T, H, W): Σ min / Σ max."""
    union = torch.maximum(a, b).sum((1, 2)).clamp(min=1e-6)
    return torch.minimum(a, b).sum((1, 2)) / union
