"""Earlier formulations, compared with diffusers and with exact answers."""

import pytest
import torch

from data.experiments.objectives_report import compare, distance
from minisora.compare.objectives import (
    DRAWS,
    SCHEDULES,
    TARGETS,
    clean_and_noise_from,
    coefficients,
    ddim_step,
    ddpm_step,
    draw_times,
    sample_with,
    target_of,
    train_objective,
)
from minisora.compare.toy2d import mixture

TIMES = torch.linspace(0.05, 0.95, 7, dtype=torch.float64)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("target", TARGETS)
def test_clean_and_noise_come_back_from_every_target(schedule, target):
    x_0, noise = torch.randn(
        2, 7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    ).unbind(0)
    a, s = (c[:, None] for c in coefficients(schedule, TIMES))
    got = clean_and_noise_from(
        target, target_of(target, x_0, noise, a, s), a * x_0 + s * noise, a, s
    )
    assert torch.allclose(got[0], x_0, atol=1e-9) and torch.allclose(got[1], noise, atol=1e-9)


def test_schedules_keep_their_power_and_end_in_noise():
    for schedule in ("linear", "cosine"):
        a, s = coefficients(schedule, torch.tensor([0.0, 0.5, 1.0]))
        assert torch.allclose(a**2 + s**2, torch.ones(3), atol=1e-6) and a[0] == 1 and a[2] < 0.01
    with pytest.raises(ValueError, match="flow, linear, cosine"):
        coefficients("square", TIMES)
    with pytest.raises(ValueError, match="velocity, noise"):
        target_of("colour", *torch.zeros(4, 1))
    with pytest.raises(ValueError, match="uniform, logit-normal"):
        draw_times("often", 3, torch.Generator())


def schedulers_of_diffusers():
    return pytest.importorskip("diffusers.schedulers", reason="diffusers is not installed")


@pytest.mark.parametrize("schedule,name", [("linear", "linear"), ("cosine", "squaredcos_cap_v2")])
@pytest.mark.parametrize(
    "target,theirs", [("noise", "epsilon"), ("clean", "sample"), ("v", "v_prediction")]
)
def test_steps_are_those_of_diffusers(schedule, name, target, theirs):
    schedulers = schedulers_of_diffusers()
    options = {"beta_schedule": name, "prediction_type": theirs, "clip_sample": False}
    generator = torch.Generator().manual_seed(0)
    x_t, prediction = torch.randn(2, 1, 5, 2, generator=generator).unbind(0)
    now, after = (
        torch.tensor(600 / 1000),
        torch.tensor(500 / 1000),
    )  # ᾱ of their timestep 599 and 499

    def guess(x, t):
        return clean_and_noise_from(target, prediction, x, *coefficients(schedule, t))

    ddim = schedulers.DDIMScheduler(
        1000, set_alpha_to_one=True, timestep_spacing="trailing", **options
    )
    ddim.set_timesteps(10)
    assert 599 in ddim.timesteps.tolist()
    right = ddim.step(prediction, 599, x_t).prev_sample
    assert torch.allclose(ddim_step(x_t, guess, schedule, now, after), right, atol=1e-4)

    ddpm = schedulers.DDPMScheduler(1000, timestep_spacing="trailing", **options)
    ddpm.set_timesteps(10)
    right = ddpm.step(prediction, 599, x_t, generator=torch.Generator().manual_seed(7)).prev_sample
    ours = ddpm_step(x_t, guess, schedule, now, after, torch.Generator().manual_seed(7))
    assert torch.allclose(ours, right, atol=1e-3)


def test_times_are_drawn_as_they_say():
    draws = {kind: draw_times(kind, 20_000, torch.Generator().manual_seed(0)) for kind in DRAWS}
    assert all(((t >= 0) & (t <= 1)).all() for t in draws.values())
    assert draws["uniform"].mean() == pytest.approx(0.5, abs=0.01) and draws[
        "uniform"
    ].std() == pytest.approx(12**-0.5, abs=0.01)
    assert draws["logit-normal"].logit().std() == pytest.approx(1.0, abs=0.02)
    assert draws["shifted"].median() == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize("sampler", ["ddim", "ddpm"])
def test_exact_guesses_bring_noise_to_a_gaussian(sampler):
    """For normal data the best guess of x_0 is known; samples must have mean 2 and std 0.5."""

    def guess(x_t, t, mean=2.0, std=0.5):
        a, s = coefficients("cosine", t)
        x_0 = mean + a * std**2 / (a**2 * std**2 + s**2) * (x_t - a * mean)
        return x_0, (x_t - a * x_0) / s

    points = sample_with(guess, "cosine", 200, 4000, sampler)
    assert points.mean() == pytest.approx(2.0, abs=0.03) and points.std() == pytest.approx(
        0.5, abs=0.03
    )


def test_distance_tells_clouds_apart():
    data = mixture("ring")

    def cloud(seed):
        return data.sample(1000, torch.Generator().manual_seed(seed))

    assert abs(distance(cloud(0), cloud(1))) < 0.02
    assert distance(cloud(0), data.only(0).sample(1000, torch.Generator().manual_seed(2))) > 0.02
    assert distance(cloud(0), cloud(1) + 1.0) > 0.3


def test_a_short_training_comes_near_the_data():
    data = mixture("ring")
    truth = data.sample(1000, torch.Generator().manual_seed(5))
    for schedule, target in (("flow", "velocity"), ("cosine", "v")):
        guess = train_objective(data, schedule, target, steps=300, batch_size=256)
        assert (
            distance(sample_with(guess, schedule, 20, 1000), truth)
            < 0.1 * distance(torch.randn(1, 1000, 2), truth) + 0.02
        )


def test_the_comparison_has_a_row_for_every_objective():
    table = compare("ring", (2,), 2, (0,))
    assert len(table) == 3 + 6 + 1 and set(table["cosine", "v", "uniform"]) == {"ddim 2", "ddpm 2"}
    assert (
        abs(table["ground truth", "–", "–"]["–"]["mean"])
        < 0.02
        < table["flow", "velocity", "uniform"]["ddim 2"]["mean"]
    )
