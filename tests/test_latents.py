"""Latents as colours, and the way between two noises."""

from dataclasses import replace

import pytest
import torch

from minisora.show.latents import (
    CLIPS,
    clips_from_noise,
    latent_basis,
    latents_to_rgb,
    slerp,
)
from minisora.world.dataset import ToyWorld


def test_a_basis_is_the_principal_axes_of_its_clips(model):
    basis = latent_basis(model)
    eye = torch.eye(len(basis.std))
    assert torch.allclose(basis.axes @ basis.axes.T, eye, atol=1e-4)
    assert (basis.std.diff() <= 1e-6).all()
    cells = model.encode(ToyWorld().batch(0, CLIPS).videos).movedim(1, -1).flatten(0, -2)
    along = (cells - basis.mean) @ basis.axes.T
    assert torch.allclose(along.std(0), basis.std, rtol=0.01)
    covariance = along.T @ along / len(along)
    assert (covariance - covariance.diag().diag()).abs().max() < 1e-3 * covariance.max()


def test_a_basis_is_of_clips_at_the_models_own_rate(model, monkeypatch):
    monkeypatch.setattr(model, "preset", replace(model.preset, fps=12))
    latent_basis.cache_clear()
    basis = latent_basis(model)
    latent_basis.cache_clear()
    cells = model.encode(ToyWorld(fps=12).batch(0, CLIPS).videos).movedim(1, -1).flatten(0, -2)
    assert torch.allclose(cells.mean(0), basis.mean, atol=1e-5)


def test_a_model_has_one_basis(model):
    first = latent_basis(model)
    latent_basis.cache_clear()
    again = latent_basis(model)
    assert torch.allclose(first.axes, again.axes, atol=1e-5)
    assert (again.axes.amax(1) >= -again.axes.amin(1)).all(), "signs are fixed"


def test_equal_cells_have_equal_colours_in_every_clip(model, batch):
    basis = latent_basis(model)
    latents = model.encode(batch.videos[:2])
    latents[1, :, 0, 2, 3] = latents[0, :, 4, 1, 1]
    first, second = (latents_to_rgb(part, basis) for part in latents)
    assert first.shape == (3, *latents.shape[2:]) and first.abs().max() <= 1
    assert torch.equal(first[:, 4, 1, 1], second[:, 0, 2, 3])
    one = basis.mean + basis.std[1] * basis.axes[1]
    color = latents_to_rgb(one[:, None, None, None], basis).flatten()
    assert torch.allclose(color, torch.tensor([0.0, 0.5, 0.0]), atol=1e-4)


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 1.0])
def test_on_a_sphere_noise_stays_noise(fraction):
    start, end = torch.randn(2, 12, 5, 8, 8, generator=torch.Generator().manual_seed(0))
    between = slerp(start, end, fraction)
    assert float(between.std()) == pytest.approx(1, abs=0.03)
    assert float(torch.lerp(start, end, 0.5).std()) < 0.8
    for known, place in ((start, 0.0), (end, 1.0)):
        if fraction == place:
            assert torch.allclose(between, known, atol=1e-5)
    assert torch.allclose(slerp(start, start, fraction), start)


def test_a_clip_from_noise_is_the_one_that_is_generated(model):
    def seeded():
        return torch.Generator().manual_seed(3)

    noise = torch.randn(1, 12, 5, 8, 8, generator=seeded())
    options = {"upsample": False, "num_inference_steps": 3, "generator": seeded()}
    drawn = model.generate("a red circle", **options)
    given = clips_from_noise(model, "a red circle", torch.cat([noise, -noise]), 3)
    assert torch.allclose(given[:1], drawn, atol=0.02)
    assert (given[1] - drawn[0]).abs().max() > 0.1
