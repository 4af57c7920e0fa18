"""Cutting video-shaped tensors into tokens and putting them back together; where each token sits.

    (B, C, T, H, W) ── patchify ──► tokens (B, N, P), P = C·p_t·p_h·p_w ── unpatchify ──► (B, C, T, H, W)

The VAE cuts pixels into cells and the transformer cuts latents into tokens with the same two functions. Spacetime patches are
section 3.2.4 of the review (arXiv:2402.17177); arXiv:2103.15691 calls them tubelets.
"""

from collections.abc import Sequence

import torch
from einops import rearrange

Size = tuple[int, int, int]


def grid_of(shape: Size, patch_size: Size) -> Size:
    """Patches along frames, rows and columns.

    Raises:
        ValueError: a side that the patch does not divide; the nearest sides that fit are named.
    """
    for name, length, patch in zip(("frames", "rows", "columns"), shape, patch_size, strict=True):
        if length % patch or length < patch:
            below = max(length // patch, 1) * patch
            raise ValueError(f"{length} {name} do not divide into patches of {patch}; {below} or {below + patch} would")
    return tuple(length // patch for length, patch in zip(shape, patch_size, strict=True))


def patchify(x: torch.Tensor, patch_size: Size) -> torch.Tensor:
    """Cut x (B, C, T, H, W) into tokens (B, N, P), frames first, then rows, then columns."""
    grid_of(x.shape[2:], patch_size)
    pt, ph, pw = patch_size
    return rearrange(x, "b c (t pt) (h ph) (w pw) -> b (t h w) (c pt ph pw)", pt=pt, ph=ph, pw=pw)


def unpatchify(tokens: torch.Tensor, grid: Size, patch_size: Size) -> torch.Tensor:
    """Undo `patchify`: tokens (B, N, P) on a grid (t, h, w) with N = t·h·w → (B, C, T, H, W)."""
    (t, h, w), (pt, ph, pw) = grid, patch_size
    if tokens.shape[1] != t * h * w:
        raise ValueError(f"{tokens.shape[1]} tokens do not fill a grid of {t}×{h}×{w} = {t * h * w}")
    return rearrange(tokens, "b (t h w) (c pt ph pw) -> b c (t pt) (h ph) (w pw)", t=t, h=h, w=w, pt=pt, ph=ph, pw=pw)


def positions_of(grid: Size, start: Size = (0, 0, 0), device=None) -> torch.Tensor:
    """Place of every token, (N, 3) as frame, row, column, in the order of `patchify`.

    Rows and columns count from the middle of the frame, so that a wider or taller frame adds places at its edges; frames count
    from zero. `start` is added.
    """
    t, h, w = (torch.arange(n, device=device).float() + s for n, s in zip(grid, start, strict=True))
    h, w = h - (grid[1] - 1) / 2, w - (grid[2] - 1) / 2
    return torch.stack(torch.meshgrid(t, h, w, indexing="ij"), dim=-1).reshape(-1, 3)


# ---------------------------------------------------------------------------------------------------- several bags in one row
#
# Clips of different sizes do not stack. Patch n' Pack (arXiv:2307.06304, section 2) puts their tokens side by side in rows of one length
# instead, and keeps them apart with masks, so that hardly a place is wasted.


def pack(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Share out bags of tokens over rows: each, the longest first, goes into the first row that has room for it.

    Args:
        lengths: tokens of every bag. room: places in a row.

    Returns:
        For every row, the numbers of its bags.

    Raises:
        ValueError: a bag that no row can hold.
    """
    rows: list[list[int]] = []
    left: list[int] = []
    for bag in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if lengths[bag] > room:
            raise ValueError(f"a bag of {lengths[bag]} tokens does not fit into a row of {room}")
        row = next((r for r, places in enumerate(left) if places >= lengths[bag]), len(rows))
        if row == len(rows):
            rows.append([])
            left.append(room)
        rows[row].append(bag)
        left[row] -= lengths[bag]
    return rows


def fill(rows: Sequence[Sequence[int]], bags: Sequence[torch.Tensor], room: int) -> torch.Tensor:
    """Write bags (n_i, ...) side by side into rows: (R, room, ...), zero where a row is empty."""
    packed = bags[0].new_zeros(len(rows), room, *bags[0].shape[1:])
    for r, row in enumerate(rows):
        both = torch.cat([bags[i] for i in row])
        packed[r, : len(both)] = both
    return packed


def segments_of(rows: Sequence[Sequence[int]], lengths: Sequence[int], room: int) -> torch.Tensor:
    """The bag that every place belongs to: (R, room) int64, -1 where a row is empty."""
    return fill(rows, [torch.full((n,), i + 1) for i, n in enumerate(lengths)], room) - 1


def together(segments: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Who may look at whom: (R, N) and (R, M) segments → (R, N, M), True where both places belong to one bag."""
    return (segments[:, :, None] == others[:, None, :]) & (segments[:, :, None] >= 0)
