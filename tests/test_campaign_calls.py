"""Nasty arguments for every method and task: a result within bounds, or one readable sentence."""

import inspect
import random
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from minisora import tasks
from minisora.inputs import MAX_CELLS, MAX_PIXELS, MAX_STEPS

pytestmark = pytest.mark.filterwarnings("ignore:the compressor gives conditioning pixels back")
NAN, INF = float("nan"), float("inf")


def seeded(n: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(n)


def clip(frames: int = 9, **kind) -> torch.Tensor:
    return torch.zeros(1, 3, frames, 16, 16, **kind)


# ---------------------------------------- what is taken


def test_a_clip_is_the_same_alone_and_in_a_batch(model):
    prompts = ["a red circle", "a blue star", ""]
    options = {"num_inference_steps": 2, "negative_prompt": ["", "a red circle", "a blue star"]}
    batch = model.generate(prompts, generator=[seeded(n) for n in range(3)], **options)
    for n, prompt in enumerate(prompts):
        own = {**options, "negative_prompt": options["negative_prompt"][n]}
        (alone,) = model.generate(prompt, generator=seeded(n), **own)
        (listed,) = model.generate([prompt], generator=[seeded(n)], **own)
        assert torch.allclose(alone, batch[n], atol=2e-2 if model.dtype_name != "float32" else 1e-4)
        assert torch.equal(alone, listed)


def test_upsampling_leaves_the_noise_as_it_is(model, monkeypatch):
    model.upsampler.head.bias.data[1] = -1e4  # never the end, so that prompts become long
    starts = []
    for upsample in (False, True):
        options = {"num_inference_steps": 1, "callback": lambda i, s, x, x_0: starts.append(x)}
        model.generate("a red circle", upsample=upsample, generator=seeded(), **options)
        torch.manual_seed(0)
        model.generate("a red circle", upsample=upsample, **options)
        model.generate(["a red circle"], upsample=upsample, generator=[seeded(7)], **options)
    assert all(torch.equal(a, b) for a, b in zip(starts[:3], starts[3:], strict=True))


def test_a_prompt_is_upsampled_alike_alone_and_in_a_batch(model):
    torch.nn.init.normal_(model.upsampler.head.weight, std=2.0)
    prompts = ["a red circle", "a blue star", "a red circle"]
    batch = model.upsample(prompts, [seeded(n) for n in range(3)])
    assert batch == [model.upsample(p, seeded(n))[0] for n, p in enumerate(prompts)]


def test_only_clips_of_the_presets_size_are_upsampled(model, monkeypatch):
    asked = []
    monkeypatch.setattr(
        model, "upsample", lambda prompts, generator: asked.append(prompts) or prompts
    )
    for options in ({}, {"num_frames": 17}, {"num_frames": 9}, {"width": 40}, {"upsample": False}):
        model.generate("a red circle", num_inference_steps=1, **options)
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("call", "steps"),
    [
        (lambda m, **o: m.generate("a red circle", **o), 20),
        (lambda m, **o: m.generate("a red circle at x16 y18", **o), 4),
        (lambda m, **o: m.generate(["a red circle at x16 y18", ""], **o), 20),
        (lambda m, **o: m.generate("a red circle", num_inference_steps=3, **o), 3),
        (lambda m, **o: tasks.animate(m, clip()[:, :, 0], "a red circle", **o), 2),
        (lambda m, **o: tasks.extend(m, clip(), 4, "a red circle", **o), 2),
        (lambda m, **o: tasks.connect(m, clip(), clip(), **o), 2),
        (lambda m, **o: tasks.inpaint(m, clip(), frames=[3], **o), 2),
        (lambda m, **o: tasks.video_to_video(m, clip(), "a red circle", 1.0, **o), 20),
    ],
)
def test_steps_follow_what_the_condition_leaves_open(model, call, steps):
    taken = []
    call(model, callback=lambda step, *_: taken.append(step))
    assert len(taken) == steps


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
def test_all_floats_are_taken(model, kind):
    video = tasks.extend(model, clip(dtype=kind), 4, num_inference_steps=1)
    assert video.dtype == torch.float32 and video.shape[2] == 13


# ---------------------------------------- what is refused


@pytest.mark.parametrize("value", [NAN, INF, -INF, 1e9, "two", None, 1j, [2.0]])
def test_guidance_is_a_number_within_bounds(model, value):
    with pytest.raises(ValueError, match=r"guidance_scale=.* from -100 to 100"):
        model.generate("", guidance_scale=value)


@pytest.mark.parametrize("value", [NAN, INF, -1, 1.5, "half", None, torch.tensor([0.5, NAN])])
def test_strength_is_a_number_within_bounds(model, value):
    with pytest.raises(ValueError, match=r"strength=.* from 0 to 1"):
        tasks.video_to_video(model, clip(), "", value)


@pytest.mark.parametrize("sigma", [NAN, INF, -0.1, [0.0, NAN, 1.0], torch.full((3, 4, 4), NAN)])
def test_noise_levels_are_numbers_within_bounds(model, sigma):
    with pytest.raises(ValueError, match="noise levels go from 0"):
        tasks.denoise_video(model, clip(), sigma)


@pytest.mark.parametrize(
    "sigma", ["no", None, [0.0] * 4, torch.zeros(2, 2), torch.zeros(0), object()]
)
def test_noise_levels_of_another_shape_say_the_way_out(model, sigma):
    with pytest.raises(ValueError, match="one for each of 3 latent frames"):
        tasks.denoise_video(model, clip(), sigma)


@pytest.mark.parametrize("name", ["seconds", "fps"])
@pytest.mark.parametrize("value", [NAN, INF, -1, 0, 1e9, "long", None])
def test_long_videos_have_bounds(model, name, value):
    with pytest.raises(ValueError, match=r"is not a number|at most \d+ fit"):
        tasks.long_video(model, "a red circle", progress=False, **{name: value})


@pytest.mark.parametrize("value", [NAN, INF, -INF, 7.0])
@pytest.mark.parametrize(
    "call",
    [
        lambda m, v: tasks.animate(m, v[:, :, 0], ""),
        lambda m, v: tasks.extend(m, v, 4),
        lambda m, v: tasks.connect(m, v, clip()),
        lambda m, v: tasks.connect(m, clip(), v),
        lambda m, v: tasks.loop(m, v),
        lambda m, v: tasks.inpaint(m, v, frames=[0]),
        lambda m, v: tasks.video_to_video(m, v, ""),
    ],
)
def test_pixels_are_numbers_within_bounds(model, call, value):
    video = clip()
    video[0, 0, 0, 0, 0] = value
    with pytest.raises(ValueError, match=r"has values in .*; scale them to \[-1, 1\]"):
        call(model, video)


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.generate("", num_frames=1_000_001),
        lambda m: m.generate("", height=2**40),
        lambda m: m.generate("", width=2**20),
        lambda m: m.generate("", num_frames=4001),
        lambda m: m.generate([""] * 10**6),
        lambda m: m.generate("", num_inference_steps=999_999_999),
        lambda m: m.generate("", num_inference_steps=10**30),
        lambda m: tasks.animate(m, clip()[:, :, 0], "", num_frames=1_000_001),
        lambda m: tasks.extend(m, clip(), 10**12),
        lambda m: tasks.connect(m, clip(), clip(), num_frames=10**6),
        lambda m: tasks.long_video(m, "", seconds=1e7),
        lambda m: tasks.long_video(m, [(1e6, ""), (1e6, "")]),
        lambda m: tasks.text_to_image(m, "", height=8192, width=8192),
        lambda m: tasks.video_to_video(m, torch.zeros(1).expand(1, 3, 4001, 32, 32), ""),
    ],
)
def test_what_would_eat_memory_is_refused_before_it_does(model, call, monkeypatch):
    def no_work(*_, **__):
        raise AssertionError("memory was taken")

    monkeypatch.setattr("minisora.pipeline.draw_noise", no_work)
    for name in ("encode", "decode", "upsample"):
        monkeypatch.setattr(model, name, no_work)
    with pytest.raises(ValueError, match=r"at most \d+ fit|goes from 1 to \d+"):
        call(model)


def test_the_bounds_leave_room_for_what_is_wanted():
    assert MAX_STEPS == 1000
    assert MAX_CELLS >= 65 * 8 * 8, "257 frames of 32×32 at once"
    assert MAX_PIXELS >= 60 * 60 * 8 * 32 * 32, "an hour"


@pytest.mark.parametrize(
    "source",
    [
        clip().int(),
        clip().bool(),
        clip().to(torch.complex64),
        clip()[:0],
        clip()[:, :, :0],
        clip()[:, :2],
        clip()[0, 0],
        [],
        [clip(), clip(5)],
        ["clip.png"],
        "clip.png",
        None,
        3,
        np.zeros((9, 16, 16, 3), dtype=np.int64),
        np.zeros((9, 16, 16, 3), dtype=object),
        [Image.new("RGBA", (16, 16))] * 9,
        [Image.new("RGB", (16, 16)), Image.new("RGB", (24, 16))],
    ],
)
def test_what_is_no_clip_is_one_sentence(model, source):
    for call in (
        lambda: tasks.extend(model, source, 4),
        lambda: tasks.video_to_video(model, source, ""),
        lambda: tasks.inpaint(model, source, frames=[0]),
        lambda: tasks.loop(model, source),
    ):
        with pytest.raises(ValueError, match=r"^video ") as told:
            call()
        assert readable(told.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": []}, "empty list"),
        ({"prompt": None}, "a sentence or a list of sentences"),
        ({"prompt": ["", 3]}, "a sentence or a list of sentences"),
        ({"prompt": ["", ""], "negative_prompt": [""]}, "do not pair up"),
        ({"prompt": "", "negative_prompt": 3}, "a sentence or a list of sentences"),
        ({"prompt": ["", ""], "generator": [seeded()]}, "2 clips and 1 generators"),
        ({"prompt": "", "generator": 7}, r"torch\.Generator or a list"),
        ({"prompt": "", "num_inference_steps": 2.5}, "not a whole number"),
        ({"prompt": "", "num_frames": NAN}, "not a whole number"),
        ({"prompt": "", "height": "32"}, "not a whole number"),
        ({"prompt": "", "sampler": None}, "euler, heun, ddim"),
        ({"prompt": "", "sampler": []}, "euler, heun, ddim"),
    ],
)
def test_wrong_kinds_of_arguments_say_the_way_out(model, options, message):
    with pytest.raises(ValueError, match=message):
        model.generate(**options)


# ---------------------------------------- fuzz

VALUES = (
    None, True, 0, 1, -1, 4, 9, 17, 10**9, 10**30, 0.5, -0.0, NAN, INF, 1e-30, 1e300, "", "euler",
    "a red circle", "a purple circle", "x" * 10_000, "\x00", "forward", [], [""],
    ["a red circle", ""],
    [0], [3, 4], range(2), (0, 0, 8, 8), (0, 0, NAN, 8), {}, object(), b"", 1j,
    torch.zeros(3, 16, 16), clip(), clip(5), clip().to(torch.uint8), clip().half(), clip()[:0],
    clip() * NAN, torch.zeros(1), torch.ones(3), torch.zeros(9, 16, 16, dtype=torch.bool),
    np.zeros((16, 16, 3), dtype=np.uint8), np.zeros((9, 16, 16, 3), dtype=np.uint8),
    Image.new("RGB", (16, 16)), [(1, "a red circle")], [("x", "y")], seeded(), [seeded()],
)  # fmt: skip

GOOD = {  # arguments that work, of which a few at a time are replaced
    "generate": {"prompt": "a red circle", "num_frames": 1, "height": 16, "width": 16},
    "upsample": {"prompts": "a red circle"},
    "denoise": {
        "prompts": ["a red circle"],
        "latents": torch.zeros(1, 12, 1, 4, 4),
        "sigma": torch.ones(1, 4, 4),
    },
    "text_to_image": {"prompt": "a red circle", "height": 16, "width": 16},
    "animate": {"image": torch.zeros(3, 16, 16), "prompt": "a red circle", "num_frames": 5},
    "denoise_video": {"video": clip(), "sigma": 0.5, "prompt": "a red circle"},
    "video_to_video": {"video": clip(), "prompt": "a red circle", "strength": 0.5},
    "inpaint": {"video": clip(), "prompt": "a red circle", "frames": [2], "region": None},
    "extend": {"video": clip(), "num_frames": 4, "prompt": "", "direction": "forward"},
    "connect": {"before": clip(), "after": clip(), "prompt": "", "num_frames": 4},
    "loop": {"video": clip(), "prompt": "", "num_frames": 4},
    "long_video": {"script": "a red circle", "seconds": 1.0, "fps": 4.0, "height": 16, "width": 16},
}
OPTIONS = ("negative_prompt", "guidance_scale", "generator", "sampler", "num_inference_steps")


def readable(error: BaseException) -> bool:
    """One sentence that is not torch's or Python's own."""
    text = str(error)
    foreign = ("size of tensor", "Expected", "object has no", "must match", "NoneType", "dtype of")
    return (
        0 < len(text) < 600
        and len(text.splitlines()) == 1
        and not any(words in text for words in foreign)
    )


@pytest.mark.parametrize("name", GOOD)
def test_any_arguments_give_a_result_or_a_sentence(model, name, count):
    rng = random.Random(name)
    function = getattr(tasks, name, None) or getattr(model, name)
    takes_model = "model" in inspect.signature(function).parameters
    for _ in range(10 * count):
        arguments = {"num_inference_steps": 1, **GOOD[name]}
        if name == "long_video":
            arguments["progress"] = False
        if name == "upsample":
            del arguments["num_inference_steps"]
        names = [*GOOD[name], *(("generator",) if name == "upsample" else OPTIONS)]
        for chosen in rng.sample(names, rng.choice([1, 1, 2])):
            arguments[chosen] = rng.choice(VALUES)
        if isinstance(arguments.get("num_inference_steps"), int):
            arguments["num_inference_steps"] = min(arguments["num_inference_steps"], 4)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = function(*([model] if takes_model else []), **arguments)
        except ValueError as error:
            assert readable(error), (arguments, str(error))
            continue
        if name == "upsample":
            assert all(isinstance(sentence, str) for sentence in result)
        else:
            assert result.isfinite().all() and result.abs().max() <= 1.01, arguments
