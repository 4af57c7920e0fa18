"""A model's game beside the ground truth, the true game: the same actions, compared step by step.

    levels, a policy ──► true states ──┬─► read ──► what they show
    the first frames, actions ──► Session.step ──► frames ──► read ──► right or wrong, step by step

A frame of *tiles* is right where all 64 tiles are. One of *platform* is right where the player is
within a pixel of his true position; tiles that come back into view are counted by themselves.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from minisora.measure.stats import Figure, fraction_of, fraction_of_groups, wilson_interval
from minisora.play.model import PlayModel
from minisora.world.game import Game, State, frames_of
from minisora.world.platform import FIRST_FLAT, MISSING_PLAYER, columns, on_tile
from minisora.world.policies import Explore, Policy, Return, Stay, play
from minisora.world.tiles import COIN

NEAR = 1  # pixels that the player may be away from his true position
ROUNDS = ((1, 10), (11, 50), (51, 200), (201, 1000))  # steps, as WBench groups them
AGES = ((1, 4), (5, 8), (9, 16), (17, 32), (33, 64))  # steps out of view
WARM_UP = 40  # true steps before a model takes over
MOST_WARM_UP = 100  # times 20 more, until the player has left the start
MakePolicy = Callable[[Game, State], Policy]


@dataclass(frozen=True)
class Games:
    """True games, from the first frame that a model is shown."""

    states: list[list[State]]  # games × (shown + steps)
    led_to: torch.Tensor  # (games, shown + steps): the action before each state; 0 for the first
    shown: int  # how many of the states a model sees


@dataclass(frozen=True)
class Comparison:
    """What a model's frames showed, for each game and each step that it played."""

    right: torch.Tensor  # (games, steps) bool
    frames: torch.Tensor  # (games, steps, 3, H, W) uint8
    readings: Any  # of the model's frames, as `Game.read` gives them, (games, steps, …)
    ground_truth: Any  # the same of the true frames

    def right_by_step(self) -> list[float]:
        """The fraction of games that are right, after each step."""
        fractions = self.right.float().mean(0)
        return [round(fraction, 4) for fraction in fractions.tolist()]


def explore(game: Game, state: State) -> Policy:
    """The policy of training: wanders, and goes for what there is."""
    return Explore(game)


def stay(game: Game, state: State) -> Policy:
    """Wander on the screen that is seen, which scrolls only after a death."""
    seen = columns(state)
    return Stay(game, seen.start, seen.stop - 1)


def draw_games(
    game: Game,
    count: int,
    steps: int,
    shown: int,
    seed: int,
    policy: MakePolicy = explore,
    held_out: bool = False,
) -> Games:
    """Play true games, each on a level of its own, for a model to be held against.

    Args:
        shown: states that the model sees first; more than one come from a warm-up.
        steps: that it plays then, by the policy.
        seed: far from those of training, whose games have the seeds 0, 1, 2 …
    """
    states, actions = [], []
    for number in range(count):
        rng = np.random.default_rng((10_000 + seed, number))
        state = game.new_game(rng, held_out)
        past, taken = [state], [0]
        if shown > 1:
            past, taken = _warm_up(game, state, shown, rng, away=policy is stay)
        start = past[-1]
        then, chosen = play(game, policy(game, start), start, steps, rng)
        states.append(past + then[1:])
        actions.append(taken + chosen)
    return Games(states, torch.tensor(actions), shown)


def _warm_up(
    game: Game, state: State, shown: int, rng: np.random.Generator, away: bool
) -> tuple[list[State], list[int]]:
    """The last states of a warm-up and the actions before them.

    Args:
        away: go on until the player stands where nothing of the start is seen, which is the same
            in every level, or until the level has no such position within reach.
    """
    states, taken = play(game, Explore(game), state, WARM_UP + shown, rng)
    for _ in range(MOST_WARM_UP if away else 0):
        last = states[-1]
        is_away = columns(last).start >= FIRST_FLAT
        if is_away and on_tile(last):
            break
        more, actions = play(game, Explore(game), last, 20, rng)
        states += more[1:]
        taken += actions
    between = taken[-shown + 1 :]
    return states[-shown:], [0, *between]


def follow(game: Game, games: Games, actions: Sequence[int]) -> Games:
    """Go on with the first of some true games by these actions."""
    states = list(games.states[0])
    for action in actions:
        states.append(game.step(states[-1], action))
    chosen = torch.tensor([list(actions)])
    led_to = torch.cat([games.led_to[:1], chosen], dim=1)
    return Games([states], led_to, games.shown)


def run_model(model: PlayModel, games: Games, seed: int = 0, **options: Any) -> torch.Tensor:
    """Let a model play the actions of true games.

    Args:
        options: of `PlayModel.begin`.

    Returns:
        its frames (games, steps, 3, H, W) uint8, without those that it was shown.
    """
    first = draw_frames(model.game, games, 0, games.shown)
    generator = torch.Generator().manual_seed(seed)
    before = games.led_to[:, 1 : games.shown]
    session = model.begin(first, before, generator=generator, **options)
    frames = []
    played = games.led_to[:, games.shown :]
    for actions in played.T:
        frame = session.step(actions).float().cpu()
        levels = (frame + 1) * 127.5
        frames.append(levels.round().to(torch.uint8))
    return torch.stack(frames, dim=1)


def draw_frames(game: Game, games: Games, begin: int, end: int) -> torch.Tensor:
    """Pictures of true states: (games, end − begin, 3, H, W) in [-1, 1]."""
    chosen = []
    for states in games.states:
        chosen += states[begin:end]
    frames = frames_of(game, chosen)
    return frames.unflatten(0, (len(games.states), end - begin))


def first_clip(game: Game, games: Games, frames: torch.Tensor) -> torch.Tensor:
    """What a model was shown of the first game, and then generated: (3, T, H, W) in [-1, 1].

    Args:
        frames: (games, steps, 3, H, W) uint8, as from `run_model`.
    """
    shown = draw_frames(game, games, 0, games.shown)[0]
    generated = frames[0].float() / 127.5 - 1
    return torch.cat([shown, generated]).transpose(0, 1)


def compare(
    model: PlayModel,
    count: int,
    steps: int,
    seed: int = 0,
    policy: MakePolicy = explore,
    held_out: bool = False,
    **options: Any,
) -> Comparison:
    """Play games that the model never saw, and read its frames and the true ones.

    Args:
        count: of games. Others as in `draw_games` and `PlayModel.begin`.
    """
    context = options.get("context") or model.preset.context
    games = draw_games(model.game, count, steps, context, seed, policy, held_out)
    return compare_games(model, games, seed, **options)


def compare_games(model: PlayModel, games: Games, seed: int = 0, **options: Any) -> Comparison:
    """Play some games, and read the model's frames and the true ones."""
    frames = run_model(model, games, seed, **options)
    readings = [model.game.read(row) for row in frames]
    rendered = [model.game.render(states[games.shown :]) for states in games.states]
    ground_truth = [model.game.read(row) for row in rendered]
    pairs = zip(readings, ground_truth, strict=True)
    right = torch.stack([is_right(reading, true) for reading, true in pairs])
    return Comparison(right, frames, readings, ground_truth)


def is_right(reading: Any, ground_truth: Any) -> torch.Tensor:
    """Whether each of T frames shows the true state, by readings of it and of the true frame."""
    if isinstance(reading, np.ndarray):  # tiles
        same = reading == ground_truth
        return torch.from_numpy(same.all(axis=(1, 2)))
    offset = np.asarray(reading.player) - np.asarray(ground_truth.player)
    distance = np.abs(offset).max(axis=1)
    found = np.asarray(reading.error) < MISSING_PLAYER
    return torch.from_numpy((distance <= NEAR) & found)


def known_ground(given: Sequence[State], states: Sequence[State]) -> np.ndarray:
    """Which columns of tiles on the screen a model can know: (T, columns) bool.

    These are the columns that were on the screen in what it was shown, and those of the start,
    which is the same in every level. A board of *tiles* is on the screen as a whole.

    Args:
        given: the states that the model was shown, one or more.
        states: T states, of the same game.
    """
    if isinstance(given[0], np.ndarray):  # tiles
        return np.ones((len(states), given[0].shape[1]), dtype=bool)
    known = set(range(FIRST_FLAT))
    for state in given:
        known.update(columns(state))
    return np.array([[column in known for column in columns(state)] for state in states])


def same_tiles(reading: Any, ground_truth: Any, known: np.ndarray) -> torch.Tensor:
    """Whether each of T frames shows the true tiles, where nobody stands before them.

    Args:
        known: (T, columns) bool, as from `known_ground`; other columns do not count.
    """
    if isinstance(reading, np.ndarray):
        return is_right(reading, ground_truth)
    covered = ground_truth.covered | reading.covered
    same = reading.tiles == ground_truth.tiles
    agrees = same | covered | ~known[:, None]
    return torch.from_numpy(agrees.all(axis=(1, 2)))


def repeated(game: Game, games: Games) -> torch.Tensor:
    """Whether the last frame that was shown, repeated, would be right: (games, steps)."""
    rows = []
    for states in games.states:
        reading = game.read(game.render(states[games.shown - 1 :]))
        steps = len(states) - games.shown
        if isinstance(reading, np.ndarray):
            still = np.repeat(reading[:1], steps, axis=0)
            rows.append(is_right(still, reading[1:]))
        else:
            players = np.asarray(reading.player)
            offset = players[1:] - players[:1]
            distance = np.abs(offset).max(axis=1)
            rows.append(torch.from_numpy(distance <= NEAR))
    return torch.stack(rows)


# ------------------------------------------------------------------------------------- the figures


def by_round(right: torch.Tensor) -> dict[str, Figure]:
    """The fraction of right frames in each round of steps, each game counted as one draw."""
    figures = {}
    for first, last in ROUNDS:
        part = right[:, first - 1 : last].float()
        if part.shape[1]:
            mean = float(part.mean())
            n = len(part)
            end = min(last, right.shape[1])
            successes = round(mean * n)
            interval = wilson_interval(successes, n)
            figures[f"steps {first} to {end}"] = interval | {"value": round(mean, 4)}
    return figures


def after(
    right: torch.Tensor, steps: Sequence[int], among: torch.Tensor | None = None
) -> dict[str, Figure | None]:
    """The fraction of games that are right after some numbers of steps.

    Args:
        right: (games, steps) bool.
        among: (games, steps) bool, the games that count at each step; None is all.
    """
    figures = {}
    for step in steps:
        if step > right.shape[1]:
            continue
        flags = right[:, step - 1]
        if among is not None:
            flags = flags[among[:, step - 1]]
        figures[f"after {step} steps"] = fraction_of(flags.tolist())
    return figures


def coins_stay_away(found: Comparison) -> Figure | None:
    """Of the coins that the player took, those that the model's frames never show again."""
    games = []
    for reading, ground_truth in zip(found.readings, found.ground_truth, strict=True):
        kept_away = []
        coins = ground_truth == COIN  # (T, 8, 8)
        shown_coins = reading == COIN
        for row, column in np.argwhere(coins.any(axis=0)):
            there = coins[:, row, column]
            shown = shown_coins[:, row, column]
            taken = int(there.sum())  # a coin never comes back, so it is there in the first steps
            if taken < len(there):
                comes_back = shown[taken:].any()
                kept_away.append(bool(shown[taken - 1] and not comes_back))
        games.append(kept_away)
    return fraction_of_groups(games)


def is_known(games: Games, context: int) -> torch.Tensor:
    """Whether all that came into view had been seen at most `context` steps before: (games, steps).

    Where something came that the model cannot know, nothing after it counts as known.
    """
    known = []
    for states in games.states:
        seen: dict[int, int] = {}
        still = True
        row = []
        for step, state in enumerate(states):
            for column in columns(state):
                age = step - seen.get(column, -context - 1)
                if step >= games.shown and age > context:
                    still = False
                seen[column] = step
            row.append(still)
        known.append(row[games.shown :])
    return torch.tensor(known)


def measure_tiles(
    model: PlayModel, count: int, steps: int, seed: int, say: Callable[[str], Any], **options: Any
) -> dict[str, Any]:
    """The figures of the tile game."""
    table: dict[str, Any] = {}
    for name, held_out, length in (
        ("new levels", False, steps),
        ("crowded levels", True, min(steps, 200)),
    ):
        say(f"{name}, {length} steps")
        games = draw_games(model.game, count, length, 1, seed, held_out=held_out)
        found = compare_games(model, games, seed, **options)
        table[name] = {
            "every tile right": after(found.right, (50, 200, 1000)),
            "frames right": by_round(found.right),
            "a taken coin stays away": coins_stay_away(found),
            "last frame repeated": after(repeated(model.game, games), (50, 200, 1000)),
            "curve": found.right_by_step(),
        }
    return table


def measure_platform(
    model: PlayModel, count: int, steps: int, seed: int, say: Callable[[str], Any], **options: Any
) -> dict[str, Any]:
    """The figures of the platform game."""
    context = options.get("context") or model.preset.context
    table: dict[str, Any] = {}
    for name, policy, held_out in (
        ("one screen", stay, False),
        ("one screen, harder levels", stay, True),
        ("all ground", explore, False),
    ):
        say(f"{name}, {steps} steps")
        games = draw_games(model.game, count, steps, context, seed, policy, held_out)
        found = compare_games(model, games, seed, **options)
        table[name] = {
            "player within a pixel": after(found.right, (50, 200)),
            "frames right": by_round(found.right),
            "last frame repeated": after(repeated(model.game, games), (50, 200)),
            "curve": found.right_by_step(),
        }
        if policy is explore:
            known = is_known(games, context)
            table[name]["ground that the context holds"] = after(found.right, (50, 200), known)
    options = {**options, "context": context}
    table["what comes back"] = measure_memory(model, count, seed, say, **options)
    return table


def measure_memory(
    model: PlayModel,
    count: int,
    seed: int,
    say: Callable[[str], Any],
    context: int,
    away: Sequence[int] = (6, 10, 16, 28),
    **options: Any,
) -> dict[str, Any]:
    """How well what left the screen comes back, by the steps that it was out of view.

    A player walks away, which the model is shown, and back, which it plays. A column of tiles that
    comes into view is right where all its tiles are that no one stands before. Columns of the
    start, which is the same in every level, do not count: the weights know them by heart.

    Args:
        context: frames that the model sees. away: steps of the way there.
    """
    flags: dict[tuple[int, int], list[list[bool]]] = {ages: [] for ages in AGES}  # game by game
    walks_each = max(count // len(away), 1)
    for steps in away:
        say(f"what comes back: {steps} steps away, {context} frames of context")
        games = walks(model.game, walks_each, steps, seed)
        found = compare_games(model, games, seed, context=context, **options)
        for row, states in enumerate(games.states):
            returned = columns_back(states, found, row, games.shown)
            for (first, last), of_games in flags.items():
                of_games.append([right for age, right in returned if first <= age <= last])
    return {
        f"{first} to {last} steps out of view": fraction_of_groups(of_games)
        for (first, last), of_games in flags.items()
    }


def walks(game: Game, count: int, away: int, seed: int) -> Games:
    """True games in which a player walks away, which is shown, and back."""
    rows, actions = [], []
    for number in range(count):
        rng = np.random.default_rng((20_000 + seed, away, number))
        first = game.new_game(rng)
        warm_up, _ = play(game, Explore(game), first, WARM_UP, rng)
        steps = 2 * away + 4
        states, taken = play(game, Return(away), warm_up[-1], steps, rng)
        rows.append(states)
        actions.append([0, *taken])
    return Games(rows, torch.tensor(actions), away + 1)


def columns_back(
    states: list[State], found: Comparison, row: int, shown: int
) -> list[tuple[int, bool]]:
    """For each column that comes into view again: steps out of view, and whether it is right."""
    reading, ground_truth = found.readings[row], found.ground_truth[row]
    seen: dict[int, int] = {}
    returned = []
    for step, state in enumerate(states):
        view = columns(state)
        played = step - shown
        for position, column in enumerate(view):
            age = step - seen.get(column, step)
            if played >= 0 and age > 1 and column >= FIRST_FLAT:
                tiles = reading.tiles[played, :, position]
                same = tiles == ground_truth.tiles[played, :, position]
                covered = ground_truth.covered[played, :, position]
                is_same = bool((same | covered).all())
                returned.append((age - 1, is_same))
            seen[column] = step
    return returned


# ----------------------------------------------------------------------------------------- the time


def seconds_a_frame(model: PlayModel, frames: int = 200, **options: Any) -> list[float]:
    """Time of each of some steps of play, in seconds, one game alone."""
    games = draw_games(model.game, 1, frames + 5, model.preset.context, seed=0)
    first = draw_frames(model.game, games, 0, games.shown)
    before = games.led_to[:, 1 : games.shown]
    session = model.begin(first, before, **options)
    times = []
    played = games.led_to[:, games.shown :]
    for actions in played.T:
        began = time.perf_counter()
        session.step(actions).cpu()  # which waits for a GPU
        times.append(time.perf_counter() - began)
    return times[5:]


MEASURES = {"tiles": (measure_tiles, 1000), "platform": (measure_platform, 200)}


def measure_play(
    model: PlayModel,
    games: int = 256,
    seed: int = 0,
    say: Callable[[str], Any] = print,
    steps: int | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Hold a model against games that nobody played before.

    Args:
        games: for each figure.
        say: is told what is measured now.
        steps: of the longest games; None is 1,000 in *tiles* and 200 in *platform*.
        options: of `PlayModel.begin`.

    Returns:
        figures with 95 % intervals, by name; and "milliseconds a frame" of one game alone.
    """
    measure, most = MEASURES[model.game.name]
    table = measure(model, games, steps or most, seed, say, **options)
    times = sorted(seconds_a_frame(model, **options))
    median = times[len(times) // 2]
    table["milliseconds a frame"] = round(1000 * median, 1)
    return table
