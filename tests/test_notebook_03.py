"""Notebook 03: its checkers tell right from wrong, its widget answers."""

import math
import re

import pytest
import torch
from einops import rearrange

from minisora.config import PRESETS
from minisora.dit import DiT
from minisora.measure.speed import forward_flops, step_flops
from minisora.widgets.tokens import TokenExplorer, cube_of, render_tokens, token_grid
from tests.conftest import rejected, unwritten


def test_check_patchify_line(checks, capsys):
    def ordered(right, left="b c (t pt) (h ph) (w pw)"):
        return lambda x, p: rearrange(x, f"{left} -> {right}", pt=p[0], ph=p[1], pw=p[2])

    assert checks.check_patchify_line(ordered("b (t h w) (c pt ph pw)"))
    for wrong, fault in (
        (ordered("b (t h w) (pt ph pw c)"), "channel comes first"),
        (ordered("b (t w h) (c pt ph pw)"), "columns of a row first"),
        (ordered("b (h w t) (c pt ph pw)"), "whole frame"),
        (ordered("b (t h w) (c pt pw ph)"), "rows come before columns"),
        (ordered("b (c pt ph pw) (t h w)"), "swapped"),
        (ordered("b (t h w) (c pt ph pw)", "b c (pt t) (ph h) (pw w)"), "combs"),
        (lambda x, p: x.flatten(2).transpose(1, 2), "whole patch"),
        (lambda x, p: x.reshape(len(x), -1, x.shape[1] * math.prod(p)), "plain reshape"),
        (lambda x, p: ordered("b (t h w) (c pt ph pw)")(x, p).float(), "float32"),
        (lambda x, p: None, "gave nothing back"),
    ):
        rejected(checks.check_patchify_line, wrong, fault, capsys)


def test_check_positions(checks, capsys):
    def position(index, grid):
        t, h, w = grid
        return index // (h * w), index // w % h - (h - 1) / 2, index % w - (w - 1) / 2

    def index(position, grid):
        f, r, c = position
        _, h, w = grid
        return f * h * w + (r + (h - 1) / 2) * w + c + (w - 1) / 2

    assert checks.check_positions(position, index)
    assert checks.check_positions(
        lambda i, grid: torch.tensor(position(i, grid)), lambda p, grid: int(index(p, grid))
    )
    for wrong, fault in (
        (
            lambda i, g: (i // (g[1] * g[2]), i // g[2] % g[1], i % g[2]),
            "from the middle of the frame",
        ),
        (
            lambda i, g: (i // (g[1] * g[2]), i // g[2] % g[1] - g[1] / 2, i % g[2] - g[2] / 2),
            r"\(n - 1\) / 2",
        ),
        (
            lambda i, g: (
                i // (g[1] * g[2]),
                i // g[2] % g[1] - (g[1] - 1) // 2,
                i % g[2] - (g[2] - 1) // 2,
            ),
            "halves are lost",
        ),
        (
            lambda i, g: (
                i // (g[1] * g[2]),
                i // g[1] % g[2] - (g[1] - 1) / 2,
                i % g[1] - (g[2] - 1) / 2,
            ),
            "w tokens, not h",
        ),
        (lambda i, g: [position(i, g)[k] for k in (0, 2, 1)], "swapped"),
        (lambda i, g: position(i, g)[::-1], "wrong way round"),
        (
            lambda i, g: (position(i, g)[0] - (g[0] - 1) / 2, *position(i, g)[1:]),
            "frames count from 0",
        ),
        (lambda i, g: 3, "three numbers"),
        (lambda i, g: position(i, g)[:2], "2 numbers"),
    ):
        rejected(checks.check_positions, (wrong, index), fault, capsys)
    for wrong, fault in (
        (lambda p, g: p[0] * g[1] * g[2] + p[1] * g[2] + p[2], "from 0 again"),
        (
            lambda p, g: (
                p[0] * g[1] * g[2] + (p[1] + (g[1] - 1) / 2) * g[1] + p[2] + (g[2] - 1) / 2
            ),
            "w tokens, not h",
        ),
        (
            lambda p, g: p[0] * g[2] + (p[1] + (g[1] - 1) / 2) * g[2] + p[2] + (g[2] - 1) / 2,
            "frame has h",
        ),
        (lambda p, g: None, "gave nothing back"),
    ):
        rejected(checks.check_positions, (position, wrong), fault, capsys)


def test_check_rotary_1d(checks, capsys):
    def rotary(x, positions, theta=16.0, quarter=math.pi / 2, fraction=1.0, sign=1.0, sine=1.0):
        half = x.shape[1] // 2
        angles = (
            sign
            * positions[:, None]
            * quarter
            * theta ** (-fraction * torch.arange(half, dtype=x.dtype) / half)
        )
        a, b = x.chunk(2, dim=1)
        return torch.cat(
            [a * angles.cos() - b * angles.sin(), b * angles.cos() + sine * a * angles.sin()], dim=1
        )

    def neighbours(x, positions, theta=16.0):
        pairs = rearrange(x, "n (j two) -> n (two j)", two=2)
        return rearrange(rotary(pairs, positions, theta), "n (two j) -> n (j two)", two=2)

    assert checks.check_rotary_1d(rotary)
    for wrong, fault in (
        (lambda x, p, theta=16.0: x, "as it was"),
        (lambda x, p, theta=16.0: rotary(x, p, theta, sign=-1.0), "other way round"),
        (neighbours, "neighbours"),
        (lambda x, p, theta=16.0: rotary(x, p, theta, quarter=1.0), "quarter turn"),
        (lambda x, p, theta=16.0: rotary(x, p, theta, fraction=0.5), "number of pairs"),
        (lambda x, p, theta=16.0: rotary(x, p, theta, fraction=-1.0), "sign of the exponent"),
        (
            lambda x, p, theta=16.0: rotary(x, torch.arange(len(x), dtype=x.dtype), theta),
            "position that comes in",
        ),
        (lambda x, p, theta=16.0: rotary(x, p, 16.0), "theta is an argument"),
        (lambda x, p, theta=16.0: rotary(x, p, theta, sine=-1.0), "wrong sign"),
        (lambda x, p, theta=16.0: 2 * rotary(x, p, theta), "keeps lengths"),
    ):
        rejected(checks.check_rotary_1d, wrong, fault, capsys)

    rejected(checks.check_rotary_1d, unwritten, "still to be written", capsys)


def test_check_packing_mask(checks, capsys):
    def equal(s):
        return s[:, None] == s

    def right(s):
        return equal(s) & (s != -1)

    assert checks.check_packing_mask(right)
    for wrong, fault in (
        (lambda s: torch.ones(len(s), len(s), dtype=torch.bool), "every token may"),
        (lambda s: ~right(s), "inverted"),
        (lambda s: right(s).float(), "True and False"),
        (equal, "padding .* attends to padding"),
        (lambda s: right(s) | torch.eye(len(s), dtype=torch.bool), "attends to itself"),
        (lambda s: right(s).tril(), "no sentence"),
        (lambda s: torch.eye(len(s), dtype=torch.bool), "not only to itself"),
        (lambda s: s[:, None] >= s, "tokens of another"),
        (lambda s: right(s)[None], "shape"),
    ):
        rejected(checks.check_packing_mask, wrong, fault, capsys)


def test_cubes_tile_the_clip():
    for size, patch in (
        ((17, 32, 32), (1, 2, 2)),
        ((13, 16, 24), (2, 1, 2)),
        ((1, 8, 16), (1, 2, 2)),
    ):
        grid = token_grid(*size, patch)
        covered = torch.zeros(size, dtype=torch.int)
        for token in range(math.prod(grid)):
            frames, rows, columns = cube_of(token, grid, patch)
            covered[
                frames[0] : frames[-1] + 1, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1
            ] += 1
        assert (covered == 1).all()


def test_costs_agree_with_the_benchmarks_count():
    dit = DiT(PRESETS["tiny"].dit)

    def growth(count):
        return count(320) - 4 * count(80)  # what is not proportional to tokens: attention

    assert growth(lambda n: 3 * forward_flops(n)[1]) == pytest.approx(
        growth(lambda n: step_flops(dit, n, 0))
    )
    assert 0.8 < 3 * sum(forward_flops(80)) / step_flops(dit, 80, 0) < 1


def test_render_tokens_is_pure_and_says_what_does_not_fit():
    result = render_tokens()
    assert result.text == render_tokens().text != render_tokens(token=37).text
    assert (
        "80 tokens = 5 × 4 × 4" in result.words
        and "pixel frames 5 to 8, rows 8 to 15, columns 16 to 23" in result.words
    )
    assert "pixel frame 0," in render_tokens(token=0).words
    assert (
        all('alt="' in tag for tag in re.findall(r"<img[^>]*>", result.text))
        and result.text.count("▶") == 2
    )
    for sizes, said in (
        ({"num_frames": 18}, "17 or 21"),
        ({"height": 36}, "9 rows .* 8 or 10"),
        ({"p_t": 2}, "5 frames .* 4 or 6"),
        ({"token": 80}, "0 to 79"),
    ):
        with pytest.raises(ValueError, match=said):
            render_tokens(**sizes)


def test_the_explorer_answers_and_shows_errors():
    pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")
    explorer = TokenExplorer()
    for control in explorer.controls.values():
        assert control.description and (
            getattr(control, "tooltip", None) or getattr(control, "description_tooltip", None)
        )
    shown = explorer.output.value
    explorer.controls["token"].value = 79
    assert explorer.output.value != shown and "pixel frames 13 to 16" in explorer.words.value
    explorer.controls["p_h"].value = 4
    assert (
        explorer.controls["token"].max == explorer.controls["token"].value == 39
        and "40 tokens" in explorer.words.value
    )
    shown = explorer.output.value
    explorer.controls["p_t"].value = 2
    assert (
        "✗" in explorer.words.value
        and "4 or 6" in explorer.words.value
        and explorer.output.value == shown
    )
    explorer.controls["p_t"].value = 1
    explorer.controls["width"].value = 64
    assert explorer.controls["token"].max == 79 and "80 tokens" in explorer.words.value
