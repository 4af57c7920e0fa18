from dataclasses import replace

import pytest
import torch

from minisora.config import DiTConfig
from minisora.device import can_compile, compiled
from minisora.dit import DiT
from minisora.flow import add_noise, flow_loss
from minisora.masks import draw_sigma
from minisora.patchify import positions_of
from tests.conftest import wake

CONFIG = DiTConfig(hidden_size=48, depth=2, num_heads=2, text_size=16)


def inputs(B=2, grid=(3, 2, 4), S=5):
    n = grid[0] * grid[1] * grid[2]
    return (
        torch.randn(B, n, 4 * CONFIG.latent_channels),
        torch.rand(B, n),
        positions_of(grid),
        torch.randn(B, S, 16),
        torch.ones(B, S, dtype=torch.bool),
    )


@pytest.fixture
def dit():
    torch.manual_seed(0)
    dit = DiT(CONFIG).eval()
    wake(dit)
    return dit


def test_the_first_velocity_is_zero():
    assert DiT(CONFIG)(*inputs()).abs().max() == 0


def test_blocks_start_as_the_identity():
    dit = DiT(CONFIG)
    tokens, sigma, positions, embeds, mask = inputs()
    x = dit.x_embedder(tokens) + dit.position_embedder(positions)
    seen = []
    hook = dit.final_layer.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    dit(tokens, sigma, positions, embeds, mask)
    hook.remove()
    assert torch.equal(seen[0], x)


def test_a_missing_prompt_is_named_and_so_is_one_too_many():
    tokens, sigma, positions, embeds, mask = inputs()
    same_size = replace(CONFIG, text_size=CONFIG.hidden_size)  # where no shape would be wrong
    with pytest.raises(ValueError, match=r"has prompts; give it .* text_size=0"):
        DiT(same_size)(tokens, sigma, positions)
    without = DiT(replace(CONFIG, text_size=0))
    assert without(tokens, sigma, positions).shape == tokens.shape
    with pytest.raises(ValueError, match=r"leave out prompt_embeds, .* text_size=16"):
        without(tokens, sigma, positions, embeds, mask)


@torch.no_grad()
def test_packed_equals_unpacked(dit):
    a, b = inputs(1, (3, 2, 4), 5), inputs(1, (1, 4, 4), 3)
    whole = torch.cat([dit(*a), dit(*b)], dim=1)
    segments = torch.tensor([0] * 24 + [1] * 16)
    self_mask = (segments[:, None] == segments[None])[None]
    words = torch.tensor([0] * 5 + [1] * 3)
    cross_mask = (segments[:, None] == words[None])[None]
    packed = dit(
        torch.cat([a[0], b[0]], 1),
        torch.cat([a[1], b[1]], 1),
        torch.cat([a[2], b[2]]),
        torch.cat([a[3], b[3]], 1),
        cross_mask,
        self_mask=self_mask,
    )
    assert torch.allclose(packed, whole, atol=1e-5)


@torch.no_grad()
def test_one_level_a_row_is_that_level_for_every_token(dit):
    tokens, sigma, *rest = inputs()
    assert torch.allclose(
        dit(tokens, sigma[:, :1], *rest),
        dit(tokens, sigma[:, :1].expand_as(sigma), *rest),
        atol=1e-6,
    )
    assert not torch.allclose(
        dit(tokens, sigma[:, :1], *rest), dit(tokens, sigma, *rest), atol=1e-3
    )


@torch.no_grad()
def test_padding_words_changes_nothing(dit):
    tokens, sigma, positions, embeds, mask = inputs()
    padded = torch.cat([embeds, torch.randn(2, 4, 16)], 1)
    long_mask = torch.cat([mask, torch.zeros(2, 4, dtype=torch.bool)], 1)
    assert torch.allclose(
        dit(tokens, sigma, positions, padded, long_mask),
        dit(tokens, sigma, positions, embeds, mask),
        atol=1e-5,
    )


@torch.no_grad()
def test_a_words_position_counts(dit):
    tokens, sigma, positions, embeds, mask = inputs()
    nowhere, there = torch.zeros(2, 5, 3), torch.zeros(2, 5, 3)
    there[:, 2] = torch.tensor([1.0, -0.5, 0.75])
    whole = dit(tokens, sigma, positions, embeds, mask)
    assert torch.equal(dit(tokens, sigma, positions, embeds, mask, nowhere), whole)
    assert (dit(tokens, sigma, positions, embeds, mask, there) - whole).abs().max() > 1e-4
    order = torch.randperm(5)
    shuffled = dit(tokens, sigma, positions, embeds[:, order], mask, there[:, order])
    assert torch.allclose(
        shuffled, dit(tokens, sigma, positions, embeds, mask, there), atol=1e-5
    ), "a position belongs to its word"


@torch.no_grad()
def test_the_order_of_tokens_changes_nothing(dit):
    tokens, sigma, positions, embeds, mask = inputs()
    order = torch.randperm(tokens.shape[1])
    shuffled = dit(tokens[:, order], sigma[:, order], positions[order], embeds, mask)
    assert torch.allclose(
        shuffled, dit(tokens, sigma, positions, embeds, mask)[:, order], atol=1e-5
    )


@torch.no_grad()
def test_each_tokens_noise_level_counts(dit):
    tokens, sigma, positions, embeds, mask = inputs()
    other = sigma.clone()
    other[:, 7] = 1 - other[:, 7]
    change = (
        (dit(tokens, other, positions, embeds, mask) - dit(tokens, sigma, positions, embeds, mask))
        .abs()
        .amax((0, 2))
    )
    assert change[7] > 1e-4


@pytest.mark.slow
def test_the_transformer_can_be_exported(dit):
    """torch.export, as torch.onnx.export, follows no branch that depends on the data."""
    arguments = inputs(1)
    exported = torch.export.export(dit, arguments).module()
    assert torch.allclose(exported(*arguments), dit(*arguments), atol=1e-5)


def test_one_batch_can_be_overfitted():
    torch.manual_seed(0)
    dit = DiT(CONFIG)
    x_0, _, positions, embeds, mask = inputs(2)
    optimizer = torch.optim.Adam(dit.parameters(), lr=3e-3)
    losses = []
    noise, sigma = torch.randn_like(x_0), draw_sigma(2, (3, 2, 4), torch.Generator().manual_seed(0))
    for _ in range(150):
        x_t = add_noise(x_0, noise, sigma[..., None])
        loss = flow_loss(dit(x_t, sigma, positions, embeds, mask), x_0, noise, sigma).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.15 * losses[0]


@pytest.mark.slow
def test_compiled_learns_the_same():
    if not can_compile():
        pytest.skip("no C++ compiler on this machine")
    torch.manual_seed(0)
    plain = DiT(DiTConfig(hidden_size=48, depth=1, num_heads=2, text_size=16))
    wake(plain)
    batch, grads = inputs(), []
    for module in (plain, compiled(plain, True)):
        plain.zero_grad()
        module(*batch).square().mean().backward()
        grads.append([p.grad.clone() for p in plain.parameters()])
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in zip(*grads, strict=True))
    fast = compiled(plain, True)
    assert [p is q for p, q in zip(plain.parameters(), fast.parameters(), strict=True)] == [
        True
    ] * len(grads[0]), "the same weights, not a copy"
    assert fast.blocks[0]._compiled_call_impl is not None
    assert plain.blocks[0]._compiled_call_impl is None, "the module itself stays as it was"
    assert compiled(plain, False) is plain
