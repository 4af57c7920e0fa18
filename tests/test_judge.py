"""The judge on the truth, and on lies. MINISORA_JUDGE_CLIPS sets how many clips; `python -m data.experiments.judge_report` does all of them."""

import os

import pytest
import torch

from data.experiments.judge_report import ATTRIBUTES, planted, truth
from minisora.measure.judge import judge, read, verdict
from minisora.world.captions import ObjectSpec, PromptSpec, parse

CLIPS = int(os.environ.get("MINISORA_JUDGE_CLIPS", 512))


def test_reads_the_truth():
    rights, total = truth(CLIPS)
    for name in ATTRIBUTES:
        assert rights[name] >= 0.995 * rights[f"asked {name}"], (name, rights)
    assert rights["all"] >= 0.99 * total


def test_catches_planted_lies():
    caught, total = planted(CLIPS // 2)
    for kind, n in total.items():
        assert caught[kind] >= 0.97 * n, (kind, caught[kind], n)
    assert sum(caught.values()) >= 0.99 * sum(total.values())


def test_nothing_is_read_from_noise_or_an_empty_stage():
    noise = torch.rand(3, 17, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    request = parse("a red circle moving left")
    assert not judge(noise, request).all
    empty = read(torch.full((3, 17, 32, 32), -1.0))
    assert empty.objects == () and not verdict(empty, request).all
    assert not verdict(empty, parse("")).all, "nothing was asked, so nothing is right"


def test_a_single_image_is_read():
    from minisora.world.dataset import sample_scene
    from minisora.world.render import render

    scene = sample_scene(3, num_frames=1, motion="still")
    reading = read(render([scene], 1)[0])
    assert [o.color for o in reading.objects] == [scene.objects[0].color]


def test_wrong_shape_is_refused():
    with pytest.raises(ValueError, match="3, T, H, W"):
        read(torch.zeros(1, 3, 17, 32, 32))


def test_an_extra_object_counts_against():
    from minisora.world.dataset import sample_scene
    from minisora.world.render import render

    scene = sample_scene(5, "pair")
    first = scene.objects[0]
    request = PromptSpec((ObjectSpec(first.shape, first.color),))
    seen = judge(render([scene])[0], request).attributes
    assert not seen["count"]
