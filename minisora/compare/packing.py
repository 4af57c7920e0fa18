"""Clips of several sizes side by side in one row: Patch n' Pack (arXiv:2307.06304, section 2).

    sequences (n_i, ...) ── assign_rows, pack ──► rows (R, max_length, ...) and a packing mask

Clips of different sizes do not stack. Their tokens are put side by side in rows of one length, and
a mask keeps each token from attending to other sequences.
"""

from collections.abc import Sequence

import torch


def assign_rows(lengths: Sequence[int], max_length: int) -> list[list[int]]:
    """Share out sequences over rows: the longest first, each into the first row that can hold it.

    Args:
        lengths: tokens of every sequence.
        max_length: tokens of a row.

    Returns:
        For every row, the numbers of its sequences.

    Raises:
        ValueError: a sequence that no row can hold.
    """
    rows: list[list[int]] = []
    left: list[int] = []  # free tokens of every row
    longest_first = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    for i in longest_first:
        length = lengths[i]
        if length > max_length:
            raise ValueError(
                f"a sequence of {length} tokens does not fit into a row of {max_length}"
            )
        fitting = [row for row, free in enumerate(left) if free >= length]
        if not fitting:
            fitting = [len(rows)]
            rows.append([])
            left.append(max_length)
        row = fitting[0]
        rows[row].append(i)
        left[row] -= length
    return rows


def pack(
    rows: Sequence[Sequence[int]], sequences: Sequence[torch.Tensor], max_length: int
) -> torch.Tensor:
    """Write sequences (n_i, ...) side by side into rows (R, max_length, ...), padded with 0."""
    shape = sequences[0].shape[1:]  # of a token
    packed = sequences[0].new_zeros(len(rows), max_length, *shape)
    for r, row in enumerate(rows):
        joined = torch.cat([sequences[i] for i in row])
        packed[r, : len(joined)] = joined
    return packed


def segment_ids(
    rows: Sequence[Sequence[int]], lengths: Sequence[int], max_length: int
) -> torch.Tensor:
    """The sequence that every token of a row belongs to: (R, max_length), -1 for padding."""
    numbers = [torch.full((length,), i + 1) for i, length in enumerate(lengths)]
    return pack(rows, numbers, max_length) - 1


def packing_mask(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Which tokens may attend to which: those of one sequence to each other.

    Args:
        queries, keys: segment ids (R, N) and (R, M).

    Returns:
        (R, N, M) bool.
    """
    same = queries[:, :, None] == keys[:, None, :]
    return same & (queries[:, :, None] >= 0)
