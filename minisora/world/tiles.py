"""The tile game: a board of 8×8 tiles, on which a player gathers coins and pushes boxes.

    board (8, 8) ──► step(board, action) ──► board
    boards ──► render ──► frames (T, 3, 32, 32) ──► read ──► boards (T, 8, 8)

A state is the board itself: one kind of tile (a row of `KINDS`) at each position, in a read-only
array. The player is one of the kinds, and under it there is always floor, so nothing is hidden:
the next frame follows from the last frame and the action.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange

from minisora.inputs import shown, whole_number

SIZE = 8  # tiles on each side of the board
TILE = 4  # pixels on each side of a tile

# Each kind: its letter in `board_from_text`, and its picture in letters of PALETTE.
KINDS = {
    "floor": (".", ("    ", "    ", "    ", "    ")),
    "wall": ("#", ("gggd", "gggd", "gggd", "dddd")),
    "coin": ("o", (" yy ", "ywyy", "yyyo", " yo ")),
    "box": ("B", ("bbbb", "bttb", "bttb", "bbbb")),
    "key": ("k", ("cc  ", "cccc", "cc c", "    ")),
    "door": ("D", ("mkmk", "mkmk", "mkmk", "mkmk")),
    "player": ("P", (" rr ", "rwwr", "rrrr", " rr ")),
    "holder": ("H", (" rr ", "rwwr", "cccc", " cc ")),
}
PALETTE = {  # RGB 0..255; apart in brightness too, for eyes that do not tell all colours apart
    " ": (34, 34, 48),
    "g": (150, 156, 168),
    "d": (92, 96, 110),
    "y": (255, 226, 60),
    "o": (224, 160, 20),
    "b": (146, 88, 32),
    "t": (232, 186, 120),
    "c": (64, 220, 255),
    "m": (226, 92, 200),
    "k": (110, 20, 110),
    "r": (240, 76, 40),
    "w": (255, 255, 255),
}
NUMBERS = {name: number for number, name in enumerate(KINDS)}
FLOOR, WALL, COIN, BOX, KEY, DOOR, PLAYER, HOLDER = range(len(KINDS))

# (who walks, onto what): who stands there afterwards. What is not in the table stops the player.
WALKS = {
    (PLAYER, FLOOR): PLAYER,
    (PLAYER, COIN): PLAYER,
    (PLAYER, KEY): HOLDER,
    (PLAYER, BOX): PLAYER,
    (HOLDER, FLOOR): HOLDER,
    (HOLDER, COIN): HOLDER,
    (HOLDER, KEY): HOLDER,
    (HOLDER, BOX): HOLDER,
    (HOLDER, DOOR): PLAYER,  # which uses the key up
}
PUSHED = (BOX,)  # moves on by one tile when it is walked onto, where there is floor behind it

MOVES = {"none": (0, 0), "up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
THINGS = {"coin": 5, "box": 2, "key": 1, "door": 1, "player": 1}  # on every new board
WALLS, WALLS_HELD_OUT = 0.18, 0.30  # the probability that a tile is a wall
MIN_REACHED = 12  # tiles without walls that the player of a new board can get to


def patterns(pictures: Sequence[Sequence[str]], palette: dict[str, tuple]) -> torch.Tensor:
    """Turn pictures in letters into pixels: (kinds, 3, TILE, TILE) uint8."""
    pixels = [[[palette[letter] for letter in row] for row in picture] for picture in pictures]
    return torch.tensor(pixels, dtype=torch.uint8).movedim(3, 1).contiguous()


def draw_tiles(tiles: np.ndarray, pixels: torch.Tensor) -> torch.Tensor:
    """Put the pictures of tiles next to each other.

    Args:
        tiles: (T, rows, columns) numbers of kinds.
        pixels: (kinds, 3, TILE, TILE) uint8.

    Returns:
        (T, 3, rows × TILE, columns × TILE) uint8.
    """
    kinds = torch.from_numpy(tiles.astype(np.int64))  # a copy: boards are read-only
    return rearrange(pixels[kinds], "t row col c y x -> t c (row y) (col x)")


def read_tiles(frames: torch.Tensor, pixels: torch.Tensor) -> np.ndarray:
    """Find the kind whose picture is nearest, by squared difference, for each tile.

    Args:
        frames: (T, 3, H, W) in [0, 255].
        pixels: (kinds, 3, TILE, TILE) uint8.

    Returns:
        (T, H / TILE, W / TILE) int8.
    """
    flat = pixels.flatten(1).float()  # (kinds, 48)
    seen = rearrange(frames.float(), "t c (row y) (col x) -> t row col (c y x)", y=TILE, x=TILE)
    # |seen − p|² without |seen|², which is the same for all kinds p
    distance = flat.square().sum(1) - 2 * seen @ flat.T  # (T, rows, columns, kinds)
    return distance.argmin(-1).to(torch.int8).cpu().numpy()


def check_frames(frames: torch.Tensor, height: int, width: int) -> None:
    """Raise ValueError unless frames are a tensor (T, 3, height, width)."""
    good = isinstance(frames, torch.Tensor) and frames.ndim == 4
    if not good or frames.shape[1:] != (3, height, width):
        got = tuple(frames.shape) if isinstance(frames, torch.Tensor) else shown(frames)
        raise ValueError(f"frames are a tensor (T, 3, {height}, {width}) in [0, 255], not {got}")


def _neighbours() -> list[list[int]]:
    """For each cell and action, the cell that it leads to; at the edge the cell itself."""
    table = []
    for cell in range(SIZE * SIZE):
        row, column = divmod(cell, SIZE)
        ways = [(row + down, column + right) for down, right in MOVES.values()]
        table.append([r * SIZE + c if 0 <= r < SIZE and 0 <= c < SIZE else cell for r, c in ways])
    return table


PATTERNS = patterns([picture for _, picture in KINDS.values()], PALETTE)  # (kinds, 3, 4, 4)
NEIGHBOURS = _neighbours()


def board_from_text(text: str) -> np.ndarray:
    """Read a board from rows of letters, such as "#.o" (see `KINDS`), the upper left corner first.

    What is not written is floor, so that three rows of three letters are a board, too.

    Returns:
        (8, 8) int8, read-only.

    Raises:
        ValueError: a letter that is no kind, too many rows or letters, or not just one player.
    """
    letters = {letter: NUMBERS[name] for name, (letter, _) in KINDS.items()}
    board = np.full((SIZE, SIZE), FLOOR, dtype=np.int8)
    rows = text.split()
    if max([len(rows), *map(len, rows)]) > SIZE:
        raise ValueError(f"a board has at most {SIZE} rows of {SIZE} letters, not {shown(text)}")
    for row, line in enumerate(rows):
        for column, letter in enumerate(line):
            if letter not in letters:
                raise ValueError(f"{letter!r} is no tile; a tile is one of {' '.join(letters)}")
            board[row, column] = letters[letter]
    players = int((board >= PLAYER).sum())
    if players != 1:
        raise ValueError(f"a board has one player (P, or H with a key), not {players}")
    board.setflags(write=False)
    return board


def player_cell(cells: bytes | bytearray) -> int:
    """The player's position on a board of 64 bytes, row by row.

    Raises:
        ValueError: there is no player.
    """
    cell = max(cells.find(PLAYER), cells.find(HOLDER))
    if cell < 0:
        raise ValueError("there is no player on the board; put PLAYER or HOLDER onto one tile")
    return cell


def after_walk(cells: bytes, here: int, action: int) -> bytes:
    """Let the player walk one tile, which is all that can happen in this game.

    Args:
        cells: the 64 tiles of a board, row by row.
        here: the player's position among them.
        action: number of the action.

    Returns:
        The tiles afterwards; the same where something stops the player.
    """
    there = NEIGHBOURS[here][action]
    who, onto = cells[here], cells[there]
    walker = WALKS.get((who, onto))
    if walker is None:
        return cells
    new = bytearray(cells)
    if onto in PUSHED:
        behind = NEIGHBOURS[there][action]
        if cells[behind] != FLOOR:
            return cells
        new[behind] = onto
    new[here] = FLOOR
    new[there] = walker
    return bytes(new)


def _reached(walls: np.ndarray, start: int) -> int:
    """How many cells the player can get to from `start` if only walls (64,) bool stop it."""
    seen = {start}
    queue = deque(seen)
    while queue:
        for there in NEIGHBOURS[queue.popleft()]:
            if there not in seen and not walls[there]:
                seen.add(there)
                queue.append(there)
    return len(seen)


@dataclass(frozen=True)
class Tiles:
    """The tile game; see `game.Game`."""

    name: str = "tiles"
    actions: tuple[str, ...] = tuple(MOVES)
    fps: int = 10
    height: int = SIZE * TILE
    width: int = SIZE * TILE

    def new_game(self, rng: np.random.Generator, held_out: bool = False) -> np.ndarray:
        """Draw a board: walls, and `THINGS` on tiles without walls.

        Args:
            rng: makes all choices.
            held_out: 30 % of the tiles are walls, and not 18 %: boards as no model is trained on.

        Returns:
            (8, 8) int8, read-only.
        """
        density = WALLS_HELD_OUT if held_out else WALLS
        things = [NUMBERS[name] for name, count in THINGS.items() for _ in range(count)]
        while True:
            walls = rng.random(SIZE * SIZE) < density
            free = rng.permutation(np.flatnonzero(~walls))
            if len(free) < len(things):
                continue
            positions = free[: len(things)]
            if _reached(walls, int(positions[-1])) >= MIN_REACHED:  # the player comes last
                break
        board = np.where(walls, WALL, FLOOR).astype(np.int8)
        board[positions] = things
        board = board.reshape(SIZE, SIZE)
        board.setflags(write=False)
        return board

    def step(self, state: np.ndarray, action: int) -> np.ndarray:
        """Let the player act: the board (8, 8) afterwards, read-only.

        Raises:
            ValueError: no such action, or no player on the board.
        """
        action = whole_number("action", action, 0, len(self.actions) - 1)
        cells = state.tobytes()
        after = after_walk(cells, player_cell(cells), action)
        return np.frombuffer(after, dtype=np.int8).reshape(SIZE, SIZE)

    def kind_of_step(self, state: np.ndarray, action: int, after: np.ndarray) -> str:
        """Say who met what, and whether it stopped the player: "holder, door, goes on"."""
        cells = state.tobytes()
        here = player_cell(cells)
        there = NEIGHBOURS[here][action]
        names = list(KINDS)
        ending = "goes on" if after.tobytes() != cells else "stops"
        return f"{names[cells[here]]}, {names[cells[there]]}, {ending}"

    def render(self, states: Sequence[np.ndarray]) -> torch.Tensor:
        """Draw boards: (T, 3, 32, 32) uint8."""
        boards = np.array(states, dtype=np.int8).reshape(-1, SIZE, SIZE)
        return draw_tiles(boards, PATTERNS)

    def read(self, frames: torch.Tensor) -> np.ndarray:
        """Read boards from frames, which may be blurred or noisy.

        Args:
            frames: (T, 3, 32, 32) in [0, 255].

        Returns:
            (T, 8, 8) int8: the kind whose picture is nearest. Nothing here counts players.
        """
        check_frames(frames, self.height, self.width)
        return read_tiles(frames, PATTERNS)
