"""How games are played: for training data, and to measure what a model remembers.

    state, rng ──► policy.act ──► number of an action
    game, policy, state, steps ──► play ──► states (steps + 1), actions (steps)

A policy may remember what it was about to do; all chance comes from the generator that it is
given, so that a new policy and the same seed make the same actions.
"""

from collections import deque
from typing import Protocol

import numpy as np

from minisora.inputs import whole_number
from minisora.world import platform, tiles
from minisora.world.game import Game, State

HOLD = {"tiles": (1, 4), "platform": (2, 8)}  # steps for which `Wander` keeps an action
MISTAKES = {"tiles": 0.2, "platform": 0.05}  # fraction of `Seek`'s actions that are random
SPELL = (10, 40)  # steps after which `Explore` changes its mind
FAR = 40  # pixels that `run` looks ahead, over pits
SAFE_JUMP = 14  # pixels: over a pit of 3 tiles, with some to spare
MOST_FLIGHT = 40  # steps after which whoever jumped stands again


class Policy(Protocol):
    """A way to play a game."""

    def act(self, state: State, rng: np.random.Generator) -> int:
        """Return the number of the next action."""
        ...


def play(
    game: Game, policy: Policy, state: State, steps: int, rng: np.random.Generator
) -> tuple[list[State], list[int]]:
    """Play from a state on.

    Returns:
        steps + 1 states, the first of which is `state`, and the actions between them: actions[i]
        leads from states[i] to states[i + 1].

    Raises:
        ValueError: less than 0 steps.
    """
    states = [state]
    actions = []
    for _ in range(whole_number("steps", steps, 0, 10**9)):
        action = policy.act(states[-1], rng)
        states.append(game.step(states[-1], action))
        actions.append(action)
    return states, actions


class Wander:
    """Random actions, each of which is kept for a few steps."""

    def __init__(self, game: Game) -> None:
        self.actions = len(game.actions)
        self.hold = HOLD[game.name]
        self.action = 0
        self.left = 0

    def act(self, state: State, rng: np.random.Generator) -> int:
        """Keep the action, or draw another one."""
        if self.left == 0:
            self.action = int(rng.integers(self.actions))
            self.left = int(rng.integers(self.hold[0], self.hold[1] + 1))
        self.left -= 1
        return self.action


class Seek:
    """Play for what there is to gain, with a few random actions.

    In the tile game: walk to the nearest coin, key, door (with a key) or box that can be pushed.
    In the platform game: run to the right, over what is in the way, and turn round now and then.
    """

    def __init__(self, game: Game, mistakes: float | None = None) -> None:
        """Prepare to play a game; `mistakes` is the fraction of random actions (None: usual)."""
        self.actions = len(game.actions)
        self.mistakes = MISTAKES[game.name] if mistakes is None else mistakes
        self.way: Policy = _Gather(game) if game.name == "tiles" else _RunAbout()

    def act(self, state: State, rng: np.random.Generator) -> int:
        """Take the next action on the way, or a random one."""
        if rng.random() < self.mistakes:
            return int(rng.integers(self.actions))
        return self.way.act(state, rng)


class Explore:
    """Wander and seek by turns, 10 to 40 steps each: what training uses.

    In the platform game it also paces, so that what leaves the screen comes back soon.
    """

    def __init__(self, game: Game) -> None:
        self.policies: list[Policy] = [Wander(game), Seek(game)]
        if game.name == "platform":
            self.policies.append(_Pace())
        self.turn: int | None = None  # chance decides who begins
        self.left = 0

    def act(self, state: State, rng: np.random.Generator) -> int:
        """Let the policy act whose turn it is."""
        if self.turn is None:
            self.turn = int(rng.integers(len(self.policies)))
        if self.left == 0:
            onward = int(rng.integers(1, len(self.policies)))  # to one of the others
            self.turn = (self.turn + onward) % len(self.policies)
            self.left = int(rng.integers(SPELL[0], SPELL[1] + 1))
        self.left -= 1
        return self.policies[self.turn].act(state, rng)


# ------------------------------------------------------------------------------------------- tiles

PUSHES = 0.2  # how often a box counts as much as a coin
REST = 6  # steps of wandering when there is nothing to reach


class _Gather:
    """Walk the shortest way to the nearest goal of the tile game."""

    def __init__(self, game: Game) -> None:
        self.wander = Wander(game)
        self.plan: deque[tuple[int, int]] = deque()  # cells and the actions to take there
        self.rest = 0

    def act(self, state: np.ndarray, rng: np.random.Generator) -> int:
        """Follow the plan; make another one where the player is not where the plan has it."""
        if self.rest > 0:
            self.rest -= 1
            return self.wander.act(state, rng)
        cells = state.tobytes()
        here = tiles.player_cell(cells)
        if not self.plan or self.plan[0][0] != here:
            self.plan = self._new_plan(cells, here, rng)
        if not self.plan:
            self.rest = REST
            return self.wander.act(state, rng)
        _, action = self.plan.popleft()
        return action

    def _new_plan(
        self, cells: bytes, here: int, rng: np.random.Generator
    ) -> deque[tuple[int, int]]:
        """The way to the nearest goal; to a box where there is no other goal, or by chance."""
        goals = {tiles.COIN, tiles.DOOR} if cells[here] == tiles.HOLDER else {tiles.COIN, tiles.KEY}
        boxes = goals | {tiles.BOX}
        if rng.random() < PUSHES:
            return shortest_path(cells, here, boxes)
        return shortest_path(cells, here, goals) or shortest_path(cells, here, boxes)


def shortest_path(cells: bytes, here: int, goals: set[int]) -> deque[tuple[int, int]]:
    """Search, nearest first, for a goal that the player can walk onto over floor.

    Args:
        cells: the 64 tiles of a board, row by row. here: the player's position among them.
        goals: kinds of tiles.

    Returns:
        Pairs of a cell on the way and the action to take there; none where no goal is reached.
    """
    came: dict[int, tuple[int, int]] = {}
    queue = deque([here])
    while queue:
        cell = queue.popleft()
        for action in range(1, len(tiles.MOVES)):
            there = tiles.NEIGHBOURS[cell][action]
            onto = cells[there]
            if onto in goals and _can_walk(cells, there, action):
                return _traced(came, here, (cell, action))
            if onto == tiles.FLOOR and there not in came:
                came[there] = (cell, action)
                queue.append(there)
    return deque()


def _can_walk(cells: bytes, there: int, action: int) -> bool:
    """Whether a goal yields: everything does but a box with something behind it."""
    behind = tiles.NEIGHBOURS[there][action]
    return cells[there] not in tiles.PUSHED or cells[behind] == tiles.FLOOR


def _traced(
    came: dict[int, tuple[int, int]], start: int, last: tuple[int, int]
) -> deque[tuple[int, int]]:
    """Follow the search back from its last move to the start."""
    path = deque([last])
    while path[0][0] != start:
        path.appendleft(came[path[0][0]])
    return path


# ---------------------------------------------------------------------------------------- platform

RIGHTWARD = 0.75  # how often a run goes to the right
PACES = (3, 9)  # steps of `_Pace` to one side
RUNS = {1: (30, 90), -1: (10, 30)}  # steps of a run to the right and to the left
WALK = {0: 0, -1: 1, 1: 2}  # numbers of actions, by the direction
JUMP = {0: 3, -1: 4, 1: 5}


def run(state: platform.State, way: int) -> int:
    """Choose the action of a player who runs right (way = 1) or left (−1) and looks ahead.

    It jumps before what is too high or has spikes, and over pits of up to 3 tiles. At a wider pit
    it waits for the moving platform, and on it until the other side is near.
    """
    if not platform.standing(state):
        return WALK[way]
    cells = platform.cells_of(state)
    x, y = state.x, state.y
    if platform.blocked(cells, x + way, y):
        return JUMP[way]
    ahead = x + way * platform.WALK
    if platform.SPIKE in platform.overlapped(cells, ahead, y):
        return JUMP[way]
    if _supported(cells, ahead, y):
        return WALK[way]
    if platform.mover_under(state, ahead, y, state.time + 1):
        return WALK[way]
    for distance in range(platform.WALK + 1, FAR):
        if _supported(cells, x + way * distance, y):
            return JUMP[way] if distance <= SAFE_JUMP else WALK[0]
    return WALK[0]


def _supported(cells: bytes, x: int, y: int) -> bool:
    """Whether there is ground anywhere below a player at x, or the level ends there."""
    if x < 0 or x > platform.LAST_X:
        return True
    heights = range(y + 1, platform.LAST_Y + 1, platform.TILE)
    return any(platform.blocked(cells, x, height) for height in heights)


class _RunAbout:
    """Run to the right, and now and then to the left; turn at the ends of the level."""

    def __init__(self) -> None:
        self.way = 1
        self.left = 0

    def act(self, state: platform.State, rng: np.random.Generator) -> int:
        """Go on with the run, or begin another one."""
        at_the_end = state.x == (platform.LAST_X if self.way == 1 else 0)
        if self.left == 0 or at_the_end:
            self.way = 1 if rng.random() < RIGHTWARD else -1
            self.left = int(rng.integers(RUNS[self.way][0], RUNS[self.way][1] + 1))
        self.left -= 1
        return run(state, self.way)


class _Pace:
    """Run a few steps to one side and as many back, and then as far as chance says."""

    def __init__(self) -> None:
        self.way = 1
        self.length = 0
        self.left = 0

    def act(self, state: platform.State, rng: np.random.Generator) -> int:
        """Go on, turn round, or set out anew."""
        if self.left == 0 and self.length:  # there: now back
            self.way = -self.way
            self.left, self.length = self.length, 0
        elif self.left == 0:
            self.way = 1 if rng.random() < 0.5 else -1
            self.length = int(rng.integers(PACES[0], PACES[1] + 1))
            self.left = self.length
        self.left -= 1
        return run(state, self.way)


class Return:
    """Run to the right for `away` steps, back to the left for as many, and stay there."""

    def __init__(self, away: int) -> None:
        self.away = whole_number("away", away, 1, 10**6)
        self.steps = 0

    def act(self, state: platform.State, rng: np.random.Generator) -> int:
        """Run on; nothing here is chance."""
        self.steps += 1
        if self.steps <= self.away:
            return run(state, 1)
        if self.steps <= 2 * self.away:
            return run(state, -1)
        return WALK[0]


class Stay:
    """Wander and jump where the screen shows no column outside of [first, last].

    It also keeps off spikes and pits, because a death would bring the player back to the start.
    An action is taken if the player then comes to stand on a tile by doing nothing more. Whoever
    begins in the air over a pit, or on a moving platform, cannot always be kept inside.
    """

    def __init__(self, game: Game, first: int, last: int) -> None:
        """Take the columns that may be seen, 0 ≤ first, last ≤ 31, at least 8 of them."""
        self.game = game
        self.first = whole_number("first", first, 0, platform.COLUMNS - platform.SHOWN)
        fewest = self.first + platform.SHOWN - 1
        self.last = whole_number("last", last, fewest, platform.COLUMNS - 1)
        self.wander = Wander(game)

    def act(self, state: platform.State, rng: np.random.Generator) -> int:
        """Do what `Wander` would do if that is safe, or something that is."""
        wish = self.wander.act(state, rng)
        others = [int(action) for action in rng.permutation(len(self.game.actions))]
        for action in (wish, *others):
            if self._is_safe(self.game.step(state, action), state.deaths):
                return action
            self.wander.left = 0  # what is not safe is not kept
        for action in (wish, *others):
            if self._is_inside(self.game.step(state, action)):
                return action
        return wish

    def _is_inside(self, state: platform.State) -> bool:
        shown = platform.columns(state)
        return self.first <= shown[0] and shown[-1] <= self.last

    def _is_safe(self, state: platform.State, deaths: int) -> bool:
        """Whether the player comes to stand on a tile, seeing only what it may see, and alive."""
        for _ in range(MOST_FLIGHT):
            if state.deaths > deaths or not self._is_inside(state):
                return False
            if platform.on_tile(state):
                return True
            state = self.game.step(state, 0)
        return False
