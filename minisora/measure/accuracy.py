"""How often clips are as asked, with intervals, and how well the compressor gives clips back.

    model ── evaluate_text_to_video ──► family → split → attribute → figure
    model ── evaluate_compressor ──► family → split → PSNR, attribute → figure

Everything is measured on test seeds, which no training meets, in the model's own size and frame
rate; the split "held_out" has shape–colour pairs that no training shows.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch

from minisora.measure.clips import (
    clip_shape,
    noise,
    round_trip,
    test_prompts,
    test_scenes,
    verdicts_of,
)
from minisora.measure.judge import Verdict
from minisora.measure.stats import Figure, fraction_of, mean_of, percent, psnr_of
from minisora.pipeline import MiniSora
from minisora.world.dataset import ADDED_LATER, WORLDS
from minisora.world.parse import spec_of
from minisora.world.render import render
from minisora.world.scene import FPS, Scene

GenerateBatch: TypeAlias = Callable[[list[str], int], torch.Tensor]
OnBatch: TypeAlias = Callable[[int], Any]
SPLITS = ("seen", "held_out")


def families_of(model: MiniSora) -> list[str]:
    """Families of scenes that a model has learned, which are those whose words it knows."""
    words = set(model.tokenizer.vocabulary)
    return [name for name in WORLDS[model.preset.world] if ADDED_LATER.get(name, set()) <= words]


def summarise(verdicts: Sequence[Verdict]) -> dict[str, Figure | None]:
    """Attribute → fraction of the verdicts in which it was asked and right.

    "all" is everything that the prompt asks for, "outline" whether outlines hold in every frame
    (which no prompt asks for), "all and outline" both at once.
    """
    table = {"all": fraction_of([v.all for v in verdicts])}
    for name in sorted({name for v in verdicts for name in v.attributes}):
        table[name] = fraction_of([v.attributes[name] for v in verdicts if name in v.attributes])
    if "outline" in table:
        table["all and outline"] = fraction_of([v.all_and_outline for v in verdicts])
    return table


def judge_clips(
    make: GenerateBatch,
    prompts: Sequence[str],
    batch_size: int = 32,
    on_batch: OnBatch | None = None,
    fps: float = FPS,
) -> list[Verdict]:
    """Generate a clip for every prompt and hold it against what the prompt asks for.

    Args:
        make: (prompts, number of the batch) → videos (B, 3, T, H, W).
        on_batch: called with the number of clips after each batch.
    """
    verdicts: list[Verdict] = []
    for index, start in enumerate(range(0, len(prompts), batch_size)):
        chunk = list(prompts[start : start + batch_size])
        verdicts += verdicts_of(make(chunk, index), chunk, fps)
        if on_batch:
            on_batch(len(chunk))
    return verdicts


def make_clips(
    model: MiniSora, seed: int = 0, upsample: bool = True, **options: Any
) -> GenerateBatch:
    """What `judge_clips` asks for, of a model: every batch has noise of its own.

    Args:
        upsample, options: of `MiniSora.generate`.
    """

    def make(prompts: list[str], index: int) -> torch.Tensor:
        return model.generate(prompts, upsample=upsample, generator=noise(seed, index), **options)

    return make


def evaluate_text_to_video(
    model: MiniSora,
    prompts: int = 512,
    seed: int = 0,
    on_batch: OnBatch | None = None,
    splits: Sequence[str] = SPLITS,
    families: Sequence[str] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Text to video on test prompts, nested as family, split, attribute.

    Under "motions", for one object and seen pairs: how often everything is as asked, for each
    motion. A clip is held against the prompt as it was typed, whatever an upsampler made of it.

    Args:
        prompts: how many for each family and split.
        families: keys of `FAMILIES`; all that the model's world has where None.
        options: of `make_clips`.
    """
    table: dict[str, Any] = {}
    shape = clip_shape(model)
    for family, split in itertools.product(families or families_of(model), splits):
        scenes = test_scenes(family, split, prompts, **shape)
        make = make_clips(model, seed, **options)
        asked = test_prompts(scenes, **shape)
        verdicts = judge_clips(make, asked, on_batch=on_batch, fps=shape["fps"])
        table.setdefault(family, {})[split] = summarise(verdicts)
        if (family, split) == ("solo", "seen"):
            table["motions"] = _by_motion(scenes, verdicts)
    return table


def _by_motion(scenes: list[Scene], verdicts: list[Verdict]) -> dict[str, Figure | None]:
    """For each motion that was asked, how often everything is as asked."""
    flags: dict[str, list[bool]] = {}
    for scene, seen in zip(scenes, verdicts, strict=True):
        flags.setdefault(scene.objects[0].motion, []).append(seen.all)
    return {motion: fraction_of(own) for motion, own in flags.items()}


def evaluate_compressor(
    model: MiniSora, clips: int = 512, on_batch: OnBatch | None = None
) -> dict[str, Any]:
    """The compressor on test clips, nested as family, split.

    "psnr" is the mean in dB with its interval, "psnr_worst_decile" the value that a tenth of the
    clips stay below, "judge" what the judge still reads rightly.
    """
    table: dict[str, Any] = {}
    shape = clip_shape(model)
    duration = (shape["num_frames"] - 1) / shape["fps"]
    for family, split in itertools.product(families_of(model), SPLITS):
        values: list[float] = []
        verdicts: list[Verdict] = []
        scenes = test_scenes(family, split, clips, **shape)
        for start in range(0, clips, 32):
            part = scenes[start : start + 32]
            videos = render(part, **shape)
            decoded = round_trip(model, videos)
            values += psnr_of(decoded, videos).tolist()
            specs = [spec_of(scene, duration) for scene in part]
            verdicts += verdicts_of(decoded, specs, shape["fps"])
            if on_batch:
                on_batch(len(part))
        table.setdefault(family, {})[split] = {
            "psnr": mean_of(values),
            "psnr_worst_decile": round(float(torch.tensor(values).quantile(0.1)), 2),
            "judge": summarise(verdicts),
        }
    return table


def headline(table: dict[str, Any]) -> str:
    """The figures of an evaluation that say most: each family, and the compressor."""
    lines = []
    for family in table["compressor"]:
        own = table[family]["seen"]
        whole = percent(own.get("all and outline"))
        lines.append(f"{family:<11} as asked {percent(own['all']):<18} outlines hold, too {whole}")
    psnr = table["compressor"]["solo"]["seen"]["psnr"]
    lines.append(f"{'compressor':<11} PSNR in dB {percent(psnr)}")
    return "\n".join(lines)
