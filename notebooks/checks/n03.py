"""Notebook 03, Spacetime patches."""

import math

import torch
from einops import rearrange

from minisora.layers import rotary_angles, rotate
from minisora.patchify import patchify, positions_of

from .common import Function, called, same, say

Grid = tuple[int, int, int]

# --------------------------------------------------------------------------------- 1 patchify


def check_patchify_line(my_patchify: Function) -> bool:
    """Exercise 1: patchify."""
    generator = torch.Generator().manual_seed(0)
    cases = (
        ((2, 3, 4, 6, 8), (2, 3, 4)),
        ((1, 12, 5, 8, 8), (1, 2, 2)),
        ((2, 12, 1, 6, 10), (1, 2, 2)),
        ((1, 2, 4, 12, 4), (4, 3, 1)),
    )
    for shape, patch_size in cases:
        x = torch.randn(shape, dtype=torch.float64, generator=generator)
        answer = called(my_patchify, x, patch_size)
        if answer is None:
            return False
        if isinstance(answer, torch.Tensor) and answer.dtype != x.dtype:
            return say(
                f"numbers came in as {x.dtype} and went out as {answer.dtype};"
                " cutting changes no number"
            )
        right = patchify(x, patch_size)
        where = f"{shape} cut by {patch_size}"
        mistakes = _patchify_mistakes(x, patch_size)
        hint = "some numbers are missing or changed"
        if isinstance(answer, torch.Tensor) and _same_numbers(answer, x):
            hint = "all numbers are there, but not in this order"
        if not same(answer, right, "my_patchify", where, mistakes, 0.0, hint):
            return False
    return say("right for four grids, one of them an image", True)


def _same_numbers(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.equal(a.flatten().sort().values, b.flatten().sort().values)


def _patchify_mistakes(x: torch.Tensor, patch_size: Grid) -> dict[str, torch.Tensor]:
    pt, ph, pw = patch_size
    cubes = "b c (t pt) (h ph) (w pw)"
    combs = "b c (pt t) (ph h) (pw w)"
    orders = {
        "inside a token, the channel comes first": f"{cubes} -> b (t h w) (pt ph pw c)",
        "tokens run through the columns of a row first, then through the rows": (
            f"{cubes} -> b (t w h) (c pt ph pw)"
        ),
        "tokens run through a whole frame before the next frame begins": (
            f"{cubes} -> b (h w t) (c pt ph pw)"
        ),
        "inside a token, rows come before columns": f"{cubes} -> b (t h w) (c pt pw ph)",
        "inside a token, frames come before rows and columns": (
            f"{cubes} -> b (t h w) (c ph pw pt)"
        ),
        "tokens are the second axis, their numbers the last: the two are swapped": (
            f"{cubes} -> b (c pt ph pw) (t h w)"
        ),
        "its patches are combs, not cubes: in (t pt) the patch is the second, faster letter": (
            f"{combs} -> b (t h w) (c pt ph pw)"
        ),
    }
    mistakes = {hint: rearrange(x, line, pt=pt, ph=ph, pw=pw) for hint, line in orders.items()}
    whole = "a token takes in a whole patch of every channel, not a single cell"
    mistakes[whole] = rearrange(x, "b c t h w -> b (t h w) c")
    plain = "a plain reshape cuts memory into pieces, not the video into cubes"
    mistakes[plain] = x.reshape(len(x), -1, x.shape[1] * math.prod(patch_size))
    return mistakes


# -------------------------------------------------------------------------------- 2 positions


def check_positions(position_of: Function, index_of: Function) -> bool:
    """Exercise 2: index → position, and back."""
    for grid in ((5, 4, 4), (1, 3, 5), (4, 2, 7), (9, 6, 1)):
        positions = positions_of(grid).double()
        answers = []
        for index in range(len(positions)):
            answer = _position(position_of, index, grid)
            if answer is None:
                return False
            answers.append(answer)
        table = torch.tensor(answers, dtype=torch.float64)
        mistakes = _position_mistakes(grid)
        if not same(table, positions, "position_of", f"the grid {grid}", mistakes, 1e-6):
            return False

        indices = []
        for position in positions.tolist():
            answer = called(index_of, tuple(position), grid)
            if answer is None:
                return False
            try:
                indices.append(float(answer))
            except (TypeError, ValueError):
                got = type(answer).__name__
                return say(f"index_of({tuple(position)}, {grid}) should be a number, not {got}")
        row = torch.tensor(indices, dtype=torch.float64)
        right = torch.arange(len(positions), dtype=torch.float64)
        if not same(row, right, "index_of", f"the grid {grid}", _index_mistakes(grid)):
            return False
    return say("right there and back, for square and oblong grids, an image and a column", True)


def _position(position_of: Function, index: int, grid: Grid) -> list[float] | None:
    """One answer as three numbers, or None after saying what it is instead."""
    answer = called(position_of, index, grid)
    if answer is None:
        return None
    name = f"position_of({index}, {grid})"
    try:
        numbers = [float(value) for value in answer]
    except (TypeError, ValueError):
        say(f"{name} should be three numbers: frame, row, column")
        return None
    if len(numbers) != 3:
        say(f"{name} gives {len(numbers)} numbers; three are asked for: frame, row, column")
        return None
    return numbers


def _counted(index: torch.Tensor, height: int, width: int, area: int) -> torch.Tensor:
    """Frame, row and column of tokens, counted from 0, if rows have this width."""
    return torch.stack([index // area, index // width % height, index % width], dim=-1).double()


def _position_mistakes(grid: Grid) -> dict[str, torch.Tensor]:
    t, h, w = grid
    index = torch.arange(t * h * w)
    right = positions_of(grid).double()
    counted = _counted(index, h, w, h * w)
    middle = torch.tensor([0.0, (h - 1) / 2, (w - 1) / 2])
    half = torch.tensor([0.0, h / 2, w / 2])
    first = torch.tensor([(t - 1) / 2, 0.0, 0.0])
    return {
        "rows and columns count from the middle of the frame": counted,
        "the middle of n positions is at (n - 1) / 2, not at n / 2": counted - half,
        "halves are lost: the middle of an even number of positions is between two": (
            counted - middle.floor()
        ),
        "the same, for rows alone": counted
        - middle.floor() * torch.tensor([0, 1.0, 0])
        - middle * torch.tensor([0, 0, 1.0]),
        "frames count from 0, only rows and columns from the middle": right - first,
        "row and column are swapped": right[:, [0, 2, 1]],
        "a row has w tokens, not h": _counted(index, w, h, h * w) - middle,
        "column, row, frame is the wrong way round": right.flip(-1),
    }


def _index_mistakes(grid: Grid) -> dict[str, torch.Tensor]:
    t, h, w = grid
    frame, row, column = positions_of(grid).double().T  # rows and columns from the middle
    rows = row + (h - 1) / 2
    columns = column + (w - 1) / 2
    return {
        "rows and columns came counted from the middle: count from 0 again first": (
            frame * h * w + row * w + column
        ),
        "a row has w tokens, not h": frame * h * w + rows * h + columns,
        "columns are the fastest: the index runs along a row first": (
            frame * h * w + columns * h + rows
        ),
        "a frame has h · w tokens": frame * w + rows * w + columns,
    }


# ----------------------------------------------------------------------------------- 3 rotary


def check_rotary_1d(rotate_1d: Function) -> bool:
    """Exercise 3: rotary positions along one axis."""
    generator = torch.Generator().manual_seed(0)
    fractions = torch.tensor([-2.5, 0.0, 7.25, 3.0])
    cases = (
        (torch.arange(6.0), 8, 16.0),
        (fractions, 12, 16.0),
        (torch.tensor([4.0]), 2, 16.0),
        (torch.arange(5.0), 16, 100.0),
    )
    for positions, d, theta in cases:
        positions = positions.double()
        x = torch.randn(len(positions), d, dtype=torch.float64, generator=generator)
        cos, sin = rotary_angles(positions[:, None], d, theta)
        right = rotate(x[None, None], cos, sin)[0, 0]
        options = {} if theta == 16.0 else {"theta": theta}
        answer = called(rotate_1d, x, positions, **options)
        if answer is None:
            return False
        where = f"{len(positions)} tokens of {d} channels, theta {theta:g}"
        mistakes = _rotary_mistakes(x, positions, theta)
        hint = ""
        if isinstance(answer, torch.Tensor) and answer.shape == x.shape:
            hint = _length_hint(answer, x)
        # the package keeps its angles in float32, hence the tolerance
        if not same(answer, right, "rotate_1d", where, mistakes, 1e-5, hint):
            return False
    return say("right for whole and fractional positions, one pair and many, any theta", True)


def _rotated(
    a: torch.Tensor, b: torch.Tensor, angles: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    return a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()


def _rotary_mistakes(
    x: torch.Tensor, positions: torch.Tensor, theta: float
) -> dict[str, torch.Tensor]:
    d = x.shape[1]
    j = torch.arange(d // 2, dtype=torch.float64)
    a, b = x.chunk(2, dim=1)
    place = positions[:, None]
    number = torch.arange(len(x), dtype=torch.float64)[:, None]
    quarter = math.pi / 2
    frequencies = quarter * theta ** (-2 * j / d)

    def by(angles: torch.Tensor) -> torch.Tensor:
        return torch.cat(_rotated(a, b, angles), dim=1)

    angles = place * frequencies
    neighbours = torch.stack(_rotated(x[:, 0::2], x[:, 1::2], angles), dim=-1).flatten(1)
    one_sign = torch.cat([_rotated(a, b, angles)[0], _rotated(b, a, angles)[0]], dim=1)
    return {
        "x came back as it was": x,
        "theta is an argument, and may have another value here": by(
            place * quarter * 16.0 ** (-2 * j / d)
        ),
        "it rotates the other way round": by(-angles),
        "these pairs are neighbours (2j, 2j + 1); here channel j goes with channel j + d/2": (
            neighbours
        ),
        "the fastest pair rotates by a quarter turn, π/2, for each token": by(
            place * theta ** (-2 * j / d)
        ),
        "the exponent is j over the number of pairs, d/2": by(place * quarter * theta ** (-j / d)),
        "frequencies fall as j grows: mind the sign of the exponent": by(
            place * quarter * theta ** (2 * j / d)
        ),
        "the angle belongs to the position that comes in, not to the row of the token": by(
            number * frequencies
        ),
        "lengths change: one of the two sines has the wrong sign": one_sign,
    }


def _length_hint(answer: torch.Tensor, x: torch.Tensor) -> str:
    grown = float((answer.double().norm(dim=1) - x.norm(dim=1)).abs().max())
    if grown > 1e-4:
        return f"a rotation keeps lengths, and here they change by up to {grown:.3g}"
    return "lengths are kept, so the angles are wrong"


# ------------------------------------------------------------------------------- 4 packing mask


def check_packing_mask(packing_mask: Function) -> bool:
    """Exercise 4: segment ids → which token may attend to which."""
    cases = {
        "two clips": [0] * 5 + [1] * 3,
        "three clips, their tokens mixed": [2, 0, 1, 0, 2, 1, 1],
        "one clip": [4] * 3,
        "two clips and padding": [0, 0, 0, 1, 1, -1, -1],
    }
    for where, ids in cases.items():
        segments = torch.tensor(ids)
        answer = called(packing_mask, segments)
        if answer is None:
            return False
        if isinstance(answer, torch.Tensor) and answer.dtype != torch.bool:
            return say(f"the mask holds {answer.dtype}; True and False are asked for (torch.bool)")
        equal = segments[:, None] == segments
        right = equal & (segments != -1)
        mistakes = _mask_mistakes(segments, equal, right)
        hint = "some tokens do not attend to all of their own clip"
        if _attends_across(answer, equal):
            hint = "tokens of one clip attend to tokens of another"
        if not same(answer, right, "packing_mask", where, mistakes, 0.0, hint):
            return False
    return say("right for one clip, two and three, in any order, and with padding", True)


def _attends_across(answer: object, equal: torch.Tensor) -> bool:
    """Whether a mask of the right shape lets tokens attend to another segment."""
    if not isinstance(answer, torch.Tensor) or answer.shape != equal.shape:
        return False
    return bool((answer & ~equal).any())


def _mask_mistakes(
    segments: torch.Tensor, equal: torch.Tensor, right: torch.Tensor
) -> dict[str, torch.Tensor]:
    inverted = "it is inverted: True is where a token may attend"
    return {
        inverted: ~right,
        inverted + ", and padding attends to padding": ~equal,
        "every token may attend to every token, so the clips are not apart": torch.ones_like(right),
        "tokens may attend to later ones too: a video is no sentence": right.tril(),
        "a token may attend to its whole clip, not only to itself": torch.eye(
            len(segments), dtype=torch.bool
        ),
        "padding (-1) attends to padding": equal,
        "padding attends to itself": right | torch.diag(segments == -1),
    }
