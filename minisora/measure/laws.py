"""Laws of motion as explanations: which one fits a track, and by how much it misses.

    positions (T, 2), radii, angles (T,) ── best_law ──► Law: motion, its error, velocity

Each law predicts the track from a few numbers that are fitted to it. The law with the smallest root
mean square error explains the track if that error is small; otherwise the motion is "unclear".
`judge.py` reads tracks from pixels, a little off and with gaps. The constants are the world's own
(`scene.py`), so a fall with half the gravity is no fall. A track may have any frame rate and any
number of frames from four on.
"""

import math
from dataclasses import dataclass

import torch

from minisora.world.scene import EXTENT, GRAVITY

TOLERANCE = 0.07  # half-widths: a law that misses by more does not explain a track
MAX_ORBIT = 1.0  # half-widths: no circle of the world is larger
WELL = 0.04  # half-widths: by which two pieces may miss a track
BREAK = (0.3, 0.7)  # fractions of the clip between which a second piece begins
LONG_GAP = 3.5  # times the step between frames, from which on something may have paused unseen
LEAST_PAUSE = 0.02  # half-widths that must be missing for a pause to show
LEAST_PART = 0.25  # of the gap that a pause takes; true clips read as 0.05 at most
REST = 0.10  # half-widths: in a clip of two seconds, what moves less from its middle stands still
LEAST_REST = 0.03  # half-widths: the same in a very short clip, where positions are read less well
MOST_SPIN = 3.0  # radians per second
WOBBLE = 0.2  # radians by which angles may miss an even rotation
PERIOD = {  # radians after which a rotated shape looks the same; round shapes always do
    "square": math.pi / 2,
    "triangle": 2 * math.pi / 3,
    "star": 2 * math.pi / 5,
    "heart": 2 * math.pi,
    "chomper": 2 * math.pi,
}
CONTACT = 1.10  # times the sum of two radii, as they are read: what comes nearer touches


@dataclass(frozen=True)
class Law:
    """What explains a track, and how well."""

    motion: str  # one of MOTIONS, "hits", "falls onto" or "unclear"
    error: float  # root mean square distance of track and law, half-widths
    first_radius: float  # half-widths, at time 0
    velocity: tuple[float, float] = (0.0, 0.0)  # at time 0, half-widths per second
    worst: float = 0.0  # largest distance of track and law in any frame
    also: tuple[str, ...] = ()  # motions that look the same in these frames
    then: str | None = None  # what it does next: a direction, or "stops"
    turning: str | None = None  # "clockwise" or "counterclockwise"
    plain_error: float = math.inf  # of the best law without a second piece


@dataclass(frozen=True)
class Fit:
    """One law, fitted to a track."""

    motion: str
    error: float  # root mean square, half-widths
    worst: float
    velocity: tuple[float, float] = (0.0, 0.0)
    also: tuple[str, ...] = ()
    then: str | None = None
    turning: str | None = None


def best_law(
    positions: torch.Tensor,
    radii: torch.Tensor,
    angles: torch.Tensor,
    seen: torch.Tensor,
    shape: str,
    fps: float,
    frame: tuple[float, float] = (1.0, 1.0),
) -> Law:
    """Explain the track of one object.

    Args:
        positions: (T, 2), half-widths. radii, angles: (T,). seen: (T,), False in a gap.
        shape: decides where the object meets the floor. frame: half of its width and height.

    Returns:
        The law with the smallest error; its motion is "unclear" where no law fits.
    """
    duration = (len(seen) - 1) / fps
    times = torch.arange(len(seen))[seen] / fps
    positions, radii, angles = positions[seen], radii[seen], angles[seen]
    if len(times) < 4:
        first = float(radii[0]) if len(times) else math.nan
        return Law("unclear", math.inf, first)
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
        return _in_place(positions, radii, angles, times, first_radius, PERIOD.get(shape, 0.0))

    fits = [
        _straight(positions, times),
        _circle(positions, times),
        *_gravity(positions, times, shape, first_radius, frame[1]),
    ]
    best = min((fit for fit in fits if fit is not None), key=lambda fit: fit.error)
    plain_error = best.error
    pieces = _two_pieces(positions, times, duration, frame[0] + 0.7 * first_radius)
    if pieces is not None and pieces.error < min(0.5 * best.error, WELL):
        best = pieces
    elif _pauses(positions, times):  # what turns back has no one slope by which to see a pause
        best = Fit("unclear", best.error, best.worst, best.velocity)
    steady = not grows and float((radii - first_radius).abs().max()) < 0.3 * first_radius
    clear = steady and best.error < TOLERANCE and best.worst < 3 * TOLERANCE
    if not clear:
        best = Fit("unclear", best.error, best.worst, best.velocity)
    return Law(
        best.motion,
        best.error,
        first_radius,
        best.velocity,
        best.worst,
        best.also,
        best.then,
        best.turning,
        plain_error,
    )


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
    if (b[-1] - b[0]).norm() < rest_of(span) or nearest > 1.25 * (r_a + r_b):
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
    return Law("hits", max(error_a, error_b), r_a, (vx, vy), max(worst_a, worst_b))


def best_fall(
    a: torch.Tensor, b: torch.Tensor, reach: float, seen: torch.Tensor, fps: float
) -> Law | None:
    """Explain two tracks as an object that falls onto one at rest below it, and bounces off.

    Args:
        a, b: (T, 2) positions of the falling and of the resting object.
        reach: of their centres, how far they are apart when the two touch.
        seen: (T,), False where one of them is missing.

    Returns:
        The law with the larger of the two errors, and no radius; None where b moves, or where a
        turns back before it touches b, or never does.
    """
    times = torch.arange(len(seen))[seen] / fps
    a, b = a[seen], b[seen]
    if len(times) < 4:
        return None
    rest = b.mean(0)
    error_b, worst_b = errors_of(b, rest)
    if worst_b >= rest_of(float(times[-1] - times[0])):
        return None
    # candidates: the lowest point is a little off the touch, the highest off the first position
    misses = reach * torch.linspace(-0.3, 0.3, 61)[:, None, None]  # (M, 1, 1)
    lowest = rest[1] - reach + misses
    highest = a[0, 1] + torch.linspace(-0.08, 0.08, 17)[:, None]  # (17, 1)
    heights = (lowest - highest).clamp(min=0.02)  # (M, 17, 1)
    y = lowest - heights + 0.5 * GRAVITY * _since_the_top(times, heights).square()  # (M, 17, T)
    row = int((y - a[:, 1]).square().mean(-1).argmin())
    miss, height = misses[row // len(highest)].item(), heights.flatten()[row].item()
    landed = float(times[-1]) > math.sqrt(2 * height / GRAVITY) + 1 / fps
    if not landed or abs(miss) > (CONTACT - 1) * reach:
        return None
    law = torch.stack([rest[0].expand(len(times)), y.flatten(0, 1)[row]], dim=1)
    error_a, worst_a = errors_of(a, law)
    return Law("falls onto", max(error_a, error_b), math.nan, worst=max(worst_a, worst_b))


# ------------------------------------------------------------------------------------ the laws


def _in_place(
    positions: torch.Tensor,
    radii: torch.Tensor,
    angles: torch.Tensor,
    times: torch.Tensor,
    radius: float,
    period: float,
) -> Law:
    """Still or spinning."""
    error, worst = errors_of(positions, positions.mean(0))
    _, rate, wobble = rotation(angles, times, period, MOST_SPIN)
    motion, turning = "unclear", None
    if abs(rate) < 0.4 and wobble < WOBBLE:
        motion = "still"
    elif abs(rate) > 0.8 and wobble < WOBBLE:
        motion = "unclear" if _stops_spinning(angles, times, period) else "spinning"
        turning = _turning(rate)
    if float((radii - radius).abs().max()) >= 0.25 * radius:
        motion, turning = "unclear", None
    return Law(motion, error, radius, worst=worst, turning=turning, plain_error=error)


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
    if wobble >= 0.04 or _pauses(radii[:, None], times):
        motion = "unclear"
    error = max(error, wobble)
    return Law(motion, error, first_radius, worst=worst, plain_error=error)


def _straight(positions: torch.Tensor, times: torch.Tensor) -> Fit:
    """Constant velocity."""
    start, velocity = fit_line(positions, times)
    vx, vy = velocity.tolist()
    return Fit(_way(vx, vy), *errors_of(positions, start + velocity * times[:, None]), (vx, vy))


def _way(vx: float, vy: float) -> str:
    """The direction of a velocity, or "diagonal"."""
    slant = math.degrees(math.atan2(min(abs(vx), abs(vy)), max(abs(vx), abs(vy))))
    if slant > 22.5:
        return "diagonal"
    if abs(vx) > abs(vy):
        return "right" if vx > 0 else "left"
    return "down" if vy > 0 else "up"


def _two_pieces(
    positions: torch.Tensor, times: torch.Tensor, duration: float, outside: float
) -> Fit | None:
    """One velocity, then another: p = start + v·t + w·max(0, t − b), linear but for the moment b.

    An object that is not seen around b, because it is further than `outside` from the middle, and
    that comes back as it went, has left the frame.
    """
    breaks = torch.linspace(*BREAK, 41) * duration
    late = (times - breaks[:, None]).clamp(min=0)
    columns = [torch.ones_like(late), times.expand_as(late), late]
    system = torch.stack(columns, dim=-1).double()  # (41, T, 3)
    # a moment before or after all that is seen changes nothing: such a system is singular
    squares = system.mT @ system + 1e-6 * torch.eye(3, dtype=torch.float64)
    solution = torch.linalg.solve(squares, system.mT @ positions.double())  # (41, 3, 2)
    solution = solution.float()
    law = system.float() @ solution
    row = int((law - positions).square().sum((1, 2)).argmin())
    errors = errors_of(positions, law[row])
    start, before, change = solution[row]
    after = before + change
    least = 0.25 / max(duration, 1e-6)  # half-widths per second
    if before.norm() < least:
        return None
    velocity = (float(before[0]), float(before[1]))
    first = _way(*velocity)
    turned = start[0] + before[0] * breaks[row]
    unseen = times.diff().max() > 1.5 * times.diff().min()
    back = (before + after).norm() < 0.25 * before.norm()
    if unseen and back and first in ("left", "right") and abs(float(turned)) > outside:
        return Fit(f"leaving {first}", *errors, velocity)
    then = "stops" if after.norm() < least else _way(float(after[0]), float(after[1]))
    if "diagonal" in (first, then) or first == then:
        return None
    return Fit(first, *errors, velocity, then=then)


def _circle(positions: torch.Tensor, times: torch.Tensor) -> Fit | None:
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
    return Fit("circling", *errors_of(positions, law), velocity, turning=_turning(rate))


def _turning(rate: float) -> str:
    return "clockwise" if rate > 0 else "counterclockwise"


def _gravity(
    positions: torch.Tensor, times: torch.Tensor, shape: str, radius: float, bottom: float
) -> list[Fit | None]:
    """Falling (and staying down), bouncing, thrown (and staying down)."""
    floor = bottom - radius * EXTENT[shape][2]
    return [
        _falling(positions, times, floor),
        _bouncing(positions, times, floor),
        _thrown(positions, times, floor),
    ]


def _first_heights(positions: torch.Tensor, floor: float) -> torch.Tensor:
    """Candidates (25, 1) for the height over the floor at time 0."""
    candidates = floor - positions[0, 1] + torch.linspace(-0.12, 0.12, 25)
    return candidates.clamp(min=0.02)[:, None]


def _falling(positions: torch.Tensor, times: torch.Tensor, floor: float) -> Fit:
    heights = _first_heights(positions, floor)
    y = (floor - heights + 0.5 * GRAVITY * times**2).clamp(max=floor)
    return _vertical("falling", "bouncing", positions, times, heights, y)


def _bouncing(positions: torch.Tensor, times: torch.Tensor, floor: float) -> Fit:
    heights = _first_heights(positions, floor)
    y = floor - heights + 0.5 * GRAVITY * _since_the_top(times, heights) ** 2
    return _vertical("bouncing", "falling", positions, times, heights, y)


def _since_the_top(times: torch.Tensor, heights: torch.Tensor) -> torch.Tensor:
    """Seconds (..., T) from the nearest moment at which what bounces is at the top, as at time 0.

    Args:
        heights: (..., 1), from which it falls each time.
    """
    descent = (2 * heights / GRAVITY).sqrt()  # seconds from the top to the bounce
    return torch.remainder(times + descent, 2 * descent) - descent


def _vertical(
    motion: str,
    other: str,
    positions: torch.Tensor,
    times: torch.Tensor,
    heights: torch.Tensor,
    y: torch.Tensor,
) -> Fit:
    """The best of the candidates y (heights, T) at a constant x.

    Until an object meets the floor, a fall and a bounce are the same.
    """
    row = int((y - positions[:, 1]).square().mean(1).argmin())
    law = torch.stack([positions[:, 0].mean().expand(len(times)), y[row]], dim=1)
    fallen = 0.5 * GRAVITY * float(times[-1]) ** 2
    in_the_air = fallen < float(heights[row]) + TOLERANCE
    return Fit(motion, *errors_of(positions, law), also=(other,) if in_the_air else ())


def _thrown(positions: torch.Tensor, times: torch.Tensor, floor: float) -> Fit | None:
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
    return Fit("thrown", *errors_of(positions, law), (float(vx), -float(up[row])))


# --------------------------------------------------------------------------------------- tools


def rotation(
    angles: torch.Tensor, times: torch.Tensor, period: float, most: float
) -> tuple[float, float, float]:
    """Fit start + rate·t to angles (T,) that are known up to whole periods, gaps or no gaps.

    Args:
        period: radians; 0 for what is round. most: radians per unit of time.

    Returns:
        Angle at time 0, rate, and the root mean square of what is left.
    """
    if period == 0:
        return 0.0, 0.0, 0.0
    rates = torch.linspace(-most, most, 241)
    starts, left = _phases(angles, times, period, rates)
    row = int(left.argmin())
    wobble = math.sqrt(float(left[row]) / len(times))
    return float(starts[row]), float(rates[row]), wobble


def _sides(times: torch.Tensor) -> torch.Tensor | None:
    """For each moment (n,) whether it comes after the longest gap; None where there is no gap."""
    steps = times.diff()
    row = int(steps.argmax())
    after = torch.arange(len(times)) > row
    long = steps[row] > LONG_GAP * steps.min()
    return after if long and row >= 1 and row < len(steps) - 1 else None


def _pauses(values: torch.Tensor, times: torch.Tensor) -> bool:
    """Whether values (n, d) go on after a gap from where they were before it.

    Both sides have one slope; the jump between them is 0 without a pause, else -slope · gap.
    """
    after = _sides(times)
    if after is None:
        return False
    slopes = torch.zeros(values.shape[1])
    weight = torch.tensor(0.0)
    for side in (after, ~after):
        from_middle = (times[side] - times[side].mean())[:, None]
        slopes = slopes + (from_middle * values[side]).sum(0)
        weight = weight + from_middle.square().sum()
    slope = slopes / weight
    level = values - slope * times[:, None]
    jump = level[after].mean(0) - level[~after].mean(0)
    paused = -slope * (times[after][0] - times[~after][-1])
    part = (jump * paused).sum() / paused.square().sum().clamp(min=1e-9)
    return bool(paused.norm() > LEAST_PAUSE and part > LEAST_PART)


def _stops_spinning(angles: torch.Tensor, times: torch.Tensor, period: float) -> bool:
    """Whether a rotation, which is known up to whole periods, is another one after a gap."""
    after = _sides(times)
    if after is None:
        return False
    rates = torch.linspace(-MOST_SPIN, MOST_SPIN, 241)
    sides = [_phases(angles[side], times[side], period, rates) for side in (~after, after)]
    row = int((sides[0][1] + sides[1][1]).argmin())
    jump = _wrap(sides[1][0][row] - sides[0][0][row], period)
    return float(jump.abs()) > WOBBLE


def _phases(
    angles: torch.Tensor, times: torch.Tensor, period: float, rates: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """For each rate the angle at time 0, and the sum of squares of what is left: (rates,)."""
    phase = (angles - rates[:, None] * times) * 2 * math.pi / period
    middle = torch.atan2(phase.sin().mean(1), phase.cos().mean(1)) * period / (2 * math.pi)
    left = _wrap(angles - rates[:, None] * times - middle[:, None], period)
    return middle, left.square().sum(1)


def _wrap(angles: torch.Tensor, period: float) -> torch.Tensor:
    """Angles from -period / 2 to period / 2."""
    return torch.remainder(angles + period / 2, period) - period / 2


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


def vertex(
    left: torch.Tensor,
    middle: torch.Tensor,
    right: torch.Tensor,
    flat: float = 1e-9,
) -> torch.Tensor:
    """Where the parabola through three costs, one step apart, is least: steps from the middle.

    Args:
        flat: the least curvature.

    Returns:
        From -0.5 to 0.5.
    """
    curvature = (left - 2 * middle + right).clamp(min=flat)
    shift = (left - right) / (2 * curvature)
    return shift.clamp(-0.5, 0.5)


def between_rows(costs: torch.Tensor, rows: torch.Tensor, flat: float) -> torch.Tensor:
    """How far from its row (T,) the least of costs (T, N) lies, in rows: from -0.5 to 0.5."""
    frames = torch.arange(len(rows))
    inner = rows.clamp(1, costs.shape[1] - 2)
    left = costs[frames, inner - 1]
    middle = costs[frames, inner]
    right = costs[frames, inner + 1]
    return vertex(left, middle, right, flat)


def errors_of(track: torch.Tensor, law: torch.Tensor) -> tuple[float, float]:
    """Root mean square and largest distance of two tracks (T, 2)."""
    distance = (track - law).norm(dim=-1)
    return float(distance.square().mean().sqrt()), float(distance.max())
