"""The whole world: what is drawn is what the scene says, and every caption is read back."""

import itertools
import math
import random
from dataclasses import replace

import pytest
import torch

from minisora.inputs import reword
from minisora.text import words_of
from minisora.world.whole.captions import (
    VOCABULARY,
    caption,
    complete_caption,
    detailed_caption,
    place_of,
)
from minisora.world.whole.dataset import IN_IMAGES, TEST_SEEDS, WORLDS, ToyWorld, sample_scene
from minisora.world.whole.families import FAMILIES, HELD_OUT, SHAPE_COLOR_PAIRS
from minisora.world.whole.parse import (
    CAMERA_LEXICON,
    LEXICON,
    PromptSpec,
    agrees,
    parse,
    spec_of,
)
from minisora.world.whole.render import draw, prepare, render
from minisora.world.whole.rewordings import REWORDINGS
from minisora.world.whole.scene import (
    BACKGROUND_COLORS,
    COLORS,
    LAMP_OFF,
    LAMP_ON,
    Camera,
    Scene,
    SceneObject,
    simulate,
)

CLIPS = [
    (17, 64, 64),
    (33, 64, 64),
    (17, 48, 80),
    (17, 80, 48),
    (13, 32, 32),
]  # frames, rows, columns


def scenes_of(family: str, count: int = 6, **clip: int) -> list[Scene]:
    return [sample_scene(seed, family, **clip) for seed in range(count)]


def seen(video: torch.Tensor, color: tuple[int, int, int]) -> torch.Tensor:
    """Where a video (3, T, H, W) shows a colour: (T, H, W) bool."""
    wanted = torch.tensor(color)[:, None, None, None] / 127.5 - 1
    return (video - wanted).abs().amax(0) < 0.05


# -------------------------------------------------------------------------------------- language


@pytest.mark.parametrize("clip", CLIPS)
def test_every_caption_is_true_and_read_back(clip):
    num_frames, height, width = clip
    shape = {"num_frames": num_frames, "height": height, "width": width, "fps": 8}
    duration = (num_frames - 1) / 8
    for family in FAMILIES:
        for scene in scenes_of(family, 5, num_frames=num_frames, height=height, width=width):
            for wording in range(4):
                plain = caption(scene, random.Random(wording), num_frames=num_frames, fps=8)
                longer = complete_caption(scene, random.Random(wording), **shape)
                detailed = detailed_caption(scene, random.Random(wording), **shape)
                assert longer.startswith(plain + ", ") and detailed.startswith(plain + ", ")
                for text in (plain, longer, detailed):
                    assert set(words_of(text)) <= set(VOCABULARY), text
                    assert agrees(parse(text), scene, duration), text


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
    assert len(set(VOCABULARY) - used) < 8, set(VOCABULARY) - used


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("a circle that is not red", "denies something"),
        ("a circle on a blue background", "asks for a blue background; backgrounds are black"),
        ("a yellow circle on a yellow background", "yellow background"),
        ("a red circle moving up and down", "second way for one motion; say .*then moving down"),
        ("a red circle bouncing left", "second way for one motion"),
        ("make a video of a cat", "the world has no 'cat'; its shapes are circle, square"),
        ("a red cirkle", "did you mean 'a red circle'"),
        (
            "a trinagle movng fast to teh right",
            "did you mean 'a triangle moving fast to the",
        ),
        ("a sqaure and a cat", "the world has no 'sqaure'; did you mean 'square'"),
        ("a purple box drops", "something purple; objects are red, orange"),
        ("a wooden circle", "'wooden' says nothing of an object in this world; they are red"),
        ("a red ball dances", "nothing that is called 'dances': they move left, right"),
        ("5 red circles", "shows one, two or three objects"),
        ("two squares collide", "say which of the two moves"),
        ("a lamp turns on", "does not say what touches the lamp"),
        ("a star spins slowly", "only what moves left, right, up, down or diagonally is slow"),
        ("a ball turns from red to blue", "say for example 'a red circle turns blue'"),
        ("a red circle that turns", "does not say which colour it turns"),
        ("a red circle moving left and then", "does not say what happens then"),
        ("two on a black background", "does not say what there are 2 of"),
        ("un cercle rouge qui bouge", "is not understood; say for example"),
        ("three gray boxes", "colour of backgrounds; objects are red"),
        ("red bouncing", "names no shape"),
        ("a red blue circle", "two things at once"),
        ("a red ring spinning", "looks like a still one"),
        ("a red circle hits", "name a second object"),
        ("a circle a square a star a heart", "at most three"),
        ("a red circle at x3 y4 and at x5 y6", "2 positions for 1 objects"),
        ("a red circle at x3", "'at' is not part of a whole position .*'at x16 y18'"),
        ("a red circle from x3 y4 to x5 y4", "'from' is not part of a whole position"),
        ("a red circle moving left and then a blue square moving up", "another object does then"),
        ("a red circle and the camera", "does not say what the camera does"),
    ],
)
def test_mistakes_say_the_way_out(prompt, message):
    with pytest.raises(ValueError, match=message):
        parse(prompt)


@pytest.mark.parametrize(
    ("prompt", "motions"),
    [
        ("A big red ball rolls to the left", ["left"]),
        ("a ball drops", ["falling"]),
        ("please show me a tiny blue star that spins around", ["spinning"]),
        ("Can you make a red disk travel to the left?", ["left"]),
        ("2 blue cubes fall down", ["falling", "falling"]),
        ("the circle is red and the square is blue and they both go down", ["down", "down"]),
        ("a green disk disappears behind the wall and comes out on the other side", [None]),
        ("first the red circle moves right, then it goes up", ["right"]),
        ("zoom in on a yellow star", [None]),
        ("a very fast yellow triangle flying upward", ["up"]),
        ("a small ball moving slowly to the right", ["right"]),
        ("two red balls falling", ["falling", "falling"]),
        ("a box slides from left to right", ["right"]),
        ("a red circle and a blue square", [None, None]),
    ],
)
def test_as_people_type_it(prompt, motions):
    assert [thing.motion for thing in parse(prompt).objects] == motions


def test_what_people_say_becomes_what_captions_say():
    words = set(VOCABULARY)
    for said, known in REWORDINGS.items():
        assert set(known.split()) <= words, said
    lexicon = {word for phrase in (*LEXICON, *CAMERA_LEXICON) for word in phrase}
    assert lexicon <= words, "the tokenizer takes every word that the parser takes"
    assert reword(words_of("2 disks travel"), REWORDINGS) == ["two", "discs", "moving"]


def test_captions_are_left_as_they_are():
    world = ToyWorld(world="whole")
    for i in range(300):
        for text in world.captions(world.scene(i), 6):
            words = words_of(text)
            assert reword(words, REWORDINGS) == words
            parse(text)


def test_verbs_put_who_does_it_first():
    active = parse("a small red circle hits a blue square from the left")
    passive = parse("a blue square is hit by a small red circle from the left")
    assert active == passive
    assert active.verb == "hits" and active.objects[0].size == "small"
    lamp = parse("a lamp lights up when a star touches it")
    assert [thing.shape for thing in lamp.objects] == ["star", "lamp"]
    assert parse("") == PromptSpec()


# ---------------------------------------------------------------------------------------- scenes


def test_nothing_held_out_leaks_into_training():
    world = ToyWorld(world="whole")
    training = [world.scene(i) for i in range(400)]
    pairs = {(o.shape, o.color) for scene in training for o in scene.objects}
    assert not pairs & HELD_OUT
    assert {scene.family for scene in training} == set(WORLDS["whole"])
    for family in FAMILIES:
        for i in range(4):
            scene = sample_scene(TEST_SEEDS + i, family, "held_out")
            for thing in scene.objects:
                tool = thing.shape in ("brush", "chomper", "lamp")
                assert tool or (thing.shape, thing.color) in SHAPE_COLOR_PAIRS["held_out"]


def test_images_show_what_one_frame_can():
    world = ToyWorld(world="whole", num_frames=1, height=64, width=64)
    assert {world.scene(i).family for i in range(60)} == set(IN_IMAGES)


def test_colours_stay_apart_for_all_eyes():
    """The smallest distance in CIELAB, for usual eyes and two kinds of simulated blindness."""
    palette = {**COLORS, **BACKGROUND_COLORS}
    for kind, matrix in EYES.items():
        points = {name: lab(matrix, rgb) for name, rgb in palette.items()}
        for a, b in itertools.combinations(points, 2):
            if a in BACKGROUND_COLORS and b in BACKGROUND_COLORS:
                continue
            assert (points[a] - points[b]).norm() > 25, (kind, a, b)


EYES = {  # Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB
    "usual": torch.eye(3),
    "deuteranopia": torch.tensor(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "protanopia": torch.tensor(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
}
XYZ = torch.tensor(  # of linear sRGB
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def lab(matrix: torch.Tensor, rgb: tuple[int, int, int]) -> torch.Tensor:
    """CIELAB of a colour as some eyes see it."""
    encoded = torch.tensor(rgb) / 255
    linear = torch.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    xyz = XYZ @ (matrix @ linear).clamp(0, 1) / torch.tensor([0.95047, 1.0, 1.08883])
    f = torch.where(xyz > 216 / 24389, xyz ** (1 / 3), (24389 / 27 * xyz + 16) / 116)
    return torch.stack([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


# ---------------------------------------------------------------------------------------- pixels


def test_a_clip_is_the_same_alone_and_in_a_batch():
    scenes = [sample_scene(3, family, height=48, width=80) for family in FAMILIES]
    together = render(scenes, 17, 48, 80)
    for scene, video in zip(scenes, together, strict=True):
        assert torch.equal(render([scene], 17, 48, 80)[0], video), scene.family
    assert torch.equal(draw(prepare(scenes, 17, 48, 80), 48, 80), together)


def test_a_still_object_moves_against_the_camera():
    thing = SceneObject("circle", "red", "small", "still", 0.3, 0.2, 0.0)
    path = Camera("pans right", 0.6, 2.0)
    tracks = simulate(Scene((thing,), camera=path))
    x = tracks.on_screen()[0][:, 0, 0]
    assert torch.allclose(x, 0.2 - 0.6 * torch.linspace(0, 1, 17, dtype=x.dtype))
    zoom = simulate(Scene((thing,), camera=Camera("zooms in", math.log(1.5), 2.0)))
    positions, radii = zoom.on_screen()
    assert radii[-1, 0] == pytest.approx(0.45) and positions[-1, 0, 0] == pytest.approx(0.3)


def test_hills_move_by_their_depth():
    """Seen through a camera that pans, the far layer moves half as far as the near one."""
    from minisora.world.whole.render import FAR, HILLS, NEAR

    assert [layer[0] for layer in HILLS] == [FAR, NEAR] and FAR < NEAR < 1
    still = render([Scene((), "black", "hills")], 1, 64, 64)[0, :, 0]
    panned = render([Scene((), "black", "hills", camera=Camera("pans right", 8.0, 2.0))], 2, 64, 64)
    moved = panned[0, :, 1]  # after 1/8 of a second: half a half-width, 16 pixels of 64
    top = (still[0, :, :] > -0.8).float().argmax(0)  # first row of the far layer's colour
    top_moved = (moved[0, :, :] > -0.8).float().argmax(0)
    shift = round(16 * FAR)
    assert (top[shift:] - top_moved[: 64 - shift]).abs().float().mean() < 1


def test_what_is_behind_the_wall_comes_out_again():
    for scene in scenes_of("wall", height=64, width=64):
        video = render([scene], 17, 64, 64)[0]
        area = seen(video, scene.objects[0].rgb).sum((1, 2))
        assert area.min() < 0.35 * area.max()
        assert abs(int(area[0]) - int(area[-1])) <= 0.1 * area[0]


def test_the_camera_looks_away_until_nothing_is_seen():
    for scene in scenes_of("away", height=64, width=64):
        area = seen(render([scene], 17, 64, 64)[0], scene.objects[0].rgb).sum((1, 2))
        assert area[0] > 0 and area[-1] > 0 and (area == 0).sum() >= 3


def test_an_object_that_leaves_comes_back():
    for scene in scenes_of("return", height=64, width=64):
        area = seen(render([scene], 17, 64, 64)[0], scene.objects[0].rgb).sum((1, 2))
        assert area[0] > 0 and area[-1] > 0 and (area == 0).any()


def test_a_painted_line_only_grows():
    for scene in scenes_of("paint", height=64, width=64):
        video = render([scene], 17, 64, 64)[0]
        painted = seen(video, scene.objects[0].rgb)
        bare = replace(scene, verb=None)
        brush = seen(render([bare], 17, 64, 64)[0], scene.objects[0].rgb)
        line = painted & ~brush
        assert line[-1].sum() > line[4].sum() > 0
        for earlier, later in itertools.pairwise(line):
            assert (earlier & ~painted[-1]).sum() <= 6, "what was painted stays"
            assert later.sum() >= earlier.sum() - 12  # the brush itself hides a little


def test_a_bite_stays():
    for scene in scenes_of("bite", height=64, width=64):
        chomper, target = scene.objects
        video = render([scene], 17, 64, 64)[0]
        area = seen(video, target.rgb).sum((1, 2)).float()
        last = math.ceil(chomper.turn.time * 8)
        assert area[-1] < 0.93 * area[0]
        assert (area[last:] - area[-1]).abs().max() <= 0.02 * area[0]


def test_a_lamp_is_lit_from_the_touch_on():
    for scene in scenes_of("lamp", height=64, width=64):
        thing, lamp = scene.objects
        video = render([scene], 17, 64, 64)[0]
        lit = seen(video, LAMP_ON).sum((1, 2)) > 20
        off = seen(video, LAMP_OFF).sum((1, 2)) > 20
        touch = next(i for i in range(17) if lit[i])
        assert lit[touch:].all() and not lit[:touch].any() and off[:touch].all()
        tracks = simulate(scene)
        distance = (tracks.positions[:, 0] - tracks.positions[:, 1]).norm(dim=1)
        assert int(distance.argmin()) in (touch - 1, touch)
        assert distance.min() < 1.15 * (thing.radius + lamp.radius)


def test_a_cut_changes_the_background_at_once():
    for scene in scenes_of("shots", height=64, width=64):
        video = render([scene], 17, 64, 64)[0]
        before = render([replace(scene, cut=None)], 17, 64, 64)[0]
        same = (video == before).flatten(2).all(2).all(0)
        assert same.tolist() == [frame / 8 < scene.cut.time - 1e-9 for frame in range(17)]


def test_the_second_event_comes_after_the_first():
    for scene in scenes_of("order", 20):
        (thing,) = scene.objects
        tracks = simulate(scene)
        first, second = (
            tracks.positions[4] - tracks.positions[0],
            tracks.positions[-1] - tracks.positions[12],
        )
        if thing.then == "stops":
            assert second.norm() < 1e-6 < first.norm()
        elif thing.then in COLORS:
            assert torch.equal(tracks.colors[-1, 0], torch.tensor(COLORS[thing.then]).double())
        else:
            assert abs(torch.dot(first[0], second[0])) < 1 and not torch.allclose(first, second)


def test_a_spec_says_everything_that_a_scene_has():
    for family in FAMILIES:
        for scene in scenes_of(family, 3):
            assert agrees(spec_of(scene), scene)
