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

    @property
    def frame(self) -> torch.Tensor:
        return self.index // (self.shape[1] * self.shape[2])


def regions(video: torch.Tensor, empty: torch.Tensor, visible: torch.Tensor) -> list[Region]:
    """Find every object's pixels, the largest object first.

    Args:
        video, empty: (3, T, H, W) in [0, 1]. visible: (H, W), False behind a wall.
    """
    pixels = _pixels(video, empty, visible)
    T, H, W = pixels.shape
    nearest = pixels.missed.argmin(1)  # (N,)
    alpha = pixels.alphas.gather(1, nearest[:, None])[:, 0]
    enough = 8 * (min(H, W) / 32) ** 2  # pixels
    solid = torch.zeros(len(PALETTE), T)
    solid.index_put_((nearest, pixels.frame), (alpha > SOLID).float(), accumulate=True)
    present = (solid >= enough).sum(1) >= min(LEAST_FRAMES, T)
    chosen = present.nonzero().flatten().tolist()
    if not chosen:
        return []

    owner = pixels.missed[:, chosen].argmin(1)  # (N,) into chosen
    alpha = pixels.alphas[:, chosen].gather(1, owner[:, None])[:, 0]
    counts, centers = _components(pixels, owner, alpha > 0.5, 1.5 * enough)
    names = list(PALETTE)
    found = []
    for i, k in enumerate(chosen):
        own = torch.zeros(T * H * W)
        mine = (owner == i) & (alpha > RIPPLE)
        own[pixels.index[mine]] = alpha[mine]
        own = own.view(T, H, W)
        for part in _split(own, counts[i], centers[i]):
            there = (part.sum((1, 2)) >= 1.5 * enough).tolist()
            if any(there):
                found.append(Region(part, tuple(names[k] if here else None for here in there)))
    found.sort(key=lambda region: -float(region.alpha.sum()))
    return _joined(found[:MOST_REGIONS])


def _pixels(video: torch.Tensor, empty: torch.Tensor, visible: torch.Tensor) -> _Pixels:
    _, T, H, W = video.shape
    difference = video - empty
    differs = (difference.abs().amax(0) > DIFFERENT) & visible
    index = differs.flatten().nonzero()[:, 0]
    difference = difference.flatten(1)[:, index].T  # (N, 3)
    behind = empty.flatten(1)[:, index].T
    palette = torch.tensor(list(PALETTE.values())) / 255
    lines = palette - behind[:, None]  # (N, colours, 3)
    along = (lines * difference[:, None]).sum(-1)
    length = lines.square().sum(-1)
    alphas = (along / length).clamp(0, 1)
    missed = difference.square().sum(-1)[:, None] - 2 * alphas * along + alphas**2 * length
    if not visible.all():  # no clip has a wall and a lamp, and a wall's edge may look like one
        missed[:, len(COLORS) :] = torch.inf
    return _Pixels(index, alphas, missed, (T, H, W))


# ----------------------------------------------------------------- several objects of one colour


def _components(
    pixels: _Pixels, owner: torch.Tensor, inside: torch.Tensor, least: float
) -> tuple[list[list[int]], list[dict[int, torch.Tensor]]]:
    """Connected components of at least so many pixels.

    Returns:
        For each colour, how many there are in every frame, and their centres: frame → (n, 2).
    """
    T, H, W = pixels.shape
    index, owner = pixels.index[inside], owner[inside]
    labels = _connected(index, owner, (T, H, W))
    roots, own, sizes = labels.unique(return_inverse=True, return_counts=True)
    x, y = pixel_grid(H, W)
    here = torch.stack([x.expand(H, W), y.expand(H, W)], dim=-1).view(-1, 2)[index % (H * W)]
    centers = torch.zeros(len(roots), 2).index_add_(0, own, here) / sizes[:, None]
    counts = [[0] * T for _ in range(int(owner.max()) + 1 if len(owner) else 0)]
    places: list[dict[int, torch.Tensor]] = [{} for _ in counts]
    for root in (sizes >= least).nonzero()[:, 0].tolist():
        color, frame = int(owner[roots[root]]), int(index[roots[root]]) // (H * W)
        counts[color][frame] += 1
        center = centers[root : root + 1]
        before = places[color].get(frame)
        places[color][frame] = center if before is None else torch.cat([before, center])
    return counts, places


def _connected(
    index: torch.Tensor, owner: torch.Tensor, shape: tuple[int, int, int]
) -> torch.Tensor:
    """A label for each pixel, equal where a way leads along neighbours of one colour and frame.

    Runs of pixels in a row come first; runs that touch then take on the lower of their labels.
    """
    T, H, W = shape
    begins = torch.ones(len(index), dtype=torch.bool)
    begins[1:] = (index.diff() != 1) | (owner.diff() != 0) | (index[1:] % W == 0)
    run = begins.cumsum(0) - 1  # (N,) which run a pixel is in
    number = torch.full((T, H, W), -1)
    number.view(-1)[index] = torch.arange(len(index))
    above, below = number[:, :-1], number[:, 1:]
    both = (above >= 0) & (below >= 0)
    above, below = above[both], below[both]
    same = owner[above] == owner[below]
    labels = torch.arange(int(begins.sum()))
    pairs = (run[above[same]] * len(labels) + run[below[same]]).unique_consecutive()
    a, b = pairs // len(labels), pairs % len(labels)
    while True:
        least = torch.minimum(labels[a], labels[b])
        new = labels.clone()
        for end in (labels[a], labels[b], a, b):  # a label's own run takes on what is less, too
            new.scatter_reduce_(0, end, least, "amin")
        new = new[new]
        if torch.equal(new, labels):
            return torch.arange(len(index))[begins][labels][run]
        labels = new


def _split(
    alpha: torch.Tensor, counts: list[int], centers: dict[int, torch.Tensor]
) -> list[torch.Tensor]:
    """One coverage (T, H, W) for each object of a colour, followed from frame to frame."""
    T, H, W = alpha.shape
    number = 1
    while sum(count > number for count in counts) >= min(LEAST_FRAMES, T):
        number += 1
    if number == 1:
        return [alpha]
    first = next(t for t in range(T) if counts[t] >= number)
    x, y = pixel_grid(H, W)
    places = torch.stack([x.expand(H, W), y.expand(H, W)], dim=-1).view(-1, 2)
    parts = torch.zeros(number, T, H * W)
    for frames in (range(first, T), range(first, -1, -1)):
        at = centers[first][:number]
        step = torch.zeros_like(at)
        for t in frames:
            own = alpha[t].flatten()
            pixels = own.nonzero()[:, 0]
            before = at
            nearest, at = _nearest(places[pixels], own[pixels], at + step)
            if t == first:
                masses = torch.zeros(number).index_add_(0, nearest, own[pixels])
                near = NEAR * 2 / min(H, W) * float((masses / math.pi).sqrt().sum())
            elif number == 2 and _are_near(at, near) and own.sum() > TOGETHER * masses.sum():
                nearest, at = _cut_in_two(places[pixels], own[pixels], at, masses)
            step = torch.zeros_like(at) if t == first else at - before
            parts[:, t] = 0
            parts[nearest, t, pixels] = own[pixels]
    return list(parts.view(number, T, H, W))


def _nearest(
    places: torch.Tensor, weights: torch.Tensor, centers: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give every pixel (n, 2) to the nearest of the centres (k, 2): whose it is, new centres."""
    for _ in range(2):
        own = torch.cdist(places, centers).argmin(1)
        centers = _centers(places, weights, own, centers)
    return own, centers


def _are_near(centers: torch.Tensor, distance: float) -> bool:
    return float((centers[0] - centers[1]).norm()) < distance


def _cut_in_two(
    places: torch.Tensor, weights: torch.Tensor, centers: torch.Tensor, masses: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut two that are near (n, 2) across the line of their centres, where masses divide them.

    The middle between the centres is not where a small one ends and a large one begins.
    """
    order = ((places - centers[0]) @ (centers[1] - centers[0])).argsort()
    mass = weights[order].cumsum(0)
    own = torch.empty(len(places), dtype=torch.long)
    own[order] = (mass > mass[-1] * masses[0] / masses.sum()).long()
    return own, _centers(places, weights, own, centers)


def _centers(
    places: torch.Tensor, weights: torch.Tensor, own: torch.Tensor, before: torch.Tensor
) -> torch.Tensor:
    """Centres of mass (k, 2) of the pixels that belong to each; of none, the one before."""
    mass = torch.zeros(len(before)).index_add_(0, own, weights)[:, None]
    moment = torch.zeros_like(before).index_add_(0, own, places * weights[:, None])
    return torch.where(mass > 1, moment / mass.clamp(min=1e-6), before)


# ----------------------------------------------------------------------- changes of colour


def _joined(found: list[Region]) -> list[Region]:
    """Regions of which one begins where and when another ends are one object."""
    for a, b in itertools.combinations(found, 2):
        if _continues(a, b):
            colors = tuple(
                first or second for first, second in zip(a.colors, b.colors, strict=True)
            )
            rest = [region for region in found if region is not a and region is not b]
            return _joined([Region(a.alpha + b.alpha, colors), *rest])
    return found


def _continues(a: Region, b: Region) -> bool:
    """Whether the two are never there together, and change places without a jump."""
    there = [[color is not None for color in region.colors] for region in (a, b)]
    if any(first and second for first, second in zip(*there, strict=True)):
        return False
    centers = centers_of(a.alpha), centers_of(b.alpha)
    jumps = []
    for before, after in ((0, 1), (1, 0)):
        for t in range(len(a.colors) - 1):
            if there[before][t] and there[after][t + 1]:
                jumps.append(float((centers[before][t] - centers[after][t + 1]).norm()))
    return bool(jumps) and max(jumps) < NEXT


def centers_of(alpha: torch.Tensor) -> torch.Tensor:
    """Centres of mass (..., 2) of coverages (..., H, W), in half-widths."""
    x, y = pixel_grid(*alpha.shape[-2:])
    mass = torch.stack([alpha.sum(-2) @ x[0], alpha.sum(-1) @ y[:, 0]], dim=-1)
    return mass / alpha.sum((-2, -1))[..., None].clamp(min=1e-6)
