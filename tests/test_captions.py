import random

import pytest

from minisora.world.captions import VOCABULARY, Ask, Request, agrees, caption, parse, request_of
from minisora.world.dataset import ToyWorld


def test_captions_say_the_truth_and_all_words_are_used():
    world, words, lengths = ToyWorld(), set(), []
    for i in range(1500):
        scene = world.scene(i)
        text = caption(scene, random.Random(i))
        assert agrees(parse(text), scene), (text, scene)
        words |= set(text.replace(",", "").split())
        lengths.append(len(text.split()))
    assert words == set(VOCABULARY)
    assert min(lengths) <= 5 and max(lengths) >= 18


def test_descriptive_captions_say_everything_of_a_solo():
    world = ToyWorld(pair_share=0.0)
    for i in range(300):
        scene = world.scene(i)
        assert parse(caption(scene, random.Random(i), "descriptive")) == request_of(scene)


def test_a_caption_does_not_agree_with_another_scene():
    world = ToyWorld(pair_share=0.0)
    scenes = [world.scene(i) for i in range(200)]
    clashes = sum(agrees(parse(caption(a, random.Random(0), "descriptive")), b) for a, b in zip(scenes, scenes[1:], strict=False))
    assert clashes <= 1


@pytest.mark.parametrize("prompt", [
    "a large red circle bouncing on a navy background",
    "bouncing on a navy background, a big red disc",
    "on a plain navy background, a large red circle is bouncing up and down",
    "a circle that is large and red is bouncing on a navy background",
])  # fmt: skip
def test_many_ways_one_meaning(prompt):
    assert parse(prompt) == Request((Ask("circle", "red", "large", "bouncing"),), "navy", "plain", None)


def test_left_free_is_none():
    assert parse("red circle").objects == (Ask("circle", "red"),)
    assert parse("") == Request()


def test_pairs_and_collisions():
    asked = parse("a red circle going to the left to the left of a blue square not moving on a black grid")
    assert asked == Request((Ask("circle", "red", None, "left"), Ask("square", "blue", None, "still")), "black", "grid", "left of")
    asked = parse("a small blue square is hit by a large red circle from above")
    assert asked == Request((Ask("circle", "red", "large", "hits"), Ask("square", "blue", "small", "hit")), None, None, "above")
    assert [o.motion for o in parse("a red ring over a pink star, both sinking").objects] == ["down", "down"]


@pytest.mark.parametrize("prompt,message", [
    ("a purple circle", "'purple'.*nearest known words"),
    ("a red cirkle", "nearest known words are: circle"),
    ("red bouncing", "names no shape"),
    ("a red blue circle", "two things at once"),
    ("a red circle left of", "only one object"),
    ("a circle a square a star", "3 objects"),
    ("a red circle spinning", "looks like a still one"),
    ("a red circle hits", "second object"),
])  # fmt: skip
def test_mistakes_say_the_way_out(prompt, message):
    with pytest.raises(ValueError, match=message):
        parse(prompt)
