"""Notebook 12: its checkers tell right from wrong, and the failure gallery answers."""

import math

import pytest
import torch

from minisora import tasks
from minisora.measure.clips import change_word, generate_clips, noise, sentence
from minisora.measure.judge import read, verdict
from minisora.measure.stats import wilson_interval
from minisora.widgets.failures import (
    KINDS,
    FailureGallery,
    case_of,
    compare,
    draw_tracks,
    in_step,
    plot_fractions,
    prompt_of,
    render_failure,
)
from minisora.world.dataset import TEST_SEEDS, is_held_out, sample_scene
from minisora.world.parse import parse
from minisora.world.render import render
from tests.conftest import rejected, unwritten


def velocity_error(p, q, fps):
    return ((p - q).diff(dim=0) * fps).norm(dim=-1).nanmean()


def test_check_velocity_error(checks, capsys):
    assert checks.check_velocity_error(velocity_error)
    assert checks.check_velocity_error(lambda p, q, fps: float(velocity_error(p, q, fps)))

    def gap(p, q, fps):
        return (p - q).diff(dim=0) * fps

    for fault, wrong in {
        "still to be written": unwritten,
        "per second": lambda p, q, fps: gap(p, q, 1).norm(dim=-1).nanmean(),
        "divided by the frame rate": lambda p, q, fps: gap(p, q, 1 / fps).norm(dim=-1).nanmean(),
        "compares positions": lambda p, q, fps: (p - q).norm(dim=-1).nanmean(),
        "compares speeds": lambda p, q, fps: (
            (gap(p, 0 * q, fps).norm(dim=-1) - gap(q, 0 * p.nan_to_num(), fps).norm(dim=-1))
            .abs()
            .nanmean()
        ),
        "mean of the squares": lambda p, q, fps: gap(p, q, fps).square().sum(-1).nanmean(),
        "root of the mean square": lambda p, q, fps: (
            gap(p, q, fps).square().sum(-1).nanmean().sqrt()
        ),
        "over components": lambda p, q, fps: gap(p, q, fps).abs().nanmean(),
        "adds the components": lambda p, q, fps: gap(p, q, fps).abs().sum(-1).nanmean(),
        "cancel": lambda p, q, fps: gap(p, q, fps).nanmean(0).norm(),
        "sum over frames": lambda p, q, fps: gap(p, q, fps).norm(dim=-1).nansum(),
        "nanmean": lambda p, q, fps: gap(p, q, fps).norm(dim=-1).mean(),
        "without lost frames": lambda p, q, fps: gap(p.nan_to_num(), q, fps).norm(dim=-1).mean(),
        "one number": lambda p, q, fps: gap(p, q, fps).norm(dim=-1),
    }.items():
        rejected(checks.check_velocity_error, wrong, fault, capsys)


def test_check_preference_error(checks, capsys):
    assert checks.check_preference_error(lambda v, i: (v > i).double().mean())
    for fault, wrong in {
        "still to be written": unwritten,
        "preferred rightly": lambda v, i: (v < i).double().mean(),
        "in percent": lambda v, i: 100 * (v > i).double().mean(),
        "how many pairs": lambda v, i: int((v > i).sum()),
        "two means": lambda v, i: float(v.mean() > i.mean()),
        "every true clip with every implausible": lambda v, i: (
            (v[:, None] > i[None]).double().mean()
        ),
        "how large": lambda v, i: (v - i).mean(),
        "one number": lambda v, i: v > i,
        "raised TypeError": lambda v: 0.0,
    }.items():
        rejected(checks.check_preference_error, wrong, fault, capsys)


def interval(k, n, z=1.96):
    p = k / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def test_check_wilson(checks, capsys):
    assert checks.check_wilson(interval) and checks.check_wilson(
        lambda k, n: tuple(min(1, max(0, v)) for v in interval(k, n))
    )
    for k, n in ((8, 10), (0, 24)):
        assert interval(k, n) == pytest.approx(
            (wilson_interval(k, n)["low"], wilson_interval(k, n)["high"]), abs=1e-4
        )

    def wald(k, n, cut=False):
        p, half = k / n, 1.96 * math.sqrt(k / n * (1 - k / n) / n)
        return (max(0, p - half), min(1, p + half)) if cut else (p - half, p + half)

    for fault, wrong in {
        "still to be written": unwritten,
        "no width": wald,
        "cut at 0 and 1": lambda k, n: wald(k, n, True),
        "in percent": lambda k, n: tuple(100 * v for v in interval(k, n)),
        "swapped": lambda k, n: interval(k, n)[::-1],
        r"1 \+ z² / n is missing": lambda k, n: tuple(
            v * (1 + 1.96**2 / n) for v in interval(k, n)
        ),
        "two numbers": lambda k, n: k / n,
        "off by": lambda k, n: interval(k, n, 1.645),
    }.items():
        rejected(checks.check_wilson, wrong, fault, capsys)


SEED_OF = {noise(seed, 0).initial_seed(): seed for seed in (1, 2, 3, 4, 500)}


class Lucky:
    """Stands in for a model: draws what is asked where `luck(seed, number)` says so."""

    def __init__(self, luck):
        self.luck = luck
        scenes = [sample_scene(TEST_SEEDS + i, motion="thrown") for i in range(24)]
        self.clips = dict(
            zip(map(sentence, scenes), zip(range(24), render(scenes), strict=True), strict=True)
        )

    def generate(self, prompts, generator, **options):
        seed = SEED_OF[generator.initial_seed()]
        videos = []
        for number, video in (self.clips[prompt] for prompt in prompts):
            videos.append(video if self.luck(seed, number) else torch.full_like(video, -0.9))
        return torch.stack(videos)


def test_check_better(checks, capsys):
    model = Lucky(lambda seed, i: {500: i < 10, 1: True, 2: i < 13, 3: i < 6, 4: i % 2 == 0}[seed])

    def with_seed(s):
        return lambda m, prompts, seed: generate_clips(m, prompts, s)

    def check(better):
        return checks.check_better(model, better)

    assert (
        check(with_seed(1))
        and "10 of 24 plain, 24 of 24 yours; 14 mended, 0 broken" in capsys.readouterr().out
    )
    for fault, wrong in {
        "still to be written": unwritten,
        "plain clips: nothing": generate_clips,
        "a coin does as well": with_seed(2),
        "need 5 mended": with_seed(2),
        "worse.*judge rejects": with_seed(3),
        "7 mended, 5 broken": with_seed(4),
        "one video for each prompt": lambda m, prompts, seed: generate_clips(m, prompts, 1)[0],
        "not list": lambda m, prompts, seed: list(generate_clips(m, prompts, 1)),
        "other values": lambda m, prompts, seed: 255 * generate_clips(m, prompts, 1),
        "raised": lambda m, prompts, seed: tasks.animate(m, prompts),
    }.items():
        rejected(check, wrong, fault, capsys)
    assert not checks.check_better(
        Lucky(lambda seed, i: True), lambda m, prompts, seed: -generate_clips(m, prompts, seed)
    )
    assert "never wrong" in capsys.readouterr().out


def test_prompts_of_every_kind_can_be_read():
    for kind in KINDS:
        for number in (0, 1, 2, 19):
            request = parse(prompt_of(kind, number))
            assert len(request.objects) == (2 if "space" in kind or "collision" in kind else 1)
            if "left" in kind:
                assert request.relation in ("left of", "right of")
            assert all(
                is_held_out(o.shape, o.color) == ("held-out" in kind) for o in request.objects
            )
    scene = sample_scene(TEST_SEEDS, motion="bouncing")
    assert prompt_of(KINDS[6], 0) == sentence(scene) and prompt_of(KINDS[7], 0) == sentence(
        change_word(scene, "color")
    )
    with pytest.raises(ValueError, match="physics: thrown"):
        prompt_of("weather", 0)


def test_tracks_and_comparison_show_what_is_there():
    scene = sample_scene(3, motion="thrown")
    video = render([scene])[0]
    reading = read(video)
    rows = compare(parse(sentence(scene)), reading)
    assert {name for name, *_ in rows} == {
        "count",
        "shape",
        "color",
        "size",
        "motion",
        "background",
        "outline",
    } and all(right for *_, right in rows)
    wrong = compare(parse("a green star left of a blue square"), reading)
    assert not dict((name, right) for name, *_, right in wrong)["count"]
    picture = draw_tracks([video, video[:, :9]], [reading, read(video[:, :9])], ["a & b", "c"])
    assert picture.startswith("<img alt=") and "thrown" in picture and "a &amp; b" in picture
    empty = torch.full((3, 17, 32, 48), -0.9)
    assert "nothing" in draw_tracks([empty], [read(empty)])


def test_clips_in_step_share_their_frames():
    a, b = torch.rand(2, 3, 17, 24, 40)
    both = in_step(a, b)
    assert both.shape == (3, 17, 24, 82)
    assert torch.equal(both[..., :40], a) and torch.equal(both[..., 42:], b)
    assert torch.equal(in_step(a), a)


@pytest.mark.parametrize("kind", KINDS)
def test_the_truth_is_as_asked(kind):
    frames = int(kind.split()[1]) if kind.startswith("length") else 17
    for number in range(2):
        prompt, scene = case_of(kind, number)
        truth = render([scene], num_frames=frames)[0]
        assert verdict(read(truth), parse(prompt)).all, (kind, number, prompt)


def test_truth_and_generated_are_shown_with_their_tracks(model):
    prompt, scene = case_of("physics: thrown", 0)
    alone = render_failure(model, prompt, 0, num_inference_steps=2)
    beside = render_failure(model, prompt, 0, num_inference_steps=2, scene=scene)
    assert beside.words == alone.words, "what is judged is the generated clip"
    assert "ground truth | generated" in beside.text and "ground truth" not in alone.text
    assert "ground truth a " in beside.text, "the strips say what the judge read in each"
    width = (2 * 32 + 2) * 4
    assert f"width:{width}px" in beside.text


def test_plot_fractions_leaves_out_what_was_not_measured():
    shown = plot_fractions(
        {
            "truth": {"a": wilson_interval(9, 10), "b": None},
            "stored": None,
            "here": {"a": wilson_interval(1, 4), "b": wilson_interval(0, 4)},
        },
        "shares",
    )
    assert shown.words == "shares. truth: a 90; here: a 25, b 0" and "<img alt=" in shown.text
    assert (
        "nothing to measure"
        in plot_fractions({"stored": None, "here": {"a": None}}, "shares").words
    )


def test_the_gallery_answers_and_shows_errors(model):
    gallery = FailureGallery(model)
    first = gallery.result
    assert "thrown" in first.words and "<img alt=" in first.text and "✗ shape" in first.text
    gallery.controls["kind"].value = "physics: collision"
    assert gallery.result is first, "nothing happens before the press"
    gallery.controls["number"].value, gallery.controls["seed"].value = 3, 7
    gallery.press()
    assert (
        gallery.result is not first
        and "Seed 7" in gallery.words.value
        and "relation" in gallery.output.value
    )
    gallery.controls["kind"].value = "length: 9 frames"
    gallery.press()
    assert "of 9 frames" in gallery.output.value
    gallery.render = lambda **values: render_failure(model, "a purple circle", 0)
    gallery.press()
    assert "purple" in gallery.words.value and "✗" in gallery.words.value
