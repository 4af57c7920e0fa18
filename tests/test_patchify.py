import pytest
import torch

from minisora.compare.packing import assign_rows, pack, packing_mask, segment_ids
from minisora.config import DiTConfig
from minisora.dit import DiT
from minisora.patchify import grid_of, patchify, positions_of, unpatchify
from tests.conftest import wake


@pytest.mark.parametrize(
    "shape,patch",
    [
        ((5, 8, 8), (1, 2, 2)),
        ((1, 6, 10), (1, 2, 2)),
        ((20, 24, 40), (4, 4, 4)),
        ((3, 5, 7), (1, 1, 1)),
    ],
)
def test_unpatchify_undoes_patchify(shape, patch):
    x = torch.randn(2, 3, *shape)
    tokens = patchify(x, patch)
    grid = grid_of(shape, patch)
    assert tokens.shape == (2, grid[0] * grid[1] * grid[2], 3 * patch[0] * patch[1] * patch[2])
    assert torch.equal(unpatchify(tokens, grid, patch), x)


def test_a_token_is_a_cube_of_the_video():
    x = torch.randn(1, 2, 4, 6, 8)
    token = patchify(x, (2, 3, 4))[0, 1 * 2 * 2 + 0 * 2 + 1]  # frame 1, row 0, column 1
    assert torch.equal(token.view(2, 2, 3, 4), x[0, :, 2:4, 0:3, 4:8])


def test_positions_follow_the_token_order_and_are_centred():
    positions = positions_of((2, 3, 5), start=(7, 0, 0))
    assert positions.shape == (30, 3)
    assert positions[0].tolist() == [7, -1, -2] and positions[-1].tolist() == [8, 1, 2]
    assert positions[1].tolist() == [7, -1, -1]


def test_sizes_that_do_not_divide_name_the_nearest():
    with pytest.raises(ValueError, match="7 rows do not divide into patches of 2; 6 or 8"):
        grid_of((5, 7, 8), (1, 2, 2))
    with pytest.raises(ValueError, match="do not fill a grid"):
        unpatchify(torch.zeros(1, 7, 4), (2, 2, 2), (1, 1, 1))


def test_every_bag_finds_one_row_and_no_row_overflows():
    lengths = [80, 16, 75, 144, 80, 16, 16, 1]
    rows = assign_rows(lengths, 160)
    assert sorted(i for row in rows for i in row) == list(range(8))
    assert all(sum(lengths[i] for i in row) <= 160 for row in rows) and len(rows) == 3
    segments = segment_ids(rows, lengths, 160)
    assert segments.shape == (3, 160) and all(
        int((segments == i).sum()) == n for i, n in enumerate(lengths)
    )
    with pytest.raises(ValueError, match="161 tokens does not fit into a row of 160"):
        assign_rows([161], 160)


def test_packed_equals_unpacked():
    """Clips of three sizes and an image, with prompts of their own, give in packed rows what they give alone."""
    torch.manual_seed(0)
    config = DiTConfig(hidden_size=48, depth=2, num_heads=2, text_size=16)
    dit = DiT(config).eval().requires_grad_(False)
    wake(dit)
    grids, words = [(5, 4, 4), (1, 4, 4), (3, 3, 5), (2, 5, 3)], [7, 3, 1, 5]
    lengths = [t * h * w for t, h, w in grids]
    tokens, sigma = [torch.randn(n, 48) for n in lengths], [torch.rand(n) for n in lengths]
    places, prompts = [positions_of(grid) for grid in grids], [torch.randn(n, 16) for n in words]
    alone = [
        dit(x[None], s[None], p, e[None], torch.ones(1, len(e), dtype=torch.bool))[0]
        for x, s, p, e in zip(tokens, sigma, places, prompts, strict=True)
    ]
    rows = assign_rows(lengths, 100)
    segments, said = segment_ids(rows, lengths, 100), segment_ids(rows, words, 20)
    args = [
        pack(rows, bags, room)
        for bags, room in ((tokens, 100), (sigma, 100), (places, 100), (prompts, 20))
    ]
    packed = dit(*args, packing_mask(segments, said), self_mask=packing_mask(segments, segments))
    assert len(rows) == 2
    for i, answer in enumerate(alone):
        assert torch.allclose(packed[segments == i], answer, atol=1e-5), grids[i]
    leaky = dit(*args, packing_mask(segments, said))
    assert not torch.allclose(leaky[segments == 1], alone[1], atol=1e-3), (
        "without the mask bags would see each other"
    )
