"""Does text to video suffer from learning everything else? `python -m data.experiments.kinds_report [steps]` trains two transformers from nothing,
one on all kinds of given tokens and one on text to video alone, on the same clips with the same noise for the same number of steps.

Compressor and text encoder are the shipped ones. Writes data/results/kinds.json: for both, every hundred steps, the loss on held-out
clips with all tokens at one noise level, and at the end the shares of prompts that came out as asked.
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
from minisora.device import autocast, can_compile
from minisora.dit import DiT
from minisora.flow import add_noise, velocity_of
from minisora.masks import MASKS
from minisora.measure.accuracy import judge_clips, summarise
from minisora.measure.clips import test_prompts, test_scenes
from minisora.train.data import cache_latents, world_source
from minisora.train.stages import train_dit
from minisora.world.render import render

RESULTS = Path(__file__).resolve().parents[2] / "data" / "results" / "kinds.json"
WAYS = {"all kinds": MASKS, "text to video alone": {"none": 1.0}}
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
WIDTH, RATE = 160, 8e-3  # what learns most in few steps, see data/LOG.md


def held_out(model: MiniSora, clips: int) -> dict[str, float]:
    """Noise level → mean squared error of the velocity on test clips, half of them with two objects."""
    scenes = test_scenes("solo", "seen", clips // 2) + test_scenes("pair", "seen", clips // 2)
    x_0, (ids, _) = model.encode(render(scenes)), model.tokenizer(test_prompts(scenes))
    noise = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(3))
    error = lambda level: (
        model.velocity(add_noise(x_0, noise, torch.tensor(level)), level, ids)
        - velocity_of(x_0, noise)
    )
    with torch.no_grad(), autocast(model.device):
        return {str(level): round(error(level).square().mean().item(), 4) for level in LEVELS}


def report(steps: int, clips: int = 12_000, judged: int = 256) -> dict:
    """Both trainings, nested as way, then `curve` and `shares`."""
    model, table = MiniSora.load("tiny", "cpu"), {}
    dit = replace(model.preset.dit, hidden_size=WIDTH)
    config = replace(model.preset.train_dit, steps=steps, learning_rate=RATE, cooldown_fraction=0.3)
    bucket = world_source(model.preset).buckets[0]
    data, text = (
        cache_latents(model.vae, model.tokenizer, bucket.clips, clips, measure=False),
        copy.deepcopy(model.text),
    )
    data.ids = data.ids[:, ::2]  # sentences as people type them, as they are judged
    for name, kinds in WAYS.items():
        torch.manual_seed(0)
        model.dit, model.text, curve = DiT(dit), copy.deepcopy(text), {}

        def look(_, record, curve=curve):
            if record["step"] % 100 == 0 or record["step"] == steps:
                curve[record["step"]] = held_out(model, 128)

        both = nn.ModuleDict({"text": model.text, "dit": model.dit})
        with tempfile.TemporaryDirectory() as folder:
            options = {
                "kinds": kinds,
                "compile": can_compile() and steps >= 300,
                "look": look,
                "evaluate_every": 0.0,
            }
            train_dit(
                both,
                data,
                replace(model.preset, dit=dit, train_dit=config, curriculum_steps=0),
                folder,
                **options,
            )
        make = lambda prompts, i: model.generate(
            prompts, upsample=False, generator=torch.Generator().manual_seed(i)
        )
        shares = {
            family: summarise(judge_clips(make, test_prompts(test_scenes(family, "seen", judged))))
            for family in ("solo", "pair")
        }
        table[name] = {"curve": curve, "shares": shares}
    return table | {
        "settings": {
            "steps": steps,
            "batch_size": config.batch_size,
            "clips": clips,
            "width": WIDTH,
            "learning_rate": RATE,
        }
    }


if __name__ == "__main__":
    table = report(int(sys.argv[1]) if len(sys.argv) > 1 else 800)
    RESULTS.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    for name in WAYS:
        print(name, "held-out loss", list(table[name]["curve"].items())[-1])
        for family, figures in table[name]["shares"].items():
            print(
                f"  {family}: "
                + ", ".join(
                    f"{k} {100 * f['value']:.0f} % [{100 * f['low']:.0f}, {100 * f['high']:.0f}]"
                    for k, f in figures.items()
                )
            )
