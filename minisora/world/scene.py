"""Scenes as data, and the physics that moves them.

    Scene ──► simulate ──► Tracks: where everything is in every frame

Units: the half-width, which is half of the frame's shorter side, and the second. The middle of the
frame is (0, 0), x points right and y points **down**, as rows of an image do; a square frame
reaches from -1 to 1. Angles are radians, clockwise on screen. The floor is the frame's lower edge.
A mass is its radius squared, so that what pixels show decides a collision.
"""

import itertools
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

import torch

SHAPES = ("circle", "square", "triangle", "star", "heart", "ring")
COLORS = {  # Okabe and Ito's palette, with everyday names, RGB 0..255
    "red": (213, 94, 0),
    "orange": (230, 159, 0),
    "yellow": (240, 228, 66),
    "green": (0, 158, 115),
    "blue": (0, 114, 178),
    "cyan": (86, 180, 233),
    "pink": (204, 121, 167),
}
SIZES = {"small": (0.30, 0.33), "large": (0.40, 0.45)}  # radius in half-widths, lowest and highest
BACKGROUND_COLORS = {"black": (17, 17, 17), "navy": (16, 22, 72), "white": (238, 238, 238)}
TEXTURES = ("plain", "gradient", "grid")
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
MOTIONS = (
    "still",
    *DIRECTIONS,
    "diagonal",
    "falling",
    "thrown",
    "bouncing",
    "circling",
    "spinning",
    "growing",
    "shrinking",
)
RELATIONS = {  # where the first object is, seen from the second
    "left of": (-1, 0),
    "right of": (1, 0),
    "above": (0, -1),
    "below": (0, 1),
}
ROUND = ("circle", "ring")  # spinning does not show in these: they are never made to spin

GRAVITY = 1.0  # half-widths per second squared: an object falls half of the frame in 1.4 seconds
GROWTH = (1.45, 1.60)  # growing ends the clip this much larger; shrinking this much smaller
SPIN = (1.4, 1.7)  # radians per second; always clockwise, because no word says which way
FPS = 8

# How far an upright shape of radius 1 reaches from its centre of mass: sideways, up, down.
EXTENT = {  # as `render.py` draws them
    "circle": (1.0, 1.0, 1.0),
    "square": (0.85, 0.85, 0.85),
    "triangle": (1.04, 1.20, 0.60),
    "star": (1.10, 1.15, 0.93),
    "heart": (1.03, 0.76, 1.12),
    "ring": (1.0, 1.0, 1.0),
}


@dataclass(frozen=True)
class SceneObject:
    """One object at time 0, and what moves it from there."""

    shape: str  # one of SHAPES
    color: str  # a key of COLORS
    size: str  # a key of SIZES; holds at time 0
    motion: str  # one of MOTIONS, or "hits" and "hit" in a collision
    radius: float  # half-widths
    x: float  # centre of mass, half-widths
    y: float
    vx: float = 0.0  # half-widths per second
    vy: float = 0.0
    angular_velocity: float = 0.0  # rad/s at which the velocity rotates: circling
    spin: float = 0.0  # rad/s at which the object itself rotates
    growth: float = 0.0  # fraction of the first radius gained per second
    gravity: float = 0.0  # GRAVITY where it falls
    restitution: float = 1.0  # fraction of speed kept at the floor: 1 bounces, 0 stays there

    @property
    def mass(self) -> float:
        return self.radius**2

    @property
    def floor(self) -> float:
        """The centre's y when the object stands on the lower edge of a square frame."""
        return 1.0 - self.radius * EXTENT[self.shape][2]


@dataclass(frozen=True)
class Scene:
    """Everything that is true of a clip. Two equal scenes make equal pixels."""

    objects: tuple[SceneObject, ...]
    background: str = "black"  # a key of BACKGROUND_COLORS
    texture: str = "plain"  # one of TEXTURES
    relation: str | None = None  # where objects[0] is, seen from objects[1]; a key of RELATIONS
    seed: int | None = None

    @property
    def family(self) -> str:
        return "solo" if len(self.objects) == 1 else "pair"

    @property
    def collides(self) -> bool:
        return self.objects[0].motion == "hits"


@dataclass(frozen=True)
class Tracks:
    """What is true of each frame (T) and object (K).

    Positions are (T, K, 2) as x, y; radii and angles are (T, K).
    """

    positions: torch.Tensor
    radii: torch.Tensor
    angles: torch.Tensor


# ------------------------------------------------------------------------------------- physics

MAX_EVENTS = 100  # a frame: a ball at rest on another could trade events for ever
SEARCH_STEP = 1 / 256  # seconds between the moments at which a meeting is looked for


def simulate(scene: Scene, num_frames: int = 17, fps: float = FPS, bottom: float = 1.0) -> Tracks:
    """Move the scene's objects exactly: closed forms between events, and events where they happen.

    An event is an object under gravity that meets the floor, or two objects that meet: discs that
    collide elastically along the line of centres.

    Args:
        num_frames: T ≥ 1. fps: frames per second. bottom: y of the lower edge, 1 in a square frame.

    Returns:
        Tracks in float64, frame 0 at time 0.
    """
    bodies = [
        _Body(o, o.floor - 1.0 + bottom, o.x, o.y, o.vx, o.vy, o.gravity) for o in scene.objects
    ]
    positions = []
    now = 0.0
    for frame in range(num_frames):
        target = frame / fps
        for _ in range(MAX_EVENTS):
            event = _next_event(bodies, now, target - now)
            if event is None or now + event.wait > target:
                break
            _advance(bodies, event.wait)
            now += event.wait
            if event.other is None:
                _hit_floor(event.body)
            else:
                _collide(event.body, event.other)
        _advance(bodies, target - now)
        now = target
        positions.append([(body.x, body.y) for body in bodies])

    times = torch.arange(num_frames, dtype=torch.float64)[:, None] / fps
    radii = torch.tensor([o.radius for o in scene.objects], dtype=torch.float64)
    growth = torch.tensor([o.growth for o in scene.objects], dtype=torch.float64)
    spin = torch.tensor([o.spin for o in scene.objects], dtype=torch.float64)
    return Tracks(
        positions=torch.tensor(positions, dtype=torch.float64).view(num_frames, -1, 2),
        radii=radii * (1 + growth * times),
        angles=spin * times,
    )


@dataclass
class _Body:
    """An object on its way."""

    thing: SceneObject
    floor: float
    x: float
    y: float
    vx: float
    vy: float
    gravity: float


@dataclass(frozen=True)
class _Event:
    """In `wait` seconds, `body` meets `other`, or the floor where there is no other."""

    wait: float
    body: _Body
    other: _Body | None = None


def _after(body: _Body, dt: float) -> tuple[float, float, float, float]:
    """Position and velocity (x, y, vx, vy) after dt seconds without an event."""
    x, y, vx, vy = body.x, body.y, body.vx, body.vy
    rate = body.thing.angular_velocity
    if rate:  # a velocity that rotates at a constant rate draws a circle
        sin = math.sin(rate * dt)
        cos = math.cos(rate * dt)
        return (
            x + (vx * sin - vy * (1 - cos)) / rate,
            y + (vx * (1 - cos) + vy * sin) / rate,
            vx * cos - vy * sin,
            vx * sin + vy * cos,
        )
    g = body.gravity
    return x + vx * dt, y + vy * dt + 0.5 * g * dt * dt, vx, vy + g * dt


def _advance(bodies: list[_Body], dt: float) -> None:
    for body in bodies:
        body.x, body.y, body.vx, body.vy = _after(body, dt)


def _next_event(bodies: list[_Body], now: float, horizon: float) -> _Event | None:
    """The first event, or None where there is none; meetings count only up to `horizon` seconds."""
    first = None
    for body in bodies:
        if body.gravity > 0:
            wait = _floor_time(body)
            if first is None or wait < first.wait:
                first = _Event(wait, body)
    for a, b in itertools.combinations(bodies, 2):
        wait = _meeting_time(a, b, now, horizon)
        if wait < math.inf and (first is None or wait < first.wait):
            first = _Event(wait, a, b)
    return first


def _floor_time(body: _Body) -> float:
    """Seconds until y + vy·t + g·t²/2 = floor."""
    g = body.gravity
    root = body.vy * body.vy + 2 * g * (body.floor - body.y)
    return max(0.0, (-body.vy + math.sqrt(max(0.0, root))) / g)


def _hit_floor(body: _Body) -> None:
    if body.thing.restitution > 0:
        body.vy = -abs(body.vy) * body.thing.restitution
    else:
        body.vx = body.vy = body.gravity = 0.0


def _meeting_time(a: _Body, b: _Body, now: float, horizon: float) -> float:
    """Seconds until two objects touch, infinite where they do not."""
    bent = a.thing.angular_velocity or b.thing.angular_velocity or a.gravity != b.gravity
    if bent or a.thing.growth or b.thing.growth:
        return _search_meeting(a, b, now, horizon)
    # no relative acceleration: |d + v·t| = distance is quadratic in t
    distance = a.thing.radius + b.thing.radius
    dx, dy, dvx, dvy = b.x - a.x, b.y - a.y, b.vx - a.vx, b.vy - a.vy
    approach = dx * dvx + dy * dvy
    speed = dvx * dvx + dvy * dvy
    if approach >= 0:  # going apart, or both at rest
        return math.inf
    root = approach * approach - speed * (dx * dx + dy * dy - distance * distance)
    return math.inf if root < 0 else max(0.0, (-approach - math.sqrt(root)) / speed)


def _search_meeting(a: _Body, b: _Body, now: float, horizon: float) -> float:
    """The same for any motion: bracket the first touch on a fine grid, then bisect."""
    gap = partial(_gap, a, b, now)
    gap_change = partial(_gap_change, a, b, now)
    if gap(0.0) <= 0 and gap_change(0.0) < 0:
        return 0.0
    steps = max(1, math.ceil(horizon / SEARCH_STEP))
    for step in range(steps):
        start = horizon * step / steps
        end = horizon * (step + 1) / steps
        if gap_change(start) < 0 < gap_change(end):  # nearest in between: may touch and part there
            end = _bisect(gap_change, start, end)
        if gap(end) <= 0 < gap(start):
            return _bisect(gap, start, end)
        if gap(end) <= 0 and gap_change(end) < 0:  # parted and came back within one step
            return end
    return math.inf


def _reach(a: _Body, b: _Body, time: float) -> tuple[float, float]:
    """Sum of two radii at a time, and how fast it grows."""
    rate = a.thing.radius * a.thing.growth + b.thing.radius * b.thing.growth
    return a.thing.radius + b.thing.radius + rate * time, rate


def _gap(a: _Body, b: _Body, now: float, dt: float) -> float:
    """Squared distance of centres after dt seconds, less the squared sum of radii."""
    ax, ay, _, _ = _after(a, dt)
    bx, by, _, _ = _after(b, dt)
    distance, _ = _reach(a, b, now + dt)
    return (bx - ax) ** 2 + (by - ay) ** 2 - distance**2


def _gap_change(a: _Body, b: _Body, now: float, dt: float) -> float:
    """Half of the gap's derivative after dt seconds: negative while two objects approach."""
    ax, ay, avx, avy = _after(a, dt)
    bx, by, bvx, bvy = _after(b, dt)
    distance, rate = _reach(a, b, now + dt)
    return (bx - ax) * (bvx - avx) + (by - ay) * (bvy - avy) - distance * rate


def _bisect(function: Callable[[float], float], low: float, high: float) -> float:
    """The last moment before the function changes its sign between low and high."""
    positive = function(low) > 0
    for _ in range(60):
        middle = (low + high) / 2
        if (function(middle) > 0) == positive:
            low = middle
        else:
            high = middle
    return low


def _collide(a: _Body, b: _Body) -> None:
    """Exchange momentum along the line of centres; kinetic energy and momentum are kept.

    Where radii grow, the two are pushed apart as fast as their surfaces move.
    """
    nx, ny = b.x - a.x, b.y - a.y
    length = math.hypot(nx, ny)
    nx, ny = nx / length, ny / length
    _, rate = _reach(a, b, 0.0)
    approach = (a.vx - b.vx) * nx + (a.vy - b.vy) * ny + rate
    m_a, m_b = a.thing.mass, b.thing.mass
    push = 2 * approach / (m_a + m_b)
    a.vx, a.vy = a.vx - push * m_b * nx, a.vy - push * m_b * ny
    b.vx, b.vy = b.vx + push * m_a * nx, b.vy + push * m_a * ny


def check_choice(name: str, value: str, allowed: Collection[str]) -> None:
    """Refuse a value that is not among `allowed`, naming what is."""
    if value not in allowed:
        raise ValueError(
            f"{name}={value!r} is not known; it is one of {', '.join(map(str, allowed))}"
        )
