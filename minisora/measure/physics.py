"""Physics probes: two ways to ask a video model for its physics in which nobody has to look.

    tracks, generated and true (T, 2) ── velocity_error ──► half-widths per second
    losses of true and of implausible clips (N,) ── preference_error ──► fraction of pairs

The first (PhyWorld, arXiv:2411.02385, section 3) lets the model go on from a few conditioning
frames, at speeds that training had and at speeds that it had not. The second (LikePhys,
arXiv:2510.11512) generates nothing: a model that knows gravity should find a true fall easier to
denoise than an implausible one.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from minisora.flow import add_noise, velocity_of
from minisora.measure.clips import ClipShape, track_of
from minisora.measure.stats import Figure, mean_of, slope_of, wilson_interval
from minisora.pipeline import MiniSora
from minisora.world.dataset import sample_scene
from minisora.world.render import render
from minisora.world.scene import (
    COLORS,
    DIRECTIONS,
    EXTENT,
    FPS,
    GRAVITY,
    Scene,
    SceneObject,
    simulate,
)

SPEEDS = {  # half-widths per second
    "slower": (0.03, 0.12),
    "as in training": (0.30, 0.55),
    "faster": (0.75, 1.00),
}
IMPLAUSIBLE = ("teleport", "color change", "vanish", "reversed", "weak gravity")
SIGMAS = (0.3, 0.5, 0.7, 0.9)  # noise levels at which losses are compared
LONGEST_WAY = 1.1  # half-widths that an object goes in a training clip, at most


# ------------------------------------------------------------------------------ velocity error


def velocities(track: torch.Tensor, fps: float = FPS, apart: int = 1) -> torch.Tensor:
    """Velocities of a track (T, 2) over `apart` frames, half-widths per second: (T - apart, 2)."""
    return (track[apart:] - track[:-apart]) * fps / apart


def velocity_error(
    positions: torch.Tensor, truth: torch.Tensor, fps: float = FPS, apart: int = 1
) -> float:
    """Mean |v̂ − v| of two tracks (T, 2); frames in which either is nan do not count."""
    difference = velocities(positions, fps, apart) - velocities(truth, fps, apart)
    return float(difference.norm(dim=-1).nanmean())


def moving_scene(
    seed: int,
    low: float,
    high: float,
    *,
    num_frames: int = 17,
    height: int = 32,
    width: int = 32,
    fps: float = FPS,
) -> Scene:
    """A small object that crosses the frame at a speed between `low` and `high` (half-widths/s).

    One that is too fast for the frame starts at its edge.
    """
    rng = random.Random(f"moving {seed}")
    motion, speed = rng.choice(list(DIRECTIONS)), rng.uniform(low, high)
    shape: ClipShape = {"num_frames": num_frames, "height": height, "width": width, "fps": fps}
    scene = sample_scene(seed, size="small", motion=motion, **shape)
    (thing,) = scene.objects
    dx, dy = DIRECTIONS[motion]
    if speed * (num_frames - 1) / fps > LONGEST_WAY:
        thing = _at_the_edge(thing, (dx, dy), half_extents(height, width))
    return replace(scene, objects=(replace(thing, vx=speed * dx, vy=speed * dy),))


def half_extents(height: int, width: int) -> tuple[float, float]:
    """Half of a frame's width and height, in half-widths."""
    return width / min(height, width), height / min(height, width)


def _at_the_edge(
    thing: SceneObject, direction: tuple[int, int], frame: tuple[float, float]
) -> SceneObject:
    """Put an object where its whole way through the frame lies before it."""
    side, up, down = (extent * thing.radius for extent in EXTENT[thing.shape])
    dx, dy = direction
    if dx:
        return replace(thing, x=dx * (side - frame[0]))
    return replace(thing, y=up - frame[1] if dy > 0 else frame[1] - down)


def true_track(
    scene: Scene, num_frames: int = 17, height: int = 32, width: int = 32, fps: float = FPS
) -> torch.Tensor:
    """Where the only object of a scene is, (T, 2), nan where part of it is out of the frame."""
    right, bottom = half_extents(height, width)
    track = simulate(scene, num_frames, fps, bottom).positions[:, 0].float()
    (thing,) = scene.objects
    side, up, down = (extent * thing.radius - 1e-4 for extent in EXTENT[thing.shape])
    x, y = track[:, 0], track[:, 1]
    inside = (x.abs() + side <= right) & (y - up >= -bottom) & (y + down <= bottom)
    return torch.where(inside[:, None], track, torch.nan)


def velocity_figures(
    generated: torch.Tensor,
    again: torch.Tensor,
    scenes: Sequence[Scene],
    first: int = 4,
    apart: int = 4,
    fps: float = FPS,
) -> dict[str, Any]:
    """Clips (B, 3, T, H, W) that go on from conditioning frames, against the true ones.

    Args:
        again: the true clips after the compressor's round trip.
        first: the last conditioning frame. apart: frames between which velocities are taken.

    Returns:
        "error" of the generated clips and its "floor" on the true ones (half-widths/s); "lost", the
        fraction of frames without the object; "slope" of the generated speed on the given one,
        which is 1 for a model that goes on at the speed it sees and 0 for one that does not look,
        and the slope's "floor"; "points", given and generated speed of each clip.
    """
    errors, floors, lost, points, true_points = [], [], [], [], []
    for video, true, scene in zip(generated, again, scenes, strict=True):
        (thing,) = scene.objects
        frames, height, width = video.shape[1:]
        right = true_track(scene, frames, height, width, fps)[first:]
        track = track_of(video, thing.color, fps)[first:]
        seen = track_of(true, thing.color, fps)[first:]
        errors.append(velocity_error(track, right, fps, apart))
        floors.append(velocity_error(seen, right, fps, apart))
        in_view = right[:, 0].isfinite()
        lost.append(float(track[in_view, 0].isnan().float().mean()))
        given = abs(thing.vx + thing.vy)
        points.append((given, _speed(track, right, thing.motion, fps, apart)))
        true_points.append((given, _speed(seen, right, thing.motion, fps, apart)))
    return {
        "error": mean_of(errors),
        "floor": mean_of(floors),
        "lost": mean_of(lost),
        "slope": slope_of(points),
        "slope floor": slope_of(true_points),
        "points": [[round(a, 3), round(b, 3)] for a, b in points if b == b],
    }


def _speed(track: torch.Tensor, right: torch.Tensor, motion: str, fps: float, apart: int) -> float:
    """Mean speed of a track (T, 2) along its motion, while the true one is in view."""
    direction = torch.tensor(DIRECTIONS[motion]).float()
    along = velocities(track, fps, apart) @ direction
    return float(along[right[apart:, 0].isfinite()].nanmean())


# ---------------------------------------------------------------------------- preference error


def make_implausible(
    kind: str,
    scene: Scene,
    *,
    num_frames: int = 17,
    height: int = 32,
    width: int = 32,
    fps: float = FPS,
) -> torch.Tensor:
    """The clip (3, T, H, W) of a falling object with one thing in it that cannot be.

    Raises:
        ValueError: a kind that is not one of IMPLAUSIBLE.
    """
    if kind not in IMPLAUSIBLE:
        raise ValueError(f"kind={kind!r} is not known; it is one of {', '.join(IMPLAUSIBLE)}")
    shape: ClipShape = {"num_frames": num_frames, "height": height, "width": width, "fps": fps}
    video = render([scene], **shape)[0]
    if kind == "reversed":
        return video.flip(1)
    rng = random.Random(scene.seed)
    cut = rng.randrange(max(num_frames // 4, 1), num_frames - num_frames // 4)
    (thing,) = scene.objects
    other: SceneObject | None = None
    if kind == "teleport":
        other = replace(thing, x=thing.x - 0.5 if thing.x > 0 else thing.x + 0.5)
    elif kind == "weak gravity":
        other = replace(thing, gravity=0.35 * GRAVITY)
    elif kind == "color change":
        other = replace(thing, color=rng.choice([c for c in COLORS if c != thing.color]))
    objects = (other,) if other else ()
    changed = render([replace(scene, objects=objects)], **shape)[0]
    if kind == "weak gravity":
        return changed
    return torch.cat([video[:, :cut], changed[:, cut:]], dim=1)


@torch.no_grad()
def denoising_loss(
    model: MiniSora,
    videos: torch.Tensor,
    prompts: Sequence[str],
    sigmas: Sequence[float] = SIGMAS,
    seed: int = 0,
) -> torch.Tensor:
    """Velocity loss of clips (B, 3, T, H, W), mean over tokens and noise levels: (B,).

    A seed is the same noise for every clip.
    """
    x_0 = model.encode(videos)
    ids = model.tokenizer(list(prompts))[0]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, *x_0.shape[1:], generator=generator).to(x_0).expand_as(x_0)
    losses = []
    for sigma in sigmas:
        velocity = model.velocity(add_noise(x_0, noise, torch.tensor(sigma)), sigma, ids)
        losses.append((velocity - velocity_of(x_0, noise)).square().mean((1, 2, 3, 4)))
    return torch.stack(losses).mean(0)


def preference_error(valid: torch.Tensor, invalid: torch.Tensor) -> Figure:
    """Fraction of pairs, with its interval, in which the true clip has the higher loss.

    Args:
        valid, invalid: losses (N,) of true and of implausible clips.
    """
    return wilson_interval(int((valid > invalid).sum()), len(valid))
