import pytest
import torch

from minisora.flow import sigma_schedule
from minisora.patchify import positions_of, unpatchify
from minisora.sampling import SAMPLERS, ddim, draw_noise, euler, guided, heun


def gaussian_velocity(mean: float, std: float):
    """The exact velocity E[noise − x_0 | x_t] for data drawn from N(mean, std²)."""

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

    def error(steps):
        out = sampler(gaussian_velocity(1.0, 0.3), noise, sigma_schedule(steps).double())
        return float((out - exact(noise, 1.0, 0.3)).abs().mean())

    assert error(80) / error(160) == pytest.approx(factor, rel=0.15)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_no_sampler_asks_the_network_about_clean_tokens(name, steps):
    """At σ = 0 training had conditioning tokens alone, and no loss on their velocity."""
    start = torch.tensor([[1.0, 0.0, 0.9, 0.3, 0.05]])

    def velocity(tokens, sigma):
        if (sigma[start > 0] == 0).any():
            raise AssertionError("a token that is to be generated was at noise level 0")
        return tokens

    SAMPLERS[name](velocity, torch.randn(1, 5, 2), sigma_schedule(steps, 3.0), start=start)
    if steps == 7:
        SAMPLERS[name](velocity, torch.randn(1, 5, 2), sigma_schedule(steps, 1.0), start=start)


@pytest.mark.slow
@torch.no_grad()
def test_heun_is_nearer_to_the_exact_clips_when_its_last_step_is_eulers(shipped):
    """RMS distance of 20 steps to 80 steps of Euler, over the clips of three prompts."""
    grid = (5, 4, 4)
    texts = [
        "a large red circle bouncing on a navy background",
        "a small yellow star spinning on a black grid",
        "a large green heart growing on a white gradient",
    ]
    ids, _ = shipped.tokenizer([*texts, "", "", ""])
    parts = [part.chunk(2) for part in shipped.text.read(ids, grid)]
    prompt, negative = zip(*parts, strict=True)
    velocity = guided(shipped.dit, positions_of(grid), prompt, negative, 2.0)
    noise = torch.randn(3, 80, 48, generator=torch.Generator().manual_seed(0))

    def heun_to_zero(velocity, tokens, sigmas):
        for sigma, after in zip(sigmas[:-1], sigmas[1:], strict=True):
            v = velocity(tokens, sigma.expand(3, 80))
            end = velocity(tokens + (after - sigma) * v, after.expand(3, 80))
            tokens = tokens + (after - sigma) * (v + end) / 2
        return tokens

    def sample(sampler, steps):
        tokens = sampler(velocity, noise, sigma_schedule(steps, shipped.preset.shift))
        return shipped.decode(unpatchify(tokens, grid, (1, 2, 2)))

    exact = sample(euler, 80)
    error, before = (
        float((sample(sampler, 20) - exact).square().mean().sqrt())
        for sampler in (heun, heun_to_zero)
    )
    assert error < 0.9 * before


@pytest.mark.parametrize("eta", [-0.1, 1.5, float("nan")])
def test_ddim_refuses_an_eta_that_is_no_fraction(eta):
    with pytest.raises(ValueError, match="from 0"):
        ddim(gaussian_velocity(1.0, 0.3), torch.randn(1, 6, 2), sigma_schedule(2), eta=eta)


@pytest.mark.slow  # torch's rules for that device load slowly
def test_fresh_noise_comes_from_the_generators_own_device():
    """Tokens may be on another device than the generator: "meta" is one on every machine."""
    tokens = torch.empty(2, 6, 3, device="meta")
    generator = torch.Generator().manual_seed(0)
    out = ddim(lambda t, s: t, tokens, sigma_schedule(3), eta=0.5, generator=generator)
    assert out.device.type == "meta"
    assert draw_noise((2, 6), generator, "meta").device.type == "meta"


def test_a_list_of_generators_gives_each_clip_its_own_noise():
    def seeded(seed):
        return torch.Generator().manual_seed(seed)

    pair = draw_noise((2, 6, 3), [seeded(1), seeded(2)], "cpu")
    assert torch.equal(pair[:1], draw_noise((1, 6, 3), seeded(1), "cpu"))
    assert torch.equal(pair[1:], draw_noise((1, 6, 3), [seeded(2)], "cpu"))
    velocity, noise = gaussian_velocity(1.0, 0.3), torch.randn(2, 6, 3)
    options = {"sigmas": sigma_schedule(3), "eta": 1.0}
    both = ddim(velocity, noise, generator=[seeded(1), seeded(2)], **options)
    alone = ddim(velocity, noise[1:], generator=[seeded(2)], **options)
    assert torch.allclose(both[1:], alone)
    with pytest.raises(ValueError, match="2 clips and 3 generators"):
        draw_noise((2, 6), [seeded(0)] * 3, "cpu")


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), -float("inf"), 1e9])
def test_a_guidance_scale_that_is_no_number_is_refused(scale):
    with pytest.raises(ValueError, match="from -100 to 100"):
        guided(torch.nn.Identity(), torch.zeros(1, 3), (), (), scale)


def test_ddim_without_fresh_noise_is_euler():
    noise, sigmas = torch.randn(1, 6, 2, dtype=torch.float64), sigma_schedule(7, 3.0).double()
    velocity = gaussian_velocity(1.0, 0.3)
    assert torch.allclose(ddim(velocity, noise, sigmas), euler(velocity, noise, sigmas))
    generator = torch.Generator().manual_seed(0)
    assert not torch.allclose(
        ddim(velocity, noise, sigmas, eta=1.0, generator=generator), euler(velocity, noise, sigmas)
    )


@pytest.mark.parametrize("name", SAMPLERS)
def test_conditioning_tokens_never_move(name):
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
    assert [step for step, _, _ in seen] == [0, 1, 2, 3]
    assert seen[0] == (0, 1.0, (1, 2, 1))


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
