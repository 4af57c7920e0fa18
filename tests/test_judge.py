"""The judge on true clips of any size and frame rate, and on planted wrong ones.

`python -m data.experiments.judge_report` does many more of both.
"""

import random

import pytest
import torch

from data.experiments.judge_report import CLIPS, WRONG, break_outline, plant, read_truth
from minisora.measure.judge import WHOLE_OUTLINE, Verdict, judge, read, verdict
from minisora.world.dataset import sample_scene
from minisora.world.parse import ObjectSpec, PromptSpec, parse, spec_of
from minisora.world.render import render
from minisora.world.scene import SHAPES


def assert_read_rightly(counts):
    for name in ("shape", "color", "size", "motion", "count", "background", "relation", "outline"):
        assert counts[f"right {name}"] >= 0.995 * counts[name], (name, counts)
    assert counts["right all and outline"] >= 0.99 * counts["all and outline"]


def test_reads_the_truth():
    assert_read_rightly(read_truth(96))


@pytest.mark.parametrize("num_frames,height,width,fps", CLIPS[1:])
def test_reads_the_truth_at_any_size_and_frame_rate(num_frames, height, width, fps):
    assert_read_rightly(read_truth(12, num_frames, height, width, fps))


@pytest.mark.slow
@pytest.mark.parametrize("num_frames,height,width,fps", CLIPS)
def test_reads_much_truth(num_frames, height, width, fps):
    assert_read_rightly(read_truth(500, num_frames, height, width, fps))


def test_catches_wrong_clips():
    caught, total = plant(8)
    assert total == dict.fromkeys(WRONG, 8)
    for kind in WRONG:
        assert caught[kind] == 8, (kind, caught)


@pytest.mark.slow
def test_catches_many_wrong_clips():
    caught, total = plant(250)
    for kind in WRONG:
        assert caught[kind] >= 0.97 * total[kind], (kind, caught)


def test_hits_need_contact():
    """Everything else in such a clip is as a collision has it."""
    for i in range(4):
        scene, video = WRONG["hits without contact"](i, random.Random(i))
        near = judge(render([scene])[0], spec_of(scene))
        apart = judge(video, spec_of(scene))
        assert near.attributes["motion"] and not apart.attributes["motion"]
        rest = {name: right for name, right in apart.attributes.items() if name != "motion"}
        assert all(rest.values()), rest


@pytest.mark.parametrize("shape", SHAPES)
def test_an_outline_breaks_in_the_frame_where_half_of_it_is_missing(shape):
    scene = sample_scene(3, shape=shape, size="large", motion="circling")
    (thing,) = read(break_outline(scene, 9, 1.0, 0.5)).objects
    broken = (thing.outline < WHOLE_OUTLINE).nonzero().flatten().tolist()
    assert broken == [9] and not thing.whole
    (thing,) = read(render([scene])[0]).objects
    assert thing.whole and float(thing.outline.min()) > 0.9


def test_an_outline_is_reported_beside_what_was_asked():
    whole = Verdict({"shape": True, "outline": True})
    torn = Verdict({"shape": True, "outline": False})
    wrong = Verdict({"shape": False, "outline": True})
    assert [v.all for v in (whole, torn, wrong)] == [True, True, False]
    assert [v.all_and_outline for v in (whole, torn, wrong)] == [True, False, False]
    assert [str(v) for v in (whole, torn, wrong)] == [
        "as asked",
        "as asked, but an outline breaks up",
        "not as asked: shape",
    ]
    assert "outline" not in verdict(read(torch.full((3, 17, 32, 32), -1.0)), parse("")).attributes


def test_an_empty_verdict_is_not_right():
    assert not Verdict({}).all and not Verdict({}).all_and_outline
    assert str(Verdict({})) == "nothing was asked"


def test_nothing_is_read_from_noise_or_an_empty_background():
    noise = torch.rand(3, 17, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    request = parse("a red circle moving left")
    assert not judge(noise, request).all
    empty = read(torch.full((3, 17, 32, 32), -1.0))
    assert empty.objects == ()
    assert not any(verdict(empty, request).attributes.values())


def test_what_was_not_asked_is_not_judged():
    scene = sample_scene(3)
    reading = read(render([scene])[0])
    color = scene.objects[0].color
    assert verdict(reading, PromptSpec((ObjectSpec(color=color),))).attributes == {
        "count": True,
        "color": True,
        "outline": True,
    }


def test_either_object_may_be_named_first():
    scene = next(s for s in (sample_scene(i, "pair") for i in range(20)) if not s.collides)
    reading = read(render([scene])[0])
    a, b = (ObjectSpec(o.shape, o.color) for o in scene.objects)
    assert verdict(reading, PromptSpec((a, b), relation=scene.relation)).all
    assert verdict(reading, PromptSpec((b, a))).all
    mixed = PromptSpec((ObjectSpec(a.shape, b.color), ObjectSpec(b.shape, a.color)))
    assert a.shape == b.shape or not verdict(reading, mixed).all


def test_a_fall_that_does_not_land_may_be_a_bounce():
    for motion in ("falling", "bouncing"):
        scene = sample_scene(2, motion=motion, num_frames=7)
        video = render([scene], num_frames=7)[0]
        for asked in ("falling", "bouncing"):
            assert judge(video, PromptSpec((ObjectSpec(motion=asked),))).all
        assert not judge(video, PromptSpec((ObjectSpec(motion="down"),))).all
    landed = render([sample_scene(2, motion="falling")])[0]
    assert not judge(landed, PromptSpec((ObjectSpec(motion="bouncing"),))).all


def test_a_single_image_is_read():
    scene = sample_scene(3, num_frames=1, motion="still")
    (seen,) = read(render([scene], 1)[0]).objects
    (thing,) = scene.objects
    assert (seen.color, seen.shape, seen.size) == (thing.color, thing.shape, thing.size)
    assert seen.whole


def test_what_is_no_clip_is_refused():
    with pytest.raises(ValueError, match="3, T, H, W"):
        read(torch.zeros(1, 3, 17, 32, 32))
    for fps in (0, -8, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="positive number"):
            read(torch.zeros(3, 17, 32, 32), fps)


def test_an_extra_object_counts_against():
    scene = sample_scene(5, "pair")
    first = scene.objects[0]
    request = PromptSpec((ObjectSpec(first.shape, first.color),))
    assert not judge(render([scene])[0], request).attributes["count"]
