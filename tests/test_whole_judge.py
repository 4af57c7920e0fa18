"""The judge of the whole world reads true clips rightly, and the `base` model is what it says."""

import random

import pytest
import torch

from minisora import MiniSora
from minisora.measure.accuracy import evaluate_text_to_video, families_of, headline
from minisora.measure.clips import clip_shape, test_prompts, test_scenes
from minisora.measure.judge import judge, read
from minisora.pipeline import SHIPPED
from minisora.world.captions import VOCABULARY, caption
from minisora.world.dataset import TEST_SEEDS, sample_scene
from minisora.world.families import FAMILIES
from minisora.world.parse import parse, spec_of
from minisora.world.render import render


def test_true_clips_are_read_rightly():
    """At most one of 26, because an anti-aliased pixel more or less can decide."""
    wrong = []
    for family in FAMILIES:
        for i in range(2):
            scene = sample_scene(TEST_SEEDS + 500 + i, family, height=64, width=64)
            video = render([scene], 17, 64, 64)[0]
            asked = (spec_of(scene), parse(caption(scene, random.Random(i))))
            if not all(judge(video, spec).all_and_outline for spec in asked):
                wrong.append(scene)
    assert len(wrong) <= 1, wrong


@pytest.mark.parametrize("family", FAMILIES)
def test_another_clip_of_the_family_is_not_as_asked(family):
    scenes = [sample_scene(TEST_SEEDS + 600 + i, family, height=64, width=64) for i in range(6)]
    videos = render(scenes, 17, 64, 64)
    for scene, other in zip(scenes, videos.roll(1, dims=0), strict=True):
        assert not judge(other, spec_of(scene)).all


def test_a_clip_that_runs_backwards_is_another_event():
    """A bite heals, a lamp goes out, an order is swapped, a line is taken back."""
    for family in ("bite", "lamp", "paint"):
        for i in range(4):
            scene = sample_scene(TEST_SEEDS + i, family, height=64, width=64)
            video = render([scene], 17, 64, 64)[0]
            assert not judge(video.flip(1), spec_of(scene)).all, (family, i)


def test_noise_is_nothing():
    video = torch.rand(3, 17, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert not judge(video, parse("a red circle moving left")).all
    assert isinstance(str(read(video)), str)


@pytest.fixture(scope="module")
def base() -> MiniSora:
    if not (SHIPPED / "base" / "model.json").is_file():
        pytest.fail("the shipped model data/checkpoints/base is missing")
    return MiniSora.load("base", "cpu")


def test_the_shipped_model_knows_this_world(base):
    assert base.preset.world == "whole"
    assert (base.preset.height, base.preset.width) == (64, 64)
    assert base.tokenizer.vocabulary == VOCABULARY, "the language has changed: train it again"


@pytest.mark.slow
def test_families_are_measured(base):
    counted = []
    table = evaluate_text_to_video(
        base,
        2,
        on_batch=counted.append,
        families=("solo", "lamp"),
        splits=("seen",),
        upsample=False,
        num_inference_steps=1,
    )
    assert sum(counted) == 4 and set(table) == {"solo", "lamp"}
    assert table["solo"]["seen"]["all"]["n"] == 2
    assert "lamp" in headline(table)
    scenes = scenes_of(base, "lamp", "held_out", 3)
    assert len(prompts_of(base, scenes)) == 3
