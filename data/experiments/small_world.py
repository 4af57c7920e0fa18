"""What a transformer learns of a small world in a few minutes, from nothing (notebook 07).

    python -m data.experiments.small_world

The world has two shapes, three colours and four motions, on a plain black background. Compressor
and text encoder are the shipped ones; the transformer begins with random weights. Every half minute
the judge says how many of 48 clips are right, as their plain sentences ask. Run it on two quiet
cores: a budget in minutes is as many steps as the machine makes in them.
"""

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn as nn

from minisora import MiniSora, ToyWorld
from minisora.config import TrainConfig
from minisora.measure.accuracy import judge_clips, make_clips, summarise
from minisora.measure.clips import sentence
from minisora.threads import choose_threads
from minisora.train.data import Latents, cache_latents
from minisora.train.stages import NO_MASK, train_dit
from minisora.world.captions import VOCABULARY
from minisora.world.dataset import TEST_SEEDS
from minisora.world.render import render

RESULT = Path(__file__).parents[1] / "results" / "small_world.json"
ONLY = {
    "shape": ["circle", "square"],
    "color": ["red", "yellow", "blue"],
    "motion": ["left", "right", "falling", "growing"],
    "size": ["large"],
    "background": ["black"],
    "texture": ["plain"],
}
CLIPS = 2000
PROMPTS = 48


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, nargs="+", default=[6.0])
    parser.add_argument("--hidden-size", type=int, default=128)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-2)
    parser.add_argument("--start", default="tiny")
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    choose_threads("training")
    shipped = MiniSora.load(asked.start, "cpu")
    data = latents_of(shipped, CLIPS)
    network = {"hidden_size": asked.hidden_size, "depth": asked.depth}
    config: dict[str, Any] = {
        "batch_size": asked.batch_size,
        "learning_rate": asked.learning_rate,
        "warmup_steps": 20,
        "ema_decay": 0.98,
        "cooldown_fraction": 0.8,
    }
    runs = []
    for minutes in asked.minutes:
        student = begin(shipped, **network)
        points = train(student, data, TrainConfig(minutes=minutes, **config))
        runs.append({"minutes": minutes, "points": points})
    result = {
        "about": "fraction of clips that are right, by seconds of training from nothing",
        "only": ONLY,
        "clips": CLIPS,
        "prompts": PROMPTS,
        "network": network,
        "config": config,
        "threads": torch.get_num_threads(),
        "runs": runs,
    }
    asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def latents_of(model: MiniSora, count: int) -> Latents:
    """The clips of the small world that the transformer learns from."""
    world = ToyWorld(only=ONLY)

    def clips(start: int, size: int) -> tuple[torch.Tensor, list[list[str]]]:
        scenes = [world.scene(i) for i in range(start, start + size)]
        return render(scenes, **world.shape), [[sentence(scene)] for scene in scenes]

    return cache_latents(model.vae, model.tokenizer, clips, count)


def begin(shipped: MiniSora, hidden_size: int, depth: int) -> MiniSora:
    """A new transformer behind the shipped compressor and text encoder."""
    torch.manual_seed(0)
    dit = replace(shipped.preset.dit, hidden_size=hidden_size, depth=depth)
    model = MiniSora(replace(shipped.preset, dit=dit, curriculum_steps=0), VOCABULARY)
    model.vae.load_state_dict(shipped.vae.state_dict())
    model.text.load_state_dict(shipped.text.state_dict())
    return model.eval()


def train(model: MiniSora, data: Latents, config: TrainConfig) -> list[dict[str, Any]]:
    """Train a transformer, and give back what was right every half minute."""
    test = ToyWorld(first_seed=TEST_SEEDS, only=ONLY)
    prompts = [sentence(test.scene(i)) for i in range(PROMPTS)]
    points: list[dict[str, Any]] = []

    def evaluate(_: nn.Module, record: dict) -> None:
        make = make_clips(model, upsample=False, num_inference_steps=10)
        point = {"step": record["step"], "seconds": round(record["seconds"])}
        point |= summarise(judge_clips(make, prompts))
        points.append(point)
        print({k: v["value"] if isinstance(v, dict) else v for k, v in point.items()}, flush=True)

    both = nn.ModuleDict({"text": model.text, "dit": model.dit})
    preset = replace(model.preset, train_dit=config)
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"on_evaluate": evaluate, "evaluate_every": 30.0}
        train_dit(both, data, preset, folder, masks=NO_MASK, **options)
    return points


if __name__ == "__main__":
    main()
