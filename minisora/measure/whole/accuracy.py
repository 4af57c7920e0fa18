"""How often clips of the whole world are as asked, with intervals, family by family.

    model ── evaluate_text_to_video ──► family → split → attribute → figure
    model ── evaluate_compressor ──► family → PSNR, and what the judge still reads rightly

Everything is measured on test seeds, which no training meets, in the model's own size and frame
rate, with sentences as people type them; the split "held_out" has shape–colour pairs that no
training shows.
"""

import random
from collections.abc import Sequence
from typing import Any

import torch

from minisora.measure.accuracy import OnBatch, make_clips, summarise
from minisora.measure.clips import clip_shape, round_trip
from minisora.measure.judge import Verdict
from minisora.measure.stats import mean_of, percent, psnr_of
from minisora.measure.whole.judge import judge
from minisora.pipeline import MiniSora
from minisora.world.whole.captions import caption
from minisora.world.whole.dataset import TEST_SEEDS, sample_scene
from minisora.world.whole.families import FAMILIES
from minisora.world.whole.parse import parse, spec_of
from minisora.world.whole.render import render
from minisora.world.whole.scene import Scene

BATCH = 16
SPLITS = ("seen", "held_out")


def scenes_of(model: MiniSora, family: str, split: str, count: int) -> list[Scene]:
    """The first `count` test scenes of a family, in the model's own size and frame rate."""
    shape = clip_shape(model)
    return [sample_scene(TEST_SEEDS + i, family, split, **shape) for i in range(count)]


def prompts_of(model: MiniSora, scenes: Sequence[Scene]) -> list[str]:
    """One plain caption each, in the mixture of forms that training uses."""
    shape = clip_shape(model)
    rate: dict[str, Any] = {"num_frames": shape["num_frames"], "fps": shape["fps"]}
    return [caption(s, random.Random(f"caption {s.seed}"), **rate) for s in scenes]


def evaluate_text_to_video(
    model: MiniSora,
    prompts: int = 64,
    seed: int = 0,
    on_batch: OnBatch | None = None,
    families: Sequence[str] = tuple(FAMILIES),
    splits: Sequence[str] = SPLITS,
    **options: Any,
) -> dict[str, Any]:
    """Text to video on test prompts, nested as family, split, attribute.

    Args:
        prompts: how many for each family and split.
        options: of `make_clips`.
    """
    fps = clip_shape(model)["fps"]
    make = make_clips(model, seed, **options)
    table: dict[str, Any] = {}
    for family in families:
        for split in splits:
            asked = prompts_of(model, scenes_of(model, family, split, prompts))
            verdicts: list[Verdict] = []
            for index, start in enumerate(range(0, prompts, BATCH)):
                chunk = asked[start : start + BATCH]
                videos = make(chunk, index)
                for video, prompt in zip(videos, chunk, strict=True):
                    verdicts.append(judge(video, parse(prompt), fps))
                if on_batch:
                    on_batch(len(chunk))
            table.setdefault(family, {})[split] = summarise(verdicts)
    return table


def evaluate_compressor(
    model: MiniSora, clips: int = 64, on_batch: OnBatch | None = None
) -> dict[str, Any]:
    """The compressor on test clips of each family.

    "psnr" is the mean in dB with its interval, "psnr_worst_decile" the value that a tenth of the
    clips stay below, "judge" what the judge still reads rightly.
    """
    shape = clip_shape(model)
    duration = (shape["num_frames"] - 1) / shape["fps"]
    table: dict[str, Any] = {}
    for family in FAMILIES:
        scenes = scenes_of(model, family, "seen", clips)
        values: list[float] = []
        verdicts: list[Verdict] = []
        for start in range(0, clips, BATCH):
            part = scenes[start : start + BATCH]
            videos = render(part, **shape)
            decoded = round_trip(model, videos)
            values += psnr_of(decoded, videos).tolist()
            for video, scene in zip(decoded, part, strict=True):
                verdicts.append(judge(video, spec_of(scene, duration), shape["fps"]))
            if on_batch:
                on_batch(len(part))
        table[family] = {
            "psnr": mean_of(values),
            "psnr_worst_decile": round(float(torch.tensor(values).quantile(0.1)), 2),
            "judge": summarise(verdicts),
        }
    return table


def headline(table: dict[str, Any]) -> str:
    """What a reader wants first: each family, as asked and with whole outlines."""
    lines = []
    for family, splits in table.items():
        if "seen" in splits:
            own = splits["seen"]
            both = percent(own.get("all and outline"))
            lines.append(
                f"{family:<10} as asked {percent(own['all']):<18} and outlines hold {both}"
            )
    return "\n".join(lines)
