import torch
import torch.nn.functional as F

from minisora.layers import (
    Attention,
    Block,
    NoiseEmbedder,
    PositionEmbedder,
    RMSNorm,
    attention,
    rotary_angles,
    rotate,
)
from minisora.measure.network import record_attention
from minisora.patchify import positions_of


def test_attention_agrees_with_torch():
    q, k, v = (torch.randn(2, 3, n, 8, dtype=torch.float64) for n in (5, 7, 7))
    mask = torch.rand(2, 1, 5, 7) > 0.3
    mask[..., 0] = True
    out, attention_map = attention(q, k, v, mask)
    assert torch.allclose(out, F.scaled_dot_product_attention(q, k, v, attn_mask=mask))
    assert torch.allclose(attention_map.sum(-1), torch.ones(2, 3, 5, dtype=torch.float64))
    assert attention_map[~mask.expand_as(attention_map)].max() == 0


@torch.no_grad()
def test_maps_come_through_hooks_that_leave_no_trace():
    block, x = Block(16, 2), torch.randn(3, 6, 16)
    plain = block(x)
    with record_attention(block) as maps:
        assert torch.equal(block(x), plain)
    assert list(maps) == ["attention"]
    assert maps["attention"].shape == (3, 2, 6, 6)
    assert torch.allclose(maps["attention"].sum(-1), torch.ones(3, 2, 6))
    maps.clear()
    block(x)
    assert not maps, "the hooks are gone"


def test_masked_tokens_change_nothing():
    layer = Attention(16, 2)
    x, mask = torch.randn(1, 6, 16), torch.ones(1, 1, 6, 6, dtype=torch.bool)
    mask[..., 4:] = False
    other = x.clone()
    other[:, 4:] += 1
    assert torch.equal(layer(x, mask=mask)[:, :4], layer(other, mask=mask)[:, :4])


def test_rms_norm_has_rms_one():
    x = RMSNorm(32)(torch.randn(4, 32) * 7)
    assert torch.allclose(x.square().mean(-1), torch.ones(4), atol=1e-4)


def test_rotary_scores_depend_on_differences_only():
    q, k = (torch.randn(1, 1, 1, 32).expand(-1, -1, 12, -1) for _ in range(2))
    positions = positions_of((3, 2, 2))
    scores = []
    for shift in (0.0, 5.5):
        cos, sin = rotary_angles(positions + shift, 32)
        scores.append(rotate(q, cos, sin) @ rotate(k, cos, sin).transpose(-1, -2))
    assert torch.allclose(scores[0], scores[1], atol=1e-4)
    assert not torch.allclose(scores[0][0, 0, 0], scores[0][0, 0, 0, :1].expand(12), atol=1e-2)


@torch.no_grad()
def test_what_is_read_from_a_position_says_how_far_away_it_is():
    torch.manual_seed(0)
    layer = Attention(32, 2, context_size=8)
    x, context = torch.randn(1, 6, 32), torch.randn(1, 1, 8)
    here, there = torch.randn(6, 3), torch.randn(1, 3)

    def read(a, b):
        rotary, context_rotary = rotary_angles(a, 16), rotary_angles(b, 16)
        return layer(x, context, rotary=rotary, context_rotary=context_rotary)

    shift = torch.tensor([2.0, -3.0, 0.5])
    assert torch.allclose(read(here + shift, there + shift), read(here, there), atol=1e-5)
    assert (read(here + shift, there) - read(here, there)).abs().max() > 0.01, (
        "one token to attend to: the map is the same, what is read is not"
    )


def test_only_a_fraction_of_the_pairs_is_rotated():
    cos, sin = rotary_angles(torch.randn(5, 3), 16, fraction=0.5)
    assert cos.shape == (5, 8)
    assert (cos[:, 4:] == 1).all()
    assert (sin[:, 4:] == 0).all()
    assert (sin[:, :4] != 0).all()


def test_rotary_keeps_lengths_and_takes_positions_per_row():
    x = torch.randn(2, 3, 4, 16)
    positions = torch.randn(2, 4, 3)
    rotated = rotate(x, *rotary_angles(positions, 16))
    assert torch.allclose(rotated.norm(dim=-1), x.norm(dim=-1), atol=1e-5)
    one = rotate(x[1:], *rotary_angles(positions[1], 16))
    assert torch.allclose(rotated[1:], one)


def test_noise_embedding_tells_levels_apart():
    embeds = NoiseEmbedder(16)(torch.tensor([0.0, 0.1, 0.9]))
    assert embeds.shape == (3, 16)
    assert (embeds[0] - embeds[1]).norm() > 1e-3


def test_positions_are_told_apart_and_need_no_frame_size():
    embedder = PositionEmbedder(16)
    small, large = positions_of((2, 3, 5)), positions_of((9, 12, 7))
    embeds = embedder(small)
    assert torch.cdist(embeds, embeds).fill_diagonal_(9).min() > 1e-3
    assert torch.allclose(embedder(large[:4]), embedder(large)[:4], atol=1e-6)
