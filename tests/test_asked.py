"""measure/asked.py: true plays in which a sentence comes true."""

from itertools import pairwise

import pytest

from minisora.measure import judge
from minisora.measure.asked import game_as_asked, is_as_asked
from minisora.world.game import frames_of, game_of
from minisora.world.parse import parse

TILES = game_of("tiles")
SENTENCES = (
    "in the game, the player walks right",
    "in the game, the player takes the key, then opens the door",
    "in a video game, a player pushes a box up",
    "in the game, the player walks left, then walks up and takes a coin",
)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_what_is_asked_happens(sentence):
    asked = parse(sentence)
    games = game_as_asked(asked.game, seed=2)
    states = games.states[0]
    assert len(states) == games.led_to.shape[1] == 17
    for (before, after), action in zip(pairwise(states), games.led_to[0, 1:], strict=True):
        assert (TILES.step(before, int(action)) == after).all()
    seen = judge.read(frames_of(TILES, states).transpose(0, 1), TILES.fps)
    assert judge.verdict(seen, asked).all


def test_what_does_not_happen_is_not_as_asked():
    games = game_as_asked(parse(SENTENCES[0]).game, seed=2)
    boards = tuple(state.tobytes() for state in games.states[0])
    assert is_as_asked(boards, parse(SENTENCES[0]).game)
    assert not is_as_asked(boards, parse("in the game, the player walks left").game)
    assert not is_as_asked(boards[::-1], parse(SENTENCES[0]).game)


def test_seeds_give_other_levels():
    asked = parse(SENTENCES[0]).game
    firsts = {game_as_asked(asked, seed=seed).states[0][0].tobytes() for seed in range(8)}
    assert len(firsts) == 8
    once, again = (game_as_asked(asked, seed=3).states[0] for _ in range(2))
    assert all((a == b).all() for a, b in zip(once, again, strict=True))


def test_length_is_asked_for():
    games = game_as_asked(parse(SENTENCES[1]).game, steps=32)
    assert len(games.states[0]) == 33
    with pytest.raises(ValueError, match="too many"):
        game_as_asked(parse(SENTENCES[1]).game, steps=101)


def test_what_takes_longer_than_the_clip_is_refused(monkeypatch):
    monkeypatch.setattr("minisora.measure.asked.PLAYS", 5)
    asked = parse("in the game, the player takes the key, then opens the door").game
    with pytest.raises(ValueError, match="for a longer clip"):
        game_as_asked(asked, steps=1)
    asked = parse("in the game, the player walks left, at x1 y1").game
    with pytest.raises(ValueError, match="'walks left' at these positions did not happen"):
        game_as_asked(asked)
