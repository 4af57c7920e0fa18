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
from operator import attrgetter

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
    first_radius: float = math.nan  # half-widths, at time 0
    velocity: tuple[float, float] = (0.0, 0.0)  # at time 0, half-widths per second
    worst: float = 0.0  # largest distance of track and law in any frame
    also: tuple[str, ...] = ()  # motions that look the same in these frames
    then: str | None = None  # what it does next: a direction, or "stops"
    turning: str | None = None  # "clockwise" or "counterclockwise"
    plain_error: float = math.inf  # of the best law without a second piece


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
    positions = positions[seen]
    radii = radii[seen]
    angles = angles[seen]
    if len(times) < 4:
        first_radius = float(radii[0]) if len(times) else math.nan
        return Law("unclear", math.inf, first_radius)

    span = float(times[-1] - times[0])
    start, slope = (float(value) for value in fit_line(radii, times))
    first_radius = start + slope * float(times[0])
    last_radius = first_radius + slope * span
    growth = last_radius / max(first_radius, 1e-6)
    grows = not 1 / 1.2 <= growth <= 1.2
    if not grows:
        first_radius = float(radii.median())

    distances = (positions - positions.mean(0)).norm(dim=-1)
    if distances.max() < rest_of(span):
        if grows:
            return _growing(positions, radii, times, first_radius, growth)
        period = PERIOD.get(shape, 0.0)
        return _in_place(positions, radii, angles, times, first_radius, period)

    floor = frame[1] - first_radius * EXTENT[shape][2]
    outside = frame[0] + 0.7 * first_radius
    law = _moving(positions, times, floor, outside, duration)
    uneven = float((radii - first_radius).abs().max())
    steady = not grows and uneven < 0.3 * first_radius
    clear = steady and law.error < TOLERANCE and law.worst < 3 * TOLERANCE
    if not clear:
        law = _unclear(law)
    return replace(law, first_radius=first_radius)


def best_collision(
    a: torch.Tensor,
    b: torch.Tensor,
    r_a: float,
    r_b: float,
    seen: torch.Tensor,
    fps: float,
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
    a = a[seen]
    b = b[seen]
    if len(times) < 4:
        return None
    reach = r_a + r_b
    span = float(times[-1] - times[0])
    nearest = float((a - b).norm(dim=1).min())
    moved = (b[-1] - b[0]).norm()
    if moved < rest_of(span) or nearest > 1.25 * reach:
        return None
    if torch.equal(a[0], b[0]):
        return None  # no way leads from one to the other

    law_a, law_b, velocity, speed = _best_hit(a, b, r_a, r_b, times)
    approach = speed / (2 * fps)  # the nearest moment lies at most half a frame from a frame
    if nearest - approach > CONTACT * reach:
        return None
    vx, vy = velocity.tolist()
    error, worst = _worse(errors_of(a, law_a), errors_of(b, law_b))
    return Law("hits", error, r_a, (vx, vy), worst)


def _best_hit(
    a: torch.Tensor,
    b: torch.Tensor,
    r_a: float,
    r_b: float,
    times: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]:
    """Let two discs collide at the speed with which their tracks are nearest to a and b.

    Returns:
        Both tracks (T, 2), velocity (2,) and speed of the first disc before they touch.
    """
    way = b[0] - a[0]
    towards = way / way.norm()
    span = float(times[-1] - times[0])
    speeds = torch.linspace(0.2, 2.4, 111)[:, None] / span  # candidates
    best_error = math.inf
    for slack in (-0.08, -0.04, 0.0, 0.04, 0.08):  # a misread radius shifts the moment of contact
        gap = float(way.norm()) - r_a - r_b + slack
        along_a, along_b = _hits(max(gap, 0.0), r_a, r_b, speeds, times)
        laws_a = a[0] + along_a[..., None] * towards  # (speeds, T, 2)
        laws_b = b[0] + along_b[..., None] * towards
        squares_a = (laws_a - a).square().sum(-1)
        squares_b = (laws_b - b).square().sum(-1)
        errors = squares_a.mean(1) + squares_b.mean(1)
        error, row = errors.min(0)
        if error < best_error:
            best_error = float(error)
            law_a = laws_a[row]
            law_b = laws_b[row]
            speed = float(speeds[row])
    return law_a, law_b, towards * speed, speed


def _hits(
    gap: float,
    r_a: float,
    r_b: float,
    speeds: torch.Tensor,
    times: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """How far two discs have gone (speeds, T) along their line, of which one hits the other.

    Args:
        gap: half-widths between their outlines at first. speeds: (speeds, 1).
    """
    m_a = r_a**2
    m_b = r_b**2
    after = (times - gap / speeds).clamp(min=0)  # (speeds, T) seconds since contact
    before = times - after
    kept = (m_a - m_b) / (m_a + m_b)
    given = 2 * m_a / (m_a + m_b)
    along_a = speeds * before + kept * speeds * after
    along_b = given * speeds * after
    return along_a, along_b


def _worse(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
    """The larger ones of two pairs from `errors_of`."""
    return max(a[0], b[0]), max(a[1], b[1])


def best_fall(
    a: torch.Tensor,
    b: torch.Tensor,
    reach: float,
    seen: torch.Tensor,
    fps: float,
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
    a = a[seen]
    b = b[seen]
    if len(times) < 4:
        return None
    last = float(times[-1])
    span = float(times[-1] - times[0])
    rest = b.mean(0)
    errors_b = errors_of(b, rest)
    if errors_b[1] >= rest_of(span):
        return None

    # candidates: the lowest point is a little off the touch, the highest off the first position
    misses = reach * torch.linspace(-0.3, 0.3, 61)[:, None, None]  # (M, 1, 1)
    lowest = rest[1] - reach + misses
    highest = a[0, 1] + torch.linspace(-0.08, 0.08, 17)[:, None]  # (17, 1)
    heights = (lowest - highest).clamp(min=0.02)  # (M, 17, 1)
    fallen = 0.5 * GRAVITY * _since_the_top(times, heights).square()
    y = lowest - heights + fallen  # (M, 17, T)
    row = _best_row(y, a[:, 1])
    miss = misses[row // len(highest)].item()
    height = heights.flatten()[row].item()
    landed = last > math.sqrt(2 * height / GRAVITY) + 1 / fps
    if not landed or abs(miss) > (CONTACT - 1) * reach:
        return None
    x = rest[0].expand(len(times))
    best_y = y.flatten(0, 1)[row]
    law = torch.stack([x, best_y], dim=1)
    error, worst = _worse(errors_of(a, law), errors_b)
    return Law("falls onto", error, worst=worst)


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
    law = Law("unclear", error, radius, worst=worst, plain_error=error)
    _, rate, wobble = rotation(angles, times, period, MOST_SPIN)
    uneven = float((radii - radius).abs().max())
    if wobble >= WOBBLE or uneven >= 0.25 * radius:
        return law
    if abs(rate) < 0.4:
        return replace(law, motion="still")
    if abs(rate) <= 0.8:
        return law
    motion = "unclear" if _stops_spinning(angles, times, period) else "spinning"
    return replace(law, motion=motion, turning=_turning(rate))


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
    misses = radii - start - slope * times
    wobble = float(misses.square().mean().sqrt())
    motion = "growing" if growth > 1 else "shrinking"
    if wobble >= 0.04 or _pauses(radii[:, None], times):
        motion = "unclear"
    error = max(error, wobble)
    return Law(motion, error, first_radius, worst=worst, plain_error=error)


def _moving(
    positions: torch.Tensor,
    times: torch.Tensor,
    floor: float,
    outside: float,
    duration: float,
) -> Law:
    """The best law of what does not stay in its place.

    Args:
        floor: y of what lies on the floor. outside: x of what has left the frame to the right.
    """
    laws = [
        _straight(positions, times),
        _circle(positions, times),
        _falling(positions, times, floor),
        _bouncing(positions, times, floor),
        _thrown(positions, times, floor),
    ]
    fitted = [law for law in laws if law is not None]
    best = min(fitted, key=attrgetter("error"))
    best = replace(best, plain_error=best.error)
    pieces = _two_pieces(positions, times, duration, outside)
    if pieces is not None and pieces.error < min(0.5 * best.error, WELL):
        return replace(pieces, plain_error=best.error)
    if _pauses(positions, times):  # what turns back has no one slope by which to see a pause
        return _unclear(best)
    return best


def _unclear(law: Law) -> Law:
    return replace(law, motion="unclear", also=(), then=None, turning=None)


def _straight(positions: torch.Tensor, times: torch.Tensor) -> Law:
    """Constant velocity."""
    start, velocity = fit_line(positions, times)
    law = start + velocity * times[:, None]
    error, worst = errors_of(positions, law)
    vx, vy = velocity.tolist()
    return Law(_direction(vx, vy), error, velocity=(vx, vy), worst=worst)


def _direction(vx: float, vy: float) -> str:
    """The direction of a velocity, or "diagonal"."""
    less = min(abs(vx), abs(vy))
    more = max(abs(vx), abs(vy))
    slant = math.degrees(math.atan2(less, more))
    if slant > 22.5:
        return "diagonal"
    if abs(vx) > abs(vy):
        return "right" if vx > 0 else "left"
    return "down" if vy > 0 else "up"


def _two_pieces(
    positions: torch.Tensor,
    times: torch.Tensor,
    duration: float,
    outside: float,
) -> Law | None:
    """One velocity, then another.

    An object that is not seen around the moment between, because it is further than `outside` from
    the middle, and that comes back as it went, has left the frame.
    """
    track, turned, before, after = _fit_two_pieces(positions, times, duration)
    least = 0.25 / max(duration, 1e-6)  # half-widths per second
    if before.norm() < least:
        return None
    vx, vy = before.tolist()
    first = _direction(vx, vy)
    error, worst = errors_of(positions, track)
    law = Law(first, error, velocity=(vx, vy), worst=worst)

    steps = times.diff()
    unseen = steps.max() > 1.5 * steps.min()
    back = (before + after).norm() < 0.25 * before.norm()
    away = first in ("left", "right") and abs(float(turned[0])) > outside
    if unseen and back and away:
        return replace(law, motion=f"leaving {first}")
    then = "stops"
    if after.norm() >= least:
        then = _direction(*after.tolist())
    if first == "diagonal" or then in ("diagonal", first):
        return None
    return replace(law, then=then)


def _fit_two_pieces(
    positions: torch.Tensor,
    times: torch.Tensor,
    duration: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Fit p = start + v·t + w·max(0, t − b), linear but for the moment b.

    Returns:
        Track (T, 2), position (2,) at b, velocities (2,) before and after b.
    """
    breaks = torch.linspace(*BREAK, 41) * duration
    late = (times - breaks[:, None]).clamp(min=0)
    columns = [torch.ones_like(late), times.expand_as(late), late]
    system = torch.stack(columns, dim=-1).double()  # (41, T, 3)
    squares = system.mT @ system
    # a moment before or after all that is seen changes nothing: such a system is singular
    squares = squares + 1e-6 * torch.eye(3, dtype=torch.float64)
    products = system.mT @ positions.double()
    solution = torch.linalg.solve(squares, products).float()  # (41, 3, 2)
    tracks = system.float() @ solution
    errors = (tracks - positions).square().sum((1, 2))
    row = int(errors.argmin())
    start, before, change = solution[row]
    turned = start + before * breaks[row]
    return tracks[row], turned, before, before + change


def _circle(positions: torch.Tensor, times: torch.Tensor) -> Law | None:
    """Constant speed round a centre c; 2 c·p + k = |p|² is linear in c and k."""
    ones = torch.ones(len(positions), 1)
    system = torch.cat([2 * positions, ones], dim=1)
    squares = positions.square().sum(1, keepdim=True)
    solution = torch.linalg.lstsq(system, squares).solution.flatten()
    center = solution[:2]
    arm = positions - center
    radius = float(arm.norm(dim=1).mean())
    angles = torch.atan2(arm[:, 1], arm[:, 0])
    phase = unwrap(angles, 2 * math.pi)
    start, rate = (float(value) for value in fit_line(phase, times))

    span = float(times[-1] - times[0])
    least_arc = min(0.8 * math.pi, 1.5 * span)  # radians: with less, no one would call it a circle
    if radius > MAX_ORBIT or abs(rate) * span < least_arc:
        return None
    phases = start + rate * times
    unit = torch.stack([phases.cos(), phases.sin()], dim=1)
    error, worst = errors_of(positions, center + radius * unit)
    speed = radius * rate
    velocity = (-speed * math.sin(start), speed * math.cos(start))
    return Law("circling", error, velocity=velocity, worst=worst, turning=_turning(rate))


def _turning(rate: float) -> str:
    return "clockwise" if rate > 0 else "counterclockwise"


def _best_row(candidates: torch.Tensor, y: torch.Tensor) -> int:
    """Which row of the candidates (..., T) misses y (T,) least."""
    misses = candidates - y
    return int(misses.square().mean(-1).argmin())


def _first_heights(positions: torch.Tensor, floor: float) -> torch.Tensor:
    """Candidates (25, 1) for the height over the floor at time 0."""
    height = floor - positions[0, 1]
    candidates = height + torch.linspace(-0.12, 0.12, 25)
    return candidates.clamp(min=0.02)[:, None]


def _falling(positions: torch.Tensor, times: torch.Tensor, floor: float) -> Law:
    """Falling, and staying down."""
    heights = _first_heights(positions, floor)
    y = floor - heights + 0.5 * GRAVITY * times**2
    y = y.clamp(max=floor)
    return _vertical("falling", "bouncing", positions, times, heights, y)


def _bouncing(positions: torch.Tensor, times: torch.Tensor, floor: float) -> Law:
    heights = _first_heights(positions, floor)
    fallen = 0.5 * GRAVITY * _since_the_top(times, heights) ** 2
    y = floor - heights + fallen
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
) -> Law:
    """The best of the candidates y (heights, T) at a constant x.

    Until an object meets the floor, a fall and a bounce are the same.
    """
    row = _best_row(y, positions[:, 1])
    x = positions[:, 0].mean().expand(len(times))
    law = torch.stack([x, y[row]], dim=1)
    error, worst = errors_of(positions, law)
    fallen = 0.5 * GRAVITY * float(times[-1]) ** 2
    in_the_air = fallen < float(heights[row]) + TOLERANCE
    also = (other,) if in_the_air else ()
    return Law(motion, error, worst=worst, also=also)


def _thrown(positions: torch.Tensor, times: torch.Tensor, floor: float) -> Law | None:
    """Thrown upwards, and staying down."""
    up = torch.linspace(0.6, 1.3, 71)[:, None]  # candidates for the first speed upwards
    x, y = positions.unbind(1)
    height = floor - y[0].clamp(max=floor)
    rise = (up**2 + 2 * GRAVITY * height).sqrt()
    flight = (up + rise) / GRAVITY  # seconds until it lands
    aloft = torch.minimum(times, flight)  # (71, T)
    law_y = floor - height - up * aloft + 0.5 * GRAVITY * aloft**2
    row = _best_row(law_y, y)
    start, vx = fit_line(x, aloft[row])
    if abs(float(vx)) <= 0.15:
        return None
    law_x = start + vx * aloft[row]
    law = torch.stack([law_x, law_y[row]], dim=1)
    error, worst = errors_of(positions, law)
    velocity = (float(vx), -float(up[row]))
    return Law("thrown", error, velocity=velocity, worst=worst)


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
    inside = 1 <= row < len(steps) - 1
    if inside and steps[row] > LONG_GAP * steps.min():
        return torch.arange(len(times)) > row
    return None


def _pauses(values: torch.Tensor, times: torch.Tensor) -> bool:
    """Whether values (n, d) go on after a gap from where they were before it.

    Both sides have one slope; the jump between them is 0 without a pause, else -slope · gap.
    """
    after = _sides(times)
    if after is None:
        return False
    before = ~after
    slopes = torch.zeros(values.shape[1])
    weight = torch.tensor(0.0)
    for side in (after, before):
        from_middle = times[side] - times[side].mean()
        from_middle = from_middle[:, None]
        products = from_middle * values[side]
        slopes = slopes + products.sum(0)
        weight = weight + from_middle.square().sum()
    slope = slopes / weight
    level = values - slope * times[:, None]
    jump = level[after].mean(0) - level[before].mean(0)
    gap = times[after][0] - times[before][-1]
    paused = -slope * gap
    square = paused.square().sum()
    part = (jump * paused).sum() / square.clamp(min=1e-9)
    return bool(paused.norm() > LEAST_PAUSE and part > LEAST_PART)


def _stops_spinning(angles: torch.Tensor, times: torch.Tensor, period: float) -> bool:
    """Whether a rotation, which is known up to whole periods, is another one after a gap."""
    after = _sides(times)
    if after is None:
        return False
    before = ~after
    rates = torch.linspace(-MOST_SPIN, MOST_SPIN, 241)
    old_starts, old_left = _phases(angles[before], times[before], period, rates)
    new_starts, new_left = _phases(angles[after], times[after], period, rates)
    left = old_left + new_left
    row = int(left.argmin())
    jump = _wrap(new_starts[row] - old_starts[row], period)
    return float(jump.abs()) > WOBBLE


def _phases(
    angles: torch.Tensor,
    times: torch.Tensor,
    period: float,
    rates: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """For each rate the angle at time 0, and the sum of squares of what is left: (rates,)."""
    starts = angles - rates[:, None] * times  # (rates, T)
    phases = starts * 2 * math.pi / period
    sin = phases.sin().mean(1)
    cos = phases.cos().mean(1)
    mean = torch.atan2(sin, cos) * period / (2 * math.pi)
    left = _wrap(starts - mean[:, None], period)
    return mean, left.square().sum(1)


def _wrap(angles: torch.Tensor, period: float) -> torch.Tensor:
    """Angles from -period / 2 to period / 2."""
    return torch.remainder(angles + period / 2, period) - period / 2


def unwrap(angles: torch.Tensor, period: float) -> torch.Tensor:
    """Add whole periods to angles (T,), so that no step between frames exceeds half a period."""
    first = angles[:1]
    first = first - (first / period).round() * period
    steps = angles.diff()
    steps = steps - (steps / period).round() * period
    return torch.cat([first, first + steps.cumsum(0)])


def rest_of(span: float) -> float:
    """How far an object at rest may seem to move in a clip of `span` seconds."""
    return min(max(REST * span / 2, LEAST_REST), REST)


def fit_line(values: torch.Tensor, times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Least-squares line through values (T, ...) at times (T,): value at time 0 and slope."""
    middle = times.mean()
    ones = [1] * (values.ndim - 1)
    weights = (times - middle).view(-1, *ones)
    square = weights.square().sum()
    slope = (weights * values).sum(0) / square.clamp(min=1e-9)
    start = values.mean(0) - slope * middle
    return start, slope


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


def between_rows(costs: torch.Tensor, rows: torch.Tensor, flat: float = 1e-9) -> torch.Tensor:
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
    error = distance.square().mean().sqrt()
    return float(error), float(distance.max())
