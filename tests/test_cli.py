"""The command line: what it says, what it writes, and one line for every mistake."""

import os
import sys
from dataclasses import replace

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from minisora.cli.main import app, main
from minisora.pipeline import MiniSora
from minisora.show.media import as_video, metadata_of
from minisora.world.captions import VOCABULARY
from minisora.world.rewordings import REWORDINGS


@pytest.fixture
def small(model, tmp_path):
    """A folder with a small untrained model."""
    model.save(tmp_path / "model")
    return str(tmp_path / "model")


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["minisora", *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        main()
    return stop.value.code or 0


def test_generate_says_seconds_seed_steps_and_what_was_seen(small, tmp_path, monkeypatch, capsys):
    out = tmp_path / "clip.png"
    words = ("generate", "a red circle", "--model", small, "--out", out, "--seed", 3)
    assert run(monkeypatch, *words, "--num-inference-steps", 2) == 0
    said = capsys.readouterr().out
    assert "17 frames in" in said and "seed 3, 2 steps" in said and "the judge saw" in said
    with Image.open(out) as image:
        assert image.n_frames == 17 and image.size == (256, 256)
    assert as_video(out).shape == (3, 17, 32, 32)
    metadata = metadata_of(out)
    assert metadata["prompt"] == "a red circle" and metadata["seed"] == 3
    assert metadata["model"] == small and metadata["num_inference_steps"] == 2


def test_steps_are_chosen_by_what_is_left_open(small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    clip = tmp_path / "given.png"
    options = ("--model", small, "--seed", 1)
    for words, steps in (
        (("generate", "a red circle", "--no-upsample", "--out", clip), "20 steps"),
        (("generate", "a red circle at x16 y16", "--no-upsample"), "4 steps"),
        (("animate", clip, "a red circle"), "2 steps"),
        (("extend", clip, "a red circle", "--num-frames", 4), "2 steps"),
        (("loop", clip, "a red circle"), "2 steps"),
        (("inpaint", clip, "a red circle", "--frames", "5-12"), "2 steps"),
        (("inpaint", clip, "a red circle", "--region", 0, 0, 16, 16), "4 steps"),
        (("inpaint", clip, "a red circle", "--region", 0, 0, 32, 32), "20 steps"),
        (("image", "a red circle"), "20 steps"),
    ):
        assert run(monkeypatch, *words, *options) == 0, capsys.readouterr().err
        assert steps in capsys.readouterr().out, words


def test_generate_says_what_the_prompt_became(model, tmp_path, monkeypatch, capsys):
    model.upsampler.head.bias.data[1] = -1e4  # never the end
    model.save(tmp_path / "model")
    out = tmp_path / "clip.png"
    options = ("--model", tmp_path / "model", "--out", out, "--seed", 3, "--force")
    said = []
    for more in ([], [], ["--no-upsample"], ["--width", 40]):
        words = ("generate", "a red circle", *options, "--num-inference-steps", 1, *more)
        assert run(monkeypatch, *words) == 0
        lines = capsys.readouterr().out.splitlines()
        became = [line for line in lines if line.startswith("the prompt became: a red circle, ")]
        said.append(became)
        upsampled = metadata_of(out).get("upsampled_prompt")
        assert became == ([f"the prompt became: {upsampled}"] if upsampled else [])
    assert said[0] and said[0] == said[1] and not said[2] and not said[3]


def test_the_command_line_and_python_make_the_same_clip(small, tmp_path, monkeypatch):
    from minisora.pipeline import MiniSora

    out = tmp_path / "clip.png"
    run(monkeypatch, "generate", "a red circle", "--model", small, "--out", out, "--seed", 3)
    noise = torch.Generator().manual_seed(3)
    model = MiniSora.load(small)  # where the command runs, and in the same precision
    video = model.generate("a red circle", generator=noise)[0].cpu()
    assert (as_video(out) - video).abs().max() <= 1 / 255 + 1e-6


@pytest.fixture
def whole(preset, tmp_path):
    """A folder with a small untrained model of the whole world."""
    model = MiniSora(replace(preset, world="whole"), VOCABULARY, REWORDINGS)
    model.save(tmp_path / "whole")
    return str(tmp_path / "whole")


def test_what_people_say_is_read_in_the_words_of_the_world(whole, tmp_path, monkeypatch, capsys):
    out = tmp_path / "clip.png"
    words = ("--model", whole, "--out", out, "--num-inference-steps", 1, "--no-upsample")
    assert run(monkeypatch, "generate", "2 disks travel to the left", *words) == 0
    assert "read as: two circles moving left" in capsys.readouterr().out
    assert run(monkeypatch, "generate", "two circles moving left", *words, "--force") == 0
    assert "read as" not in capsys.readouterr().out


@pytest.mark.parametrize("command", ["image", "generate", "extend"])
def test_what_cannot_be_shown_is_refused_before_anything_is_made(
    command, whole, tmp_path, monkeypatch, capsys
):
    clip = [tmp_path / "none.png"] if command == "extend" else []
    words = (command, *clip, "a red cat", "--model", whole, "--out", tmp_path / "clip.png")
    assert run(monkeypatch, *words) != 0
    assert "the world has no 'cat'" in capsys.readouterr().err
    assert not (tmp_path / "clip.png").exists()


def test_the_same_seed_writes_the_same_file(small, tmp_path, monkeypatch):
    a, b, c = (tmp_path / name for name in ("a.png", "b.png", "c.png"))
    for out, seed in ((a, 3), (b, 3), (c, 2**32 - 1)):
        words = ("generate", "a red circle", "--model", small, "--out", out, "--seed", seed)
        assert run(monkeypatch, *words, "--num-inference-steps", 1) == 0
    assert a.read_bytes() == b.read_bytes() != c.read_bytes()


def test_without_out_files_are_numbered(small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ("image", "a red circle", "--model", small, "--num-inference-steps", 1)
    for name in ("clip.png", "clip-1.png", "clip-2.png"):
        assert run(monkeypatch, *words) == 0
        assert capsys.readouterr().out.startswith(f"{name}: 1 frame")
        assert (tmp_path / name).is_file()
    before = (tmp_path / "clip.png").read_bytes()
    assert run(monkeypatch, *words, "--seed", 1, "--force") == 0
    assert (tmp_path / "clip.png").read_bytes() != before
    assert len(list(tmp_path.glob("clip*"))) == 3


def test_nothing_is_overwritten_without_force(small, tmp_path, monkeypatch, capsys):
    out = tmp_path / "clip.gif"
    out.write_text("mine")
    words = ("generate", "a red circle", "--model", small, "--out", out)
    words = (*words, "--num-inference-steps", 1)
    assert run(monkeypatch, *words) == 2
    assert out.read_text() == "mine" and "--force" in capsys.readouterr().err
    assert run(monkeypatch, *words, "--force") == 0
    assert out.read_bytes()[:3] == b"GIF"


@pytest.mark.parametrize(
    "words,message",
    [
        (("a purple circle",), "never met the word 'purple'"),
        (("a red circle", "--num-frames", "16"), "13 or 17"),
        (("a red circle", "--device", "quantum"), "always can"),
        (("a red circle", "--model", "huge"), "no model 'huge'"),
        (("a red circle", "--seed", "-1"), "0 to 4294967295"),
        (("a red circle", "--seed", str(2**32)), "0 to 4294967295"),
        (("a red circle", "--seed", "one"), "'--seed'"),
        (("a red circle", "--guidance-scale", "nan"), "guidance_scale=nan"),
        (("a red circle", "--num-inference-steps", "999999999"), "1 to 1000"),
        (("a red circle", "--num-inference-steps", "0"), "1 to 1000"),
        (("a red circle", "--num-frames", "1000001"), "too"),
        (("a red circle", "--look", "1"), "--look"),
        ((), "prompt"),
    ],
)
def test_mistakes_are_one_line_and_exit_two(small, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    options = () if "--model" in words else ("--model", small)
    assert run(monkeypatch, "generate", *words, *options) == 2
    said = capsys.readouterr().err
    assert message in said or message in said.lower()
    assert "Traceback" not in said and said.count("\n") == 1
    assert not list(tmp_path.glob("clip*"))


@pytest.mark.parametrize(
    "words,message",
    [
        (("--out", "clip.mov"), "does not end in"),
        (("--out", "file/clip.png"), "no folder"),
        (("--out", "link.png"), "exists"),
        (("--out", "link.png", "--force"), "is a link to"),
        (("--out", "folder.png"), "exists"),
        (("--out", "folder.png", "--force"), "is a folder"),
        (("--out", "clip.gif", "--fps", "60"), "too slowly"),
        (("--fps", "nan"), "fps"),
        (("--scale", "0"), "1 to 32"),
        (("--seed", "5000000000"), "4294967295"),
    ],
)
def test_a_file_that_cannot_be_is_found_before_the_work(
    tmp_path, monkeypatch, capsys, words, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.png").mkdir()
    if "link.png" in words:
        if os.name == "nt":
            pytest.skip("links need rights on Windows")
        (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    monkeypatch.setattr("minisora.pipeline.MiniSora.load", lambda *_: pytest.fail("began"))
    assert run(monkeypatch, "long-video", "a red circle", *words) == 2
    assert message in capsys.readouterr().err


def test_a_full_disk_and_ctrl_c_are_one_line(small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ("image", "a red circle", "--model", small, "--num-inference-steps", 1)

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert run(patch, *words) == 2
    said = capsys.readouterr().err
    assert "No space left" in said and said.count("\n") == 1

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("minisora.tasks.text_to_image", interrupted)
    assert run(monkeypatch, *words) == 130
    assert not list(tmp_path.glob("*.png")) and not list(tmp_path.glob(".*"))


def test_animate_takes_an_image_file(small, tmp_path, monkeypatch, capsys):
    Image.new("RGB", (100, 60), "navy").save(tmp_path / "photo.png")
    out = tmp_path / "clip.webp"
    options = ("--model", small, "--num-inference-steps", 1)
    words = ("animate", tmp_path / "photo.png", "a red circle", "--out", out)
    assert run(monkeypatch, *words, *options) == 0 and out.is_file()
    (tmp_path / "text.png").write_text("hello")
    for name, message in (("none.png", "no file"), ("text.png", "cannot be read as an image")):
        words = ("animate", tmp_path / name, "a red circle", "--out", tmp_path / "x.png")
        assert run(monkeypatch, *words, *options) == 2
        assert message in capsys.readouterr().err


def test_clips_become_clips(small, tmp_path, monkeypatch, capsys):
    options = ("--model", small, "--seed", 1, "--num-inference-steps", 1)
    clip = tmp_path / "clip.png"
    run(monkeypatch, "generate", "a red circle", "--num-frames", 9, "--out", clip, *options)
    given = as_video(clip)
    for words, frames in (
        (("extend", clip, "a red circle", "--num-frames", 4), 13),
        (("extend", clip, "a red circle", "--direction", "backward"), 17),
        (("connect", clip, clip, "a red circle"), 26),
        (("loop", clip, "", "--num-frames", 4), 13),
        (("inpaint", clip, "a red circle", "--region", 0, 0, 16, 16), 9),
        (("inpaint", clip, "a red circle", "--frames", "3-6"), 9),
        (("inpaint", clip, "a red circle", "--frames", 8, "--region", 0, 0, 16, 16), 9),
        (("video-to-video", clip, "a blue star", "--strength", 0.5), 9),
        (("long-video", "a red circle", "a blue star", "--seconds", 3), 25),
        (("image", "a red circle"), 1),
    ):
        out = tmp_path / f"{words[0]}_{frames}.png"
        assert run(monkeypatch, *words, "--out", out, "--force", *options) == 0, words
        video = as_video(out)
        assert video.shape == (3, frames, 32, 32), words
        if words[0] == "extend":
            kept = video[:, :9] if frames == 13 else video[:, -9:]
            assert torch.equal(kept, given)


def test_mistakes_about_clips_are_one_line(small, tmp_path, monkeypatch, capsys):
    options = ("--model", small, "--seed", 1, "--num-inference-steps", 1)
    clip = tmp_path / "clip.png"
    short = tmp_path / "short.png"
    run(monkeypatch, "generate", "a red circle", "--num-frames", 9, "--out", clip, *options)
    run(monkeypatch, "image", "a red circle", "--out", short, *options)
    capsys.readouterr()
    Image.new("RGB", (640, 480)).save(tmp_path / "large.png")
    (tmp_path / "text.gif").write_text("hello")
    for words, message in (
        (("inpaint", clip, "a red circle", "--region", 50, 0, 8, 8), "no pixel"),
        (("inpaint", clip, "a red circle"), "--frames 5-12"),
        (("inpaint", clip, "a red circle", "--frames", "some"), "5-12"),
        (("inpaint", clip, "a red circle", "--frames", "9"), "frames 0 to 8"),
        (("inpaint", clip, "a red circle", "--frames", "6-3"), "at least one"),
        (("extend", clip, "a red circle", "--direction", "up"), "backward"),
        (("video-to-video", tmp_path / "large.png", "a red circle"), "--height 32"),
        (("loop", tmp_path / "none.gif", ""), "no file"),
        (("image", "a red circle", "--height", 30), "24 or 32"),
        (("video-to-video", clip, "a red circle", "--width", 20), "16 or 24"),
        (("extend", short, "a red circle", "--direction", "backward"), "has 1"),
        (("connect", clip, short, "a red circle"), "needs 4"),
        (("long-video", "a red circle", "a purple circle"), "purple"),
        (("inpaint", tmp_path / "text.gif", "", "--region", 0, 0, 8, 8), "cannot be read"),
    ):
        assert run(monkeypatch, *words, "--out", tmp_path / "x.png", *options) == 2, words
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1, words
    assert not (tmp_path / "x.png").exists()
    before = clip.read_bytes()
    assert run(monkeypatch, "loop", clip, "a red circle", "--out", clip, *options) == 2
    assert "--force" in capsys.readouterr().err and clip.read_bytes() == before


def test_help_of_every_command():
    commands = [info.name for info in app.registered_commands]
    assert {"generate", "video-to-video", "long-video", "train", "evaluate", "lab"} <= set(commands)
    for command in commands:
        done = CliRunner().invoke(app, [command, "--help"])
        assert done.exit_code == 0 and len(done.output) > 200, command


def test_no_words_at_all_are_a_question_for_help(monkeypatch, capsys):
    assert run(monkeypatch) == 0 and "generate" in capsys.readouterr().out
    assert run(monkeypatch, "fly") == 2 and capsys.readouterr().err.count("\n") == 1
