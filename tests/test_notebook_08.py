"""Notebook 08: its checkers tell right from wrong, and the guidance desk shows what it did."""

import re

import pytest
import torch
import torch.nn.functional as F

from minisora.measure.network import at_scales, word_changes, word_importance
from minisora.widgets.guidance import GuidanceDesk, render_guidance, word_bars
from minisora.world.dataset import is_held_out
from minisora.world.parse import parse
from tests.conftest import rejected

PROMPT = "a red ring on a navy grid"


# ---------------------------------------------------------------------------------------- checkers


def guidance(formula):
    def guided_velocity(both, scale):
        prompt, negative = both.chunk(2)
        return formula(prompt, negative, torch.as_tensor(scale, dtype=both.dtype).reshape(-1, 1, 1))

    return guided_velocity


def test_check_guided_velocity(checks, capsys):
    assert checks.check_guided_velocity(guidance(lambda p, n, s: n + s * (p - n)))
    for answer, fault in (
        (guidance(lambda p, n, s: p + s * (n - p)), "swapped"),
        (guidance(lambda p, n, s: p + s * (p - n)), r"1 \+ w"),
        (guidance(lambda p, n, s: n + s * (n - p)), "wrong way"),
        (guidance(lambda p, n, s: p), "no effect"),
        (guidance(lambda p, n, s: s * p), "difference only"),
        (lambda both, s: both[1::2] + s * (both[0::2] - both[1::2]), "alternate"),
        (lambda both, s: both, "shape"),
        (lambda both, s: None, "gave nothing"),
        (
            lambda both, s: both.chunk(2)[1] + s * (both.chunk(2)[0] - both.chunk(2)[1]),
            "line them up",
        ),
    ):
        rejected(checks.check_guided_velocity, answer, fault, capsys)


def tokenizer(
    start=2,
    end=(1,),
    left=False,
    lower=True,
    pattern=r"[a-z0-9]+(?:-[a-z0-9]+)*",
    mask=lambda ids: ids != 0,
    lost=None,
):
    def tokenize(prompts, vocabulary):
        numbers, rows = {word: i + start for i, word in enumerate(vocabulary)}, []
        for prompt in prompts:
            row = []
            for word in re.findall(pattern, prompt.lower() if lower else prompt):
                if word not in numbers and lost is None:
                    raise ValueError(f"unknown {word}")
                row.append(numbers.get(word, lost) if isinstance(lost, int) else numbers[word])
            rows.append([*row, *end])
        longest = max(map(len, rows))
        pads = [[0] * (longest - len(row)) for row in rows]
        ids = torch.tensor(
            [pad + row if left else row + pad for pad, row in zip(pads, rows, strict=True)]
        )
        return ids, mask(ids)

    return tokenize


def test_check_tokenize(checks, capsys):
    assert checks.check_tokenize(tokenizer())
    for answer, fault in (
        (tokenizer(end=()), "EOS after"),
        (tokenizer(start=0), "first word"),
        (tokenizer(left=True), "behind the words"),
        (tokenizer(lower=False), "differ|shape|unknown"),
        (tokenizer(pattern=r"[a-z0-9]+"), "unknown|sky|shape"),
        (tokenizer(mask=lambda ids: ids >= 0), "padding does not count"),
        (tokenizer(mask=lambda ids: ids > 1), "EOS counts"),
        (tokenizer(mask=lambda ids: (ids != 0).long()), "bool"),
        (tokenizer(lost=KeyError), "KeyError"),
        (tokenizer(lost=2), "nothing was raised"),
        (lambda prompts, vocabulary: torch.zeros(2), "two tensors"),
    ):
        rejected(checks.check_tokenize, answer, fault, capsys)


def contrast(loss=lambda r, c: (r + c) / 2, scale=lambda s: s.exp().clamp(max=100)):
    def contrastive_loss(video, text, logit_scale):
        scores, own = scale(logit_scale) * video @ text.T, torch.arange(len(video))
        return loss(F.cross_entropy(scores, own), F.cross_entropy(scores.T, own))

    return contrastive_loss


def test_check_contrastive_loss(checks, capsys):
    assert checks.check_contrastive_loss(contrast())
    for answer, fault in (
        (contrast(loss=lambda r, c: r), "captions look for clips too"),
        (contrast(loss=lambda r, c: c), "clips look for captions too"),
        (contrast(loss=lambda r, c: r + c), "mean is wanted"),
        (contrast(scale=lambda s: 1.0), "temperature is missing"),
        (contrast(scale=lambda s: s), "logarithm"),
        (contrast(scale=lambda s: 1 / s.exp()), "divided"),
        (contrast(scale=lambda s: s.exp()), "held at 100"),
        (lambda v, t, s: (v - t).square().mean(), "find column i"),
        (lambda v, t, s: v, "shape"),
        (lambda v, t, s: 1 / 0, "ZeroDivisionError"),
    ):
        rejected(checks.check_contrastive_loss, answer, fault, capsys)


def unseen(prompts):
    return {
        (o.shape, o.color)
        for p in prompts
        for o in parse(p).objects
        if is_held_out(o.shape, o.color)
    }


def test_check_unseen_pairs(checks, capsys):
    assert checks.check_unseen_pairs(lambda prompts: sorted(unseen(prompts)))
    held = (
        ("circle", "green"),
        ("square", "pink"),
        ("triangle", "orange"),
        ("star", "blue"),
        ("heart", "cyan"),
        ("ring", "red"),
    )

    def any_words(prompts):
        shapes, colors = zip(
            *((o.shape, o.color) for p in map(parse, prompts) for o in p.objects), strict=True
        )
        return [pair for pair in sorted(held) if pair[0] in shapes and pair[1] in colors]

    for answer, fault in (
        (any_words, "own object"),
        (
            lambda prompts: sorted(
                {h for h in held for p in prompts if h[0] in p.split() and h[1] in p.split()}
            ),
            "mean the same",
        ),
        (
            lambda prompts: sorted(
                {
                    (o.shape, o.color)
                    for p in prompts
                    for o in parse(p).objects[:1]
                    if is_held_out(o.shape, o.color)
                }
            ),
            "two objects",
        ),
        (lambda prompts: sorted(unseen(prompts)) * 2, "each pair once"),
        (lambda prompts: sorted((c, s) for s, c in unseen(prompts)), "shape comes first"),
        (lambda prompts: unseen(prompts), "list of pairs"),
    ):
        rejected(checks.check_unseen_pairs, answer, fault, capsys)


# ---------------------------------------------------------------------------------------- the desk


def test_one_batch_is_what_generate_makes(model):
    for negative in ("", "a blue star"):
        videos = at_scales(model, PROMPT, negative, [0.0, 1.0, 3.0], 3, seed=4)
        for scale, video in zip((0.0, 1.0, 3.0), videos, strict=True):
            one = model.generate(
                PROMPT,
                negative_prompt=negative,
                guidance_scale=scale,
                num_inference_steps=3,
                generator=torch.Generator().manual_seed(4),
            )[0]
            assert (video - one).abs().mean() < 0.01


def test_words_are_compared_in_the_models_own_precision(model):
    changes = []
    for dtype in (torch.float32, torch.bfloat16):
        model.dtype = dtype
        changes.append(word_changes(model, PROMPT)[1])
    assert not torch.equal(*changes)


def test_word_importance_finds_the_word_that_acts(model):
    words, changes, grid = word_changes(model, PROMPT)
    assert words == PROMPT.split() and changes.shape == (len(words), 3, grid[0] * grid[1] * grid[2])
    shares = word_importance(model, PROMPT)
    assert (
        [w for w, _ in shares] == words
        and abs(sum(s for _, s in shares) - 1) < 1e-5
        and shares == word_importance(model, PROMPT)
    )
    for block in model.dit.blocks:
        torch.nn.init.zeros_(block.cross_attention.to_out.weight)
    assert word_changes(model, PROMPT)[1].max() < 1e-5, (
        "with cross-attention silent no word moves anything"
    )
    assert word_importance(model, "") == [] and "no words" in word_bars([])


def test_render_guidance_is_pure_and_says_it_in_words(model):
    a, b = (render_guidance(model, PROMPT, "a blue star", 3.0, 2, 1) for _ in range(2))
    assert (
        a.text == b.text and "guidance 3" in a.words and "seed 1" in a.words and "navy" in a.words
    )
    images = re.findall(r"<img[^>]*>", a.text)
    assert len(images) == 3 and all("alt=" in image for image in images)
    assert len(re.findall("<img", render_guidance(model, "", "", 1.0, 1).text)) == 2
    assert "cannot compare" in render_guidance(model, "red", "", 1.0, 1).words


def test_the_desk_answers_a_press_and_shows_errors(model):
    pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")
    desk = GuidanceDesk(model, PROMPT)
    first = desk.output.value
    desk.controls["guidance_scale"].value = 5.0
    assert desk.output.value == first, "only a press renders"
    desk.button.click()
    assert desk.output.value != first and "guidance 5" in desk.words.value
    desk.controls["prompt"].value = "a purple ring"
    desk.button.click()
    assert "✗" in desk.words.value and "purple" in desk.words.value
    for control in desk.controls.values():
        assert control.description and (
            getattr(control, "tooltip", None) or getattr(control, "description_tooltip", None)
        )
