"""The draw of noise levels in training: every mask, on every grid."""

import pytest
import torch

from minisora.masks import MASKS, draw_sigma
from minisora.patchify import Size

GRIDS = [(1, 1, 1), (1, 3, 4), (2, 1, 1), (2, 3, 4), (3, 1, 2), (5, 3, 4), (9, 4, 4)]
CONDITIONING = ("start", "end", "both ends", "span", "box")


def levels(grid: Size = (5, 3, 4), count: int = 1000, seed: int = 0, **options) -> torch.Tensor:
    """Drawn noise levels, (count, t, h, w)."""
    generator = torch.Generator().manual_seed(seed)
    return draw_sigma(count, grid, generator, **options).view(count, *grid)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("mask", MASKS)
def test_every_mask_leaves_something_to_generate(mask, grid):
    """A clip in which every token is clean has a loss of 0 / 0."""
    sigma = levels(grid, 300, masks={mask: 1.0}).flatten(1)
    assert (sigma > 0).any(1).all()
    assert sigma.min() >= 0
    assert sigma.max() <= 1


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("mask", ["none", "independent levels"])
def test_without_a_conditioning_mask_no_token_is_clean(mask, grid):
    assert (levels(grid, 300, masks={mask: 1.0}) > 0).all()


@pytest.mark.parametrize("grid", [grid for grid in GRIDS if grid[0] > 1])
@pytest.mark.parametrize("mask", [mask for mask in CONDITIONING if mask != "box"])
def test_conditioning_masks_keep_whole_frames_clean(mask, grid):
    sigma = levels(grid, 300, masks={mask: 1.0})
    clean = sigma == 0
    frames = clean[..., 0, 0]
    assert (clean == frames[..., None, None]).all(), "all tokens of a frame, or none"
    assert frames.any(1).all(), "one frame at least"
    level = sigma.flatten(1).amax(1)
    assert torch.equal(sigma, torch.where(clean, 0, level[:, None, None, None])), "one level beside"


def test_each_mask_keeps_the_frames_that_it_names():
    def clean_frames(mask: str) -> torch.Tensor:
        return levels(masks={mask: 1.0})[..., 0, 0] == 0

    start, end = clean_frames("start"), clean_frames("end")
    assert start[:, 0].all() and not start[:, -1].any()
    assert end[:, -1].all() and not end[:, 0].any()
    assert start.sum(1).unique().tolist() == [1, 2, 3, 4]
    assert start[:, 1].float().mean() == pytest.approx(0.5 * 0.75, abs=0.06), "one in half of them"
    both = clean_frames("both ends")
    assert both.unique(dim=0).tolist() == [
        [True, False, False, False, True],
        [True, True, False, False, True],
    ]
    span = clean_frames("span")
    edges = span.int().diff(dim=1).abs().sum(1)
    assert edges.max() <= 2, "without a gap"
    assert len(span.unique(dim=0)) > 10
    assert 0.1 < span[:, 0].float().mean() < 0.6


def test_a_box_is_the_same_in_every_frame_and_without_a_gap():
    sigma = levels(masks={"box": 1.0})
    generated = sigma > 0
    assert (generated == generated[:, :1]).all()
    box = generated[:, 0]  # (B, h, w)
    rows, columns = box.any(2), box.any(1)
    assert torch.equal(box, rows[:, :, None] & columns[:, None, :]), "all rows, in all columns"
    for edge in (rows, columns):
        assert (edge.int().diff(dim=1) == 1).sum(1).max() <= 1
    assert box.flatten(1).all(1).any(), "it may be the whole frame"
    assert (box.flatten(1).sum(1) == 1).any(), "or one token"


def test_masks_are_drawn_as_often_as_their_fractions_say():
    assert sum(MASKS.values()) == pytest.approx(1.0)
    flat = levels(count=4000).flatten(1)
    one_level = (flat == flat[:, :1]).all(1)
    whole_boxes = 0.05 / 12  # 1/3 · 1/4 of the boxes are as large as the frame
    assert one_level.float().mean() == pytest.approx(0.5 + whole_boxes, abs=0.03)
    assert (flat == 0).any(1).float().mean() == pytest.approx(0.35, abs=0.03)


def test_independent_levels_are_one_for_each_frame():
    sigma = levels(masks={"independent levels": 1.0})
    assert (sigma == sigma[..., :1, :1]).all()
    frames = sigma[..., 0, 0]
    assert (frames.diff(dim=1) != 0).all()


def test_the_generator_decides():
    assert torch.equal(levels(seed=3), levels(seed=3))
    assert not torch.equal(levels(seed=3), levels(seed=4))


def test_levels_are_shifted_towards_noise():
    plain = levels(masks={"none": 1.0}, shift=1.0)[:, 0, 0, 0]
    shifted = levels(masks={"none": 1.0}, shift=3.0)[:, 0, 0, 0]
    assert plain.median() == pytest.approx(0.5, abs=0.05)
    assert shifted.median() == pytest.approx(0.75, abs=0.05)


def test_an_unknown_mask_is_refused():
    with pytest.raises(ValueError, match=r"'everything'.*none, independent levels"):
        levels(masks={"everything": 1.0})
