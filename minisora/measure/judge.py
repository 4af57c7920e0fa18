"""The judge: from pixels back to objects and tracks, and from tracks to what a prompt asked for. No part of it is learned.

    video (3, T, H, W) ── read ──► Reading: background, Tracked objects ── verdict(reading, request) ──► Verdict

It knows the palette, the shapes and the stages of the toy world, and nothing of models. Colours come from the direction in which a
pixel leaves the background, places and sizes from coverage, shapes and angles from the nearest of a bank of drawn ones, motions
from the law of physics that explains the track best (`laws.py`). What fits no law is "unclear", which is never what was asked.
"""

import itertools
import math
from dataclasses import dataclass, field
from functools import lru_cache

import torch
import torch.nn.functional as F

from minisora.measure.laws import Law, best_collision, best_law
from minisora.world.captions import GRID_CELLS, PromptSpec, moments
from minisora.world.render import background_image, coverage, pixel_grid
from minisora.world.scene import BACKGROUND_COLORS, COLORS, FPS, RELATIONS, SHAPES, SIZES, TEXTURES

AREA = {
    "circle": math.pi,
    "square": 2.89,
    "triangle": 1.871,
    "star": 1.960,
    "heart": 2.605,
    "ring": 0.75 * math.pi,
}  # at radius 1
PERIOD = {
    "square": math.pi / 2,
    "triangle": 2 * math.pi / 3,
    "star": 2 * math.pi / 5,
    "heart": 2 * math.pi,
}  # turns that look alike
BANK_RADII = (3.0, 4.0, 5.0, 6.0, 7.0, 9.0, 12.0)  # pixels
CELLS = 20  # side of the little picture in which shapes are compared
SMUDGE = 0.08  # mean squared difference to the best drawn shape above which there is no shape
NEAR = 3.0  # squares of the board of `captions.py`: how far an object may be from the middle of the asked one, in columns and in rows
SIZE_BORDER = (SIZES["small"][1] + SIZES["large"][0]) / 2


@dataclass(frozen=True)
class Tracked:
    """One object as the judge saw it. Units as in `scene.py`; frames in which it was not seen hold nan."""

    color: str
    shape: str  # one of SHAPES, or "unclear"
    size: str  # at the first frame
    motion: str  # one of MOTIONS, "hits", "hit" or "unclear"
    positions: torch.Tensor  # (T, 2)
    radii: torch.Tensor  # (T,)
    angles: torch.Tensor  # (T,), without jumps; zero for round shapes
    seen: torch.Tensor  # (T,) bool
    law: Law  # what explains the motion, and how well


@dataclass(frozen=True)
class Reading:
    """Everything the judge saw in a clip."""

    background: str
    texture: str
    objects: tuple[Tracked, ...]
    reach: tuple[float, float] = (1.0, 1.0)  # half of the frame's width and height, in half-widths

    def __str__(self) -> str:
        things = (
            " and ".join(f"a {o.size} {o.color} {o.shape} ({o.motion})" for o in self.objects)
            or "nothing"
        )
        return f"{things} on a {self.background} {self.texture} background"


@dataclass(frozen=True)
class Verdict:
    """Attribute → whether it is as asked; `all` is every one of them at once."""

    attributes: dict[str, bool] = field(default_factory=dict)

    @property
    def all(self) -> bool:
        return all(self.attributes.values())

    def __str__(self) -> str:
        wrong = [name for name, right in self.attributes.items() if not right]
        return "as asked" if not wrong else "not as asked: " + ", ".join(wrong)


# ----------------------------------------------------------------------------------------------------------------- reading


@torch.no_grad()
def read(video: torch.Tensor, fps: float = FPS) -> Reading:
    """Read one clip (3, T, H, W) in [-1, 1].

    Raises:
        ValueError: another shape.
    """
    if video.ndim != 4 or video.shape[0] != 3:
        raise ValueError(f"a clip is (3, T, H, W) in [-1, 1], not {tuple(video.shape)}")
    video = (video.detach().float().cpu() + 1) / 2
    _, T, H, W = video.shape
    unit = min(H, W) / 2  # pixels in a half-width
    background, texture, stage = _stage(video)
    alphas = _coverages(video, stage, enough=8 * (unit / 16) ** 2)
    bottom = H / min(H, W)
    found = [_track(color, alpha, unit) for color, alpha in alphas.items()]
    things = [_with_law(track, fps, bottom) for track in found if track is not None]
    if len(things) == 2:
        things = _with_collision(things, fps)
    return Reading(background, texture, tuple(things), (W / min(H, W), bottom))


@lru_cache
def _stages(height: int, width: int) -> tuple[list[tuple[str, str]], torch.Tensor]:
    keys = list(itertools.product(BACKGROUND_COLORS, TEXTURES))
    return keys, torch.stack([background_image(*key, height, width) for key in keys])


def _stage(video: torch.Tensor) -> tuple[str, str, torch.Tensor]:
    """The stage that most pixels agree with."""
    keys, stages = _stages(*video.shape[-2:])
    difference = (
        (video[None] - stages[:, :, None]).abs().amax(1).clamp(max=0.15)
    )  # (9, T, H, W); an object counts no more than noise
    best = int(difference.mean((1, 2, 3)).argmin())
    return *keys[best], stages[best]


def _coverages(video: torch.Tensor, stage: torch.Tensor, enough: float) -> dict[str, torch.Tensor]:
    """Colours that are there, each with how much it covers of every pixel (T, H, W)."""
    palette = torch.tensor(list(COLORS.values())) / 255  # (7, 3)
    away = palette[:, :, None, None] - stage[None]  # (7, 3, H, W): from the stage to each colour
    seen = video - stage[:, None]  # (3, T, H, W)
    along = torch.einsum("cthw,kchw->kthw", seen, away)
    length = away.square().sum(1)[:, None]  # (7, 1, H, W)
    alpha = (along / length).clamp(0, 1)
    rest = (
        seen.square().sum(0) - 2 * alpha * along + alpha**2 * length
    )  # (7, T, H, W): what this colour leaves unexplained
    solid = (alpha > 0.6) & (rest == rest.amin(0))
    frames = (solid.sum((2, 3)) >= enough).sum(1)  # in how many frames there is enough of a colour
    chosen = [k for k in range(len(palette)) if frames[k] >= min(3, video.shape[1])]
    if not chosen:
        return {}
    owner = rest[chosen].argmin(0)  # (T, H, W)
    names = list(COLORS)
    return {names[k]: alpha[k] * (owner == i) for i, k in enumerate(chosen)}


def _track(color: str, alpha: torch.Tensor, unit: float) -> dict | None:
    """Place, area, shape and angle in every frame."""
    alpha = torch.where(alpha > 0.12, alpha, 0)  # a compressor's ripples are no object
    x, y = pixel_grid(*alpha.shape[1:])
    area = alpha.sum((1, 2))  # pixels
    seen = area >= 12 * (unit / 16) ** 2
    if not seen.any():
        return None
    middle = torch.stack([(alpha * x).sum((1, 2)), (alpha * y).sum((1, 2))], -1) / area[
        :, None
    ].clamp(min=1e-6)
    small = _little_pictures(alpha, middle, area, unit)  # (T, CELLS²)
    shapes, angles, bank, radii = _bank()
    # the bank drawn at the nearest size serves each frame
    scale = (area[:, None].sqrt() * 0.6 - radii[None]).abs().argmin(1)
    error = (small[:, None] - bank[scale]).square().mean(-1)  # (T, templates)
    best = {s: error[:, [i for i, name in enumerate(shapes) if name == s]] for s in SHAPES}
    means = {s: float(e.amin(1)[seen].mean()) for s, e in best.items()}
    shape = min(means, key=means.get)
    angle = torch.zeros(len(area))
    if shape in PERIOD:
        own = angles[[i for i, name in enumerate(shapes) if name == shape]]
        angle = _unwrap(_refine(best[shape], own, PERIOD[shape]), PERIOD[shape])
    radius = (area / AREA[shape]).sqrt() / unit
    blank = lambda v: torch.where(seen.view(-1, *[1] * (v.ndim - 1)), v, torch.nan)
    clear = means[shape] < SMUDGE
    return {
        "color": color,
        "shape": shape if clear else "unclear",
        "outline": shape,
        "positions": blank(middle),
        "radii": blank(radius),
        "angles": blank(angle),
        "seen": seen,
    }


def _little_pictures(
    alpha: torch.Tensor, middle: torch.Tensor, area: torch.Tensor, unit: float
) -> torch.Tensor:
    """Cut each frame's object out, centred and scaled to the same area: (T, CELLS²)."""
    T, H, W = alpha.shape
    reach = area.clamp(min=1).sqrt() / unit * 0.95  # half-widths from the middle to the border
    steps = torch.linspace(-1, 1, CELLS)
    gx = middle[:, 0, None, None] + reach[:, None, None] * steps[None, None, :]
    gy = middle[:, 1, None, None] + reach[:, None, None] * steps[None, :, None]
    grid = torch.stack(
        [gx.expand(T, CELLS, CELLS) * 2 * unit / W, gy.expand(T, CELLS, CELLS) * 2 * unit / H],
        dim=-1,
    )
    return F.grid_sample(alpha[:, None], grid, align_corners=False).flatten(1)


@lru_cache
def _bank() -> tuple[list[str], torch.Tensor, torch.Tensor, torch.Tensor]:
    """Every shape at every angle and several sizes, seen through the same little pictures: (sizes, templates, CELLS²)."""
    shapes, angles = [], []
    for shape in SHAPES:
        count = max(1, round(math.degrees(PERIOD.get(shape, 0)) / 9))
        shapes += [shape] * count
        angles += [i * PERIOD.get(shape, 0) / count for i in range(count)]
    angles = torch.tensor(angles)
    size, unit = 40, 20.0
    sizes = []
    for radius in BANK_RADII:
        pictures = []
        for shape in SHAPES:
            own = angles[[i for i, name in enumerate(shapes) if name == shape]]
            offsets = (
                torch.tensor([[0.0, 0.0], [0.25, 0.25], [0.5, 0.0], [0.0, 0.5], [0.5, 0.5]]) / unit
            )
            averaged = 0
            for offset in offsets:  # an object may sit anywhere between pixels
                alpha = coverage(
                    shape,
                    offset.expand(len(own), 2),
                    torch.full_like(own, radius / unit),
                    own,
                    size,
                    size,
                )
                x, y = pixel_grid(size, size)
                area = alpha.sum((1, 2))
                middle = (
                    torch.stack([(alpha * x).sum((1, 2)), (alpha * y).sum((1, 2))], -1)
                    / area[:, None]
                )
                averaged = averaged + _little_pictures(alpha, middle, area, unit) / len(offsets)
            pictures.append(averaged)
        sizes.append(torch.cat(pictures))
    return shapes, angles, torch.stack(sizes), torch.tensor(BANK_RADII)


def _refine(error: torch.Tensor, angles: torch.Tensor, period: float) -> torch.Tensor:
    """Angle of the least error, between the drawn ones: the top of a parabola through the best and its neighbours."""
    count = len(angles)
    i = error.argmin(1)
    rows = torch.arange(len(i))
    left, mid, right = error[rows, (i - 1) % count], error[rows, i], error[rows, (i + 1) % count]
    shift = ((left - right) / (2 * (left - 2 * mid + right)).clamp(min=1e-9)).clamp(-0.5, 0.5)
    return angles[i] + shift * period / count


def _unwrap(angles: torch.Tensor, period: float) -> torch.Tensor:
    """Add whole periods so that no step between frames is longer than half of one."""
    steps = angles.diff()
    steps = steps - (steps / period).round() * period
    first = angles[:1] - (angles[:1] / period).round() * period
    return torch.cat([first, first + steps.cumsum(0)])


def _with_law(track: dict, fps: float, bottom: float) -> Tracked:
    outline = track.pop("outline")
    law = best_law(
        track["positions"], track["radii"], track["angles"], track["seen"], outline, fps, bottom
    )
    size = "small" if law.first_radius < SIZE_BORDER else "large"
    return Tracked(**track, size=size, motion=law.motion, law=law)


def _with_collision(things: list[Tracked], fps: float) -> list[Tracked]:
    """See two tracks as one collision where that explains them better than two laws of their own."""
    for a, b in (things, things[::-1]):
        law = best_collision(
            a.positions, b.positions, a.law.first_radius, b.law.first_radius, a.seen & b.seen, fps
        )
        if law is not None and law.error < min(0.06, max(a.law.error, b.law.error)):
            pair = [
                Tracked(**{**vars(o), "motion": m, "law": law})
                for o, m in ((a, "hits"), (b, "hit"))
            ]
            return pair
    return things


# ---------------------------------------------------------------------------------------------------------------- verdicts


def verdict(reading: Reading, request: PromptSpec) -> Verdict:
    """Hold what was seen against what was asked, whichever object is named first. What was not asked is not judged.

    Attributes: count (as many objects as asked, in every frame), shape, color, size, motion, place (of all objects),
    background (with its texture), relation.
    """
    stage = [
        value in (None, seen)
        for value, seen in (
            (request.background, reading.background),
            (request.texture, reading.texture),
        )
    ]
    background = {"background": all(stage)} if request.background or request.texture else {}
    count = len(reading.objects) == len(request.objects) and all(
        bool(o.seen.all()) for o in reading.objects
    )
    best: dict[str, bool] = {}
    for order in itertools.permutations(
        reading.objects, min(len(request.objects), len(reading.objects))
    ):
        seen: dict[str, bool] = {"count": count} if request.objects else {}
        for name in ("shape", "color", "size", "motion"):
            asked = [
                (i, getattr(ask, name))
                for i, ask in enumerate(request.objects)
                if getattr(ask, name)
            ]
            if asked:
                seen[name] = all(
                    i < len(order) and getattr(order[i], name) == value for i, value in asked
                )
        if request.relation:
            seen["relation"] = len(order) == 2 and _related(order[0], order[1], request.relation)
        paths = [(i, ask.path) for i, ask in enumerate(request.objects) if ask.path]
        if paths:
            seen["place"] = all(
                i < len(order) and _passes(order[i], path, reading.reach) for i, path in paths
            )
        if sum(seen.values()) > sum(best.values()) or not best:
            best = seen
    return Verdict({**best, **background})


def _related(a: Tracked, b: Tracked, relation: str) -> bool:
    """Whether a is more to that side of b than to any other, on average over the clip."""
    dx, dy = torch.nanmean(a.positions - b.positions, dim=0).tolist()
    rx, ry = RELATIONS[relation]
    return dx * rx + dy * ry > abs(dx * ry) + abs(dy * rx)


def _passes(thing: Tracked, path: tuple[tuple[int, int], ...], reach: tuple[float, float]) -> bool:
    """Whether a thing is near its square, (column, row), at the five moments."""
    places = thing.positions[
        moments(len(thing.positions))
    ]  # (5, 2); nan, where it was not seen, is near nothing
    squares = (places / places.new_tensor(reach) + 1) / 2 * GRID_CELLS - 0.5
    return bool(((squares - places.new_tensor(path)).abs() <= NEAR).all())


def judge(video: torch.Tensor, request: PromptSpec, fps: float = FPS) -> Verdict:
    """Read a clip (3, T, H, W) in [-1, 1] and hold it against a request."""
    return verdict(read(video, fps), request)
