"""Laws of motion as explanations: which one fits a track, and by how much it misses.

    positions (T, 2), radii, angles (T,) ── best_law ──► Law: motion, its error, velocity

Each law predicts the track from a few numbers that are fitted to it; the law with the smallest root-mean-square miss explains it,
if that miss is small; otherwise the motion is "unclear". `judge.py` reads tracks from pixels, a little off and with gaps. The
constants are the world's own (`scene.py`), so a fall with half the gravity is no fall.
"""

import math
from dataclasses import dataclass

import torch

from minisora.world.scene import EXTENT, GRAVITY

TOLERANCE = 0.07  # half-widths: a law that misses by more does not explain a track
REST = 0.10  # half-widths: what moves less than this from its middle stands still


@dataclass(frozen=True)
class Law:
    motion: str
    error: float  # root mean square distance of track and law, half-widths
    first_radius: float  # half-widths, at time 0
    velocity: tuple[float, float] = (0.0, 0.0)  # at time 0, half-widths per second
    worst: float = 0.0  # largest distance of track and law in any frame


def _line(values: torch.Tensor, times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Least-squares line through values (T, ...) at times (T,): start and slope."""
    middle = times.mean()
    spread = (times - middle).square().sum().clamp(min=1e-9)
    weights = (times - middle).view(-1, *[1] * (values.ndim - 1))
    slope = (weights * values).sum(0) / spread
    return values.mean(0) - slope * middle, slope


def _miss(track: torch.Tensor, law: torch.Tensor) -> tuple[float, float]:
    distance = (track - law).norm(dim=-1)
    return float(distance.square().mean().sqrt()), float(distance.max())


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
        positions: (T, 2); radii, angles: (T,); seen: (T,), False in a gap. shape: where it meets the floor. bottom: y of the lower edge.
    """
    times = torch.arange(len(seen))[seen] / fps
    positions, radii, angles = positions[seen], radii[seen], angles[seen]
    if len(times) < 4:
        return Law("unclear", math.inf, float(radii[0]))
    span = float(times[-1] - times[0])
    r_0, r_slope = (float(v) for v in _line(radii, times))
    first = r_0 + r_slope * float(times[0])
    growth = (first + r_slope * span) / max(first, 1e-6)
    growing = growth > 1.2 or growth < 1 / 1.2
    if not growing:
        first = float(radii.median())
    middle = positions.mean(0)
    if (positions - middle).norm(dim=-1).max() < REST:
        miss = _miss(positions, middle)
        if growing:
            wobble = float((radii - (r_0 + r_slope * times)).square().mean().sqrt())
            motion = "growing" if growth > 1 else "shrinking"
            return Law(
                motion if wobble < 0.04 else "unclear", max(miss[0], wobble), first, worst=miss[1]
            )
        steady = float((radii - first).abs().max()) < 0.25 * first
        a_0, spin = _line(angles, times)
        wobble = float((angles - a_0 - spin * times).square().mean().sqrt())
        turned = abs(float(spin))
        motion = (
            "spinning" if turned > 0.8 and wobble < 0.35 else "still" if turned < 0.4 else "unclear"
        )
        return Law(motion if steady else "unclear", miss[0], first, worst=miss[1])
    laws = [
        _straight(positions, times),
        _circle(positions, times),
        *_gravity(positions, times, shape, first, bottom),
    ]
    motion, miss, velocity = min(laws, key=lambda law: law[1][0])
    steady = not growing and (radii - first).abs().max() < 0.3 * first
    clear = miss[0] < TOLERANCE and miss[1] < 3 * TOLERANCE and steady
    return Law(motion if clear else "unclear", miss[0], first, velocity, miss[1])


def _straight(positions: torch.Tensor, times: torch.Tensor):
    """Constant velocity."""
    start, velocity = _line(positions, times)
    vx, vy = velocity.tolist()
    slant = math.degrees(math.atan2(min(abs(vx), abs(vy)), max(abs(vx), abs(vy))))
    sideways, upright = "right" if vx > 0 else "left", "down" if vy > 0 else "up"
    motion = "diagonal" if slant > 22.5 else sideways if abs(vx) > abs(vy) else upright
    return motion, _miss(positions, start + velocity * times[:, None]), (vx, vy)


def _circle(positions: torch.Tensor, times: torch.Tensor):
    """Constant speed round a centre: 2·c·p + k = |p|² is linear in the centre c."""
    system = torch.cat([2 * positions, torch.ones(len(positions), 1)], dim=1)
    solution = torch.linalg.lstsq(
        system, positions.square().sum(1, keepdim=True)
    ).solution.flatten()
    center = solution[:2]
    arm = positions - center
    radius = arm.norm(dim=1).mean()
    phase = torch.atan2(arm[:, 1], arm[:, 0])
    steps = phase.diff()
    phase = torch.cat(
        [phase[:1], phase[:1] + (steps - (steps / (2 * math.pi)).round() * 2 * math.pi).cumsum(0)]
    )
    start, turn = _line(phase, times)
    law_phase = start + turn * times
    law = center + radius * torch.stack([law_phase.cos(), law_phase.sin()], dim=1)
    miss = _miss(positions, law)
    if (
        radius > 1.0 or abs(float(turn)) * float(times[-1] - times[0]) < 0.8 * math.pi
    ):  # too little of a circle to call it one
        miss = (math.inf, math.inf)
    speed = float(radius * turn)
    return "circling", miss, (-speed * math.sin(float(start)), speed * math.cos(float(start)))


def _gravity(
    positions: torch.Tensor, times: torch.Tensor, shape: str, radius: float, bottom: float
):
    """Falling (and staying down), bouncing, thrown (and staying down): the world's gravity, and a floor."""
    floor = bottom - radius * EXTENT[shape][2]
    x, y = positions[:, 0], positions[:, 1]
    laws = []
    heights = (floor - y[0] + torch.linspace(-0.12, 0.12, 25)).clamp(min=0.02)[
        :, None
    ]  # candidates for the first height
    fallen = 0.5 * GRAVITY * times**2
    falling = (floor - heights + fallen).clamp(max=floor)
    half = (2 * heights / GRAVITY).sqrt()  # seconds from the top to the floor
    phase = torch.remainder(times + half, 2 * half) - half
    bouncing = floor - heights + 0.5 * GRAVITY * phase**2
    for motion, candidates in (("falling", falling), ("bouncing", bouncing)):
        best = candidates[(candidates - y).square().mean(1).argmin()]
        laws.append(
            (motion, _miss(positions, torch.stack([x.mean().expand_as(best), best], 1)), (0.0, 0.0))
        )
    up = torch.linspace(0.6, 1.3, 71)[:, None]  # candidates for the first speed upwards
    start = floor - y[0].clamp(max=floor)
    flight = (up + (up**2 + 2 * GRAVITY * start).sqrt()) / GRAVITY
    aloft = torch.minimum(times, flight)
    heights = floor - start - up * aloft + 0.5 * GRAVITY * aloft**2
    best = int((heights - y).square().mean(1).argmin())
    x_0, vx = _line(x, aloft[best])
    law = torch.stack([x_0 + vx * aloft[best], heights[best]], 1)
    miss = _miss(positions, law) if abs(float(vx)) > 0.15 else (math.inf, math.inf)
    laws.append(("thrown", miss, (float(vx), -float(up[best]))))
    return laws


def best_collision(
    a: torch.Tensor, b: torch.Tensor, r_a: float, r_b: float, seen: torch.Tensor, fps: float
) -> Law | None:
    """Explain two tracks (T, 2) as a moving disc that meets one at rest, head on; masses are radii squared.

    Returns:
        The law with the larger of the two misses and the first velocity of a, or None where they never come near.
    """
    times = torch.arange(len(seen))[seen] / fps
    a, b = a[seen], b[seen]
    if (
        len(times) < 4
        or (b[-1] - b[0]).norm() < REST
        or (a - b).norm(dim=1).min() > 1.25 * (r_a + r_b)
    ):
        return None
    towards = (b[0] - a[0]) / (b[0] - a[0]).norm()
    m_a, m_b = r_a**2, r_b**2
    speeds = torch.linspace(0.1, 1.2, 111)[:, None]
    best = None
    for slack in (
        -0.08,
        -0.04,
        0.0,
        0.04,
        0.08,
    ):  # a radius read half a pixel wrong moves the moment of contact
        gap = max(float((b[0] - a[0]).norm()) - r_a - r_b + slack, 0.0)
        after = (times - gap / speeds).clamp(min=0)  # seconds since contact, (speeds, T)
        before = times - after
        along_a = speeds * before + (m_a - m_b) / (m_a + m_b) * speeds * after
        along_b = 2 * m_a / (m_a + m_b) * speeds * after
        law_a, law_b = a[0] + along_a[..., None] * towards, b[0] + along_b[..., None] * towards
        miss = (law_a - a).norm(dim=-1).square().mean(1) + (law_b - b).norm(dim=-1).square().mean(1)
        i = int(miss.argmin())
        if best is None or miss[i] < best[0]:
            best = float(miss[i]), law_a[i], law_b[i], float(speeds[i])
    misses = [_miss(a, best[1]), _miss(b, best[2])]
    velocity = (towards * best[3]).tolist()
    return Law("hits", max(m[0] for m in misses), r_a, tuple(velocity), max(m[1] for m in misses))
