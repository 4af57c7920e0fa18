"""Polishing a shipped model: more marks, latents that its transformer denoised, a mixture."""

import pytest
import torch
import torch.nn as nn

from data.experiments.polish import MARKS, MARKS_TIMES, denoised_again, go_towards, worlds_of
from minisora.pipeline import MiniSora
from minisora.train.data import WorldClips, world_of
from minisora.world.dataset import ADDED_LATER, WORLDS


@pytest.fixture(scope="module")
def base():
    return MiniSora.load("base", "cpu")


def test_marks_come_more_often_and_what_the_words_lack_does_not_come(base):
    sizes = worlds_of(base, 200)
    assert sum(fraction for *_, fraction in sizes) == pytest.approx(1)
    world, count, _ = sizes[0]
    assert count == 200 and not set(ADDED_LATER) & set(world.families)
    for family, weight in world.families.items():
        times = MARKS_TIMES if family in MARKS else 1
        assert weight == times * WORLDS["whole"][family]
    for other, _, _ in sizes[1:]:
        assert set(other.families) <= set(world.families)
    for i in range(20):
        base.tokenizer(world.captions(world.scene(i), 6))  # knows all words


def test_latents_that_are_denoised_again_are_near_the_true_ones():
    model = MiniSora.load("tiny", "cpu")
    world = world_of(model.preset)
    (found,) = denoised_again(model, world, 4)
    videos, _ = WorldClips(world, 2)(0, 4)
    true = model.encode(videos)
    assert found.shape == true.shape and found.dtype == torch.float16
    error = (found.float() - true).square().mean()
    assert 0 < error < 0.2  # of a variance of 1


def test_a_mixture_lies_between():
    a, b = nn.Linear(2, 2), nn.Linear(2, 2)
    half = [(x + y) / 2 for x, y in zip(a.parameters(), b.parameters(), strict=True)]
    go_towards(a, b, 0.5)
    for own, middle in zip(a.parameters(), half, strict=True):
        assert torch.allclose(own, middle)
