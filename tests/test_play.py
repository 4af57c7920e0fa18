"""Play: the causal mask, the cache, sessions, the training, and the comparison with true games."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from minisora.checkpoints import CheckpointError
from minisora.config import PLAY_PRESETS, PlayPreset, TrainConfig
from minisora.layers import Attention, KeyValueCache
from minisora.masks import causal_mask
from minisora.measure import play as measure
from minisora.play.model import PlayModel
from minisora.train.play import PERIOD, PlayBatches, Plays, play_loss, train_play
from minisora.train.run import read_run
from minisora.world.game import frames_of, game_of
from minisora.world.platform import columns
from minisora.world.tiles import COIN, board_from_text
from tests.conftest import small_play_model, small_play_preset


def some_play(model: PlayModel, length: int, count: int = 2):
    """Frames (B, T, 3, H, W) and actions (B, T)."""
    plays = Plays(model.game, 6, 30)
    batches = PlayBatches(plays, replace(model.preset, context=length - 1))
    return batches.draw(count, torch.Generator().manual_seed(0))


# --------------------------------------------------------------------------------- mask and cache


def test_the_mask_is_causal_and_hides_what_is_to_be_predicted():
    frames = torch.tensor([0, 1, 2, 1, 2, 3])
    clean = torch.tensor([True, True, True, False, False, False])
    mask = causal_mask(frames, clean, context=2)
    for query in range(6):
        for key in range(6):
            age = int(frames[query] - frames[key])
            if clean[key]:
                expected = 0 <= age < 2 if clean[query] else 1 <= age <= 2
            else:
                expected = not clean[query] and age == 0
            assert mask[query, key] == expected, (query, key)


def test_a_cached_attention_layer_equals_the_whole():
    layer = Attention(16, 2).double()
    x = torch.randn(3, 5, 16, dtype=torch.float64)
    mask = torch.ones(5, 5).tril().bool()
    whole = layer(x, mask=mask)
    cache = KeyValueCache()
    parts = []
    for i in range(5):
        cache.keep = 1
        parts.append(layer(x[:, i : i + 1], cache=cache))
    assert torch.allclose(torch.cat(parts, dim=1), whole, atol=1e-12)
    assert cache.kept is not None and cache.kept.shape[3] == 5


@pytest.mark.parametrize("name", ["play-tiles", "play-platform"])
@pytest.mark.parametrize("context", [1, 2, 4])
@pytest.mark.parametrize("steps", [1, 3])
def test_playing_with_a_cache_equals_playing_without(name, context, steps):
    model = small_play_model(name)
    frames, led_to = some_play(model, 4)
    sessions = [
        model.begin(
            frames,
            led_to[:, 1:],
            context=context,
            num_inference_steps=steps,
            cached=cached,
            generator=torch.Generator().manual_seed(1),
        )
        for cached in (True, False)
    ]
    for action in (1, 2, 0, 3, 4, 1, 1, 2):
        one, other = (session.step(action) for session in sessions)
        assert torch.allclose(one, other, atol=1e-5)
    assert one.std() > 0.05  # both would agree on a gray frame, too


def test_the_cache_does_not_grow():
    model = small_play_model("play-platform", context=3)
    frames, led_to = some_play(model, 4)
    session = model.begin(frames, led_to[:, 1:])

    def size() -> int:
        held = sum(kept.numel() for kept in session.now.kept if kept is not None)
        return held + session.now.tokens.numel()

    sizes = []
    for _ in range(12):
        session.step(1)
        sizes.append(size())
    assert len(set(sizes[3:])) == 1


@pytest.mark.parametrize("name", ["play-tiles", "play-platform"])
def test_frames_are_the_same_after_an_hour(name):
    """Of all that a frame is made from, only the counter of frames goes on growing."""
    hour = 282 * PERIOD  # frames; at 10 a second it is an hour and 10 seconds
    model = small_play_model(name, context=3)
    frames, _ = some_play(model, 4)
    games = []
    for number in (0, hour):
        session = model.begin(frames[:, :1], generator=torch.Generator().manual_seed(0))
        session.go_back(replace(session.now, number=number))
        games.append(torch.stack([session.step(action) for action in (1, 2, 0, 3, 4, 1)]))
        assert session.now.number == number + 6
    assert torch.allclose(*games, atol=2e-3) and games[0].std() > 0.05


@pytest.mark.parametrize("name", ["play-tiles", "play-platform"])
def test_a_shipped_model_plays_on_after_an_hour(name, shipped):
    """Its training began at every number of a frame, so that an hour is like the beginning."""
    model = PlayModel.load(name, "cpu", "float32")
    games = measure.draw_games(model.game, 2, 1, model.preset.context, 0)
    shown = measure.draw_frames(model.game, games, 0, games.shown)
    expected = measure.draw_frames(model.game, games, games.shown, games.shown + 1)[:, 0]
    frames = []
    for number in (0, 36_000):
        generator = torch.Generator().manual_seed(0)
        before = games.led_to[:, 1 : games.shown]
        session = model.begin(shown, before, cached=False, generator=generator)
        session.go_back(replace(session.now, number=session.now.number + number))
        frames.append(session.step(games.led_to[:, -1]))
    assert torch.allclose(*frames, atol=0.1)
    assert (frames[1] - expected).abs().mean() < 0.05


# ---------------------------------------------------------------------------------------- sessions


def test_a_game_alone_equals_the_same_game_in_a_batch():
    model = small_play_model("play-platform")
    frames, led_to = some_play(model, 5, count=3)
    noise = torch.randn(3, 10, 16, 192)

    def played(rows, monkey) -> torch.Tensor:
        steps = iter(noise[rows].unbind(1))
        monkey.setattr("minisora.play.model.draw_noise", lambda *_: next(steps))
        session = model.begin(frames[rows], led_to[rows, 1:])
        return torch.stack([session.step(2) for _ in range(10)])

    with pytest.MonkeyPatch.context() as monkey:
        together = played([0, 1, 2], monkey)
        alone = played([1], monkey)
    assert torch.allclose(together[:, 1], alone[:, 0], atol=1e-5)


def test_going_back_gives_the_same_frames_again():
    model = small_play_model("play-platform", context=3)
    frames, led_to = some_play(model, 4)
    session = model.begin(frames, led_to[:, 1:], generator=torch.Generator().manual_seed(0))
    session.step(1)
    here, before = session.now, session.frame

    def onward() -> torch.Tensor:
        session.generator = torch.Generator().manual_seed(5)
        return torch.stack([session.step(action) for action in (2, 3, 1, 1, 0)])

    first = onward()
    session.go_back(here)
    assert torch.equal(session.frame, before)
    assert torch.equal(onward(), first)


def test_a_step_that_is_broken_off_leaves_nothing_behind():
    model = small_play_model("play-platform", context=3)
    frames, led_to = some_play(model, 4)

    def broken(*_):
        raise KeyboardInterrupt

    ends = []
    for breaks in (False, True):
        session = model.begin(frames, led_to[:, 1:], num_inference_steps=2)
        if breaks:
            with pytest.raises(KeyboardInterrupt):
                session.step(1, on_step=broken)
        session.generator = torch.Generator().manual_seed(4)
        ends.append(torch.stack([session.step(action) for action in (1, 2, 2)]))
    assert torch.equal(*ends)


def test_presets_that_cannot_work_are_refused():
    with pytest.raises(ValueError, match="num_actions=5 should be 6"):
        PlayModel(replace(small_play_preset(), game="platform"))
    with pytest.raises(ValueError, match="game_steps=10"):
        PlayPreset(game_steps=10, context=16)
    with pytest.raises(ValueError, match="tiles, platform"):
        PlayModel(replace(small_play_preset(), game="chess"))


def test_other_actions_give_other_frames():
    model = small_play_model()
    frames = some_play(model, 2)[0][:, :1]
    ends = [
        model.begin(frames, generator=torch.Generator().manual_seed(0)).step(action)
        for action in range(5)
    ]
    assert all(not torch.equal(ends[0], end) for end in ends[1:])


def test_the_guesses_of_a_step_are_told():
    model = small_play_model()
    frames = some_play(model, 2)[0][:, :1]
    told = []
    session = model.begin(frames, num_inference_steps=4)
    frame = session.step(1, on_step=lambda step, sigma, guess: told.append((step, sigma, guess)))
    assert [step for step, _, _ in told] == [0, 1, 2, 3]
    assert told[0][1] == 1.0
    assert torch.allclose(told[-1][2].clamp(-1, 1), frame, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, f: m.begin(f[:, :0]), "at least one"),
        (lambda m, f: m.begin(f[..., :16]), r"should be \(B, T, 3, 32, 32\)"),
        (lambda m, f: m.begin(f, [1, 1, 1, 1, 1, 1]), "actions between them"),
        (lambda m, f: m.begin(f, context=0), "context=0"),
        (lambda m, f: m.begin(f).step(7), "none, up, down, left, right"),
        (lambda m, f: m.begin(f).step(-1), "go from 0 to 4"),
        (lambda m, f: m.begin(f, num_inference_steps=0), "num_inference_steps=0"),
        (lambda m, f: m.begin((f + 1) * 127.5), r"in \[-1, 1\]"),
        (lambda m, f: m.begin(((f + 1) * 127.5).byte()), r"in \[-1, 1\]"),
        (lambda m, f: m.begin(f).step("up"), "actions='up'"),
        (lambda m, f: m.begin(f).step(1.7), "actions=1.7"),
        (lambda m, f: m.begin(f).step([1, 2, 3]), "3 actions for 2 games"),
    ],
)
def test_mistakes_are_named(call, message):
    model = small_play_model()
    frames, _ = some_play(model, 3)
    with pytest.raises(ValueError, match=message):
        call(model, frames)


def test_what_is_saved_is_loaded(tmp_path):
    model = small_play_model("play-platform")
    model.save(tmp_path / "model", {"steps": 3})
    again = PlayModel.load(tmp_path / "model", "cpu", "float32")
    assert again.preset == model.preset and again.metadata == {"steps": 3}
    for name, value in model.dit.state_dict().items():
        assert torch.equal(again.dit.state_dict()[name], value.half().float())
    with pytest.raises(CheckpointError, match="no model to play"):
        PlayModel.load(tmp_path / "elsewhere")
    assert PlayModel.load(tmp_path, "cpu").preset == model.preset  # a run's folder will do


# ---------------------------------------------------------------------------------------- training


def test_pieces_of_play_hold_together():
    model = small_play_model("play-platform", context=4)
    plays = Plays(model.game, 6, 30)
    frames, led_to = PlayBatches(plays, model.preset).draw(8, torch.Generator().manual_seed(3))
    assert frames.shape == (8, 5, 3, 32, 32) and led_to.shape == (8, 5)
    pieces = [
        (plays.frames([game], [begin], 5)[0], plays.led_to[game, begin : begin + 5])
        for game in range(6)
        for begin in range(27)
    ]
    for piece, actions in zip(frames, led_to, strict=True):
        assert any(torch.equal(piece, p) and torch.equal(actions, a) for p, a in pieces)


def test_rare_kinds_of_steps_are_drawn_as_often_as_common_ones():
    model = small_play_model()
    plays = Plays(model.game, 40, 60)
    counts = {kind: len(steps) for kind, steps in plays.kinds.items()}
    rare = min(counts, key=counts.__getitem__)
    batches = PlayBatches(plays, replace(model.preset, rare_fraction=1.0))
    seen = set(plays.kinds[rare])
    rng = random.Random(0)
    hits = sum(batches._draw_end(rng) in seen for _ in range(2000))
    assert hits / 2000 > 0.5 / len(counts)
    assert counts[rare] / sum(counts.values()) < 0.5 / len(counts)


def test_the_loss_does_not_see_what_is_to_be_predicted():
    """A frame to come changes its own loss, and not what is predicted from the past."""
    model = small_play_model("play-platform", context=3)
    frames, led_to = some_play(model, 4)
    calls = []

    def network(tokens, sigma, positions, **options):
        out = model.dit(tokens, sigma, positions, **options)
        calls.append(out)
        return out

    other = frames.clone()
    other[:, -1] = -other[:, -1]
    n = model.tokens_per_frame
    for video in (frames, other):
        play_loss(model, network, video, led_to, torch.Generator().manual_seed(0))
    one, two = calls
    assert torch.allclose(one[:, :-n], two[:, :-n], atol=1e-6)
    assert not torch.allclose(one[:, -n:], two[:, -n:], atol=1e-3)


def test_a_batch_can_be_overfitted(tmp_path):
    preset = small_play_preset(
        train=TrainConfig(
            steps=120, batch_size=4, learning_rate=1e-2, warmup_steps=5, cooldown_fraction=0.5
        ),
        noise_augmentation=0.0,
    )
    preset = replace(preset, games=1, game_steps=3, rare_fraction=0.0)
    model = train_play(preset, tmp_path, device="cpu", progress=False, evaluate_every=1e9)
    losses = [record["loss"] for record in _history(tmp_path)]
    assert losses[-1] < 0.3 * losses[0]
    assert (tmp_path / "model" / "play.safetensors").is_file()
    assert model.metadata["steps"] == 120


def _history(run_dir):
    from minisora.train.loop import read_note

    return read_note(run_dir, "transformer")["history"]


def test_a_training_goes_on_where_it_stopped(tmp_path):
    def train(folder, stop_at, resume=False):
        preset = small_play_preset(train=TrainConfig(steps=20, batch_size=2, save_every=1e9))
        calls = iter(range(100))
        return train_play(
            preset,
            folder,
            device="cpu",
            progress=False,
            evaluate_every=1e9,
            resume=resume,
            should_stop=lambda: next(calls) >= stop_at,
            say=lambda _: None,
        )

    whole = train(tmp_path / "whole", 99)
    train(tmp_path / "parts", 11)
    with pytest.raises(FileExistsError, match="--resume"):
        train(tmp_path / "parts", 99)
    run = read_run(tmp_path / "parts")
    assert run is not None and run.preset.train.steps == 20 and run.preset.game == "tiles"
    parts = train(tmp_path / "parts", 99, resume=True)
    assert [point["step"] for point in parts.metadata["curve"]] == [11, 20]
    for name, value in whole.dit.state_dict().items():
        assert torch.allclose(value, parts.dit.state_dict()[name], atol=1e-6), name


# --------------------------------------------------------------------------------- the comparison


class Perfect:
    """A stand-in for a model that knows the rules by heart, or repeats the last frame it saw."""

    def __init__(self, preset: PlayPreset, games: measure.Games, repeats: bool = False):
        self.preset, self.games, self.repeats = preset, games, repeats
        self.game = game_of(preset.game)

    def begin(self, frames, actions, **options):
        shown = self.games.shown
        assert torch.equal(frames, measure.draw_frames(self.game, self.games, 0, shown))
        assert torch.equal(actions, self.games.led_to[:, 1:shown])
        self.states = [states[shown - 1] for states in self.games.states]
        return self

    def step(self, actions):
        if not self.repeats:
            pairs = zip(self.states, actions.tolist(), strict=True)
            self.states = [self.game.step(state, action) for state, action in pairs]
        return frames_of(self.game, self.states)


@pytest.mark.parametrize(("name", "policy"), [("tiles", "explore"), ("platform", "stay")])
def test_the_truth_is_right_and_a_still_picture_is_not(name, policy):
    preset = PLAY_PRESETS[f"play-{name}"]
    game = game_of(name)
    games = measure.draw_games(game, 6, 40, preset.context, 0, getattr(measure, policy))
    right = measure.compare_games(Perfect(preset, games), games).right
    assert right.shape == (6, 40) and right.all()
    still = measure.compare_games(Perfect(preset, games, repeats=True), games).right
    assert still.float().mean() < 0.5
    assert torch.equal(still, measure.repeated(game, games))
    for led_to in (games.led_to.roll(1, dims=1), games.led_to.roll(1, dims=0)):
        others = replace(games, led_to=led_to)  # a step late, and those of another game
        assert not measure.compare_games(Perfect(preset, others), others).right.all(1).any()


def test_a_coin_that_comes_back_is_counted():
    coin = board_from_text("Po")
    taken = board_from_text(".P")
    truth = np.stack([coin, taken, taken, taken])
    back = truth.copy()
    back[3, 0, 1] = COIN
    nothing = np.zeros_like(truth)
    for reading, value in ((truth, 1.0), (back, 0.0), (nothing, 0.0)):
        found = measure.Comparison(torch.ones(1, 4).bool(), torch.zeros(1), [reading], [truth])
        figure = measure.coins_stay_away(found)
        assert figure is not None and figure["value"] == value


def test_columns_that_come_back_are_right_in_the_true_game():
    preset = PLAY_PRESETS["play-platform"]
    game = game_of("platform")
    games = measure.walks(game, 16, 28, 0)
    found = measure.compare_games(Perfect(preset, games), games)
    flags = [
        flag
        for row, states in enumerate(games.states)
        for flag in measure.columns_back(states, found, row, games.shown)
    ]
    assert len(flags) > 10
    assert all(right for _, right in flags)
    assert max(age for age, _ in flags) > 16
    other = measure.compare_games(Perfect(preset, games, repeats=True), games)
    wrong = [
        right
        for row, states in enumerate(games.states)
        for _, right in measure.columns_back(states, other, row, games.shown)
    ]
    assert not all(wrong)


def test_ground_is_known_until_something_new_comes_into_view():
    game = game_of("platform")
    stays = measure.draw_games(game, 4, 60, 16, 0, measure.stay)
    assert measure.is_known(stays, 16).all()
    explores = measure.draw_games(game, 8, 150, 16, 0)
    known = measure.is_known(explores, 16)
    assert not known[:, -1].all()
    assert (known[:, 1:] <= known[:, :-1]).all()  # once lost, it stays lost


def test_what_was_never_on_the_screen_is_new_ground():
    game = game_of("platform")
    states = measure.draw_games(game, 1, 40, 4, 1).states[0]
    assert max(columns(state).stop for state in states[:4]) == 10
    known = measure.known_ground(states[:4], states[4:])
    assert known[:4].all() and not known[4].all()
    for state, row in zip(states[4:], known, strict=True):
        assert row.tolist() == [column < 10 for column in columns(state)]
    start, far = states[0], replace(states[0], x=100)
    assert not measure.known_ground([start], [far]).any()
    assert measure.known_ground([start, far], [far]).all()
    assert measure.known_ground([far], [replace(start, x=8)]).all(), "all levels begin alike"
    board = game_of("tiles").new_game(np.random.default_rng(0))
    assert measure.known_ground([board], [board, board]).tolist() == [[True] * 8] * 2


def test_all_figures_are_measured():
    for name in ("play-tiles", "play-platform"):
        model = small_play_model(name)
        table = measure.measure_play(model, 4, say=lambda _: None, steps=12)
        assert table["milliseconds a frame"] > 0
        first = next(iter(table.values()))
        assert first["frames right"]["steps 1 to 10"]["n"] == 4
        assert len(first["curve"]) == 12
