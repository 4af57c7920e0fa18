"""Where a model breaks: the four categories of the review (arXiv:2402.17177, section 5.1), judged.

    model ── measure_limits ──► {"typed", "upsampled"} → category → figure

Categories: "physics", "space_time", "interaction", "length", "plausibility" (physics probes) and
"mitigation". "typed" takes prompts as they are, "upsampled" lets the prompt upsampler add where
things are; what starts from true clips or generates nothing stands under "typed" only.

Figures are those of `failures.py` and `physics.py`. What the judge itself gets wrong stands beside
them as "ground truth" or "floor": the same figure on true clips after the compressor's round trip,
which are the best that the model could generate.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import torch

from minisora.measure.clips import (
    LASTING,
    change_word,
    clip_shape,
    denoise_clips,
    extend_clips,
    generate_clips,
    in_batches,
    moving_scenes,
    pairs,
    round_trip,
    sentence,
    test_prompts,
    verdicts_of,
)
from minisora.measure.failures import (
    collision_figures,
    edit_figures,
    length_figures,
    motion_figures,
    pair_figures,
)
from minisora.measure.physics import (
    IMPLAUSIBLE,
    SPEEDS,
    denoising_loss,
    make_implausible,
    moving_scene,
    preference_error,
    velocity_figures,
)
from minisora.measure.stats import fraction_of, percent
from minisora.pipeline import MiniSora
from minisora.world.dataset import TEST_SEEDS
from minisora.world.parse import spec_of
from minisora.world.render import render

Table: TypeAlias = dict[str, Any]
OnPart: TypeAlias = Callable[[str], Any]
Loss: TypeAlias = Callable[[MiniSora, torch.Tensor, list[str]], torch.Tensor]


# ------------------------------------------------------------------------- the four categories


def measure_physics(model: MiniSora, clips: int = 200, seed: int = 0, **options: Any) -> Table:
    """Falling, thrown and colliding objects, generated and true."""
    shape = clip_shape(model)
    table: Table = {}
    for kind in ("falling", "thrown", "collision"):
        if kind == "collision":
            scenes = pairs(clips, collide=True, **shape)
            prompts = test_prompts(scenes, **shape)
        else:
            scenes = moving_scenes([kind], clips, **shape)
            # a short prompt may leave the motion open
            prompts = test_prompts(scenes, "descriptive", **shape)
        ways = {
            "generated": generate_clips(model, prompts, seed, **options),
            "ground truth": round_trip(model, render(scenes, **shape)),
        }
        for name, videos in ways.items():
            if kind == "collision":
                figures = collision_figures(videos, prompts, shape["fps"])
            else:
                figures = motion_figures(videos, kind, shape["fps"])
            table.setdefault(kind, {})[name] = figures
    return table


def measure_space_time(model: MiniSora, clips: int = 200, seed: int = 0, **options: Any) -> Table:
    """Two objects side by side, in shape–colour pairs that training had and in others."""
    shape = clip_shape(model)
    table = {}
    for split in ("seen", "held_out"):
        scenes = pairs(clips, split, **shape)
        prompts = test_prompts(scenes, **shape)
        generated = generate_clips(model, prompts, seed, **options)
        true = round_trip(model, render(scenes, **shape))
        table[split] = {
            "generated": pair_figures(generated, prompts, shape["fps"]),
            "ground truth": pair_figures(true, prompts, shape["fps"]),
        }
    return table


def measure_interaction(
    model: MiniSora, clips: int = 200, seed: int = 0, strength: float = 0.7, **options: Any
) -> Table:
    """Change one word at a fixed seed.

    To compare with: the same prompt at another seed, and a change of colour that starts from the
    first clip ("color, edited": video to video at `strength`).
    """
    shape = clip_shape(model)
    fps = shape["fps"]
    scenes = moving_scenes(LASTING[:4], clips, **shape)
    prompts = [sentence(s) for s in scenes]
    before = generate_clips(model, prompts, seed, **options)
    another = generate_clips(model, prompts, seed + 1, **options)
    table = {"another seed": edit_figures(before, another, scenes, fps=fps)}
    for attribute in ("color", "shape", "motion", "background"):
        changed = [change_word(s, attribute) for s in scenes]
        after = generate_clips(model, [sentence(s) for s in changed], seed, **options)
        table[attribute] = edit_figures(before, after, changed, attribute, fps)
    changed = [change_word(s, "color") for s in scenes]
    sigma = [strength] * model.latent_shape(*before.shape[2:])[0]
    own = {name: value for name, value in options.items() if name != "upsample"}
    edited = denoise_clips(model, before, [sentence(s) for s in changed], sigma, seed, **own)
    table["color, edited"] = edit_figures(before, edited, changed, "color", fps)
    return table


def lengths_of(model: MiniSora) -> list[int]:
    """Half of the model's own frames, its own, about twice and three times as many."""
    patch = model.vae.config.patch_size[0]
    latent = (model.preset.num_frames - 1) // patch
    return [patch * n + 1 for n in (latent // 2, latent, 2 * latent, 3 * latent)]


def measure_length(
    model: MiniSora, clips: int = 200, seed: int = 0, upsample: bool = False, **options: Any
) -> Table:
    """The same prompts at several lengths in one go, and the longest also by a sliding window.

    Upsampled, there is only the model's own length and the window that begins with it: prompts of
    other lengths are taken as they are.
    """
    scenes = moving_scenes(LASTING, clips, **clip_shape(model))
    prompts = [sentence(s) for s in scenes]
    lengths, fps = lengths_of(model), model.preset.fps
    table: Table = {}
    for frames in [model.preset.num_frames] if upsample else lengths:
        own = {"num_frames": frames, "upsample": upsample, **options}
        generated = generate_clips(model, prompts, seed, **own)
        true = round_trip(model, render(scenes, **clip_shape(model, frames)))
        table[str(frames)] = {
            "generated": length_figures(generated, prompts, fps),
            "ground truth": length_figures(true, prompts, fps),
        }
    longest = extend_clips(model, prompts, lengths[-1], seed, upsample=upsample, **options)
    return table | {"window": {"generated": length_figures(longest, prompts, fps)}}


# ---------------------------------------------------------------------- plausibility, mitigation


def measure_velocity(
    model: MiniSora, clips: int = 200, seed: int = 0, conditioning: int = 2, **options: Any
) -> Table:
    """Clips that go on from some conditioning latent frames, nested as speeds, figure."""
    shape = clip_shape(model)
    patch = model.vae.config.patch_size[0]
    table = {}
    for name, band in SPEEDS.items():
        scenes = [moving_scene(TEST_SEEDS + i, *band, **shape) for i in range(clips)]
        true = render(scenes, **shape)
        latent_frames = model.latent_shape(*true.shape[2:])[0]
        sigma = [0.0] * conditioning + [1.0] * (latent_frames - conditioning)
        prompts = [sentence(s) for s in scenes]
        generated = denoise_clips(model, true, prompts, sigma, seed, **options)
        first = patch * (conditioning - 1)
        again = round_trip(model, true)
        table[name] = velocity_figures(generated, again, scenes, first, patch, shape["fps"])
    return table


def measure_preference(model: MiniSora, clips: int = 200, loss: Loss = denoising_loss) -> Table:
    """Does the model find a true fall easier to denoise than an implausible one?

    Returns:
        Nested as kind of implausible clip: "error", the fraction of pairs in which it does not, and
        "floor", the pairs in which the judge itself does not tell the true clip from the other.
    """
    shape = clip_shape(model)
    scenes = moving_scenes(["falling"], clips, **shape)
    prompts, specs = [sentence(s) for s in scenes], [spec_of(s) for s in scenes]

    def losses(videos: torch.Tensor) -> torch.Tensor:
        return in_batches(partial(loss, model), videos, prompts)

    def right(videos: torch.Tensor) -> list[bool]:
        return [v.all for v in verdicts_of(round_trip(model, videos), specs, shape["fps"])]

    true = render(scenes, **shape)
    true_loss, true_right = losses(true), right(true)
    table = {}
    for kind in IMPLAUSIBLE:
        false = torch.stack([make_implausible(kind, s, **shape) for s in scenes])
        pairs_of = zip(true_right, right(false), strict=True)
        table[kind] = {
            "error": preference_error(true_loss, losses(false)),
            "floor": fraction_of([b or not a for a, b in pairs_of]),
        }
    return table


def measure_best_of(
    model: MiniSora, clips: int = 200, seed: int = 0, tries: int = 4, **options: Any
) -> Table:
    """Thrown objects as asked, if the judge chooses the best of the first n tries: nested as n."""
    shape = clip_shape(model)
    prompts = test_prompts(moving_scenes(["thrown"], clips, **shape), **shape)
    right = []
    for k in range(tries):
        videos = generate_clips(model, prompts, seed + k, **options)
        right.append([v.all for v in verdicts_of(videos, prompts, shape["fps"])])
    found = torch.tensor(right).cummax(0).values  # (tries, clips): among the first n tries
    return {str(n + 1): fraction_of(flags.tolist()) for n, flags in enumerate(found)}


# -------------------------------------------------------------------------------------- everything


def measure_limits(
    model: MiniSora,
    clips: int = 200,
    seed: int = 0,
    on_part: OnPart | None = None,
    upsample: bool = False,
    **options: Any,
) -> Table:
    """Every category with prompts as typed, or upsampled.

    Args:
        on_part: called with the name of each part before it is measured.
        options: of `MiniSora.generate`.
    """

    def said(name: str) -> None:
        if on_part:
            on_part(name)

    parts: dict[str, Callable[..., Table]] = {
        "physics": measure_physics,
        "space_time": measure_space_time,
        "interaction": measure_interaction,
        "length": measure_length,
    }
    table: Table = {}
    for name, measure in parts.items():
        said(name)
        table[name] = measure(model, clips, seed, upsample=upsample, **options)
    said("best_of")
    best_of = measure_best_of(model, clips, seed, upsample=upsample, **options)
    table["mitigation"] = {"best_of": best_of}
    if not upsample:
        said("plausibility")
        table["plausibility"] = {
            "velocity": measure_velocity(model, clips, seed, **options),
            "preference": measure_preference(model, clips),
        }
    return table


def headline(table: Table) -> str:
    """The figures that say most, prompts as typed and upsampled side by side."""
    rows = {
        "thrown objects follow their law": ("physics", "thrown", "generated", "law"),
        "nothing about them changes": ("physics", "thrown", "generated", "nothing changes"),
        "collisions follow their law": ("physics", "collision", "generated", "law"),
        "two objects, left or right": ("space_time", "seen", "generated", "left or right"),
        "each has its colour and shape": ("space_time", "seen", "generated", "bound"),
    }
    lines = [f"{'':<32} {'as typed':<16} upsampled"]
    for words, path in rows.items():
        cells = []
        for column in ("typed", "upsampled"):
            figure = table[column]
            for name in path:
                figure = figure[name]
            cells.append(percent(figure))
        lines.append(f"{words:<32} {cells[0]:<16} {cells[1]}")
    return "\n".join(lines)
