"""Clips of several sizes side by side in one row: Patch n' Pack (arXiv:2307.06304, section 2)."""

from collections.abc import Sequence

import torch


def assign_rows(lengths: Sequence[int], room: int) -> list[list[int]]:
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


def pack(rows: Sequence[Sequence[int]], bags: Sequence[torch.Tensor], room: int) -> torch.Tensor:
    """Write bags (n_i, ...) side by side into rows: (R, room, ...), zero where a row is empty."""
    packed = bags[0].new_zeros(len(rows), room, *bags[0].shape[1:])
    for r, row in enumerate(rows):
        both = torch.cat([bags[i] for i in row])
        packed[r, : len(both)] = both
    return packed


def segment_ids(rows: Sequence[Sequence[int]], lengths: Sequence[int], room: int) -> torch.Tensor:
    """The bag that every place belongs to: (R, room) int64, -1 where a row is empty."""
    return pack(rows, [torch.full((n,), i + 1) for i, n in enumerate(lengths)], room) - 1


def packing_mask(segments: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Who may look at whom: (R, N) and (R, M) segments → (R, N, M), True where both places belong to one bag."""
    return (segments[:, :, None] == others[:, None, :]) & (segments[:, :, None] >= 0)
