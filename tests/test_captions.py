"""Captions say what is true of a scene, and `parse` reads them back."""

import random
from dataclasses import replace

import pytest

from minisora.measure.judge import read, verdict
from minisora.world.captions import POSITION_WORDS, VOCABULARY, WHEN, caption, detailed_caption
from minisora.world.dataset import ToyWorld
from minisora.world.parse import ObjectSpec, PromptSpec, agrees, parse, spec_of
from minisora.world.render import render


def test_captions_say_the_truth_and_all_words_are_used():
    world = ToyWorld()
    words = set()
    lengths = []
    for i in range(250):
        scene = world.scene(i)
        for wording in range(6):
            text = caption(scene, random.Random(f"{i} {wording}"))
            assert agrees(parse(text), scene), (text, scene)
            words |= set(text.replace(",", "").split())
            lengths.append(len(text.split()))
    assert words == set(VOCABULARY) - set(POSITION_WORDS) | {"from", "to"}
    assert min(lengths) <= 5 and max(lengths) >= 18


def test_descriptive_captions_say_everything_of_a_solo():
    world = ToyWorld(pair_fraction=0.0)
    for i in range(300):
        scene = world.scene(i)
        assert parse(caption(scene, random.Random(i), "descriptive")) == spec_of(scene)


def test_a_caption_does_not_agree_with_another_scene():
    world = ToyWorld(pair_fraction=0.0)
    scenes = [world.scene(i) for i in range(200)]
    clashes = sum(
        agrees(parse(caption(a, random.Random(0), "descriptive")), b)
        for a, b in zip(scenes, scenes[1:], strict=False)
    )
    assert clashes <= 1


@pytest.mark.parametrize(
    "prompt",
    [
        "a large red circle bouncing on a navy background",
        "bouncing on a navy background, a big red disc",
        "on a plain navy background, a large red circle is bouncing up and down",
        "a circle that is large and red is bouncing on a navy background",
    ],
)
def test_many_ways_one_meaning(prompt):
    assert parse(prompt) == PromptSpec(
        (ObjectSpec("circle", "red", "large", "bouncing"),), "navy", "plain", None
    )


def test_left_free_is_none():
    assert parse("red circle").objects == (ObjectSpec("circle", "red"),)
    assert parse("") == PromptSpec()


def test_pairs_and_collisions():
    asked = parse(
        "a red circle going to the left to the left of a blue square not moving on a black grid"
    )
    assert asked == PromptSpec(
        (ObjectSpec("circle", "red", None, "left"), ObjectSpec("square", "blue", None, "still")),
        "black",
        "grid",
        "left of",
    )
    asked = parse("a small blue square is hit by a large red circle from above")
    assert asked == PromptSpec(
        (
            ObjectSpec("circle", "red", "large", "hits"),
            ObjectSpec("square", "blue", "small", "hit"),
        ),
        None,
        None,
        "above",
    )
    assert [o.motion for o in parse("a red ring over a pink star, both sinking").objects] == [
        "down",
        "down",
    ]


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"num_frames": 1},
        {"num_frames": 33},
        {"height": 24, "width": 40},
        {"height": 40, "width": 24},
    ],
)
def test_detailed_captions_say_where_objects_are(shape):
    world = ToyWorld(pair_fraction=0.5, **shape)
    words = set()
    for i in range(24):
        scene = world.scene(i)
        plain = caption(scene, random.Random(i))
        detailed = detailed_caption(scene, random.Random(i), **world.shape)
        assert detailed.startswith(plain + ", ") and len(detailed.split()) < 64
        asked = parse(detailed)
        without_paths = tuple(replace(spec, path=None) for spec in asked.objects)
        assert replace(asked, objects=without_paths) == parse(plain)
        reading = read(render([scene], **world.shape)[0])
        assert verdict(reading, asked).attributes["position"], (detailed, i)
        words |= set(detailed.replace(",", "").split())
    moving = world.shape["num_frames"] > 1
    assert words >= ({"at", *WHEN} if moving else {"at"})


def test_a_wrong_position_is_seen():
    scene = ToyWorld(pair_fraction=0.0).scene(1)
    detailed = detailed_caption(scene, random.Random(0))
    (thing,) = parse(detailed).objects
    away = tuple(((x + 8) % 32, y) for x, y in thing.path)
    reading = read(render([scene])[0])
    assert verdict(reading, PromptSpec((ObjectSpec(path=thing.path),))).all
    assert not verdict(reading, PromptSpec((ObjectSpec(path=away),))).all
    for i in range(5):  # every moment counts
        path = (*thing.path[:i], away[i], *thing.path[i + 1 :])
        assert not verdict(reading, PromptSpec((ObjectSpec(path=path),))).all


def test_positions_belong_to_objects_in_the_order_of_their_names():
    asked = parse(
        "a blue square is hit by a red circle from above, at x16 y18 and "
        "from x16 y4 early x16 y7 midway x16 y10 late x16 y9 to x16 y8"
    )
    assert [(o.shape, o.motion, o.path) for o in asked.objects] == [
        ("circle", "hits", ((16, 4), (16, 7), (16, 10), (16, 9), (16, 8))),
        ("square", "hit", ((16, 18),) * 5),
    ]


@pytest.mark.parametrize(
    "prompt,message",
    [
        ("a red circle at x3", "'at' is not part of a whole position.*at x16 y18"),
        ("a red circle from x3 y4 to x5 y4", "not part of a whole position"),
        ("a red circle at x3 y4 and at x5 y6", "2 positions for 1 objects"),
        ("a red circle at x32 y4", "unknown word 'x32'"),
        ("a purple circle", "'purple'.*nearest known words"),
        ("a red cirkle", "nearest known words are: circle"),
        ("red bouncing", "names no shape"),
        ("a red blue circle", "two things at once"),
        ("a red circle left of", "only one object"),
        ("a circle a square a star", "3 objects"),
        ("a red circle spinning", "looks like a still one"),
        ("a red circle hits", "second object"),
    ],
)
def test_mistakes_say_the_way_out(prompt, message):
    with pytest.raises(ValueError, match=message):
        parse(prompt)
