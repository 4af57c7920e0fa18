"""Honest figures: how often a model's clips are as asked, with intervals, and how well the compressor gives back.

Everything is measured on test seeds, which no training meets; `held_out` on looks that no training shows.
"""

import random
from collections.abc import Callable

import torch

from minisora import tasks
from minisora.measure.clips import test_prompts, test_scenes
from minisora.measure.judge import Verdict, read, verdict
from minisora.measure.stats import psnr_of, wilson
from minisora.world.captions import caption, parse
from minisora.world.render import render


def summarise(verdicts: list[Verdict]) -> dict[str, dict[str, float]]:
    """Attribute → share of the verdicts in which it was asked and right; `all` over every verdict."""
    names = sorted({name for v in verdicts for name in v.attributes})
    table = {"all": wilson(sum(v.all for v in verdicts), len(verdicts))}
    for name in names:
        asked = [v.attributes[name] for v in verdicts if name in v.attributes]
        table[name] = wilson(sum(asked), len(asked))
    return table


def judge_clips(
    make: Callable[[list[str], int], torch.Tensor],
    prompts: list[str],
    batch_size: int = 32,
    on_batch=lambda n: None,
) -> list[Verdict]:
    """Make a clip for every prompt and hold it against what the prompt asks for.

    Args:
        make: (prompts, number of the batch) → videos (B, 3, T, H, W).
    """
    verdicts = []
    for i in range(0, len(prompts), batch_size):
        chunk = prompts[i : i + batch_size]
        videos = make(chunk, i // batch_size)
        verdicts += [
            verdict(read(video), parse(prompt)) for video, prompt in zip(videos, chunk, strict=True)
        ]
        on_batch(len(chunk))
    return verdicts


def make_clips(
    model, seed: int = 0, upsample: bool = True, **options
) -> Callable[[list[str], int], torch.Tensor]:
    """What `judge_clips` asks for, of a model: every batch from its own seed, prompts made longer by the model's upsampler unless not `upsample`."""

    def make(prompts: list[str], batch: int) -> torch.Tensor:
        noise = torch.Generator().manual_seed(seed + batch)
        return model.generate(prompts, upsample=upsample, generator=noise, **options)

    return make


SPLITS = (("solo", "seen"), ("solo", "held_out"), ("pair", "seen"), ("pair", "held_out"))


def evaluate_text_to_video(
    model, prompts: int = 512, seed: int = 0, on_batch=lambda n: None, **options
) -> dict:
    """Text to video on test prompts, nested as family, split, attribute; and under "motions", for one object and seen looks, how often all is as
    asked by what should move how. A clip is held against the prompt as it was typed, whatever an upsampler made of it.

    Args:
        prompts: prompts a family and split. options: of `make_clips`.
    """
    table: dict[str, dict] = {}
    for family, split in SPLITS:
        scenes = test_scenes(family, split, prompts)
        verdicts = judge_clips(
            make_clips(model, seed, **options), test_prompts(scenes), on_batch=on_batch
        )
        table.setdefault(family, {})[split] = summarise(verdicts)
        if (family, split) == ("solo", "seen"):
            motions = [s.objects[0].motion for s in scenes]
            picked = {
                m: [v.all for v, own in zip(verdicts, motions, strict=True) if own == m]
                for m in dict.fromkeys(motions)
            }
            table["motions"] = {m: wilson(sum(right), len(right)) for m, right in picked.items()}
    return table


def evaluate_animate(
    model, prompts: int = 256, seed: int = 0, on_batch=lambda n: None, **options
) -> dict:
    """Image to video: is the given frame kept (PSNR against the image), is the motion as asked?"""
    scenes = test_scenes("solo", "seen", prompts)
    images, texts = render(scenes, num_frames=1)[:, :, 0], test_prompts(scenes)
    verdicts, kept = [], []
    for i in range(0, prompts, 32):
        image, chunk = images[i : i + 32], texts[i : i + 32]
        video = tasks.animate(
            model, image, chunk, generator=torch.Generator().manual_seed(seed + i), **options
        )
        kept += psnr_of(video[:, :, :1].cpu(), image[:, :, None]).tolist()
        verdicts += [verdict(read(v), parse(p)) for v, p in zip(video, chunk, strict=True)]
        on_batch(len(chunk))
    kept = torch.tensor(kept)
    frame = {
        "first_frame_psnr_mean": round(float(kept.mean()), 2),
        "first_frame_psnr_worst_decile": round(float(kept.quantile(0.1)), 2),
    }
    return {**summarise(verdicts), **frame}


def evaluate_vae(model, clips: int = 512, on_batch=lambda n: None) -> dict:
    """The compressor on test clips: PSNR mean and worst decile per family and split, and what the judge still reads rightly."""
    table: dict[str, dict] = {}
    for family, split in SPLITS:
        scenes = test_scenes(family, split, clips)
        values, verdicts = [], []
        for i in range(0, clips, 32):
            video = render(scenes[i : i + 32])
            decoded = model.decode(model.encode(video)).cpu()
            values += psnr_of(decoded, video).tolist()
            texts = [caption(s, random.Random(0), "descriptive") for s in scenes[i : i + 32]]
            verdicts += [
                verdict(read(v), parse(text)) for v, text in zip(decoded, texts, strict=True)
            ]
            on_batch(len(video))
        values = torch.tensor(values)
        figures = {
            "psnr_mean": round(float(values.mean()), 2),
            "psnr_worst_decile": round(float(values.quantile(0.1)), 2),
        }
        table.setdefault(family, {})[split] = {**figures, "judge": summarise(verdicts)}
    return table
