"""DDPM's formulas, held to diffusers and to each other."""

import pytest
import torch

from minisora.compare.ddpm import alphas_cumprod, clean_and_noise_from_v, v_from


def test_clean_and_noise_come_back_from_v():
    x_0, noise = torch.randn(2, 4, 5, 3, dtype=torch.float64).unbind(0)
    alpha_bar = torch.rand(4, 5, 1, dtype=torch.float64)
    x_t = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * noise
    clean, drawn = clean_and_noise_from_v(x_t, v_from(x_0, noise, alpha_bar), alpha_bar)
    assert torch.allclose(clean, x_0)
    assert torch.allclose(drawn, noise)


@pytest.mark.parametrize("schedule,name", [("linear", "linear"), ("cosine", "squaredcos_cap_v2")])
def test_schedules_are_those_of_diffusers(schedule, name):
    schedulers = pytest.importorskip("diffusers.schedulers", reason="diffusers is not installed")
    theirs = schedulers.DDPMScheduler(1000, beta_schedule=name).alphas_cumprod
    assert torch.allclose(alphas_cumprod(schedule).float(), theirs, rtol=1e-3, atol=1e-6)


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match="linear or cosine"):
        alphas_cumprod("quadratic")
