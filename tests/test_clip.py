"""Clips show themselves in the right colours, and are saved whole or not at all."""

import base64
import io
import os
import re

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from minisora.show.clip import (
    Clip,
    gallery,
    image_html,
    save_strips,
    text_strip,
    to_frames,
)
from minisora.show.media import as_video, few_colors
from minisora.world.dataset import sample_scene
from minisora.world.render import render


@pytest.fixture
def clip():
    """A clip in which no frame is like the one before it."""
    return Clip(render([sample_scene(3, motion="circling")])[0], "an object circling")


def noisy(std: float = 0.05) -> Clip:
    """A clip with thousands of colours, as a model's clips have them."""
    video = render([sample_scene(5)])[0]
    noise = torch.randn(video.shape, generator=torch.Generator().manual_seed(0))
    return Clip((video + std * noise).clamp(-1, 1))


def frames_of(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.stack(
            [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]
        )


def test_frames_are_what_they_were(batch):
    frames = to_frames(batch.videos[0])
    assert frames.shape == (17, 32, 32, 3) and frames.dtype.name == "uint8"
    assert abs(frames / 127.5 - 1 - batch.videos[0].permute(1, 2, 3, 0).numpy()).max() < 0.005


def test_a_clip_that_has_no_numbers_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        Clip(torch.full((3, 1, 8, 8), float("nan")))
    with pytest.raises(ValueError, match="take one"):
        Clip(torch.zeros(1, 3, 17, 32, 32))


# ---------------------------------------------------------------------------------------- colours


def test_up_to_256_colours_are_exact():
    levels = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)
    picture = np.random.default_rng(1).permutation(levels.repeat(4, axis=0)).reshape(1, 32, 32, 3)
    indices, palette = few_colors(picture)
    assert (palette[indices] == picture).all()


@pytest.mark.parametrize("colors", [256, 40])
def test_no_colour_moves_far_and_frequent_ones_do_not_move(colors):
    rng = np.random.default_rng(0)
    picture = rng.integers(100, 140, (64, 64, 3), dtype=np.uint8)
    picture[:40] = 208
    picture[0, 0] = (255, 0, 0)  # a rare colour, far from all others
    indices, palette = few_colors(picture, colors)
    off = abs(palette[indices].astype(int) - picture)
    assert len(palette) <= colors and off.max() <= (8 if colors == 256 else 16)
    assert off[1:40].max() == 0 and off[0, 0].max() <= 16


def test_clips_of_the_toy_world_keep_their_colours_in_notebooks():
    for seed in range(6):
        clip = Clip(render([sample_scene(seed)])[0])
        shown = frames_of(clip.apng()).astype(int)
        kept = [i for i in range(17) if i == 0 or (clip.frames[i] != clip.frames[i - 1]).any()]
        assert abs(shown - clip.frames[kept]).max() <= 4
        assert len(clip.apng()) < 8_000
    assert abs(frames_of(noisy().apng()).astype(int) - noisy().frames).max() <= 16


def test_pictures_in_notebooks_keep_their_colours():
    grey = Image.new("RGB", (64, 64), (208, 208, 208))
    grey.paste((17, 17, 17), (0, 0, 32, 32))
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None].repeat(8, 0)).convert("RGB")
    for image in (grey, ramp, Image.fromarray(noisy().frames[0]), noisy().strip()):
        html = image_html(image, "a <picture>")
        data = base64.b64decode(re.search(r"base64,([^\"]+)", html)[1])
        off = frames_of(data)[0].astype(int) - np.asarray(image)
        assert abs(off).max() <= 8 and 'alt="a &lt;picture&gt;"' in html
    shown = frames_of(base64.b64decode(image_html(grey, "").split("base64,")[1][:-2]))
    assert set(map(tuple, shown.reshape(-1, 3))) == {(208, 208, 208), (17, 17, 17)}


# ------------------------------------------------------------------------------------------ files


@pytest.mark.parametrize("ending", ["png", "webp"])
def test_png_and_webp_keep_every_pixel_and_repeat_it(clip, tmp_path, ending):
    for scale in (1, 8):
        path = clip.save(tmp_path / f"a.{ending}", force=True, scale=scale)
        with Image.open(path) as image:
            assert image.n_frames == 17 and image.size == (32 * scale, 32 * scale)
            for i, frame in enumerate(clip.frames):
                image.seek(i)
                pixels = np.asarray(image.convert("RGB"))
                assert (pixels == frame.repeat(scale, 0).repeat(scale, 1)).all()
                assert abs(image.info["duration"] - 125) < 1


def test_a_saved_clip_is_large_enough_to_be_seen(clip, tmp_path):
    for ending in ("png", "gif", "webp"):
        with Image.open(clip.save(tmp_path / f"a.{ending}")) as image:
            assert image.size == (256, 256)


def test_a_gif_has_256_colours_a_frame():
    assert abs(frames_of(_saved(noisy(), "gif")).astype(int) - noisy().frames).max() <= 8


def _saved(clip: Clip, ending: str) -> bytes:
    from minisora.show.media import encode

    return encode(clip.frames, f".{ending}", clip.fps)


@pytest.mark.parametrize("ending", ["gif", "png", "webp"])
@pytest.mark.parametrize("fps", [0.5, 7, 8, 12, 24, 30, 50])
def test_no_rounding_of_times_adds_up(ending, fps):
    video = torch.linspace(-1, 1, 30).view(1, 30, 1, 1).expand(3, 30, 8, 8)
    with Image.open(io.BytesIO(_saved(Clip(video, fps=fps), ending))) as image:
        shown = []
        for frame in ImageSequence.Iterator(image):
            frame.load()
            shown.append(frame.info["duration"])
    assert abs(sum(shown) - 30_000 / fps) <= 5 and min(shown) >= 20 - (ending != "gif")


def test_a_gif_that_viewers_would_slow_down_is_refused(tmp_path):
    clip = Clip(torch.zeros(3, 5, 8, 8), fps=60)
    with pytest.raises(ValueError, match=r"choose \.png"):
        clip.save(tmp_path / "a.gif")
    assert as_video(clip.save(tmp_path / "a.png"), fps=60).shape[1] == 5


def test_what_no_format_holds_is_refused(clip, tmp_path):
    for scale in (0, -1, 33, 10**9, 1.5):
        with pytest.raises(ValueError, match="1 to 32"):
            clip.save(tmp_path / "a.png", scale=scale)
    for fps in (0, -1, float("nan"), float("inf"), 1e6):
        with pytest.raises(ValueError, match="fps"):
            Clip(torch.zeros(3, 5, 8, 8), fps=fps).save(tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_files_are_safe(clip, tmp_path):
    path = clip.save(tmp_path / "a.png")
    with pytest.raises(FileExistsError, match="--force"):
        clip.save(path)
    clip.save(path, force=True)
    with pytest.raises(ValueError, match=r"\.png, \.gif"):
        clip.save(tmp_path / "a.avi")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        clip.save(tmp_path / "folder.png", force=True)
    with pytest.raises(ValueError, match="no folder"):
        clip.save(path / "b.png")


def test_a_full_disk_is_one_sentence_and_leaves_the_old_file(clip, tmp_path, monkeypatch):
    path = clip.save(tmp_path / "a.png")
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises((ValueError, OSError), match="No space left"):
        noisy().save(path, force=True)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_saved_clip_has_the_permissions_that_the_user_gives_to_files(clip, tmp_path):
    old = os.umask(0o027)
    try:
        assert clip.save(tmp_path / "a.png").stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(old)


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_is_neither_replaced_nor_followed(clip, tmp_path):
    (tmp_path / "mine.png").write_text("mine")
    for name, target in (("a.png", "mine.png"), ("b.png", "none.png")):
        link = tmp_path / name
        link.symlink_to(tmp_path / target)
        with pytest.raises(FileExistsError):
            clip.save(link)
        with pytest.raises(ValueError, match="is a link to"):
            clip.save(link, force=True)
        with pytest.raises(ValueError, match="is a link to"):
            save_strips(torch.zeros(1, 3, 17, 32, 32), link)
        assert link.is_symlink()
    assert (tmp_path / "mine.png").read_text() == "mine"
    assert not (tmp_path / "none.png").exists()


# ---------------------------------------------------------------------------------------- Jupyter


def test_jupyter_sees_html_a_strip_and_words(clip):
    bundle = clip._repr_mimebundle_()
    assert 'alt="' in bundle["text/html"] and "image-rendering:pixelated" in bundle["text/html"]
    strip = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert strip.width > 5 * strip.height and "17 frames" in bundle["text/plain"]
    assert gallery([clip, clip])._repr_html_().count("<figure") == 2
    still = Clip(torch.zeros(3, 1, 8, 8))
    assert still.strip().size == (24, 24) and "<figure" in still.html()


def test_no_strip_into_a_pipe(clip):
    assert text_strip(clip) == ""


def test_a_terminal_sees_half_blocks(clip, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    lines = text_strip(clip, columns=60).splitlines()
    assert len(lines) == 12 and all(line.count("▀") == 48 for line in lines)
