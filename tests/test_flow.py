import pytest
import torch

from minisora.flow import (
    add_noise,
    clean_from_velocity,
    flow_loss,
    noise_from_velocity,
    shift_sigma,
    sigma_schedule,
    velocity_of,
)


def test_conversions_round_trip():
    x_0, noise = torch.randn(2, 4, 5, 3, dtype=torch.float64).unbind(0)
    sigma = torch.rand(4, 5, 1, dtype=torch.float64)
    x_t, velocity = add_noise(x_0, noise, sigma), velocity_of(x_0, noise)
    assert torch.allclose(clean_from_velocity(x_t, velocity, sigma), x_0)
    assert torch.allclose(noise_from_velocity(x_t, velocity, sigma), noise)


def test_velocity_is_the_derivative():
    x_0, noise = torch.randn(2, 6, dtype=torch.float64)
    sigma = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.functional.jacobian(lambda s: add_noise(x_0, noise, s), sigma)
    assert torch.allclose(slope, velocity_of(x_0, noise))


def test_rectified_flow_is_that_of_diffusers():
    schedulers = pytest.importorskip("diffusers.schedulers", reason="diffusers is not installed")
    scheduler = schedulers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    ours = shift_sigma(torch.linspace(1, 1 / 1000, 1000), 3.0)
    assert torch.allclose(scheduler.sigmas, ours, atol=1e-5)


def test_schedule_runs_from_noise_to_clean():
    sigmas = sigma_schedule(20, 3.0)
    assert len(sigmas) == 21
    assert sigmas[0] == 1
    assert sigmas[-1] == 0
    assert (sigmas.diff() < 0).all()
    assert sigmas[10] == pytest.approx(0.75)


@pytest.mark.parametrize("steps", [0, -1, 1001, 999_999_999, 2.5, float("nan"), True, "20"])
def test_a_number_of_steps_that_no_one_can_take_is_refused(steps):
    with pytest.raises(ValueError, match="from 1 to 1000"):
        sigma_schedule(steps)


@pytest.mark.parametrize("shift", [0.0, -1.0, float("nan"), float("inf")])
def test_a_shift_that_is_no_number_above_zero_is_refused(shift):
    with pytest.raises(ValueError, match="above 0"):
        sigma_schedule(4, shift)


def test_the_loss_is_zero_for_conditioning_tokens():
    x_0, noise, guess = torch.randn(3, 2, 6, 4).unbind(0)
    sigma = torch.tensor([[0.0, 0.5, 1.0, 0.0, 0.2, 0.3]]).expand(2, -1)
    loss = flow_loss(guess, x_0, noise, sigma)
    assert loss.shape == (2, 6)
    assert (loss[:, [0, 3]] == 0).all()
    assert (loss[:, [1, 2, 4, 5]] > 0).all()
    assert flow_loss(velocity_of(x_0, noise), x_0, noise, sigma).max() == 0
