import pytest
import torch

from minisora.train.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(8, 8), (6, 10), (10, 6)])
def test_singular_values_come_near_one_and_directions_stay(shape):
    G = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    X = orthogonalise(G)
    assert torch.linalg.svdvals(X).min() > 0.6 and torch.linalg.svdvals(X).max() < 1.3
    U, _, V = torch.linalg.svd(G, full_matrices=False)
    assert torch.nn.functional.cosine_similarity(X.flatten(1), (U @ V).flatten(1)).min() > 0.95


def test_it_steps_as_torchs_own_does():
    torch.manual_seed(0)
    ours, theirs = (
        [
            torch.nn.Parameter(torch.randn(s, generator=torch.Generator().manual_seed(1)))
            for s in ((6, 4), (4, 9), (6, 4))
        ]
        for _ in range(2)
    )
    pair = (
        Muon(ours, lr=0.02),
        torch.optim.Muon(theirs, lr=0.02, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
    )
    before = [p.detach().clone() for p in ours]
    for _ in range(5):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        for optimizer in pair:
            optimizer.step()
    for p, q, start in zip(ours, theirs, before, strict=True):
        assert (
            torch.nn.functional.cosine_similarity(
                (p - start).flatten(), (q - start).flatten(), dim=0
            )
            > 0.99
        )
        assert ((p - start).norm() / (q - start).norm()).item() == pytest.approx(1, abs=0.05)
