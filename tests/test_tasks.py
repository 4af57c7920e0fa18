"""Every capability is a choice of which tokens are clean: those stay to the last bit, and what is asked for comes out."""

import pytest
import torch

from minisora import tasks
from minisora.patchify import patchify

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


def test_nothing_anew_is_the_compressor(model, video, options):
    assert torch.allclose(
        tasks.video_to_video(model, video, "a red circle", strength=0.0, **options),
        model.decode(model.encode(video)),
        atol=0.02,
    )


def test_restyle_asks_the_network_only_below_its_strength(model, video):
    levels = []
    note = lambda step, sigma, tokens, x_0: levels.append(sigma)
    tasks.video_to_video(
        model,
        video,
        "a red circle",
        strength=0.5,
        num_inference_steps=20,
        generator=seeded(),
        callback=note,
    )
    assert levels[0] >= 0.5 > levels[1] and len(levels) < 10


def test_edit_keeps_what_lies_outside(model, video, options):
    tokens = Tokens()
    out = tasks.inpaint(
        model, video, "a red circle", region=(8, 16, 8, 8), callback=tokens, **options
    )
    asked = torch.zeros(5, 4, 4, dtype=torch.bool)
    asked[:, 1, 2] = True
    assert out.shape == SHAPE and torch.equal(~tokens.kept(), asked.flatten())
    given = patchify(model.encode(video), (1, 2, 2))
    assert torch.allclose(
        tokens.steps[0][0, ~asked.flatten()], given[0, ~asked.flatten()], atol=1e-5
    )


def test_edit_takes_a_mask_of_pixels(model, video, options):
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
    given = []
    denoise_video = tasks.denoise_video
    monkeypatch.setattr(
        tasks,
        "denoise_video",
        lambda model, start, levels, *a, **k: (
            given.append(int((levels == 0).sum())) or denoise_video(model, start, levels, *a, **k)
        ),
    )
    tasks.long_video(
        model,
        [(4, "a red circle"), (1, "a red circle"), (5, "a blue star")],
        progress=False,
        num_inference_steps=1,
    )
    assert given == [4, 4, 2, 4], "latent frames: the first of a window, and one or three more"
    given.clear()
    tasks.extend(model, torch.zeros(SHAPE), 40, direction="backward", num_inference_steps=1)
    assert given == [3, 3]


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


def test_a_minute_follows_its_script(model, options):
    told = []
    tokenizer, model.tokenizer = (
        model.tokenizer,
        lambda prompts: told.append(prompts[0]) or tokenizer(prompts),
    )
    video = tasks.long_video(
        model, [(3.0, "a red circle"), (1.5, "a blue star")], progress=False, **options
    )
    assert video.shape == (1, 3, 37, 32, 32)
    assert told == ["a red circle"] * 3 + ["a blue star"], (
        "checked, made, extended; then with the second sentence"
    )
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
        (lambda m, v: tasks.long_video(m, [(0, "a red circle")]), "above 0"),
        (lambda m, v: tasks.long_video(m, [(5, "a red circle"), (5, "a purple circle")]), "purple"),
        (
            lambda m, v: tasks.inpaint(m, v, "a red circle", region=(40, 0, 8, 8)),
            "no pixel in a frame of 32×32",
        ),
        (lambda m, v: tasks.inpaint(m, v, frames=[17]), "frames 0 to 16"),
        (lambda m, v: tasks.video_to_video(m, v[:, :, :16], "a red circle"), "13 or 17"),
        (lambda m, v: tasks.video_to_video(m, v, "a red circle", strength=1.5), "from 0 .* to 1"),
        (lambda m, v: tasks.video_to_video(m, v * 200, "a red circle"), "scale them"),
        (lambda m, v: tasks.video_to_video(m, v[:, 0], "a red circle"), "should be"),
        (lambda m, v: tasks.video_to_video(m, v, ["a red circle", "a star"]), "do not pair up"),
        (lambda m, v: tasks.extend(m, v, 0), "less than 1"),
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
