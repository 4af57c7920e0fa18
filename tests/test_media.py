"""Pictures and clips come in from files and arrays, at the right time and in the right colours."""

import struct
import zlib
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from minisora.show.clip import Clip
from minisora.show.media import MAX_SECONDS, as_image, as_video, at_rate, metadata_of


@pytest.fixture
def clip(batch):
    """A clip in which no frame is like the one before it."""
    moving = [
        video for video in batch.videos if (video[:, 1:] != video[:, :-1]).flatten(2).any(2).all()
    ]
    return Clip(moving[0])


def levels(video: torch.Tensor) -> np.ndarray:
    """(3, T, H, W) in [-1, 1] → (T, H, W, 3) in 0..255."""
    return ((video + 1) * 127.5).permute(1, 2, 3, 0).numpy()


def ramp(path, count: int, milliseconds: int) -> None:
    """A film in which frame i has brightness 5 i."""
    frames = np.arange(count, dtype=np.uint8)[:, None, None, None] * 5
    frames = np.broadcast_to(frames, (count, 16, 16, 3)).copy()
    if path.suffix == ".mp4":
        film(path, frames, [i * milliseconds / 1000 for i in range(count + 1)])
        return
    images = [Image.fromarray(frame) for frame in frames]
    options = {"lossless": True} if path.suffix == ".webp" else {}
    images[0].save(path, save_all=True, append_images=images[1:], duration=milliseconds, **options)


def film(path, frames: np.ndarray, times: list[float]) -> None:
    """An MP4 whose frame i is shown from times[i] to times[i + 1]."""
    av = pytest.importorskip("av", reason="av is not installed")
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=1000, options={"crf": "1", "bf": "0"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv444p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        packets = []
        for i, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts = round(times[i] * 1000)
            picture.time_base = Fraction(1, 1000)
            packets += stream.encode(picture)
        packets += stream.encode()
        for i, packet in enumerate(packets):
            packet.duration = round((times[i + 1] - times[i]) * 1000)
            file.mux(packet)


# ------------------------------------------------------------------------------------------ time


@pytest.mark.parametrize("ending", ["png", "webp", "gif", "mp4"])
@pytest.mark.parametrize("count,milliseconds", [(30, 100), (20, 50), (12, 250), (25, 40), (9, 130)])
def test_frames_are_looked_up_by_time(tmp_path, ending, count, milliseconds):
    path = tmp_path / f"film.{ending}"
    ramp(path, count, milliseconds)
    for fps in (8, 10, 3):
        video = levels(as_video(path, fps=fps))[:, 8, 8, 0]
        assert len(video) == round(count * milliseconds / 1000 * fps)
        middle = (np.arange(len(video)) + 0.5) / fps
        shown = (middle * 1000 / milliseconds + 1e-4).astype(int)
        assert abs(video - 5 * shown).max() < 2


def test_a_film_of_variable_rate_keeps_its_times(tmp_path):
    times = [0.0, 0.125, 0.25, 1.5, 1.6, 2.0, 2.1, 4.0]
    frames = np.broadcast_to(np.arange(7, dtype=np.uint8)[:, None, None, None] * 30, (7, 16, 16, 3))
    film(tmp_path / "film.mp4", frames.copy(), times)
    video = levels(as_video(tmp_path / "film.mp4"))[:, 8, 8, 0] / 30
    wanted = [np.searchsorted(times, (k + 0.5) / 8, side="right") - 1 for k in range(32)]
    assert video.round().tolist() == wanted


def test_a_frame_is_never_lost_to_rounding():
    assert list(at_rate([("a", 0.001)], 8)) == ["a"]
    assert list(at_rate([("a", 0.0), ("b", 0.0)], 8)) == ["a"]
    assert list(at_rate([("a", 0.125)] * 17, 8)) == ["a"] * 17
    assert len(list(at_rate([("a", 1 / 30)] * 300, 30))) == 300


def test_gif_delays_that_viewers_do_not_obey_are_a_tenth_of_a_second(tmp_path):
    ramp(tmp_path / "film.gif", 20, 10)
    assert as_video(tmp_path / "film.gif").shape[1] == 16


@pytest.mark.parametrize("ending", ["png", "webp", "gif"])
def test_frames_that_stand_still_come_back_as_often_as_they_were(clip, tmp_path, ending):
    video = as_video(clip.frames)
    for picks in ([0] * 17, [0, 0, 1, 1, 1, 2, 3, 3]):
        Clip(video[:, picks]).save(tmp_path / f"{len(picks)}.{ending}")
        again = as_video(tmp_path / f"{len(picks)}.{ending}")
        assert again.shape == (3, len(picks), 32, 32)
        assert (again - video[:, picks]).abs().max() < 0.03


def test_an_animation_gives_its_first_frame(clip, tmp_path):
    clip.save(tmp_path / "clip.png")
    Clip(as_video(clip.frames), fps=50).save(tmp_path / "fast.png")
    for name in ("clip.png", "fast.png"):
        assert torch.equal(as_image(tmp_path / name), as_video(clip.frames)[:, 0])


def test_a_picture_before_an_animation_is_not_part_of_it(tmp_path):
    images = [Image.new("RGB", (8, 8), (90 * i, 0, 0)) for i in range(3)]
    images[0].save(
        tmp_path / "a.png",
        save_all=True,
        append_images=images[1:],
        default_image=True,
        duration=125,
    )
    video = levels(as_video(tmp_path / "a.png"))
    assert video[:, 0, 0, 0].round().tolist() == [90, 180]


def test_a_photo_with_a_second_picture_inside_is_one_picture(tmp_path):
    images = [Image.new("RGB", (16, 16), color) for color in ("red", "blue")]
    images[0].save(tmp_path / "photo.jpg", format="MPO", save_all=True, append_images=images[1:])
    assert as_video(tmp_path / "photo.jpg").shape[1] == 1


# ---------------------------------------------------------------------------------------- colours


@pytest.mark.parametrize(
    "ending,mode", [("png", "RGBA"), ("png", "LA"), ("png", "P"), ("webp", "RGBA"), ("gif", "RGBA")]
)
def test_what_is_transparent_becomes_white(tmp_path, ending, mode):
    picture = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    picture.paste((40, 40, 40, 255), (4, 4, 12, 12))
    picture.convert(mode).save(tmp_path / f"a.{ending}", lossless=True)
    frame = levels(as_video(tmp_path / f"a.{ending}"))[0]
    assert (frame[:4] == 255).all() and abs(frame[8, 8] - 40).max() < 3
    assert torch.equal(as_image(picture.convert(mode)), as_image(picture))


def test_half_transparent_is_half_white(tmp_path):
    Image.new("RGBA", (8, 8), (0, 0, 0, 128)).save(tmp_path / "a.png")
    assert abs(levels(as_video(tmp_path / "a.png")) - 127).max() < 1.5


def test_grey_of_sixteen_bits_keeps_its_levels(tmp_path):
    grey = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    for picture in (as_image(tmp_path / "a.png"), as_image(Image.fromarray(grey))):
        assert abs((picture[0] + 1) * 127.5 - torch.arange(256).view(16, 16)).max() < 0.01


def test_other_kinds_of_picture_are_pictures_too(tmp_path):
    assert as_image(Image.new("L", (8, 8), 255)).min() == 1
    Image.new("CMYK", (8, 8), (0, 0, 0, 0)).save(tmp_path / "a.jpg")
    assert as_image(tmp_path / "a.jpg").min() > 0.97
    with pytest.raises(ValueError, match="mode F"):
        as_image(Image.new("F", (8, 8)))


@pytest.mark.parametrize("orientation,turns", [(1, 0), (3, 2), (6, 1), (8, 3)])
@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_a_picture_is_upright_however_its_camera_was_held(tmp_path, orientation, turns, ending):
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.rot90(upright, turns))
    stored.save(tmp_path / f"photo.{ending}", exif=exif, lossless=True)
    picture = (as_image(tmp_path / f"photo.{ending}").permute(1, 2, 0).numpy() + 1) * 127.5
    assert picture.shape == upright.shape and abs(picture - upright).mean() < 3


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_film_is_upright_however_its_camera_was_held(tmp_path, turns):
    upright = np.zeros((4, 16, 32, 3), np.uint8)
    upright[:, :8, :8] = 255
    film(tmp_path / "film.mp4", np.rot90(upright, turns, (1, 2)).copy(), [0, 0.1, 0.2, 0.3, 0.4])
    one, none = struct.pack(">i", 65536), struct.pack(">i", 0)
    minus = struct.pack(">i", -65536)
    matrices = {
        1: (none, one, minus, none),
        2: (minus, none, none, minus),
        3: (none, minus, one, none),
    }
    a, b, c, d = matrices[turns]
    data = bytearray((tmp_path / "film.mp4").read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # a track's matrix: a b u, c d v, x y w
    data[at : at + 24] = a + b + none + c + d + none
    (tmp_path / "film.mp4").write_bytes(data)
    video = levels(as_video(tmp_path / "film.mp4"))
    assert video.shape[1:] == (16, 32, 3) and abs(video - upright[:1]).mean() < 3


# ----------------------------------------------------------------------------------------- bounds


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG of any size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    chunks = [
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in (header, data, b"IEND")
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("side", [9_000, 14_000, 2**31 - 1])
def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, side, recwarn):
    (tmp_path / "a.png").write_bytes(png_header(side, side))
    gif = bytearray(b"GIF89a" + struct.pack("<HH", min(side, 65535), min(side, 65535)) + b"\0\0\0")
    (tmp_path / "a.gif").write_bytes(
        gif + b"\x2c" + struct.pack("<HHHH", 0, 0, 1, 1) + b"\0\x02\0;"
    )
    for name in ("a.png", "a.gif"):
        for read in (as_image, as_video):
            with pytest.raises(ValueError, match="pixels") as error:
                read(tmp_path / name)
            assert "\n" not in str(error.value)
    assert not recwarn.list


@pytest.mark.parametrize("ending", ["gif", "png", "webp"])
def test_hours_are_refused(tmp_path, ending):
    images = [Image.new("RGB", (8, 8), (i, 0, 0)) for i in range(60)]
    each = round(1000 * MAX_SECONDS / 60) + 1000
    images[0].save(tmp_path / f"a.{ending}", save_all=True, append_images=images[1:], duration=each)
    with pytest.raises(ValueError, match="more than 3600 s"):
        as_video(tmp_path / f"a.{ending}")


def test_frames_that_do_not_fit_into_memory_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("minisora.show.media.MAX_CLIP_PIXELS", 10_000)
    images = [Image.new("RGB", (32, 32), (i, 0, 0)) for i in range(20)]
    images[0].save(tmp_path / "a.png", save_all=True, append_images=images[1:], duration=125)
    with pytest.raises(ValueError, match="--height 32"):
        as_video(tmp_path / "a.png")
    assert as_video(tmp_path / "a.png", 8, 8).shape == (3, 20, 8, 8)
    with pytest.raises(ValueError, match="not possible"):
        as_video(tmp_path / "a.png", 1000, 1000)


@pytest.mark.parametrize("fps", [0, -8, float("nan"), float("inf"), 1e9])
def test_rates_that_no_clip_has_are_refused(tmp_path, fps):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="goes from"):
        as_video(tmp_path / "a.png", fps=fps)


# ---------------------------------------------------------------------------------------- formats


@pytest.mark.parametrize("format", ["EPS", "BMP", "TIFF", "PPM", "PDF", "ICO", "TGA"])
@pytest.mark.parametrize("ending", ["png", "gif", "jpg", "webp"])
def test_other_formats_are_refused_whatever_their_name(tmp_path, monkeypatch, format, ending):
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("started a program"))
    Image.new("RGB", (16, 16)).save(tmp_path / f"a.{ending}", format=format)
    with pytest.raises(ValueError, match="cannot be read as an image"):
        as_image(tmp_path / f"a.{ending}")


def test_a_picture_of_the_four_formats_may_have_any_name(tmp_path):
    Image.new("RGB", (16, 16), "red").save(tmp_path / "a.png", format="JPEG")
    assert as_image(tmp_path / "a.png").shape == (3, 16, 16)


@pytest.mark.parametrize(
    "content",
    [
        b"no film",
        b"#EXTM3U\n#EXTINF:1,\nother.mp4\n",
        b"ffconcat version 1.0\nfile other.mp4\n",
        b"GIF89a\x08\0\x08\0\0\0\0;",
    ],
)
def test_what_is_no_film_is_refused(tmp_path, content):
    for ending in ("mp4", "mkv", "avi"):
        (tmp_path / f"a.{ending}").write_bytes(content)
        with pytest.raises(ValueError, match=r"cannot be read as a film|needs the package av"):
            as_video(tmp_path / f"a.{ending}")


# ---------------------------------------------------------------------------- there and back again


@pytest.mark.parametrize("scale", [1, 3, 8])
@pytest.mark.parametrize("ending,error", [("png", 0), ("webp", 0), ("gif", 2), ("mp4", 10)])
def test_what_was_saved_comes_back_in_its_own_size(clip, tmp_path, scale, ending, error):
    if ending == "mp4":
        pytest.importorskip("av", reason="av is not installed")
    path = clip.save(tmp_path / f"clip.{ending}", scale=scale)
    for video in (as_video(path), as_video(path, 32, 32)):
        off = levels(video) - clip.frames
        assert off.shape == clip.frames.shape and abs(off.round()).max() <= error
        assert (off**2).mean() < 6.5  # 40 dB


def test_a_clip_of_noise_survives_an_mp4(tmp_path):
    pytest.importorskip("av", reason="av is not installed")
    video = torch.rand(3, 5, 24, 40) * 2 - 1
    for scale in (1, 2, 7, 8):
        path = Clip(video).save(tmp_path / f"{scale}.mp4", scale=scale)
        assert 10 * torch.log10(4 / (as_video(path) - video).square().mean()) > 38


def test_odd_sizes_can_be_filmed(tmp_path):
    pytest.importorskip("av", reason="av is not installed")
    video = torch.linspace(-1, 1, 5 * 7 * 9).view(1, 5, 7, 9).expand(3, -1, -1, -1)
    for scale in (1, 8):
        path = Clip(video).save(tmp_path / f"{scale}.mp4", scale=scale)
        assert (as_video(path) - video).abs().max() < 0.06


@pytest.mark.parametrize("ending", ["png", "webp", "gif", "mp4"])
def test_how_a_clip_was_made_is_written_into_its_file(clip, tmp_path, ending):
    if ending == "mp4":
        pytest.importorskip("av", reason="av is not installed")
    metadata = {"prompt": 'a "größer" 🔴', "seed": 2**32 - 1, "model": "tiny"}
    path = clip.save(tmp_path / f"clip.{ending}", metadata=metadata)
    assert metadata_of(path).items() >= metadata.items()


def test_a_strangers_comment_is_no_metadata(tmp_path):
    for comment in ("hello", "[1, 2]", "[" * 100_000, '{"scale": "8"}', '{"scale": -1}', ""):
        note = PngImagePlugin.PngInfo()
        note.add_text("Comment", comment)
        Image.new("RGB", (16, 16)).save(tmp_path / "a.png", pnginfo=note)
        assert as_image(tmp_path / "a.png").shape == (3, 16, 16)
        assert isinstance(metadata_of(tmp_path / "a.png"), dict)
    assert metadata_of(tmp_path / "none.png") == {} == metadata_of(tmp_path / "none.mp4")


# ------------------------------------------------------------------------------------ sizes, arrays


def test_a_whole_factor_takes_the_mean_of_each_square():
    pixels = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    large = np.kron(pixels, np.ones((5, 5, 1), np.uint8))
    assert torch.equal(as_image(large, 24, 40), as_image(pixels))


def test_every_kind_of_picture_is_the_same_picture(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    ways = [
        as_image(tmp_path / "a.png"),
        as_image(str(tmp_path / "a.png")),
        as_image(Image.fromarray(pixels)),
        as_image(pixels),
        as_image(torch.from_numpy(pixels).permute(2, 0, 1)),
    ]
    ways.append(as_image(ways[0]))
    assert all(torch.equal(way, ways[0]) for way in ways) and ways[0].shape == (3, 24, 40)


def test_pictures_are_cropped_to_the_middle_and_resized():
    image = Image.new("RGB", (90, 30), "black")
    image.paste((255, 255, 255), (30, 0, 60, 30))
    picture = as_image(image, 32, 32)
    assert picture.shape == (3, 32, 32) and picture.min() > 0.99
    tall = as_image(image, 32, 8)
    assert tall.shape == (3, 32, 8) and tall.max() <= 1
    assert as_image(Image.new("RGB", (3, 2000)), 4, 32).shape == (3, 4, 32)


@pytest.mark.parametrize(
    "source,message",
    [
        ("missing.png", "no file"),
        ("missing.mp4", "no file"),
        (np.zeros((17, 32, 32, 3)), "uint8"),
        (np.zeros((32, 32), np.uint8), "is no clip"),
        (torch.zeros(32, 32), "is no clip"),
        (torch.zeros(3, 0, 32, 32), "is no clip"),
        (7, "not from int"),
    ],
)
def test_other_things_are_refused(source, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        as_video(source)
