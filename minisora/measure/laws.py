"""Laws of motion as explanations: which one fits a track, and by how much it misses.

    positions (T, 2), radii, angles (T,) ── best_law ──► Law: motion, its error, velocity

Each law predicts the track from a few numbers that are fitted to it. The law with the smallest root
mean square error explains the track if that error is small; otherwise the motion is "unclear".
`judge.py` reads tracks from pixels, a little off and with gaps. The constants are the world's own
(`scene.py`), so a fall with half the gravity is no fall. A track may have any frame rate and any
number of frames from four on.
"""

import math
from dataclasses import dataclass, replace

import torch

from minisora.world.scene import EXTENT, GRAVITY

TOLERANCE = 0.07  # half-widths: a law that misses by more does not explain a track
REST = 0.10  # half-widths: in a clip of two seconds, what moves less from its middle stands still
LEAST_REST = 0.03  # half-widths: the same in a very short clip, where positions are read less well
MAX_ORBIT = 1.0  # half-widths: no circle of the world is larger
CONTACT = 1.10  # times the sum of two radii, as they are read: what comes nearer touches


@dataclass(frozen=True)
class Law:
    """What explains a track, and how well."""

    motion: str  # one of MOTIONS, "hits" or "unclear"
    error: float  # root mean square distance of track and law, half-widths
    worst: float  # largest distance of track and law in any frame
    first_radius: float = math.nan  # half-widths, at time 0
    velocity: tuple[float, float] = (0.0, 0.0)  # at time 0, half-widths per second
    also: tuple[str, ...] = ()  # motions that look the same in these frames


def best_law(
    positions: torch.Tensor,
    radii: torch.Tensor,
    angles: torch.Tensor,
    seen: torch.Tensor,
    shape: str,
    fps: float,
    bottom: float,
) -> Law:
    """Explain the track of one object.

    Args:
        positions: (T, 2), half-widths. radii, angles: (T,). seen: (T,), False in a gap.
        shape: decides where the object meets the floor. bottom: y of the frame's lower edge.

    Returns:
        The law with the smallest error; its motion is "unclear" where no law fits.
    """
    times = torch.arange(len(seen))[seen] / fps
    positions, radii, angles = positions[seen], radii[seen], angles[seen]
    if len(times) < 4:
        return Law("unclear", math.inf, math.inf, float(radii[0]))
    span = float(times[-1] - times[0])
    start, slope = (float(value) for value in fit_line(radii, times))
    first_radius = start + slope * float(times[0])
    growth = (first_radius + slope * span) / max(first_radius, 1e-6)
    grows = not 1 / 1.2 <= growth <= 1.2
    if not grows:
        first_radius = float(radii.median())

    distances = (positions - positions.mean(0)).norm(dim=-1)
    if distances.max() < rest_of(span):
        if grows:
            return _growing(positions, radii, times, first_radius, growth)
        return _in_place(positions, radii, angles, times, first_radius)

    floor = bottom - first_radius * EXTENT[shape][2]
    fits = [
        _straight(positions, times),
        _circle(positions, times),
        _falling(positions, times, floor),
        _bouncing(positions, times, floor),
        _thrown(positions, times, floor),
    ]
    best = min((fit for fit in fits if fit is not None), key=lambda fit: fit.error)
    steady = not grows and float((radii - first_radius).abs().max()) < 0.3 * first_radius
    clear = steady and best.error < TOLERANCE and best.worst < 3 * TOLERANCE
    law = replace(best, first_radius=first_radius)
    return law if clear else replace(law, motion="unclear", also=())


def best_collision(
    a: torch.Tensor, b: torch.Tensor, r_a: float, r_b: float, seen: torch.Tensor, fps: float
) -> Law | None:
    """Explain two tracks as a moving disc that meets one at rest, head on; masses are radii².

    Args:
        a, b: (T, 2) positions of the moving and of the resting disc. r_a, r_b: their radii.
        seen: (T,), False where one of them is missing.

    Returns:
        The law with the larger of the two errors and the first velocity of a; None where the two
        never touch.
    """
    times = torch.arange(len(seen))[seen] / fps
    a, b = a[seen], b[seen]
    if len(times) < 4:
        return None
    span = float(times[-1] - times[0])
    nearest = float((a - b).norm(dim=1).min())
    b_moves = float((b[-1] - b[0]).norm()) >= rest_of(span)
    if not b_moves or nearest > 1.25 * (r_a + r_b):
        return None

    towards = (b[0] - a[0]) / (b[0] - a[0]).norm()
    m_a, m_b = r_a**2, r_b**2
    speeds = torch.linspace(0.2, 2.4, 111)[:, None] / span  # candidates
    best_error = math.inf
    for slack in (-0.08, -0.04, 0.0, 0.04, 0.08):  # a misread radius shifts the moment of contact
        gap = max(float((b[0] - a[0]).norm()) - r_a - r_b + slack, 0.0)
        after = (times - gap / speeds).clamp(min=0)  # (speeds, T) seconds since contact
        before = times - after
        along_a = speeds * before + (m_a - m_b) / (m_a + m_b) * speeds * after
        along_b = 2 * m_a / (m_a + m_b) * speeds * after
        law_a = a[0] + along_a[..., None] * towards  # (speeds, T, 2)
        law_b = b[0] + along_b[..., None] * towards
        error_a = (law_a - a).square().sum(-1).mean(1)
        error_b = (law_b - b).square().sum(-1).mean(1)
        error, row = (error_a + error_b).min(0)
        if error < best_error:
            best_error = float(error)
            best_a, best_b = law_a[row], law_b[row]
            speed = float(speeds[row])

    approach = speed / (2 * fps)  # the nearest moment lies at most half a frame from a frame
    if nearest - approach > CONTACT * (r_a + r_b):
        return None
    error_a, worst_a = errors_of(a, best_a)
    error_b, worst_b = errors_of(b, best_b)
    vx, vy = (towards * speed).tolist()
    return Law("hits", max(error_a, error_b), max(worst_a, worst_b), r_a, (vx, vy))


# ------------------------------------------------------------------------------------ the laws


def _in_place(
    positions: torch.Tensor,
    radii: torch.Tensor,
    angles: torch.Tensor,
    times: torch.Tensor,
    radius: float,
) -> Law:
    """Still or spinning."""
    error, worst = errors_of(positions, positions.mean(0))
    start, rate = fit_line(angles, times)
    wobble = float((angles - start - rate * times).square().mean().sqrt())
    motion = "unclear"
    if abs(float(rate)) < 0.4:
        motion = "still"
    elif abs(float(rate)) > 0.8 and wobble < 0.35:
        motion = "spinning"
    if float((radii - radius).abs().max()) >= 0.25 * radius:
        motion = "unclear"
    return Law(motion, error, worst, radius)


def _growing(
    positions: torch.Tensor,
    radii: torch.Tensor,
    times: torch.Tensor,
    first_radius: float,
    growth: float,
) -> Law:
    """Growing or shrinking at a constant rate."""
    error, worst = errors_of(positions, positions.mean(0))
    start, slope = fit_line(radii, times)
    wobble = float((radii - start - slope * times).square().mean().sqrt())
    motion = "growing" if growth > 1 else "shrinking"
    if wobble >= 0.04:
        motion = "unclear"
    return Law(motion, max(error, wobble), worst, first_radius)


def _straight(positions: torch.Tensor, times: torch.Tensor) -> Law:
    """Constant velocity."""
    start, velocity = fit_line(positions, times)
    vx, vy = velocity.tolist()
    slower, faster = sorted((abs(vx), abs(vy)))
    if math.degrees(math.atan2(slower, faster)) > 22.5:
        motion = "diagonal"
    elif abs(vx) > abs(vy):
        motion = "right" if vx > 0 else "left"
    else:
        motion = "down" if vy > 0 else "up"
    law = start + velocity * times[:, None]
    return Law(motion, *errors_of(positions, law), velocity=(vx, vy))


def _circle(positions: torch.Tensor, times: torch.Tensor) -> Law | None:
    """Constant speed round a centre c; 2 c·p + k = |p|² is linear in c and k."""
    system = torch.cat([2 * positions, torch.ones(len(positions), 1)], dim=1)
    squares = positions.square().sum(1, keepdim=True)
    solution = torch.linalg.lstsq(system, squares).solution.flatten()
    center = solution[:2]
    arm = positions - center
    radius = float(arm.norm(dim=1).mean())
    phase = unwrap(torch.atan2(arm[:, 1], arm[:, 0]), 2 * math.pi)
    start, rate = (float(value) for value in fit_line(phase, times))

    span = float(times[-1] - times[0])
    least_arc = min(0.8 * math.pi, 1.5 * span)  # radians: with less, no one would call it a circle
    if radius > MAX_ORBIT or abs(rate) * span < least_arc:
        return None
    law_phase = start + rate * times
    law = center + radius * torch.stack([law_phase.cos(), law_phase.sin()], dim=1)
    speed = radius * rate
    velocity = (-speed * math.sin(start), speed * math.cos(start))
    return Law("circling", *errors_of(positions, law), velocity=velocity)


def _first_heights(positions: torch.Tensor, floor: float) -> torch.Tensor:
    """Candidates (25, 1) for the height over the floor at time 0."""
    candidates = floor - positions[0, 1] + torch.linspace(-0.12, 0.12, 25)
    return candidates.clamp(min=0.02)[:, None]


def _falling(positions: torch.Tensor, times: torch.Tensor, floor: float) -> Law:
    """A fall from rest that ends on the floor."""
    heights = _first_heights(positions, floor)
    y = (floor - heights + 0.5 * GRAVITY * times**2).clamp(max=floor)
    return _vertical("falling", "bouncing", positions, times, heights, y)


def _bouncing(positions: torch.Tensor, times: torch.Tensor, floor: float) -> Law:
    """A fall from rest that comes back from the floor without loss, again and again."""
    heights = _first_heights(positions, floor)
    descent = (2 * heights / GRAVITY).sqrt()  # seconds from the top to the floor
    phase = torch.remainder(times + descent, 2 * descent) - descent
    y = floor - heights + 0.5 * GRAVITY * phase**2
    return _vertical("bouncing", "falling", positions, times, heights, y)


def _vertical(
    motion: str,
    other: str,
    positions: torch.Tensor,
    times: torch.Tensor,
    heights: torch.Tensor,
    y: torch.Tensor,
) -> Law:
    """The best of the candidates y (heights, T) at a constant x.

    Until an object meets the floor, a fall and a bounce are the same.
    """
    row = int((y - positions[:, 1]).square().mean(1).argmin())
    x = positions[:, 0].mean().expand(len(times))
    law = torch.stack([x, y[row]], dim=1)
    fallen = 0.5 * GRAVITY * float(times[-1]) ** 2
    in_the_air = fallen < float(heights[row]) + TOLERANCE
    return Law(motion, *errors_of(positions, law), also=(other,) if in_the_air else ())


def _thrown(positions: torch.Tensor, times: torch.Tensor, floor: float) -> Law | None:
    """Upwards and sideways, then down, and at rest where it lands."""
    up = torch.linspace(0.6, 1.3, 71)[:, None]  # candidates for the first speed upwards
    x, y = positions[:, 0], positions[:, 1]
    height = floor - y[0].clamp(max=floor)
    flight = (up + (up**2 + 2 * GRAVITY * height).sqrt()) / GRAVITY  # seconds until it lands
    aloft = torch.minimum(times, flight)
    law_y = floor - height - up * aloft + 0.5 * GRAVITY * aloft**2
    row = int((law_y - y).square().mean(1).argmin())
    start, vx = fit_line(x, aloft[row])
    if abs(float(vx)) <= 0.15:
        return None
    law = torch.stack([start + vx * aloft[row], law_y[row]], dim=1)
    velocity = (float(vx), -float(up[row]))
    return Law("thrown", *errors_of(positions, law), velocity=velocity)


# --------------------------------------------------------------------------------------- tools


def unwrap(angles: torch.Tensor, period: float) -> torch.Tensor:
    """Add whole periods to angles (T,), so that no step between frames exceeds half a period."""
    steps = angles.diff()
    steps = steps - (steps / period).round() * period
    first = angles[:1] - (angles[:1] / period).round() * period
    return torch.cat([first, first + steps.cumsum(0)])


def rest_of(span: float) -> float:
    """How far an object at rest may seem to move in a clip of `span` seconds."""
    return min(max(REST * span / 2, LEAST_REST), REST)


def fit_line(values: torch.Tensor, times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Least-squares line through values (T, ...) at times (T,): value at time 0 and slope."""
    middle = times.mean()
    weights = (times - middle).view(-1, *[1] * (values.ndim - 1))
    slope = (weights * values).sum(0) / weights.square().sum().clamp(min=1e-9)
    return values.mean(0) - slope * middle, slope


def errors_of(track: torch.Tensor, law: torch.Tensor) -> tuple[float, float]:
    """Root mean square and largest distance of two tracks (T, 2)."""
    distance = (track - law).norm(dim=-1)
    return float(distance.square().mean().sqrt()), float(distance.max())
