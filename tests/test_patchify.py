import pytest
import torch

from minisora.patchify import grid_of, patchify, positions_of, unpatchify


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
    positions = positions_of((2, 3, 5))
    assert positions.shape == (30, 3)
    assert positions[0].tolist() == [0, -1, -2] and positions[-1].tolist() == [1, 1, 2]
    assert positions[1].tolist() == [0, -1, -1]


def test_sizes_that_do_not_divide_name_the_nearest():
    with pytest.raises(ValueError, match="7 rows do not divide into patches of 2; 6 or 8"):
        grid_of((5, 7, 8), (1, 2, 2))
    with pytest.raises(ValueError, match="do not fill a grid"):
        unpatchify(torch.zeros(1, 7, 4), (2, 2, 2), (1, 1, 1))
