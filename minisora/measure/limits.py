"""Where a model breaks: clips for the four categories of the review (arXiv:2402.17177, section 5.1), made and judged.

    model ── measure_limits ──► {"physics", "space_time", "interaction", "length", "plausibility", "mitigation"}, nested to figures

Figures are those of `faults.py` and `plausibility.py`. What the judge itself gets wrong stands beside them as "truth" or "floor": the
same figure on true clips after the compressor's round trip, which are the best that the model could make.
"""

from collections.abc import Callable

import torch

from minisora.measure.clips import (
    LASTING,
    change_word,
    in_batches,
    make,
    pairs,
    remake,
    round_trip,
    sentence,
    slide,
    test_prompts,
)
from minisora.measure.failures import (
    collision_figures,
    edit_figures,
    length_figures,
    motion_figures,
    pair_figures,
)
from minisora.measure.judge import read, verdict
from minisora.measure.physics import (
    IMPLAUSIBLE,
    SPEEDS,
    denoising_loss,
    make_implausible,
    moving_scene,
    preference_error,
    velocity_figures,
)
from minisora.measure.stats import share, wilson
from minisora.world.captions import parse, spec_of
from minisora.world.dataset import TEST_SEEDS, sample_scene
from minisora.world.render import render

LENGTHS = (9, 17, 33, 49)  # frames; training had 17, and 33 in every twentieth step


# ----------------------------------------------------------------------------------------------------------- the four categories


def measure_physics(model, clips: int = 200, seed: int = 0, **options) -> dict:
    """Falling, thrown and colliding objects, each made and true."""
    table = {}
    for kind in ("falling", "thrown", "collision"):
        scenes = (
            pairs(clips, collide=True)
            if kind == "collision"
            else [sample_scene(TEST_SEEDS + i, motion=kind) for i in range(clips)]
        )
        prompts = test_prompts(scenes)
        figures = lambda v: (
            collision_figures(v, prompts) if kind == "collision" else motion_figures(v, kind)
        )
        table[kind] = {
            "made": figures(make(model, prompts, seed, **options)),
            "truth": figures(round_trip(model, render(scenes))),
        }
    return table


def measure_space_time(model, clips: int = 200, seed: int = 0, **options) -> dict:
    """Two objects side by side, in looks that training had and in looks that it had not."""
    table = {}
    for split in ("seen", "held_out"):
        scenes = pairs(clips, split)
        prompts = test_prompts(scenes)
        videos = {
            "made": make(model, prompts, seed, **options),
            "truth": round_trip(model, render(scenes)),
        }
        table[split] = {name: pair_figures(v, prompts) for name, v in videos.items()}
    return table


def measure_interaction(
    model, clips: int = 200, seed: int = 0, strength: float = 0.7, **options
) -> dict:
    """Change one word at a fixed seed; to compare, the same prompt at another seed, and a change of colour that starts from the first clip."""
    scenes = [sample_scene(TEST_SEEDS + i, motion=LASTING[i % 4]) for i in range(clips)]
    before = make(model, [sentence(s) for s in scenes], seed, **options)
    table = {
        "another seed": edit_figures(
            before, make(model, [sentence(s) for s in scenes], seed + 1000, **options), scenes
        )
    }
    for attribute in ("color", "shape", "motion", "background"):
        changed = [change_word(s, attribute) for s in scenes]
        table[attribute] = edit_figures(
            before, make(model, [sentence(s) for s in changed], seed, **options), changed, attribute
        )
    changed = [change_word(s, "color") for s in scenes]
    levels = [strength] * model.vae.latent_shape(*before.shape[2:])[0]
    edited = remake(model, before, [sentence(s) for s in changed], levels, seed, **options)
    return table | {"color, edited": edit_figures(before, edited, changed, "color")}


def measure_length(model, clips: int = 200, seed: int = 0, **options) -> dict:
    """The same prompts at several lengths in one go, and the longest also by a window that slides."""
    scenes = [sample_scene(TEST_SEEDS + i, motion=LASTING[i % 5]) for i in range(clips)]
    prompts, table = [sentence(s) for s in scenes], {}
    for n in LENGTHS:
        made, true = (
            make(model, prompts, seed, num_frames=n, **options),
            round_trip(model, render(scenes, num_frames=n)),
        )
        table[str(n)] = {
            "made": length_figures(made, prompts),
            "truth": length_figures(true, prompts),
        }
    return table | {
        "window": {
            "made": length_figures(
                slide(model, prompts, LENGTHS[-1], seed=seed, **options), prompts
            )
        }
    }


# ---------------------------------------------------------------------------------------------------- plausibility, mitigation


def measure_velocity(model, clips: int = 200, seed: int = 0, given: int = 2, **options) -> dict:
    """Clips that go on from `given` latent frames, nested as speeds, figure."""
    table = {}
    for name, band in SPEEDS.items():
        scenes = [moving_scene(TEST_SEEDS + i, *band) for i in range(clips)]
        true = render(scenes)
        start = [float(k >= given) for k in range(model.vae.latent_shape(*true.shape[2:])[0])]
        made = remake(model, true, [sentence(s) for s in scenes], start, seed, **options)
        table[name] = velocity_figures(made, round_trip(model, true), scenes, first=4 * (given - 1))
    return table


def measure_preference(model, clips: int = 200, loss: Callable = denoising_loss) -> dict:
    """Nested as lies, figure: `error`, and `floor`, the pairs in which the judge itself does not tell the true clip from the false."""
    scenes = [sample_scene(TEST_SEEDS + i, motion="falling") for i in range(clips)]
    losses = lambda videos: in_batches(
        lambda v, p: loss(model, v, p), videos, [sentence(s) for s in scenes]
    )
    right = lambda videos: [
        verdict(read(v), spec_of(s)).all
        for v, s in zip(round_trip(model, videos), scenes, strict=True)
    ]
    true, table = render(scenes), {}
    valid, sane = losses(true), right(true)
    for kind in IMPLAUSIBLE:
        false = torch.stack([make_implausible(kind, s) for s in scenes])
        fooled = [f or not t for t, f in zip(sane, right(false), strict=True)]
        table[kind] = {
            "error": preference_error(valid, losses(false)),
            "floor": wilson(sum(fooled), clips),
        }
    return table


def measure_best_of(model, clips: int = 200, seed: int = 0, tries: int = 4, **options) -> dict:
    """Clips of thrown objects as asked, if the judge may choose the best of the first n tries; nested as n."""
    prompts = test_prompts([sample_scene(TEST_SEEDS + i, motion="thrown") for i in range(clips)])
    one = lambda k: [
        verdict(read(v), parse(p)).all
        for v, p in zip(make(model, prompts, seed + 1000 * k, **options), prompts, strict=True)
    ]
    right = torch.tensor([one(k) for k in range(tries)])  # (tries, clips)
    return {str(n): share(right[:n].any(0).tolist()) for n in range(1, tries + 1)}


def measure_limits(
    model, clips: int = 200, seed: int = 0, on_part=lambda name: None, **options
) -> dict:
    """Everything above, nested. on_part: called with the name of each part before it is measured. options: of `MiniSora.generate`."""
    parts = {
        "physics": measure_physics,
        "space_time": measure_space_time,
        "interaction": measure_interaction,
        "length": measure_length,
        "velocity": measure_velocity,
        "best_of": measure_best_of,
    }
    table = {}
    for name, measure in parts.items():
        on_part(name)
        table[name] = measure(model, clips, seed, **options)
    on_part("preference")
    plausibility = {
        "velocity": table.pop("velocity"),
        "preference": measure_preference(model, clips),
    }
    return table | {"plausibility": plausibility, "mitigation": {"best_of": table.pop("best_of")}}
