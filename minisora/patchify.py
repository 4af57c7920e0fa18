"""Video-shaped tensors to tokens and back, and the position of every token.

    (B, C, T, H, W) ── patchify ──► tokens (B, N, P) ── unpatchify ──► (B, C, T, H, W)
    N = t·h·w tokens on a grid of T/pt, H/ph, W/pw; each has P = C·pt·ph·pw numbers

The VAE cuts pixels into cells, and the transformer cuts latents into tokens, with the same two
functions. Spacetime patches: section 3.2.4 of the review, arXiv:2402.17177; arXiv:2103.15691 calls
them tubelets.
"""

from collections.abc import Sequence

import torch
from einops import rearrange

Size = tuple[int, int, int]  # along frames, rows and columns


def grid_of(shape: Sequence[int], patch_size: Size) -> Size:
    """Count the patches along frames, rows and columns.

    Args:
        shape: (T, H, W).
        patch_size: (pt, ph, pw).

    Returns:
        (t, h, w) = (T / pt, H / ph, W / pw).

    Raises:
        ValueError: a side that the patch does not divide; the nearest sides that fit are named.
    """
    names = ("frames", "rows", "columns")
    for name, length, patch in zip(names, shape, patch_size, strict=True):
        if length % patch or length < patch:
            below = max(length // patch, 1) * patch
            raise ValueError(
                f"{length} {name} do not divide into patches of {patch}; "
                f"{below} or {below + patch} would"
            )
    T, H, W = shape
    pt, ph, pw = patch_size
    return T // pt, H // ph, W // pw


def patchify(x: torch.Tensor, patch_size: Size) -> torch.Tensor:
    """Cut x (B, C, T, H, W) into tokens (B, N, P), ordered by frame, then row, then column.

    Raises:
        ValueError: as `grid_of`.
    """
    grid_of(x.shape[2:], patch_size)
    pt, ph, pw = patch_size
    return rearrange(x, "b c (t pt) (h ph) (w pw) -> b (t h w) (c pt ph pw)", pt=pt, ph=ph, pw=pw)


def highest_in_patches(x: torch.Tensor, patch_size: Size) -> torch.Tensor:
    """Find the highest value in every patch of x (T, H, W); returns (t, h, w)."""
    grid = grid_of(x.shape, patch_size)
    return patchify(x[None, None], patch_size).amax(-1).view(grid)


def unpatchify(tokens: torch.Tensor, grid: Size, patch_size: Size) -> torch.Tensor:
    """Undo `patchify`: tokens (B, N, P) on a grid (t, h, w), N = t·h·w → (B, C, T, H, W).

    Raises:
        ValueError: another number of tokens than t·h·w.
    """
    t, h, w = grid
    pt, ph, pw = patch_size
    if tokens.shape[1] != t * h * w:
        raise ValueError(
            f"{tokens.shape[1]} tokens do not fill a grid of {t}×{h}×{w} = {t * h * w}"
        )
    pattern = "b (t h w) (c pt ph pw) -> b c (t pt) (h ph) (w pw)"
    return rearrange(tokens, pattern, t=t, h=h, w=w, pt=pt, ph=ph, pw=pw)


def positions_of(grid: Size, device: torch.device | None = None) -> torch.Tensor:
    """Give frame, row and column of every token, (N, 3) float32, in the order of `patchify`.

    The unit is one token. Rows and columns count from the middle of the frame, so that a wider or
    taller frame adds positions at its edges. Frames count from zero.
    """
    t, h, w = grid
    frames = torch.arange(t, device=device).float()
    rows = torch.arange(h, device=device).float() - (h - 1) / 2
    columns = torch.arange(w, device=device).float() - (w - 1) / 2
    axes = torch.meshgrid(frames, rows, columns, indexing="ij")
    return torch.stack(axes, dim=-1).reshape(-1, 3)
