import pytest
import torch

from minisora.diffusion import (
    add_noise,
    alphas_cumprod,
    clean_and_noise_from_v,
    clean_from_velocity,
    draw_sigma,
    flow_loss,
    noise_from_velocity,
    shift_sigma,
    sigma_schedule,
    v_from,
    velocity_of,
)  # fmt: skip


def test_conversions_round_trip():
    x_0, noise = torch.randn(2, 4, 5, 3, dtype=torch.float64).unbind(0)
    sigma = torch.rand(4, 5, 1, dtype=torch.float64)
    x_t, velocity = add_noise(x_0, noise, sigma), velocity_of(x_0, noise)
    assert torch.allclose(clean_from_velocity(x_t, velocity, sigma), x_0)
    assert torch.allclose(noise_from_velocity(x_t, velocity, sigma), noise)
    bar = torch.rand(4, 5, 1, dtype=torch.float64)
    x_t = bar.sqrt() * x_0 + (1 - bar).sqrt() * noise
    back = clean_and_noise_from_v(x_t, v_from(x_0, noise, bar), bar)
    assert torch.allclose(back[0], x_0) and torch.allclose(back[1], noise)


def test_velocity_is_the_derivative():
    x_0, noise = torch.randn(2, 6, dtype=torch.float64)
    sigma = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.functional.jacobian(lambda s: add_noise(x_0, noise, s), sigma)
    assert torch.allclose(slope, velocity_of(x_0, noise))


@pytest.mark.parametrize("schedule,name", [("linear", "linear"), ("cosine", "squaredcos_cap_v2")])
def test_ddpm_schedules_are_those_of_diffusers(schedule, name):
    schedulers = pytest.importorskip("diffusers.schedulers", reason="diffusers is not installed")
    theirs = schedulers.DDPMScheduler(1000, beta_schedule=name).alphas_cumprod
    assert torch.allclose(alphas_cumprod(schedule).float(), theirs, rtol=1e-3, atol=1e-6)


def test_rectified_flow_is_that_of_diffusers():
    schedulers = pytest.importorskip("diffusers.schedulers", reason="diffusers is not installed")
    scheduler = schedulers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    ours = shift_sigma(torch.linspace(1, 1 / 1000, 1000), 3.0)
    assert torch.allclose(scheduler.sigmas, ours, atol=1e-5)


def test_schedule_runs_from_noise_to_clean():
    sigmas = sigma_schedule(20, 3.0)
    assert sigmas[0] == 1 and sigmas[-1] == 0 and (sigmas.diff() < 0).all() and len(sigmas) == 21
    assert sigmas[10] == pytest.approx(0.75)
    with pytest.raises(ValueError, match="too few"):
        sigma_schedule(0)
    with pytest.raises(ValueError, match="linear or cosine"):
        alphas_cumprod("quadratic")


def test_drawn_levels_are_of_three_kinds():
    sigma = draw_sigma(4000, (5, 2, 2), torch.Generator().manual_seed(0)).view(4000, 5, 4)
    assert (sigma == sigma[..., :1]).all(), "one level a latent frame"
    frame = sigma[..., 0]
    one = (frame == frame[:, :1]).all(1).float().mean()
    clean = (frame == 0).any(1)
    assert one == pytest.approx(0.5, abs=0.03)
    assert clean.float().mean() == pytest.approx(0.2, abs=0.03)
    assert (frame[clean, 0] == 0).all() and (frame[:, -1] > 0).all()
    assert frame[clean, 1].eq(0).float().mean() == pytest.approx(0.5 * 0.75, abs=0.06)


def test_loss_is_zero_for_what_is_given():
    x_0, noise, guess = torch.randn(3, 2, 6, 4).unbind(0)
    sigma = torch.tensor([[0.0, 0.5, 1.0, 0.0, 0.2, 0.3]]).expand(2, -1)
    loss = flow_loss(guess, x_0, noise, sigma)
    assert loss.shape == (2, 6) and (loss[:, [0, 3]] == 0).all() and (loss[:, [1, 2, 4, 5]] > 0).all()
    assert flow_loss(velocity_of(x_0, noise), x_0, noise, sigma).max() == 0
