"""Pixels are what the scene says: areas, centres, extents, soft edges."""

import pytest
import torch

from minisora.measure.judge import AREA
from minisora.world.dataset import sample_scene
from minisora.world.render import AT_ONCE, background_image, coverage, pixel_grid, render
from minisora.world.scene import BACKGROUND_COLORS, EXTENT, SHAPES, TEXTURES


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


@pytest.mark.parametrize("shape", SHAPES)
def test_area_and_centre_of_mass_are_those_of_the_drawing(shape):
    alpha = drawn(shape, [0.1, -0.05], 0.5, 256)
    x, y = pixel_grid(256, 256)
    area = float(alpha.sum()) / 128**2
    assert area == pytest.approx(AREA[shape] * 0.25, rel=0.01)
    assert float((alpha * x).sum() / alpha.sum()) == pytest.approx(0.1, abs=0.005)
    assert float((alpha * y).sum() / alpha.sum()) == pytest.approx(-0.05, abs=0.005)


@pytest.mark.parametrize("shape", SHAPES)
def test_extent_is_how_far_the_drawing_reaches(shape):
    alpha = drawn(shape, [0.0, 0.0], 0.6, 512) > 0.5
    x, y = (v.expand(512, 512)[alpha] / 0.6 for v in pixel_grid(512, 512))
    reach = [float(x.max()), float(-y.min()), float(y.max())]
    assert reach == pytest.approx(EXTENT[shape], abs=0.025)


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


def test_backgrounds_differ():
    images = [background_image(b, t, 32, 32) for b in BACKGROUND_COLORS for t in TEXTURES]
    gaps = [float((a - b).abs().mean()) for i, a in enumerate(images) for b in images[:i]]
    assert min(gaps) > 0.02
