"""Muon: an optimizer that updates a matrix equally in every direction (Keller Jordan, 2024).

    gradient ── momentum ──► G (m, n) = U S Vᵀ ── orthogonalise ──► U Vᵀ
    weights ← weights − learning rate · 0.2 · √max(m, n) · U Vᵀ

A gradient is mostly a few strong directions; without their strengths S (singular values), rare ones
are learned as fast. torch has a Muon, too: it works in bfloat16, a matrix at a time. Here all
matrices of one shape go through together, in whichever precision is fast, and a step takes less
than half as long on a processor that is slow in bfloat16 (data/LOG.md).
"""

from collections.abc import Callable, Iterable

import torch

from minisora.device import autocast

# of the polynomial below: steep at zero, and near 1 after five rounds
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(G: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """Bring all singular values of matrices (..., m, n) near 1.

    A round is X ← a·X + (b·XXᵀ + c·(XXᵀ)²)·X, which acts on singular values alone.
    """
    a, b, c = COEFFICIENTS
    wide = G.shape[-2] <= G.shape[-1]
    X = G if wide else G.mT
    norm = X.norm(dim=(-2, -1), keepdim=True)
    X = X / norm.clamp(min=1e-7)  # singular values in [0, 1]
    with autocast(G.device):
        for _ in range(rounds):
            A = X @ X.mT
            B = torch.baddbmm(A, A, A, beta=b, alpha=c)
            X = torch.baddbmm(X, B, X, beta=a)
    X = X if wide else X.mT
    return X.to(G.dtype)


class Muon(torch.optim.Optimizer):
    """Orthogonal updates from a running average of gradients.

    The momentum is Nesterov's, which counts the newest gradient twice. Updates are as large as
    AdamW's usually are (root mean square 0.2), so that one learning rate serves both.

    As torch's fused optimizers, it has an attribute `found_inf`, None or a number on the device:
    where that is 1, a step changes nothing, and no one has to wait for the device to know it.

    Args:
        params: matrices (m, n).
    """

    found_inf: torch.Tensor | None = None

    def __init__(self, params: Iterable[torch.nn.Parameter], lr: float, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        found_inf = self.found_inf
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[torch.Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    by_shape.setdefault(p.shape, []).append(p)
            for shape, matrices in by_shape.items():
                updates = orthogonalise(self._momenta(matrices, group["momentum"], found_inf))
                if found_inf is not None:
                    updates = updates * (1 - found_inf)
                size = 0.2 * max(shape) ** 0.5 * group["lr"]
                torch._foreach_add_(matrices, list(updates.unbind()), alpha=-size)

    def _momenta(
        self,
        matrices: list[torch.Tensor],
        momentum: float,
        found_inf: torch.Tensor | None,
    ) -> torch.Tensor:
        """Take in the gradients of k matrices (m, n): what they are to move along, (k, m, n)."""
        averages = []
        for p in matrices:
            state = self.state[p]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(p)
            averages.append(state["momentum_buffer"])
        gradients = [p.grad for p in matrices if p.grad is not None]
        if found_inf is not None:  # an average that takes in itself does not change
            before = torch.stack(averages)
            kept = torch.where(found_inf > 0, before, torch.stack(gradients))
            gradients = list(kept.unbind())
        torch._foreach_lerp_(averages, gradients, 1 - momentum)
        return torch.stack(torch._foreach_lerp(gradients, averages, momentum))
