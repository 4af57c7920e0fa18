"""Does one prompt, over many seeds, spread as the world does?

    a prompt that leaves much open ── generate, read ──► Traits of each clip
    Traits, generated and true ── spread_figures ──► ratio of their spreads, 1 where they are alike

A model that has found one good answer and always gives that one (mode collapse) is as asked in
every clip, so that no other figure here shows it.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from minisora.measure.clips import clip_shape, generate_clips, round_trip
from minisora.measure.judge import read
from minisora.measure.stats import Figure
from minisora.pipeline import MiniSora
from minisora.world.dataset import TEST_SEEDS, ToyWorld
from minisora.world.render import render

PROMPT = "a red circle"
FIXED = {"shape": ("circle",), "color": ("red",)}  # what the prompt says
RESAMPLES = 1000

Table: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Traits:
    """What a prompt left open, as it was read in some clips."""

    places: torch.Tensor  # (N, 2) first positions, half-widths
    travels: torch.Tensor  # (N, 1) from the first position to the last, half-widths
    sizes: torch.Tensor  # (N, 1) first radius, half-widths
    motions: list[str]  # N


def measure_spread(model: MiniSora, clips: int, seed: int, **options: Any) -> Table:
    """Clips of one prompt against scenes that the world draws where as much is fixed.

    Returns:
        "generated", and "ground truth": as many other scenes of the world, after the compressor.
        Figures as in `spread_figures`.
    """
    shape = clip_shape(model)
    fps = shape["fps"]
    world = ToyWorld(only=FIXED, first_seed=TEST_SEEDS, **shape)
    scenes = [world.scene(i) for i in range(2 * clips)]
    true = read_traits(render(scenes[:clips], **shape), fps)
    others = round_trip(model, render(scenes[clips:], **shape))
    generated = generate_clips(model, [PROMPT] * clips, seed, **options)
    return {
        "generated": spread_figures(read_traits(generated, fps), true),
        "ground truth": spread_figures(read_traits(others, fps), true),
    }


def read_traits(videos: torch.Tensor, fps: float) -> Traits:
    """Traits of the largest object of each clip (B, 3, T, H, W); clips without one are left out."""
    places = []
    travels = []
    sizes = []
    motions = []
    for video in videos:
        objects = read(video, fps).objects
        if not objects:
            continue
        largest = objects[0]
        track = largest.positions[largest.seen]
        way = track[-1] - track[0]
        places.append(track[0].tolist())
        travels.append([float(way.norm())])
        sizes.append([largest.law.first_radius])
        motions.append(largest.motion)
    return Traits(
        torch.tensor(places),
        torch.tensor(travels),
        torch.tensor(sizes),
        motions,
    )


def spread_figures(found: Traits, true: Traits) -> dict[str, Figure | None]:
    """Ratios of spreads, each with its 95 % interval from resampled clips (bootstrap).

    Returns:
        "places", "travels", "sizes": of the standard deviations. "motions": of how many there
        seem to be, exp of their entropy. All None where fewer than two clips show an object.
    """
    if min(len(found.motions), len(true.motions)) < 2:
        return dict.fromkeys(("places", "travels", "sizes", "motions"))
    generator = torch.Generator().manual_seed(0)
    kinds = sorted({*found.motions, *true.motions})
    ours = torch.tensor([kinds.index(motion) for motion in found.motions])
    theirs = torch.tensor([kinds.index(motion) for motion in true.motions])
    return {
        "places": _ratio(found.places, true.places, _deviation, generator),
        "travels": _ratio(found.travels, true.travels, _deviation, generator),
        "sizes": _ratio(found.sizes, true.sizes, _deviation, generator),
        "motions": _ratio(ours, theirs, _number_of_kinds, generator),
    }


def _ratio(
    found: torch.Tensor,
    true: torch.Tensor,
    spread: Callable[[torch.Tensor], float],
    generator: torch.Generator,
) -> Figure:
    """The ratio of two spreads, and where 95 % of those of resampled clips lie."""
    ratios = []
    for _ in range(RESAMPLES):
        ours = spread(_resampled(found, generator))
        theirs = spread(_resampled(true, generator))
        ratios.append(ours / max(theirs, 1e-9))
    ends = torch.tensor([0.025, 0.975])
    low, high = torch.tensor(ratios).quantile(ends).tolist()
    value = spread(found) / max(spread(true), 1e-9)
    return {
        "mean": round(value, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "n": len(found),
    }


def _resampled(values: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """As many of the values (N, ...), drawn with replacement."""
    number = len(values)
    rows = torch.randint(number, (number,), generator=generator)
    return values[rows]


def _deviation(values: torch.Tensor) -> float:
    """Standard deviation of (N, k), over all k."""
    return float(values.var(0).sum().sqrt())


def _number_of_kinds(kinds: torch.Tensor) -> float:
    """As many equally frequent kinds would have the same entropy."""
    counts = Counter(kinds.tolist()).values()
    fractions = [count / len(kinds) for count in counts]
    entropy = -sum(p * math.log(p) for p in fractions)
    return math.exp(entropy)
