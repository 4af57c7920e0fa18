"""Does text to video suffer from learning every mask? Trains two transformers and compares them.

    python -m data.experiments.mask_mixture [steps] ──► data/results/masks.json

One learns from all masks of clean tokens, the other from text to video alone, from nothing, on the
same clips with the same noise for the same number of steps. Compressor and text encoder are the
shipped ones. The table has, for both, the loss on held-out clips every hundred steps with all
tokens at one noise level, and at the end the fractions of prompts that came out as asked.
"""

import copy
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn as nn

from minisora import MiniSora
from minisora.checkpoints import write_text
from minisora.config import Preset
from minisora.device import autocast, can_compile
from minisora.dit import DiT
from minisora.flow import add_noise, velocity_of
from minisora.masks import MASKS
from minisora.measure.accuracy import judge_clips, make_clips, summarise
from minisora.measure.clips import test_prompts, test_scenes
from minisora.text import TextEncoder
from minisora.train.data import Latents, cache_latents, world_source
from minisora.train.stages import NO_MASK, train_dit
from minisora.world.render import render

RESULTS = Path(__file__).resolve().parents[2] / "data" / "results" / "masks.json"
MIXTURES = {"all masks": MASKS, "text to video alone": NO_MASK}
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
HIDDEN_SIZE = 160
LEARNING_RATE = 8e-3  # what learns most in few steps, see data/LOG.md
CLIPS = 12_000
EVALUATE_EVERY = 100  # steps


def held_out_loss(model: MiniSora, clips: int = 128) -> dict[str, float]:
    """Noise level → mean squared error of the velocity on test clips, half with two objects."""
    scenes = test_scenes("solo", "seen", clips // 2) + test_scenes("pair", "seen", clips // 2)
    x_0 = model.encode(render(scenes))
    ids, _ = model.tokenizer(test_prompts(scenes))
    noise = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(3)).to(x_0)
    target = velocity_of(x_0, noise)
    losses = {}
    with torch.no_grad(), autocast(model.device, model.dtype):
        for level in LEVELS:
            x_t = add_noise(x_0, noise, torch.tensor(level))
            error = model.velocity(x_t, level, ids) - target
            losses[str(level)] = round(error.square().mean().item(), 4)
    return losses


def train_mixture(
    model: MiniSora,
    masks: dict[str, float],
    data: Latents,
    text: TextEncoder,
    preset: Preset,
) -> dict[str, dict[str, float]]:
    """Train a new transformer in the model's place: step → held-out loss."""
    torch.manual_seed(0)
    model.dit = DiT(preset.dit).to(model.device)
    model.text = copy.deepcopy(text)
    steps = preset.train_dit.steps or 0
    curve = {}

    def evaluate(_: nn.Module, record: dict) -> None:
        if record["step"] % EVALUATE_EVERY == 0 or record["step"] == steps:
            curve[str(record["step"])] = held_out_loss(model)

    with tempfile.TemporaryDirectory() as folder:
        train_dit(
            nn.ModuleDict({"text": model.text, "dit": model.dit}),
            data,
            preset,
            folder,
            compile=steps >= 300 and can_compile(),
            masks=masks,
            on_evaluate=evaluate,
            evaluate_every=0.0,
        )
    return curve


def report(steps: int, judged: int = 256) -> dict:
    """Both trainings: mixture → `curve` and `fractions`, and the settings."""
    model = MiniSora.load("tiny")
    config = replace(
        model.preset.train_dit, steps=steps, learning_rate=LEARNING_RATE, cooldown_fraction=0.3
    )
    dit = replace(model.preset.dit, hidden_size=HIDDEN_SIZE)
    preset = replace(model.preset, dit=dit, train_dit=config, curriculum_steps=0)
    bucket = world_source(model.preset).buckets[0]
    data = cache_latents(model.vae, model.tokenizer, bucket.clips, CLIPS, measure=False)
    data.ids = data.ids[:, ::2]  # sentences as people type them, as they are judged
    text = copy.deepcopy(model.text)

    table: dict[str, dict] = {}
    for name, masks in MIXTURES.items():
        curve = train_mixture(model, masks, data, text, preset)
        fractions = {}
        for family in ("solo", "pair"):
            prompts = test_prompts(test_scenes(family, "seen", judged))
            verdicts = judge_clips(make_clips(model, upsample=False), prompts)
            fractions[family] = summarise(verdicts)
        table[name] = {"curve": curve, "fractions": fractions}
    table["settings"] = {
        "steps": steps,
        "batch_size": config.batch_size,
        "clips": CLIPS,
        "hidden_size": HIDDEN_SIZE,
        "learning_rate": LEARNING_RATE,
    }
    return table


def main() -> None:
    """Write the table and print its last lines."""
    table = report(int(sys.argv[1]) if len(sys.argv) > 1 else 800)
    write_text(RESULTS, json.dumps(table, indent=1) + "\n")
    for name in MIXTURES:
        print(name, "held-out loss", list(table[name]["curve"].items())[-1])
        for family, figures in table[name]["fractions"].items():
            for attribute, figure in figures.items():
                value, low, high = (100 * figure[key] for key in ("value", "low", "high"))
                print(f"  {family}, {attribute}: {value:.0f} % [{low:.0f}, {high:.0f}]")


if __name__ == "__main__":
    main()
