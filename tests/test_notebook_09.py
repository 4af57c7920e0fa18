"""Notebook 09: its checkers tell right from wrong. (The timeline editor has tests of its own.)"""

import torch

from minisora import tasks
from tests.conftest import rejected, unwritten


def outpaint(grid, inner, conditioning=0.0, generated=1.0, corner=False, frames=slice(None)):
    (t, h, w), (a, b) = grid, inner
    top, left = (0, 0) if corner else ((h - a) // 2, (w - b) // 2)
    sigma = torch.full((t, h, w), generated)
    sigma[frames, top : top + a, left : left + b] = conditioning
    return sigma


def test_check_outpaint_sigma(checks, capsys):
    assert checks.check_outpaint_sigma(outpaint)
    for answer, fault in (
        (unwritten, "still to be written"),
        (lambda g, i: outpaint(g, i, 1.0, 0.0), "wrong way round"),
        (lambda g, i: outpaint(g, i, corner=True), "corner"),
        (lambda g, i: outpaint(g, i, frames=slice(1)), "first frame"),
        (lambda g, i: outpaint(g, i).flatten(), "shape"),
        (lambda g, i: torch.zeros(g), "count the clean"),
    ):
        rejected(checks.check_outpaint_sigma, answer, fault, capsys)


def fading(grid, first, last, steps=lambda t: max(t - 1, 1)):
    fraction = torch.arange(grid[0]) / steps(grid[0])
    return (first + (last - first) * fraction).view(-1, 1, 1).expand(grid)


def test_check_fading_sigma(checks, capsys):
    assert checks.check_fading_sigma(fading)
    for answer, fault in (
        (unwritten, "still to be written"),
        (lambda g, a, b: fading(g, b, a), "backwards"),
        (lambda g, a, b: fading(g, a, b, lambda t: t), "t − 1 steps"),
        (lambda g, a, b: fading(g, a, b, lambda t: t - 1), "not a number"),
        (lambda g, a, b: torch.linspace(a, b, g[2]).expand(g), "along the row"),
        (lambda g, a, b: torch.full(g, a), "all frames"),
        (lambda g, a, b: fading(g, a, b)[:, 0, 0], "shape"),
    ):
        rejected(checks.check_fading_sigma, answer, fault, capsys)


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


def by_hand(model, video, prompt, generator, window=slice(-13, None), keep=True):
    context = video[:, window]
    sigma = torch.tensor([0.0] * (context.shape[1] // 4 + 1) + [1, 1]).view(-1, 1, 1)
    start = torch.cat([context, context[:, -1:].expand(-1, 8, -1, -1)], dim=1)
    generated = tasks.denoise_video(model, start, sigma, prompt, generator=generator)[0]
    first = video if keep else model.decode(model.encode(video[None]))[0]
    return torch.cat([first, generated[:, -8:]], dim=1)


def test_check_extend_by_hand(checks, capsys):
    assert checks.check_extend_by_hand(by_hand)
    for answer, fault in (
        (unwritten, "still to be written"),
        (lambda *a: by_hand(*a, window=slice(0, 13)), "beginning"),
        (lambda *a: by_hand(*a, window=slice(-9, None)), "nine"),
        (
            lambda m, v, p, g: torch.cat(
                [v, m.generate(p, upsample=False, generator=g)[0][:, -8:]], dim=1
            ),
            "no frame was clean",
        ),
        (lambda m, v, p, g: torch.cat([v, v[:, -1:].expand(-1, 8, -1, -1)], dim=1), "repeated"),
        (lambda *a: by_hand(*a, keep=False), "compressor"),
        (lambda m, v, p, g: by_hand(m, v, p, g)[:, 8:], "shape"),
        (lambda m, v, p, g: "a clip", "not str"),
    ):
        rejected(checks.check_extend_by_hand, answer, fault, capsys)
