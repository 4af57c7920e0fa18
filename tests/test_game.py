"""Games: their rules, their pictures, what can be read from these, and how policies play."""

import itertools

import numpy as np
import pytest
import torch

from minisora.world import platform, tiles
from minisora.world.game import GAMES, Game, action_number, frames_of, game_of, read_actions
from minisora.world.platform import Mover, State
from minisora.world.policies import Explore, Return, Seek, Stay, Wander, play
from minisora.world.tiles import board_from_text

NONE, LEFT, RIGHT, JUMP, JUMP_LEFT, JUMP_RIGHT = range(6)  # of the platform game
TILES = GAMES["tiles"]
PLATFORM = GAMES["platform"]


@pytest.fixture(params=GAMES)
def game(request) -> Game:
    return game_of(request.param)


def games(game: Game, count: int):
    """New games, half of them held out, each with its generator."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        yield game.new_game(rng, held_out=seed % 2 == 1), rng


def explored(game: Game, count: int, steps: int) -> list:
    """States of several games."""
    states = []
    for state, rng in games(game, count):
        states += play(game, Explore(game), state, steps, rng)[0]
    return states


def noisy(frames: torch.Tensor, std: float = 20.0) -> torch.Tensor:
    noise = torch.randn(frames.shape, generator=torch.Generator().manual_seed(0))
    return (frames + std * noise).clamp(0, 255)


def is_equal(a, b) -> bool:
    return a == b if isinstance(a, State) else np.array_equal(a, b)


# --------------------------------------------------------------------------------------- both games


def test_a_step_is_a_function_and_leaves_its_state_as_it_is(game):
    for state in explored(game, 4, 30):
        before = game.render([state])
        for action in range(len(game.actions)):
            assert is_equal(game.step(state, action), game.step(state, action))
        assert torch.equal(game.render([state]), before)


def test_states_cannot_be_written(game):
    for state in explored(game, 1, 3):
        array = state.level if isinstance(state, State) else state
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 0


@pytest.mark.parametrize("action", [-1, 6, 1.5, "up"])
def test_a_step_refuses_what_is_no_action(game, action):
    state = game.new_game(np.random.default_rng(0))
    with pytest.raises(ValueError, match="action="):
        game.step(state, action)


def test_frames_are_bytes_and_one_at_a_time_are_the_same(game):
    states = explored(game, 2, 20)
    frames = game.render(states)
    assert frames.dtype == torch.uint8
    assert frames.shape == (len(states), 3, game.height, game.width)
    assert torch.equal(frames, torch.cat([game.render([state]) for state in states]))
    assert game.render([]).shape == (0, 3, 32, 32)
    seen = frames_of(game, states)
    assert seen.dtype == torch.float32 and seen.min() < 0 and seen.abs().max() <= 1
    assert torch.equal(((seen + 1) * 127.5).round(), frames.float())


def test_the_seed_decides_a_game(game):
    first, second = (explored(game, 2, 50) for _ in range(2))
    assert all(map(is_equal, first, second))


def test_read_refuses_other_shapes(game):
    with pytest.raises(ValueError, match=r"\(T, 3, 32, 32\)"):
        game.read(torch.zeros(3, 32, 32))


def test_game_of_names_the_known_ones():
    with pytest.raises(ValueError, match="tiles, platform"):
        game_of("chess")


def test_actions_have_names_signs_and_letters(game):
    for number, name in enumerate(game.actions):
        assert action_number(game, name) == action_number(game, f" {name.upper()} ") == number
    for sign, name in {"→": "right", "←": "left", "l": "left", ".": "none", "_": "none"}.items():
        assert game.actions[action_number(game, sign)] == name
    up = "up" if game is TILES else "jump"
    assert game.actions[action_number(game, "↑")] == up


def test_actions_are_read_from_a_line():
    assert read_actions(TILES, "→→↑.") == [4, 4, 1, 0]
    assert read_actions(TILES, "rruud") == [4, 4, 1, 1, 2]
    assert read_actions(TILES, "right, up,down none") == [4, 1, 2, 0]
    assert read_actions(PLATFORM, "jump left, jump right") == [JUMP_LEFT, JUMP_RIGHT]
    assert read_actions(PLATFORM, "jump, left jump") == [JUMP, LEFT, JUMP]
    assert read_actions(PLATFORM, "→ e q j ↑u") == [2, 5, 4, 3, 3, 3]
    assert read_actions(PLATFORM, " ") == []


@pytest.mark.parametrize(
    ("game", "text", "known"),
    [(TILES, "j", "up"), (TILES, "rx", "up"), (PLATFORM, "down", "jump left"), (TILES, "", "up")],
)
def test_unknown_actions_are_refused(game, text, known):
    with pytest.raises(ValueError, match=rf"is not known in {game.name}.*{known}"):
        action_number(game, text)


# -------------------------------------------------------------------------------------------- tiles


@pytest.mark.parametrize(
    ("before", "actions", "after"),
    [
        ("P..", "r", ".P."),
        ("P#.", "r", "P#."),
        ("P..", "lu.", "P.."),  # the edges of the frame
        ("Po.", "r", ".P."),
        ("Pk.", "r", ".H."),
        ("Hk.", "r", ".H."),
        ("Ho.", "r", ".H."),
        ("H#.", "r", "H#."),
        ("HD.", "r", ".P."),
        ("PD.", "r", "PD."),
        ("PkD.", "rrr", "...P"),
        ("PB.", "r", ".PB"),
        ("HB.", "r", ".HB"),
        ("PB.", "rl", "P.B"),  # it is not pulled
        ("PB#", "r", "PB#"),
        ("PBo", "r", "PBo"),
        ("PBB.", "r", "PBB."),
        ("PB......", "rrrrrrrr", "......PB"),  # the edge stops it
    ],
)
def test_rules_of_tiles(before, actions, after):
    board = board_from_text(before)
    for action in read_actions(TILES, actions):
        board = TILES.step(board, action)
    assert np.array_equal(board, board_from_text(after))


@pytest.mark.parametrize("action", range(5))
def test_each_direction_goes_its_way(action):
    board = board_from_text("... .P. ...")
    row, column = np.argwhere(TILES.step(board, action) == tiles.PLAYER)[0]
    assert (row - 1, column - 1) == list(tiles.MOVES.values())[action]


@pytest.mark.parametrize("text", ["...", "", "PP", "P" + 8 * ".", " ".join(9 * ["P"]), "Px"])
def test_a_board_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match=r"a board has|is no tile"):
        board_from_text(text)


def test_a_board_without_a_player_has_no_next_step():
    with pytest.raises(ValueError, match="no player"):
        TILES.step(np.zeros((8, 8), dtype=np.int8), 0)


def test_coins_and_keys_do_not_come_back_and_boxes_stay_as_many():
    for state, rng in games(TILES, 10):
        states, _ = play(TILES, Explore(TILES), state, 200, rng)
        for before, after in itertools.pairwise(states):
            assert (after == tiles.BOX).sum() == 2
            assert (after >= tiles.PLAYER).sum() == 1
            for kind in (tiles.COIN, tiles.KEY, tiles.DOOR):
                assert not ((after == kind) & (before != kind)).any()
            assert ((after == tiles.WALL) == (before == tiles.WALL)).all()


def test_new_boards_hold_everything_and_held_out_ones_more_walls():
    rng = np.random.default_rng(0)
    walls = {}
    for held_out in (False, True):
        boards = np.stack([TILES.new_game(rng, held_out) for _ in range(200)])
        counts = [(boards == kind).sum((1, 2)) for kind in range(len(tiles.KINDS))]
        for name, count in tiles.THINGS.items():
            assert (counts[tiles.NUMBERS[name]] == count).all()
        walls[held_out] = counts[tiles.WALL].mean() / 64
    assert walls[False] == pytest.approx(0.18, abs=0.02)
    assert walls[True] == pytest.approx(0.30, abs=0.03)


def test_boards_are_read_from_their_frames():
    states = explored(TILES, 20, 24)
    assert {kind for board in states for kind in board.flat} == set(range(len(tiles.KINDS)))
    frames = TILES.render(states)
    assert np.array_equal(TILES.read(frames), np.stack(states))
    assert np.array_equal(TILES.read(noisy(frames)), np.stack(states))


def test_seek_takes_most_coins():
    left = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        states, _ = play(TILES, Seek(TILES), TILES.new_game(rng), 200, rng)
        left.append(int((states[-1] == tiles.COIN).sum()))
    assert np.mean(np.array(left) <= 1) > 0.8


# ----------------------------------------------------------------------------------------- platform


def level_of(*rows: str) -> np.ndarray:
    """A level from its lowest rows: letters of "#" ground, "^" spike, "." sky."""
    kinds = {"#": platform.GRASS, "^": platform.SPIKE, ".": platform.SKY}
    level = np.zeros((8, 32), dtype=np.int8)
    for row, line in enumerate(rows, 8 - len(rows)):
        level[row] = [kinds[letter] for letter in line.ljust(32, line[-1])]
    level.setflags(write=False)
    return level


def walked(state: State, actions) -> list[State]:
    states = [state]
    for action in actions:
        states.append(PLATFORM.step(states[-1], action))
    return states


def standing_at(x: int, *rows: str, y: int = 20, platforms: tuple[Mover, ...] = ()) -> State:
    return State(level_of(*rows), platforms, x, y)


FLAT = ("#", "#")


def test_a_jump_is_as_high_and_as_far_as_the_rules_say():
    states = walked(standing_at(20, *FLAT), [JUMP_RIGHT] + 12 * [RIGHT])
    heights = [20 - state.y for state in states]
    assert heights[:10] == [0, 4, 7, 9, 10, 10, 9, 7, 4, 0]
    assert max(heights) == platform.JUMP_HEIGHT
    landed = platform.JUMP_STEPS
    assert states[landed].x == 20 + landed * platform.WALK
    assert states[landed].vy == 0 and not any(heights[landed:])


def test_nobody_jumps_in_the_air():
    once = walked(standing_at(20, *FLAT), [JUMP] + 9 * [NONE])
    held = walked(standing_at(20, *FLAT), 10 * [JUMP])
    assert [state.y for state in once[:10]] == [state.y for state in held[:10]]
    assert held[10].y < once[10].y  # the next jump


def test_who_stands_does_not_fall_and_who_does_not_falls():
    for state in explored(PLATFORM, 10, 100):
        after = PLATFORM.step(state, NONE)
        if after.deaths > state.deaths:
            continue
        if platform.standing(state):
            assert after.y == state.y and after.vy == 0
        elif state.vy >= 0:
            assert after.y > state.y


def test_tiles_stop_the_player_at_the_pixel():
    wall = (5 * "." + "#" + 20 * ".", "#", "#")
    states = walked(standing_at(13, *wall), 3 * [RIGHT])
    assert [state.x for state in states] == [13, 15, 16, 16]  # the wall begins at 20
    ceiling = ("#", ".", ".", "#")
    states = walked(standing_at(13, *ceiling, y=24), [JUMP, NONE, NONE])
    assert [state.y for state in states] == [24, 20, 21, 23]
    edge = walked(standing_at(1, *FLAT), [LEFT, LEFT])
    assert edge[-1].x == 0


def test_the_player_is_never_inside_a_tile():
    policies = itertools.cycle([Wander(PLATFORM), Seek(PLATFORM)])
    for state, rng in games(PLATFORM, 10):
        states, _ = play(PLATFORM, next(policies), state, 500, rng)
        for state in states:
            assert not platform.blocked(platform.cells_of(state), state.x, state.y)
            assert 0 <= state.x <= platform.LAST_X and 0 <= state.y <= platform.LAST_Y
            assert 0 <= state.x - platform.camera_x(state.x) <= 28


@pytest.mark.parametrize(
    "rows", [(8 * "." + "^....", "#", "#"), (8 * "#" + "......", 8 * "#" + ".")]
)
def test_spikes_and_pits_lead_back_to_the_start(rows):
    states = walked(standing_at(20, *rows), 12 * [RIGHT])
    ends = [state.deaths for state in states].index(1)
    assert (states[ends].x, states[ends].y, states[ends].vy) == (*platform.START, 0)
    assert states[ends].time == ends


def test_moving_platforms_carry_and_go_back_and_forth():
    mover = Mover(left=40, right=48, y=24, phase=0)
    assert [mover.x(time) for time in (0, 1, 8, 9, 16, 17)] == [40, 41, 48, 47, 40, 41]
    pit = 2 * (10 * "#" + 4 * "." + "#",)
    states = walked(standing_at(42, *pit, platforms=(mover,)), 16 * [NONE])
    assert [state.x - mover.x(state.time) for state in states] == 17 * [2]
    assert {state.y for state in states} == {20}
    walker = walked(states[0], [RIGHT])[-1]
    assert walker.x == 42 + 1 + platform.WALK


def test_a_moving_platform_is_solid_from_above_only():
    mover = Mover(left=40, right=41, y=16, phase=0)
    states = walked(standing_at(42, *FLAT, platforms=(mover,)), [JUMP] + 9 * [NONE])
    assert min(state.y for state in states) == 10  # it rose through the platform
    assert states[-1].y == 12 and platform.standing(states[-1])
    assert not platform.on_tile(states[-1])


def test_two_frames_and_an_action_decide_where_the_player_goes():
    seen: dict = {}
    repeated = 0
    for state, rng in games(PLATFORM, 6):
        states, actions = play(PLATFORM, Explore(PLATFORM), state, 1500, rng)
        frames = PLATFORM.render(states).numpy()
        for i, action in enumerate(actions[1:], 1):
            if states[i + 1].deaths > states[i - 1].deaths:
                continue
            key = (frames[i - 1].tobytes(), frames[i].tobytes(), action)
            move = (states[i + 1].x - states[i].x, states[i + 1].y - states[i].y)
            if key in seen:
                repeated += 1
            assert seen.setdefault(key, move) == move
    assert repeated > 500


def test_what_comes_back_is_what_it_was():
    for state, rng in games(PLATFORM, 10):
        states, _ = play(PLATFORM, Return(30), state, 60, rng)
        assert len({platform.columns(state) for state in states}) > 2
        reading = PLATFORM.read(PLATFORM.render(states))
        level: dict = {}
        for t, state in enumerate(states):
            for i, column in enumerate(platform.columns(state)):
                for row in np.flatnonzero(~reading.covered[t, :, i]):
                    kind = reading.tiles[t, row, i]
                    assert level.setdefault((row, column), kind) == kind == state.level[row, column]


def test_all_levels_begin_alike_and_can_be_passed():
    starts = set()
    for seed in range(12):
        state = PLATFORM.new_game(np.random.default_rng(seed), held_out=seed % 2 == 1)
        starts.add(PLATFORM.render([state]).numpy().tobytes())
        assert 1 <= len(state.platforms) <= 2
        assert can_be_passed(state)
    assert len(starts) == 1


def can_be_passed(state: State) -> bool:
    """Whether some actions lead to the end of the level without a death."""
    periods = [2 * (mover.right - mover.left) for mover in state.platforms]
    period = int(np.lcm.reduce(periods))
    seen = set()
    stack = [state]
    while stack:
        state = stack.pop()
        key = (state.x, state.y, state.vy, state.time % period)
        if state.deaths or key in seen:
            continue
        if state.x == platform.LAST_X:
            return True
        seen.add(key)
        stack += [PLATFORM.step(state, action) for action in (NONE, RIGHT, JUMP_RIGHT)]
    return False


def test_held_out_levels_are_harder():
    spikes = {}
    for held_out in (False, True):
        rng = np.random.default_rng(0)
        states = [PLATFORM.new_game(rng, held_out) for _ in range(100)]
        spikes[held_out] = np.mean([(state.level == platform.SPIKE).sum() for state in states])
    assert spikes[True] > 1.5 * spikes[False]


def true_cover(state: State) -> np.ndarray:
    """Which of the 8×8 tiles the player or a moving platform hides."""
    hidden = np.zeros((32, 128), dtype=bool)
    hidden[state.y : state.y + 4, state.x : state.x + 4] = True
    for mover in state.platforms:
        x = mover.x(state.time)
        hidden[mover.y : mover.y + 2, x : x + 8] = True
    camera = platform.camera_x(state.x)
    return hidden[:, camera : camera + 32].reshape(8, 4, 8, 4).any((1, 3))


@pytest.mark.parametrize("std", [0, 20])
def test_the_screen_is_read_from_its_frames(std):
    states = explored(PLATFORM, 20, 24)
    frames = PLATFORM.render(states)
    reading = PLATFORM.read(noisy(frames, std) if std else frames)
    where = [(state.x - platform.camera_x(state.x), state.y) for state in states]
    assert np.array_equal(reading.player, where)
    assert (reading.error < platform.MISSING_PLAYER).all()
    shown = np.stack([state.level[:, list(platform.columns(state))] for state in states])
    assert np.array_equal(reading.tiles[~reading.covered], shown[~reading.covered])
    cover = np.stack([true_cover(state) for state in states])
    assert not (cover & ~reading.covered).any()
    assert (reading.covered & ~cover).mean() < 0.001


def test_a_missing_player_is_told():
    states = explored(PLATFORM, 10, 20)
    tiles_only = np.stack([state.level[:, list(platform.columns(state))] for state in states])
    frames = tiles.draw_tiles(tiles_only, platform.PATTERNS)
    assert (PLATFORM.read(noisy(frames)).error > platform.MISSING_PLAYER).all()


def test_seek_reaches_the_end_of_most_levels():
    reached = []
    for state, rng in games(PLATFORM, 20):
        states, _ = play(PLATFORM, Seek(PLATFORM), state, 400, rng)
        reached.append(max(state.x for state in states))
    assert np.mean(np.array(reached) == platform.LAST_X) > 0.7


def test_stay_shows_no_other_column():
    for state, rng in games(PLATFORM, 10):
        states, _ = play(PLATFORM, Seek(PLATFORM), state, 60, rng)
        state = [s for s in states if platform.on_tile(s)][-1]
        shown = platform.columns(state)
        first, last = max(shown[0] - 2, 0), min(shown[-1] + 2, 31)
        states, actions = play(PLATFORM, Stay(PLATFORM, first, last), state, 100, rng)
        assert all(first <= c[0] and c[-1] <= last for c in map(platform.columns, states))
        assert states[-1].deaths == states[0].deaths
        assert len(set(actions)) >= 4 and len({state.x for state in states}) > 4


def test_return_goes_away_and_comes_back():
    back = []
    for seed in range(20):
        state = PLATFORM.new_game(np.random.default_rng(seed))
        states, actions = play(PLATFORM, Return(25), state, 55, np.random.default_rng(0))
        assert states[25].x > state.x + 16
        assert set(actions[50:]) == {NONE}
        back.append(abs(states[-1].x - state.x))
    assert np.mean(np.array(back) <= 8) > 0.8


@pytest.mark.parametrize(
    "make",
    [lambda: Return(0), lambda: Stay(PLATFORM, 0, 6), lambda: play(TILES, Wander(TILES), 0, -1, 0)],
)
def test_policies_refuse_what_they_cannot_do(make):
    with pytest.raises(ValueError, match="too few"):
        make()
