"""What people say is said again as captions say it, and asks for exactly the same."""

import pytest

from data.experiments.sentences import SENTENCES
from minisora.pipeline import MiniSora
from minisora.world.captions import VOCABULARY
from minisora.world.dataset import ToyWorld
from minisora.world.parse import check_known, parse
from minisora.world.retell import read_again, retell, usual_sentence
from minisora.world.rewordings import REWORDINGS


@pytest.mark.parametrize("world", ["tiny", "whole"])
def test_every_caption_is_said_again_with_the_same_meaning(world):
    clips = ToyWorld(world=world, height=64, width=64)
    for i in range(400):
        scene = clips.scene(i)
        plain, _ = clips.captions(scene, 2)
        asked = parse(plain)
        if not asked.game:
            assert parse(usual_sentence(asked)) == asked, plain


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (
            "the circle is red and the square is blue and they both go down",
            "a red circle moving down and a blue square moving down",
        ),
        ("red circles moving up", "two red circles moving up"),
        (
            "Camera pans left while an orange square stays still!",
            "an orange square standing still, the camera pans left",
        ),
        ("first the red ball goes up, then it stops", "a red circle moving up, then stopping"),
        ("please, a quick star on a dark background", "a fast star on a dark background"),
        ("a monster bites the big box", "a chomper takes a bite out of a large square"),
        (
            "a ball on a navy grid, cut to white hills",
            "a circle on a navy grid, cut to white hills",
        ),
        ("a circle turns blue", "a circle turns blue"),  # captions say what comes first
        ("a ring goes behind the wall", "a ring passes behind a wall"),
        ("a red ball drops onto a box", "a red circle falls onto a square"),
        ("a star in the top left", "a star in the top left"),  # places have no usual words
        ("in the game, the player takes a coin", "in the game, the player takes a coin"),
        ("", ""),
    ],
)
def test_sentences_as_people_type_them(typed, told):
    assert retell(typed, parse(typed)) == told
    assert retell(told, parse(told)) == told


def test_the_sentences_of_students_mean_the_same_after_it():
    said_again = 0
    for sentence in SENTENCES.read_text(encoding="utf-8").splitlines():
        try:
            asked = parse(sentence)
            check_known(asked, "whole")
        except ValueError:
            continue
        told = retell(sentence, asked)
        assert parse(told) == asked
        said_again += told != sentence
    assert said_again >= 15


def test_a_model_is_told_words_that_it_knows(preset):
    typed = "2 red discs travel to the left"
    model = MiniSora(preset, VOCABULARY, REWORDINGS)
    model.preset = preset.__class__(**{**vars(preset), "world": "whole"})
    assert read_again(typed, model) == "two red circles moving left"
    few = [word for word in VOCABULARY if word != "circles"]
    model.tokenizer = model.tokenizer.__class__(few, rewordings=REWORDINGS)
    assert read_again(typed, model) == typed


def test_a_model_of_other_clips_is_told_what_is_typed(preset):
    assert read_again("the cat sat on the mat", MiniSora(preset, VOCABULARY)) == (
        "the cat sat on the mat"
    )
