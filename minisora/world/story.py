"""What happens in a clip of the tile game, in doings that a sentence can name.

    boards ── tell ──► Story: where the player is, and what it does when
    doings, Story ── in_order ──► whether they happen, one after the other

A board is 64 bytes, row by row, see `tiles.py`; a clip has one board a frame. A *doing* is a short
phrase in its usual words, such as "takes a coin". A part of a clip is two frames, start < end: what
happens in it are the steps from start to end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from minisora.world import tiles
from minisora.world.scene import DIRECTIONS

WALKS = tuple(f"walks {way}" for way in DIRECTIONS)
PUSHES = tuple(f"pushes a box {way}" for way in DIRECTIONS)
COINS = {  # fewest and most that are taken
    "takes a coin": (1, tiles.THINGS["coin"]),
    "takes two coins": (2, 2),
    "takes three coins": (3, 3),
    "takes coins": (2, tiles.THINGS["coin"]),
}
KEY, DOOR, PUSH = "takes the key", "opens the door", "pushes a box"
DOINGS = (*WALKS, *COINS, KEY, DOOR, PUSH, *PUSHES)
FAR = 3  # tiles from the first to the last of a walk, at least

ONTO = {tiles.COIN: "takes a coin", tiles.KEY: KEY, tiles.DOOR: DOOR}


@dataclass(frozen=True)
class Story:
    """What the player does in a clip of T frames."""

    cells: tuple[int, ...]  # T positions of the player, row × 8 + column
    events: tuple[tuple[int, str], ...]  # (step, doing): step k leads from frame k - 1 to frame k

    @property
    def last(self) -> int:
        """The number of the last frame."""
        return len(self.cells) - 1


@lru_cache(maxsize=256)
def tell(boards: tuple[bytes, ...]) -> Story:
    """Find what happens in a clip with one player in every frame.

    Raises:
        ValueError: a board without a player.
    """
    cells = tuple(tiles.player_cell(board) for board in boards)
    events = []
    for step, (here, there) in enumerate(pairwise(cells), 1):
        if here == there or there not in tiles.NEIGHBOURS[here]:
            continue
        onto = boards[step - 1][there]
        if onto in ONTO:
            events.append((step, ONTO[onto]))
        elif onto == tiles.BOX:
            events.append((step, f"{PUSH} {_way(here, there, 1)}"))
    return Story(cells, tuple(events))


def _way(here: int, there: int, far: int) -> str | None:
    """The direction from one cell to another that is clear and at least `far` tiles, or None."""
    row, column = divmod(here, tiles.SIZE)
    to_row, to_column = divmod(there, tiles.SIZE)
    down, right = to_row - row, to_column - column
    if abs(right) >= far and abs(right) > 2 * abs(down):
        return "right" if right > 0 else "left"
    if abs(down) >= far and abs(down) > 2 * abs(right):
        return "down" if down > 0 else "up"
    return None


def way_of(story: Story, start: int = 0, end: int | None = None) -> str | None:
    """The direction in which the player gets on in a part of a clip, or None.

    It is at least 3 tiles, and more than twice as many as across.
    """
    end = story.last if end is None else end
    return _way(story.cells[start], story.cells[end], FAR)


def holds(doing: str, story: Story, start: int, end: int) -> bool:
    """Whether the player does this in a part of a clip; more may happen, too.

    Two and three coins are exactly so many, a coin is at least one, coins are at least two.
    """
    if doing in WALKS:
        return f"walks {way_of(story, start, end)}" == doing
    happened = [own for step, own in story.events if start < step <= end]
    if doing in COINS:
        fewest, most = COINS[doing]
        return fewest <= happened.count("takes a coin") <= most
    if doing == PUSH:
        return not set(PUSHES).isdisjoint(happened)
    return doing in happened


def in_order(groups: Sequence[Sequence[str]], story: Story) -> bool:
    """Whether a clip falls into as many parts as groups, in each of which all of one is done."""
    ends = {0}
    for group in groups:
        longer = set()
        for start in ends:
            for end in range(start + 1, story.last + 1):
                if end not in longer and all(holds(own, story, start, end) for own in group):
                    longer.add(end)
        ends = longer
    return story.last in ends


def counted(coins: int) -> str:
    """Words for at least one coin: "takes two coins"."""
    words = {1: "takes a coin", 2: "takes two coins", 3: "takes three coins"}
    return words.get(coins, "takes coins")


def in_turn(story: Story) -> list[str]:
    """All that happens in order, where coins after coins, and pushes after like pushes, are one."""
    doings: list[str] = []
    coins = 0
    for _, doing in story.events:
        coins = coins + 1 if doing == "takes a coin" else 0
        if coins > 1:
            doings[-1] = counted(coins)
        elif doings[-1:] != [doing]:
            doings.append(doing)
    return doings


def path_of(story: Story, frames: Sequence[int]) -> list[tuple[int, int]]:
    """Where the player's middle is in some frames: columns and rows of a grid of 32 × 32 cells."""
    middle = tiles.TILE // 2
    places = [divmod(story.cells[frame], tiles.SIZE) for frame in frames]
    return [(column * tiles.TILE + middle, row * tiles.TILE + middle) for row, column in places]
