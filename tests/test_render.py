"""Pixels are what the scene says: areas, extents, soft edges, and what happens in a clip."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from minisora.world.dataset import can_show, sample_scene
from minisora.world.families import FAMILIES
from minisora.world.render import (
    AT_ONCE,
    FAR,
    HILLS,
    NEAR,
    background_image,
    coverage,
    draw,
    pixel_grid,
    prepare,
    render,
)
from minisora.world.scene import (
    BACKGROUND_COLORS,
    COLORS,
    EXTENT,
    LAMP_OFF,
    LAMP_ON,
    TEXTURES,
    WALL,
    Camera,
    Scene,
    simulate,
)


def scenes_of(family: str) -> list[Scene]:
    return [sample_scene(seed, family, height=64, width=64) for seed in range(6)]


def seen(video: torch.Tensor, color: tuple[int, int, int]) -> torch.Tensor:
    """Where a video (3, T, H, W) shows a colour: (T, H, W) bool."""
    wanted = torch.tensor(color)[:, None, None, None] / 127.5 - 1
    return (video - wanted).abs().amax(0) < 0.05


def drawn(shape, position, radius, size, angle=0.0):
    return coverage(
        shape, torch.tensor(position), torch.tensor(radius), torch.tensor(angle), size, size
    )


def test_same_seed_same_pixels():
    a, b = (render([sample_scene(7)]) for _ in range(2))
    assert torch.equal(a, b)
    assert not torch.equal(a, render([sample_scene(8)]))


def test_a_scene_alone_is_drawn_as_among_many():
    scenes = [sample_scene(i, "pair" if i % 2 else "solo") for i in range(AT_ONCE + 6)]
    together = render(scenes)
    for i in (0, 7, AT_ONCE - 1, AT_ONCE, AT_ONCE + 5):
        assert torch.equal(render([scenes[i]])[0], together[i])


@pytest.mark.parametrize("shape", [s for s in EXTENT if s != "chomper"])  # which may face any way
def test_extent_is_how_far_the_drawing_reaches(shape):
    alpha = drawn(shape, [0.0, 0.0], 0.6, 512) > 0.5
    x, y = (v.expand(512, 512)[alpha] / 0.6 for v in pixel_grid(512, 512))
    reach = [float(x.max()), float(-y.min()), float(y.max())]
    assert reach == pytest.approx(EXTENT[shape], abs=0.025)


def test_a_shape_of_ones_own_is_drawn_like_the_worlds():
    def bar(x, y):
        return torch.maximum(x.abs() - 1.0, y.abs() - 0.25)

    pose = torch.tensor([[0.2, -0.1], [0.0, 0.3]]), torch.tensor([0.5, 0.3])
    upright = coverage(bar, *pose, torch.zeros(2), 32, 48)
    areas = upright.sum((1, 2)) / 16**2  # pixels to squares of half-widths
    assert torch.allclose(areas, 4 * 0.25 * pose[1].square(), rtol=0.02)
    turned = coverage(bar, *pose, torch.full((2,), torch.pi / 2), 32, 48)
    assert (turned > 0.5).any(2).sum(1).tolist() == (upright > 0.5).any(1).sum(1).tolist()
    named = coverage("circle", *pose, torch.zeros(2), 32, 48)
    own = coverage(lambda x, y: torch.hypot(x, y) - 1.0, *pose, torch.zeros(2), 32, 48)
    assert torch.equal(own, named)


def test_rotation_is_clockwise_on_screen():
    """A quarter turn brings a triangle's tip from the top to the right."""
    upright = drawn("triangle", [0.0, 0.0], 0.6, 64)
    rotated = drawn("triangle", [0.0, 0.0], 0.6, 64, angle=torch.pi / 2)
    assert torch.allclose(rotated, torch.rot90(upright, -1), atol=0.01)


def test_antialiasing_moves_smoothly():
    a, b = (drawn("square", [x, 0.0], 0.4, 32) for x in (0.0, 0.25 / 16))
    assert float((b - a).abs().max()) == pytest.approx(0.25, abs=0.02)


def test_every_size_is_drawn_in_full():
    for height, width, num_frames in ((24, 40, 9), (40, 24, 17), (32, 32, 1), (3, 5, 2)):
        size = {"num_frames": num_frames, "height": height, "width": width}
        video = render([sample_scene(0, **size)], **size)
        assert video.shape == (1, 3, num_frames, height, width)
        assert float(video.abs().max()) <= 1


def test_more_objects_than_are_drawn_are_refused():
    (thing,) = sample_scene(0).objects
    with pytest.raises(ValueError, match="has 4 objects; at most 3"):
        render([Scene((thing,) * 4)])


def test_backgrounds_differ():
    images = [background_image(b, t, 32, 32) for b in BACKGROUND_COLORS for t in TEXTURES]
    gaps = [float((a - b).abs().mean()) for i, a in enumerate(images) for b in images[:i]]
    assert min(gaps) > 0.02


def test_colours_stay_apart_for_all_eyes():
    """The smallest distance in CIELAB, for usual eyes and two kinds of simulated blindness."""
    palette = {**COLORS, **BACKGROUND_COLORS}
    for kind, matrix in EYES.items():
        points = {name: lab(matrix, rgb) for name, rgb in palette.items()}
        for a, b in itertools.combinations(points, 2):
            if a in BACKGROUND_COLORS and b in BACKGROUND_COLORS:
                continue
            assert (points[a] - points[b]).norm() > 25, (kind, a, b)


def test_a_lamp_that_is_off_is_seen_before_every_background():
    """It is like no shade of any background, and like nothing else, for all eyes."""
    shades = set()
    for background, texture in itertools.product(BACKGROUND_COLORS, TEXTURES):
        image = background_image(background, texture, 32, 32).flatten(1).T * 255
        shades |= {tuple(shade) for shade in image.round().unique(dim=0).tolist()}
    others = [*COLORS.values(), LAMP_ON, WALL]
    for kind, matrix in EYES.items():
        lamp = lab(matrix, LAMP_OFF)
        behind = min(float((lamp - lab(matrix, shade)).norm()) for shade in shades)
        beside = min(float((lamp - lab(matrix, color)).norm()) for color in others)
        least = (25, 25) if kind == "usual" else (20, 12)  # its shape says the rest
        assert behind > least[0] and beside > least[1], (kind, behind, beside)


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


def test_a_clip_is_the_same_alone_and_in_a_batch():
    for height, width in ((48, 80), (64, 64)):
        shown = [family for family in FAMILIES if can_show(family, 17, height, width)]
        scenes = [sample_scene(3, family, height=height, width=width) for family in shown]
        together = render(scenes, 17, height, width)
        for scene, video in zip(scenes, together, strict=True):
            assert torch.equal(render([scene], 17, height, width)[0], video), scene.family
        assert torch.equal(draw(prepare(scenes, 17, height, width), height, width), together)


def test_hills_move_by_their_depth():
    """Seen through a camera that pans, the far layer moves half as far as the near one."""
    assert [layer[0] for layer in HILLS] == [FAR, NEAR] and FAR < NEAR < 1
    still = render([Scene((), "black", "hills")], 1, 64, 64)[0, :, 0]
    panned = render([Scene((), "black", "hills", camera=Camera("pans right", 8.0, 2.0))], 2, 64, 64)
    moved = panned[0, :, 1]  # after 1/8 of a second: half a half-width, 16 pixels of 64
    top = (still[0, :, :] > -0.8).float().argmax(0)  # first row of the far layer's colour
    top_moved = (moved[0, :, :] > -0.8).float().argmax(0)
    shift = round(16 * FAR)
    assert (top[shift:] - top_moved[: 64 - shift]).abs().float().mean() < 1


def test_what_is_behind_the_wall_comes_out_again():
    for scene in scenes_of("wall"):
        video = render([scene], 17, 64, 64)[0]
        area = seen(video, scene.objects[0].rgb).sum((1, 2))
        assert area.min() < 0.35 * area.max()
        assert abs(int(area[0]) - int(area[-1])) <= 0.1 * area[0]


def test_the_camera_looks_away_until_nothing_is_seen():
    for scene in scenes_of("away"):
        area = seen(render([scene], 17, 64, 64)[0], scene.objects[0].rgb).sum((1, 2))
        assert area[0] > 0 and area[-1] > 0 and (area == 0).sum() >= 3


def test_an_object_that_leaves_comes_back():
    for scene in scenes_of("return"):
        area = seen(render([scene], 17, 64, 64)[0], scene.objects[0].rgb).sum((1, 2))
        assert area[0] > 0 and area[-1] > 0 and (area == 0).any()


def test_a_painted_line_only_grows():
    for scene in scenes_of("paint"):
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
    for scene in scenes_of("bite"):
        chomper, target = scene.objects
        video = render([scene], 17, 64, 64)[0]
        area = seen(video, target.rgb).sum((1, 2)).float()
        last = math.ceil(chomper.turn.time * 8)
        assert area[-1] < 0.93 * area[0]
        assert (area[last:] - area[-1]).abs().max() <= 0.02 * area[0]


def test_a_lamp_is_lit_from_the_touch_on():
    for scene in scenes_of("lamp"):
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


@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
def test_what_falls_onto_another_is_seen_to_touch_it(size):
    """In the frame of the touch the two are a pixel apart at most, and never in each other."""
    height, width = size
    scenes = [sample_scene(i, "fall", height=height, width=width) for i in range(60)]
    assert len({(s.objects[0].shape, s.objects[1].shape) for s in scenes}) > 15
    for scene in scenes:
        tracks = simulate(scene, 1600, 800, height / min(size))
        touch = int(tracks.positions[:, 0, 1].argmax())  # to a tenth of a pixel
        upper, lower = (
            coverage(
                thing.shape,
                tracks.positions[touch, k].float(),
                torch.tensor(thing.radius),
                torch.tensor(0.0),
                height,
                width,
            )
            for k, thing in enumerate(scene.objects)
        )
        assert float((upper + lower).max()) < 1.3, scene
        in_upper, in_lower = (upper > 0.4).nonzero().float(), (lower > 0.4).nonzero().float()
        assert torch.cdist(in_upper, in_lower).min() <= 2, scene  # one pixel in between


def test_a_cut_changes_the_background_at_once():
    for scene in scenes_of("shots"):
        video = render([scene], 17, 64, 64)[0]
        before = render([replace(scene, cut=None)], 17, 64, 64)[0]
        same = (video == before).flatten(2).all(2).all(0)
        assert same.tolist() == [frame / 8 < scene.cut.time - 1e-9 for frame in range(17)]
