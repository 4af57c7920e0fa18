"""Campaigns on files and on the command line: a result or one sentence, whatever comes in.

`pytest tests/test_campaign_files.py --count 1000` is a long one.
"""

import contextlib
import os
import random
import signal
import sys
import time

import pytest
import torch
from PIL import Image

from minisora.cli.main import app, main
from minisora.show.clip import Clip
from minisora.show.media import MediaError, as_image, as_video, encode, metadata_of
from minisora.world.dataset import sample_scene
from minisora.world.render import render

ENDINGS = ("png", "gif", "webp", "jpg", "mp4", "mkv", "avi")


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """A good file of every kind that can be written here."""
    pytest.importorskip("av", reason="av is not installed")
    clip = Clip(render([sample_scene(3, motion="circling")])[0])
    return {
        ending: encode(clip.frames, f".{ending}", 8.0, 2, {"prompt": "a red circle"})
        for ending in ("png", "gif", "webp", "mp4")
    }


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Bytes that were a file once."""
    data = bytearray(data)
    match rng.randrange(6):
        case 0:  # anything
            return rng.randbytes(rng.randrange(200))
        case 1:  # cut short
            return bytes(data[: rng.randrange(len(data))])
        case 2:  # some bytes changed
            for _ in range(rng.choice((1, 5, 50))):
                data[rng.randrange(len(data))] = rng.randrange(256)
        case 3:  # sizes and times changed, which lie near the beginning
            for _ in range(4):
                data[rng.randrange(min(len(data), 64))] = rng.choice((0, 1, 127, 255))
        case 4:  # a piece missing
            begin = rng.randrange(len(data))
            del data[begin : begin + rng.randrange(1, 100)]
        case 5:  # a piece twice
            begin = rng.randrange(len(data))
            data[begin:begin] = data[begin : begin + rng.randrange(1, 1000)]
    return bytes(data)


def read_or_sentence(path, rng: random.Random) -> torch.Tensor | None:
    """The clip in a file, or None where it was refused as it should be."""
    try:
        size = rng.choice(((None, None), (32, 32), (8, 40)))
        video = as_video(path, *size, fps=rng.choice((0.5, 8, 30)))
        image = as_image(path, *size)
    except ValueError as error:
        assert "\n" not in str(error) and str(path) in str(error) and len(str(error)) < 500
        return None
    assert video.ndim == 4 and video.shape[0] == 3 and video.shape[1] >= 1
    assert video.isfinite().all() and video.abs().max() <= 1
    assert image.shape[1:] == video.shape[2:]
    return video


def test_damaged_files_are_read_or_refused(files, tmp_path, count, recwarn):
    for seed in range(8 * count):
        rng = random.Random(seed)
        data = damaged(files[rng.choice(sorted(files))], rng)
        path = tmp_path / f"{seed}.{rng.choice(ENDINGS)}"
        path.write_bytes(data)
        read_or_sentence(path, rng)
        assert isinstance(metadata_of(path), dict), seed
        path.unlink()
    assert not recwarn.list, "a warning is a second line"


def test_renamed_files_are_read_or_refused(files, tmp_path):
    rng = random.Random(0)
    for kind, data in files.items():
        for ending in ENDINGS:
            path = tmp_path / f"a.{ending}"
            path.write_bytes(data)
            video = read_or_sentence(path, rng)
            pictures = kind != "mp4" and ending in ("png", "gif", "webp", "jpg")
            assert (video is not None) == (pictures or kind == ending), (kind, ending)


def test_a_clip_that_was_cut_short_is_never_taken_for_a_whole_one(files, tmp_path, count):
    for seed in range(4 * count):
        rng = random.Random(seed)
        for ending, data in files.items():
            path = tmp_path / f"a.{ending}"
            path.write_bytes(data[: rng.randrange(len(data))])
            with contextlib.suppress(MediaError):
                assert as_video(path).shape[1] == 17, (seed, ending)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_kill_leaves_the_old_clip_or_the_new_one(tmp_path, count):
    path = tmp_path / "clip.png"
    clips = [Clip(torch.rand(3, 9, 16, 16) * 2 - 1) for _ in range(2)]
    clips[0].save(path)
    for seed in range(2 * count):
        child = os.fork()
        if not child:
            while True:
                for clip in clips:
                    clip.save(path, force=True)
        time.sleep(random.Random(seed).uniform(0.01, 0.1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found = ((as_video(path) + 1) * 127.5).round().byte().permute(1, 2, 3, 0).numpy()
        assert any((found == clip.frames).all() for clip in clips), seed


# ------------------------------------------------------------------------------- the command line

WORDS = (
    "a red circle",
    "",
    "a purple circle",
    "💥",
    "at x16 y16",
    "x" * 5000,
    "a\nred\tcircle",
    "-",
)
NUMBERS = (
    "0",
    "1",
    "-1",
    "4",
    "17",
    "nan",
    "inf",
    "-inf",
    "1e9",
    "1e-9",
    "999999999999",
    "",
    "x",
    "½",
)
PATHS = (
    "clip.png",
    "large.png",
    "text.gif",
    "none.png",
    ".",
    "",
    "folder",
    "clip.png/x",
    "a\nb.png",
)
OUTS = (
    "out.png",
    "out.gif",
    "out.webp",
    "clip.png",
    "folder",
    "text.gif/x.png",
    "out.avi",
    "",
    "y" * 300,
)


def random_command(rng: random.Random) -> list[str]:
    """A command with some options right and some wrong."""
    commands = {
        "generate": [WORDS],
        "image": [WORDS],
        "animate": [PATHS, WORDS],
        "extend": [PATHS, WORDS],
        "connect": [PATHS, PATHS, WORDS],
        "loop": [PATHS, WORDS],
        "inpaint": [PATHS, WORDS],
        "video-to-video": [PATHS, WORDS],
        "long-video": [WORDS],
    }
    options = {
        "--out": OUTS,
        "--seed": NUMBERS,
        "--num-inference-steps": ("1", *NUMBERS),
        "--guidance-scale": NUMBERS,
        "--negative-prompt": WORDS,
        "--height": ("16", "32", *NUMBERS),
        "--width": ("16", "32", *NUMBERS),
        "--num-frames": ("5", "9", *NUMBERS),
        "--fps": ("8", *NUMBERS),
        "--scale": ("1", "8", *NUMBERS),
        "--strength": NUMBERS,
        "--seconds": ("2", *NUMBERS),
        "--frames": ("1-3", "3", "5-2", "-", *NUMBERS),
        "--direction": ("forward", "backward", "up"),
        "--device": ("cpu", "quantum"),
        "--bogus": NUMBERS,
    }
    command = rng.choice(sorted(commands))
    # half of the arguments are right, so that some commands get past the first of them
    words = [rng.choice((kind[0], rng.choice(kind))) for kind in commands[command]]
    for name in rng.sample(sorted(options), rng.randrange(4)):
        words += [name, rng.choice((options[name][0], rng.choice(options[name])))]
    if command == "inpaint" and rng.random() < 0.5:
        words += ["--region", *(rng.choice(("0", "8", *NUMBERS)) for _ in range(4))]
    if "--num-inference-steps" not in words:
        words += ["--num-inference-steps", "1"]
    return [command, *words]


def test_any_command_ends_in_a_clip_or_in_one_line(model, tmp_path, monkeypatch, capsys, count):
    monkeypatch.setattr("minisora.pipeline.MiniSora.load", lambda *_: model)
    ended = set()
    for seed in range(6 * count):
        folder = tmp_path / str(seed)
        (folder / "folder").mkdir(parents=True)
        monkeypatch.chdir(folder)
        Clip(render([sample_scene(1)])[0, :, :9]).save("clip.png")
        Image.new("RGB", (640, 480)).save("large.png")
        (folder / "text.gif").write_text("hello")
        before = {path: path.read_bytes() for path in folder.glob("*.*")}
        command = random_command(random.Random(seed))
        monkeypatch.setattr(sys, "argv", ["minisora", *command])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        new = set(folder.rglob("*")) - set(before) - {folder / "folder"}
        ended.add(stop.value.code)
        if stop.value.code:
            assert stop.value.code == 2 and said.err.startswith("error: "), (command, said.err)
            assert said.err.count("\n") == 1 and not new, (command, said.err)
        else:
            assert len(new) == 1 and "the judge saw" in said.out, (command, said)
        assert all(path.read_bytes() == data for path, data in before.items()), command
    assert ended == {0, 2}


def test_every_clip_command_is_in_the_campaign():
    seen = {random_command(random.Random(seed))[0] for seed in range(300)}
    others = {"play", "train", "evaluate", "limits", "benchmark", "lab"}
    assert seen == {info.name for info in app.registered_commands} - others
