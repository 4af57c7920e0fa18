"""The judge: from pixels back to objects and tracks, and from tracks to what a prompt asked for.

    video (3, T, H, W) ── read ──► Reading: background and Tracked objects
    Reading, PromptSpec ── verdict ──► Verdict: attribute → right or wrong

The judge is a set of rules; no part of it is learned. It knows the palette, the shapes and the
backgrounds of the toy world, and nothing of models. Colours come from the direction in which a
pixel leaves the background, positions and sizes from coverage, shapes and angles from the nearest
of a bank of drawn ones, motions from the law of physics that explains the track best (`laws.py`).
What fits no law is "unclear", which is never what was asked.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import torch
import torch.nn.functional as F

from minisora.measure.laws import Law, best_collision, best_law, fit_line, unwrap
from minisora.world.captions import GRID_CELLS, ObjectSpec, PromptSpec, moments
from minisora.world.render import background_image, coverage, pixel_grid
from minisora.world.scene import BACKGROUND_COLORS, COLORS, FPS, RELATIONS, SHAPES, SIZES, TEXTURES

AREA = {  # at radius 1
    "circle": math.pi,
    "square": 2.89,
    "triangle": 1.871,
    "star": 1.960,
    "heart": 2.605,
    "ring": 0.75 * math.pi,
}
PERIOD = {  # radians after which a rotated shape looks the same; round shapes always do
    "square": math.pi / 2,
    "triangle": 2 * math.pi / 3,
    "star": 2 * math.pi / 5,
    "heart": 2 * math.pi,
}
SIZE_BORDER = (SIZES["small"][1] + SIZES["large"][0]) / 2  # half-widths

BANK_RADII = (3.0, 4.0, 5.0, 6.0, 7.0, 9.0, 12.0)  # pixels
BANK_STEP = 9  # degrees between two drawn angles
CROP = 20  # side of the cut-out in which shapes are compared
UNCLEAR_SHAPE = 0.08  # mean squared difference to the best drawn shape above which there is none
RIPPLE = 0.12  # coverage below which a pixel shows the compressor's ripples and no object
WHOLE_OUTLINE = 0.70  # IoU of an object with its drawn shape, in every frame
NEAR = 3.0  # grid cells by which an object may miss its cell, in columns and in rows


@dataclass(frozen=True)
class Tracked:
    """One object as the judge saw it. Units as in `scene.py`; frames without it hold nan."""

    color: str
    shape: str  # one of SHAPES, or "unclear"
    size: str  # at the first frame
    motion: str  # one of MOTIONS, "hits", "hit" or "unclear"
    positions: torch.Tensor  # (T, 2)
    radii: torch.Tensor  # (T,)
    angles: torch.Tensor  # (T,), without jumps; zero for round shapes
    seen: torch.Tensor  # (T,) bool
    outline: torch.Tensor  # (T,) IoU with the shape drawn in its place; 0 where it was not seen
    law: Law  # what explains the motion, and how well

    @property
    def whole(self) -> bool:
        """Whether the outline holds in every frame."""
        return bool((self.outline >= WHOLE_OUTLINE).all())


@dataclass(frozen=True)
class Reading:
    """Everything that the judge saw in a clip."""

    background: str
    texture: str
    objects: tuple[Tracked, ...]
    half_extents: tuple[float, float] = (1.0, 1.0)  # of the frame: x and y, in half-widths

    def __str__(self) -> str:
        objects = [f"a {o.size} {o.color} {o.shape} ({o.motion})" for o in self.objects]
        seen = " and ".join(objects) or "nothing"
        return f"{seen} on a {self.background} {self.texture} background"


@dataclass(frozen=True)
class Verdict:
    """Attribute → whether it is right.

    Every attribute but "outline" is something that the prompt asks for. "outline" says whether the
    objects keep their outlines in every frame; no prompt asks for it, and it is reported beside.
    """

    attributes: dict[str, bool] = field(default_factory=dict)

    @property
    def all(self) -> bool:
        """Whether everything that was asked is right; False where nothing was asked."""
        asked = [right for name, right in self.attributes.items() if name != "outline"]
        return bool(asked) and all(asked)

    @property
    def all_and_outline(self) -> bool:
        """Whether everything that was asked is right and every outline is whole."""
        return self.all and self.attributes.get("outline", True)

    def __str__(self) -> str:
        if not self.attributes:
            return "nothing was asked"
        wrong = [name for name, right in self.attributes.items() if not right]
        if not wrong:
            return "as asked"
        if wrong == ["outline"]:
            return "as asked, but an outline breaks up"
        return "not as asked: " + ", ".join(wrong)


# ------------------------------------------------------------------------------------- reading


@torch.no_grad()
def read(video: torch.Tensor, fps: float = FPS) -> Reading:
    """Read one clip.

    Args:
        video: (3, T, H, W) in [-1, 1], of any size and length. fps: its frames per second.

    Raises:
        ValueError: another shape, or a frame rate that is not positive.
    """
    if video.ndim != 4 or video.shape[0] != 3:
        raise ValueError(f"a clip is (3, T, H, W) in [-1, 1], not {tuple(video.shape)}")
    if not 0 < fps < math.inf:
        raise ValueError(f"fps={fps} is not a positive number of frames per second")
    video = (video.detach().float().cpu() + 1) / 2
    height, width = video.shape[2:]
    unit = min(height, width) / 2  # pixels in a half-width
    bottom = height / min(height, width)

    background, texture, empty = _background(video)
    objects = []
    for color, alpha in _coverages(video, empty).items():
        tracked = _track(color, alpha, unit, fps, bottom)
        if tracked is not None:
            objects.append(tracked)
    if len(objects) == 2:
        objects = _with_collision(objects, fps)
    return Reading(background, texture, tuple(objects), (width / min(height, width), bottom))


@lru_cache
def _backgrounds(height: int, width: int) -> tuple[list[tuple[str, str]], torch.Tensor]:
    keys = list(itertools.product(BACKGROUND_COLORS, TEXTURES))
    return keys, torch.stack([background_image(*key, height, width) for key in keys])


def _background(video: torch.Tensor) -> tuple[str, str, torch.Tensor]:
    """The background that most pixels agree with: its colour, its texture, its image (3, H, W)."""
    keys, images = _backgrounds(*video.shape[-2:])
    difference = (video[None] - images[:, :, None]).abs().amax(1)  # (9, T, H, W)
    difference = difference.clamp(max=0.15)  # an object counts no more than noise
    best = int(difference.mean((1, 2, 3)).argmin())
    color, texture = keys[best]
    return color, texture, images[best]


def _coverages(video: torch.Tensor, empty: torch.Tensor) -> dict[str, torch.Tensor]:
    """Colours that are there, each with how much it covers of every pixel (T, H, W).

    A pixel is background + alpha · (colour − background); alpha is the projection on that line.
    """
    palette = torch.tensor(list(COLORS.values())) / 255  # (7, 3)
    line = palette[:, :, None, None] - empty[None]  # (7, 3, H, W)
    difference = video - empty[:, None]  # (3, T, H, W)
    along = torch.einsum("cthw,kchw->kthw", difference, line)
    length = line.square().sum(1)[:, None]  # (7, 1, H, W)
    alpha = (along / length).clamp(0, 1)
    # |difference − alpha · line|², what this colour leaves unexplained: (7, T, H, W)
    unexplained = difference.square().sum(0) - 2 * alpha * along + alpha**2 * length

    _, T, H, W = video.shape
    enough = 8 * (min(H, W) / 32) ** 2  # pixels
    solid = (alpha > 0.6) & (unexplained == unexplained.amin(0))
    frames = (solid.sum((2, 3)) >= enough).sum(1)  # in how many frames each colour is there
    chosen = [k for k in range(len(palette)) if frames[k] >= min(3, T)]
    if not chosen:
        return {}
    owner = unexplained[chosen].argmin(0)  # (T, H, W)
    names = list(COLORS)
    return {names[k]: alpha[k] * (owner == i) for i, k in enumerate(chosen)}


def _track(
    color: str, alpha: torch.Tensor, unit: float, fps: float, bottom: float
) -> Tracked | None:
    """Follow one colour: position, radius, shape, angle and outline in every frame, and the law.

    Args:
        alpha: (T, H, W) coverage. unit: pixels in a half-width. bottom: y of the lower edge.
    """
    alpha = torch.where(alpha > RIPPLE, alpha, 0)
    area = alpha.sum((1, 2))  # (T,) pixels
    seen = area >= 12 * (unit / 16) ** 2
    if not seen.any():
        return None
    positions = _centers(alpha, area)
    shape, error, angles = _shape(alpha, positions, area, seen, unit)
    radii = (area / AREA[shape]).sqrt() / unit
    outline = _outline(alpha, shape, positions, radii, angles, seen)
    positions = torch.where(seen[:, None], positions, torch.nan)
    radii = torch.where(seen, radii, torch.nan)
    angles = torch.where(seen, angles, torch.nan)
    law = best_law(positions, radii, angles, seen, shape, fps, bottom)
    return Tracked(
        color=color,
        shape=shape if error < UNCLEAR_SHAPE else "unclear",
        size="small" if law.first_radius < SIZE_BORDER else "large",
        motion=law.motion,
        positions=positions,
        radii=radii,
        angles=angles,
        seen=seen,
        outline=outline,
        law=law,
    )


def _centers(alpha: torch.Tensor, area: torch.Tensor) -> torch.Tensor:
    """Centres of mass (T, 2) of coverages (T, H, W), in half-widths."""
    x, y = pixel_grid(*alpha.shape[1:])
    x_sum = (alpha * x).sum((1, 2))
    y_sum = (alpha * y).sum((1, 2))
    return torch.stack([x_sum, y_sum], dim=-1) / area[:, None].clamp(min=1e-6)


def _shape(
    alpha: torch.Tensor,
    positions: torch.Tensor,
    area: torch.Tensor,
    seen: torch.Tensor,
    unit: float,
) -> tuple[str, float, torch.Tensor]:
    """The drawn shape that is nearest over all frames, by how much it misses, its angles (T,)."""
    crops = _crops(alpha, positions, area, unit)  # (T, CROP²)
    bank = _bank()
    radii = torch.tensor(BANK_RADII)
    nearest = (area[:, None].sqrt() * 0.6 - radii).abs().argmin(1)  # (T,) which of the bank's sizes
    errors = {}
    means = {}
    for shape in SHAPES:
        difference = crops[:, None] - bank[shape][nearest]  # (T, angles, CROP²)
        errors[shape] = difference.square().mean(-1)
        means[shape] = float(errors[shape].amin(1)[seen].mean())
    shape = min(SHAPES, key=means.__getitem__)
    if shape not in PERIOD:
        return shape, means[shape], torch.zeros(len(area))
    angles = _refine(errors[shape], _bank_angles(shape), PERIOD[shape])
    return shape, means[shape], unwrap(angles, PERIOD[shape])


def _crops(
    alpha: torch.Tensor, positions: torch.Tensor, area: torch.Tensor, unit: float
) -> torch.Tensor:
    """Cut each frame's object out, centred and scaled to the same area: (T, CROP²)."""
    T, H, W = alpha.shape
    reach = area.clamp(min=1).sqrt() / unit * 0.95  # half-widths from the centre to the border
    offsets = reach[:, None] * torch.linspace(-1, 1, CROP)  # (T, CROP)
    x = (positions[:, :1] + offsets) * 2 * unit / W
    y = (positions[:, 1:] + offsets) * 2 * unit / H
    x = x[:, None, :].expand(T, CROP, CROP)
    y = y[:, :, None].expand(T, CROP, CROP)
    grid = torch.stack([x, y], dim=-1)
    return F.grid_sample(alpha[:, None], grid, align_corners=False).flatten(1)


def _bank_angles(shape: str) -> torch.Tensor:
    """The angles at which the bank holds a shape."""
    period = PERIOD.get(shape, 0.0)
    count = max(1, round(math.degrees(period) / BANK_STEP))
    return torch.arange(count) * (period / count)


@lru_cache
def _bank() -> dict[str, torch.Tensor]:
    """Every shape, drawn and cut out as objects are: shape → (radii, angles, CROP²)."""
    bank = {}
    for shape in SHAPES:
        bank[shape] = torch.stack([_bank_crops(shape, radius) for radius in BANK_RADII])
    return bank


def _bank_crops(shape: str, radius: float) -> torch.Tensor:
    """One shape at one radius (pixels) and all its angles: (angles, CROP²)."""
    side = 40
    unit = side / 2
    angles = _bank_angles(shape)
    radii = torch.full_like(angles, radius / unit)
    # an object may sit anywhere between pixels: the mean over five offsets
    offsets = torch.tensor([[0.0, 0.0], [0.25, 0.25], [0.5, 0.0], [0.0, 0.5], [0.5, 0.5]]) / unit
    total = torch.zeros(len(angles), CROP**2)
    for offset in offsets:
        alpha = coverage(shape, offset.expand(len(angles), 2), radii, angles, side, side)
        area = alpha.sum((1, 2))
        total += _crops(alpha, _centers(alpha, area), area, unit)
    return total / len(offsets)


def _refine(error: torch.Tensor, angles: torch.Tensor, period: float) -> torch.Tensor:
    """Angle of the least error (T, angles): the top of a parabola through the best three."""
    count = len(angles)
    best = error.argmin(1)
    rows = torch.arange(len(best))
    left = error[rows, (best - 1) % count]
    middle = error[rows, best]
    right = error[rows, (best + 1) % count]
    curvature = (left - 2 * middle + right).clamp(min=1e-9)
    shift = ((left - right) / (2 * curvature)).clamp(-0.5, 0.5)
    return angles[best] + shift * period / count


def _outline(
    alpha: torch.Tensor,
    shape: str,
    positions: torch.Tensor,
    radii: torch.Tensor,
    angles: torch.Tensor,
    seen: torch.Tensor,
) -> torch.Tensor:
    """IoU (T,) of what is seen with the shape drawn in its place: Σ min / Σ max of coverages.

    Radii are constant or change at a constant rate: an object that is small in one frame is not
    whole. 0 in frames without the object. Objects of the world never leave the frame, so one that
    is cut off by the border has no whole outline either.
    """
    height, width = alpha.shape[1:]
    frames = torch.arange(len(radii)).float()
    start, slope = fit_line(radii[seen], frames[seen])
    radii = (start + slope * frames).clamp(min=1e-3)
    drawn = coverage(shape, positions, radii, angles, height, width)
    # edges of another object may have this colour: look only at what is near
    near_radii = 1.3 * radii + 4 / min(height, width)  # two pixels more
    near = coverage("circle", positions, near_radii, torch.zeros_like(angles), height, width) > 0.5
    alpha = alpha * near
    union = torch.maximum(alpha, drawn).sum((1, 2)).clamp(min=1e-6)
    iou = torch.minimum(alpha, drawn).sum((1, 2)) / union
    return torch.where(seen, iou, 0.0)


def _with_collision(objects: list[Tracked], fps: float) -> list[Tracked]:
    """See two tracks as one collision where that explains them better than a law each."""
    for a, b in (objects, objects[::-1]):
        seen = a.seen & b.seen
        radii = (a.law.first_radius, b.law.first_radius)
        law = best_collision(a.positions, b.positions, *radii, seen, fps)
        if law is not None and law.error < min(0.06, max(a.law.error, b.law.error)):
            return [replace(a, motion="hits", law=law), replace(b, motion="hit", law=law)]
    return objects


# ------------------------------------------------------------------------------------ verdicts


def judge(video: torch.Tensor, request: PromptSpec, fps: float = FPS) -> Verdict:
    """Read a clip (3, T, H, W) in [-1, 1] and hold it against a request."""
    return verdict(read(video, fps), request)


def verdict(reading: Reading, request: PromptSpec) -> Verdict:
    """Hold what was seen against what was asked; what was not asked is not judged.

    Attributes: count (as many objects as asked, in every frame), shape, color, size, motion,
    relation, position (of all objects), background (with its texture), and outline. The objects
    asked are matched with those seen in the order in which most is right.
    """
    attributes: dict[str, bool] = {}
    if request.objects:
        number = min(len(request.objects), len(reading.objects))
        orders = itertools.permutations(reading.objects, number)
        matches = [_match(order, request, reading.half_extents) for order in orders]
        attributes["count"] = _count(reading, request)
        best: dict[str, bool] = max(matches, key=_rights)
        attributes |= best
    if request.background or request.texture:
        attributes["background"] = _same_background(reading, request)
    if request.objects:
        outlines = [o.whole for o in reading.objects]
        attributes["outline"] = bool(outlines) and all(outlines)
    return Verdict(attributes)


def _rights(attributes: dict[str, bool]) -> int:
    return sum(attributes.values())


def _count(reading: Reading, request: PromptSpec) -> bool:
    always = all(bool(o.seen.all()) for o in reading.objects)
    return always and len(reading.objects) == len(request.objects)


def _same_background(reading: Reading, request: PromptSpec) -> bool:
    same_color = request.background in (None, reading.background)
    same_texture = request.texture in (None, reading.texture)
    return same_color and same_texture


def _match(
    seen: Sequence[Tracked], request: PromptSpec, half_extents: tuple[float, float]
) -> dict[str, bool]:
    """Attributes of the request's objects, if these were the objects in this order."""
    pairs = list(itertools.zip_longest(request.objects, seen))  # None: asked, but not there
    attributes = {}
    for name in ("shape", "color", "size", "motion"):
        asked = [(spec, tracked) for spec, tracked in pairs if getattr(spec, name)]
        if asked:
            attributes[name] = all(_has(tracked, spec, name) for spec, tracked in asked)
    if request.relation:
        attributes["relation"] = len(seen) == 2 and _related(seen[0], seen[1], request.relation)
    paths = [(tracked, spec.path) for spec, tracked in pairs if spec.path]
    if paths:
        attributes["position"] = all(_passes(o, path, half_extents) for o, path in paths)
    return attributes


def _has(tracked: Tracked | None, spec: ObjectSpec, name: str) -> bool:
    """Whether an object has the attribute that was asked."""
    if tracked is None:
        return False
    if name == "motion":
        return spec.motion in (tracked.motion, *tracked.law.also)
    return getattr(tracked, name) == getattr(spec, name)


def _related(a: Tracked, b: Tracked, relation: str) -> bool:
    """Whether a is more to that side of b than to any other, on average over the clip."""
    dx, dy = torch.nanmean(a.positions - b.positions, dim=0).tolist()
    side_x, side_y = RELATIONS[relation]
    return dx * side_x + dy * side_y > abs(dx * side_y) + abs(dy * side_x)


def _passes(
    tracked: Tracked | None, path: tuple[tuple[int, int], ...], half_extents: tuple[float, float]
) -> bool:
    """Whether an object is near its grid cell (column, row) at each of the five moments."""
    if tracked is None:
        return False
    positions = tracked.positions[moments(len(tracked.positions))]  # (5, 2)
    cells = (positions / positions.new_tensor(half_extents) + 1) / 2 * GRID_CELLS - 0.5
    misses = (cells - positions.new_tensor(path)).abs()
    return bool((misses <= NEAR).all())  # nan, where it was not seen, is near nothing
