"""Scenes and splits: what is sampled stays in view, agrees with its words and leaks nothing."""

import time

import pytest
import torch

from minisora.world.dataset import (
    IN_IMAGES,
    MOTION_WEIGHTS,
    TEST_SEEDS,
    WORLDS,
    ToyWorld,
    can_show,
    is_held_out,
    sample_scene,
)
from minisora.world.families import FAMILIES, HELD_OUT, SHAPE_COLOR_PAIRS, SOLO_MOTIONS
from minisora.world.parse import parse
from minisora.world.scene import (
    COLORS,
    DIRECTIONS,
    EXTENT,
    ROUND,
    SIZES,
    TOOLS,
    Scene,
    simulate,
)

SIZES_OF_CLIPS = [
    (32, 32, 17, 8),
    (24, 40, 9, 8),
    (40, 24, 17, 12),
    (32, 32, 1, 8),
    (32, 32, 33, 6),
]


@pytest.mark.parametrize("height,width,num_frames,fps", SIZES_OF_CLIPS)
def test_objects_stay_in_view(height, width, num_frames, fps):
    """What leaves the frame on purpose is in view at the beginning and at the end."""
    unit = min(height, width)
    clip = {"num_frames": num_frames, "height": height, "width": width, "fps": fps}
    for family in (own for own in FAMILIES if can_show(own, num_frames, height, width)):
        frames = slice(None)
        if family in ("away", "return"):
            frames = slice(None, None, num_frames - 1)
        for seed in range(10):
            scene = sample_scene(seed, family, **clip)
            positions, radii = simulate(scene, num_frames, fps, height / unit).on_screen()
            for k, thing in enumerate(scene.objects):
                side, top, bottom = EXTENT[thing.shape]
                x, y = positions[frames, k].unbind(1)
                r = radii[frames, k]
                assert (x.abs() + side * r).max() <= width / unit + 1e-5
                assert (top * r - y).max() <= height / unit + 1e-5
                assert (bottom * r + y).max() <= height / unit + 1e-5


def test_invisible_motion_is_never_made():
    things = [sample_scene(seed).objects[0] for seed in range(1000)]
    assert not any(o.motion == "spinning" and o.shape in ROUND for o in things)
    assert {o.motion for o in things} == set(SOLO_MOTIONS)
    with pytest.raises(ValueError, match="looks like a still one"):
        sample_scene(0, shape="ring", motion="spinning")


def test_hard_motions_come_more_often_in_training():
    world = ToyWorld()
    scenes = [world.scene(i) for i in range(700)]
    motions = [scene.objects[0].motion for scene in scenes if scene.family == "solo"]
    usual = 1 / sum(MOTION_WEIGHTS.get(motion, 1) for motion in SOLO_MOTIONS)
    for motion in SOLO_MOTIONS:
        expected = MOTION_WEIGHTS.get(motion, 1) * usual
        assert motions.count(motion) / len(motions) == pytest.approx(expected, abs=0.05), motion


@pytest.mark.parametrize("name", WORLDS)
def test_families_come_as_often_as_their_world_says(name):
    world = ToyWorld(world=name)
    families = [world.scene(i).family for i in range(600)]
    assert set(families) == set(WORLDS[name])
    for family in FAMILIES:
        expected = WORLDS[name].get(family, 0.0)
        assert families.count(family) / 600 == pytest.approx(expected, abs=0.06), family


def test_nothing_held_out_leaks_into_training():
    world = ToyWorld(world="whole")
    training = [world.scene(i) for i in range(400)]
    assert shown_pairs(training) == set(SHAPE_COLOR_PAIRS["seen"])
    for family in FAMILIES:
        held_out = [sample_scene(TEST_SEEDS + i, family, "held_out") for i in range(10)]
        assert all(is_held_out(*pair) for pair in shown_pairs(held_out))
    taken_on = {(o.shape, o.then) for scene in training for o in scene.objects}
    assert not taken_on & HELD_OUT
    test = ToyWorld(first_seed=TEST_SEEDS)
    ours = {(s.background, s.texture, s.objects) for s in training}
    assert not any(
        (s.background, s.texture, s.objects) in ours for s in map(test.scene, range(100))
    )


def shown_pairs(scenes: list[Scene]) -> set[tuple[str, str]]:
    """Shapes and colours that objects have at first."""
    things = [thing for scene in scenes for thing in scene.objects]
    return {(thing.shape, thing.color) for thing in things if thing.shape not in TOOLS}


def test_images_show_what_one_frame_can():
    world = ToyWorld(world="whole", num_frames=1, height=64, width=64)
    assert {world.scene(i).family for i in range(60)} == set(IN_IMAGES)


def test_the_second_event_comes_after_the_first():
    for seed in range(20):
        scene = sample_scene(seed, "order")
        (thing,) = scene.objects
        tracks = simulate(scene)
        steps = tracks.positions.diff(dim=0)[:, 0]  # (T - 1, 2)
        first = torch.tensor(DIRECTIONS.get(thing.motion, (0, 0)))
        assert torch.equal(steps[0].sign(), first)
        if thing.then in COLORS:
            assert tracks.colors[0, 0].tolist() == list(COLORS[thing.color])
            assert tracks.colors[-1, 0].tolist() == list(COLORS[thing.then])
        else:
            then = torch.tensor(DIRECTIONS.get(thing.then, (0, 0)))  # none where it stops
            assert torch.equal(steps[-1].sign(), then)


def test_pairs_stay_apart_and_sizes_match_words():
    for seed in range(100):
        scene = sample_scene(seed, "pair")
        tracks = simulate(scene)
        gap = (tracks.positions[:, 0] - tracks.positions[:, 1]).norm(dim=1)
        assert (gap > tracks.radii.sum(dim=1)).all()
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
    for family in set(FAMILIES) - {"game"}:
        scene = sample_scene(0, family, background="navy", texture="stripes")
        assert (scene.background, scene.texture) == ("navy", "stripes"), family


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


def test_a_world_refuses_what_it_does_not_know():
    for wrong in ({"world": "huge"}, {"split": "test"}):
        with pytest.raises(ValueError, match="is not known; it is one of"):
            ToyWorld(**wrong)


def test_a_world_keeps_to_the_values_that_it_is_given():
    only = {"shape": ("circle", "square"), "motion": ("left", "falling"), "texture": ("plain",)}
    world = ToyWorld(only=only)
    things = [world.scene(i) for i in range(40)]
    for name in ("shape", "motion"):
        assert {getattr(scene.objects[0], name) for scene in things} == set(only[name])
    assert {scene.texture for scene in things} == {"plain"}
    assert {len(scene.objects) for scene in things} == {1}
    assert len({scene.background for scene in things}) > 1, "what is not given is free"


@pytest.mark.parametrize(
    "split,only,shown",
    [
        ("seen", {"shape": ["ring"]}, {"ring"}),
        ("seen", {"shape": ["circle", "star"], "motion": ["spinning"]}, {"star"}),
        ("seen", {"shape": ["circle", "square"], "color": ["green"]}, {"square"}),
        ("held_out", {"shape": ["circle", "square"], "color": ["green"]}, {"circle"}),
    ],
)
def test_values_that_no_scene_joins_are_drawn_again(split, only, shown):
    """A spinning ring, or a green circle in training, is no reason to stop one."""
    world = ToyWorld(split, only=only)
    assert {world.scene(i).objects[0].shape for i in range(40)} == shown


@pytest.mark.parametrize(
    "only,message",
    [
        ({"motion": ("sideways",)}, "sideways"),
        ({"shap": ("ring",)}, "attribute='shap'"),
        ({"shape": ()}, "only='shape' keeps to no value"),
    ],
)
def test_values_that_a_world_cannot_keep_to_are_refused_at_once(only, message):
    with pytest.raises(ValueError, match=message):
        ToyWorld(only=only)


def test_values_of_which_there_is_no_scene_are_refused():
    with pytest.raises(ValueError, match="green circle is not in the split 'seen'"):
        ToyWorld(only={"shape": ["circle"], "color": ["green"], "motion": ["left"]}).scene(0)


def test_every_family_has_scenes_of_one_frame():
    for family in set(FAMILIES) - {"game"}:
        assert sample_scene(0, family, num_frames=1).family == family


def test_the_last_pair_of_captions_says_positions():
    """So that whatever their number, a transformer and an upsampler learn them."""
    world = ToyWorld()
    for count in (2, 4, 6, 8):
        for i in range(5):
            captions = world.captions(world.scene(i), count)
            assert len(captions) == count
            said = [parse(text).objects[0].path is not None for text in captions]
            assert said[-2:] == [False, True] and not any(said[::2])
