"""Two ways to ask a video model for its physics in which nobody has to look.

    positions, generated and true (T, 2) ── velocity_error ──► half-widths per second    PhyWorld, arXiv:2411.02385, section 3
    losses of true and of impossible clips (N,) ── preference_error ──► share of pairs   LikePhys, arXiv:2510.11512

The first lets the model go on from a few given frames, at speeds that training had and at speeds that it had not. The second makes
nothing: who believes in gravity should find a true fall easier to denoise than a false one.
"""

import random
from dataclasses import replace

import torch

from minisora.flow import add_noise, velocity_of
from minisora.measure.clips import track_of
from minisora.measure.stats import mean_of, wilson
from minisora.world.dataset import sample_scene
from minisora.world.render import render
from minisora.world.scene import COLORS, DIRECTIONS, EXTENT, FPS, GRAVITY, Scene, simulate

SPEEDS = {
    "slower": (0.03, 0.12),
    "as in training": (0.30, 0.55),
    "faster": (0.75, 1.00),
}  # half-widths per second
IMPLAUSIBLE = ("teleport", "color change", "vanish", "reversed", "weak gravity")
SIGMAS = (0.3, 0.5, 0.7, 0.9)  # noise levels at which losses are compared


# --------------------------------------------------------------------------------------------------------- velocity error


def velocities(track: torch.Tensor, fps: float = FPS, apart: int = 1) -> torch.Tensor:
    """Differences of a track (T, 2) over `apart` frames as half-widths per second, (T - apart, 2)."""
    return (track[apart:] - track[:-apart]) * fps / apart


def velocity_error(
    positions: torch.Tensor, truth: torch.Tensor, fps: float = FPS, apart: int = 1
) -> float:
    """Mean |v̂ − v| of two tracks (T, 2); frames in which either is nan do not count."""
    return float(
        (velocities(positions, fps, apart) - velocities(truth, fps, apart)).norm(dim=-1).nanmean()
    )


def moving_scene(seed: int, low: float, high: float) -> Scene:
    """A small object that crosses the stage at a speed between `low` and `high`; one too fast for the stage starts at its edge."""
    rng = random.Random(f"moving {seed}")
    motion, speed = rng.choice(list(DIRECTIONS)), rng.uniform(low, high)
    scene = sample_scene(seed, size="small", motion=motion)
    thing, (dx, dy) = scene.objects[0], DIRECTIONS[motion]
    if 2 * speed > 1.1:  # the longest way in training
        side, up, down = (e * thing.radius for e in EXTENT[thing.shape])
        thing = replace(
            thing, x=dx * (side - 1) if dx else thing.x, y={1: up - 1, -1: 1 - down, 0: thing.y}[dy]
        )
    return replace(scene, objects=(replace(thing, vx=speed * dx, vy=speed * dy),))


def true_track(scene: Scene, num_frames: int = 17) -> torch.Tensor:
    """Where the only object of a scene is, (T, 2), nan where part of it is out of the frame."""
    track = simulate(scene, num_frames).positions[:, 0].float()
    side, up, down = (e * scene.objects[0].radius - 1e-4 for e in EXTENT[scene.objects[0].shape])
    inside = (track[:, 0].abs() + side <= 1) & (track[:, 1] - up >= -1) & (track[:, 1] + down <= 1)
    return torch.where(inside[:, None], track, torch.nan)


def velocity_figures(
    made: torch.Tensor, again: torch.Tensor, scenes: list[Scene], first: int = 4, apart: int = 4
) -> dict:
    """`error` of the clips made, its `floor` on the true ones after the compressor, `lost` (share of the frames without the object) and
    `points` (true and made speed of each clip), from frame `first` on, the last that was given."""
    errors, floors, lost, points = [], [], [], []
    for video, true, scene in zip(made, again, scenes, strict=True):
        (o,), right = scene.objects, true_track(scene, video.shape[1])[first:]
        track, seen = (track_of(v, o.color)[first:] for v in (video, true))
        errors.append(velocity_error(track, right, apart=apart))
        floors.append(velocity_error(seen, right, apart=apart))
        lost.append(float(track[right[:, 0].isfinite(), 0].isnan().float().mean()))
        along = velocities(track, apart=apart) @ torch.tensor(DIRECTIONS[o.motion]).float()
        points.append((abs(o.vx + o.vy), float(along[right[apart:, 0].isfinite()].nanmean())))
    points = [[round(v, 3) for v in pair] for pair in points if pair[1] == pair[1]]
    return {
        "error": mean_of(errors),
        "floor": mean_of(floors),
        "lost": mean_of(lost),
        "points": points,
    }


# ------------------------------------------------------------------------------------------------------- preference error


def make_implausible(kind: str, scene: Scene) -> torch.Tensor:
    """The clip (3, T, H, W) of a falling object with one thing in it that cannot be, and everything else as it was."""
    rng, (thing,) = random.Random(scene.seed), scene.objects
    video, cut = render([scene])[0], rng.randrange(4, 13)
    if kind == "reversed":
        return video.flip(1)
    lies = {
        "teleport": {"x": thing.x - 0.5 if thing.x > 0 else thing.x + 0.5},
        "weak gravity": {"gravity": 0.35 * GRAVITY},
        "color change": {"color": rng.choice([c for c in COLORS if c != thing.color])},
        "vanish": {},
    }
    if kind not in lies:
        raise ValueError(f"kind={kind!r} is not known; it is one of {', '.join(IMPLAUSIBLE)}")
    other = render(
        [replace(scene, objects=(replace(thing, **lies[kind]),) if kind != "vanish" else ())]
    )[0]
    return other if kind == "weak gravity" else torch.cat([video[:, :cut], other[:, cut:]], dim=1)


@torch.no_grad()
def denoising_loss(
    model, videos: torch.Tensor, prompts: list[str], sigmas=SIGMAS, seed: int = 0
) -> torch.Tensor:
    """Velocity loss of clips (B, 3, T, H, W), mean over tokens and noise levels: (B,). A seed is the same noise for every clip."""
    x_0, ids = model.encode(videos), model.tokenizer(prompts)[0]
    noise = (
        torch.randn(1, *x_0.shape[1:], generator=torch.Generator().manual_seed(seed))
        .to(x_0)
        .expand_as(x_0)
    )
    losses = []
    for sigma in sigmas:
        velocity = model.velocity(add_noise(x_0, noise, torch.tensor(sigma)), sigma, ids)
        losses.append((velocity - velocity_of(x_0, noise)).square().mean((1, 2, 3, 4)))
    return torch.stack(losses).mean(0)


def preference_error(valid: torch.Tensor, invalid: torch.Tensor) -> dict[str, float]:
    """Share of pairs, with its interval, in which the true clip has the higher loss; valid, invalid: (N,)."""
    return wilson(int((valid > invalid).sum()), len(valid))
