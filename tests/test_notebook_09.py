"""Notebook 09: its checkers tell right from wrong. (The timeline editor has tests of its own.)"""

import torch

from minisora import tasks
from tests.conftest import rejected, unwritten


def outpaint(grid, inner, given=0.0, made=1.0, corner=False, frames=slice(None)):
    (t, h, w), (a, b) = grid, inner
    top, left = (0, 0) if corner else ((h - a) // 2, (w - b) // 2)
    levels = torch.full((t, h, w), made)
    levels[frames, top : top + a, left : left + b] = given
    return levels


def test_check_outpaint_levels(checks, capsys):
    assert checks.check_outpaint_levels(outpaint)
    for answer, fault in (
        (unwritten, "still to be written"),
        (lambda g, i: outpaint(g, i, 1.0, 0.0), "wrong way round"),
        (lambda g, i: outpaint(g, i, corner=True), "corner"),
        (lambda g, i: outpaint(g, i, frames=slice(1)), "first frame"),
        (lambda g, i: outpaint(g, i).flatten(), "shape"),
        (lambda g, i: torch.zeros(g), "count the given"),
    ):
        rejected(checks.check_outpaint_levels, answer, fault, capsys)


def fading(grid, first, last, steps=lambda t: max(t - 1, 1)):
    share = torch.arange(grid[0]) / steps(grid[0])
    return (first + (last - first) * share).view(-1, 1, 1).expand(grid)


def test_check_fading_levels(checks, capsys):
    assert checks.check_fading_levels(fading)
    for answer, fault in (
        (unwritten, "still to be written"),
        (lambda g, a, b: fading(g, b, a), "backwards"),
        (lambda g, a, b: fading(g, a, b, lambda t: t), "t − 1 steps"),
        (lambda g, a, b: fading(g, a, b, lambda t: t - 1), "not a number"),
        (lambda g, a, b: torch.linspace(a, b, g[2]).expand(g), "along the row"),
        (lambda g, a, b: torch.full(g, a), "all frames"),
        (lambda g, a, b: fading(g, a, b)[:, 0, 0], "shape"),
    ):
        rejected(checks.check_fading_levels, answer, fault, capsys)


def crop(subject, corner=False):
    _, H, W = subject.shape
    side = min(H, W)
    top, left = (0, 0) if corner else ((H - side) // 2, (W - side) // 2)
    return subject[:, top : top + side, left : left + side]


def test_check_kept_subject(checks, capsys):
    assert checks.check_kept_subject(lambda s: crop(s).sum() / s.sum())
    for answer, fault in (
        (unwritten, "still to be written"),
        (lambda s: crop(s).double().mean(), "of the crop"),
        (lambda s: crop(s, corner=True).sum() / s.sum(), "upper left"),
        (lambda s: 1 - crop(s).sum() / s.sum(), "cut off"),
        (lambda s: crop(s).sum(), "counts pixels"),
        (lambda s: crop(s), "one number"),
    ):
        rejected(checks.check_kept_subject, answer, fault, capsys)


def go_on(model, video, prompt, generator, window=slice(-13, None), keep=True):
    given = video[:, window]
    levels = torch.tensor([0.0] * (given.shape[1] // 4 + 1) + [1, 1]).view(-1, 1, 1)
    start = torch.cat([given, given[:, -1:].expand(-1, 8, -1, -1)], dim=1)
    made = tasks.denoise_video(model, start, levels, prompt, generator=generator)[0]
    return torch.cat(
        [video if keep else model.decode(model.encode(video[None]))[0], made[:, -8:]], dim=1
    )


def test_check_go_on(checks, capsys):
    assert checks.check_go_on(go_on)
    for answer, fault in (
        (unwritten, "still to be written"),
        (lambda *a: go_on(*a, window=slice(0, 13)), "beginning"),
        (lambda *a: go_on(*a, window=slice(-9, None)), "nine"),
        (
            lambda m, v, p, g: torch.cat([v, m.generate(p, generator=g)[0][:, -8:]], dim=1),
            "nothing was given",
        ),
        (lambda m, v, p, g: torch.cat([v, v[:, -1:].expand(-1, 8, -1, -1)], dim=1), "repeated"),
        (lambda *a: go_on(*a, keep=False), "compressor"),
        (lambda m, v, p, g: go_on(m, v, p, g)[:, 8:], "shape"),
        (lambda m, v, p, g: "a clip", "not str"),
    ):
        rejected(checks.check_go_on, answer, fault, capsys)
