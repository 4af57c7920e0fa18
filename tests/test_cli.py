import json
import subprocess
import sys
from dataclasses import replace

import pytest
from PIL import Image

from minisora.cli.main import main


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


def test_generate_says_seconds_seed_and_what_was_seen(small, tmp_path, monkeypatch, capsys):
    out = tmp_path / "clip.png"
    assert (
        run(
            monkeypatch,
            "generate",
            "a red circle",
            "--model",
            small,
            "--out",
            out,
            "--seed",
            3,
            "--num-inference-steps",
            1,
        )
        == 0
    )
    said = capsys.readouterr().out
    assert "17 frames in" in said and "seed 3" in said and "the judge saw" in said
    with Image.open(out) as image:
        assert image.n_frames == 17 and image.size == (32, 32)


def test_generate_says_what_the_prompt_became(model, tmp_path, monkeypatch, capsys):
    model.upsampler.head.bias.data[1] = -1e4  # never the end
    model.save(tmp_path / "model")
    options = (
        "--model",
        tmp_path / "model",
        "--out",
        tmp_path / "clip.png",
        "--seed",
        3,
        "--num-inference-steps",
        1,
        "--force",
    )
    said = []
    for more in ([], [], ["--no-upsample"], ["--width", 40]):
        assert run(monkeypatch, "generate", "a red circle", *options, *more) == 0
        said.append(
            [
                line
                for line in capsys.readouterr().out.splitlines()
                if line.startswith("the prompt became: a red circle, ")
            ]
        )
    assert said[0] and said[0] == said[1] and not said[2] and not said[3]


def test_the_same_seed_writes_the_same_file(small, tmp_path, monkeypatch):
    a, b = tmp_path / "a.png", tmp_path / "b.png"
    for out in (a, b):
        run(
            monkeypatch,
            "generate",
            "a red circle",
            "--model",
            small,
            "--out",
            out,
            "--seed",
            3,
            "--num-inference-steps",
            1,
        )
    assert a.read_bytes() == b.read_bytes()


def test_nothing_is_overwritten_without_force(small, tmp_path, monkeypatch, capsys):
    out = tmp_path / "clip.gif"
    out.write_text("mine")
    words = (
        "generate",
        "a red circle",
        "--model",
        small,
        "--out",
        out,
        "--num-inference-steps",
        1,
    )
    assert run(monkeypatch, *words) == 2
    assert out.read_text() == "mine" and "--force" in capsys.readouterr().err
    assert run(monkeypatch, *words, "--force") == 0
    assert out.read_bytes()[:3] == b"GIF"


@pytest.mark.parametrize(
    "words,message",
    [
        (("a purple circle",), "never met the word 'purple'"),
        (("a red circle", "--num-frames", "16"), "13 or 17"),
        (("a red circle", "--out", "clip.avi"), "does not end in"),
        (("a red circle", "--device", "quantum"), "always can"),
        (("a red circle", "--model", "huge"), "no model 'huge'"),
    ],
)
def test_mistakes_are_one_line_and_exit_two(small, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    options = () if "--model" in words else ("--model", small)
    assert run(monkeypatch, "generate", *words, *options, "--num-inference-steps", "1") == 2
    said = capsys.readouterr().err
    assert message in said and "Traceback" not in said and said.count("\n") == 1


def test_a_wrong_ending_is_found_before_the_work(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("minisora.pipeline.MiniSora.load", lambda *_: pytest.fail("began"))
    assert (
        run(monkeypatch, "minute", "a red circle", "--out", tmp_path / "clip.mov") == 2
        and "does not end in" in capsys.readouterr().err
    )


def test_animate_takes_a_picture_file(small, tmp_path, monkeypatch, capsys):
    Image.new("RGB", (100, 60), "navy").save(tmp_path / "photo.png")
    out = tmp_path / "clip.webp"
    words = (
        "animate",
        tmp_path / "photo.png",
        "a red circle",
        "--model",
        small,
        "--out",
        out,
        "--num-inference-steps",
        1,
    )
    assert run(monkeypatch, *words) == 0 and out.is_file()
    assert (
        run(
            monkeypatch,
            "animate",
            tmp_path / "none.png",
            "a red circle",
            "--model",
            small,
            "--out",
            tmp_path / "x.png",
        )
        == 2
    )
    (tmp_path / "text.png").write_text("hello")
    assert (
        run(
            monkeypatch,
            "animate",
            tmp_path / "text.png",
            "a red circle",
            "--model",
            small,
            "--out",
            tmp_path / "x.png",
        )
        == 2
    )
    assert "cannot be read as an image" in capsys.readouterr().err


def test_clips_become_clips(small, tmp_path, monkeypatch, capsys):
    options = ("--model", small, "--seed", 1, "--num-inference-steps", 1)
    clip = tmp_path / "clip.png"
    run(monkeypatch, "generate", "a red circle", "--num-frames", 9, "--out", clip, *options)
    for words, frames in (
        (("extend", clip, "a red circle", "--num-frames", 4), 13),
        (("extend", clip, "a red circle", "--direction", "backward"), 17),
        (("connect", clip, clip, "a red circle"), 26),
        (("loop", clip, "", "--num-frames", 4), 13),
        (("edit", clip, "a red circle", "--region", 0, 0, 16, 16), 9),
        (("restyle", clip, "a blue star", "--strength", 0.5), 9),
        (("inpaint", clip, "a red circle", "--missing", "3-6"), 9),
        (("minute", "a red circle", "a blue star", "--seconds", 3), 25),
        (("image", "a red circle"), 1),
    ):
        out = tmp_path / f"{words[0]}_{frames}.png"
        assert run(monkeypatch, *words, "--out", out, *options) == 0, capsys.readouterr().err
        with Image.open(out) as image:
            assert getattr(image, "n_frames", 1) == frames, words
    capsys.readouterr()
    Image.new("RGB", (640, 480)).save(tmp_path / "large.png")
    (tmp_path / "text.gif").write_text("hello")
    short = tmp_path / "image_1.png"
    for words, message in (
        (("edit", clip, "a red circle", "--region", 50, 0, 8, 8), "no pixel"),
        (("extend", clip, "a red circle", "--direction", "up"), "backward"),
        (("restyle", tmp_path / "large.png", "a red circle"), "--height 32"),
        (("loop", tmp_path / "none.gif", ""), "no file"),
        (("inpaint", clip, "a red circle", "--missing", "some"), "5-12"),
        (("inpaint", clip, "a red circle", "--missing", "9"), "frames 0 to 8"),
        (("image", "a red circle", "--height", 30), "24 or 32"),
        (("restyle", clip, "a red circle", "--width", 20), "16 or 24"),
        (("extend", short, "a red circle", "--direction", "backward"), "has 1"),
        (("connect", clip, short, "a red circle"), "needs 4"),
        (("minute", "a red circle", "a purple circle"), "purple"),
        (("edit", tmp_path / "text.gif", "", "--region", 0, 0, 8, 8), "cannot be read"),
    ):
        assert run(monkeypatch, *words, "--out", tmp_path / "x.png", *options) == 2, words
        assert message in capsys.readouterr().err, words
    assert not (tmp_path / "x.png").exists()
    before = clip.read_bytes()
    assert run(monkeypatch, "loop", clip, "a red circle", "--out", clip, *options) == 2
    assert "--force" in capsys.readouterr().err and clip.read_bytes() == before


def test_train_refuses_an_old_run_and_an_unknown_preset(tmp_path, monkeypatch, capsys, preset):
    from minisora import config

    monkeypatch.setitem(config.PRESETS, "small", replace(preset))
    monkeypatch.setattr("minisora.train.recipe.EVALUATION_PROMPTS", 1)
    out = tmp_path / "run"
    assert run(monkeypatch, "train", "--preset", "small", "--out", out, "--device", "cpu") == 0
    assert (out / "model" / "model.json").is_file() and (out / "curve.json").is_file()
    assert run(monkeypatch, "train", "--preset", "small", "--out", out) == 2
    assert run(monkeypatch, "train", "--preset", "giant", "--out", out) == 2
    said = capsys.readouterr().err
    assert "--resume" in said and "tiny" in said


def test_help_of_every_command():
    for command in ("generate", "animate", "edit", "train", "evaluate", "benchmark", "lab"):
        done = subprocess.run(
            [sys.executable, "-m", "minisora.cli", command, "--help"],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0 and len(done.stdout) > 200
