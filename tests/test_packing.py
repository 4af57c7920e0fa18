"""Several clips in one row: nothing is lost, and nothing leaks."""

import pytest
import torch

from minisora.compare.packing import assign_rows, pack, packing_mask, segment_ids
from minisora.config import DiTConfig
from minisora.dit import DiT
from minisora.patchify import positions_of
from tests.conftest import wake


def test_every_sequence_finds_one_row_and_no_row_overflows():
    lengths = [80, 16, 75, 144, 80, 16, 16, 1]
    rows = assign_rows(lengths, 160)
    assert sorted(i for row in rows for i in row) == list(range(8))
    assert all(sum(lengths[i] for i in row) <= 160 for row in rows)
    assert len(rows) == 3
    segments = segment_ids(rows, lengths, 160)
    assert segments.shape == (3, 160)
    assert [int((segments == i).sum()) for i in range(8)] == lengths
    with pytest.raises(ValueError, match="a sequence of 161 tokens does not fit into a row of 160"):
        assign_rows([161], 160)


def test_packed_equals_unpacked():
    """Clips of several sizes, with prompts of their own, give packed what they give alone."""
    torch.manual_seed(0)
    config = DiTConfig(hidden_size=48, depth=2, num_heads=2, text_size=16)
    dit = DiT(config).eval().requires_grad_(False)
    wake(dit)
    grids, words = [(5, 4, 4), (1, 4, 4), (3, 3, 5), (2, 5, 3)], [7, 3, 1, 5]
    lengths = [t * h * w for t, h, w in grids]
    tokens = [torch.randn(n, 48) for n in lengths]
    sigma = [torch.rand(n) for n in lengths]
    positions = [positions_of(grid) for grid in grids]
    prompts = [torch.randn(n, 16) for n in words]
    alone = [
        dit(x[None], s[None], p, e[None], torch.ones(1, len(e), dtype=torch.bool))[0]
        for x, s, p, e in zip(tokens, sigma, positions, prompts, strict=True)
    ]
    rows = assign_rows(lengths, 100)
    segments = segment_ids(rows, lengths, 100)
    word_segments = segment_ids(rows, words, 20)
    args = [pack(rows, sequences, 100) for sequences in (tokens, sigma, positions)]
    args.append(pack(rows, prompts, 20))
    packed = dit(
        *args, packing_mask(segments, word_segments), self_mask=packing_mask(segments, segments)
    )
    assert len(rows) == 2
    for i, answer in enumerate(alone):
        assert torch.allclose(packed[segments == i], answer, atol=1e-5), grids[i]
    leaky = dit(*args, packing_mask(segments, word_segments))
    assert not torch.allclose(leaky[segments == 1], alone[1], atol=1e-3), (
        "without the mask sequences attend to each other"
    )
