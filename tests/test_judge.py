"""The judge on true clips of any size and frame rate, and on planted wrong ones.

`python -m data.experiments.judge_report` does many more of both.
"""

import random
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from data.experiments import judge_report
from data.experiments.judge_report import (
    CLIPS,
    SIZE,
    WRONG,
    WRONG_IN_TINY,
    break_outline,
    families_at,
    plant,
    read_truth,
)
from minisora.measure.judge import WHOLE_OUTLINE, Verdict, judge, read, verdict
from minisora.measure.shapes import AREA, CENTER
from minisora.world.captions import caption, detailed_caption
from minisora.world.dataset import TEST_SEEDS, sample_scene
from minisora.world.families import FAMILIES
from minisora.world.parse import ObjectSpec, PromptSpec, parse, spec_of
from minisora.world.render import coverage, pixel_grid, render
from minisora.world.scene import SHAPES, Camera, Scene, SceneObject


def assert_read_rightly(counts, least=0.99):
    for name in [name for name in counts if name.startswith("right ")]:
        asked = name.removeprefix("right ")
        assert counts[name] >= least * counts[asked], (asked, counts)


@pytest.mark.parametrize("family", FAMILIES)
def test_reads_the_truth(family):
    assert_read_rightly(read_truth(family, 6))


@pytest.mark.parametrize("num_frames,height,width,fps", CLIPS[1:])
def test_reads_the_truth_at_any_size_and_frame_rate(num_frames, height, width, fps):
    clips = 1 if min(height, width) >= 48 else 12
    for family in families_at(num_frames, height, width):
        assert_read_rightly(read_truth(family, clips, num_frames, height, width, fps))


@pytest.mark.parametrize(
    "kind,wrong",
    [("bitten before the touch", True), ("lit without a touch", True), ("bite healed", False)],
)
def test_an_effect_before_its_cause_is_called_so(kind, wrong):
    found = []
    for i in range(8):
        scene, video = WRONG[kind](i, random.Random(f"{kind} {i}"))
        found.append(judge(video, spec_of(scene)).attributes.get("touch"))
    if wrong:
        assert found.count(False) >= 4
    else:
        assert set(found) == {True}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_reads_much_truth(family):
    assert_read_rightly(read_truth(family, 60))


@pytest.mark.slow
@pytest.mark.parametrize("size", CLIPS[5:])
def test_reads_much_truth_in_few_pixels(size):
    """Where two of one colour touch, 2 outlines of 150 seem to break."""
    for family in families_at(*size[:3]):
        assert_read_rightly(read_truth(family, 150, *size), 0.98)


@pytest.mark.parametrize("kind", WRONG)
def test_catches_wrong_clips(kind):
    assert plant(kind, 3) == 3


@pytest.mark.parametrize("clips", [8, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", WRONG_IN_TINY)
def test_catches_wrong_clips_in_few_pixels(kind, clips, monkeypatch):
    monkeypatch.setattr(judge_report, "SIZE", {"num_frames": 17, "height": 32, "width": 32})
    assert plant(kind, clips) >= 0.97 * clips


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRONG)
def test_catches_many_wrong_clips(kind):
    assert plant(kind, 50) >= 49


def test_true_clips_are_as_their_captions_say():
    """At most one of 28, because an anti-aliased pixel more or less can decide."""
    wrong = []
    for family in FAMILIES:
        for i in range(2):
            scene = sample_scene(TEST_SEEDS + 500 + i, family, **SIZE)
            asked = parse(caption(scene, random.Random(i)))
            if not judge(render([scene], **SIZE)[0], asked).all_and_outline:
                wrong.append(scene)
    assert len(wrong) <= 1, wrong


@pytest.mark.parametrize("family", FAMILIES)
def test_another_clip_of_the_family_is_not_as_asked(family):
    scenes = [sample_scene(TEST_SEEDS + 600 + i, family, **SIZE) for i in range(6)]
    for scene, other in zip(scenes, render(scenes, **SIZE).roll(1, dims=0), strict=True):
        assert not judge(other, spec_of(scene)).all


@pytest.mark.parametrize(
    ("family", "seed", "pixel"), [("paint", 2, 4), ("paint", 4, 4), ("bite", 1, 5)]
)
def test_a_mark_with_ragged_edges_is_a_mark(family, seed, pixel):
    """Large pixels stand for a model's soft edges: the outline breaks, what happens is the same."""
    scene = sample_scene(TEST_SEEDS + seed, family, **SIZE)
    video = render([scene], **SIZE)[0].transpose(0, 1)
    few = F.interpolate(video, size=(64 // pixel, 64 // pixel), mode="area")
    ragged = F.interpolate(few, size=(64, 64)).transpose(0, 1)
    seen = judge(ragged, spec_of(scene))
    assert seen.attributes["mark"] and not seen.attributes["outline"]


@pytest.mark.parametrize("family", ["bite", "lamp", "paint"])
def test_a_clip_that_runs_backwards_is_another_event(family):
    """A bite heals, a lamp goes out, a line is taken back."""
    for i in range(4):
        scene = sample_scene(TEST_SEEDS + i, family, **SIZE)
        assert not judge(render([scene], **SIZE)[0].flip(1), spec_of(scene)).all, i


@pytest.mark.parametrize("family", ["fall", "collision"])
def test_two_of_one_color_that_touch_keep_their_outlines(family):
    """Where a small one ends and a large one begins is not halfway between their centres."""
    for i in range(12):
        scene = sample_scene(TEST_SEEDS + i, family, **SIZE)
        first, second = scene.objects
        scene = replace(scene, objects=(first, replace(second, color=first.color)))
        assert judge(render([scene], **SIZE)[0], spec_of(scene)).all_and_outline, i


def test_a_wrong_position_is_seen():
    scene = sample_scene(1)
    (thing,) = parse(detailed_caption(scene, random.Random(0))).objects
    away = tuple(((x + 8) % 32, y) for x, y in thing.path)
    reading = read(render([scene])[0])
    assert verdict(reading, PromptSpec((ObjectSpec(path=thing.path),))).all
    for i in range(5):  # every moment counts
        path = (*thing.path[:i], away[i], *thing.path[i + 1 :])
        assert not verdict(reading, PromptSpec((ObjectSpec(path=path),))).all


@pytest.mark.parametrize("shape", AREA)
def test_areas_and_centers_are_those_of_the_drawn_shapes(shape):
    alpha = coverage(shape, torch.zeros(2), torch.tensor(0.7), torch.tensor(0.0), 400, 400)
    assert float(alpha.sum()) / 200**2 / 0.49 == pytest.approx(AREA[shape], rel=0.01)
    x, y = pixel_grid(400, 400)
    center = ((alpha * x).sum() / alpha.sum() / 0.7, (alpha * y).sum() / alpha.sum() / 0.7)
    assert [float(c) for c in center] == pytest.approx(CENTER.get(shape, (0, 0)), abs=0.01)


def test_what_was_not_asked_of_the_surroundings_counts_against():
    """A wall and a cut; a camera of which nothing was said is free."""
    for family, name in (("wall", "wall"), ("shots", "cut")):
        scene = sample_scene(1, family, **SIZE)
        (thing,) = scene.objects
        asked = PromptSpec((ObjectSpec(thing.shape, thing.color),))
        assert not judge(render([scene], **SIZE)[0], asked).attributes[name]
    scene = sample_scene(1, "camera", **SIZE)
    (thing,) = scene.objects
    asked = PromptSpec((ObjectSpec(thing.shape, thing.color),))
    assert judge(render([scene], **SIZE)[0], asked).all


def test_a_camera_that_cannot_be_seen_is_not_judged():
    thing = SceneObject("square", "red", "small", "still", 0.3, 0.0, 0.0)
    scene = Scene((thing,), "navy", "plain", camera=Camera("pans left", 0.5))
    asked = PromptSpec((ObjectSpec("square", "red"),), camera=("pans left",))
    assert "camera" not in judge(render([scene], **SIZE)[0], asked).attributes


@pytest.mark.parametrize("kind", ["pans right", "zooms out", "looks left and back"])
def test_a_camera_path_is_read_to_half_a_pixel(kind):
    amount = {"pans right": 0.7, "zooms out": -0.5, "looks left and back": 2.3}[kind]
    scene = sample_scene(3, texture="hills", **SIZE)
    path = Camera(kind, amount)
    view = read(render([Scene((), scene.background, "hills", camera=path)], **SIZE)[0]).view
    truth = torch.tensor([path.at(frame / 8) for frame in range(17)])
    assert view.kind == kind
    assert float((view.camera - truth).abs().max()) < 0.016


@pytest.mark.parametrize("kind", ["hits without contact", "bounces off nothing"])
def test_hits_and_falls_need_contact(kind):
    """Everything else in such a clip is as a collision, or a fall onto another, has it."""
    for i in range(4):
        scene, video = WRONG[kind](i, random.Random(i))
        near = judge(render([scene], **SIZE)[0], spec_of(scene))
        apart = judge(video, spec_of(scene))
        assert near.attributes["motion"] and not apart.attributes["motion"]
        rest = {name: right for name, right in apart.attributes.items() if name != "motion"}
        assert all(rest.values()), rest


@pytest.mark.parametrize("shape", SHAPES)
def test_an_outline_breaks_in_the_frame_where_half_of_it_is_missing(shape):
    scene = sample_scene(3, shape=shape, size="large", motion="circling", **SIZE)
    (thing,) = read(break_outline(scene, 9, 1.0, 0.5)).objects
    broken = (thing.outline < WHOLE_OUTLINE).nonzero().flatten().tolist()
    assert broken == [9] and not thing.whole
    (thing,) = read(render([scene], **SIZE)[0]).objects
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
    scene = sample_scene(0, "pair")
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
