"""The player without a browser: both worlds, undo, keys, the clock, slow motion, memory."""

import asyncio
import re

import numpy as np
import pytest
import torch

from minisora.config import DiTConfig, PlayPreset
from minisora.play.model import PlayModel
from minisora.widgets.player import (
    SLOW_STEPS,
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
from minisora.world.tiles import board_from_text

ipywidgets = pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")
CONTEXT = {"tiles": 1, "platform": 4}


class Echo(Play):
    """A game whose model would be perfect: its frame is the true one."""

    @property
    def frame(self) -> np.ndarray:
        return self.game.render([self.session_state])[0].movedim(0, -1).numpy()


def tiny(name: str) -> PlayModel:
    """A small untrained model of a game, whose transformer is not silent."""
    torch.manual_seed(0)
    dit = DiTConfig(
        patch_size=(1, 8, 8),
        latent_channels=3,
        hidden_size=32,
        depth=2,
        num_heads=2,
        text_size=0,
        num_actions=len(game_of(name).actions),
    )
    model = PlayModel(PlayPreset(game=name, context=CONTEXT[name], dit=dit)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


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
    for action in range(len(play.game.actions)):
        expected = play.game.step(play.now.state, action)
        other = Play(model)
        for earlier in range(action):
            other.step(earlier)
        session = other.session
        frame = session.step(action)
        play.step(action)
        assert np.array_equal(play.game.render([expected]), play.game.render([play.now.state]))
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


def test_memory_is_the_same_after_an_hour(name):
    play = Play(tiny(name), history=20)
    for step in range(300):
        play.step(step % len(play.game.actions))
        if step == 49:
            before = storage(play)
    assert storage(play) == before > 0
    assert len(play.past) == 20
    assert play.past[0].number == 280


def test_the_words_say_when_the_truth_was_left(play, monkeypatch):
    monkeypatch.setattr(Play, "frame", property(lambda self: self.true_frame))
    play.new_game(3)
    steps = (1, 2, 1)
    for action in steps:
        play.now.state  # noqa: B018
        monkeypatch.setattr(Play, "frame", property(_next_frame))
        play.step(action)
    assert "as the true game" in play.words() and play.now.left_at is None
    blank = np.zeros_like(play.true_frame)
    monkeypatch.setattr(Play, "frame", property(lambda self: blank))
    play.step(1)
    assert "left the truth at step 4" in play.words()
    monkeypatch.setattr(Play, "frame", property(_next_frame))
    play.step(2)
    assert "left the truth at step 4" in play.words(), "also where the frames agree again"
    play.undo()
    play.undo()
    assert "as the true game" in play.words()
