"""The judge of the tile game: from pixels to boards, and from boards to what a sentence asked for.

    video (3, T, H, W) in [0, 1] ── read_game ──► GameReading, or None for a clip of anything else
    GameReading, GameSpec ── game_attributes ──► attribute → right or wrong

Every tile is read as the kind whose picture, and mean colour, is nearest. A clip is of the game if
nearly all tiles are near their pictures, and those that are not floor on average, too: a dark
background is near to floor. Rules are exact: from one frame to the next there must be an action
that leads there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from einops import rearrange, reduce

from minisora.world import tiles
from minisora.world.captions import moments
from minisora.world.game_words import GameSpec, everything
from minisora.world.render import BOARD, fits_board
from minisora.world.story import COINS, WALKS, Story, holds, in_order, path_of, tell

NEAR_TILE = 0.03  # mean squared difference in [0, 1] of a tile to its picture; two kinds have 0.07
MOST_NEAR = 0.90  # fraction of the tiles that are near
UNLIKE = 0.022  # the same difference, on average over all tiles that are not floor
FEWEST_THINGS = 4  # tiles that are not floor, in a frame: a board always has some
LOOSER = 1.5  # times what the first frame alone may differ, which is looked at first
COLOR = 4  # how much more the mean colour of a tile counts, which no blur changes
NEAR_CELLS = 3  # cells of the grid by which the player may miss one; a tile is 4

PICTURES = tiles.PATTERNS.flatten(2).float() / 255  # (kinds, 3, 16)


@dataclass(frozen=True)
class GameReading:
    """What the judge saw in a clip of the game."""

    boards: tuple[bytes, ...]  # one a frame
    one_player: bool  # whether there is exactly one in every frame
    rules: bool  # whether every frame follows from the one before by some action

    @property
    def story(self) -> Story | None:
        """What happens; None where there is not one player in every frame."""
        return tell(self.boards) if self.one_player else None

    def __str__(self) -> str:
        if self.story is None:
            return "the game, but not one player in every frame"
        said = str(everything(self.story)) or "does nothing that a sentence says"
        against = "" if self.rules else ", against the rules"
        return f"the game: the player {said}{against}"


# ------------------------------------------------------------------------------------- reading


def read_game(video: torch.Tensor) -> GameReading | None:
    """Read the boards of a clip (3, T, H, W) in [0, 1]; None where it is not of the game."""
    _, T, H, W = video.shape
    if T == 1 or not fits_board(H, W):
        return None
    if not _is_game(*_tiles(video[:, :1]), LOOSER):  # which is soon seen of most other clips
        return None
    kinds, distances = _tiles(video)
    if not _is_game(kinds, distances):
        return None
    players = (kinds >= tiles.PLAYER).sum((1, 2))
    one_player = bool((players == 1).all())
    numbers = kinds.to(torch.int8).numpy()
    boards = tuple(board.tobytes() for board in numbers)
    return GameReading(boards, one_player, one_player and _follows(boards))


def _tiles(video: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The kind of every tile (T, 8, 8), and its mean squared difference to that picture."""
    times = video.shape[2] // BOARD
    small = reduce(video, "c t (y a) (x b) -> c t y x", "mean", a=times, b=times)
    y = x = tiles.TILE
    seen = rearrange(small, "c t (row y) (col x) -> t row col c (y x)", y=y, x=x)
    differences = _differences(seen.flatten(3), PICTURES.flatten(1))
    colors = _differences(seen.mean(4), PICTURES.mean(2))
    both = differences + COLOR * colors
    kinds = both.argmin(-1)
    chosen = differences.gather(-1, kinds[..., None])
    return kinds, chosen[..., 0]


def _differences(seen: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    """Mean squared differences (T, 8, 8, kinds) of vectors (T, 8, 8, n) and (kinds, n)."""
    products = seen @ pictures.T
    of_seen = seen.square().sum(-1, keepdim=True)
    of_pictures = pictures.square().sum(1)
    sums = of_seen + of_pictures - 2 * products  # |s − p|²
    return sums / pictures.shape[1]


def _is_game(kinds: torch.Tensor, distances: torch.Tensor, looser: float = 1.0) -> bool:
    """Whether tiles (T, 8, 8) are near enough to the pictures of their kinds."""
    things = kinds != tiles.FLOOR
    if things.sum() < FEWEST_THINGS * len(kinds):
        return False
    near = distances < NEAR_TILE
    far = 1 - near.float().mean()
    if far > looser * (1 - MOST_NEAR):
        return False
    unlike = distances[things].mean()
    return bool(unlike < looser * UNLIKE)


def _follows(boards: Sequence[bytes]) -> bool:
    """Whether every board comes from the one before by an action."""
    for board, after in pairwise(boards):
        here = tiles.player_cell(board)
        actions = range(len(tiles.MOVES))
        if all(tiles.after_walk(board, here, action) != after for action in actions):
            return False
    return True


# ------------------------------------------------------------------------------------- verdicts


def game_attributes(reading: GameReading | None, asked: GameSpec) -> dict[str, bool]:
    """Hold what was seen against what was asked.

    Attributes: game (whether the clip is of the game, with one player in every frame), rules,
    events (all that was asked happens, if perhaps in another order), order (it happens in the order
    that "then" says), direction (the player walks the way that was asked) and position.
    """
    story = reading.story if reading else None
    attributes = {
        "game": story is not None,
        "rules": reading is not None and reading.rules,
    }
    for name, (wanted, is_right) in _checks(asked).items():
        if wanted:
            attributes[name] = story is not None and all(is_right(own, story) for own in wanted)
    return attributes


def _checks(asked: GameSpec) -> dict[str, tuple[Sequence[Any], Callable[[Any, Story], bool]]]:
    """Attribute → everything of its kind that is asked, and whether one of it is so in a story."""
    clauses = asked.clauses
    whole = [doing for clause in clauses if len(clause) == 1 for doing in clause[0]]
    return {
        "events": ([clause for clause in clauses if _events(clause)], _happens),
        "order": ([clause for clause in clauses if len(clause) > 1], in_order),
        "direction": ([doing for doing in whole if doing in WALKS], _walks),
        "position": ([asked.path] if asked.path else [], _passes),
    }


def _walks(way: str, story: Story) -> bool:
    """Whether the player gets on this way over the whole clip."""
    return holds(way, story, 0, story.last)


def _events(clause: Sequence[Sequence[str]]) -> list[str]:
    """All doings of a clause but walks."""
    return [doing for group in clause for doing in group if doing not in WALKS]


def _happens(clause: Sequence[Sequence[str]], story: Story) -> bool:
    """Whether the events of a clause happen, in whatever order.

    Coins of several groups are added up; there must be at least as many.
    """
    events = _events(clause)
    if len(clause) == 1:
        return all(holds(doing, story, 0, story.last) for doing in events)
    coins = sum(COINS[doing][0] for doing in events if doing in COINS)
    taken = [doing for _, doing in story.events].count("takes a coin")
    others = [doing for doing in events if doing not in COINS]
    return taken >= coins and all(holds(own, story, 0, story.last) for own in others)


def _passes(path: Sequence[tuple[int, int]], story: Story) -> bool:
    """Whether the player is on the tile of its cell at each of the five moments."""
    truth = path_of(story, moments(story.last + 1))
    misses = torch.tensor(truth) - torch.tensor(path)
    return bool((misses.abs() <= NEAR_CELLS).all())
