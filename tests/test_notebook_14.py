"""Notebook 14: its checkers tell right from wrong. (The player has tests of its own.)"""

import importlib

import numpy as np
import pytest
import torch

from minisora.layers import attention
from tests.conftest import rejected, unwritten


def leaks(mask, frames, clean, depth, secret=lambda age: age <= 0, noisy=True, tokens=False):
    reached = mask.float()
    for _ in range(depth - 1):
        reached = reached @ mask.float()
    bad = (reached > 0) & clean & secret(frames[:, None] - frames)
    rows = bad.any(1) & (~clean if noisy else True)
    return rows.nonzero().flatten() + 100 if tokens else frames[rows].unique().tolist()


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (unwritten, "still to be written"),
        (lambda m, f, c, d: leaks(m, f, c, 1), "second layer"),
        (lambda m, f, c, d: leaks(m, f, c, 30), "many layers"),
        (lambda m, f, c, d: leaks(m, f, c, d, lambda age: age == 0), "later clean frame"),
        (lambda m, f, c, d: leaks(m, f, c, d, lambda age: age >= -9), "no leak"),
        (lambda m, f, c, d: leaks(m, f, c, d, noisy=False), "noisy rows"),
        (lambda m, f, c, d: leaks(m.T, f, c, d), "wrong for"),
        (lambda m, f, c, d: leaks(m, f, c, d, tokens=True), "wrong for"),
        (lambda m, f, c, d: [], "wrong for"),
        (lambda m, f, c, d: 3, "not int"),
        (lambda m, f, c, d: None, "nothing back"),
    ],
)
def test_check_leaky_frames_names_the_fault(checks, capsys, wrong, fault):
    rejected(checks.check_leaky_frames, wrong, fault, capsys)


def test_check_leaky_frames_takes_the_right_one(checks):
    assert checks.check_leaky_frames(leaks)
    assert checks.check_leaky_frames(lambda *a: torch.tensor(leaks(*a)))


def cached(q, k, v, kept, most, keep=lambda x, most: x[:, :, -most:], early=False, own=True):
    new = k, v
    if kept is not None:
        new = tuple(torch.cat([a, b], dim=2) for a, b in zip(kept, new, strict=True))
    seen = new
    if early:
        seen = tuple(keep(x, most) for x in new)
    if not own and kept is not None:
        seen = kept
    return attention(q, *seen)[0], tuple(keep(x, most) for x in new)


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (unwritten, "still to be written"),
        (lambda q, k, v, kept, most: (attention(q, k, v)[0], (k, v)), "not see what was kept"),
        (lambda *a: (attention(*a[:3])[0], cached(*a)[1]), "does not see what was kept"),
        (lambda *a: cached(*a, keep=lambda x, most: x), "tokens kept"),
        (lambda *a: cached(*a, keep=lambda x, most: x[:, :, :most]), "kept of the keys"),
        (lambda *a: cached(*a, early=True), "cut before"),
        (lambda *a: cached(*a, own=False), "attends to itself"),
        (lambda *a: cached(*a)[0], "two things"),
        (lambda *a: (cached(*a)[0], None), "pair"),
        (lambda *a: (cached(*a)[0], cached(*a)[1][::-1]), "kept of the keys"),
    ],
)
def test_check_cache_names_the_fault(checks, capsys, wrong, fault):
    rejected(checks.check_cache, wrong, fault, capsys)


def test_check_cache_takes_the_right_one(checks):
    assert checks.check_cache(cached)


def remembered(tiles, covered, columns, memory, newest=False):
    fixed = tiles.copy()
    for position, column in enumerate(columns):
        for row in range(8):
            if not covered[row, position]:
                if newest:
                    memory[row, column] = tiles[row, position]
                fixed[row, position] = memory.setdefault((row, column), tiles[row, position])
    return fixed


def whole_columns(*arguments):
    """The checker's own example of this mistake."""
    return importlib.import_module("checks.n14")._painted_whole(*arguments)


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (unwritten, "still to be written"),
        (lambda t, c, k, m: t, "nothing is remembered"),
        (lambda t, c, k, m: remembered(t, c, k, m, newest=True), "seen last"),
        (lambda t, c, k, m: remembered(t, np.zeros_like(c), k, m), "chance"),
        (lambda t, c, k, m: remembered(t, c, range(8), m), "positions on the screen"),
        (whole_columns, "seen whole"),
        (lambda t, c, k, m: t[0], "(8, 8)"),
        (lambda t, c, k, m: "tiles", "not str"),
    ],
)
def test_check_memory_names_the_fault(checks, capsys, wrong, fault):
    rejected(checks.check_memory, wrong, fault, capsys)


def test_check_memory_takes_the_right_one(checks):
    assert checks.check_memory(remembered)
    assert checks.check_memory(lambda *a: torch.from_numpy(remembered(*a)))
