"""The judge: from pixels back to objects and tracks, and from tracks to what a prompt asked for.

    video (3, T, H, W) ── read ──► Reading: background, camera and Tracked objects
    Reading, PromptSpec ── verdict ──► Verdict: attribute → right or wrong

The judge is a set of rules; no part of it is learned. It knows the palette, the shapes and the
backgrounds of the toy world, and nothing of models. `camera.py` finds what is behind the objects,
`regions.py` which pixels belong to which object, `shapes.py` what each of them is and where,
`laws.py` the law of physics that explains its track best, and `marks.py` what objects do to each
other; `game.py` reads clips of the tile game. What fits no law is "unclear", which is never what
was asked.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from minisora.measure.camera import View, look
from minisora.measure.game import GameReading, game_attributes, read_game
from minisora.measure.laws import Law, best_collision, best_fall, best_law, fit_line
from minisora.measure.marks import (
    at_rest,
    bitten,
    iou,
    is_lit,
    is_painted,
    lit_after_touch,
    stroke,
)
from minisora.measure.regions import Region, regions
from minisora.measure.shapes import AREA, MOST_CUT, UNCLEAR_SHAPE, Fit, fit, fit_open
from minisora.world.captions import FAST_FROM, GRID_CELLS, moments, place_of
from minisora.world.parse import STRAIGHT, ObjectSpec, PromptSpec
from minisora.world.render import coverage, pixel_grid
from minisora.world.scene import DIRECTIONS, EXTENT, FPS, RELATIONS, SIZES, TOOLS

SIZE_BORDER = (SIZES["small"][1] + SIZES["large"][0]) / 2  # half-widths
WHOLE_OUTLINE = 0.70  # IoU of an object with its drawn shape, in every frame
UNLIKE = 0.03  # mean squared difference to the best shape above which it may be a brush's line
NEAR = 3.0  # grid cells by which an object may miss its cell, in columns and in rows
NEAR_PLACE = 0.06  # of half of the frame, by which it may miss one of the nine places
WHOLE_SIDE = 3  # frames before a gap, and after it, that tell enough of a motion
LAMP = {"on": "lit", "off": "unlit"}  # its colours in words
HIDDEN_PIXELS = 20  # at 32×32, with fewer of which in view an object may seem to be away


@dataclass(frozen=True)
class Tracked:
    """One object as the judge saw it. Units as in `scene.py`; frames without it hold nan."""

    color: str  # at first
    shape: str  # one of SHAPES or TOOLS, or "unclear"
    size: str  # at the first frame
    motion: str  # one of MOTIONS, "hits", "falls onto", "hit" or "unclear"
    positions: torch.Tensor  # (T, 2) in the world
    radii: torch.Tensor  # (T,) in the world
    angles: torch.Tensor  # (T,), without jumps; zero for round shapes
    seen: torch.Tensor  # (T,) bool
    outline: torch.Tensor  # (T,) IoU with the shape drawn in its place; 0 where it was not seen
    law: Law  # what explains the motion, and how well
    then: str | None = None  # what it does next: a direction, "stops", or a colour
    on_screen: torch.Tensor = field(default_factory=lambda: torch.zeros(0, 2))  # (T, 2)
    hidden: torch.Tensor = field(default_factory=lambda: torch.zeros(0))  # (T,) bool: out of view
    same: bool = True  # whether it comes back as the one that it was
    steady: bool = True  # whether it keeps its colour

    @property
    def whole(self) -> bool:
        """Whether the outline holds in every frame in which there is something to see."""
        return bool((self.outline[~self.hidden] >= WHOLE_OUTLINE).all())


@dataclass(frozen=True)
class Reading:
    """Everything that the judge saw in a clip."""

    background: str
    texture: str
    objects: tuple[Tracked, ...]
    half_extents: tuple[float, float] = (1.0, 1.0)  # of the frame: x and y, in half-widths
    duration: float = 2.0  # seconds
    view: View | None = None  # camera, cut and wall
    mark: str | None = None  # "paints", "bites" or "lights": what objects[0] does
    touch: bool | None = None  # whether a bite or a lamp's light is not there before the touch
    game: GameReading | None = None  # of a clip of the tile game, which has no objects

    def __str__(self) -> str:
        if self.game:
            return str(self.game)
        objects = [
            f"a {o.size} {LAMP.get(o.color, o.color)} {o.shape} ({o.motion})" for o in self.objects
        ]
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
    T, H, W = video.shape[1:]
    unit = min(H, W)
    frame = (W / unit, H / unit)
    duration = max(T - 1, 1) / fps

    view = look(video)
    game = read_game(video)
    if game:
        return Reading(view.background, view.texture, (), frame, duration, view, game=game)
    zoom = view.camera[:, 2]
    empty = view.empty(H, W)
    visible = view.visible(H, W)
    found = []
    for region in regions(video, empty, visible):
        own = fit(region.alpha, visible, zoom)
        if own is not None:
            found.append(_Found(region, own))
    found, mark, touch = _marked(found)
    objects = [_track(one, view, visible, fps, frame) for one in found]
    if len(objects) == 2 and mark is None:
        objects = _with_contact(objects, fps)
    return Reading(
        view.background,
        view.texture,
        tuple(objects),
        frame,
        duration,
        view,
        mark,
        touch,
    )


@dataclass(frozen=True)
class _Found:
    """One object's pixels, and the shape that fits them."""

    region: Region
    fit: Fit
    outline: torch.Tensor | None = None  # where marks decide it


def _marked(found: list[_Found]) -> tuple[list[_Found], str | None, bool | None]:
    """See what a brush, a chomper or a lamp does, if it does it, and whether after the touch."""
    if len(found) == 1 and found[0].fit.error > UNLIKE:  # a brush and its line are like no shape
        return *_painted(found[0]), None
    if len(found) != 2:
        return found, None, None
    shapes = [one.fit.shape for one in found]
    if "chomper" in shapes:
        chomper, target = found if shapes[0] == "chomper" else found[::-1]
        alpha = target.region.alpha
        fitted = at_rest(alpha, chomper.fit, target.fit)
        bite = bitten(chomper.fit, fitted, alpha)
        target = replace(target, fit=fitted, outline=bite.overlap)
        return [chomper, target], "bites" if bite.right else None, bite.after_touch
    if "lamp" in shapes:
        thing, lamp = found if shapes[1] == "lamp" else found[::-1]
        colors = lamp.region.colors
        done = is_lit(thing.fit, lamp.fit, colors)
        touch = lit_after_touch(thing.fit, lamp.fit, colors)
        return [thing, lamp], "lights" if done else None, touch
    return found, None, None


def _painted(found: _Found) -> tuple[list[_Found], str | None]:
    """See whether the only object is a brush, and whether it paints."""
    alpha = found.region.alpha
    brush = fit_open(alpha[:1])
    if brush is None or brush.shape != "brush":
        return [found], None
    own, outline, there = stroke(alpha, brush)
    done = is_painted(own.positions, outline, there)
    found = replace(found, fit=own, outline=outline)
    return [found], "paints" if done else None


def _track(
    found: _Found,
    view: View,
    visible: torch.Tensor,
    fps: float,
    frame: tuple[float, float],
) -> Tracked:
    """Follow one object: its place in the world, its outline in every frame, and the law."""
    own = found.fit
    seen = own.seen
    T, H, W = found.region.alpha.shape
    unit = min(H, W) / 2  # pixels in a half-width
    zoom = view.camera[:, 2]
    positions = own.positions / zoom[:, None] + view.camera[:, :2]
    radii = own.radii / zoom
    drawn, even = _drawn(own, positions, radii, view, H, W)
    drawn = drawn * visible
    shown = drawn.sum((1, 2))  # (T,) pixels that are in view
    fraction = shown / (AREA[own.shape] * (even * unit).square())
    known = _best_known(own, seen & (fraction >= MOST_CUT))
    law = best_law(positions, radii, own.angles, known, own.shape, fps, frame)

    hidden = shown < HIDDEN_PIXELS * (unit / 16) ** 2
    if law.motion.startswith("leaving"):
        hidden = ~seen
    outline = found.outline
    if outline is None:
        outline = _outline(found, drawn, even)
        outline = torch.where(fraction < MOST_CUT, 1.0, outline)
    colors = _colors(found)
    changes = colors[1:]
    then = law.then
    if changes:
        then = changes[0] if len(changes) == 1 and then is None else "unclear"
    return Tracked(
        color=colors[0],
        shape=own.shape if own.error < UNCLEAR_SHAPE else "unclear",
        size="small" if law.first_radius < SIZE_BORDER else "large",
        motion=law.motion,
        positions=torch.where(seen[:, None], positions, torch.nan),
        radii=torch.where(seen, radii, torch.nan),
        angles=torch.where(seen, own.angles, torch.nan),
        seen=seen,
        outline=torch.where(seen | hidden, outline, 0.0),
        law=law,
        then=then,
        on_screen=torch.where(seen[:, None], own.positions, torch.nan),
        hidden=hidden & ~seen,
        steady=not changes,
        same=_comes_back(found.region.alpha, visible, zoom, seen),
    )


def _colors(found: _Found) -> list[str]:
    """An object's colour, and those that it takes on then; a lamp that is lit keeps its own."""
    colors = [color for color in found.region.colors if color]
    if found.fit.shape == "lamp":
        return colors[:1]
    changes = [b for a, b in itertools.pairwise(colors) if a != b]
    return [colors[0], *changes]


def _best_known(own: Fit, known: torch.Tensor) -> torch.Tensor:
    """Only frames that show an object whole, where there are enough before and after a gap."""
    gap = _gap(own.seen)
    if gap is None:
        return known
    before = own.whole[: gap.start].sum()
    after = own.whole[gap.stop :].sum()
    if min(before, after) < WHOLE_SIDE:
        return known
    return known & own.whole


def _gap(seen: torch.Tensor) -> range | None:
    """From the first frame (T,) in which an object is not seen to the last; None: always seen."""
    unseen = (~seen).nonzero()[:, 0].tolist()
    return range(unseen[0], unseen[-1] + 1) if unseen else None


def _drawn(
    own: Fit,
    positions: torch.Tensor,
    radii: torch.Tensor,
    view: View,
    height: int,
    width: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The shape (T, H, W) as it should be in every frame, and its radii (T,) on the screen.

    Radii are constant or change at a constant rate: an object that is small in one frame is not
    whole. Where it is not seen, it is expected on the straight way between.
    """
    zoom = view.camera[:, 2]
    frames = torch.arange(len(radii)).float()
    good = own.whole if own.whole.sum() > 1 else own.seen
    start, slope = fit_line(radii[good], frames[good])
    even = (start + slope * frames).clamp(min=1e-3) * zoom
    between = _between(positions, own.seen)
    expected = (between - view.camera[:, :2]) * zoom[:, None]
    on_screen = torch.where(own.seen[:, None], own.positions, expected)
    drawn = coverage(own.shape, on_screen, even, own.angles, height, width)
    return drawn, even


def _between(values: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Values (T, 2) with straight lines across the gaps, and straight on beyond the ends."""
    frames = torch.arange(len(seen))
    rows = frames[seen]
    next_row = torch.searchsorted(rows, frames).clamp(max=len(rows) - 1)
    left = rows[(next_row - 1).clamp(min=0)]
    right = rows[next_row]
    gap = (right - left).clamp(min=1)
    part = ((frames - left) / gap).clamp(0, 1)
    part = part[:, None]
    inside = values[left] * (1 - part) + values[right] * part
    first = rows[0]
    last = rows[-1]
    step = (values[last] - values[first]) / (last - first).clamp(min=1)
    beyond = frames - frames.clamp(first, last)
    return inside + beyond[:, None] * step


def _outline(found: _Found, drawn: torch.Tensor, radii: torch.Tensor) -> torch.Tensor:
    """IoU (T,) of what is seen with the shape (T, H, W) drawn in its place, its radii (T,)."""
    alpha = found.region.alpha
    positions = found.fit.positions
    height, width = alpha.shape[1:]
    # edges of another object may have this colour: look only at what is near
    near_radii = 1.45 * radii + 4 / min(height, width)  # two pixels more
    x, y = pixel_grid(height, width)
    dx = x - positions[:, 0, None, None]
    dy = y - positions[:, 1, None, None]
    distance = dx.square() + dy.square()
    near = distance < near_radii[:, None, None].square()
    return iou(alpha * near, drawn)


def _comes_back(
    alpha: torch.Tensor,
    visible: torch.Tensor,
    zoom: torch.Tensor,
    seen: torch.Tensor,
) -> bool:
    """Whether an object that was out of view has the shape that it had before."""
    gap = _gap(seen)
    if gap is None:
        return True
    before = slice(0, gap.start)
    after = slice(gap.stop, None)
    if not seen[before].any() or not seen[after].any():
        return True
    old = fit(alpha[before], visible, zoom[before])
    new = fit(alpha[after], visible, zoom[after])
    if old is None or new is None:
        return old is new
    return old.shape == new.shape


def _with_contact(objects: list[Tracked], fps: float) -> list[Tracked]:
    """See two tracks as a collision, or a fall, where it explains them better than a law each."""
    plain = max(o.law.plain_error for o in objects)
    for a, b in (objects, objects[::-1]):
        for law in _laws_of_contact(a, b, fps):
            if law is not None and law.error < min(0.06, plain):
                a = replace(a, motion=law.motion, law=law, then=None)
                b = replace(b, motion="hit", law=law, then=None)
                return [a, b]
    return objects


def _laws_of_contact(a: Tracked, b: Tracked, fps: float) -> list[Law | None]:
    """What explains two tracks where a hits b, or falls onto it."""
    seen = a.seen & b.seen
    r_a = a.law.first_radius
    r_b = b.law.first_radius
    _, _, below = EXTENT.get(a.shape, (1.0, 1.0, 1.0))
    _, above, _ = EXTENT.get(b.shape, (1.0, 1.0, 1.0))
    reach = r_a * below + r_b * above
    return [
        best_collision(a.positions, b.positions, r_a, r_b, seen, fps),
        best_fall(a.positions, b.positions, reach, seen, fps),
    ]


# ------------------------------------------------------------------------------------ verdicts


def judge(video: torch.Tensor, request: PromptSpec, fps: float = FPS) -> Verdict:
    """Read a clip (3, T, H, W) in [-1, 1] and hold it against a request."""
    return verdict(read(video, fps), request)


def verdict(reading: Reading, request: PromptSpec) -> Verdict:
    """Hold what was seen against what was asked; what was not asked is not judged.

    Attributes: count (as many objects as asked, in every frame), shape, color, size, motion, order
    (what comes then), speed, turning, place, position (of all objects), relation, mark (of brush,
    chomper and lamp), touch (no bite and no light before it; left out where there is none),
    background (with its texture), camera, wall and cut (wrong, too, where there is one that was not
    asked), and outline. The objects asked are matched with those seen in the order in which most is
    right. For a request of the game see `game.game_attributes`; where only the clip is of it, game
    is wrong, too.
    """
    if request.game:
        return Verdict(game_attributes(reading.game, request.game))
    attributes: dict[str, bool] = {"game": False} if reading.game else {}
    if request.objects:
        attributes["count"] = _count(reading, request)
        number = min(len(request.objects), len(reading.objects))
        orders = itertools.permutations(reading.objects, number)
        matches = [_match(order, request, reading) for order in orders]
        best: dict[str, bool] = max(matches, key=_rights)
        attributes |= best
    attributes |= _surroundings(reading, request)
    if request.objects:
        outlines = [o.whole for o in reading.objects]
        attributes["outline"] = bool(outlines) and all(outlines)
    return Verdict(attributes)


def _rights(attributes: dict[str, bool]) -> int:
    return sum(attributes.values())


def _count(reading: Reading, request: PromptSpec) -> bool:
    cameras = request.camera or ()
    motions = [spec.motion or "" for spec in request.objects]
    looks = any(kind.startswith("looks") for kind in cameras)
    leaves = any(motion.startswith("leaving") for motion in motions)
    may_hide = request.wall or looks or leaves
    for tracked in reading.objects:
        there = tracked.seen
        if may_hide:
            there = there | tracked.hidden
        if not there.all():
            return False
    return len(reading.objects) == len(request.objects)


def _surroundings(reading: Reading, request: PromptSpec) -> dict[str, bool]:
    """Attributes of what is behind the objects and in front of them."""
    view = reading.view
    assert view is not None
    attributes = {}
    if request.background or request.texture:
        same_color = request.background is None or reading.background in request.background
        same_texture = request.texture in (None, reading.texture)
        attributes["background"] = same_color and same_texture
    if view.cut or request.cut:
        attributes["cut"] = _same_cut(view, request)
    if view.wall or request.wall:
        passed = [o.same and _crosses(o) for o in reading.objects]
        walls = bool(view.wall) and request.wall
        attributes["wall"] = walls and bool(passed) and all(passed)
    if request.camera:
        as_asked = view.kind in request.camera
        if as_asked or any(map(view.shows, request.camera)):
            attributes["camera"] = as_asked
    return attributes


def _crosses(tracked: Tracked) -> bool:
    """Whether an object is out of view for a while and comes out on the other side."""
    if not tracked.hidden.any():
        return False
    x = tracked.on_screen[tracked.seen, 0]
    return float(x[0] * x[-1]) < 0


def _same_cut(view: View, request: PromptSpec) -> bool:
    if view.cut is None or request.cut is None:
        return False
    color, texture = view.cut
    colors, asked_texture = request.cut
    return color in colors and texture == asked_texture


ASKED = {  # attribute → what asks for it in an ObjectSpec
    "shape": "shape",
    "color": "color",
    "size": "size",
    "motion": "motion",
    "order": "then",
    "speed": "speed",
    "turning": "turning",
    "place": "place",
    "position": "path",
}


def _match(seen: Sequence[Tracked], request: PromptSpec, reading: Reading) -> dict[str, bool]:
    """Attributes of the request's objects, if these were the objects in this order."""
    pairs = list(itertools.zip_longest(request.objects, seen))  # None: asked, but not there
    attributes = {}
    for name, asks in ASKED.items():
        asked = [(spec, tracked) for spec, tracked in pairs if getattr(spec, asks)]
        rights = [_has(tracked, spec, name, reading) for spec, tracked in asked]
        if rights:
            attributes[name] = all(rights)
    if request.relation:
        attributes["relation"] = len(seen) == 2 and related(seen[0], seen[1], request.relation)
    if request.verb in ("hits", "falls onto"):
        motions = [o.motion for o in seen]
        attributes["motion"] = motions == [request.verb, "hit"]
    elif request.verb:
        doer = bool(seen) and seen[0] is reading.objects[0]
        attributes["mark"] = doer and reading.mark == request.verb
        if reading.touch is not None:
            attributes["touch"] = reading.touch
    return attributes


def _has(tracked: Tracked | None, spec: ObjectSpec, name: str, reading: Reading) -> bool:
    """Whether an object has the attribute that was asked."""
    if tracked is None:
        return False
    frame = reading.half_extents
    if name == "motion":
        return _moves(tracked, spec)
    if name == "color":
        stays = tracked.steady or tracked.then == spec.then
        return stays and tracked.color == spec.color
    if name == "order":
        return tracked.then == spec.then
    if name == "speed":
        travel = max(map(abs, tracked.law.velocity)) * reading.duration
        speed = "fast" if travel >= FAST_FROM else "slow"
        return tracked.motion in STRAIGHT and speed == spec.speed
    if name == "turning":
        return tracked.law.turning == spec.turning
    if name == "place":
        return _is_at(tracked, spec.place, frame)
    if name == "position":
        return _passes(tracked, spec.path, frame)
    if name == "size" and tracked.shape in TOOLS:
        return True  # there is one size of each
    return getattr(tracked, name) == getattr(spec, name)


def _moves(tracked: Tracked, spec: ObjectSpec) -> bool:
    """Whether the motion is as asked, and nothing follows that was not asked."""
    if tracked.then != spec.then and tracked.then in (*DIRECTIONS, "stops"):
        return False
    if spec.motion == "moving":
        return tracked.motion in STRAIGHT
    return spec.motion in (tracked.motion, *tracked.law.also)


def _is_at(tracked: Tracked, place: str | None, frame: tuple[float, float]) -> bool:
    """Whether an object is at one of the nine places at first, or so near that one may say so."""
    x, y = tracked.on_screen[0].tolist()
    if math.isnan(x):
        return False  # it was not there at first
    half_width, half_height = frame
    shifts = (-NEAR_PLACE, 0.0, NEAR_PLACE)
    for dx, dy in itertools.product(shifts, shifts):
        if place_of(x + dx * half_width, y + dy * half_height, frame) == place:
            return True
    return False


def related(a: Tracked, b: Tracked, relation: str) -> bool:
    """Whether a is more to that side of b than to any other, on average over the clip."""
    between = a.positions - b.positions
    dx, dy = between.nanmean(dim=0).tolist()
    right, down = RELATIONS[relation]
    along = dx * right + dy * down
    across = abs(dx * down) + abs(dy * right)
    return along > across


def _passes(
    tracked: Tracked,
    path: tuple[tuple[int, int], ...] | None,
    half_extents: tuple[float, float],
) -> bool:
    """Whether an object is near its grid cell (column, row) at each of the five moments.

    A cell at the border stands for everything beyond it, and for what is out of view.
    """
    rows = moments(len(tracked.on_screen))
    positions = tracked.on_screen[rows]  # (5, 2)
    fractions = (positions / positions.new_tensor(half_extents) + 1) / 2
    cells = fractions * GRID_CELLS - 0.5
    cells = cells.clamp(0, GRID_CELLS - 1)
    misses = (cells - positions.new_tensor(path)).abs()
    near = (misses <= NEAR).all(1)  # nan, where it was not seen, is near nothing
    right = near | tracked.hidden[rows]
    return bool(right.all())
