"""Scenes as data, and the physics that moves them.

    Scene ──► simulate ──► Tracks: where everything is in every frame

Units: the half-width, which is half of the frame's shorter side, and the second. The middle of the frame is (0, 0), x points
right and y points **down**, as rows of an image do; a square frame reaches from -1 to 1. Angles are radians, clockwise on screen.
The floor is the frame's lower edge. A mass is its radius squared, so that what pixels show decides a collision.
"""

import math
from dataclasses import dataclass

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
RELATIONS = {
    "left of": (-1, 0),
    "right of": (1, 0),
    "above": (0, -1),
    "below": (0, 1),
}  # where the first object is, seen from the second
ROUND = (
    "circle",
    "ring",
)  # spinning does not show in these, so they are never made or captioned spinning

GRAVITY = 1.0  # half-widths per second squared: an object falls half of the frame in 1.4 seconds
GROWTH = (1.45, 1.60)  # growing ends the clip this much larger; shrinking this much smaller
SPIN = (
    1.4,
    1.7,
)  # radians per second, clockwise, as circling is too: no word says which way, or how fast
FPS = 8

# How far an upright shape of radius 1 reaches from its centre of mass: sideways, up, down. `render.py` draws them so.
EXTENT = {
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
    turn: float = 0.0  # rad/s at which the velocity turns: circling
    spin: float = 0.0  # rad/s at which the object itself turns
    growth: float = 0.0  # share of the first radius gained per second
    gravity: float = 0.0  # GRAVITY where it falls
    restitution: float = (
        1.0  # share of speed kept when it meets the floor: 1 bounces, 0 stays there
    )

    @property
    def mass(self) -> float:
        return self.radius**2

    @property
    def floor(self) -> float:
        """The centre's y (in half-widths, for a square frame) when the object stands on the lower edge."""
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
    """Truth per frame (T) and object (K): positions (T, K, 2) as x, y; radii (T, K); angles (T, K)."""

    positions: torch.Tensor
    radii: torch.Tensor
    angles: torch.Tensor


# ---------------------------------------------------------------------------------------------------------------- physics


def simulate(scene: Scene, num_frames: int = 17, fps: float = FPS, bottom: float = 1.0) -> Tracks:
    """Move the scene's objects exactly: closed forms between events, and events where they happen.

    Events are an object that meets the floor and two objects that meet (elastic, along the line of centres).

    Args:
        num_frames: T ≥ 1. fps: frames per second. bottom: y of the lower edge, 1 in a square frame.

    Returns:
        Tracks in float64, frame 0 at time 0.
    """
    state = [[o.x, o.y, o.vx, o.vy, o.gravity] for o in scene.objects]
    floors = [o.floor - 1.0 + bottom for o in scene.objects]
    positions, now = [], 0.0
    for frame in range(num_frames):
        target = frame / fps
        for _ in range(100):  # a ball at rest on another could trade events for ever
            wait, event = _next_event(scene.objects, state, floors)
            if now + wait > target:
                break
            _advance(scene.objects, state, wait)
            now += wait
            event()
        _advance(scene.objects, state, target - now)
        now = target
        positions.append([s[:2] for s in state])
    times = torch.arange(num_frames, dtype=torch.float64)[:, None] / fps
    column = lambda name: torch.tensor(
        [getattr(o, name) for o in scene.objects], dtype=torch.float64
    )
    return Tracks(
        positions=torch.tensor(positions, dtype=torch.float64),
        radii=column("radius") * (1 + column("growth") * times),
        angles=column("spin") * times,
    )


def _advance(objects: tuple[SceneObject, ...], state: list[list[float]], dt: float) -> None:
    for thing, s in zip(objects, state, strict=True):
        x, y, vx, vy, g = s
        if thing.turn:  # a velocity that turns at a constant rate draws a circle
            sin, cos, w = math.sin(thing.turn * dt), math.cos(thing.turn * dt), thing.turn
            s[:4] = [
                x + (vx * sin - vy * (1 - cos)) / w,
                y + (vx * (1 - cos) + vy * sin) / w,
                vx * cos - vy * sin,
                vx * sin + vy * cos,
            ]
        else:
            s[:4] = [x + vx * dt, y + vy * dt + 0.5 * g * dt * dt, vx, vy + g * dt]


def _next_event(objects: tuple[SceneObject, ...], state: list[list[float]], floors: list[float]):
    """Seconds until the next event, and a function that carries it out."""
    wait, event = math.inf, None
    for i, thing in enumerate(objects):
        if state[i][4] > 0:
            dt = _floor_time(state[i], floors[i])
            if dt < wait:
                wait, event = dt, lambda s=state[i], e=thing.restitution: _hit_floor(s, e)
    if len(objects) == 2:
        dt = _meeting_time(state, objects[0].radius + objects[1].radius)
        if dt < wait:
            wait, event = dt, lambda: _collide(objects, state)
    return wait, event


def _floor_time(s: list[float], floor: float) -> float:
    _, y, _, vy, g = s
    return max(
        0.0, (-vy + math.sqrt(max(0.0, vy * vy + 2 * g * (floor - y)))) / g
    )  # y + vy·t + g·t²/2 = floor


def _hit_floor(s: list[float], restitution: float) -> None:
    if restitution > 0:
        s[3] = -abs(s[3]) * restitution
    else:
        s[2:] = [0.0, 0.0, 0.0]


def _meeting_time(state: list[list[float]], distance: float) -> float:
    dx, dy, dvx, dvy = (state[1][i] - state[0][i] for i in range(4))
    approach, speed = dx * dvx + dy * dvy, dvx * dvx + dvy * dvy
    if approach >= 0:  # going apart, or both at rest
        return math.inf
    root = approach * approach - speed * (
        dx * dx + dy * dy - distance * distance
    )  # |d + v·t| = distance
    return math.inf if root < 0 else max(0.0, (-approach - math.sqrt(root)) / speed)


def _collide(objects: tuple[SceneObject, ...], state: list[list[float]]) -> None:
    """Exchange momentum along the line of centres; kinetic energy and momentum are kept."""
    (a, b), (m_a, m_b) = state, (o.mass for o in objects)
    nx, ny = b[0] - a[0], b[1] - a[1]
    length = math.hypot(nx, ny)
    nx, ny = nx / length, ny / length
    approach = (a[2] - b[2]) * nx + (a[3] - b[3]) * ny
    push = 2 * approach / (m_a + m_b)
    a[2], a[3] = a[2] - push * m_b * nx, a[3] - push * m_b * ny
    b[2], b[3] = b[2] + push * m_a * nx, b[3] + push * m_a * ny


def check_choice(name: str, value: str, allowed) -> None:
    """Refuse a value that is not among `allowed`, naming what is."""
    if value not in allowed:
        raise ValueError(
            f"{name}={value!r} is not known; it is one of {', '.join(map(str, allowed))}"
        )
