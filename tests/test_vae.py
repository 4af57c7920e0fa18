from dataclasses import replace

import pytest
import torch

from minisora.config import VAEConfig
from minisora.vae import Posterior, VideoVAE
from tests.conftest import wake

CONFIG = VAEConfig(hidden_size=32, depth=2, num_heads=2)


@pytest.fixture
def vae():
    torch.manual_seed(0)
    vae = VideoVAE(CONFIG).eval()
    wake(vae)
    return vae


@pytest.mark.parametrize("shape", [(17, 32, 32), (1, 16, 24), (9, 24, 40), (5, 8, 4)])
@torch.no_grad()
def test_shapes(vae, shape):
    T, H, W = shape
    posterior = vae.encode(torch.zeros(2, 3, T, H, W))
    assert posterior.mean.shape == (2, CONFIG.latent_channels, (T + 3) // 4, H // 4, W // 4)
    assert vae.decode(posterior.mean).shape == (2, 3, T, H, W)


@torch.no_grad()
def test_is_causal_bit_for_bit(vae):
    video = torch.randn(1, 3, 17, 16, 16)
    latents = vae.encode(video).mean
    decoded = vae.decode(latents)
    for k in range(4):
        later = video.clone()
        later[:, :, 4 * k + 1 :] = torch.randn_like(later[:, :, 4 * k + 1 :])
        assert torch.equal(vae.encode(later).mean[:, :, : k + 1], latents[:, :, : k + 1])
        changed = latents.clone()
        changed[:, :, k + 1 :] += 1
        assert torch.equal(vae.decode(changed)[:, :, : 4 * k + 1], decoded[:, :, : 4 * k + 1])
        assert not torch.equal(vae.decode(changed)[:, :, 4 * k + 1 :], decoded[:, :, 4 * k + 1 :])


@torch.no_grad()
def test_a_latent_stands_for_its_own_pixels_alone(vae):
    video = torch.randn(1, 3, 9, 16, 24)
    latents = vae.encode(video).mean
    changed = video.clone()
    changed[:, :, 1:5, 4:8, 8:12] += 1  # the pixels of latent frame 1, row 1, column 2
    moved = (vae.encode(changed).mean != latents).any(1)[0].nonzero().tolist()
    assert moved == [[1, 1, 2]]


def test_forward_is_encode_sample_decode(vae):
    video, noise = torch.randn(2, 3, 5, 16, 16), torch.randn(2, CONFIG.latent_channels, 2, 4, 4)
    decoded, kl = vae(video, noise)
    posterior = vae.encode(video)
    assert torch.equal(decoded, vae.decode(posterior.mean + (0.5 * posterior.logvar).exp() * noise))
    assert torch.equal(kl, posterior.kl())


@torch.no_grad()
def test_an_image_is_a_video_of_one_frame(vae):
    video = torch.randn(1, 3, 17, 16, 16)
    assert torch.allclose(
        vae.encode(video[:, :, :1]).mean, vae.encode(video).mean[:, :, :1], atol=1e-5
    )


@pytest.mark.parametrize("size", [1, 3, 4])
@torch.no_grad()
def test_chunked_decoding_equals_whole(vae, size):
    latents = torch.randn(1, CONFIG.latent_channels, 14, 4, 4)
    chunks = list(vae.decode_chunks(latents, size))
    assert torch.allclose(torch.cat(chunks, dim=2), vae.decode(latents), atol=1e-5)


@pytest.mark.parametrize("window", [1, 2])
@torch.no_grad()
def test_chunked_decoding_equals_whole_for_every_window(window):
    vae = VideoVAE(replace(CONFIG, window=window)).eval()
    wake(vae)
    latents = torch.randn(1, CONFIG.latent_channels, 7, 4, 4)
    chunks = torch.cat(list(vae.decode_chunks(latents, 2)), dim=2)
    assert torch.allclose(chunks, vae.decode(latents), atol=1e-5)


def test_kl_is_that_of_torch_distributions():
    posterior = Posterior(torch.randn(3, 8, 2, 4, 4), torch.randn(3, 8, 2, 4, 4))
    q = torch.distributions.Normal(posterior.mean, (0.5 * posterior.logvar).exp())
    expected = (
        torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).flatten(1).sum(1)
    )
    assert posterior.kl().shape == (3,)
    assert torch.allclose(posterior.kl(), expected, rtol=1e-4)


def test_sampling_has_the_posteriors_moments_and_a_gradient():
    mean = torch.full((1, 1, 1, 100, 100), 2.0, requires_grad=True)
    posterior = Posterior(mean, torch.full_like(mean, -2.0))
    a, b = (posterior.sample(torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(a, b)
    assert float(a.detach().mean()) == pytest.approx(2.0, abs=0.02)
    assert float(a.detach().std()) == pytest.approx(2.718**-1, abs=0.02)
    a.sum().backward()
    assert torch.allclose(mean.grad, torch.ones_like(mean))


def test_normalising_is_undone():
    vae = VideoVAE(CONFIG)
    vae.latents_mean.normal_()
    vae.latents_std.uniform_(0.5, 2)
    x = torch.randn(2, CONFIG.latent_channels, 3, 4, 4)
    assert torch.allclose(vae.denormalise(vae.normalise(x)), x, atol=1e-5)


def test_wrong_sizes_name_the_nearest(vae):
    with pytest.raises(ValueError, match="num_frames=16 is not 4k \\+ 1; 13 or 17"):
        vae.encode(torch.zeros(1, 3, 16, 32, 32))
    with pytest.raises(ValueError, match=r"30 columns.*28 or 32"):
        vae.encode(torch.zeros(1, 3, 17, 32, 30))
