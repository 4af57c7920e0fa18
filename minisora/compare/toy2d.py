"""Flow matching in two dimensions, where the whole velocity field can be seen.

    noise (B, N, 2) ── velocity, a sampler ──► points (B, N, 2)

A point of the plane is a token of two numbers, so that points (B, N, 2) with noise levels (B, N) go
through flow.py and sampling.py as the tokens of a clip do. The data are equal Gaussian blobs, for
which the velocity has a closed form (rectified flow, arXiv:2209.03003; flow matching,
arXiv:2210.02747).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F

from minisora.flow import add_noise, flow_loss
from minisora.layers import NoiseEmbedder

DATASETS = ("moons", "spiral", "ring")


@dataclass(frozen=True, eq=False)
class Mixture:
    """Equal Gaussian blobs, in classes."""

    means: torch.Tensor  # (K, P), the centres
    std: float  # of every blob
    labels: torch.Tensor  # (K,), the class of every blob

    def only(self, label: int) -> "Mixture":
        """The blobs of one class."""
        keep = self.labels == label
        return Mixture(self.means[keep], self.std, self.labels[keep])

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draw clean points, (1, count, P)."""
        which = torch.randint(len(self.means), (count,), generator=generator)
        means = self.means[which]  # (count, P)
        noise = torch.randn(means.shape, generator=generator)
        return (means + self.std * noise)[None]

    def velocity(self, x_t: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """The exact velocity E[noise − x_0 | x_t].

        It is the mean of the blobs' own velocities, each weighted by how likely x_t comes from that
        blob.

        With V = (1 − σ)² std² + σ² the variance of x_t within a blob, and m the posterior mean of
        the blobs' centres,

            m = Σ_k softmax_k(−|x_t − (1 − σ) mean_k|² / 2V) mean_k
            velocity = (σ − (1 − σ) std²) / V · (x_t − (1 − σ) m) − m

        Args:
            x_t: (B, N, P).
            sigma: (B, N) in [0, 1]; above 0 where std is 0.

        Returns:
            (B, N, P).
        """
        means = self.means.to(x_t)
        s = sigma[..., None]
        clean = 1 - s
        variance = clean**2 * self.std**2 + s**2  # (B, N, 1)
        offsets = x_t[..., None, :] - clean[..., None] * means  # (B, N, K, P)
        squared_distance = offsets.square().sum(-1)  # (B, N, K)
        weights = (-squared_distance / (2 * variance)).softmax(-1)
        mean = weights @ means  # (B, N, P)
        slope = (s - clean * self.std**2) / variance
        return slope * (x_t - clean * mean) - mean


def mixture(name: str) -> Mixture:
    """Make a dataset of two classes.

    `moons` are two crescents, `spiral` has two arms, `ring` eight blobs that alternate between the
    classes.

    Raises:
        ValueError: another name.
    """
    if name not in DATASETS:
        raise ValueError(f"dataset {name!r} is not known; it is one of {', '.join(DATASETS)}")
    if name == "ring":
        numbers = torch.arange(8)
        means = 2.0 * _on_circle(math.pi / 4 * numbers)
        return Mixture(means, 0.15, numbers % 2)
    along = torch.linspace(0, 1, 32)
    if name == "moons":
        middle = torch.tensor([0.75, 0.375])
        arm = 1.5 * _on_circle(math.pi * along) - middle
    else:
        radius = 0.25 + 2.2 * along.sqrt()
        arm = radius[:, None] * _on_circle(5.7 * along.sqrt())
    means = torch.cat([arm, -arm])
    labels = torch.arange(2).repeat_interleave(32)
    return Mixture(means, 0.1, labels)


def _on_circle(angle: torch.Tensor) -> torch.Tensor:
    """Points (K, 2) of the unit circle at angles (K,)."""
    return torch.stack([angle.cos(), angle.sin()], -1)


class PlaneNet(nn.Module):
    """A velocity network for points: embeds position and noise level, then residual layers."""

    def __init__(self, hidden_size: int = 128, depth: int = 3):
        super().__init__()
        self.x_embedder = nn.Linear(2, hidden_size)
        self.t_embedder = NoiseEmbedder(hidden_size)
        self.blocks = nn.ModuleList(nn.Linear(hidden_size, hidden_size) for _ in range(depth))
        self.final_layer = nn.Linear(hidden_size, 2)

    def forward(self, x_t: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        """x_t (B, N, 2), sigma (B, N) → velocity (B, N, 2)."""
        x = self.x_embedder(x_t) + self.t_embedder(sigma)
        for block in self.blocks:
            x = x + block(F.silu(x))
        return self.final_layer(F.silu(x))


def train_plane(
    network: nn.Module,
    data: Mixture,
    steps: int,
    generator: torch.Generator,
    batch_size: int = 512,
    learning_rate: float = 3e-3,
    callback: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Train a network on the velocities of random lines between noise and data.

    Eq. (1) of arXiv:2209.03003. Ctrl-C stops, and keeps what was learned.

    Args:
        callback: called after every step with the step and its loss.

    Returns:
        The loss of every step.
    """
    optimizer = torch.optim.Adam(network.parameters())
    losses: list[float] = []
    try:
        for step in range(steps):
            rate = learning_rate * min(1.0, 2.0 * (1 - step / steps))  # held, then down to zero
            optimizer.param_groups[0]["lr"] = rate
            x_0 = data.sample(batch_size, generator)
            noise = torch.randn(x_0.shape, generator=generator)
            sigma = torch.rand(x_0.shape[:2], generator=generator)
            x_t = add_noise(x_0, noise, sigma[..., None])
            velocity = network(x_t, sigma)
            loss = flow_loss(velocity, x_0, noise, sigma).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if callback:
                callback(step + 1, losses[-1])
    except KeyboardInterrupt:
        print(f"stopped after {len(losses)} steps; what was learned is kept")
    return losses
