"""What the two games share: a game as an interface, and actions written as text.

    state ──► Game.step(state, action) ──► state
    states ──► Game.render ──► frames (T, 3, 32, 32) uint8 ──► Game.read ──► what they show
    "→→↑" ──► read_actions ──► numbers of actions

A game is its rules alone. Its states do not change once they are made: `step` returns a new one.
The rules are exact and without chance, and a frame, or two of them, shows all that they depend on
(but for what comes into view from outside the screen), so that a model can learn the game.
"""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch

from minisora.inputs import shown
from minisora.world.platform import Platform
from minisora.world.tiles import Tiles

State: TypeAlias = Any  # a board of the tile game, a `platform.State` of the platform game


class Game(Protocol):
    """The rules of a game and its pictures."""

    @property
    def name(self) -> str:
        """A key of `GAMES`."""
        ...

    @property
    def actions(self) -> tuple[str, ...]:
        """Names; the number of an action is its place here, and 0 is "none"."""
        ...

    @property
    def fps(self) -> int:
        """Steps in a second, each of which is a frame."""
        ...

    @property
    def height(self) -> int:
        """Pixels of a frame."""
        ...

    @property
    def width(self) -> int:
        """Pixels of a frame."""
        ...

    def new_game(self, rng: np.random.Generator, held_out: bool = False) -> State:
        """Draw a level, from the levels to train on or from harder ones that are held out."""
        ...

    def step(self, state: State, action: int) -> State:
        """Return the state after an action; the state that was given stays as it is."""
        ...

    def kind_of_step(self, state: State, action: int, after: State) -> str:
        """Say in a few words what happened in a step, so that rare kinds can be found."""
        ...

    def render(self, states: Sequence[State]) -> torch.Tensor:
        """Draw T states: (T, 3, height, width) uint8."""
        ...

    def read(self, frames: torch.Tensor) -> Any:
        """Tell what frames (T, 3, height, width) in [0, 255] show, also blurred or noisy ones."""
        ...


GAMES: dict[str, Game] = {"tiles": Tiles(), "platform": Platform()}

# Other ways to write the actions of each game.
SIGNS = {
    "tiles": {
        "none": (".", "_", "n"),
        "up": ("↑", "u"),
        "down": ("↓", "d"),
        "left": ("←", "l"),
        "right": ("→", "r"),
    },
    "platform": {
        "none": (".", "_", "n"),
        "left": ("←", "l"),
        "right": ("→", "r"),
        "jump": ("↑", "u", "j"),
        "jump left": ("↖", "q"),
        "jump right": ("↗", "e"),
    },
}


def game_of(name: str) -> Game:
    """Return a game by its name.

    Raises:
        ValueError: there is no such game.
    """
    if name not in GAMES:
        raise ValueError(f"game={shown(name)} is not known; it is one of {', '.join(GAMES)}")
    return GAMES[name]


def frames_of(game: Game, states: Sequence[State]) -> torch.Tensor:
    """Draw T states as a model sees them: (T, 3, height, width) float, in [-1, 1]."""
    return game.render(states).float() / 127.5 - 1


def action_number(game: Game, text: str) -> int:
    """Return the number of an action that is written as its name or as one sign, such as "→".

    Raises:
        ValueError: the game has no such action.
    """
    word = text.strip().lower()
    for number, name in enumerate(game.actions):
        if word == name or word in SIGNS[game.name][name]:
            return number
    known = [f"{name} ({' '.join(SIGNS[game.name][name])})" for name in game.actions]
    raise ValueError(
        f"action {shown(text)} is not known in {game.name}; it is one of {', '.join(known)}"
    )


def read_actions(game: Game, text: str) -> list[int]:
    """Read actions from a line: "→→↑", "rru", "right, right, up" or "right right up".

    Names of two words are read before names of one: "jump left" is one action, and "jump, left"
    are two.

    Raises:
        ValueError: what is neither a name nor signs of this game.
    """
    actions = []
    for part in text.split(","):
        words = part.lower().split()
        while words:
            count = 2 if " ".join(words[:2]) in game.actions else 1
            name = " ".join(words[:count])
            words = words[count:]
            signs = [name] if name in game.actions else list(name)
            actions += [action_number(game, sign) for sign in signs]
    return actions
