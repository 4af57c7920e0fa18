"""What makes a game playable: noise, tokens, context, what is predicted, and what regression does.

    python -m data.experiments.play_trials noise       # three trainings of 2,000 steps
    python -m data.experiments.play_trials choices     # three more: other tokens, the velocity
    python -m data.experiments.play_trials regression  # one, of as many minutes as play-tiles had
    python -m data.experiments.play_trials context     # the shipped play-platform, nothing trained
    python -m data.experiments.play_trials sentences   # the shipped play-tiles, nothing trained

Each writes data/results/play_….json. The regression's minutes need a quiet machine.
"""

import argparse
import json
import random
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F
from einops import rearrange

from minisora.checkpoints import write_text
from minisora.config import PLAY_PRESETS, PlayPreset
from minisora.device import compiled
from minisora.dit import DiT
from minisora.measure import judge
from minisora.measure.asked import game_as_asked
from minisora.measure.play import (
    after,
    by_round,
    compare_games,
    draw_games,
    first_clip,
    measure_memory,
)
from minisora.measure.stats import fraction_of
from minisora.play.model import PlayModel
from minisora.threads import choose_threads
from minisora.train.loop import fit
from minisora.train.play import PlayBatches, Plays, losses_of_play
from minisora.world.captions import caption
from minisora.world.dataset import sample_scene
from minisora.world.parse import parse

RESULTS = Path(__file__).parents[1] / "results"
NOISES = (0.0, 0.15, 0.5)
CONTEXTS = (4, 8, 16, 32)
GAMES = 128
FIRST_SEED = 10**6  # of the scenes whose captions are played


class VelocityDiT(DiT):
    """Predicts the velocity; what it gives is the x_0 that follows, as a `PlayModel` expects.

    The loss on x_0 is the loss on the velocity times σ², which with the shift of play is mostly
    near 1.
    """

    def forward(self, tokens: torch.Tensor, sigma: torch.Tensor, *parts: Any, **options: Any):
        """As `DiT.forward`."""
        velocity = super().forward(tokens, sigma, *parts, **options)
        return tokens - sigma[..., None] * velocity


class Regression(nn.Module):
    """The next frame by convolutions from the last frames and the action: a mean, nothing drawn.

    It has the parts of a `PlayModel` that a comparison with true games needs.
    """

    def __init__(self, preset: PlayPreset, channels: int = 104, depth: int = 10):
        super().__init__()
        self.preset = preset
        self.game = PlayModel(preset).game
        self.action_embedder = nn.Embedding(preset.dit.num_actions, channels)
        self.first = nn.Conv2d(3 * preset.context, channels, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in range(depth)
        )
        self.last = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, past: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """past (B, T, 3, H, W), action (B,) → the next frame (B, 3, H, W)."""
        x = self.first(rearrange(past, "b t c h w -> b (t c) h w"))
        x = x + self.action_embedder(action)[:, :, None, None]
        for layer in self.layers:
            x = x + layer(F.gelu(x))
        return self.last(F.gelu(x))

    def begin(self, frames: torch.Tensor, actions: Any = (), **options: Any) -> "Regression":
        """As `PlayModel.begin`; one game after another."""
        self.past = frames[:, -self.preset.context :]
        return self

    @torch.no_grad()
    def step(self, action: Sequence[int] | torch.Tensor) -> torch.Tensor:
        """As `Session.step`."""
        frame = self(self.past, torch.as_tensor(action)).clamp(-1, 1)
        self.past = torch.cat([self.past[:, 1:], frame[:, None]], dim=1)
        return frame


def train_regression(preset: PlayPreset, folder: Path) -> tuple[Regression, int]:
    """Train it on such pieces of play as the transformer had, with such noise on the past.

    Returns:
        It, and the number of its steps.
    """
    torch.manual_seed(preset.train.seed)
    model = Regression(preset)
    plays = Plays(model.game, preset.games, preset.game_steps, preset.train.seed)
    batches = PlayBatches(plays, preset)

    def loss_of(step: int, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        frames, led_to = batches.draw(preset.train.batch_size, generator)
        past, following = frames[:, :-1], frames[:, -1]
        level = preset.noise_augmentation * torch.rand(len(past), 1, 1, 1, 1, generator=generator)
        noise = torch.randn(past.shape, generator=generator)
        predicted = model((1 - level) * past + level * noise, led_to[:, -1])
        return F.mse_loss(predicted, following), {}

    train = replace(preset.train, learning_rate=1e-3)
    history = fit("regression", model, loss_of, train, folder)
    return model.eval(), history[-1]["step"]


def figures(model: Any, steps: int = 200) -> dict[str, Any]:
    """How long a model's tile games stay right."""
    games = draw_games(model.game, GAMES, steps, model.preset.context, seed=0)
    found = compare_games(model, games)
    return {
        "every tile right": after(found.right, (10, 50, 200)),
        "frames right": by_round(found.right),
        "curve": found.right_by_step(),
    }


def train_model(preset: PlayPreset, steps: int, network: type[DiT] = DiT) -> PlayModel:
    """Train as `train_play` does, for so many steps, and without looks at how it goes."""
    torch.manual_seed(preset.train.seed)
    model = PlayModel(preset)
    model.dit = network(preset.dit)
    loss_of = losses_of_play(model, compiled(model.dit), print)
    with tempfile.TemporaryDirectory() as folder:
        fit("transformer", model, loss_of, replace(preset.train, steps=steps), folder)
    return model.eval()


def noise(steps: int) -> dict[str, Any]:
    """Trainings that differ in the noise on the past alone."""
    preset = PLAY_PRESETS["play-tiles"]
    table = {}
    for level in NOISES:
        model = train_model(replace(preset, noise_augmentation=level), steps)
        table[str(level)] = _said(str(level), figures(model))
    return table


def choices(steps: int) -> dict[str, Any]:
    """Trainings that differ in tokens, in context, or in what the network predicts."""
    preset = PLAY_PRESETS["play-tiles"]
    larger = replace(preset, dit=replace(preset.dit, patch_size=(1, 8, 8)))
    table = {}
    for name, own, network in (
        ("the velocity instead of x_0", preset, VelocityDiT),
        ("tokens of 8×8 pixels", larger, DiT),
        ("tokens of 8×8 pixels, 8 frames of context", replace(larger, context=8), DiT),
    ):
        table[name] = _said(name, figures(train_model(own, steps, network)))
    return table


def _said(name: str, table: dict[str, Any]) -> dict[str, Any]:
    print(name, table["every tile right"], flush=True)
    return table


def regression(_: int) -> dict[str, Any]:
    """A regression of the same size and minutes, beside the shipped model."""
    preset = PLAY_PRESETS["play-tiles"]
    with tempfile.TemporaryDirectory() as folder:
        model, steps = train_regression(preset, Path(folder))
    size = sum(p.numel() for p in model.parameters())
    shipped = PlayModel.load("play-tiles")
    return {
        "parameters": size,
        "steps": steps,
        "regression": figures(model),
        "parameters of play-tiles": sum(p.numel() for p in shipped.parameters()),
        "steps of play-tiles": shipped.metadata["steps"],
        "play-tiles": figures(shipped),
    }


def context(_: int) -> dict[str, Any]:
    """What comes back right, for several numbers of frames that the model sees."""
    model = PlayModel.load("play-platform")
    return {str(frames): measure_memory(model, 256, 0, print, frames) for frames in CONTEXTS}


def sentences(_: int) -> dict[str, Any]:
    """Whether a model plays true to the game that was found for a sentence.

    The sentences are captions of clips of the family "game".
    """
    model = PlayModel.load("play-tiles")
    right, is_true = [], []
    for seed in range(GAMES):
        scene = sample_scene(FIRST_SEED + seed, "game")
        asked = parse(caption(scene, random.Random(seed)))
        games = game_as_asked(asked.game, seed=seed)
        found = compare_games(model, games, seed)
        seen = judge.read(first_clip(model.game, games, found.frames), model.game.fps)
        right.append(judge.verdict(seen, asked).all)
        is_true.append(bool(found.right.all()))
    return {"as asked": fraction_of(right), "every frame true": fraction_of(is_true)}


TRIALS = {
    "noise": (noise, 2000),
    "choices": (choices, 2000),
    "regression": (regression, 0),
    "context": (context, 0),
    "sentences": (sentences, 0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trial", choices=TRIALS)
    parser.add_argument("--steps", type=int, help="of each training")
    asked = parser.parse_args()
    choose_threads("training")
    trial, usual = TRIALS[asked.trial]
    steps = asked.steps or usual
    table = trial(steps) | {"settings": {"steps": steps, "games": GAMES, "seed": 0}}
    path = RESULTS / f"play_{asked.trial}.json"
    write_text(path, json.dumps(table, indent=1, ensure_ascii=False) + "\n")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
