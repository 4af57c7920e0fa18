"""The platform game: a player runs and jumps through a level that is wider than the screen.

    State ──► step(state, action) ──► State
    states ──► render ──► frames (T, 3, 32, 32) ──► read ──► Reading

A level is 8×32 tiles of 4×4 pixels, and the screen shows 8 of its 32 columns. Nothing in a level
changes but the moving platforms, so that what leaves the screen and comes back is what it was.
Positions are pixels of the level, x to the right and y **down**, of a thing's upper left corner.
Two frames show all that the next one depends on, but for what comes into view from outside: the
vertical speed of the player and the direction of a moving platform are seen from how they moved.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from minisora.inputs import whole_number
from minisora.world.tiles import TILE, check_frames, draw_tiles, patterns, read_tiles

ROWS, COLUMNS = 8, 32  # tiles of a level
SHOWN = 8  # columns on the screen
SCREEN = SHOWN * TILE  # pixels on each side of the screen

# Each kind of tile and its picture in letters of PALETTE; those from "grass" on are solid.
KINDS = {
    "sky": ("    ", "    ", "    ", "    "),
    "cloud": (" ww ", "wwww", "wwww", "    "),
    "bush": ("    ", " ff ", "ffff", "ffff"),
    "spike": (" t t", " k k", "kkkk", "kkkk"),
    "grass": ("gggg", "gggg", "dgdd", "dddd"),
    "dirt": ("dddd", "ddde", "dddd", "eddd"),
    "stone": ("sssn", "sssn", "sssn", "nnnn"),
    "brick": ("rrrb", "bbbb", "rbrr", "bbbb"),
}
PALETTE = {  # RGB 0..255
    " ": (120, 190, 250),
    "w": (255, 255, 255),
    "f": (0, 104, 88),
    "t": (250, 40, 70),
    "k": (60, 50, 70),
    "g": (90, 210, 60),
    "d": (140, 92, 50),
    "e": (100, 62, 32),
    "s": (168, 168, 176),
    "n": (112, 112, 124),
    "r": (214, 76, 40),
    "b": (250, 190, 150),
    "y": (255, 232, 40),
    "0": (0, 0, 0),
    "v": (40, 30, 150),
}
SKY, CLOUD, BUSH, SPIKE, GRASS, DIRT, STONE, BRICK = range(len(KINDS))
SOLID = frozenset((GRASS, DIRT, STONE, BRICK))
PLAYER = ("yyyy", "y0y0", "yyyy", "vvvv")
MOVER = ((236, 60, 220), (150, 10, 140))  # colours of a moving platform's two rows
MOVER_WIDTH, MOVER_HEIGHT = 8, 2

WALK = 2  # pixels a step
JUMP = -5  # vertical speed that a jump begins with, in pixels a step; gravity takes 1 at once
GRAVITY = 1  # added to the vertical speed each step
FASTEST_FALL = 4
JUMP_HEIGHT = 10  # pixels: 4 + 3 + 2 + 1
JUMP_STEPS = 9  # until the player is as low as before, and 18 pixels further
START = (8, 20)  # the player's x and y at first and after each death
LAST_X = COLUMNS * TILE - TILE
LAST_Y = ROWS * TILE - TILE  # who falls lower has fallen into a pit
MOVES = {  # pixels across, and whether the player jumps
    "none": (0, False),
    "left": (-WALK, False),
    "right": (WALK, False),
    "jump": (0, True),
    "jump left": (-WALK, True),
    "jump right": (WALK, True),
}


class Mover(NamedTuple):
    """A platform that goes back and forth, 1 pixel a step; solid from above only."""

    left: int  # x at one end
    right: int  # x at the other end
    y: int
    phase: int  # steps from the left end at time 0

    def x(self, time: int) -> int:
        """Where it is after so many steps."""
        span = self.right - self.left
        way = (time + self.phase) % (2 * span)
        return self.left + min(way, 2 * span - way)


@dataclass(frozen=True, eq=False)
class State:
    """Everything that is true of a game at one step."""

    level: np.ndarray  # (8, 32) int8, read-only; all states of a game share it
    platforms: tuple[Mover, ...]
    x: int
    y: int
    vy: int = 0  # vertical speed, pixels a step, down
    time: int = 0  # steps since the game began
    deaths: int = 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, State):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple:
        level = self.level.tobytes()
        player = self.x, self.y, self.vy
        return level, self.platforms, player, self.time, self.deaths


@dataclass(frozen=True)
class Reading:
    """What T frames show."""

    player: np.ndarray  # (T, 2) int: x and y on the screen
    error: np.ndarray  # (T,) mean absolute difference there, 0..255; large: no player in the frame
    tiles: np.ndarray  # (T, 8, 8) int8, numbers of kinds
    covered: np.ndarray  # (T, 8, 8) bool: the player or a moving platform hides some of the tile


PATTERNS = patterns(list(KINDS.values()), PALETTE)  # (kinds, 3, 4, 4)
PLAYER_PATTERN = patterns([PLAYER], PALETTE)[0]  # (3, 4, 4)
MOVES_BY_NUMBER = tuple(MOVES.values())
BELOW = bytes(COLUMNS)  # a row of sky under the level
MISSING_PLAYER = 60  # an error above this: no player; noise of standard deviation 20 makes 16
MOVER_ERROR = 42  # the same for a column of a moving platform


def camera_x(x: int) -> int:
    """The first pixel column on the screen, a multiple of 8, for a player at x."""
    last = COLUMNS * TILE - SCREEN
    wish = (x - 10) // 8 * 8
    return min(max(wish, 0), last)


def columns(state: State) -> range:
    """Which 8 columns of the level the screen shows."""
    first = camera_x(state.x) // TILE
    return range(first, first + SHOWN)


# ------------------------------------------------------------------------------------------- rules


def cells_of(state: State) -> bytes:
    """The level row by row and a row of sky under it, for quick look-ups."""
    return state.level.tobytes() + BELOW


def overlapped(cells: bytes, x: int, y: int) -> bytes:
    """The kinds of the one to four tiles that a player at (x, y) overlaps."""
    left = x // TILE
    right = (x + TILE - 1) // TILE + 1
    top = y // TILE * COLUMNS
    bottom = (y + TILE - 1) // TILE * COLUMNS
    upper = cells[top + left : top + right]
    if bottom == top:
        return upper
    return upper + cells[bottom + left : bottom + right]


def blocked(cells: bytes, x: int, y: int) -> bool:
    """Whether a player at (x, y) would be inside a solid tile or outside of the level."""
    if x < 0 or x > LAST_X or y < 0:
        return True
    return not SOLID.isdisjoint(overlapped(cells, x, y))


def mover_under(state: State, x: int, y: int, time: int) -> Mover | None:
    """The moving platform whose top touches the feet of a player at (x, y), if there is one."""
    for mover in state.platforms:
        if mover.y != y + TILE:
            continue
        offset = mover.x(time) - x
        if -MOVER_WIDTH < offset < TILE:
            return mover
    return None


def on_tile(state: State) -> bool:
    """Whether the player stands on a solid tile."""
    cells = cells_of(state)
    return state.vy >= 0 and blocked(cells, state.x, state.y + 1)


def standing(state: State) -> bool:
    """Whether the player stands on a tile or a moving platform, so that it can jump."""
    if state.vy < 0:
        return False
    if on_tile(state):
        return True
    carrier = mover_under(state, state.x, state.y, state.time)
    return carrier is not None


def _slide(cells: bytes, x: int, y: int, across: int) -> int:
    """Move across pixel by pixel as far as is free: the new x."""
    way = 1 if across > 0 else -1
    for _ in range(abs(across)):
        if blocked(cells, x + way, y):
            break
        x += way
    return x


def _rise_or_fall(state: State, cells: bytes, x: int, vy: int, time: int) -> tuple[int, int]:
    """Move vertically pixel by pixel as far as is free: the new y and vy.

    Whoever touches what is in the way has no speed left, also where no pixel of the way was lost:
    then the speed is the difference between two frames, but where a frame shows a touch.
    """
    y = state.y
    way = 1 if vy > 0 else -1
    for _ in range(abs(vy)):
        if y > LAST_Y or _stopped(state, cells, x, y, way, time):
            break
        y += way
    if _stopped(state, cells, x, y, way, time):
        vy = 0
    return y, vy


def _stopped(state: State, cells: bytes, x: int, y: int, way: int, time: int) -> bool:
    """Whether a player at (x, y) cannot move one pixel down (way = 1) or up (−1)."""
    if blocked(cells, x, y + way):
        return True
    return way == 1 and mover_under(state, x, y, time) is not None


@dataclass(frozen=True)
class Platform:
    """The platform game; see `game.Game`."""

    name: str = "platform"
    actions: tuple[str, ...] = tuple(MOVES)
    fps: int = 10
    height: int = SCREEN
    width: int = SCREEN

    def new_game(self, rng: np.random.Generator, held_out: bool = False) -> State:
        """Draw a level, and put the player to its start.

        Args:
            rng: makes all choices.
            held_out: `HELD_OUT` instead of `SEEN`. Pits are 3 tiles wide and not 1 or 2, pits
                with a moving platform 7 tiles and not 5 or 6, the ground between two obstacles
                is 2 or 3 tiles long and not 2 to 4, and spikes are about twice as frequent.
        """
        level, platforms = _draw_level(rng, HELD_OUT if held_out else SEEN)
        x, y = START
        return State(level, platforms, x, y)

    def step(self, state: State, action: int) -> State:
        """Move the platforms, then the player across, then the player up or down.

        A player on a moving platform, and not on a tile at the same time, is carried by it. A
        player who touches a spike or falls into a pit is back at the start at once.

        Raises:
            ValueError: no such action.
        """
        number = whole_number("action", action, 0, len(MOVES) - 1)
        across, jumps = MOVES_BY_NUMBER[number]
        cells = cells_of(state)
        x, y, vy = state.x, state.y, state.vy
        time = state.time + 1
        deaths = state.deaths

        stands = vy >= 0 and blocked(cells, x, y + 1)
        if vy >= 0 and not stands:
            carrier = mover_under(state, x, y, state.time)
            if carrier:
                stands = True
                carried = carrier.x(time) - carrier.x(state.time)
                x = _slide(cells, x, y, carried)
        x = _slide(cells, x, y, across)

        if jumps and stands:
            vy = JUMP
        vy = min(vy + GRAVITY, FASTEST_FALL)
        y, vy = _rise_or_fall(state, cells, x, vy, time)

        if y > LAST_Y or SPIKE in overlapped(cells, x, y):
            x, y = START
            vy = 0
            deaths += 1
        return State(state.level, state.platforms, x, y, vy, time, deaths)

    def kind_of_step(self, state: State, action: int, after: State) -> str:
        """Say how the player stood or flew, what it wanted, and what came of it."""
        if after.deaths > state.deaths:
            return "dies"
        has_scrolled = camera_x(after.x) != camera_x(state.x)
        scrolls = ", scrolls" if has_scrolled else ""
        moved = "goes on" if after.x != state.x else "stays"
        return f"vy {state.vy} to {after.vy}, {self.actions[action]}, {moved}{scrolls}"

    def render(self, states: Sequence[State]) -> torch.Tensor:
        """Draw states: tiles, then moving platforms, then the player; (T, 3, 32, 32) uint8."""
        begins = [camera_x(state.x) for state in states]
        camera = np.array(begins, dtype=np.int64)
        levels = np.array([state.level for state in states], dtype=np.int8)
        levels = levels.reshape(-1, ROWS, COLUMNS)  # also where there are no states
        first = camera[:, None] // TILE
        seen = first + np.arange(SHOWN)  # (T, 8)
        tiles = np.take_along_axis(levels, seen[:, None], axis=2)
        frames = draw_tiles(tiles, PATTERNS)
        _draw_movers(frames, states, camera)
        _draw_players(frames, states, camera)
        return frames

    def read(self, frames: torch.Tensor) -> Reading:
        """Read frames, which may be blurred or noisy.

        The player is where its picture differs least; a tile is the kind whose picture is nearest.

        Args:
            frames: (T, 3, 32, 32) in [0, 255].
        """
        check_frames(frames, self.height, self.width)
        frames = frames.float().cpu()
        player, error = _find_player(frames)
        hidden = _mover_pixels(frames)  # (T, 32, 32)
        corners = torch.from_numpy(player)[..., None]  # (T, 2, 1)
        x, y = corners.unbind(1)
        pixel = torch.arange(SCREEN)
        inside_x = (pixel >= x) & (pixel < x + TILE)  # (T, 32)
        inside_y = (pixel >= y) & (pixel < y + TILE)
        hidden |= inside_y[:, :, None] & inside_x[:, None]
        strips = hidden.unflatten(1, (ROWS, TILE)).any(2)  # (T, 8, 32)
        covered = strips.unflatten(2, (SHOWN, TILE)).any(3)  # (T, 8, 8)
        tiles = read_tiles(frames, PATTERNS)
        return Reading(player, error, tiles, covered.numpy())


# ---------------------------------------------------------------------------------------- pictures


def _draw_movers(frames: torch.Tensor, states: Sequence[State], camera: np.ndarray) -> None:
    """Draw moving platforms onto frames (T, 3, 32, 32), as far as they are on the screen."""
    pixel = torch.arange(SCREEN)
    counts = [len(state.platforms) for state in states]
    for k in range(max(counts, default=0)):
        rows = [row for row, count in enumerate(counts) if count > k]
        chosen = [states[row] for row in rows]
        x = [state.platforms[k].x(state.time) for state in chosen]
        y = [state.platforms[k].y for state in chosen]
        left = torch.tensor(x) - torch.from_numpy(camera[rows])
        left = left[:, None]
        top = torch.tensor(y)[:, None]
        across = (pixel >= left) & (pixel < left + MOVER_WIDTH)  # (n, 32)
        for row, color in enumerate(MOVER):
            down = pixel == top + row  # (n, 32)
            inside = down[:, None, :, None] & across[:, None, None]  # (n, 1, 32, 32)
            paint = torch.tensor(color, dtype=torch.uint8)
            paint = paint[:, None, None]
            frames[rows] = torch.where(inside, paint, frames[rows])


def _draw_players(frames: torch.Tensor, states: Sequence[State], camera: np.ndarray) -> None:
    """Draw the players onto frames (T, 3, 32, 32); they are on the screen as a whole."""
    x = torch.tensor([state.x for state in states], dtype=torch.long)
    y = torch.tensor([state.y for state in states], dtype=torch.long)
    x = x - torch.from_numpy(camera)
    pixel = torch.arange(TILE)
    rows = y[:, None] + pixel  # (T, 4)
    across = x[:, None] + pixel
    frame = torch.arange(len(states))[:, None, None]
    picture = PLAYER_PATTERN.movedim(0, -1)
    frames[frame, :, rows[:, :, None], across[:, None]] = picture


def _find_player(frames: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Compare the player's picture with every position: its x and y (T, 2), and the error (T,)."""
    across = SCREEN - TILE + 1
    error = torch.zeros(len(frames), across, across)
    picture = PLAYER_PATTERN.float()
    for row in range(TILE):
        for column in range(TILE):
            part = frames[:, :, row : row + across, column : column + across]
            color = picture[:, row, column, None, None]
            error += (part - color).abs().sum(1)
    error /= PLAYER_PATTERN.numel()
    least, position = error.flatten(1).min(1)
    x = position % across
    y = position // across
    player = torch.stack([x, y], dim=1)
    return player.numpy(), least.numpy()


def _mover_pixels(frames: torch.Tensor) -> torch.Tensor:
    """Which pixels belong to a moving platform: (T, 32, 32) bool.

    A platform's two rows are looked for in each column by themselves, because the edge of the
    screen may cut it.
    """
    colors = torch.tensor(MOVER, dtype=torch.float32).T  # (3, 2)
    pairs = frames.unfold(2, MOVER_HEIGHT, 1)  # (T, 3, 31, 32, 2)
    difference = pairs - colors[:, None, None]
    error = difference.abs().mean((1, 4))  # (T, 31, 32)
    found = error < MOVER_ERROR
    hidden = torch.zeros(len(frames), SCREEN, SCREEN, dtype=torch.bool)
    hidden[:, :-1] = found
    hidden[:, 1:] |= found
    return hidden


# ------------------------------------------------------------------------------------------ levels


@dataclass(frozen=True)
class Recipe:
    """From what levels are drawn; pairs are the lowest and highest number of tiles."""

    flat: tuple[int, int]  # ground between two obstacles
    pit: tuple[int, int]
    ferry: tuple[int, int]  # a pit with a moving platform
    spikes: tuple[int, int]
    weights: dict[str, int]  # how often each obstacle comes, the ferry aside


SEEN = Recipe(
    flat=(2, 4),
    pit=(1, 2),
    ferry=(5, 6),
    spikes=(1, 2),
    weights={"step": 3, "pit": 3, "spikes": 3, "bricks": 2},
)
HELD_OUT = Recipe(
    flat=(2, 3),
    pit=(3, 3),
    ferry=(7, 7),
    spikes=(1, 2),
    weights={"step": 2, "pit": 3, "spikes": 8, "bricks": 1},
)
GROUNDS = {GRASS: DIRT, STONE: STONE, BRICK: STONE}  # the uppermost tile and those under it
FIRST_FLAT, LAST_FLAT = 8, 2  # columns without an obstacle at both ends of a level
START_TOP, HIGHEST_TOP = 6, 4  # rows of the uppermost tile of the ground
CLOUDS, BUSHES, SHELVES = 0.15, 0.2, 0.15  # probability of each where it can be


@dataclass(frozen=True)
class _Column:
    """One column of a level that is being drawn."""

    top: int  # row of the uppermost tile of the ground; ROWS: a pit
    surface: int = GRASS  # a key of GROUNDS
    thing: int = SKY  # what stands on the ground: SPIKE, or BRICK
    height: int = 1  # tiles of that
    free: bool = False  # whether there may be something above: neither a jump nor a landing


def _draw_level(rng: np.random.Generator, recipe: Recipe) -> tuple[np.ndarray, tuple[Mover, ...]]:
    """Draw a level (8, 32) int8, read-only, and its one or two moving platforms.

    Flat ground and obstacles take turns. One of the first two obstacles is a ferry, and with
    probability 1/2 the one after next is, too, if the level is long enough.
    """
    row = [_Column(START_TOP)] * FIRST_FLAT
    ferries = [int(rng.integers(2))]
    if rng.random() < 0.5:
        ferries.append(ferries[0] + 2)
    names = list(recipe.weights)
    weights = np.array(list(recipe.weights.values()))
    chances = weights / weights.sum()
    movers = []
    last = row[-1]
    for number in range(COLUMNS):
        row += _flat(rng, last, recipe)
        name = "ferry" if number in ferries else str(rng.choice(names, p=chances))
        obstacle = _obstacle(rng, name, last, recipe)
        if len(row) + len(obstacle) + LAST_FLAT > COLUMNS:
            break
        if name == "ferry":
            left = len(row) * TILE
            way = len(obstacle) * TILE - MOVER_WIDTH
            phase = int(rng.integers(2 * way))
            y = last.top * TILE
            movers.append(Mover(left, left + way, y, phase))
        row += obstacle
        if name == "step":
            last = _next_ground(rng, last)
    ground = _Column(last.top, last.surface)
    row += [ground] * (COLUMNS - len(row))
    return _build(rng, row[:COLUMNS]), tuple(movers)


def _between(rng: np.random.Generator, ends: tuple[int, int]) -> int:
    lowest, highest = ends
    return int(rng.integers(lowest, highest + 1))


def _flat(rng: np.random.Generator, last: _Column, recipe: Recipe) -> list[_Column]:
    """Ground without an obstacle; now and then a longer one, with room for a shelf above it."""
    ground = _Column(last.top, last.surface)
    if rng.random() < SHELVES:
        free = replace(ground, free=True)
        middle = [free] * _between(rng, (1, 2))
        return [ground, ground, *middle, ground, ground]
    return [ground] * _between(rng, recipe.flat)


def _next_ground(rng: np.random.Generator, last: _Column) -> _Column:
    """Ground one or two tiles higher or lower."""
    heights = range(HIGHEST_TOP, START_TOP + 1)
    tops = [top for top in heights if top != last.top]
    top = int(rng.choice(tops))
    surface = int(rng.choice(list(GROUNDS)))
    return _Column(top, surface)


def _obstacle(rng: np.random.Generator, name: str, last: _Column, recipe: Recipe) -> list[_Column]:
    """The columns of an obstacle; none for a step, which is where two heights meet."""
    pit = _Column(ROWS)
    if name == "pit":
        return [pit] * _between(rng, recipe.pit)
    if name == "ferry":
        return [pit] * _between(rng, recipe.ferry)
    if name == "spikes":
        spike = _Column(last.top, last.surface, SPIKE)
        return [spike] * _between(rng, recipe.spikes)
    if name == "bricks":
        height = _between(rng, (1, 2))
        brick = _Column(last.top, last.surface, BRICK, height)
        return [brick] * _between(rng, (1, 2))
    return []


def _build(rng: np.random.Generator, row: list[_Column]) -> np.ndarray:
    """Turn 32 columns into tiles (8, 32), with clouds, bushes and shelves of brick.

    What is in the first 8 columns is the same in every level.
    """
    level = np.full((ROWS, COLUMNS), SKY, dtype=np.int8)
    chances = rng.random((ROWS, COLUMNS))
    chances[:, :FIRST_FLAT] = 1
    level[:2][chances[:2] < CLOUDS] = CLOUD
    level[1, 1:3] = CLOUD
    for column, part in enumerate(row):
        top = part.top
        if top == ROWS:
            continue
        tiles = level[:, column]
        tiles[top] = part.surface
        tiles[top + 1 :] = GROUNDS[part.surface]
        tiles[top - part.height : top] = part.thing
        has_bush = chances[top - 1, column] < BUSHES
        if part.thing == SKY and has_bush:
            tiles[top - 1] = BUSH
        if part.free:
            tiles[top - 3] = BRICK
    level[START_TOP - 1, 6] = BUSH
    level.setflags(write=False)
    return level
