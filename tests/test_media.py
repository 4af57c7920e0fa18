"""Pictures and clips come in from files and arrays, and go out again unharmed."""

import numpy as np
import pytest
import torch
from PIL import Image

from minisora.show.clip import Clip
from minisora.show.media import as_image, as_video


@pytest.fixture
def clip(batch):
    return Clip(
        next(
            video
            for video in batch.videos
            if (video[:, 1:] != video[:, :-1]).flatten(2).any(2).all()
        )
    )


@pytest.mark.parametrize("ending", ["png", "webp", "gif"])
def test_frames_that_stand_still_come_back_as_often_as_they_were(clip, tmp_path, ending):
    video = as_video(clip.frames)
    for picks in ([0] * 17, [0, 0, 1, 1, 1, 2, 3, 3]):
        Clip(video[:, picks]).save(tmp_path / f"{len(picks)}.{ending}")
        again = as_video(tmp_path / f"{len(picks)}.{ending}")
        assert (
            again.shape == (3, len(picks), 32, 32) and (again - video[:, picks]).abs().mean() < 0.05
        )


def test_other_rates_are_picked_by_time(tmp_path):
    images = [Image.new("L", (8, 8), 10 * i) for i in range(20)]
    images[0].save(
        tmp_path / "fast.gif", save_all=True, append_images=images[1:], duration=50
    )  # 20 a second, for one second
    bright = ((as_video(tmp_path / "fast.gif")[0, :, 0, 0] + 1) * 127.5).round().tolist()
    assert len(bright) == 8 and bright[0] == 10 and bright[-1] == 180 and bright == sorted(bright)


@pytest.mark.parametrize("ending", ["png", "webp"])
def test_what_was_saved_comes_back(clip, tmp_path, ending):
    clip.save(tmp_path / f"clip.{ending}")
    video = as_video(tmp_path / f"clip.{ending}")
    assert (
        video.shape == (3, 17, 32, 32)
        and (((video + 1) * 127.5).round().permute(1, 2, 3, 0).numpy() == clip.frames).all()
    )


def test_a_gif_comes_back_nearly(clip, tmp_path):
    clip.save(tmp_path / "clip.gif")
    assert (as_video(tmp_path / "clip.gif") - as_video(clip.frames)).abs().mean() < 0.05


def test_a_film_comes_back_nearly_or_says_what_is_missing(clip, tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"no film")
    with pytest.raises(ValueError, match=r"cannot be read|needs the package av"):
        as_video(tmp_path / "clip.mp4")
    pytest.importorskip("av", reason="av is not installed")
    clip.save(tmp_path / "clip.mp4", force=True)
    assert (as_video(tmp_path / "clip.mp4") - as_video(clip.frames)).abs().mean() < 0.1
    grey = torch.linspace(-1, 1, 48).view(1, 48, 1, 1).expand(3, 48, 16, 16)
    for fps, picked in ((24, range(1, 48, 3)), (4, [i for i in range(48) for _ in range(2)])):
        Clip(grey, fps=fps).save(tmp_path / "grey.mp4", force=True)
        assert (as_video(tmp_path / "grey.mp4") - grey[:, list(picked)]).abs().max() < 0.05, fps
    assert (as_image(tmp_path / "grey.mp4") + 1).abs().max() < 0.05
    Clip(grey[:, :1], fps=60).save(tmp_path / "short.mp4")
    assert as_video(tmp_path / "short.mp4").shape[1] == 1


def test_every_kind_of_picture_is_the_same_picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    ways = [
        as_image(tmp_path / "a.png"),
        as_image(str(tmp_path / "a.png")),
        as_image(Image.fromarray(pixels)),
        as_image(pixels),
    ]
    ways.append(as_image(ways[0]))
    assert all(torch.equal(way, ways[0]) for way in ways) and ways[0].shape == (3, 24, 40)
    assert as_image(Image.new("L", (8, 8), 255)).min() == 1, "grey pictures are pictures too"


def test_pictures_are_cropped_to_the_middle_and_resized():
    image = Image.new("RGB", (90, 30), "black")
    image.paste((255, 255, 255), (30, 0, 60, 30))
    picture = as_image(image, 32, 32)
    assert picture.shape == (3, 32, 32) and picture.min() > 0.99
    tall = as_image(image, 32, 8)
    assert tall.shape == (3, 32, 8) and tall.max() <= 1


def test_an_animation_gives_its_first_frame(clip, tmp_path):
    clip.save(tmp_path / "clip.png")
    Clip(as_video(clip.frames), fps=50).save(tmp_path / "fast.png")
    for name in ("clip.png", "fast.png"):
        assert torch.equal(as_image(tmp_path / name), as_video(clip.frames)[:, 0])


def test_a_camera_that_lay_on_its_side(tmp_path):
    picture = Image.new("RGB", (8, 16))
    exif = picture.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    picture.save(tmp_path / "photo.jpg", exif=exif)
    assert as_image(tmp_path / "photo.jpg").shape == (3, 8, 16)


@pytest.mark.parametrize(
    "source,message",
    [
        ("missing.png", "no file"),
        (np.zeros((17, 32, 32, 3)), "uint8"),
        (np.zeros((32, 32), np.uint8), "is no clip"),
        (torch.zeros(32, 32), "is no clip"),
        (7, "not from int"),
    ],
)
def test_other_things_are_refused(source, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        as_video(source)
