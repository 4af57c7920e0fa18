"""Notebook 03, Spacetime patches."""

import math
from functools import wraps

import torch
from einops import rearrange

from minisora.layers import rotary_angles, rotate
from minisora.patchify import patchify, positions_of

from .common import called, same, say


def answered(function, *arguments):
    """As `called`, and says so where a function gives nothing back."""

    @wraps(function)
    def answering(*arguments):
        result = function(*arguments)
        if result is None:
            raise TypeError("it gives nothing back; is `return` missing?")
        return result

    return called(answering, *arguments)


def check_patchify_line(my_patchify) -> bool:
    """Notebook 03, exercise 1: patchify."""
    generator = torch.Generator().manual_seed(0)
    cases = (
        ((2, 3, 4, 6, 8), (2, 3, 4)),
        ((1, 12, 5, 8, 8), (1, 2, 2)),
        ((2, 12, 1, 6, 10), (1, 2, 2)),
        ((1, 2, 4, 12, 4), (4, 3, 1)),
    )
    for shape, patch_size in cases:
        x = torch.randn(shape, dtype=torch.float64, generator=generator)
        right, where = patchify(x, patch_size), f"{shape} cut by {patch_size}"
        yours = answered(my_patchify, x, patch_size)
        if yours is None:
            return False
        if isinstance(yours, torch.Tensor) and yours.shape != right.shape:
            return say(
                f"tokens have the shape {tuple(yours.shape)} for {where}; {_shape_fault(yours, right, x)}"
            )
        if isinstance(yours, torch.Tensor) and yours.dtype != x.dtype:
            return say(
                f"numbers came in as {x.dtype} and went out as {yours.dtype}; cutting changes no number"
            )
        if isinstance(yours, torch.Tensor) and not torch.equal(yours, right):
            wrong = (yours != right).float().mean()
            return say(
                f"{wrong:.0%} of the numbers are in a wrong place for {where}: {_order_fault(yours, x, right, patch_size)}"
            )
        if not same(yours, right, "my_patchify", where):
            return False
    return say(
        "right for four grids, one of them an image, and `unpatchify` gives every number back", True
    )


def _shape_fault(yours: torch.Tensor, right: torch.Tensor, x: torch.Tensor) -> str:
    if yours.shape == (right.shape[0], right.shape[2], right.shape[1]):
        return "tokens are the second axis, their numbers the last: the two are swapped"
    if yours.ndim == 3 and yours.shape[2] == x.shape[1]:
        return "a token takes in a whole patch of every channel, not a single cell"
    if yours.ndim != 3:
        return f"three axes are asked for (B, N, P), not {yours.ndim}"
    return f"N is frames × rows × columns counted in patches, P what is in one patch: {right.shape[1]} and {right.shape[2]} here"


def _order_fault(yours: torch.Tensor, x: torch.Tensor, right: torch.Tensor, patch_size) -> str:
    """Which plausible order of the same numbers this is."""
    pt, ph, pw = patch_size
    cut = "b c (t pt) (h ph) (w pw) -> "
    orders = {
        "b (t h w) (pt ph pw c)": "inside a token, the channel comes first",
        "b (t w h) (c pt ph pw)": "tokens run through the columns of a row first, then through the rows",
        "b (h w t) (c pt ph pw)": "tokens run through a whole frame before the next frame begins",
        "b (t h w) (c pt pw ph)": "inside a token, rows come before columns",
        "b (t h w) (c ph pw pt)": "inside a token, frames come before rows and columns",
    }
    for order, fault in orders.items():
        if torch.equal(yours, rearrange(x, cut + order, pt=pt, ph=ph, pw=pw)):
            return fault
    if torch.equal(yours, x.reshape(right.shape)):
        return "a plain reshape cuts memory into pieces, not the video into cubes"
    if torch.equal(
        yours,
        rearrange(x, "b c (pt t) (ph h) (pw w) -> b (t h w) (c pt ph pw)", pt=pt, ph=ph, pw=pw),
    ):
        return "its patches are combs, not cubes: in (t pt) the patch is the second, quicker letter"
    if torch.equal(yours.flatten().sort().values, x.flatten().sort().values):
        return "all numbers are there, but not in this order"
    return "some numbers are missing or changed"


def check_places(place_of, index_of) -> bool:
    """Notebook 03, exercise 2: index → place, and back."""
    for grid in ((5, 4, 4), (1, 3, 5), (4, 2, 7), (9, 6, 1)):
        places = positions_of(grid)
        for index, right in enumerate(places.tolist()):
            yours = answered(place_of, index, grid)
            if yours is None:
                return False
            try:
                yours = [float(number) for number in yours]
            except (TypeError, ValueError):
                return say(f"place_of({index}, {grid}) should be three numbers: frame, row, column")
            if len(yours) != 3:
                return say(
                    f"place_of({index}, {grid}) gives {len(yours)} numbers; three are asked for: frame, row, column"
                )
            if max(abs(a - b) for a, b in zip(yours, right, strict=True)) > 1e-6:
                off = [round(a - b, 3) for a, b in zip(yours, right, strict=True)]
                return say(
                    f"place_of({index}, {grid}) is off by {off} in (frame, row, column){_place_fault(place_of, grid)}"
                )
        for index, place in enumerate(places.tolist()):
            yours = answered(index_of, tuple(place), grid)
            if yours is None:
                return False
            if yours != index:
                try:
                    off = f"is off by {float(yours) - index:g}"
                except (TypeError, ValueError):
                    off = "should be a whole number, and is not a number at all"
                return say(f"index_of({tuple(place)}, {grid}) {off}{_index_fault(index_of, grid)}")
    return say(
        "right there and back, for square and oblong grids, an image, and a single column", True
    )


def _place_fault(place_of, grid) -> str:
    """What a plausible mistake would have given on a whole grid, if that is what is given."""
    t, h, w = grid
    n, places = torch.arange(t * h * w), positions_of(grid).double()
    try:
        yours = torch.tensor(
            [[float(number) for number in place_of(i, grid)] for i in n.tolist()],
            dtype=torch.float64,
        )
    except Exception:
        return ""
    middle = torch.tensor([0.0, (h - 1) / 2, (w - 1) / 2])
    stacked = lambda f, r, c: torch.stack([f, r, c], -1).double()
    counted = stacked(n // (h * w), n // w % h, n % w)
    faults = {
        "; rows and columns count from the middle of the frame": counted,
        "; the middle of n places is at (n - 1) / 2, not at n / 2": counted
        - torch.tensor([0.0, h / 2, w / 2]),
        "; halves are lost: the middle of an even number of places is between two": counted
        - middle.floor(),
        "; frames count from 0, only rows and columns from the middle": places
        - torch.tensor([(t - 1) / 2, 0.0, 0.0]),
        "; row and column are swapped": places[:, [0, 2, 1]],
        "; a row has w tokens, not h": stacked(n // (h * w), n // h % w, n % h) - middle,
        "; column, row, frame is the wrong way round": places.flip(-1),
    }
    return next((fault for fault, wrong in faults.items() if torch.allclose(yours, wrong)), "")


def _index_fault(index_of, grid) -> str:
    t, h, w = grid
    f, r, c = (positions_of(grid).double() + torch.tensor([0.0, (h - 1) / 2, (w - 1) / 2])).T
    try:
        yours = torch.tensor(
            [float(index_of(tuple(place), grid)) for place in positions_of(grid).tolist()],
            dtype=torch.float64,
        )
    except Exception:
        return ""
    rows, columns = r - (h - 1) / 2, c - (w - 1) / 2
    faults = {
        "; rows and columns came counted from the middle: count from 0 again first": f * h * w
        + rows * w
        + columns,
        "; a row has w tokens, not h": f * h * w + r * h + c,
        "; columns are the quickest: the index runs along a row first": f * h * w + c * h + r,
        "; a frame has h · w tokens": f * w + r * w + c,
    }
    return next((fault for fault, wrong in faults.items() if torch.allclose(yours, wrong)), "")


def check_rotary_1d(rotate_1d) -> bool:
    """Notebook 03, exercise 3: rotary positions along one axis."""
    generator = torch.Generator().manual_seed(0)
    broken = torch.tensor([-2.5, 0.0, 7.25, 3.0])
    cases = (
        (torch.arange(6.0), 8, 16.0),
        (broken, 12, 16.0),
        (torch.tensor([4.0]), 2, 16.0),
        (torch.arange(5.0), 16, 100.0),
    )
    for positions, d, theta in cases:
        x, positions = (
            torch.randn(len(positions), d, dtype=torch.float64, generator=generator),
            positions.double(),
        )
        right = rotate(x[None, None], *rotary_angles(positions[:, None], d, theta))[0, 0]
        where = f"{len(positions)} tokens of {d} channels, theta {theta:g}"
        yours = (
            answered(rotate_1d, x, positions)
            if theta == 16.0
            else answered(rotate_1d, x, positions, theta)
        )
        if yours is None:
            return False
        if isinstance(yours, torch.Tensor) and yours.shape == x.shape:
            miss = float((yours.double() - right).abs().max())
            if not miss <= 1e-5:
                return say(
                    f"off by up to {miss:.3g} for {where}{_rotary_fault(yours.double(), x, positions, theta)}"
                )
        if not same(
            yours, right, "rotate_1d", where, tolerance=1e-5
        ):  # the package keeps its angles in float32
            return False
    return say("right for whole and broken places, one pair and many, and another theta", True)


def _rotary_fault(
    yours: torch.Tensor, x: torch.Tensor, positions: torch.Tensor, theta: float
) -> str:
    half = x.shape[1] // 2
    j, (a, b) = torch.arange(half, dtype=torch.float64), x.chunk(2, dim=1)

    def turned(frequencies, places=positions, sign=1.0):
        angles = sign * places[:, None] * frequencies
        return torch.cat(
            [a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], dim=1
        )

    frequencies = math.pi / 2 * theta ** (-j / half)
    angles, even, odd = positions[:, None] * frequencies, x[:, 0::2], x[:, 1::2]
    neighbours = torch.stack(
        [even * angles.cos() - odd * angles.sin(), odd * angles.cos() + even * angles.sin()], -1
    ).flatten(1)
    mixed = torch.cat(
        [a * angles.cos() - b * angles.sin(), b * angles.cos() - a * angles.sin()], dim=1
    )
    faults = {
        "; x came back as it was": x,
        "; theta is an argument, and may have another value here": turned(
            math.pi / 2 * 16.0 ** (-j / half)
        ),
        "; it turns the other way round": turned(frequencies, sign=-1.0),
        "; these pairs are neighbours (2j, 2j + 1); here channel j goes with channel j + d/2": neighbours,
        "; the quickest pair turns by a quarter turn, π/2, a token": turned(theta ** (-j / half)),
        "; the exponent is j over the number of pairs, d/2": turned(
            math.pi / 2 * theta ** (-j / x.shape[1])
        ),
        "; frequencies fall as j grows: mind the sign of the exponent": turned(
            math.pi / 2 * theta ** (j / half)
        ),
        "; the angle belongs to the place that is given, not to the number of the token in the row": turned(
            frequencies, torch.arange(len(x), dtype=torch.float64)
        ),
        "; lengths change: one of the two sines has the wrong sign": mixed,
    }
    for fault, wrong in faults.items():
        if torch.allclose(yours, wrong, atol=1e-5):
            return fault
    grown = float((yours.norm(dim=1) - x.norm(dim=1)).abs().max())
    return (
        f"; a turn keeps lengths, and here they change by up to {grown:.3g}"
        if grown > 1e-4
        else "; lengths are kept, so the angles are at fault"
    )


def check_packing_mask(packing_mask) -> bool:
    """Notebook 03, exercise 4: segment ids → who may look at whom."""
    cases = {
        "two clips": [0] * 5 + [1] * 3,
        "three clips, their tokens mixed": [2, 0, 1, 0, 2, 1, 1],
        "one clip": [4] * 3,
        "two clips and empty places": [0, 0, 0, 1, 1, -1, -1],
    }
    for name, ids in cases.items():
        segments = torch.tensor(ids)
        equal = segments[:, None] == segments
        right = equal & (segments != -1)
        yours = answered(packing_mask, segments)
        if yours is None:
            return False
        if (
            isinstance(yours, torch.Tensor)
            and yours.shape == right.shape
            and yours.dtype != torch.bool
        ):
            return say(f"the mask holds {yours.dtype}; True and False are asked for (torch.bool)")
        if (
            isinstance(yours, torch.Tensor)
            and yours.shape == right.shape
            and not torch.equal(yours, right)
        ):
            wrong = int((yours != right).sum())
            return say(
                f"{wrong} of {right.numel()} entries are wrong for {name}{_mask_fault(yours, equal, right, segments)}"
            )
        if not same(yours, right, "packing_mask", name):
            return False
    return say("right for one clip, two and three, in any order, and with empty places", True)


def _mask_fault(
    yours: torch.Tensor, equal: torch.Tensor, right: torch.Tensor, segments: torch.Tensor
) -> str:
    if torch.equal(yours, ~right) or torch.equal(yours, ~equal):
        return "; it is upside down: True is where a token may look"
    if yours.all():
        return "; everyone may look at everyone, so the clips are not apart"
    if torch.equal(yours, right.tril()):
        return "; tokens may look forward in the row too: a video is a bag, not a sentence"
    if torch.equal(yours, torch.eye(len(segments), dtype=torch.bool)):
        return "; a token may look at its whole clip, not only at itself"
    if torch.equal(yours, equal):
        return "; empty places (-1) look at each other"
    if torch.equal(yours, right | torch.diag(segments == -1)):
        return "; empty places look at themselves"
    if (yours & ~equal).any():
        return "; tokens of one clip look at tokens of another"
    return "; some tokens do not see all of their own clip"
