import base64
import io

import pytest
import torch
from PIL import Image

from minisora.show.clip import Clip, gallery, latents_to_rgb, text_strip, to_frames
from minisora.world.dataset import sample_scene
from minisora.world.render import render


@pytest.fixture
def clip():
    """A clip that never rests: a file keeps equal frames as one, shown for longer."""
    return Clip(render([sample_scene(3, motion="circling")])[0], "a thing circling")


def test_frames_are_what_they_were(batch):
    frames = to_frames(batch.videos[0])
    assert frames.shape == (17, 32, 32, 3) and frames.dtype.name == "uint8"
    assert abs(frames / 127.5 - 1 - batch.videos[0].permute(1, 2, 3, 0).numpy()).max() < 0.005


def test_png_and_webp_keep_every_pixel(clip, tmp_path):
    for name in ("a.png", "a.webp"):
        with Image.open(clip.save(tmp_path / name)) as image:
            assert image.n_frames == 17
            for i, frame in enumerate(clip.frames):
                image.seek(i)
                assert (
                    torch.tensor(list(image.convert("RGB").tobytes()))
                    == torch.tensor(frame.flatten())
                ).all()
                assert abs(image.info["duration"] - 125) < 1


def test_gif_and_mp4(clip, tmp_path):
    with Image.open(clip.save(tmp_path / "a.gif")) as image:
        assert image.n_frames > 1
    try:
        import av
    except ImportError:
        with pytest.raises(ValueError, match="needs the package av"):
            clip.save(tmp_path / "a.mp4")
    else:
        with av.open(str(clip.save(tmp_path / "a.mp4"))) as file:
            assert sum(1 for _ in file.decode(video=0)) == 17


def test_files_are_safe(clip, tmp_path):
    path = clip.save(tmp_path / "a.png")
    with pytest.raises(FileExistsError, match="--force"):
        clip.save(path)
    clip.save(path, force=True)
    with pytest.raises(ValueError, match=r"\.png, \.gif"):
        clip.save(tmp_path / "a.avi")


def test_jupyter_sees_html_a_strip_and_words(clip):
    bundle = clip._repr_mimebundle_()
    assert 'alt="' in bundle["text/html"] and "image-rendering:pixelated" in bundle["text/html"]
    strip = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert strip.width > 5 * strip.height and "17 frames" in bundle["text/plain"]
    assert gallery([clip, clip])._repr_html_().count("<figure") == 2


def test_latents_as_colours_and_no_strip_into_a_pipe(clip):
    assert latents_to_rgb(torch.randn(8, 5, 8, 8)).abs().max() <= 1
    assert text_strip(clip) == ""
    with pytest.raises(ValueError, match="take one"):
        Clip(torch.zeros(1, 3, 17, 32, 32))
