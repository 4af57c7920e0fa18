"""Every task is a choice of which tokens are clean: those stay, and the rest is generated."""

import warnings

import pytest
import torch
from PIL import Image

from minisora import tasks
from minisora.patchify import patchify
from minisora.world.dataset import sample_scene
from minisora.world.render import render

SHAPE = (1, 3, 17, 32, 32)


def seeded(n=0):
    return torch.Generator().manual_seed(n)


class Tokens:
    """A callback that keeps the tokens of every step."""

    def __init__(self):
        self.steps = []

    def __call__(self, step, sigma, tokens, x_0):
        self.steps.append(tokens)

    def kept(self) -> torch.Tensor:
        """(N,): whether a token stayed as it was through all steps."""
        steps = torch.stack(self.steps)
        return (steps == steps[:1]).all(-1).all(0)[0]


@pytest.fixture
def video():
    return torch.rand(SHAPE, generator=seeded(3)) * 2 - 1


# an untrained compressor gives nothing back, which is told
pytestmark = pytest.mark.filterwarnings("ignore:the compressor gives conditioning pixels back")


@pytest.fixture
def options():
    return {"num_inference_steps": 2, "generator": seeded()}


def test_an_image_is_a_clip_of_one_frame(model, options):
    images = tasks.text_to_image(model, ["a red circle", ""], height=24, width=40, **options)
    clip = model.generate(
        ["a red circle", ""],
        num_frames=1,
        height=24,
        width=40,
        num_inference_steps=2,
        generator=seeded(),
    )
    assert images.shape == (2, 3, 24, 40) and torch.equal(images, clip[:, :, 0])


def test_everything_anew_is_generate(model, video, options):
    anew = tasks.denoise_video(model, video, 1.0, "a red circle", **options)
    assert torch.allclose(
        anew, model.generate("a red circle", num_inference_steps=2, generator=seeded()), atol=1e-5
    )


@pytest.mark.parametrize("sigma", [0, 0.0, torch.zeros(5), torch.zeros(5, 8, 8)])
def test_nothing_anew_is_the_clip_as_it_came_in(model, video, options, sigma):
    assert torch.equal(tasks.denoise_video(model, video, sigma, "a red circle", **options), video)


def test_video_to_video_asks_the_network_only_below_its_strength(model, video):
    levels = []
    tasks.video_to_video(
        model,
        video,
        "a red circle",
        strength=0.5,
        num_inference_steps=20,
        generator=seeded(),
        callback=lambda step, sigma, tokens, x_0: levels.append(sigma),
    )
    assert levels[0] >= 0.5 > levels[1] and len(levels) < 10


def test_a_region_keeps_the_tokens_outside(model, video, options):
    tokens = Tokens()
    out = tasks.inpaint(
        model, video, "a red circle", region=(8, 16, 8, 8), callback=tokens, **options
    )
    asked = torch.zeros(5, 4, 4, dtype=torch.bool)
    asked[:, 1, 2] = True
    assert out.shape == SHAPE and torch.equal(~tokens.kept(), asked.flatten())
    clean = patchify(model.encode(video), (1, 2, 2))
    assert torch.allclose(
        tokens.steps[0][0, ~asked.flatten()], clean[0, ~asked.flatten()], atol=1e-5
    )


def test_inpaint_takes_a_mask_of_pixels(model, video, options):
    tokens, region = Tokens(), torch.zeros(17, 1, 1, dtype=torch.bool)
    region[6] = True  # one frame of latent frame 2
    tasks.inpaint(model, video, "a red circle", region=region, callback=tokens, **options)
    assert torch.equal(
        ~tokens.kept(),
        torch.zeros(5, 16, dtype=torch.bool).index_fill(0, torch.tensor(2), True).flatten(),
    )


@pytest.mark.parametrize("missing,frames", [([0], [0]), ([1], [1]), ([4, 5, 16], [1, 2, 4])])
def test_inpaint_makes_the_latent_frames_of_what_is_missing(model, video, options, missing, frames):
    tokens = Tokens()
    tasks.inpaint(model, video, frames=missing, callback=tokens, **options)
    assert torch.equal(
        ~tokens.kept(),
        torch.zeros(5, 16, dtype=torch.bool).index_fill(0, torch.tensor(frames), True).flatten(),
    )


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("frames,more", [(17, 8), (17, 21), (6, 3), (4, 9)])
def test_extend_adds_frames_and_keeps_the_rest(model, video, direction, frames, more, options):
    clip = video[0, :, :frames]
    longer = tasks.extend(model, clip, more, "a red circle", direction=direction, **options)
    assert longer.shape == (1, 3, frames + more, 32, 32)
    assert torch.equal(
        longer[0, :, :frames] if direction == "forward" else longer[0, :, more:], clip
    )


def test_extend_looks_at_the_end_that_it_starts_from(model, video, options):
    other = video.clone()
    other[:, :, :4] = 0  # far from the seam
    near = video.clone()
    near[:, :, -4:] = 0
    made = [
        tasks.extend(model, v, 8, num_inference_steps=2, generator=seeded())[:, :, 17:]
        for v in (video, other, near)
    ]
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])


def test_a_window_looks_back_on_little_only_where_the_sentence_changes(model, monkeypatch):
    conditioning = []
    denoise = model.denoise

    def spy(prompts, latents, sigma, **options):
        if (sigma == 0).any():
            conditioning.append(int((sigma[:, 0, 0] == 0).sum()))
        return denoise(prompts, latents, sigma, **options)

    monkeypatch.setattr(model, "denoise", spy)
    tasks.long_video(
        model,
        [(4, "a red circle"), (1, "a red circle"), (5, "a blue star")],
        progress=False,
        num_inference_steps=1,
    )
    assert conditioning == [4, 4, 2, 4], (
        "latent frames: the first of a window, and one or three more"
    )
    conditioning.clear()
    tasks.extend(model, torch.zeros(SHAPE), 40, direction="backward", num_inference_steps=1)
    assert conditioning == [3, 3]


def test_one_frame_can_be_extended(model, video, options):
    assert tasks.extend(model, video[:, :, :1], 4, "a red circle", **options).shape[2] == 5


def test_connect_and_loop_keep_both_ends(model, video, options):
    tokens, after = Tokens(), video.flip(2)
    joined = tasks.connect(
        model, video, after, "a red circle", num_frames=8, callback=tokens, **options
    )
    assert joined.shape[2] == 17 + 8 + 17
    assert torch.equal(joined[:, :, :17], video) and torch.equal(joined[:, :, -17:], after)
    assert tokens.kept().view(9, 16).all(1).tolist() == [True] * 4 + [False] * 2 + [True] * 3
    short = Tokens()
    assert (
        tasks.connect(
            model,
            video[:, :, :3],
            after[:, :, :5],
            num_frames=8,
            callback=short,
            num_inference_steps=2,
        ).shape[2]
        == 3 + 8 + 5
    )
    assert short.kept().view(4, 16).all(1).tolist() == [True, False, False, True], "what there is"
    loop = tasks.loop(model, video[0], num_frames=4, num_inference_steps=2, generator=seeded())
    assert loop.shape[2] == 21 and torch.equal(loop[:, :, :17], video)
    again = tasks.connect(
        model, video, video, num_frames=4, num_inference_steps=2, generator=seeded()
    )
    assert torch.equal(loop, again[:, :, :21])


def test_a_long_video_follows_its_script(model, options, monkeypatch):
    told = []
    denoise = model.denoise

    def spy(prompts, *arguments, **options):
        told.append(prompts[0])
        return denoise(prompts, *arguments, **options)

    monkeypatch.setattr(model, "denoise", spy)
    video = tasks.long_video(
        model, [(3.0, "a red circle"), (1.5, "a blue star")], progress=False, **options
    )
    assert video.shape == (1, 3, 37, 32, 32)
    assert told == ["a red circle"] * 2 + ["a blue star"], "generated, extended, extended"
    longer = tasks.long_video(
        model,
        "a red circle",
        seconds=3.0,
        progress=False,
        num_inference_steps=2,
        generator=seeded(),
    )
    assert torch.equal(longer, video[:, :, :25])
    assert (
        tasks.long_video(
            model, "a red circle", seconds=1.0, progress=False, num_inference_steps=1
        ).shape[2]
        == 9
    )
    several = tasks.long_video(
        model, [(3.0, ["a red circle", "a blue star"])], progress=False, num_inference_steps=1
    )
    assert several.shape == (2, 3, 25, 32, 32)


@pytest.mark.parametrize(
    "make,message",
    [
        (lambda m, v: tasks.long_video(m, []), "list of"),
        (lambda m, v: tasks.long_video(m, [(0, "a red circle")]), "seconds=0 is not a number"),
        (lambda m, v: tasks.long_video(m, [(5, "a red circle"), (5, "a purple circle")]), "purple"),
        (
            lambda m, v: tasks.inpaint(m, v, "a red circle", region=(40, 0, 8, 8)),
            "no pixel in a frame of 32×32",
        ),
        (lambda m, v: tasks.inpaint(m, v, frames=[17]), "frames 0 to 16"),
        (lambda m, v: tasks.video_to_video(m, v[:, :, :16], "a red circle"), "13 or 17"),
        (lambda m, v: tasks.video_to_video(m, v, "a red circle", strength=1.5), "from 0 to 1"),
        (lambda m, v: tasks.video_to_video(m, v * 200, "a red circle"), "scale them"),
        (lambda m, v: tasks.video_to_video(m, v[:, 0], "a red circle"), "should be"),
        (lambda m, v: tasks.video_to_video(m, v, ["a red circle", "a star"]), "do not pair up"),
        (lambda m, v: tasks.extend(m, v, 0), "too few"),
        (lambda m, v: tasks.extend(m, v, 8, direction="sideways"), "forward or backward"),
        (lambda m, v: tasks.extend(m, v[:, :, :3], 8, direction="backward"), "has 3"),
        (lambda m, v: tasks.connect(m, v, v, num_frames=6), "4 would be"),
        (lambda m, v: tasks.connect(m, v, v[:, :, :2]), "needs 4"),
        (lambda m, v: tasks.connect(m, v, v[..., :24]), "must agree"),
        (lambda m, v: tasks.loop(m, v, "a purple circle"), "purple"),
    ],
)
def test_mistakes_say_the_way_out(model, video, make, message):
    with pytest.raises(ValueError, match=message):
        make(model, video)


# ---------------------------------------- conditioning pixels

PIECES = {  # task → the clip that it makes of a video, and which of its pixels came in
    "animate": lambda m, v, **o: (tasks.animate(m, v[:, :, 0], "", **o)[:, :, :1], v[:, :, :1]),
    "forward": lambda m, v, **o: (tasks.extend(m, v, 5, **o)[:, :, :17], v),
    "backward": lambda m, v, **o: (tasks.extend(m, v, 5, direction="backward", **o)[:, :, 5:], v),
    "connect": lambda m, v, **o: (tasks.connect(m, v, v, **o)[:, :, 25:], v),
    "loop": lambda m, v, **o: (tasks.loop(m, v, **o)[:, :, :17], v),
    "frames": lambda m, v, **o: (
        tasks.inpaint(m, v, frames=[6, 7], **o)[:, :, [0, 1, 2, 3, 4, 5, 8, 9, 16]],
        v[:, :, [0, 1, 2, 3, 4, 5, 8, 9, 16]],
    ),
    "region": lambda m, v, **o: (
        tasks.inpaint(m, v, region=(0, 0, 9, 32), **o)[..., 9:, :],
        v[..., 9:, :],
    ),
    "one pixel": lambda m, v, **o: (
        tasks.inpaint(m, v, region=(5, 5, 1, 1), **o)[..., 6:],
        v[..., 6:],
    ),
    "levels": lambda m, v, **o: (
        tasks.denoise_video(m, v, torch.tensor([1.0, 0.0, 0.5, 1.0, 0.0]), **o)[:, :, 1:5],
        v[:, :, 1:5],
    ),
}


def as_pixels(video: torch.Tensor) -> torch.Tensor:
    return ((video + 1) * 127.5).round().to(torch.uint8)


@pytest.mark.parametrize("task", PIECES)
@pytest.mark.parametrize(
    "convert",
    [
        lambda video: video,
        lambda video: video.double(),
        as_pixels,
        lambda video: as_pixels(video).float() / 127.5 - 1,
    ],
    ids=["float32", "float64", "uint8", "converted"],
)
def test_conditioning_pixels_come_out_as_they_came_in(model, video, options, task, convert):
    came_in = convert(video)
    out, expected = PIECES[task](model, came_in, **options)
    if expected.dtype == torch.uint8:
        expected = expected.float() / 127.5 - 1
    assert torch.equal(out, expected.float())


def test_arrays_and_pil_images_are_the_tensors_that_they_hold(model, video, options):
    pixels = as_pixels(video)
    frames_last = pixels.permute(0, 2, 3, 4, 1).numpy()  # (B, T, H, W, 3)
    images = [Image.fromarray(frame) for frame in frames_last[0]]
    results = [
        tasks.extend(model, source, 4, num_inference_steps=2, generator=seeded())
        for source in (pixels, pixels[0], pixels.numpy(), frames_last, frames_last[0], images)
    ]
    assert all(torch.equal(results[0], other) for other in results[1:])
    pictures = (pixels[0, :, 0], frames_last[0, 0], images[0], [images[0]])
    animated = [
        tasks.animate(model, source, "", num_inference_steps=2, generator=seeded())
        for source in pictures
    ]
    assert all(torch.equal(animated[0], other) for other in animated[1:])


# ---------------------------------------- colours that the compressor does not know


def toy_clips(count: int) -> torch.Tensor:
    return render([sample_scene(1_000_000_000 + i, num_frames=17) for i in range(count)])


def everything(model, video):
    tasks.animate(model, video[:, :, 0], "")
    tasks.extend(model, video, 4)
    tasks.extend(model, video, 4, direction="backward")
    tasks.connect(model, video, video.flip(0))
    tasks.inpaint(model, video, frames=range(5, 9))
    tasks.inpaint(model, video, region=(0, 0, 16, 16))


def test_clips_of_the_toy_world_are_taken_without_a_warning(shipped):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        everything(shipped, toy_clips(4))


@pytest.mark.filterwarnings("default")
def test_colours_that_the_compressor_does_not_know_are_told_once_a_call(shipped):
    # every pixel of its own: nothing in the toy world looks like that
    generator = torch.Generator().manual_seed(0)
    video = 2 * torch.rand(toy_clips(2).shape, generator=generator) - 1
    with pytest.warns(UserWarning, match=r"back with \d+ dB") as told:
        everything(shipped, video)
    assert 6 <= len(told) <= 7, "connect has two clips to tell of"
    with pytest.warns(UserWarning, match=r"back with \d+ dB") as told:
        tasks.extend(shipped, video, 60)
    assert len(told) == 1
