"""From a sentence about the game to a true play of it, for a model of the game to play.

    "in the game, the player takes the key" ── parse ──► GameSpec
    GameSpec, seed ── game_as_asked ──► a level, and actions by which all of that happens

What the sentence leaves open, the level and the way, is drawn from true plays, as the prompt
upsampler draws what other sentences leave open.
"""

import random

import numpy as np
import torch

from minisora.inputs import whole_number
from minisora.measure.game import GameReading, game_attributes
from minisora.measure.play import Games
from minisora.world.families import lively_starts, long_play
from minisora.world.game_words import GameSpec
from minisora.world.story import tell

STEPS = 16  # of a clip of 17 frames
MOST_STEPS = 100  # of a clip that a sentence is about
PLAYS = 2000  # plays, of which one should have what is asked
FAR_SEED = 20_000  # no play of a training has it


def game_as_asked(asked: GameSpec, steps: int = STEPS, seed: int = 0) -> Games:
    """Find a play of the tile game in which all that a sentence asks for happens.

    The player moves in at least 60 % of its steps.

    Args:
        seed: of levels and plays; another one finds another play.

    Returns:
        One game, of which a model is shown the first frame.

    Raises:
        ValueError: there is none in 2,000 plays, or a clip of more than 100 steps.
    """
    whole_number("steps", steps, 1, MOST_STEPS)
    rng = random.Random(seed)
    chance = np.random.default_rng((FAR_SEED, seed))
    for _ in range(PLAYS):
        states, actions = long_play(rng, chance, steps + 1)
        boards = tuple(state.tobytes() for state in states)
        starts = [
            start
            for start in lively_starts(tell(boards), steps + 1)
            if is_as_asked(boards[start : start + steps + 1], asked)
        ]
        if starts:
            start = rng.choice(starts)
            end = start + steps
            led_to = torch.tensor([[0, *actions[start:end]]])
            return Games([states[start : end + 1]], led_to, shown=1)
    places = " at these positions" if asked.path else ""
    raise ValueError(
        f"'{asked}'{places} did not happen within {steps} steps in {PLAYS} plays of the game; "
        "ask for less, or for a longer clip"
    )


def is_as_asked(boards: tuple[bytes, ...], asked: GameSpec) -> bool:
    """Whether the judge calls the boards of a true play as asked."""
    reading = GameReading(boards, one_player=True, rules=True)
    return all(game_attributes(reading, asked).values())
