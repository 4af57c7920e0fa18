"""Prompts, noise and summaries of an evaluation; the command says first what matters."""

import json
from dataclasses import replace

import pytest
import torch

from minisora.measure.accuracy import (
    evaluate_compressor,
    evaluate_text_to_video,
    families_of,
    judge_clips,
    make_clips,
    summarise,
)
from minisora.measure.clips import clip_shape, noise
from minisora.measure.clips import test_prompts as prompts_of
from minisora.measure.clips import test_scenes as scenes_of
from minisora.measure.judge import Verdict
from minisora.pipeline import MiniSora
from minisora.text import Tokenizer
from minisora.world.captions import VOCABULARY
from minisora.world.dataset import sample_scene
from minisora.world.families import FAMILIES
from minisora.world.parse import agrees, parse
from minisora.world.render import render


def other_shape(preset) -> MiniSora:
    """A model whose clips are longer, not square, and at another rate."""
    torch.manual_seed(0)
    preset = replace(preset, num_frames=21, height=24, width=40, fps=12)
    return MiniSora(preset, VOCABULARY).eval()


class Painter:
    """A stand-in for a model: it paints the true clips of its test scenes, in its own shape."""

    def __init__(self, preset, families, count):
        self.preset = preset
        self.tokenizer = Tokenizer(VOCABULARY)
        shape = clip_shape(self)
        scenes = [s for family in families for s in scenes_of(family, "seen", count, **shape)]
        self.scenes = dict(zip(prompts_of(scenes, **shape), scenes, strict=True))

    def generate(self, prompts, **options):
        assert isinstance(options["generator"], torch.Generator)
        return render([self.scenes[p] for p in prompts], **clip_shape(self))


def test_all_counts_only_what_is_wholly_right():
    table = summarise(
        [
            Verdict({"shape": True, "color": True, "outline": False}),
            Verdict({"shape": True, "color": False, "outline": True}),
            Verdict({"shape": False, "outline": True}),
        ]
    )
    assert table["all"]["value"] == pytest.approx(1 / 3, abs=1e-3)
    assert table["shape"]["n"] == 3 and table["color"]["n"] == 2
    assert table["outline"]["value"] == pytest.approx(2 / 3, abs=1e-3)
    assert table["all and outline"]["value"] == 0, (
        "outlines are reported beside, and with, the rest"
    )
    assert summarise([]) == {"all": None}


def test_clips_of_a_seed_start_from_the_same_noise_upsampled_or_not(model):
    seen = []
    walk = model.denoise

    def denoise(prompts, *latents, generator, **options):
        seen.append((list(prompts), generator.get_state()))
        return walk(prompts, *latents, generator=generator, **options)

    model.denoise = denoise
    model.upsampler.head.bias.data[1] = -1e4  # never the end
    prompts = ["a red circle", "a blue star falling"]
    for upsample in (True, False):
        make_clips(model, 3, upsample, num_inference_steps=1)(prompts, 1)
    assert torch.equal(seen[0][1], seen[1][1])
    assert seen[0][0] != seen[1][0] == prompts


def test_two_seeds_share_no_noise():
    draws = {
        (seed, index): torch.randn(4, generator=noise(seed, index))
        for seed in (0, 1, 2, 2**40)
        for index in range(20)
    }
    first = {tuple(d.tolist()) for d in draws.values()}
    assert len(first) == len(draws)
    again = torch.randn(4, generator=noise(1, 3))
    assert torch.equal(draws[1, 3], again)


def test_prompts_belong_to_their_scenes():
    """What is slow in a short clip may be fast in a long one."""
    for shape in ({}, {"num_frames": 49}, {"num_frames": 9}):
        scenes = scenes_of("pair", "held_out", 20, **shape)
        prompts = prompts_of(scenes, **shape)
        duration = (shape.get("num_frames", 17) - 1) / 8
        assert all(agrees(parse(p), s, duration) for p, s in zip(prompts, scenes, strict=True))


def test_true_clips_are_as_asked_in_every_shape_and_rate(preset):
    preset = replace(preset, num_frames=21, height=24, width=40, fps=12)
    painter = Painter(preset, ["solo"], 24)
    assert clip_shape(painter) == {"num_frames": 21, "height": 24, "width": 40, "fps": 12}
    table = evaluate_text_to_video(painter, 24, families=["solo"], splits=["seen"])
    assert table["solo"]["seen"]["all"]["value"] > 0.9
    assert sum(f["n"] for f in table["motions"].values()) == 24


def test_all_families_of_a_models_world_are_measured(preset):
    painter = Painter(replace(preset, world="whole", height=64, width=64), FAMILIES, 2)
    counted = []
    table = evaluate_text_to_video(painter, 2, on_batch=counted.append, splits=["seen"])
    assert set(table) == {*FAMILIES, "motions"} and sum(counted) == 2 * len(FAMILIES)
    right = sum(table[family]["seen"]["all"]["value"] for family in FAMILIES)
    assert right >= len(FAMILIES) - 0.5, "one clip may be misread"


def test_what_came_into_the_world_after_a_model_is_not_asked_of_it(preset):
    painter = Painter(replace(preset, world="whole"), [], 0)
    assert families_of(painter) == list(FAMILIES)
    for word, family in (("onto", "fall"), ("player", "game")):
        painter.tokenizer = Tokenizer([known for known in VOCABULARY if known != word])
        assert set(FAMILIES) - set(families_of(painter)) == {family}


def test_the_compressor_is_measured_in_the_models_own_shape(preset):
    model = other_shape(preset)
    sizes = []
    encode = model.encode
    model.encode = lambda video: sizes.append(tuple(video.shape[2:])) or encode(video)
    table = evaluate_compressor(model, 2)
    assert set(sizes) == {(21, 24, 40)}
    assert table["pair"]["held_out"]["psnr"]["n"] == 2


def test_clips_are_judged_at_their_own_rate(model):
    """A circle at 12 frames a second, read at 8, goes round at two thirds of its speed."""
    shape = {**clip_shape(model), "fps": 12, "num_frames": 25}
    scenes = [sample_scene(3, motion=motion, **shape) for motion in ("circling", "falling")]
    videos = render(scenes, **shape)
    asked = [f"a {s.objects[0].shape} {s.objects[0].motion}" for s in scenes]

    def motions_right(fps):
        verdicts = judge_clips(lambda chunk, index: videos, asked, fps=fps)
        return [v.attributes["motion"] for v in verdicts]

    assert motions_right(12) == [True, True]
    assert not all(motions_right(8))


def test_the_command_begins_with_a_headline(model, tmp_path, run_command):
    model.save(tmp_path / "model")
    out = tmp_path / "tiny.json"
    words = ["evaluate", "--prompts", 1, "--model", tmp_path / "model", "--device", "cpu"]
    said = run_command(*words, "--num-inference-steps", 1, "--json", out)
    lines = [line for line in said.splitlines() if line.strip()]
    assert len(lines) < 10, "the other figures go into the file, or come with --verbose"
    for word in ("solo", "pair", "collision", "outline", "compressor"):
        assert any(word in line for line in lines), word
    table = json.loads(out.read_text())
    assert table["settings"]["num_inference_steps"] == 1
    assert table["settings"]["dtype"] in ("float32", "bfloat16")
    assert set(table) == {"solo", "pair", "collision", "motions", "compressor", "settings"}


@pytest.mark.slow
def test_the_command_compares_steps(model, tmp_path, run_command):
    model.save(tmp_path / "model")
    out = tmp_path / "steps.json"
    words = ["--prompts", 1, "--model", tmp_path / "model", "--device", "cpu", "--json", out]
    said = run_command("evaluate", "--steps", 1, 2, *words)
    table = json.loads(out.read_text())
    assert set(table["text to video"]["typed"]["pair"]) == {"1", "2"}
    assert set(table["extend forward"]["generated"]) == {"1", "2"}
    assert "baseline" in table["connect"] and "inpaint" in said
    with pytest.raises(SystemExit):
        run_command("evaluate", "--steps", *words)
