import pytest
import torch

from minisora.flow import sigma_schedule
from minisora.sampling import SAMPLERS, ddim, euler, guided, heun


def gaussian_velocity(mean: float, std: float):
    """The exact velocity for data drawn from N(mean, std²): E[noise − x_0 | x_t], from the joint Gaussian of the three."""

    def velocity(tokens, sigma):
        s = sigma[..., None]
        variance = (1 - s) ** 2 * std**2 + s**2
        return (s - (1 - s) * std**2) / variance * (tokens - (1 - s) * mean) - mean

    return velocity


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_constant_velocity_takes_one_step(name):
    x_0, noise = torch.randn(2, 1, 3, 4, dtype=torch.float64)
    out = SAMPLERS[name](lambda tokens, sigma: noise - x_0, noise, sigma_schedule(1).double())
    assert torch.allclose(out, x_0)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_gaussian_comes_out_with_its_mean_and_variance(name):
    noise = torch.randn(
        1, 20000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    out = SAMPLERS[name](gaussian_velocity(2.0, 0.5), noise, sigma_schedule(200).double())
    assert float(out.mean()) == pytest.approx(2.0, abs=0.02)
    assert float(out.std()) == pytest.approx(0.5, abs=0.02)


def exact(noise, mean, std):
    return mean + std * noise


@pytest.mark.parametrize("sampler,factor", [(euler, 2.0), (heun, 4.0)])
def test_error_falls_with_the_order(sampler, factor):
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)[None, :, None]
    errors = [
        float(
            (
                sampler(gaussian_velocity(1.0, 0.3), noise, sigma_schedule(n).double())
                - exact(noise, 1.0, 0.3)
            )
            .abs()
            .mean()
        )
        for n in (80, 160)
    ]
    assert errors[0] / errors[1] == pytest.approx(factor, rel=0.15)


def test_ddim_without_fresh_noise_is_euler():
    noise, sigmas = torch.randn(1, 6, 2, dtype=torch.float64), sigma_schedule(7, 3.0).double()
    velocity = gaussian_velocity(1.0, 0.3)
    assert torch.allclose(ddim(velocity, noise, sigmas), euler(velocity, noise, sigmas))
    generator = torch.Generator().manual_seed(0)
    assert not torch.allclose(
        ddim(velocity, noise, sigmas, eta=1.0, generator=generator), euler(velocity, noise, sigmas)
    )


@pytest.mark.parametrize("name", SAMPLERS)
def test_given_tokens_never_move(name):
    tokens, start = torch.randn(1, 6, 2), torch.tensor([[0.0, 1.0, 0.0, 1.0, 0.5, 1.0]])
    out = SAMPLERS[name](lambda t, s: torch.randn_like(t), tokens, sigma_schedule(5), start=start)
    assert torch.equal(out[:, [0, 2]], tokens[:, [0, 2]])
    assert not torch.equal(out[:, 4], tokens[:, 4])


def test_callback_sees_every_step():
    seen = []
    euler(
        lambda t, s: t,
        torch.ones(1, 2, 1),
        sigma_schedule(4),
        callback=lambda i, sigma, tokens, x_0: seen.append((i, sigma, x_0.shape)),
    )
    assert [s[0] for s in seen] == [0, 1, 2, 3] and seen[0][1] == 1.0 and seen[0][2] == (1, 2, 1)


def test_guidance_one_is_conditional_and_zero_is_unconditional():
    calls = []

    def model(tokens, sigma, positions, embeds, mask):
        calls.append(len(tokens))
        return embeds.mean((1, 2))[:, None, None].expand_as(tokens)

    cond, uncond = (
        (torch.full((2, 3, 4), v), torch.ones(2, 3, dtype=torch.bool)) for v in (5.0, 1.0)
    )
    tokens, sigma = torch.zeros(2, 6, 4), torch.ones(2, 6)
    values = [
        float(guided(model, None, cond, uncond, scale)(tokens, sigma).mean()) for scale in (0, 1, 3)
    ]
    assert values == [1.0, 5.0, 13.0]
    assert calls == [2, 2, 4]
