"""Laws explain tracks that follow them, at any frame rate, and no others."""

import math

import pytest
import torch

from minisora.measure.laws import best_collision, best_fall, best_law, unwrap
from minisora.world.scene import GRAVITY, Scene, SceneObject, Turn, simulate


def law_of(fps=8, num_frames=17, wobble=0.0, **options):
    """The law of one disc that is at (x, y) at first, `wobble` off in every frame."""
    start = {"x": -0.3, "y": -0.2, **options}
    thing = SceneObject("square", "red", "small", "still", 0.3, **start)
    tracks = simulate(Scene((thing,)), num_frames, fps)
    generator = torch.Generator().manual_seed(0)
    positions = tracks.positions[:, 0].float()
    positions = positions + wobble * torch.randn(positions.shape, generator=generator)
    radii, angles = tracks.radii[:, 0].float(), tracks.angles[:, 0].float()
    seen = torch.ones(num_frames, dtype=torch.bool)
    return best_law(positions, radii, angles, seen, "square", fps)


WORLD = {
    "still": {},
    "right": {"vx": 0.4},
    "left": {"x": 0.3, "vx": -0.4},
    "up": {"y": 0.3, "vy": -0.4},
    "down": {"vy": 0.4},
    "diagonal": {"vx": 0.4, "vy": 0.4},
    "falling": {"gravity": GRAVITY, "restitution": 0.0},
    "bouncing": {"gravity": GRAVITY},
    "thrown": {"y": 0.7, "vx": 0.4, "vy": -0.9, "gravity": GRAVITY, "restitution": 0.0},
    "circling": {"vy": 0.8, "angular_velocity": 2.0},
    "spinning": {"spin": 1.5},
    "growing": {"growth": 0.25},
    "shrinking": {"growth": -0.17},
}


@pytest.mark.parametrize("fps", [6, 8, 12, 25])
@pytest.mark.parametrize("motion", WORLD)
def test_every_motion_has_its_law(motion, fps):
    law = law_of(fps, 2 * fps + 1, wobble=0.01, **WORLD[motion])
    assert law.motion == motion
    assert law.error < 0.03 and law.first_radius == pytest.approx(0.3, abs=0.02)
    assert law.also == ()


@pytest.mark.parametrize("sign", [-1, 1])
def test_turning_is_the_sign_of_the_rotation(sign):
    expected = "clockwise" if sign > 0 else "counterclockwise"
    assert law_of(spin=1.5 * sign).turning == expected
    assert law_of(vy=0.8 * sign, angular_velocity=2.0 * sign).turning == expected
    assert law_of(vx=0.4).turning is None


@pytest.mark.parametrize(
    "vx,vy,then", [(0.0, 0.6, "down"), (0.0, -0.6, "up"), (-0.6, 0.0, "left"), (0.0, 0.0, "stops")]
)
def test_two_pieces_are_an_order(vx, vy, then):
    law = law_of(vx=0.6, turn=Turn(1.0, vx, vy), wobble=0.005)
    assert (law.motion, law.then) == ("right", then)
    assert law_of(vx=0.6).then is None


def test_what_leaves_the_frame_and_comes_back_is_one_motion():
    turn = Turn(1.0, -1.2, 0.0)
    tracks = simulate(
        Scene((SceneObject("square", "red", "small", "still", 0.3, 0.3, 0.0, 1.2, turn=turn),))
    )
    positions = tracks.positions[:, 0].float()
    seen = positions[:, 0] < 1.1
    generator = torch.Generator().manual_seed(0)
    for wobble in [0.0] + 20 * [0.02]:  # half-widths, by which a blurred object is misread
        read = positions + wobble * torch.randn(17, 2, generator=generator)
        law = best_law(read, torch.full((17,), 0.3), torch.zeros(17), seen, "square", 8)
        assert law.motion == "leaving right"


@pytest.mark.parametrize("part", [slice(0, 8), slice(8, 17), slice(14, 25)])
def test_a_track_of_which_a_part_is_seen_follows_its_law(part):
    thing = SceneObject("square", "red", "small", "still", 0.3, -0.9, 0.0, 0.6)
    tracks = simulate(Scene((thing,)), 25)
    seen = torch.zeros(25, dtype=torch.bool)
    seen[part] = True
    law = best_law(
        tracks.positions[:, 0].float(), torch.full((25,), 0.3), torch.zeros(25), seen, "square", 8
    )
    assert law.motion == "right" and law.velocity == pytest.approx((0.6, 0.0), abs=1e-3)


@pytest.mark.parametrize("motion", ["right", "growing", "spinning"])
def test_a_pause_out_of_view_is_no_law(motion):
    thing = SceneObject("triangle", "red", "small", "still", 0.3, -0.3, 0.0, **WORLD[motion])
    tracks = simulate(Scene((thing,)))
    seen = torch.ones(17, dtype=torch.bool)
    seen[4:12] = False
    on = torch.arange(17)
    motions = []
    for rows in (on, on - (~seen).cumsum(0)):
        positions, radii, angles = (
            values[rows, 0].float() for values in (tracks.positions, tracks.radii, tracks.angles)
        )
        motions.append(best_law(positions, radii, angles, seen, "triangle", 8).motion)
    assert motions[0] == motion != motions[1]


def test_velocity_is_per_second_whatever_the_frame_rate():
    for fps in (6, 8, 25):
        assert law_of(fps, vx=0.4, vy=0.1).velocity == pytest.approx((0.4, 0.1), abs=1e-4)


def test_what_follows_no_law_is_unclear():
    assert law_of(gravity=0.5 * GRAVITY, restitution=0.0).motion == "unclear"
    assert law_of(wobble=0.2, vx=0.3).motion == "unclear"
    assert law_of(vx=0.3, growth=0.4).motion == "unclear"
    assert law_of(num_frames=3, vx=0.4).motion == "unclear"


def test_a_fall_and_a_bounce_are_one_until_the_floor():
    early = law_of(num_frames=7, gravity=GRAVITY, restitution=0.0)
    assert {early.motion, *early.also} == {"falling", "bouncing"}


def collision(distance=0.6, fps=8, v=0.4):
    """Tracks of two discs that stop or start at a distance of their centres."""
    times = torch.arange(17) / fps
    meeting = (0.9 - distance) / v
    x_a = -0.4 + v * times.clamp(max=meeting)
    x_b = 0.5 + v * (times - meeting).clamp(min=0)
    a, b = (torch.stack([x, torch.zeros(17)], dim=1) for x in (x_a, x_b))
    return best_collision(a, b, 0.3, 0.3, torch.ones(17, dtype=torch.bool), fps)


def test_a_collision_needs_contact():
    touching = collision()
    assert touching.motion == "hits" and touching.error < 0.02
    assert touching.velocity == pytest.approx((0.4, 0.0), abs=0.03)
    for times_the_radii in (1.18, 1.2, 1.23):
        assert collision(0.6 * times_the_radii) is None


def test_a_collision_is_one_at_any_frame_rate():
    for fps in (6, 8, 12):
        assert collision(fps=fps).motion == "hits"


def test_two_that_rest_do_not_collide():
    assert collision(v=1e-6) is None


def test_unwrapped_angles_do_not_jump():
    angles = torch.arange(40) * 0.5
    wrapped = torch.remainder(angles, math.pi / 2)
    assert torch.allclose(unwrap(wrapped, math.pi / 2), angles, atol=1e-5)


def fall(fps=8, wobble=0.01, reach=0.7, drop=0.5, seconds=2):
    """Tracks of a fall of `drop` half-widths onto an object at (0.1, 0.7)."""
    times = torch.arange(seconds * fps + 1) / fps
    descent = math.sqrt(2 * drop / GRAVITY)
    phase = torch.remainder(times + descent, 2 * descent) - descent
    y = 0.7 - reach - drop + 0.5 * GRAVITY * phase**2
    generator = torch.Generator().manual_seed(fps)
    noise = wobble * torch.randn(2, len(times), 2, generator=generator)
    a = torch.stack([torch.full_like(y, 0.1), y], dim=1) + noise[0]
    return a, torch.tensor([0.1, 0.7]) + noise[1]


def fall_law(a, b, fps=8, reach=0.7):
    return best_fall(a, b, reach, torch.ones(len(a), dtype=torch.bool), fps)


@pytest.mark.parametrize("fps", [6, 8, 12, 25])
@pytest.mark.parametrize("drop,seconds", [(0.2, 2), (0.5, 2), (0.7, 2), (0.5, 4)])
def test_a_fall_onto_another_has_its_law(drop, seconds, fps):
    law = fall_law(*fall(fps, drop=drop, seconds=seconds), fps)
    assert law.motion == "falls onto" and law.error < 0.025
    exact = fall_law(*fall(fps, 0.0, drop=drop, seconds=seconds), fps)
    assert exact.error < 0.005


def test_a_fall_needs_the_touch_a_bounce_and_an_object_at_rest():
    a, b = fall()
    assert fall_law(a, b).error < 0.025
    assert fall_law(*fall(reach=0.85)) is None, "turns back before it is there"
    assert fall_law(*fall(reach=0.55)) is None, "only after it is in the other one"
    moved = b + torch.linspace(0, 0.4, 17)[:, None] * torch.tensor([1.0, 0.0])
    assert fall_law(a, moved) is None
    sticks = a.clone()
    lowest = int(a[:, 1].argmax())
    sticks[lowest:] = sticks[lowest]
    beside = a + torch.tensor([0.3, 0.0])
    slower = torch.cat([a[::2], a[:1].expand(8, 2)])
    for wrong in (sticks, beside, slower, a.flip(1)):
        law = fall_law(wrong, b)
        assert law is None or law.error > 0.06
    assert fall_law(a[:8], b[:8]) is None, "what has not landed may still do anything"


def test_tracks_that_begin_at_one_point_are_no_collision():
    """They have no way from one to the other; such tracks once ended in an error."""
    a = torch.zeros(9, 2)
    b = torch.stack([torch.linspace(0, 1, 9), torch.zeros(9)], dim=1)
    assert best_collision(a, b, 0.3, 0.3, torch.ones(9, dtype=torch.bool), 8) is None
