"""Scenes as data, and the physics that moves them.

    Scene ──► simulate ──► Tracks: where everything is in every frame

Units: the half-width, which is half of the frame's shorter side, and the second. Objects live in
world coordinates: (0, 0) is the middle of the frame as long as the camera is still, x points right
and y points **down**, as rows of an image do; a square frame then reaches from -1 to 1. The camera
may move away from there and zoom: `on_screen` says where things appear. Angles are radians,
clockwise on screen. The floor is the lower edge of the still frame. A mass is its radius squared,
so that what pixels show decides a collision.
"""

import itertools
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from operator import attrgetter

import torch

SHAPES = ("circle", "square", "triangle", "star", "heart", "ring")
TOOLS = ("brush", "chomper", "lamp")  # shapes that do something, or to which something is done
COLORS = {  # look like their names, and stay apart for red- and green-blind eyes, RGB 0..255
    "red": (210, 38, 28),
    "orange": (242, 145, 10),
    "yellow": (255, 250, 50),
    "green": (10, 172, 90),
    "blue": (43, 100, 233),
    "cyan": (67, 213, 255),
    "pink": (250, 91, 170),
}
SIZES = {"small": (0.30, 0.33), "large": (0.40, 0.45)}  # radius in half-widths, lowest and highest
BACKGROUND_COLORS = {
    "black": (17, 17, 17),
    "navy": (16, 22, 72),
    "gray": (88, 88, 88),
    "white": (238, 238, 238),
}
TEXTURES = ("plain", "gradient", "grid", "stripes", "hills")
LAMP_OFF = (195, 155, 215)  # lilac glass: gray would be some part of a background
LAMP_ON = (255, 226, 90)
WALL = (130, 120, 110)
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
    "leaving left",  # out of the frame, and back
    "leaving right",
)
CAMERAS = (
    "still",
    "pans left",
    "pans right",
    "pans up",
    "pans down",
    "zooms in",
    "zooms out",
    "looks left and back",  # more than a frame's width away
    "looks right and back",
)
# what objects[0] does: to objects[1], or alone
VERBS = ("hits", "falls onto", "paints", "bites", "lights")
TO_ANOTHER = ("hits", "falls onto", "bites", "lights")
RELATIONS = {  # where the first object is, seen from the second
    "left of": (-1, 0),
    "right of": (1, 0),
    "above": (0, -1),
    "below": (0, 1),
}
MOST_OBJECTS = 3  # in a scene
ROUND = ("circle", "ring")  # spinning does not show in these: they are never made to spin

GRAVITY = 1.0  # half-widths per second squared: an object falls half of the frame in 1.4 seconds
GROWTH = (1.45, 1.60)  # growing ends the clip this much larger; shrinking this much smaller
SPIN = (1.4, 1.7)  # radians per second; more than 0 is clockwise
BITE = 1.03  # radius of a bite in radii of the chomper
FPS = 8

# How far an upright shape of radius 1 reaches from its centre of mass: sideways, up, down.
EXTENT = {  # as `render.py` draws them
    "circle": (1.0, 1.0, 1.0),
    "square": (0.85, 0.85, 0.85),
    "triangle": (1.04, 1.20, 0.60),
    "star": (1.10, 1.15, 0.93),
    "heart": (1.03, 0.76, 1.12),
    "ring": (1.0, 1.0, 1.0),
    "brush": (0.55, 1.0, 1.0),
    "chomper": (1.0, 1.0, 1.0),
    "lamp": (0.9, 0.9, 1.35),
}


@dataclass(frozen=True)
class Turn:
    """What changes of an object at one moment."""

    time: float  # seconds
    vx: float = 0.0  # its velocity from then on
    vy: float = 0.0
    color: tuple[int, int, int] | None = None  # RGB 0..255; None: as before


@dataclass(frozen=True)
class Camera:
    """A camera's path."""

    kind: str = "still"  # one of CAMERAS
    amount: float = 0.0  # half-widths of a pan or a look; ln of the zoom
    seconds: float = 2.0  # the length of the clip for which the path was made

    def at(self, time: float) -> tuple[float, float, float]:
        """x and y of the point that it looks at, and its zoom."""
        part = time / self.seconds
        if self.kind.startswith("zooms"):
            return 0.0, 0.0, math.exp(self.amount * part)
        if self.kind.startswith("pans"):
            dx, dy = DIRECTIONS[self.kind.split()[1]]
            return self.amount * part * dx, self.amount * part * dy, 1.0
        if self.kind.startswith("looks"):
            dx, dy = DIRECTIONS[self.kind.split()[1]]
            away = _ease((part - LEAVES) / AWAY_IN) - _ease((part - RETURNS) / AWAY_IN)
            return self.amount * away * dx, self.amount * away * dy, 1.0
        return 0.0, 0.0, 1.0


LEAVES, RETURNS, AWAY_IN = 0.12, 0.60, 0.28  # a look away: fractions of the clip


def _ease(x: float) -> float:
    """From 0 to 1, slowly at both ends."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)


@dataclass(frozen=True)
class Cut:
    """From one moment on the same objects are before another background."""

    time: float  # seconds
    background: str
    texture: str


@dataclass(frozen=True)
class SceneObject:
    """One object at time 0, and what moves it from there."""

    shape: str  # one of SHAPES or TOOLS
    color: str  # a key of COLORS; of a lamp, "off"
    size: str  # a key of SIZES; holds at time 0
    motion: str  # one of MOTIONS; of what does something to another "hits" or "falls onto": "hit"
    radius: float  # half-widths
    x: float  # centre of mass, half-widths
    y: float
    vx: float = 0.0  # half-widths per second
    vy: float = 0.0
    angular_velocity: float = 0.0  # rad/s at which the velocity rotates: circling
    angle: float = 0.0  # radians, clockwise, at time 0
    spin: float = 0.0  # rad/s at which the object itself rotates
    growth: float = 0.0  # fraction of the first radius gained per second
    gravity: float = 0.0  # GRAVITY where it falls
    restitution: float = 1.0  # fraction of speed kept at the floor: 1 bounces, 0 stays there
    then: str | None = None  # what it does next: a direction, "stops", or a colour that it takes on
    turn: Turn | None = None  # the change that `then`, a bite or a touch makes

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Its colour at first."""
        return LAMP_OFF if self.color == "off" else COLORS[self.color]

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
    verb: str | None = None  # one of VERBS
    camera: Camera = Camera()
    wall: float = 0.0  # half of the width of a wall in front, across the middle; 0: none
    cut: Cut | None = None
    family: str = "solo"  # one of `families.FAMILIES`
    boards: tuple[bytes, ...] = ()  # of the game, which then is all that is seen; one a frame

    @property
    def collides(self) -> bool:
        return self.verb == "hits"


@dataclass(frozen=True)
class Tracks:
    """What is true of each frame (T) and object (K), in world coordinates."""

    positions: torch.Tensor  # (T, K, 2): x and y
    radii: torch.Tensor  # (T, K)
    angles: torch.Tensor  # (T, K)
    colors: torch.Tensor  # (T, K, 3) RGB 0..255
    camera: torch.Tensor  # (T, 3): x, y, zoom
    bites: torch.Tensor  # (T, K, 3): x, y and radius of the disc that is missing; radius 0: none

    def on_screen(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Positions (T, K, 2) and radii (T, K) as the camera shows them."""
        zoom = self.camera[:, 2:]
        return (self.positions - self.camera[:, None, :2]) * zoom[..., None], self.radii * zoom


# ------------------------------------------------------------------------------------- physics

MAX_EVENTS = 100  # a frame: a ball at rest on another could trade events for ever
SEARCH_STEP = 1 / 256  # seconds between the moments at which a meeting is looked for


def simulate(scene: Scene, num_frames: int = 17, fps: float = FPS, bottom: float = 1.0) -> Tracks:
    """Move the scene's objects exactly: closed forms between events, and events where they happen.

    An event is an object under gravity that meets the floor, an object's turn, or two objects that
    meet: discs that collide elastically along the line of centres. What falls onto another object
    bounces off it where their edges meet; the other stays, because the floor takes the momentum.

    Args:
        num_frames: T ≥ 1. fps: frames per second. bottom: y of the lower edge, 1 in a square frame.

    Returns:
        Tracks in float64, frame 0 at time 0.
    """
    bodies = _bodies(scene, bottom)
    solid = scene.verb in (None, "hits", "falls onto")
    positions = []
    now = 0.0
    for frame in range(num_frames):
        target = frame / fps
        for _ in range(MAX_EVENTS):
            event = _next_event(bodies, now, target - now, solid)
            if event is None or now + event.wait > target:
                break
            _advance(bodies, event.wait)
            now += event.wait
            _happen(event)
        _advance(bodies, target - now)
        now = target
        positions.append([(body.x, body.y) for body in bodies])

    times = [frame / fps for frame in range(num_frames)]
    clock = torch.tensor(times, dtype=torch.float64)[:, None]
    radii = torch.tensor([o.radius for o in scene.objects], dtype=torch.float64)
    growth = torch.tensor([o.growth for o in scene.objects], dtype=torch.float64)
    spin = torch.tensor([o.spin for o in scene.objects], dtype=torch.float64)
    angles = torch.tensor([o.angle for o in scene.objects], dtype=torch.float64)
    colors = [[_color(o, time) for o in scene.objects] for time in times]
    return Tracks(
        positions=torch.tensor(positions, dtype=torch.float64).view(
            num_frames, len(scene.objects), 2
        ),
        radii=radii * (1 + growth * clock),
        angles=angles + spin * clock,
        colors=torch.tensor(colors, dtype=torch.float64).view(num_frames, len(scene.objects), 3),
        camera=torch.tensor([scene.camera.at(time) for time in times], dtype=torch.float64),
        bites=_bites(scene, times),
    )


def _color(thing: SceneObject, time: float) -> tuple[int, int, int]:
    turn = thing.turn
    if turn and turn.color and time >= turn.time:
        return turn.color
    return thing.rgb


def _bites(scene: Scene, times: list[float]) -> torch.Tensor:
    """Where the chomper has been, up to its deepest point, objects[1] is missing: (T, K, 3)."""
    bites = torch.zeros(len(times), len(scene.objects), 3, dtype=torch.float64)
    if scene.verb != "bites":
        return bites
    chomper = scene.objects[0]
    assert chomper.turn is not None, "a chomper turns back"
    for row, time in enumerate(times):
        going = min(time, chomper.turn.time)
        bites[row, 1, 0] = chomper.x + chomper.vx * going
        bites[row, 1, 1] = chomper.y + chomper.vy * going
        bites[row, 1, 2] = chomper.radius * BITE
    return bites


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
    turn: Turn | None  # yet to come
    edge: float  # from its centre to where it meets others, at time 0
    fixed: bool = False  # nothing moves it


@dataclass(frozen=True)
class _Event:
    """In `wait` seconds, `body` turns, or meets `other`, or the floor where there is no other."""

    wait: float
    body: _Body
    other: _Body | None = None
    turn: Turn | None = None


def _bodies(scene: Scene, bottom: float) -> list[_Body]:
    """The objects at time 0: discs, but for a fall, in which one's lower edge meets an upper one.

    Both are upright there and one is straight above the other, so edges are heights (`EXTENT`).
    """
    bodies = [
        _Body(o, o.floor - 1.0 + bottom, o.x, o.y, o.vx, o.vy, o.gravity, o.turn, o.radius)
        for o in scene.objects
    ]
    if scene.verb == "falls onto":
        upper, lower = bodies
        upper.edge *= EXTENT[upper.thing.shape][2]
        lower.edge *= EXTENT[lower.thing.shape][1]
        lower.fixed = True
    return bodies


def _happen(event: _Event) -> None:
    """Let an event change velocities."""
    if event.turn:
        event.body.vx, event.body.vy = event.turn.vx, event.turn.vy
        event.body.turn = None
    elif event.other:
        _collide(event.body, event.other)
    else:
        _hit_floor(event.body)


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


def _next_event(
    bodies: list[_Body], now: float, horizon: float, solid: bool = True
) -> _Event | None:
    """The first event, or None where there is none; meetings count only up to `horizon` seconds."""
    events = []
    for body in bodies:
        if body.turn:
            events.append(_Event(max(0.0, body.turn.time - now), body, turn=body.turn))
        if body.gravity > 0:
            events.append(_Event(_floor_time(body), body))
    for a, b in itertools.combinations(bodies, 2) if solid else ():
        wait = _meeting_time(a, b, now, horizon)
        if wait < math.inf:
            events.append(_Event(wait, a, b))
    return min(events, key=attrgetter("wait"), default=None)


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
    distance = a.edge + b.edge
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
    """Distance of two centres at which the objects touch at a time, and how fast it grows."""
    rate = a.edge * a.thing.growth + b.edge * b.thing.growth
    return a.edge + b.edge + rate * time, rate


def _gap(a: _Body, b: _Body, now: float, dt: float) -> float:
    """Squared distance of centres after dt seconds, less the squared one at which they touch."""
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

    Where radii grow, the two are pushed apart as fast as their surfaces move. What is fixed stands
    on the floor, and has the mass of the world.
    """
    nx, ny = b.x - a.x, b.y - a.y
    length = math.hypot(nx, ny)
    nx, ny = nx / length, ny / length
    _, rate = _reach(a, b, 0.0)
    approach = (a.vx - b.vx) * nx + (a.vy - b.vy) * ny + rate
    m_a, m_b = a.thing.mass, b.thing.mass
    part_a, part_b = m_b / (m_a + m_b), m_a / (m_a + m_b)
    if a.fixed or b.fixed:
        part_a, part_b = float(b.fixed), float(a.fixed)
    push = 2 * approach
    a.vx, a.vy = a.vx - push * part_a * nx, a.vy - push * part_a * ny
    b.vx, b.vy = b.vx + push * part_b * nx, b.vy + push * part_b * ny


def check_choice(name: str, value: str, allowed: Collection[str]) -> None:
    """Refuse a value that is not among `allowed`, naming what is."""
    if value not in allowed:
        raise ValueError(
            f"{name}={value!r} is not known; it is one of {', '.join(map(str, allowed))}"
        )
