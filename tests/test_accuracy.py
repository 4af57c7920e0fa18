import pytest
import torch

from minisora.measure.accuracy import make_clips, summarise
from minisora.measure.clips import test_prompts, test_scenes
from minisora.measure.judge import Verdict
from minisora.measure.stats import wilson
from minisora.world.captions import agrees, parse

test_prompts.__test__ = test_scenes.__test__ = False


def test_wilsons_interval_is_the_textbook_one():
    assert wilson(8, 10) == {
        "value": 0.8,
        "low": pytest.approx(0.4902, abs=1e-3),
        "high": pytest.approx(0.9433, abs=1e-3),
        "n": 10,
    }
    assert wilson(0, 5)["low"] == 0 and wilson(5, 5)["high"] == 1
    with pytest.raises(ValueError, match="nothing"):
        wilson(0, 0)


def test_all_counts_only_what_is_wholly_right():
    table = summarise(
        [
            Verdict({"shape": True, "color": True}),
            Verdict({"shape": True, "color": False}),
            Verdict({"shape": False}),
        ]
    )
    assert table["all"]["value"] == pytest.approx(1 / 3, abs=1e-3)
    assert table["shape"]["n"] == 3 and table["color"]["n"] == 2


def test_an_empty_verdict_or_a_wrong_one_can_lose():
    assert not Verdict({"shape": False}).all


def test_clips_of_a_seed_start_from_the_same_noise_expanded_or_not(model):
    options = {"num_inference_steps": 1, "seed": 3}
    first = lambda **more: make_clips(model, **options, **more)(
        ["a red circle", "a blue star falling"], 1
    )
    assert torch.equal(first(), first(upsample=False)), (
        "the upsampler is silent before it is trained"
    )
    model.upsampler.head.bias.data[1] = -1e4  # never the end
    seen, walk = [], model.denoise
    model.denoise = lambda prompts, *a, generator, **o: (
        seen.append((prompts, torch.rand(1, generator=generator)))
        or walk(prompts, *a, generator=generator, **o)
    )
    first(), first(upsample=False)
    assert seen[0][1] == seen[1][1] and seen[0][0] != seen[1][0] == [
        "a red circle",
        "a blue star falling",
    ]


def test_prompts_belong_to_their_scenes():
    scenes = test_scenes("pair", "held_out", 20)
    assert all(agrees(parse(p), s) for p, s in zip(test_prompts(scenes), scenes, strict=True))
