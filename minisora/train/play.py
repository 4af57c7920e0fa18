"""Train a model of a game from nothing: games are played, and the network learns what comes next.

    games, policies ──► Plays: states and actions ──► draw: frames (B, T, 3, H, W), actions (B, T)
    frames ──► clean 0 … T − 2 beside noisy 1 … T − 1 ──► DiT ──► x_0 of the noisy ones

Every frame but the first stands in the sequence twice: clean, as the past of later frames, and
noisy, as what is to be predicted from the past. `causal_mask` lets no token see what it is to
predict. So every step learns all frames of a sequence, each from a clean past, as in play.
"""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from minisora.checkpoints import write_text
from minisora.config import PlayPreset
from minisora.device import (
    choose_device,
    compiled,
    fast_float32,
    host_generator,
    is_gpu,
    to_device,
)
from minisora.dit import DiT
from minisora.flow import add_noise, shift_sigma
from minisora.masks import causal_mask
from minisora.measure.play import compare
from minisora.play.model import PlayModel
from minisora.train.loop import Figures, LossOf, fit
from minisora.train.run import Run, check_folder, remember
from minisora.world.game import Game, State, frames_of
from minisora.world.policies import Explore, play

PERIOD = 128  # frames after which the embedding of a position repeats, see `PositionEmbedder`
CURVE = "curve.json"
JUDGED_GAMES, JUDGED_STEPS = 32, 50  # played at an evaluation of the training


class Plays:
    """Games that were played for a training.

    Args:
        games: how many. steps: of each.
        seed: of levels and players.
    """

    def __init__(self, game: Game, games: int, steps: int, seed: int = 0):
        self.game = game
        self.states: list[list[State]] = []  # games × (steps + 1)
        self.kinds: dict[str, list[tuple[int, int]]] = {}  # kind of step → game, step
        actions = []
        for number in range(games):
            rng = np.random.default_rng((seed, number))
            states, taken = play(game, Explore(game), game.new_game(rng), steps, rng)
            self.states.append(states)
            actions.append([0, *taken])
            for step, action in enumerate(taken):
                kind = game.kind_of_step(states[step], action, states[step + 1])
                self.kinds.setdefault(kind, []).append((number, step + 1))
        self.led_to = torch.tensor(actions)  # (games, steps + 1): the action before each state

    def frames(self, games: list[int], begins: list[int], length: int) -> torch.Tensor:
        """Draw pieces of `length` states: (B, length, 3, H, W) in [-1, 1]."""
        pieces = [
            self.states[game][begin : begin + length]
            for game, begin in zip(games, begins, strict=True)
        ]
        drawn = frames_of(self.game, [state for piece in pieces for state in piece])
        return drawn.unflatten(0, (len(pieces), length))


class PlayBatches:
    """Draws pieces of play.

    Some of them (`preset.rare_fraction`) end in a step whose kind was drawn first, so that what is
    rare, as a box that cannot be pushed, is seen as often as a walk.
    """

    def __init__(self, plays: Plays, preset: PlayPreset):
        self.plays = plays
        self.length = preset.context + 1
        self.rare_fraction = preset.rare_fraction
        self.kinds = [
            [(game, step) for game, step in steps if step >= preset.context]
            for steps in plays.kinds.values()
        ]
        self.kinds = [steps for steps in self.kinds if steps]

    def draw(
        self, batch_size: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames (B, T, 3, H, W) in [-1, 1], and the actions (B, T) that led to them."""
        seed = torch.randint(2**62, (1,), generator=host_generator(generator))
        rng = random.Random(int(seed))
        ends = [self._draw_end(rng) for _ in range(batch_size)]
        games = [game for game, _ in ends]
        begins = [step - self.length + 1 for _, step in ends]
        frames = self.plays.frames(games, begins, self.length)
        offsets = torch.arange(self.length)
        rows = torch.tensor(games)[:, None]
        led_to = self.plays.led_to[rows, torch.tensor(begins)[:, None] + offsets]
        device = generator.device
        return to_device(frames, device), to_device(led_to, device)

    def _draw_end(self, rng: random.Random) -> tuple[int, int]:
        """The game and the last step of one piece."""
        if rng.random() < self.rare_fraction:
            return rng.choice(rng.choice(self.kinds))
        games, states = self.plays.led_to.shape
        return rng.randrange(games), rng.randrange(self.length - 1, states)


def play_loss(
    model: PlayModel,
    network: DiT,
    frames: torch.Tensor,
    led_to: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """Mean squared error of x_0 in frames that are predicted from the frames before.

    Args:
        network: the model's transformer, or its compiled twin.
        frames: (B, T, 3, H, W) in [-1, 1]. led_to: (B, T), actions.
    """
    preset, n = model.preset, model.tokens_per_frame
    B, T = led_to.shape
    device = frames.device
    x_0 = model.to_tokens(frames)
    past, following = x_0[:, :-n], x_0[:, n:]
    drawn = torch.rand(B, T - 1, generator=generator, device=device)
    sigma = shift_sigma(1 - drawn, preset.shift).repeat_interleave(n, dim=1)  # (B, (T − 1)·n)
    noise = torch.randn(x_0.shape, generator=generator, device=device)
    level = preset.noise_augmentation * torch.rand(B, 1, 1, generator=generator, device=device)
    tokens = torch.cat(
        [
            add_noise(past, noise[:, :-n], level),  # the network is told that it is clean
            add_noise(following, noise[:, n:], sigma[..., None]),
        ],
        dim=1,
    )
    offset = torch.randint(PERIOD, (1,), generator=generator, device=device)
    numbers = torch.arange(T, device=device)
    numbers = torch.cat([numbers[:-1], numbers[1:]])
    clean = torch.arange(len(numbers), device=device) < T - 1
    mask = causal_mask(numbers.repeat_interleave(n), clean.repeat_interleave(n), preset.context)
    actions = torch.cat([led_to[:, :-1], led_to[:, 1:]], dim=1).repeat_interleave(n, dim=1)
    predicted = network(
        tokens,
        torch.cat([torch.zeros_like(sigma), sigma], dim=1),
        model.positions(numbers + offset),
        self_mask=mask.expand(B, -1, -1),
        actions=actions,
    )
    return (predicted[:, past.shape[1] :] - following).square().mean()


def _read_curve(run_dir: Path) -> list[dict]:
    """What the evaluations of a run that goes on have found so far."""
    path = run_dir / CURVE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def evaluate_play(
    model: PlayModel, record: dict, curve: list[dict], run_dir: Path, say: Callable[[str], Any]
) -> None:
    """Hold a model against games that nobody played before, and add the point to the curve.

    Args:
        record: step and seconds of the training. Points of later steps were made by a run that was
            killed, and are dropped.
        curve: the points so far, which are kept in `run_dir`/curve.json.
    """
    found = compare(model, JUDGED_GAMES, JUDGED_STEPS, seed=1)
    curve[:] = [point for point in curve if point["step"] < record["step"]]
    curve.append({**record, "right": found.right_by_step()})
    write_text(run_dir / CURVE, json.dumps(curve) + "\n")
    minutes = record["seconds"] / 60
    first = float(found.right[:, :10].float().mean())
    last = float(found.right[:, -1].float().mean())
    say(
        f"{minutes:.1f} minutes, {record['step']} steps: the first ten frames right in "
        f"{first:.0%}, after {JUDGED_STEPS} steps {last:.0%} of {JUDGED_GAMES} games"
    )


def train_play(
    preset: PlayPreset,
    run_dir: str | Path,
    *,
    device: str = "auto",
    compile: bool = False,
    resume: bool = False,
    progress: bool = True,
    evaluate_every: float = 120.0,
    should_stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], Any] = print,
    options: dict[str, Any] | None = None,
) -> PlayModel:
    """Train a model that can be played, in `run_dir`; the model ends up in `run_dir`/model.

    Args:
        evaluate_every: seconds between two evaluations (`evaluate_play`), whose time does not
            count as training.
        say: is told what an evaluation found.
        options: kept in `run.json` for whoever resumes the run.

    Raises:
        FileExistsError: the folder holds a run and `resume` is not set.
        ValueError: the folder is that of a model, or `resume` with another preset.
    """
    run_dir = Path(run_dir)
    check_folder(run_dir, resume)
    run = Run(preset, words=[], options=options or {})
    place = choose_device(device)
    fast_float32(place)
    if is_gpu(place):
        preset = preset.on_gpu()
    torch.manual_seed(preset.train.seed)
    model = PlayModel(preset).to(place)
    remember(run_dir, run)
    curve = _read_curve(run_dir) if resume else []
    fit(
        "transformer",
        model,
        losses_of_play(model, compiled(model.dit, compile), say),
        preset.train,
        run_dir,
        resume=resume,
        progress=progress,
        on_evaluate=lambda _, record: evaluate_play(model, record, curve, run_dir, say),
        evaluate_every=evaluate_every,
        should_stop=should_stop,
    )
    return _finish(model, curve, run_dir)


def losses_of_play(model: PlayModel, network: DiT, say: Callable[[str], Any]) -> LossOf:
    """Play the games of a training; the loss of each step is that of a batch of their pieces.

    Args:
        network: as in `play_loss`. say: is told how long it took.
    """
    preset = model.preset
    began = time.perf_counter()
    plays = Plays(model.game, preset.games, preset.game_steps, preset.train.seed)
    seconds = time.perf_counter() - began
    say(f"played {preset.games} games of {preset.game_steps} steps in {seconds:.0f} s")
    batches = PlayBatches(plays, preset)

    def loss_of(step: int, generator: torch.Generator) -> tuple[torch.Tensor, Figures]:
        frames, led_to = batches.draw(preset.train.batch_size, generator)
        return play_loss(model, network, frames, led_to, generator), {}

    return loss_of


def _finish(model: PlayModel, curve: list[dict], run_dir: Path) -> PlayModel:
    """Write the model, and how it was trained."""
    last = curve[-1] if curve else {"step": 0, "seconds": 0.0}
    metadata = {
        "curve": curve,
        "steps": last["step"],
        "seconds": last["seconds"],
        "threads": torch.get_num_threads(),
    }
    model.save(run_dir / "model", metadata)
    model.metadata = metadata
    return model.eval()
