"""Physics: closed forms hold between events, and events keep what nature keeps."""

import math
import random

import pytest
import torch

from minisora.world.dataset import sample_scene
from minisora.world.scene import (
    EXTENT,
    GRAVITY,
    RELATIONS,
    Camera,
    Scene,
    SceneObject,
    check_choice,
    simulate,
)


def disc(x, y, radius=0.3, motion="still", **options) -> SceneObject:
    return SceneObject("circle", "red", "small", motion, radius, x, y, **options)


def simulated(*objects: SceneObject, seconds: float = 2.0, fps: float = 100):
    return simulate(Scene(objects, relation="left of"), round(seconds * fps) + 1, fps)


def times(tracks, fps: float = 100) -> torch.Tensor:
    return torch.arange(len(tracks.positions), dtype=torch.float64) / fps


def test_free_fall_is_a_parabola_then_rest():
    tracks = simulated(disc(0.0, -0.5, gravity=GRAVITY, restitution=0.0), seconds=4)
    expected = (-0.5 + 0.5 * GRAVITY * times(tracks) ** 2).clamp(max=0.7)
    assert torch.allclose(tracks.positions[:, 0, 1], expected, atol=1e-9)


def test_bouncing_keeps_its_energy():
    tracks = simulated(disc(0.0, -0.4, gravity=GRAVITY), seconds=20)
    y = tracks.positions[:, 0, 1]
    assert float(y.min()) == pytest.approx(-0.4, abs=1e-6)
    assert float(y[1000:].min()) == pytest.approx(-0.4, abs=1e-3)
    assert float(y.max()) <= 0.7 + 1e-9


def test_circling_returns():
    thing = disc(0.3, 0.0, vy=0.3 * math.pi, angular_velocity=math.pi)
    p = simulated(thing).positions[:, 0]
    assert torch.allclose(p[0], p[-1], atol=1e-9)
    assert torch.allclose(p.norm(dim=1), torch.tensor(0.3, dtype=torch.float64), atol=1e-9)


def test_the_frame_rate_only_chooses_when_one_looks():
    things = (disc(-0.6, 0.02, vx=0.5), disc(0.2, -0.03, gravity=GRAVITY))
    fine = simulated(*things, fps=96).positions
    for fps in (6, 8, 12, 16):
        coarse = simulated(*things, fps=fps).positions
        assert torch.allclose(coarse, fine[:: 96 // fps], atol=1e-9)


@pytest.mark.parametrize("r_a,r_b", [(0.3, 0.3), (0.33, 0.3), (0.3, 0.42)])
def test_collision_keeps_momentum_and_energy(r_a, r_b):
    p = simulated(disc(-0.6, 0.02, r_a, vx=0.5), disc(0.2, -0.03, r_b)).positions
    v = (p[1:] - p[:-1]) * 100
    before, after = v[0], v[-1]
    assert (p[:, 0] - p[:, 1]).norm(dim=1).min() >= r_a + r_b - 1e-9
    mass = torch.tensor([r_a**2, r_b**2], dtype=torch.float64)[:, None]
    assert torch.allclose((mass * before).sum(0), (mass * after).sum(0), atol=1e-9)
    energy = [float((mass * u**2).sum()) for u in (before, after)]
    assert energy[0] == pytest.approx(energy[1], rel=1e-9)
    assert after[1].norm() > 0.1


def test_a_falling_object_meets_one_at_rest_when_the_parabola_says():
    """Equal masses head on: they exchange velocities, and gravity goes on."""
    tracks = simulated(disc(0.0, -0.65, gravity=GRAVITY), disc(0.0, 0.05), seconds=0.8)
    meeting = math.sqrt(2 * 0.1 / GRAVITY)
    after = (times(tracks) - meeting).clamp(min=0)
    fall = 0.5 * GRAVITY * times(tracks).clamp(max=meeting) ** 2
    y_a = -0.65 + fall + 0.5 * GRAVITY * after**2
    y_b = 0.05 + GRAVITY * meeting * after
    assert torch.allclose(tracks.positions[:, 0, 1], y_a, atol=1e-9)
    assert torch.allclose(tracks.positions[:, 1, 1], y_b, atol=1e-9)


def test_a_circling_object_meets_one_at_rest_when_the_circle_says():
    orbit, rate = 0.5, 2.0
    a = disc(orbit, 0.0, vy=orbit * rate, angular_velocity=rate)
    b = disc(0.0, 0.9)  # touched where the centre of a has come to a distance of 0.6
    p = simulated(a, b, seconds=1.5, fps=1000).positions
    seconds = torch.arange(len(p)) / 1000
    reach = orbit**2 + 0.9**2 - 2 * orbit * 0.9 * torch.sin(rate * seconds)
    meeting = int((reach <= 0.36).double().argmax())  # the first frame after the touch
    moved = (p[:, 1] - p[0, 1]).norm(dim=1)
    assert moved[meeting - 1] == 0 < moved[meeting]
    v_b = (p[-1, 1] - p[-2, 1]) * 1000
    chord = (p[1:, 0] - p[:-1, 0]).norm(dim=1) * 1000
    speed_a = chord * (rate / 2000) / math.sin(rate / 2000)  # of an arc, from its chord
    energy = [float(speed_a[0] ** 2), float(speed_a[-1] ** 2 + v_b.square().sum())]
    assert energy[0] == pytest.approx(energy[1], rel=1e-6)


def test_objects_of_any_motion_never_overlap():
    rng = random.Random(0)

    def drawn() -> SceneObject:
        x, y = rng.uniform(-0.7, 0.7), rng.uniform(-0.7, 0.5)
        vx, vy = rng.uniform(-0.8, 0.8), rng.uniform(-0.8, 0.8)
        kinds = (
            {},
            {"gravity": GRAVITY, "restitution": rng.choice((0.0, 1.0))},
            {"angular_velocity": rng.uniform(-3, 3)},
            {"growth": rng.uniform(-0.3, 0.3)},
        )
        return disc(x, y, rng.uniform(0.25, 0.4), vx=vx, vy=vy, **rng.choice(kinds))

    touched = 0
    for _ in range(150):
        a, b = drawn(), drawn()
        if math.hypot(a.x - b.x, a.y - b.y) < a.radius + b.radius + 0.02:
            continue
        tracks = simulated(a, b)
        apart = (tracks.positions[:, 0] - tracks.positions[:, 1]).norm(dim=1)
        gap = float((apart - tracks.radii.sum(dim=1)).min())
        assert gap > -1e-6, (a, b)
        touched += gap < 0.01
    assert touched > 10


def falls_onto(upper="circle", lower="square", bottom=1.0, drop=0.5, x=0.2):
    """A fall of `drop` half-widths, and where the first centre is at the touch."""
    b = SceneObject(lower, "blue", "large", "hit", 0.4, x, bottom - 0.4 * EXTENT[lower][2])
    touch = b.y - 0.4 * EXTENT[lower][1] - 0.3 * EXTENT[upper][2]
    a = SceneObject(upper, "red", "small", "falls onto", 0.3, x, touch - drop, gravity=GRAVITY)
    return Scene((a, b), verb="falls onto", relation="above"), touch


@pytest.mark.parametrize("bottom", [1.0, 1.7])
@pytest.mark.parametrize("upper,lower", [("circle", "square"), ("heart", "star")])
def test_what_falls_onto_another_touches_it_at_the_exact_moment(upper, lower, bottom):
    """Every descent takes √(2 · drop / g); the other one stays where it is."""
    scene, touch = falls_onto(upper, lower, bottom)
    descent = math.sqrt(2 * 0.5 / GRAVITY)
    for fps in (6, 8, 12, 25):
        p = simulate(scene, 33, fps, bottom).positions
        seconds = torch.arange(33, dtype=torch.float64) / fps
        from_the_top = torch.remainder(seconds + descent, 2 * descent) - descent
        expected = touch - 0.5 + 0.5 * GRAVITY * from_the_top**2
        assert torch.allclose(p[:, 0, 1], expected, atol=1e-9), fps
        assert torch.equal(p[:, 1], p[:1, 1].expand(33, 2)) and bool((p[:, 0, 0] == 0.2).all())
    at_the_touch = simulate(scene, 4, 1 / descent, bottom).positions[:, 0, 1]
    assert at_the_touch.tolist() == pytest.approx([touch - 0.5, touch] * 2, abs=1e-9)


@pytest.mark.parametrize("size", [(64, 64), (48, 80), (80, 48)])
def test_a_fall_keeps_its_energy_over_several_bounces(size):
    height, width = size
    for seed in range(8):
        scene = sample_scene(seed, "fall", num_frames=33, height=height, width=width)
        y = simulate(scene, 8 * 200 + 1, 400, height / min(size)).positions[:, 0, 1]
        speed = (y[2:] - y[:-2]) * 200
        energy = 0.5 * speed**2 - GRAVITY * y[1:-1]
        bend = (y[2:] - 2 * y[1:-1] + y[:-2]) * 400**2
        smooth = (bend - GRAVITY).abs() < 1e-6  # no bounce in between
        assert (smooth == 0).sum() >= 2, "it bounces more than once in four seconds"
        assert float(energy[smooth].std()) < 1e-9
        tops = y[1:-1][(y[1:-1] < y[2:]) & (y[1:-1] < y[:-2])]
        assert float((tops - y[0]).abs().max()) < 1e-4, "as high as at first, but for the frames"


def test_a_scene_without_objects_has_empty_tracks():
    assert simulate(Scene(()), 5).positions.shape == (5, 0, 2)


def test_a_wrong_choice_names_the_right_ones():
    with pytest.raises(ValueError, match=r"relation='beside' is not known.*left of, right of"):
        check_choice("relation", "beside", RELATIONS)


def test_a_still_object_moves_against_the_camera():
    thing = SceneObject("circle", "red", "small", "still", 0.3, 0.2, 0.0)
    path = Camera("pans right", 0.6, 2.0)
    tracks = simulate(Scene((thing,), camera=path))
    x = tracks.on_screen()[0][:, 0, 0]
    assert torch.allclose(x, 0.2 - 0.6 * torch.linspace(0, 1, 17, dtype=x.dtype))
    zoom = simulate(Scene((thing,), camera=Camera("zooms in", math.log(1.5), 2.0)))
    positions, radii = zoom.on_screen()
    assert radii[-1, 0] == pytest.approx(0.45) and positions[-1, 0, 0] == pytest.approx(0.3)
