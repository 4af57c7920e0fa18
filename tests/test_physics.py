"""Both figures on ground truth, where their right values are known."""

import math
from dataclasses import replace

import pytest
import torch

from minisora.measure.clips import track_of
from minisora.measure.judge import read, verdict
from minisora.measure.physics import (
    IMPLAUSIBLE,
    SPEEDS,
    denoising_loss,
    make_implausible,
    moving_scene,
    preference_error,
    true_track,
    velocities,
    velocity_error,
    velocity_figures,
)
from minisora.world.dataset import is_held_out, sample_scene
from minisora.world.parse import spec_of
from minisora.world.render import render
from minisora.world.scene import simulate


def test_velocity_error_of_exact_tracks():
    times = torch.arange(17)[:, None] / 8
    track = torch.tensor([[-0.5, 0.2]]) + times * torch.tensor([[0.3, -0.4]])
    faster = torch.tensor([[-0.5, 0.2]]) + 2 * times * torch.tensor([[0.3, -0.4]])
    assert velocity_error(track, track) == 0
    assert velocity_error(track + 1, track) == pytest.approx(0, abs=1e-5), (
        "where it is does not matter, only how it goes"
    )
    for apart in (1, 4):
        assert velocity_error(faster, track, apart=apart) == pytest.approx(0.5, abs=1e-5), (
            "twice the speed 0.5 is 0.5 too much"
        )
    assert velocity_error(-track, track) == pytest.approx(1.0, abs=1e-5), (
        "the other way counts twice"
    )
    lost = track.clone()
    lost[5] = torch.nan
    assert velocity_error(lost, track) == pytest.approx(0, abs=1e-5), (
        "frames without an object do not count"
    )
    assert velocities(track, apart=4).shape == (13, 2)


@pytest.mark.parametrize("name", SPEEDS)
def test_velocity_error_of_true_clips_is_the_judges_floor(name):
    low, high = SPEEDS[name]
    scenes = [
        replace(moving_scene(i, low, high), texture="plain") for i in range(6)
    ]  # which looks the same upside down
    for scene in scenes:
        (thing,) = scene.objects
        assert low <= abs(thing.vx + thing.vy) <= high and not is_held_out(thing.shape, thing.color)
        track = true_track(scene)
        assert track[:8].isfinite().all(), "in view long enough for five given frames and some more"
        assert torch.allclose(track[0], simulate(scene).positions[0, 0].float())
    videos = render(scenes)
    for figures in (
        velocity_figures(videos, videos, scenes),
        velocity_figures(videos.flip(3).flip(4), videos, scenes),
    ):
        assert figures["floor"]["mean"] < 0.02
        assert all(abs(true) >= low - 1e-3 for true, _ in figures["points"])
    assert figures["error"]["mean"] > 2 * low, "upside down and mirrored it goes the other way"


def test_the_slope_says_whether_speed_follows():
    scenes = [replace(moving_scene(i, 0.3, 0.55), texture="plain") for i in range(12)]
    videos = render(scenes)
    slope = velocity_figures(videos, videos, scenes)["slope"]
    assert slope["low"] <= 1.05 and slope["slope"] == pytest.approx(1, abs=0.05)
    one_speed = []
    for scene in scenes:
        (thing,) = scene.objects
        scale = 0.4 / abs(thing.vx + thing.vy)
        thing = replace(thing, vx=scale * thing.vx, vy=scale * thing.vy)
        one_speed.append(replace(scene, objects=(thing,)))
    figures = velocity_figures(render(one_speed), videos, scenes)
    assert figures["slope"]["slope"] == pytest.approx(0, abs=0.1), "it does not look"
    assert figures["slope floor"]["slope"] == pytest.approx(1, abs=0.05)
    assert figures["error"]["mean"] < 0.15, "and yet its error is small"


@pytest.mark.parametrize("name", SPEEDS)
def test_probes_follow_shape_and_rate(name):
    shape = {"num_frames": 25, "height": 24, "width": 40, "fps": 12}
    scenes = [replace(moving_scene(i, *SPEEDS[name], **shape), texture="plain") for i in range(4)]
    videos = render(scenes, **shape)
    figures = velocity_figures(videos, videos, scenes, fps=12)
    assert figures["floor"]["mean"] < 0.03
    scene = sample_scene(0, motion="falling", **shape)
    for kind in IMPLAUSIBLE:
        assert make_implausible(kind, scene, **shape).shape == (3, 25, 24, 40)


def test_a_clip_at_twice_the_speed_is_off_by_its_speed():
    scene = moving_scene(3, 0.3, 0.35)
    fast = moving_scene(3, 0.6, 0.7)
    a, b = scene.objects[0], fast.objects[0]
    assert (a.motion, a.color) == (b.motion, b.color)
    speed = [abs(o.vx + o.vy) for o in (a, b)]
    track = track_of(render([fast])[0], b.color)
    truth = simulate(scene).positions[:, 0].float()
    inside = true_track(fast).isfinite()
    assert velocity_error(torch.where(inside, track, torch.nan), truth) == pytest.approx(
        speed[1] - speed[0], abs=0.03
    )
    assert track_of(render([fast])[0], "red" if b.color != "red" else "blue").isnan().all()


def test_a_lie_is_a_lie_and_nothing_else_changes():
    for seed in range(4):
        scene = sample_scene(seed, motion="falling")
        true = render([scene])[0]
        assert verdict(read(true), spec_of(scene)).all
        for kind in IMPLAUSIBLE:
            false = make_implausible(kind, scene)
            assert false.shape == true.shape and false.abs().max() <= 1
            assert not verdict(read(false), spec_of(scene)).all, kind
            if kind != "reversed":
                assert torch.equal(false[:, 0], true[:, 0]), "the lie comes later"
    with pytest.raises(ValueError, match="tunnel"):
        make_implausible("tunnel", scene)


def test_preference_error_of_an_oracle_a_coin_and_a_liar():
    valid = torch.zeros(400)
    assert preference_error(valid, valid + 1)["value"] == 0
    assert preference_error(valid + 1, valid)["value"] == 1
    coin = torch.rand(2, 400, generator=torch.Generator().manual_seed(0))
    figure = preference_error(*coin)
    assert figure["low"] < 0.5 < figure["high"] and figure["n"] == 400
    apart = torch.arange(4.0)
    assert preference_error(apart, apart + 0.5)["value"] == 0, "pairs, not means"


def test_denoising_loss_is_paired_and_per_clip(model):
    scenes = [sample_scene(i, motion="falling") for i in range(3)]
    videos = render(scenes)
    prompts = ["a red circle falling", "", "a blue square"]
    losses = denoising_loss(model, videos, prompts)
    assert losses.shape == (3,) and losses.isfinite().all()
    assert torch.allclose(
        denoising_loss(model, videos[1:2], prompts[1:2]), losses[1:2], atol=1e-3
    ), "a clip's loss is its own"
    assert torch.equal(denoising_loss(model, videos, prompts), losses), (
        "the same seed is the same noise"
    )
    assert not torch.equal(denoising_loss(model, videos, prompts, seed=1), losses)
    assert not math.isclose(
        float(denoising_loss(model, videos, prompts, sigmas=(0.1,))[0]), float(losses[0])
    )
