"""Which pixels belong to which object.

    video, empty (3, T, H, W) ── regions ──► one Region for each object: its coverage (T, H, W)

A pixel that an object covers is background + alpha · (colour − background): the colour is the one
on whose line the pixel lies best, and alpha how far along. Objects of one colour are told apart by
connected components, and then followed from frame to frame. What changes its colour stays one
object.
"""

import itertools
import math
from dataclasses import dataclass
from typing import TypeAlias

import torch

from minisora.world.render import pixel_grid
from minisora.world.scene import COLORS, LAMP_OFF, LAMP_ON

PALETTE = COLORS | {"off": LAMP_OFF, "on": LAMP_ON}
DIFFERENT = 0.03  # difference to the empty background below which a pixel is not looked at
RIPPLE = 0.12  # coverage below which a pixel shows the compressor's ripples and no object
SOLID = 0.6  # coverage from which on a pixel tells that a colour is there
LEAST_FRAMES = 3  # in which something must be there to be an object
MOST_REGIONS = 6  # of which any is too many
NEAR = 1.6  # times the sum of two radii: what is nearer may touch
TOGETHER = 0.9  # of the mass of two objects, which must be there to be divided between them
NEXT = 0.3  # half-widths that an object moves at most while it changes its colour


@dataclass(frozen=True)
class Region:
    """One object's pixels."""

    alpha: torch.Tensor  # (T, H, W) in [0, 1]
    colors: tuple[str | None, ...]  # in every frame; None: not there


@dataclass(frozen=True)
class _Pixels:
    """The pixels that differ from the empty background, N of them."""

    index: torch.Tensor  # (N,) into T·H·W
    alphas: torch.Tensor  # (N, colours)
    missed: torch.Tensor  # (N, colours) squared distance to each colour's line
    shape: tuple[int, int, int]  # T, H, W


def regions(
    video: torch.Tensor,
    empty: torch.Tensor,
    visible: torch.Tensor,
) -> list[Region]:
    """Find every object's pixels, the largest object first.

    Args:
        video, empty: (3, T, H, W) in [0, 1]. visible: (H, W), False behind a wall.

    Returns:
        At most MOST_REGIONS; none where nothing has one of the palette's colours.
    """
    pixels = _pixels(video, empty, visible)
    T, H, W = pixels.shape
    enough = 8 * (min(H, W) / 32) ** 2  # pixels of one colour
    chosen = _colors_there(pixels, enough)  # (colours,) into PALETTE
    if not chosen:
        return []

    owner = pixels.missed[:, chosen].argmin(1)  # (N,) into chosen
    alphas = pixels.alphas[:, chosen]
    alpha = alphas.gather(1, owner[:, None])[:, 0]
    least = 1.5 * enough  # pixels of one object
    centers = _components(pixels, owner, alpha > 0.5, least)
    names = list(PALETTE)
    found = []
    for i, k in enumerate(chosen):
        mine = (owner == i) & (alpha > RIPPLE)
        own = torch.zeros(T * H * W)
        own[pixels.index[mine]] = alpha[mine]
        for part in _split(own.view(T, H, W), centers[i]):
            mass = part.sum((1, 2))
            there = (mass >= least).tolist()
            if any(there):
                colors = tuple(names[k] if here else None for here in there)
                found.append(Region(part, colors))
    found.sort(key=lambda region: -float(region.alpha.sum()))
    return _joined(found[:MOST_REGIONS])


def _pixels(video: torch.Tensor, empty: torch.Tensor, visible: torch.Tensor) -> _Pixels:
    """Lay the pixels that differ to the line of every colour."""
    _, T, H, W = video.shape
    difference = video - empty
    differs = difference.abs().amax(0) > DIFFERENT
    differs = differs & visible
    index = differs.flatten().nonzero()[:, 0]
    difference = difference.flatten(1)[:, index].T  # (N, 3)
    behind = empty.flatten(1)[:, index].T
    palette = torch.tensor(list(PALETTE.values())) / 255
    lines = palette - behind[:, None]  # (N, colours, 3)
    along = lines * difference[:, None]
    along = along.sum(-1)
    lengths = lines.square().sum(-1)  # squared
    alphas = (along / lengths).clamp(0, 1)

    # |difference - alpha · line|²
    missed = difference.square().sum(-1, keepdim=True)
    missed = missed - 2 * alphas * along
    missed = missed + alphas**2 * lengths
    if not visible.all():  # no clip has a wall and a lamp, and a wall's edge may look like one
        missed[:, len(COLORS) :] = torch.inf
    return _Pixels(index, alphas, missed, (T, H, W))


def _colors_there(pixels: _Pixels, enough: float) -> list[int]:
    """Which colours of the palette have enough solid pixels in enough frames."""
    T, H, W = pixels.shape
    nearest = pixels.missed.argmin(1)  # (N,)
    alpha = pixels.alphas.gather(1, nearest[:, None])[:, 0]
    solid = (alpha > SOLID).float()
    frame = pixels.index // (H * W)
    number = torch.zeros(len(PALETTE), T)
    number.index_put_((nearest, frame), solid, accumulate=True)
    frames = (number >= enough).sum(1)
    there = frames >= min(LEAST_FRAMES, T)
    return there.nonzero().flatten().tolist()


# ----------------------------------------------------------------- several objects of one colour


Centers: TypeAlias = dict[int, list[torch.Tensor]]  # frame → (2,) of each connected component


def _components(
    pixels: _Pixels,
    owner: torch.Tensor,
    inside: torch.Tensor,
    least: float,
) -> list[Centers]:
    """Find connected components of at least so many pixels.

    Args:
        owner: (N,) the number of each pixel's colour. inside: (N,), False: in no component.
        least: pixels.

    Returns:
        For each colour, the centres of its components.
    """
    T, H, W = pixels.shape
    number = int(owner.max()) + 1
    index = pixels.index[inside]
    owner = owner[inside]
    labels = _connected(index, owner, pixels.shape)
    firsts, component, sizes = labels.unique(return_inverse=True, return_counts=True)
    places = _pixel_places(H, W)[index % (H * W)]
    moments = torch.zeros(len(firsts), 2)
    moments.index_add_(0, component, places)
    means = moments / sizes[:, None]
    large = (sizes >= least).nonzero()[:, 0]

    centers: list[Centers] = [{} for _ in range(number)]
    for i in large.tolist():
        pixel = firsts[i]
        color = int(owner[pixel])
        frame = int(index[pixel]) // (H * W)
        own = centers[color].setdefault(frame, [])
        own.append(means[i])
    return centers


def _connected(
    index: torch.Tensor,
    owner: torch.Tensor,
    shape: tuple[int, int, int],
) -> torch.Tensor:
    """Label each pixel (N,), equally where a way leads along neighbours of one colour and frame.

    A label is the number of the first of such pixels. Runs of pixels in a row come first; then runs
    that touch are joined.
    """
    W = shape[2]
    apart = index.diff() != 1
    other_color = owner.diff() != 0
    new_row = index[1:] % W == 0
    begins = torch.ones(len(index), dtype=torch.bool)
    begins[1:] = apart | other_color | new_row
    firsts = begins.nonzero()[:, 0]
    run = begins.cumsum(0) - 1  # (N,) which run a pixel is in

    number = torch.full(shape, -1)  # of a pixel; -1: none of these
    number.view(-1)[index] = torch.arange(len(index))
    above = number[:, :-1]
    below = number[:, 1:]
    both = (above >= 0) & (below >= 0)
    above = above[both]
    below = below[both]
    same = owner[above] == owner[below]
    upper = run[above[same]]
    lower = run[below[same]]
    labels = _join_runs(upper, lower, len(firsts))
    return firsts[labels][run]


def _join_runs(a: torch.Tensor, b: torch.Tensor, number: int) -> torch.Tensor:
    """Label runs (number,) by the first run that a way leads to; runs a[i] and b[i] touch."""
    pairs = (a * number + b).unique_consecutive()
    a = pairs // number
    b = pairs % number
    labels = torch.arange(number)
    while True:
        least = torch.minimum(labels[a], labels[b])
        new = labels.clone()
        ends = (labels[a], labels[b], a, b)  # a label's own run takes on what is less, too
        for end in ends:
            new.scatter_reduce_(0, end, least, "amin")
        new = new[new]
        if torch.equal(new, labels):
            return labels
        labels = new


def _split(alpha: torch.Tensor, centers: Centers) -> list[torch.Tensor]:
    """Divide a colour's coverage (T, H, W) into one for each of its objects."""
    T = len(alpha)
    counts = [len(centers.get(t, [])) for t in range(T)]
    least = min(LEAST_FRAMES, T)
    number = 1
    while sum(count > number for count in counts) >= least:
        number += 1
    if number == 1:
        return [alpha]
    first = next(t for t in range(T) if counts[t] >= number)
    begin = torch.stack(centers[first][:number])
    return _follow(alpha, first, begin)


def _follow(alpha: torch.Tensor, first: int, centers: torch.Tensor) -> list[torch.Tensor]:
    """Divide a coverage (T, H, W) between objects, frame by frame.

    They are followed forwards and backwards from the first frame that shows all of them, where
    their centres are (k, 2).
    """
    T, H, W = alpha.shape
    number = len(centers)
    places = _pixel_places(H, W)
    parts = torch.zeros(number, T, H * W)
    pixels, weights = _covered(alpha[first])
    own, begin = _nearest(places[pixels], weights, centers)
    parts[own, first, pixels] = weights
    masses = torch.zeros(number).index_add_(0, own, weights)
    radii = (masses / math.pi).sqrt()  # pixels
    near = NEAR * 2 / min(H, W) * float(radii.sum())
    for frames in (range(first + 1, T), range(first - 1, -1, -1)):
        before = begin
        step = torch.zeros_like(begin)
        for t in frames:
            pixels, weights = _covered(alpha[t])
            where = places[pixels]
            own, at = _nearest(where, weights, before + step)
            together = alpha[t].sum() > TOGETHER * masses.sum()
            if number == 2 and together and _are_near(at, near):
                own, at = _cut_in_two(where, weights, at, masses)
            parts[own, t, pixels] = weights
            step = at - before
            before = at
    return list(parts.view(number, T, H, W))


def _covered(alpha: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The pixels (n,) that a coverage (H, W) covers, into H·W, and how much of each it does."""
    flat = alpha.flatten()
    pixels = flat.nonzero()[:, 0]
    return pixels, flat[pixels]


def _pixel_places(height: int, width: int) -> torch.Tensor:
    """Centres (H·W, 2) of all pixels, in half-widths."""
    x, y = pixel_grid(height, width)
    x = x.expand(height, width)
    y = y.expand(height, width)
    places = torch.stack([x, y], dim=-1)
    return places.view(-1, 2)


def _nearest(
    places: torch.Tensor,
    weights: torch.Tensor,
    centers: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give every pixel (n, 2) to the nearest of the centres (k, 2): whose it is, new centres."""
    for _ in range(2):
        own = torch.cdist(places, centers).argmin(1)
        centers = _centers(places, weights, own, centers)
    return own, centers


def _are_near(centers: torch.Tensor, distance: float) -> bool:
    way = centers[0] - centers[1]
    return float(way.norm()) < distance


def _cut_in_two(
    places: torch.Tensor,
    weights: torch.Tensor,
    centers: torch.Tensor,
    masses: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut two that are near (n, 2) across the line of their centres, where masses divide them.

    The middle between the centres is not where a small one ends and a large one begins.
    """
    line = centers[1] - centers[0]
    along = (places - centers[0]) @ line
    order = along.argsort()
    mass = weights[order].cumsum(0)
    border = mass[-1] * masses[0] / masses.sum()
    own = torch.empty(len(places), dtype=torch.long)
    own[order] = (mass > border).long()
    return own, _centers(places, weights, own, centers)


def _centers(
    places: torch.Tensor,
    weights: torch.Tensor,
    own: torch.Tensor,
    before: torch.Tensor,
) -> torch.Tensor:
    """Centres of mass (k, 2) of the pixels that belong to each; of none, the one before."""
    weights = weights[:, None]
    mass = torch.zeros(len(before), 1)
    mass.index_add_(0, own, weights)
    moment = torch.zeros_like(before)
    moment.index_add_(0, own, places * weights)
    center = moment / mass.clamp(min=1e-6)
    return torch.where(mass > 1, center, before)


# ----------------------------------------------------------------------- changes of colour


def _joined(found: list[Region]) -> list[Region]:
    """Regions of which one begins where and when another ends are one object."""
    for a, b in itertools.combinations(found, 2):
        if _continues(a, b):
            pairs = zip(a.colors, b.colors, strict=True)
            colors = tuple(first or second for first, second in pairs)
            whole = Region(a.alpha + b.alpha, colors)
            rest = [region for region in found if region is not a and region is not b]
            return _joined([whole, *rest])
    return found


def _continues(a: Region, b: Region) -> bool:
    """Whether the two are never there together, and change places without a jump."""
    pairs = zip(a.colors, b.colors, strict=True)
    if any(first and second for first, second in pairs):
        return False
    jumps = _jumps(a, b) + _jumps(b, a)
    return bool(jumps) and max(jumps) < NEXT


def _jumps(before: Region, after: Region) -> list[float]:
    """How far one is from where the other was a frame before, whenever it takes its place."""
    ends = centers_of(before.alpha)
    begins = centers_of(after.alpha)
    jumps = []
    for t in range(len(ends) - 1):
        if before.colors[t] and after.colors[t + 1]:
            way = begins[t + 1] - ends[t]
            jumps.append(float(way.norm()))
    return jumps


def centers_of(alpha: torch.Tensor) -> torch.Tensor:
    """Centres of mass (..., 2) of coverages (..., H, W), in half-widths."""
    x, y = pixel_grid(*alpha.shape[-2:])
    mass = alpha.sum((-2, -1))[..., None]
    moment_x = alpha.sum(-2) @ x[0]
    moment_y = alpha.sum(-1) @ y[:, 0]
    moment = torch.stack([moment_x, moment_y], dim=-1)
    return moment / mass.clamp(min=1e-6)
