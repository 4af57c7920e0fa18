"""Muon: an optimizer that gives every direction of a matrix's update the same strength (Keller Jordan, 2024).

    gradient ── momentum ──► G (m, n) = U S Vᵀ ── orthogonalise ──► U Vᵀ ── 0.2 · √max(m, n) · learning rate ──► off the weights

A gradient is mostly a few strong directions; without their strengths S (singular values), rare ones are learned as fast. torch has a Muon, too: it works in
bfloat16, a matrix at a time. Here all matrices of one shape go through together, in whichever precision is fast, and a step takes less than half
as long on a processor that is slow in bfloat16; with small batches that was a fifth of the training (data/LOG.md).
"""

from collections.abc import Iterable

import torch

from minisora.device import autocast

COEFFICIENTS = (
    3.4445,
    -4.7750,
    2.0315,
)  # of the polynomial below: steep at zero, and near 1 after five rounds


def orthogonalise(G: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """Bring all singular values of matrices (..., m, n) near 1: X ← a·X + (b·XXᵀ + c·(XXᵀ)²)·X, which acts on singular values alone."""
    a, b, c = COEFFICIENTS
    X = G if G.shape[-2] <= G.shape[-1] else G.mT
    X = X / X.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)  # singular values in [0, 1]
    with autocast(G.device):
        for _ in range(rounds):
            A = X @ X.mT
            X = torch.baddbmm(X, torch.baddbmm(A, A, A, beta=b, alpha=c), X, beta=a)
    return (X if G.shape[-2] <= G.shape[-1] else X.mT).to(G.dtype)


class Muon(torch.optim.Optimizer):
    """Orthogonal updates from a running average of gradients (momentum; Nesterov's counts the newest twice), as large as those of the usual AdamW (root
    mean square 0.2), so that one rate serves both.

    Args:
        params: matrices (m, n).
    """

    def __init__(self, params: Iterable[torch.nn.Parameter], lr: float, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[torch.nn.Parameter]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    by_shape.setdefault(p.shape, []).append(p)
            for shape, matrices in by_shape.items():
                updates = torch.stack([self._with_momentum(p, group["momentum"]) for p in matrices])
                for p, update in zip(matrices, orthogonalise(updates), strict=True):
                    p.sub_(update, alpha=0.2 * max(shape) ** 0.5 * group["lr"])

    def _with_momentum(self, p: torch.nn.Parameter, momentum: float) -> torch.Tensor:
        state = self.state[p]
        average = state.setdefault("momentum_buffer", torch.zeros_like(p)).lerp_(
            p.grad, 1 - momentum
        )
        return p.grad.lerp(average, momentum)
