"""Notebook 06: its checkers tell right from wrong, and its widget answers."""

import math

import pytest
import torch

from minisora.layers import attention, rotary_angles, rotate
from minisora.measure.network import attention_maps, attention_of
from minisora.patchify import positions_of
from minisora.widgets.attention import AttentionExplorer, render_attention
from minisora.world.dataset import sample_scene
from minisora.world.render import render
from tests.conftest import rejected


def scored(q, k, mask, scale=None, axis=-1, far=-1e4):
    scores = q @ k.mT / (scale or math.sqrt(q.shape[-1]))
    return (scores if mask is None else scores.masked_fill(~mask, far)).softmax(axis)


def unread(q, k, v, mask):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (lambda q, k, v, mask: scored(q, k, mask, 1.0) @ v, "not divided"),
        (lambda q, k, v, mask: scored(q, k, mask, float(q.shape[-1])) @ v, "its root"),
        (lambda q, k, v, mask: scored(q, k, mask, axis=-2) @ v, "over the queries"),
        (
            lambda q, k, v, mask: scored(q, k, None if mask is None else ~mask) @ v,
            "wrong way round",
        ),
        (lambda q, k, v, mask: scored(q, k, mask, far=0.0) @ v, r"exp\(0\)"),
        (
            lambda q, k, v, mask: (scored(q, k, None) * (1 if mask is None else mask)) @ v,
            "after the softmax",
        ),
        (lambda q, k, v, mask: scored(q, k, None) @ v, "not used"),
        (lambda q, k, v, mask: attention(q, k, v, mask), "without the map"),
        (lambda q, k, v, mask: scored(q, k, mask), "shape"),
        (lambda q, k, v, mask: None, "nothing back"),
        (unread, "unread is still to be written"),
    ],
)
def test_check_attention_names_the_fault(checks, capsys, wrong, fault):
    rejected(checks.check_attention, wrong, fault, capsys)


def test_check_attention_takes_the_right_one(checks):
    assert checks.check_attention(lambda q, k, v, mask=None: attention(q, k, v, mask)[0])


def gated(
    one=1.0,
    gate_one=0.0,
    order=(0, 1, 2, 3, 4, 5),
    parallel=False,
    normed=True,
    shift_first=False,
    outside=False,
):
    def block(x, six, norm1, attend, norm2, mlp):
        six = [six.chunk(6, dim=-1)[i] for i in order]

        def half(x, source, shift, scale, gate, norm, layer):
            h = norm(source) if normed else source
            h = (h + shift) * (one + scale) if shift_first else h * (one + scale) + shift
            return (
                (gate_one + gate) * (x + layer(h)) if outside else x + (gate_one + gate) * layer(h)
            )

        y = half(x, x, *six[:3], norm1, attend)
        return half(y, x if parallel else y, *six[3:], norm2, mlp)

    return block


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (lambda x, *rest: x, "hands its input on"),
        (gated(gate_one=1.0), "shut a layer"),
        (gated(one=0.0), "wipe them out"),
        (gated(outside=True), "not on the sum"),
        (gated(normed=False), "not normalised"),
        (gated(shift_first=True), "after the scale"),
        (gated(order=(1, 0, 2, 4, 3, 5)), "change places"),
        (gated(order=(0, 2, 4, 1, 3, 5)), "attention first"),
        (gated(parallel=True), "what attention has written"),
    ],
)
def test_check_adaln_zero_names_the_fault(checks, capsys, wrong, fault):
    rejected(checks.check_adaln_zero, wrong, fault, capsys)


def test_check_adaln_zero_takes_the_right_one(checks):
    assert checks.check_adaln_zero(gated())


def count(c, **change):
    D, E, L, H = (
        c.hidden_size,
        change.get("text_size", c.text_size),
        c.depth,
        int(c.hidden_size * c.mlp_ratio),
    )
    d, P = D // c.num_heads, c.latent_channels * math.prod(change.get("patch_size", c.patch_size))
    ends = P * D + D + 37 * D + 129 * D + D * D + D + D + 2 * D * D + 2 * D + D * P + P
    own = 6 * D * D + 6 * D
    block = 3 * D + 4 * D * D + D + 2 * D * D + 2 * E * D + D + 2 * D * H + H + D
    block += change.get("qk", 4 * d) + change.get("table", 6 * D) + change.get("bias", 0) * D
    return ends + own * change.get("modulations", 1) + L * block


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (lambda c: count(c, modulations=c.depth), "shared by all blocks"),
        (lambda c: count(c, text_size=c.hidden_size), "text_size"),
        (lambda c: count(c, table=0), "the tables"),
        (lambda c: count(c, qk=0), "norms of queries and keys"),
        (lambda c: count(c, qk=4 * c.hidden_size), "head by head"),
        (lambda c: count(c, bias=6), "no bias"),
        (lambda c: count(c, patch_size=(1, 2, 2)), "configs before were right"),
        (
            lambda c: count(c) - 2 * c.hidden_size * int(c.hidden_size * c.mlp_ratio) * c.depth,
            "compare",
        ),
        (lambda c: "many", "number"),
    ],
)
def test_check_count_parameters_names_the_fault(checks, capsys, wrong, fault):
    rejected(checks.check_count_parameters, wrong, fault, capsys)


def test_check_count_parameters_takes_the_right_one(checks):
    assert checks.check_count_parameters(count)


def moved(shift, tolerance=1e-3):
    def test(scores):
        q, k = torch.randn(2, 1, 2, 24, 16, generator=torch.Generator().manual_seed(0))
        places = positions_of((3, 2, 4))
        return torch.allclose(
            scores(q, k, places), scores(q, k, places + torch.tensor(shift)), atol=tolerance, rtol=0
        )

    return test


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (lambda scores: True, "compare"),
        (lambda scores: False, "turns away"),
        (moved([5.3, 0.0, 0.0]), "row"),
        (moved([2.3, 2.3, 2.3]), "another amount"),
        (moved([5.0, -3.0, 1.0]), "real numbers"),
        (moved([2.3, -1.7, 0.6], 0.0), "rounding"),
        (lambda scores: None, "nothing back"),
        (lambda scores: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_check_relative_names_the_fault(checks, capsys, wrong, fault):
    rejected(checks.check_relative, wrong, fault, capsys)


def test_check_relative_takes_the_right_one(checks):
    assert checks.check_relative(moved([2.3, -1.7, 0.6]))


def test_rotary_is_what_the_checker_calls_relative():
    q, k = torch.randn(2, 1, 2, 24, 16)

    def turned(q, k, p):
        return rotate(q, *rotary_angles(p, 16)) @ rotate(k, *rotary_angles(p, 16)).mT

    assert moved([2.3, -1.7, 0.6])(turned)


# ------------------------------------------------------------------------------------------ widget

PROMPT = "a red circle moving right"


@pytest.fixture
def clip():
    return render([sample_scene(3)])[0]


def test_maps_are_shares_and_the_model_is_left_as_it_was(model, clip):
    maps = attention_maps(model, clip, PROMPT, 0.5)
    config = model.dit.config
    assert maps.grid == (5, 4, 4) and maps.words == [*PROMPT.split(), "EOS"]
    assert (
        maps.self_maps.shape == (config.depth, config.num_heads, 80, 80)
        and maps.cross_maps.shape[-1] == 6
    )
    for m in (maps.self_maps, maps.cross_maps):
        assert torch.allclose(m.sum(-1), torch.ones(m.shape[:-1]), atol=1e-5)
    assert not any(module._forward_hooks for module in model.dit.modules())
    weights, words = attention_of(maps, 2, 1, 3, block=1, head=0)
    assert torch.equal(
        weights.flatten(), maps.self_maps[1, 0, 2 * 16 + 1 * 4 + 3]
    ) and words.shape == (6,)


def test_a_token_or_a_word_that_is_not_there(model, clip):
    for wrong, words in (
        ({"frame": 5}, "0 to 4"),
        ({"head": 7}, "0 to 1"),
        ({"block": -1}, "0 to 1"),
        ({"sigma": 1.5}, "between 0"),
    ):
        with pytest.raises(ValueError, match=words):
            render_attention(model, clip, PROMPT, **{"block": 0, **wrong})


def test_an_oblong_clip_and_an_image(model):
    for size in (
        {"num_frames": 9, "height": 24, "width": 40},
        {"num_frames": 1, "height": 32, "width": 16},
    ):
        answer = render_attention(
            model,
            render([sample_scene(3, motion="still", **size)], **size)[0],
            PROMPT,
            0,
            1,
            1,
            block=0,
        )
        assert answer.text.count("<img alt=") == (size["num_frames"] + 3) // 4


def test_explorer(model, clip):
    pytest.importorskip("ipywidgets")
    explorer = AttentionExplorer(model, clip, PROMPT)
    assert (
        "(frame 2, row 2, column 2)" in explorer.result.words
        and explorer.result.text.count("<img alt=") == 5
    )
    before, passes = explorer.result.text, len(explorer.cache)
    explorer.controls["column"].value = 0
    assert explorer.result.text != before and len(explorer.cache) == passes
    explorer.controls["sigma"].value = 0.9
    assert "σ = 0.90" in explorer.words.value and len(explorer.cache) == passes + 1
    explorer.controls["sigma"].value = 0.6
    assert len(explorer.cache) == passes + 1, "a forward pass that was made is not made again"
    explorer.controls["prompt"].value = "a purple circle"
    assert (
        "✗" in explorer.words.value
        and "purple" in explorer.words.value
        and "<img" in explorer.output.value
    )
    explorer.controls["prompt"].value = "a blue circle"
    assert "✗" not in explorer.words.value and "blue" in explorer.output.value
