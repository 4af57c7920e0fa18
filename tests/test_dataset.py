"""Scenes and splits: what is sampled stays in view, agrees with its words and leaks nothing."""

import time

import pytest

from minisora.world.dataset import (
    HELD_OUT,
    MOTION_WEIGHTS,
    SHAPE_COLOR_PAIRS,
    TEST_SEEDS,
    ToyWorld,
    is_held_out,
    sample_scene,
)
from minisora.world.scene import EXTENT, MOTIONS, ROUND, SIZES, simulate

SIZES_OF_CLIPS = [
    (32, 32, 17, 8),
    (24, 40, 9, 8),
    (40, 24, 17, 12),
    (32, 32, 1, 8),
    (32, 32, 33, 6),
]


@pytest.mark.parametrize("height,width,num_frames,fps", SIZES_OF_CLIPS)
def test_objects_stay_in_view(height, width, num_frames, fps):
    unit = min(height, width)
    clip = {"num_frames": num_frames, "height": height, "width": width, "fps": fps}
    for seed in range(40):
        scene = sample_scene(seed, "pair" if seed % 2 else "solo", **clip)
        tracks = simulate(scene, num_frames, fps, height / unit)
        for k, thing in enumerate(scene.objects):
            side, top, bottom = EXTENT[thing.shape]
            x, y = tracks.positions[:, k].unbind(1)
            radii = tracks.radii[:, k]
            assert (x.abs() + side * radii).max() <= width / unit + 1e-5
            assert (top * radii - y).max() <= height / unit + 1e-5
            assert (bottom * radii + y).max() <= height / unit + 1e-5


def test_invisible_motion_is_never_made():
    things = [sample_scene(seed).objects[0] for seed in range(1000)]
    assert not any(o.motion == "spinning" and o.shape in ROUND for o in things)
    assert {o.motion for o in things} == set(MOTIONS)
    with pytest.raises(ValueError, match="looks like a still one"):
        sample_scene(0, shape="ring", motion="spinning")


def test_hard_motions_come_more_often_in_training_and_rotate_clockwise():
    world = ToyWorld(pair_fraction=0.0)
    things = [world.scene(i).objects[0] for i in range(1000)]
    usual = 1 / (len(MOTIONS) + sum(weight - 1 for weight in MOTION_WEIGHTS.values()))
    for motion in MOTIONS:
        fraction = sum(o.motion == motion for o in things) / len(things)
        assert fraction == pytest.approx(MOTION_WEIGHTS.get(motion, 1) * usual, abs=0.04)
    assert all(o.angular_velocity > 0 for o in things if o.motion == "circling")
    assert all(o.spin > 0 for o in things if o.motion == "spinning")


def test_nothing_held_out_leaks_into_training():
    world = ToyWorld()
    training = [world.scene(i) for i in range(250)]
    pairs = {(o.shape, o.color) for scene in training for o in scene.objects}
    assert pairs == set(SHAPE_COLOR_PAIRS["seen"])
    assert not pairs & HELD_OUT
    for i in range(40):
        for family in ("solo", "pair"):
            held = sample_scene(TEST_SEEDS + i, family, "held_out")
            assert all(is_held_out(o.shape, o.color) for o in held.objects)
    test = ToyWorld(first_seed=TEST_SEEDS)
    ours = {(s.background, s.texture, s.objects) for s in training}
    assert not any(
        (s.background, s.texture, s.objects) in ours for s in map(test.scene, range(100))
    )


def test_pairs_have_two_colours_and_sizes_match_words():
    for seed in range(100):
        scene = sample_scene(seed, "pair")
        assert scene.objects[0].color != scene.objects[1].color
        for thing in scene.objects:
            low, high = SIZES[thing.size]
            assert low <= thing.radius <= high


def test_wishes_are_kept():
    wishes = {"shape": "star", "color": "pink", "size": "large", "motion": "thrown"}
    for seed in range(20):
        scene = sample_scene(seed, **wishes, background="white", texture="grid")
        (thing,) = scene.objects
        assert {name: getattr(thing, name) for name in wishes} == wishes
        assert (scene.background, scene.texture) == ("white", "grid")


def test_a_spinning_object_is_found_in_every_colour():
    """A colour whose first drawn shape is held out or round is no reason to give up."""
    for split in SHAPE_COLOR_PAIRS:
        for color in {c for s, c in SHAPE_COLOR_PAIRS[split] if s not in ROUND}:
            for seed in range(8):
                thing = sample_scene(seed, split=split, color=color, motion="spinning").objects[0]
                assert (thing.shape, thing.color) in SHAPE_COLOR_PAIRS[split]
                assert thing.color == color and thing.shape not in ROUND


@pytest.mark.parametrize(
    "options,message",
    [
        ({"family": "trio"}, "solo, pair"),
        ({"split": "test"}, "seen, held_out"),
        ({"shape": "hexagon"}, "circle, square"),
        ({"shade": "dark"}, "attribute='shade'.*shape, color"),
        ({"family": "pair", "shape": "star"}, "attribute='shape'.*background, texture"),
        ({"shape": "circle", "color": "green"}, "green circle is not in the split 'seen'"),
        ({"shape": "circle", "split": "held_out", "color": "red"}, "red circle is not in"),
        ({"motion": "spinning", "color": "red", "split": "held_out"}, "spinning red shape is not"),
        ({"num_frames": 0}, "num_frames=0 is not a whole number of at least 1"),
        ({"num_frames": 2.5}, "num_frames=2.5"),
        ({"height": -32}, "height=-32"),
        ({"fps": 0}, "fps=0 is not a positive number"),
        ({"fps": float("nan")}, "fps=nan"),
        ({"fps": 1e-6, "motion": "bouncing"}, "at most 600"),
        ({"num_frames": 10**9}, "at most 600"),
    ],
)
def test_impossible_wishes_are_refused_at_once(options, message):
    began = time.process_time()
    with pytest.raises(ValueError, match=message):
        sample_scene(0, **options)
    assert time.process_time() - began < 0.5


def test_a_world_refuses_a_fraction_that_is_none():
    for fraction in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            ToyWorld(pair_fraction=fraction)
