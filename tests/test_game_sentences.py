"""Clips of the tile game: what happens in them, what is said of it, and what the judge sees."""

import random
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from einops import reduce

from data.experiments import results_readme
from data.experiments.judge_report import SIZE, WRONG
from minisora.inputs import reword
from minisora.measure.accuracy import summarise
from minisora.measure.game import game_attributes, read_game
from minisora.measure.judge import judge, read
from minisora.measure.stats import percent
from minisora.text import Tokenizer, words_of
from minisora.world import tiles
from minisora.world.captions import VOCABULARY, caption, complete_caption, detailed_caption
from minisora.world.dataset import TEST_SEEDS, WORLDS, ToyWorld, sample_scene
from minisora.world.families import FAMILIES, WANTED
from minisora.world.game import GAMES, read_actions
from minisora.world.game_words import FORMS, LEXICON, GameSpec
from minisora.world.parse import PromptSpec, agrees, check_known, parse, spec_of
from minisora.world.render import prepare, render
from minisora.world.rewordings import REWORDINGS
from minisora.world.scene import Scene
from minisora.world.story import DOINGS, holds, in_order, in_turn, path_of, tell, way_of

GAME = GAMES["tiles"]
WALK = "in the game, the player walks left"


def play(text: str, actions: str) -> tuple[bytes, ...]:
    """The boards of a game that begins as drawn, by actions such as "→→↑"."""
    boards = [tiles.board_from_text(text)]
    for action in read_actions(GAME, actions):
        boards.append(GAME.step(boards[-1], action))
    return tuple(board.tobytes() for board in boards)


def scenes_of(count: int, split: str = "seen", **size: int) -> list[Scene]:
    return [sample_scene(TEST_SEEDS + i, "game", split, **size) for i in range(count)]


def asked_of(prompt: str) -> GameSpec:
    asked = parse(prompt).game
    assert asked is not None
    return asked


# ------------------------------------------------------------------------------------------- clips


@pytest.mark.parametrize("split", ["seen", "held_out"])
@pytest.mark.parametrize("num_frames", [2, 9, 17, 33])
def test_a_clip_is_a_part_of_a_play(split, num_frames):
    """Every step is one of the game's, and something happens that can be said."""
    for scene in scenes_of(6, split, num_frames=num_frames):
        assert len(scene.boards) == num_frames
        boards = [tiles.np.frombuffer(board, dtype="int8").reshape(8, 8) for board in scene.boards]
        for board, after in pairwise(boards):
            assert any((GAME.step(board, a) == after).all() for a in range(5))
        story = tell(scene.boards)
        assert way_of(story) or story.events
        moved = sum(here != there for here, there in pairwise(story.cells))
        assert moved >= 0.6 * (num_frames - 1)


def test_held_out_clips_have_more_walls():
    walls = [
        sum(scene.boards[0].count(tiles.WALL) for scene in scenes_of(40, split))
        for split in ("seen", "held_out")
    ]
    assert walls[1] > 1.3 * walls[0]


def test_what_is_rare_in_play_is_not_rare_in_clips():
    stories = [tell(scene.boards) for scene in scenes_of(200)]
    for wanted in set(WANTED) - {"walks"}:
        share = sum(holds(wanted, story, 0, story.last) for story in stories) / 200
        assert share > 0.15, wanted
    ways = [way_of(story) for story in stories]
    for way in ("left", "right", "up", "down"):
        assert ways.count(way) > 8, way


@pytest.mark.parametrize("size", [32, 64, 96])
def test_each_tile_is_drawn_in_its_place(size):
    """Beside another scene, too, and the game's own pictures come back when pixels are averaged."""
    scene = scenes_of(1)[0]
    other = sample_scene(0, "solo")
    video, beside = render([scene, other], 17, size, size)
    assert torch.equal(beside, render([other], 17, size, size)[0])
    times = size // 32
    small = reduce((video + 1) * 127.5, "c t (y a) (x b) -> t c y x", "mean", a=times, b=times)
    boards = [tiles.np.frombuffer(board, dtype="int8") for board in scene.boards]
    assert torch.equal(small.round().byte(), GAME.render(boards))
    assert (small - small.round()).abs().max() < 1e-3


def test_only_clips_that_fit_the_board_are_of_the_game():
    for num_frames, height, width in ((17, 48, 80), (17, 80, 48), (17, 40, 40), (1, 64, 64)):
        world = ToyWorld(world="whole", num_frames=num_frames, height=height, width=width)
        assert "game" not in world.families
        with pytest.raises(ValueError, match="do not show the game; the game has frames of 32×32"):
            sample_scene(0, "game", num_frames=num_frames, height=height, width=width)
    assert "game" in ToyWorld(world="whole", height=64, width=64).families
    assert "game" in WORLDS["whole"] and "game" not in WORLDS["tiny"]
    scene = scenes_of(1)[0]
    with pytest.raises(ValueError, match="17 boards is a clip of 17 frames, not of 9"):
        prepare([scene], 9, 64, 64)
    with pytest.raises(ValueError, match="48×80 shows no board"):
        render([scene], 17, 48, 80)
    with pytest.raises(ValueError, match="nothing to fix, and so no texture"):
        sample_scene(0, "game", texture="grid")


# ----------------------------------------------------------------------------------------- stories


def test_events_are_what_changes_on_the_board():
    """Things that are gone from the last board were taken, opened, or pushed."""
    for scene in scenes_of(60) + scenes_of(20, "held_out"):
        doings = [doing for _, doing in tell(scene.boards).events]
        first, last = scene.boards[0], scene.boards[-1]
        assert doings.count("takes a coin") == first.count(tiles.COIN) - last.count(tiles.COIN)
        assert doings.count("takes the key") == first.count(tiles.KEY) - last.count(tiles.KEY)
        assert doings.count("opens the door") == first.count(tiles.DOOR) - last.count(tiles.DOOR)
        boxes = [tuple(i for i, tile in enumerate(b) if tile == tiles.BOX) for b in scene.boards]
        pushes = sum(before != after for before, after in pairwise(boxes))
        assert sum(doing.startswith("pushes") for doing in doings) == pushes


def test_a_story_of_one_play():
    boards = play("P.o.oB\n......\n.....k\nD", "→→→→→↓↓→↓←←←←←")
    story = tell(boards)
    assert [doing for _, doing in story.events] == [
        "takes a coin",
        "takes a coin",
        "pushes a box right",
        "takes the key",
    ]
    assert in_turn(story) == ["takes two coins", "pushes a box right", "takes the key"]
    assert way_of(story, 0, 5) == "right" and way_of(story) == "down"


TRUE_OF_KEY_AND_DOOR = [  # of a play that takes a coin, the key and another coin, and goes back
    "the player takes the key",
    "the player takes two coins",
    "the player takes coins",
    "the player takes a coin, then takes the key",
    "the player takes the key, then takes a coin, then opens the door",
    "the player walks right, then walks left",
    "the player walks right, then opens the door",
    "the player opens the door and takes the key",
    "the player takes a coin, overall takes two coins, first takes the key, then opens the door",
]
FALSE_OF_KEY_AND_DOOR = [
    "the player takes three coins",
    "the player pushes a box",
    "the player walks right",
    "the player walks left, then walks right",
    "the player opens the door, then takes a coin",
    "the player takes two coins, then takes the key",
    "the player takes the key, then takes two coins",
]


@pytest.mark.parametrize("said", TRUE_OF_KEY_AND_DOOR + FALSE_OF_KEY_AND_DOOR)
def test_what_is_true_of_a_play(said):
    boards = play(".Poko...\nD.......\n########", "→→→→←←←←←↓")
    scene = Scene((), family="game", boards=boards)
    right = said in TRUE_OF_KEY_AND_DOOR
    asked = parse(f"in the game, {said}")
    assert agrees(asked, scene) == right
    video = render([scene], len(boards), 64, 64)[0]
    assert judge(video, asked).all == right


# --------------------------------------------------------------------------------------- sentences


def test_captions_are_true_and_read_back():
    for scene in scenes_of(60) + scenes_of(20, "held_out", num_frames=33):
        shape = {"num_frames": len(scene.boards), "height": 64, "width": 64}
        for wording in range(6):
            plain = caption(scene, random.Random(wording), num_frames=shape["num_frames"])
            longer = complete_caption(scene, random.Random(wording), **shape)
            detailed = detailed_caption(scene, random.Random(wording), **shape)
            for text in (plain, longer, detailed):
                words = words_of(text)
                assert set(words) <= set(VOCABULARY) and len(words) < 64
                assert reword(words, REWORDINGS) == words, text
                assert agrees(parse(text), scene), text
            said = asked_of(longer).clauses
            assert set(spec_of(scene).game.clauses) <= set(said), longer
            assert replace(asked_of(detailed), path=None) == asked_of(plain)


def test_captions_say_every_doing_in_every_form():
    every = {form for forms in FORMS.values() for both in forms for form in both}
    said, openings = set(), set()
    for scene in scenes_of(150):
        for wording in range(24):
            text = caption(scene, random.Random(f"{wording} {scene.seed}"))
            words = f" {' '.join(words_of(text))} "
            said |= {form for form in every if f" {form} " in words}
            openings.add(text.split(",")[0])
            assert 1 <= sum(len(g) for clause in asked_of(text).clauses for g in clause) <= 3
    assert said == every
    assert {"in the game", "in a game", "in the video game", "in a video game"} <= openings


@pytest.mark.parametrize(
    "prompt,clauses",
    [
        (WALK, ((("walks left",),),)),
        ("a game in which the player goes to the left", ((("walks left",),),)),
        ("in a video game, a player is moving upwards", ((("walks up",),),)),
        ("show me a game where the player grabs 2 coins", ((("takes two coins",),),)),
        (
            "In the game the player takes a coin and the key!",
            ((("takes a coin", "takes the key"),),),
        ),
        ("in the game, the player pushes the box to the left", ((("pushes a box left",),),)),
        ("in the game, the player pushes a crate", ((("pushes a box",),),)),
        ("in the game, the player walks left, then up", ((("walks left",), ("walks up",)),)),
        (
            "in the video game, the player collects the key and then unlocks the door",
            ((("takes the key",), ("opens the door",)),),
        ),
        (
            "in the game, the player first takes a coin and walks down, after that it opens a door",
            ((("takes a coin", "walks down"), ("opens the door",)),),
        ),
    ],
)
def test_the_game_is_asked_for_in_many_ways(prompt, clauses):
    assert parse(prompt) == PromptSpec(game=GameSpec(clauses))
    Tokenizer(VOCABULARY, 96, REWORDINGS)([prompt])


def test_the_tokenizer_knows_all_that_the_parser_takes():
    tokenizer = Tokenizer(VOCABULARY, 96, REWORDINGS)
    for phrase in LEXICON:
        tokenizer([" ".join(phrase)])
    for doing in DOINGS:
        prompt = f"please show me a game in which the player {doing}"
        assert asked_of(prompt).clauses == (((doing,),),)
        assert tokenizer.words(prompt)[3:6] == ["in", "a", "game"]


@pytest.mark.parametrize(
    "prompt,message",
    [
        ("in the game, the player flies", "'flies' .* is nothing that the game shows"),
        ("in the game, a red circle moving left", "does not go on with 'the player'"),
        ("in the game, the player takes the sword", "'takes the sword' .* is nothing"),
        ("in the game, the player does not take a coin", "denies something"),
        ("in the game, the player takes no coin", "denies something"),
        ("in the game, the player walks left and walks right", "two ways at once"),
        ("in the game, the player walks left, overall walks up", "two ways at once"),
        ("in the game, the player walks left on a navy grid", "'on a navy' .* is nothing"),
        ("in the game, the player opens the door, then takes the key", "cannot happen: a board"),
        ("in the game, the player takes the key, then takes the key", "cannot happen: a board"),
        ("in the game, the player takes a coin and takes a coin", "says twice what is done once"),
        ("in the game, the player takes three coins, then three coins", "asks for 6 coins"),
        ("in the game, the player left", "does not say what goes left"),
        ("in the game, the player a coin", "does not say what is done to a thing"),
        ("in the game, the player takes a coin, then", "does not say what the player does"),
        ("in the game, the player then takes a coin", "does not say what the player does"),
        ("in the game, the player", "does not say what the player does"),
        ("in the game", "does not go on with 'the player'"),
        ("the player walks left", "does not begin with 'in the game'"),
        ("a red circle moving left in the game", "does not begin with 'in the game'"),
        ("in the game, the plaier walks left", "did you mean 'in the game the player walks left'"),
        (f"{WALK}, at x2 y2 and at x6 y6", "gives 2 positions for one player"),
        (f"{WALK}, at x2", "is nothing that the game shows"),
    ],
)
def test_what_the_game_does_not_show_is_refused_in_one_sentence(prompt, message):
    with pytest.raises(ValueError, match=message) as error:
        parse(prompt)
    assert "\n" not in str(error.value) and str(error.value).count("for example") <= 1


def test_ordinary_sentences_mean_what_they_meant():
    hits = parse("a red circle hits a square")
    assert parse("a red circle pushes a box") == parse("a red circle pushes a square") == hits
    for box in ("the square", "the box", "the block"):
        asked = parse(f"a red circle and a blue square, the circle pushes {box}")
        assert asked == parse("a red circle hits a blue square")
    for other in ("a red circle walks left", "a key", "a red circle takes a coin"):
        with pytest.raises(ValueError):
            parse(other)


def test_a_model_without_the_words_refuses_them():
    older = [word for word in VOCABULARY if word != "player"]
    check_known(parse(WALK), "whole", VOCABULARY)
    with pytest.raises(ValueError, match="before there was a game in this world"):
        check_known(parse(WALK), "whole", older)
    with pytest.raises(ValueError, match="never saw the game; minisora play makes"):
        check_known(parse(WALK), "tiny", VOCABULARY)


# ------------------------------------------------------------------------------------------- judge


@pytest.mark.parametrize("split", ["seen", "held_out"])
@pytest.mark.parametrize("size", [32, 64])
def test_true_clips_are_read_as_they_are(split, size):
    """Also where a compressor blurs them, or a model leaves noise."""
    for i, scene in enumerate(scenes_of(12, split)):
        video = render([scene], 17, size, size)[0]
        assert read(video).game.boards == scene.boards
        assert judge(video, spec_of(scene)).all
        detailed = detailed_caption(scene, random.Random(i), height=size, width=size)
        assert judge(video, parse(detailed)).all
        noisy = video + 0.2 * torch.randn(video.shape, generator=torch.Generator().manual_seed(i))
        assert read(noisy.clamp(-1, 1)).game.boards == scene.boards
        if size == 64:
            padded = F.pad(video, (1, 1, 1, 1), mode="replicate")
            blurred = F.avg_pool2d(padded, 3, 1)
            assert read(blurred).game.boards == scene.boards


def test_other_clips_are_not_read_as_the_game():
    for family in set(FAMILIES) - {"game"}:
        for i in range(12):
            scene = sample_scene(TEST_SEEDS + i, family, **SIZE)
            assert read_game((render([scene], **SIZE)[0] + 1) / 2) is None, (family, i)
    for flat in (-1.0, -0.75, 1.0):
        assert read_game(torch.full((3, 17, 64, 64), (flat + 1) / 2)) is None


def test_a_sentence_of_the_game_and_another_clip_do_not_agree():
    solo, scene = sample_scene(3), scenes_of(1)[0]
    ordinary, of_game = render([solo, scene])
    asked = judge(ordinary, spec_of(scene))
    assert not asked.all and not any(asked.attributes.values())
    wrong = judge(of_game, spec_of(solo)).attributes
    assert not any(wrong[name] for name in ("game", "count", "shape", "motion", "outline"))
    assert not agrees(spec_of(scene), solo) and not agrees(spec_of(solo), scene)


@pytest.mark.parametrize("kind", list(WRONG)[-6:])
def test_what_is_wrong_is_called_by_its_name(kind):
    expected = {
        "walks the other way": {"direction"},
        "two players": {"game", "rules"},
    }.get(kind, {"rules"})
    for i in range(4):
        scene, video = WRONG[kind](i, random.Random(i))
        attributes = judge(video, spec_of(scene)).attributes
        wrong = {name for name, right in attributes.items() if not right}
        assert expected <= wrong
        if expected != {"game", "rules"}:
            assert wrong <= expected | {"events", "order"}
        if expected == {"rules"}:
            assert wrong == {"rules"}


def test_events_order_and_direction_are_told_apart():
    boards = play("P.ok...\nB......\n########", "→→→→")
    reading = read_game((render([Scene((), family="game", boards=boards)], 5)[0] + 1) / 2)
    for said, wrong in (
        ("takes a coin, then takes the key", set()),
        ("takes the key, then takes a coin", {"order"}),
        ("takes the key, then opens the door", {"events", "order"}),
        ("walks left and takes a coin", {"direction"}),
        ("walks right, at x2 y2", {"position"}),
        ("walks right, from x2 y2 early x6 y2 midway x10 y2 late x14 y2 to x18 y2", set()),
    ):
        attributes = game_attributes(reading, asked_of(f"in the game, the player {said}"))
        assert {name for name, right in attributes.items() if not right} == wrong, said
    assert str(reading) == "the game: the player walks right, takes a coin, then takes the key"


def test_a_neighbouring_tile_is_another_position():
    scene = scenes_of(1)[0]
    asked = asked_of(detailed_caption(scene, random.Random(0)))
    story = tell(scene.boards)
    assert list(asked.path) == path_of(story, [0, 4, 8, 12, 16])
    reading = read(render([scene])[0])
    for i in range(5):
        x, y = asked.path[i]
        moved = (*asked.path[:i], ((x + 4) % 32, y), *asked.path[i + 1 :])
        attributes = game_attributes(reading.game, GameSpec(path=moved))
        assert not attributes["position"]
    assert in_order(spec_of(scene).game.clauses[-1], story)


def test_the_table_of_all_families_has_a_row_for_the_game(monkeypatch):
    """It has no outlines, and so no figure for them."""
    result = results_readme.read("base")
    videos = render(scenes_of(2))
    verdicts = [judge(v, spec_of(s)) for v, s in zip(videos, scenes_of(2), strict=True)]
    figures = summarise(verdicts)
    compressor = {"psnr": result["compressor"]["solo"]["seen"]["psnr"], "psnr_worst_decile": 20.0}
    result["compressor"]["game"] = {"seen": {**compressor, "judge": figures}}
    result["game"] = {"seen": figures, "held_out": figures}
    monkeypatch.setattr(results_readme, "read", lambda name: result)
    (row,) = [line for line in results_readme.whole_world().splitlines() if "| game" in line]
    assert row.count(percent(figures["all"])) == 3
