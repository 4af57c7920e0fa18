import json
from contextlib import nullcontext

import pytest
import torch

from minisora import tasks
from minisora.checkpoints import CheckpointError
from minisora.pipeline import MiniSora
from minisora.world.captions import VOCABULARY
from minisora.world.parse import check_known, parse


def seeded(n=0):
    return torch.Generator().manual_seed(n)


def test_same_seed_same_clip(model):
    a, b, c = (
        model.generate("a red circle", num_inference_steps=2, generator=seeded(n))
        for n in (1, 1, 2)
    )
    assert a.shape == (1, 3, 17, 32, 32) and a.abs().max() <= 1
    assert torch.equal(a, b) and not torch.equal(a, c)


@pytest.mark.parametrize("shape", [(1, 32, 32), (9, 24, 40), (33, 40, 24)])
def test_any_size_that_the_grid_allows(model, shape):
    T, H, W = shape
    video = model.generate(
        ["a red circle", ""],
        num_frames=T,
        height=H,
        width=W,
        num_inference_steps=1,
        generator=seeded(),
    )
    assert video.shape == (2, 3, T, H, W)


def test_the_prompt_changes_the_clip(model):
    a, b = (
        model.generate(p, num_inference_steps=2, generator=seeded())
        for p in ("a red circle", "a blue star")
    )
    assert not torch.equal(a, b)


def test_no_words_are_not_guided_and_cost_half(model):
    rows = []
    handle = model.dit.register_forward_hook(lambda dit, inputs, out: rows.append(len(out)))
    plain = model.generate(["", ""], guidance_scale=1.0, num_inference_steps=2, generator=seeded())
    pushed = model.generate(["", ""], guidance_scale=3.0, num_inference_steps=2, generator=seeded())
    away = model.generate(
        ["", ""], negative_prompt="a red circle", num_inference_steps=2, generator=seeded()
    )
    mixed = model.generate(["", "a red circle"], num_inference_steps=2, generator=seeded())
    handle.remove()
    assert rows == [2, 2, 2, 2, 4, 4, 4, 4]
    assert torch.equal(plain, pushed) and not torch.equal(plain, away)
    assert torch.allclose(mixed[0], plain[0], atol=0.02) and not torch.allclose(
        mixed[1], plain[1], atol=0.02
    )


def test_animate_keeps_the_conditioning_tokens_and_pixels(model):
    image = torch.rand(3, 32, 32) * 2 - 1
    seen = []
    video = tasks.animate(
        model,
        image,
        "a red circle",
        num_inference_steps=3,
        generator=seeded(),
        callback=lambda i, s, tokens, x_0: seen.append(tokens),
    )
    conditioning = torch.stack([s[:, :16] for s in seen])
    assert (conditioning == conditioning[:1]).all()
    assert torch.equal(video[:, :, 0], image[None])


def test_levels_between_are_sdedit(model):
    """With a silent network every token stays where it started: more noise is further away."""
    torch.nn.init.zeros_(model.dit.final_layer.linear.weight)
    torch.nn.init.zeros_(model.dit.final_layer.linear.bias)
    latents = model.encode(torch.zeros(1, 3, 17, 32, 32))
    decoded = model.decode(latents)
    gaps = []
    for level in (0.0, 0.1, 1.0):
        sigma = torch.full((5, 8, 8), level)
        video = model.denoise([""], latents, sigma, num_inference_steps=4, generator=seeded())
        gaps.append(float((video - decoded).abs().mean()))
    assert gaps[0] < 0.02 and gaps[0] < gaps[1] < gaps[2]


def test_saved_and_loaded_is_the_same(model, tmp_path, monkeypatch):
    model.save(tmp_path / "m", {"why": "test"})
    again = MiniSora.load(tmp_path / "m", "cpu")
    monkeypatch.setattr(
        "minisora.pipeline.autocast", lambda *_: nullcontext()
    )  # bfloat16 rounds more than the files' 16 bits do
    a, b = (
        m.generate("a red circle", num_inference_steps=2, generator=seeded())
        for m in (model, again)
    )
    assert torch.allclose(a, b, atol=0.05)
    assert all(
        torch.equal(v.half().float(), w)
        for v, w in zip(model.state_dict().values(), again.state_dict().values(), strict=True)
    )
    assert again.preset == model.preset


def test_a_model_without_an_upsampler_takes_prompts_as_they_are(model, tmp_path):
    assert model.upsample("a red circle") == ["a red circle"], "silent before it is trained"
    model.upsampler.head.bias.data[1] = -1e4  # never the end
    (longer,) = model.upsample("a red circle", seeded())
    assert longer.startswith("a red circle, ") and model.upsample("a red circle", seeded()) == [
        longer
    ]
    model.save(tmp_path / "m")
    note = json.loads((tmp_path / "m" / "model.json").read_text())
    assert "upsampler" in note["sha256"]
    del note["preset"]["upsampler"]  # as in models that were made before there was one
    (tmp_path / "m" / "model.json").write_text(json.dumps(note))
    (tmp_path / "m" / "upsampler.safetensors").unlink()
    assert MiniSora.load(tmp_path / "m", "cpu").upsample(["a red circle", ""]) == [
        "a red circle",
        "",
    ]


def test_damaged_models_are_refused(model, tmp_path):
    folder = tmp_path / "m"
    model.save(folder)
    weights = (folder / "dit.safetensors").read_bytes()
    (folder / "dit.safetensors").write_bytes(weights[:-10])
    with pytest.raises(CheckpointError, match="damaged"):
        MiniSora.load(folder)
    (folder / "dit.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no checkpoint"):
        MiniSora.load(folder)
    (folder / "dit.safetensors").write_bytes((folder / "vae.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="not the file"):
        MiniSora.load(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot be read"):
        MiniSora.load(folder)
    (folder / "model.json").write_text(json.dumps({"preset": {"nonsense": 1}, "vocabulary": []}))
    with pytest.raises(CheckpointError, match="cannot be read"):
        MiniSora.load(folder)
    with pytest.raises(CheckpointError, match="there is no model 'huge'"):
        MiniSora.load("huge")


@pytest.mark.parametrize(
    "options,message",
    [
        ({"prompt": "a purple circle"}, "never met the word 'purple'"),
        ({"prompt": "a red circle", "num_frames": 16}, "13 or 17"),
        ({"prompt": "a red circle", "height": 30}, "24 or 32"),
        ({"prompt": "a red circle", "height": 36}, "rows"),
        ({"prompt": "a red circle", "num_inference_steps": 0}, "too few"),
        ({"prompt": "a red circle", "sampler": "magic"}, "euler, heun, ddim"),
    ],
)
def test_mistakes_say_the_way_out(model, options, message):
    with pytest.raises(ValueError, match=message):
        model.generate(**options)


def test_wrong_images_say_the_way_out(model):
    with pytest.raises(ValueError, match="should be"):
        tasks.animate(model, torch.zeros(32, 32), "a red circle")
    with pytest.raises(ValueError, match="scale them"):
        tasks.animate(model, torch.full((3, 32, 32), 255.0), "a red circle")
    with pytest.raises(ValueError, match="do not pair up"):
        tasks.animate(model, torch.zeros(2, 3, 32, 32), ["a red circle"])


def test_unknown_device_says_the_way_out(model, tmp_path):
    model.save(tmp_path / "m")
    with pytest.raises(ValueError, match="'auto' or 'cpu' always can"):
        MiniSora.load(tmp_path / "m", device="quantum")


@pytest.mark.parametrize("name,world,size", [("tiny", "tiny", 32), ("base", "whole", 64)])
def test_a_shipped_model_knows_its_world(name, world, size):
    model = MiniSora.load(name, "cpu")
    assert model.preset.world == world
    assert (model.preset.height, model.preset.width) == (size, size)
    own, all_words = set(model.tokenizer.vocabulary), set(VOCABULARY)
    falls = {"onto", "off", "lands", "landing"}  # which `base` never saw, and refuses
    game = {"coin", "coins", "door", "game", "key", "opening", "opens", "overall", "player"}
    game |= {"pushes", "pushing", "taking", "walking", "walks"}  # of the game, so, too
    known = (all_words, all_words - game, all_words - game - falls)
    assert own in known, "the language has changed: train it again"
    if own != all_words:
        with pytest.raises(ValueError, match="never saw"):
            check_known(parse("in the game, the player walks left"), world, own)
    if name == "base" and "onto" not in own:
        with pytest.raises(ValueError, match="trained before one object falls onto another"):
            check_known(parse("a red circle falls onto a blue square"), world, own)


@pytest.mark.parametrize("split,share", [("seen", 0.85), ("held_out", 0.8)])
def test_the_shipped_model_listens(shipped, split, share):
    """A small sample with a low bar; the figures with their intervals are in the model card."""
    from minisora.measure.accuracy import judge_clips, make_clips
    from minisora.measure.clips import test_prompts, test_scenes

    prompts = test_prompts(test_scenes("solo", split, 32))
    verdicts = judge_clips(make_clips(shipped), prompts)
    assert sum(v.all for v in verdicts) >= share * len(prompts)


def test_the_shipped_model_animates(shipped):
    from minisora.measure.tasks import measure_task

    table = measure_task(shipped, "animate", 24)
    assert table["generated"]["motion"]["value"] > 0.75


@pytest.mark.slow
def test_the_shipped_compressor_gives_back(shipped):
    from minisora.measure.accuracy import evaluate_compressor

    figures = evaluate_compressor(shipped, 32)["solo"]["held_out"]
    assert figures["psnr"]["mean"] > 30 and figures["psnr_worst_decile"] > 26
    assert figures["judge"]["all"]["value"] > 0.85


@torch.no_grad()
def test_a_long_clip_is_decoded_in_chunks_and_equals_the_whole(shipped, monkeypatch):
    monkeypatch.setattr(shipped, "dtype", torch.float32)
    latents = torch.randn(1, shipped.preset.vae.latent_channels, 50, 2, 2)
    whole = shipped.vae.decode(shipped.vae.denormalise(latents)).clamp(-1, 1)
    decode, lengths = shipped.vae.decode, []

    def counted(chunk):
        lengths.append(chunk.shape[2])
        return decode(chunk)

    monkeypatch.setattr(shipped.vae, "decode", counted)
    assert torch.allclose(shipped.decode(latents), whole, atol=1e-4)
    assert len(lengths) > 1 and max(lengths) < 30, "attention needs memory for every pair of cells"
