import math
import time
from dataclasses import replace

import pytest
import torch

from minisora.world.dataset import (
    HELD_OUT,
    PRACTICE,
    SHAPE_COLOR_PAIRS,
    TEST_SEEDS,
    ToyWorld,
    is_held_out,
    sample_scene,
)
from minisora.world.render import background_image, coverage, render
from minisora.world.scene import (
    COLORS,
    EXTENT,
    GRAVITY,
    MOTIONS,
    ROUND,
    SHAPES,
    SIZES,
    Scene,
    SceneObject,
    simulate,
)


def test_same_seed_same_pixels():
    a, b = (render([sample_scene(7)]) for _ in range(2))
    assert torch.equal(a, b)
    assert not torch.equal(a, render([sample_scene(8)]))


@pytest.mark.parametrize("shape", SHAPES)
def test_area_and_centre_of_mass_are_those_of_the_drawing(shape):
    from minisora.measure.judge import AREA
    from minisora.world.render import pixel_grid

    alpha = coverage(
        shape, torch.tensor([0.1, -0.05]), torch.tensor(0.5), torch.tensor(0.0), 256, 256
    )
    x, y = pixel_grid(256, 256)
    area = float(alpha.sum()) / 128**2
    assert area == pytest.approx(AREA[shape] * 0.25, rel=0.01)
    assert float((alpha * x).sum() / alpha.sum()) == pytest.approx(0.1, abs=0.005)
    assert float((alpha * y).sum() / alpha.sum()) == pytest.approx(-0.05, abs=0.005)


@pytest.mark.parametrize("shape", SHAPES)
def test_extent_is_how_far_the_drawing_reaches(shape):
    from minisora.world.render import pixel_grid

    alpha = coverage(shape, torch.zeros(2), torch.tensor(0.6), torch.tensor(0.0), 512, 512) > 0.5
    x, y = (v.expand(512, 512)[alpha] / 0.6 for v in pixel_grid(512, 512))
    side, top, bottom = EXTENT[shape]
    assert [float(x.max()), float(-y.min()), float(y.max())] == pytest.approx(
        [side, top, bottom], abs=0.025
    )


def test_antialiasing_moves_smoothly():
    a, b = (
        coverage("square", torch.tensor([x, 0.0]), torch.tensor(0.4), torch.tensor(0.0), 32, 32)
        for x in (0.0, 0.25 / 16)
    )
    assert float((b - a).abs().max()) == pytest.approx(0.25, abs=0.02)


def test_free_fall_is_a_parabola_then_rest():
    thing = SceneObject(
        "circle", "red", "small", "falling", 0.3, 0.0, -0.5, gravity=GRAVITY, restitution=0.0
    )
    y = simulate(Scene((thing,)), 33, 8).positions[:, 0, 1]
    times = torch.arange(33, dtype=torch.float64) / 8
    expected = (-0.5 + 0.5 * GRAVITY * times**2).clamp(max=0.7)
    assert torch.allclose(y, expected, atol=1e-9)


def test_bouncing_keeps_its_energy():
    thing = SceneObject(
        "circle", "red", "small", "bouncing", 0.3, 0.0, -0.4, gravity=GRAVITY, restitution=1.0
    )
    y = simulate(Scene((thing,)), 2001, 100).positions[:, 0, 1]
    assert float(y.min()) == pytest.approx(-0.4, abs=1e-6)
    assert float(y[1000:].min()) == pytest.approx(-0.4, abs=1e-3)
    assert float(y.max()) <= 0.7 + 1e-9


@pytest.mark.parametrize("r_a,r_b", [(0.3, 0.3), (0.33, 0.3), (0.3, 0.42)])
def test_collision_keeps_momentum_and_energy(r_a, r_b):
    a = SceneObject("circle", "red", "small", "hits", r_a, -0.6, 0.02, vx=0.5)
    b = SceneObject("circle", "blue", "small", "hit", r_b, 0.2, -0.03)
    p = simulate(Scene((a, b), relation="left of"), 401, 100).positions
    v = (p[1:] - p[:-1]) * 100
    before, after = v[0], v[-1]
    assert (p[:, 0] - p[:, 1]).norm(dim=1).min() >= r_a + r_b - 1e-9
    mass = torch.tensor([a.mass, b.mass], dtype=torch.float64)[:, None]
    assert torch.allclose((mass * before).sum(0), (mass * after).sum(0), atol=1e-9)
    energy = [float((mass * u**2).sum()) for u in (before, after)]
    assert energy[0] == pytest.approx(energy[1], rel=1e-9)
    assert after[1].norm() > 0.1


def test_circling_returns():
    thing = SceneObject(
        "star", "red", "small", "circling", 0.3, 0.3, 0.0, vy=0.3 * math.pi, angular_velocity=math.pi
    )
    p = simulate(Scene((thing,)), 17, 8).positions[:, 0]
    assert torch.allclose(p[0], p[16], atol=1e-9)
    assert torch.allclose(p.norm(dim=1), torch.full((17,), 0.3, dtype=torch.float64), atol=1e-9)


@pytest.mark.parametrize(
    "height,width,num_frames", [(32, 32, 17), (24, 40, 9), (40, 24, 17), (32, 32, 1), (32, 32, 33)]
)
def test_objects_stay_in_view(height, width, num_frames):
    unit = min(height, width)
    for seed in range(40):
        scene = sample_scene(
            seed, "pair" if seed % 2 else "solo", num_frames=num_frames, height=height, width=width
        )
        tracks = simulate(scene, num_frames, bottom=height / unit)
        reach = 0.6 * tracks.radii
        assert (tracks.positions[..., 0].abs() + reach).max() <= width / unit
        assert (tracks.positions[..., 1].abs() + reach).max() <= height / unit
        assert render([scene], num_frames, height, width).shape == (1, 3, num_frames, height, width)


def test_invisible_motion_is_never_made():
    scenes = [sample_scene(seed) for seed in range(2000)]
    assert not any(o.motion == "spinning" and o.shape in ROUND for s in scenes for o in s.objects)
    assert {o.motion for s in scenes for o in s.objects} == set(MOTIONS)
    with pytest.raises(ValueError, match="looks like a still one"):
        sample_scene(0, shape="ring", motion="spinning")


def test_hard_motions_come_more_often_in_training_and_turn_clockwise():
    world = ToyWorld(pair_fraction=0.0)
    things = [world.scene(i).objects[0] for i in range(1500)]
    share = {m: sum(t.motion == m for t in things) / len(things) for m in MOTIONS}
    usual = 1 / (len(MOTIONS) + sum(n - 1 for n in PRACTICE.values()))
    for motion, value in share.items():
        assert value == pytest.approx(PRACTICE.get(motion, 1) * usual, abs=0.03)
    assert all(t.angular_velocity > 0 for t in things if t.motion == "circling") and all(
        t.spin > 0 for t in things if t.motion == "spinning"
    )
    assert not any(t.motion == "spinning" and t.shape in ROUND for t in things)


def test_nothing_held_out_leaks_into_training():
    world = ToyWorld()
    looks = {(o.shape, o.color) for i in range(4000) for o in world.scene(i).objects}
    assert looks == set(SHAPE_COLOR_PAIRS["seen"])
    assert not looks & HELD_OUT
    held = [
        sample_scene(TEST_SEEDS + i, family, "held_out")
        for i in range(100)
        for family in ("solo", "pair")
    ]
    assert all(is_held_out(o.shape, o.color) for s in held for o in s.objects)
    training = {
        (s.background, s.texture, *map(repr, s.objects)) for s in map(world.scene, range(2000))
    }
    test = {
        (s.background, s.texture, *map(repr, s.objects))
        for s in map(ToyWorld(first_seed=TEST_SEEDS).scene, range(2000))
    }
    assert not training & test


def test_pairs_have_two_colours_and_sizes_match_words():
    for seed in range(200):
        scene = sample_scene(seed, "pair")
        assert scene.objects[0].color != scene.objects[1].color
        for thing in scene.objects:
            low, high = SIZES[thing.size]
            assert low <= thing.radius <= high


def test_wrong_choices_name_the_right_ones():
    with pytest.raises(ValueError, match="solo, pair"):
        sample_scene(0, "trio")
    with pytest.raises(ValueError, match="circle, square"):
        sample_scene(0, shape="hexagon")
    with pytest.raises(ValueError, match="not in the split"):
        sample_scene(0, shape="circle", color="green")
    with pytest.raises(ValueError, match="attribute"):
        sample_scene(0, shade="dark")


def test_backgrounds_differ():
    images = [
        background_image(b, t, 32, 32)
        for b in ("black", "navy", "white")
        for t in ("plain", "gradient", "grid")
    ]
    gaps = [float((a - b).abs().mean()) for i, a in enumerate(images) for b in images[:i]]
    assert min(gaps) > 0.02


def test_colours_are_okabe_and_ito():
    assert len(COLORS) == 7 and COLORS["blue"] == (0, 114, 178)


def test_rendering_speed_is_printed(capsys):
    world = ToyWorld()
    world.batch(0, 64)
    began = time.perf_counter()
    world.batch(64, 128)
    with capsys.disabled():
        print(f"\n  {128 / (time.perf_counter() - began):.0f} clips rendered a second")


def test_scene_with_changed_gravity_differs():
    thing = sample_scene(1, motion="falling").objects[0]
    a, b = (simulate(Scene((t,))).positions for t in (thing, replace(thing, gravity=2 * GRAVITY)))
    assert not torch.allclose(a, b)
