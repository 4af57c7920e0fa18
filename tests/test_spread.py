"""One prompt over many seeds: a world spreads as itself, and one answer does not."""

import pytest
import torch

from minisora.measure.spread import Traits, measure_spread, read_traits, spread_figures
from minisora.measure.tasks import TASKS
from minisora.world.dataset import sample_scene
from minisora.world.render import render


def traits(count, scale=1.0, motions=("left", "right"), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Traits(
        places=scale * torch.randn(count, 2, generator=generator),
        travels=scale * torch.rand(count, 1, generator=generator),
        sizes=scale * torch.rand(count, 1, generator=generator),
        motions=[motions[i % len(motions)] for i in range(count)],
    )


def test_two_draws_of_one_world_spread_alike():
    figures = spread_figures(traits(200), traits(200, seed=1))
    for name, figure in figures.items():
        assert figure["low"] <= 1.0 <= figure["high"], name


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_the_ratio_is_that_of_the_spreads(scale):
    figures = spread_figures(traits(300, scale), traits(300))
    for name in ("places", "travels", "sizes"):
        assert figures[name]["mean"] == pytest.approx(scale, rel=1e-4)


def test_one_motion_where_the_world_has_four_is_a_quarter():
    one = traits(100, motions=("left",))
    four = traits(100, motions=("left", "right", "up", "down"))
    assert spread_figures(one, four)["motions"]["mean"] == pytest.approx(0.25)


def test_traits_are_those_of_the_scenes():
    fixed = {"shape": "circle", "color": "red", "motion": "right"}
    scenes = [sample_scene(i, **fixed) for i in range(6)]
    found = read_traits(render(scenes), 8)
    assert found.motions == ["right"] * 6
    things = [scene.objects[0] for scene in scenes]
    assert torch.allclose(found.sizes[:, 0], torch.tensor([t.radius for t in things]), atol=0.02)
    assert torch.allclose(
        found.travels[:, 0], torch.tensor([2.0 * t.vx for t in things]), atol=0.03
    )
    empty = torch.full((1, 3, 17, 32, 32), -1.0)
    assert read_traits(torch.cat([render(scenes), empty]), 8).motions == ["right"] * 6
    assert spread_figures(read_traits(empty, 8), found)["places"] is None


@pytest.mark.slow
def test_a_model_is_measured(model):
    table = measure_spread(model, 4, 0, num_inference_steps=1)
    assert set(table) == {"generated", "ground truth"}
    assert "spread" in TASKS
