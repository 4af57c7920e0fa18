"""The player without a browser: both worlds, undo, keys, the clock, slow motion, memory."""

import asyncio
import gc
import html
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from minisora.play.model import PlayModel
from minisora.widgets import player as module
from minisora.widgets.player import (
    SLOW_STEPS,
    Differences,
    Play,
    Player,
    action_of,
    differences,
    draw_map,
    keys_of,
    read_keys,
    render_player,
)
from minisora.world.game import GAMES, game_of
from minisora.world.platform import BRICK, columns
from minisora.world.tiles import board_from_text
from tests.conftest import small_play_model

ipywidgets = pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")
CONTEXT = {"tiles": 1, "platform": 4}
ALL = np.ones(8, dtype=bool)  # every column of the screen is known


def tiny(name: str) -> PlayModel:
    """A small untrained model of a game, with a short context."""
    return small_play_model(f"play-{name}", context=CONTEXT[name])


@pytest.fixture(params=GAMES)
def name(request) -> str:
    return request.param


@pytest.fixture
def play(name) -> Play:
    return Play(tiny(name))


@pytest.fixture
def player(name) -> Player:
    return Player(tiny(name))


def send(player: Player, *events: str) -> None:
    """What the page would write into the hidden line; events are "down ArrowUp"."""
    numbered = [f"{event} {player.newest + 1 + i}" for i, event in enumerate(events)]
    player.line.value = ",".join(numbered)


def recorded(player: Player, monkeypatch) -> list[str]:
    """The names of the actions that a player will have made."""
    made: list[str] = []
    step = player.play.step

    def spy(action: int) -> None:
        step(action)
        made.append(player.game.actions[action])

    monkeypatch.setattr(player.play, "step", spy)
    return made


# ------------------------------------------------------------------------------- without controls


def test_a_step_is_the_same_action_in_both_worlds(play):
    model = play.model
    other = Play(model).session
    for action in range(len(play.game.actions)):
        expected = play.game.step(play.now.state, action)
        frame = other.step(action)
        play.step(action)
        assert torch.equal(play.game.render([expected]), play.game.render([play.now.state]))
        assert torch.equal(play.session.frame, frame)
        assert int(play.now.snapshot.led_to[0, -1]) == action
    assert play.now.number == len(play.game.actions)


def test_undo_goes_back_in_both_worlds(play):
    moments, frames = [], []
    for action in (1, 2, 0, 1):
        moments.append(play.now)
        frames.append(play.frame)
        play.step(action)
    for moment, frame in zip(reversed(moments), reversed(frames), strict=True):
        assert play.undo()
        assert play.now is moment and np.array_equal(play.frame, frame)
        assert play.session.now is moment.snapshot
        for cache, kept in zip(play.session.caches, moment.snapshot.kept, strict=True):
            assert cache.kept is kept
    assert not play.undo(), "there is nothing before the first frame"
    play.step(1)
    assert play.now.number == 1


def test_after_undo_the_same_noise_gives_the_same_frame(play):
    play.step(1)
    play.step(2)
    noise = play.generator.get_state()
    play.step(1)
    frame = play.frame
    play.undo()
    play.generator.set_state(noise)
    play.step(1)
    assert np.array_equal(play.frame, frame)


def test_a_wrong_action_changes_nothing(play):
    before, noise = play.now, play.generator.get_state()
    for action in (-1, 6, "up", 1.5):
        with pytest.raises(ValueError, match="action"):
            play.step(action)
    assert play.now is before and torch.equal(play.generator.get_state(), noise)


def storage(play: Play) -> int:
    """Bytes that all moments keep alive, each storage counted once."""
    moments = [play.now, *play.past]
    parts = [part for moment in moments for part in moment.snapshot.kept if part is not None]
    parts += [moment.snapshot.tokens for moment in moments]
    parts += [cache.kept for cache in play.session.caches if cache.kept is not None]
    found = {part.untyped_storage().data_ptr(): part.untyped_storage().nbytes() for part in parts}
    return sum(found.values())


def objects() -> int:
    """Number of all objects that can hold others, as moments, states and tensors."""
    gc.collect()
    return len(gc.get_objects())


def test_memory_does_not_grow(name):
    play = Play(tiny(name), history=20)
    for step in range(200):
        play.step(step % len(play.game.actions))
        if step == 99:
            before, objects_before = storage(play), objects()
    assert objects() - objects_before < 50, "fewer than one for every second step"
    assert storage(play) == before > 0
    assert len(play.past) == 20
    assert play.past[0].number == 180


def test_the_words_say_when_the_truth_was_left(play, monkeypatch):
    same = Differences(np.zeros((8, 8), dtype=bool))
    three = np.zeros((8, 8), dtype=bool)
    three[0, :3] = True
    found = [same, same, Differences(three), same, same]
    monkeypatch.setattr(module, "differences", lambda *frames: found.pop(0))
    play.new_game(3)
    play.step(1)
    assert "as the true game" in play.words() and "left" not in play.words()
    play.step(1)
    assert (
        "left the ground truth at step 2" in play.words() and "3 of 64 tiles differ" in play.words()
    )
    play.step(1)
    assert "left the ground truth at step 2" in play.words(), "also where the frames agree again"
    assert "all 64 tiles agree" in play.words()
    play.undo()
    play.undo()
    assert "as the true game" in play.words()
    play.step(1)
    assert "as the true game" in play.words(), "undo takes the mistake back"


def test_tiles_that_differ_are_counted_and_framed():
    game = game_of("tiles")
    rows = "P.o#....\n.B......"
    boards = [board_from_text(rows), board_from_text(rows.replace("o", "."))]
    frame, true = game.render(boards).movedim(1, -1).numpy()
    found = differences(game, frame, true, ALL)
    assert np.argwhere(found.tiles).tolist() == [[0, 2]]
    assert found.words() == "1 of 64 tiles differs" and found.any
    red = (draw_map(frame, found, 5) == module.MODEL_COLOR).all(axis=2)
    assert red[:20, 40:60].sum() == red.sum() > 0
    agree = differences(game, true, true, ALL)
    assert agree.words() == "all 64 tiles agree" and not agree.any


def test_the_players_distance_is_counted_in_pixels():
    game = game_of("platform")
    state = game.new_game(np.random.default_rng(0))
    moved = replace(state, x=state.x + 5)
    assert columns(moved) == columns(state)
    frame, true = game.render([moved, state]).movedim(1, -1).numpy()
    found = differences(game, frame, true, ALL)
    assert found.distance == 5 and found.any and "5 pixels away" in found.words()
    assert not found.tiles.any(), "what the player hides does not count"
    empty = np.zeros_like(frame)
    lost = differences(game, empty, true, ALL)
    assert lost.distance is None and lost.any and "missing" in lost.words()
    beside = game.render([replace(state, x=state.x + 1)])[0].movedim(0, -1).numpy()
    near = differences(game, beside, true, ALL)
    assert near.distance == 1 and not near.any and "1 pixel away" in near.words()
    agree = differences(game, true, true, ALL)
    assert not agree.apart and "the player is in its place" in agree.words()
    for differs in (found, lost):
        assert differs.apart
        blue = (draw_map(true, differs) == module.TRUE_COLOR).all(axis=2)
        assert blue.any(), "the true player is framed"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.01, "10 ms (100 frames a second)"), (2.0, "2000 ms (0.5 frames a second)")],
)
def test_a_slow_machine_makes_more_than_no_frames_a_second(play, seconds, words):
    play.seconds = seconds
    assert words in play.words()


def test_tiles_of_new_ground_do_not_count():
    game = game_of("platform")
    state = game.new_game(np.random.default_rng(0))
    level = state.level.copy()
    level[:, 5:] = BRICK
    frame, true = game.render([replace(state, level=level), state]).movedim(1, -1).numpy()
    found = differences(game, frame, true, np.arange(8) < 5)
    assert not found.any and found.unknown == 24
    assert found.words() == "all 40 known tiles agree, the player is in its place"
    found = differences(game, frame, true, np.arange(8) < 6)
    assert found.any and np.argwhere(found.tiles)[:, 1].tolist() == [5] * 8
    assert "8 of 48 known tiles differ" in found.words()


def test_the_words_say_when_new_ground_came():
    play = Play(tiny("platform"))
    right = play.game.actions.index("right")
    while play.now.number < 12 and columns(play.now.state).stop <= 8:
        assert "new ground" not in play.words() and play.now.differences.unknown == 0
        play.step(right)
    said = f"new ground since step {play.now.number}, which no model can know"
    assert said in play.words() and play.now.differences.unknown == 16
    play.step(right)
    assert said in play.words(), "it is the first step that counts"
    play.undo()
    play.undo()
    assert "new ground" not in play.words(), "undo takes the new ground back"


def test_slow_motion_keeps_every_sampling_step(play):
    play.step(1)
    assert not play.guesses
    play.slow = True
    play.step(1)
    sigmas = [guess.sigma for guess in play.guesses]
    assert len(sigmas) == SLOW_STEPS and sigmas[0] == 1 and sigmas == sorted(sigmas)[::-1]
    assert np.array_equal(play.guesses[-1].clean, play.frame)
    text = render_player(play).text
    assert text.count("<img") == 3 + 2 * SLOW_STEPS == text.count("alt=")


def test_the_noise_that_is_shown_is_what_the_network_saw(play, monkeypatch):
    seen = []
    guess = play.session._guess

    def spy(x_t, action, sigma, first):
        seen.append(play.model.to_frames(x_t)[:, 0])
        return guess(x_t, action, sigma, first)

    monkeypatch.setattr(play.session, "_guess", spy)
    play.slow = True
    play.step(1)
    for x_t, shown in zip(seen, play.guesses, strict=True):
        assert np.array_equal(module.pixels(x_t), shown.noisy)


def test_render_player_is_pure(play):
    play.step(1)
    before = play.now
    answer = render_player(play)
    assert answer.text == render_player(play).text and play.now is before
    assert answer.words == play.words() and "step 1" in answer.words


# ------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("name", "held", "action"),
    [
        ("tiles", "", "none"),
        ("tiles", "ArrowUp", "up"),
        ("tiles", "ArrowUp ArrowLeft", "left"),
        ("tiles", "ArrowDown", "down"),
        ("tiles", "Space", "none"),
        ("tiles", "Enter", "none"),
        ("platform", "", "none"),
        ("platform", "ArrowUp", "jump"),
        ("platform", "ArrowUp ArrowRight", "jump right"),
        ("platform", "ArrowRight ArrowUp", "jump right"),
        ("platform", "ArrowLeft Space", "jump left"),
        ("platform", "ArrowRight ArrowLeft", "left"),
        ("platform", "ArrowRight ArrowLeft ArrowUp", "jump left"),
        ("platform", "ArrowDown", "none"),
    ],
)
def test_held_keys_choose_the_action(name, held, action):
    game = game_of(name)
    assert game.actions[action_of(game, held.split())] == action


def test_messages_repeat_what_was_sent_before():
    first, second = "down ArrowUp 17", "up ArrowUp 18"
    assert [event.number for event in read_keys(f"{first},{second}", 0)] == [17, 18]
    assert [event.kind for event in read_keys(f"{first},{second}", 17)] == ["up"]
    for wrong in ("", "down", "down ArrowUp x", "down ArrowUp -1", "eat ArrowUp 19", "down a b 19"):
        assert not read_keys(wrong, 0)


def test_each_press_is_a_step_and_none_is_lost(player, monkeypatch):
    made = recorded(player, monkeypatch)
    names = keys_of(player.game)
    send(player, "down ArrowRight", "up ArrowRight", "down ArrowUp", "up ArrowUp")
    assert made == ["right", names["ArrowUp"]] and not player.held
    send(player, "down ArrowLeft")
    send(player, "again ArrowLeft")
    assert made[2:] == ["left", "left"] and player.held == ["ArrowLeft"]
    player.on_keys(player.line.value)
    send(player, "down Enter", "down 7", "again x")
    assert len(made) == 4, "old events and other keys make no step"
    send(player, "blur all")
    assert not player.held
    assert f"step {len(made)} " in player.words.value


def test_two_keys_together_jump_to_the_side(monkeypatch):
    player = Player(tiny("platform"))
    made = recorded(player, monkeypatch)
    send(player, "down ArrowRight", "down ArrowUp", "up ArrowUp", "down ArrowUp")
    assert made == ["right", "jump right", "jump right"]


def test_the_page_takes_only_the_keys_that_the_game_uses(player):
    text = player.screen.children[1].value
    assert player.name in text and "NAME" not in text and "ALTS" not in text
    assert "'ArrowLeft ArrowRight ArrowUp ArrowDown Space'" in html.unescape(text)
    assert 'tabindex="0"' in text and "preventDefault" in text and "stopPropagation" in text
    before = text
    send(player, "down ArrowRight")
    assert player.screen.children[1].value == before, "it keeps the focus only if it never changes"


# -------------------------------------------------------------------------------------- controls


def test_every_button_of_the_pad_makes_its_action(player, monkeypatch):
    made = recorded(player, monkeypatch)
    for button in player.pad.values():
        button.click()
    assert made == list(player.game.actions) == list(player.pad)


def test_every_control_has_a_name_and_a_tooltip(player):
    for control in (*player.controls.values(), *player.pad.values()):
        tooltip = control.tooltip if control.has_trait("tooltip") else control.description_tooltip
        assert control.description and tooltip


def test_the_policy_makes_steps_by_ticks_until_a_key_is_pressed(player):
    player.controls["policy"].value = True
    assert player.is_running and player.clock is None, "no event loop, no clock"
    for _ in range(5):
        player.tick()
    assert player.play.now.number == 5
    send(player, "down ArrowRight")
    assert not player.is_running and player.play.now.number == 6


def test_the_policy_plays_the_same_game_again(name):
    players = [Player(tiny(name), seed=4) for _ in range(2)]
    for player in players:
        player.controls["policy"].value = True
        for _ in range(10):
            player.tick()
    assert np.array_equal(players[0].play.frame, players[1].play.frame)


def test_the_clock_takes_the_key_that_is_held(monkeypatch):
    player = Player(tiny("platform"))
    made = recorded(player, monkeypatch)
    player.controls["run"].value = True
    player.tick()
    send(player, "down ArrowRight")
    player.tick()
    player.tick()
    send(player, "down ArrowUp", "up ArrowUp")
    player.tick()
    send(player, "up ArrowRight")
    player.tick()
    player.pad["left"].click()
    player.tick()
    player.tick()
    names = ["none", "right", "right", "jump right", "none", "left", "none"]
    assert made == names, "a key between two ticks counts, too"


def run_for(player: Player, seconds: float) -> None:
    async def play() -> None:
        player.controls["run"].value = True
        await asyncio.sleep(seconds)
        player.controls["run"].value = False
        await asyncio.wait_for(player.clock, 5)

    asyncio.run(play())


def test_the_clock_runs_in_the_event_loop_and_stops(player):
    run_for(player, 0.35)
    steps = player.play.now.number
    assert 1 <= steps <= 5 and player.clock.done()
    run_for(player, 0.15)
    assert player.play.now.number > steps, "it can be started again"


def test_the_clock_stops_by_itself(player, monkeypatch):
    monkeypatch.setattr(module, "MOST_SECONDS", 0.15)

    async def play() -> None:
        player.controls["run"].value = True
        await asyncio.wait_for(player.clock, 5)

    asyncio.run(play())
    assert not player.is_running and "stopped" in player.words.value


def test_an_error_is_shown_and_stops_the_clock(player, monkeypatch):
    def fail(action, on_step=None):
        raise RuntimeError("no <memory>")

    player.controls["run"].value = True
    monkeypatch.setattr(player.play.session, "step", fail)
    player.tick()
    assert not player.is_running
    assert "✗ RuntimeError" in player.words.value and "<memory>" not in player.words.value
    monkeypatch.undo()
    player.press(1)
    assert "✗" not in player.words.value and player.play.now.number == 1


def test_undo_and_new_game(player):
    assert player.controls["undo"].disabled
    first = player.images["model"].value
    player.press(1)
    assert player.images["model"].value != first
    player.controls["undo"].click()
    assert player.images["model"].value == first and player.controls["undo"].disabled
    state = player.play.now.state
    player.controls["new"].click()
    assert player.play.seed == 1 and player.play.now.number == 0
    other = player.play.now.state
    assert not np.array_equal(getattr(state, "level", state), getattr(other, "level", other))


def test_sampling_steps_and_slow_motion(player, monkeypatch):
    for count in (1, 2, 4):
        player.controls["steps"].value = count
        player.press(1)
        assert len(player.play.session.sigmas) == count + 1
    assert player.strip.layout.display == "none"
    player.controls["slow"].value = True
    assert player.strip.layout.display is None and player.controls["steps"].disabled
    player.press(1)
    assert player.strip.value.count("<img") == 2 * SLOW_STEPS
    player.controls["slow"].value = False
    player.press(1)
    assert len(player.play.session.sigmas) == 4 + 1 and player.strip.layout.display == "none"


def test_the_true_game_can_be_hidden(player):
    player.controls["true"].value = False
    assert all(part.layout.display == "none" for part in player.ground_truth)
    before = player.images["true"].value
    player.press(1)
    player.press(2)
    assert player.images["true"].value == before
    player.controls["true"].value = True
    assert all(part.layout.display is None for part in player.ground_truth)
    assert player.images["true"].value == module._png(player.play.true_frame)
    assert "tiles" in re.sub("<[^>]*>", "", player.legend.value)


def test_the_legend_explains_the_blue_frame_where_the_map_has_one(monkeypatch):
    player = Player(tiny("platform"))
    same = np.zeros((8, 8), dtype=bool)
    for seen, blue in ((3, False), (20, True)):
        found = Differences(same, (seen, 3), (3, 3))
        monkeypatch.setattr(module, "differences", lambda *frames, found=found: found)
        player.press(0)
        assert ("blue: the true player" in player.legend.value) == blue
