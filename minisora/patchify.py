"""Cutting video-shaped tensors into tokens and putting them back together; where each token sits.

    (B, C, T, H, W) ── patchify ──► tokens (B, N, P), P = C·p_t·p_h·p_w ── unpatchify ──► (B, C, T, H, W)

The VAE cuts pixels into cells and the transformer cuts latents into tokens with the same two functions. Spacetime patches are
section 3.2.4 of the review (arXiv:2402.17177); arXiv:2103.15691 calls them tubelets.
"""

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
            raise ValueError(
                f"{length} {name} do not divide into patches of {patch}; {below} or {below + patch} would"
            )
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
        raise ValueError(
            f"{tokens.shape[1]} tokens do not fill a grid of {t}×{h}×{w} = {t * h * w}"
        )
    return rearrange(
        tokens,
        "b (t h w) (c pt ph pw) -> b c (t pt) (h ph) (w pw)",
        t=t,
        h=h,
        w=w,
        pt=pt,
        ph=ph,
        pw=pw,
    )


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
