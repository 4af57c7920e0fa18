import pytest
import torch

from minisora.compare.toy2d import DATASETS, Mixture, PlaneNet, mixture, train_plane
from minisora.flow import sigma_schedule
from minisora.sampling import euler, heun


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def noise_of(count, seed=0):
    return torch.randn(1, count, 2, dtype=torch.float64, generator=seeded(seed))


@pytest.mark.parametrize("sigma", [1.0, 0.8, 0.4, 0.15])
def test_the_velocity_is_the_posterior_mean_of_noise_minus_data(sigma):
    """Against an integral over all clean points, that knows nothing of the closed form."""
    data = Mixture(
        torch.tensor([[-1.0, 0.5], [0.7, -0.2], [0.9, 1.1]], dtype=torch.float64),
        0.2,
        torch.zeros(3),
    )
    line = torch.linspace(-4, 4, 401, dtype=torch.float64)
    x_0 = torch.cartesian_prod(line, line)
    prior = (-torch.cdist(x_0, data.means).square() / (2 * data.std**2)).exp().sum(1)
    x_t = 1.5 * noise_of(6)
    likelihood = (-(x_t[0][:, None] - (1 - sigma) * x_0).square().sum(-1) / (2 * sigma**2)).exp()
    weights = prior * likelihood
    guess = weights @ x_0 / weights.sum(1, keepdim=True)
    right = (x_t[0] - guess) / sigma  # noise − x_0 = (x_t − x_0) / σ
    assert torch.allclose(
        data.velocity(x_t, torch.full((1, 6), sigma, dtype=torch.float64))[0], right, atol=1e-6
    )


def test_every_point_has_its_own_noise_level():
    data, x = mixture("moons"), noise_of(3)
    sigma = torch.tensor([[1.0, 0.5, 0.2]], dtype=torch.float64)
    apart = [data.velocity(x[:, i : i + 1], sigma[:, i : i + 1]) for i in range(3)]
    assert torch.allclose(data.velocity(x, sigma), torch.cat(apart, 1))


def test_limits_of_the_velocity():
    x, ones = noise_of(5), torch.ones(1, 5, dtype=torch.float64)
    point = Mixture(torch.tensor([[1.0, -2.0]]), 0.0, torch.zeros(1))
    assert torch.allclose(point.velocity(x, 0.3 * ones), (x - point.means) / 0.3)
    for data in map(mixture, DATASETS):
        assert torch.allclose(data.velocity(x, ones), x - data.means.double().mean(0), atol=1e-6), (
            "noise knows nothing: the mean"
        )
        assert torch.allclose(data.velocity(x, 0 * ones), -x), (
            "no noise left to guess, so its mean is zero"
        )


@pytest.mark.parametrize("name", DATASETS)
def test_the_exact_flow_brings_noise_to_the_data(name):
    data = mixture(name)
    end = heun(data.velocity, noise_of(4000), sigma_schedule(30).double())[0]
    covariance = torch.cov(data.means.double().T, correction=0) + data.std**2 * torch.eye(2)
    assert torch.allclose(end.mean(0), data.means.double().mean(0), atol=0.07)
    assert torch.allclose(torch.cov(end.T), covariance, atol=0.12)
    nearest = torch.cdist(end, data.means.double()).min(1)
    assert float((nearest.values < 3 * data.std).double().mean()) > 0.97
    fraction = data.labels[nearest.indices].double().mean()
    assert float(fraction) == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("name", DATASETS)
def test_samples_have_the_mixtures_moments_and_classes(name):
    data = mixture(name)
    points = data.sample(20_000, seeded(0))
    assert points.shape == (1, 20_000, 2) and torch.equal(points, data.sample(20_000, seeded(0)))
    assert torch.allclose(points[0].mean(0), data.means.mean(0), atol=0.05)
    assert sorted(data.labels.unique().tolist()) == [0, 1]
    assert torch.equal(data.only(1).means, data.means[data.labels == 1])


def test_an_unknown_dataset_is_refused():
    with pytest.raises(ValueError, match=r"'moon'.*moons"):
        mixture("moon")


def test_training_learns_and_repeats():
    losses, networks = [], []
    for _ in range(2):
        torch.manual_seed(0)
        networks.append(PlaneNet(32))
        losses.append(train_plane(networks[-1], mixture("ring"), 150, seeded(0), batch_size=128))
    assert losses[0] == losses[1]
    assert sum(losses[0][-20:]) < 0.93 * sum(losses[0][:20])
    velocity = networks[0](torch.randn(2, 7, 2), torch.rand(2, 7))
    assert (
        velocity.shape == (2, 7, 2)
        and euler(networks[0], torch.randn(2, 7, 2), sigma_schedule(2)).isfinite().all()
    )


def test_stopping_keeps_what_was_learned(capsys):
    def stop(step, loss):
        if step == 3:
            raise KeyboardInterrupt

    network = PlaneNet(16)
    before = network.final_layer.weight.detach().clone()
    assert (
        len(train_plane(network, mixture("moons"), 50, seeded(0), batch_size=16, callback=stop))
        == 3
    )
    assert (
        not torch.equal(before, network.final_layer.weight) and "3 steps" in capsys.readouterr().out
    )
