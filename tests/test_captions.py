"""Captions say what is true of a scene, in many wordings, and `parse` reads them back."""

import itertools
import random
from dataclasses import replace

import pytest

from minisora.inputs import reword
from minisora.measure.judge import read, verdict
from minisora.text import words_of
from minisora.world.captions import (
    VOCABULARY,
    WHEN,
    caption,
    complete_caption,
    detailed_caption,
    place_of,
)
from minisora.world.dataset import ToyWorld, can_show, sample_scene
from minisora.world.families import FAMILIES
from minisora.world.parse import agrees, parse, spec_of
from minisora.world.render import render
from minisora.world.rewordings import REWORDINGS
from minisora.world.scene import Scene

CLIPS = [
    (17, 64, 64),
    (33, 64, 64),
    (17, 48, 80),
    (17, 80, 48),
    (13, 32, 32),
]  # frames, rows, columns


def scenes_of(family: str, count: int, **clip: int) -> list[Scene]:
    return [sample_scene(seed, family, **clip) for seed in range(count)]


@pytest.mark.parametrize("clip", CLIPS)
def test_every_caption_is_true_and_read_back(clip):
    num_frames, height, width = clip
    shape = {"num_frames": num_frames, "height": height, "width": width, "fps": 8}
    duration = (num_frames - 1) / 8
    for family in (family for family in FAMILIES if can_show(family, *clip)):
        for scene in scenes_of(family, 5, num_frames=num_frames, height=height, width=width):
            for wording in range(4):
                plain = caption(scene, random.Random(wording), num_frames=num_frames, fps=8)
                longer = complete_caption(scene, random.Random(wording), **shape)
                detailed = detailed_caption(scene, random.Random(wording), **shape)
                assert longer.startswith(plain + ", ") and detailed.startswith(plain + ", ")
                for text in (plain, longer, detailed):
                    assert set(words_of(text)) <= set(VOCABULARY), text
                    assert agrees(parse(text), scene, duration), text


def test_a_fall_is_read_back_as_the_scene_has_it():
    """What is said and all that was left open make everything that is true of it."""
    for seed in range(60):
        scene = sample_scene(seed, "fall", height=64, width=64)
        text = complete_caption(scene, random.Random(seed), height=64, width=64)
        asked, truth = parse(text), spec_of(scene)
        free = tuple(replace(thing, place=None) for thing in asked.objects)
        assert len({thing.place for thing in asked.objects}) == 2, text
        shades = asked.background
        assert truth.background[0] in shades
        told = replace(asked, objects=free, background=truth.background, camera=truth.camera)
        assert told == truth, text


def test_a_complete_caption_leaves_little_open():
    """Of one object it says colour, size, motion and place, and the background."""
    for family in ("solo", "return"):
        for scene in scenes_of(family, 40):
            text = complete_caption(scene, random.Random(scene.seed))
            asked = parse(text)
            (thing,) = asked.objects
            assert None not in (thing.shape, thing.color, thing.size, thing.motion, thing.place), (
                text
            )
            (body,) = scene.objects
            assert thing.place == place_of(body.x, body.y, (1.0, 1.0))
            assert asked.background is not None, text


def test_a_caption_does_not_agree_with_another_scene():
    world = ToyWorld(world="whole")
    scenes = [world.scene(i) for i in range(300)]
    clashes = 0
    for a, b in itertools.pairwise(scenes):
        clashes += agrees(parse(complete_caption(a, random.Random(0))), b)
    assert clashes <= 1


def test_most_words_are_used():
    world = ToyWorld(world="whole")
    used = set()
    for i in range(500):
        scene = world.scene(i)
        for text in world.captions(scene, 6):
            used |= set(words_of(text))
    assert len(set(VOCABULARY) - used) < 10, set(VOCABULARY) - used


def test_captions_are_left_as_they_are():
    world = ToyWorld(world="whole")
    for i in range(300):
        for text in world.captions(world.scene(i), 6):
            words = words_of(text)
            assert reword(words, REWORDINGS) == words
            parse(text)


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
    world = ToyWorld(**shape)
    words = set()
    for i in range(24):
        family = "solo" if world.shape["num_frames"] == 1 else ("solo", "pair", "collision")[i % 3]
        scene = sample_scene(i, family, **world.shape)
        plain = caption(scene, random.Random(i), **world.rate)
        detailed = detailed_caption(scene, random.Random(i), **world.shape)
        assert len(detailed.split()) < 64
        asked = parse(detailed)
        without_paths = tuple(replace(spec, path=None) for spec in asked.objects)
        assert replace(asked, objects=without_paths) == parse(plain)
        reading = read(render([scene], **world.shape)[0])
        assert verdict(reading, asked).attributes["position"], (detailed, i)
        words |= set(words_of(detailed))
    moving = world.shape["num_frames"] > 1
    assert words >= ({"at", *WHEN} if moving else {"at"})


def test_a_spec_says_everything_that_a_scene_has():
    for family in FAMILIES:
        for scene in scenes_of(family, 3):
            assert agrees(spec_of(scene), scene)
