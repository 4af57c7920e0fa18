"""Pictures and clips from wherever people have them: files, PIL images, arrays.

    PNG, JPEG, GIF, WebP, PIL image, array ── as_image ──► (3, H, W) in [-1, 1]
    animated PNG, GIF, WebP, mp4, array    ── as_video ──► (3, T, H, W) in [-1, 1]

What has another shape than asked for is cropped to the middle and resized.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, ImageSequence

FILMS = (".mp4", ".mov", ".mkv", ".webm", ".avi")  # what `av` reads; Pillow reads the rest


def as_image(source, height: int | None = None, width: int | None = None) -> torch.Tensor:
    """A picture as a tensor (3, H, W) in [-1, 1].

    Args:
        source: a path (of an animation, the first frame counts); a PIL image; an array (H, W, 3) of bytes; a tensor (3, H, W) in [-1, 1].
        height, width: the size wanted; its own where None.

    Raises:
        ValueError: missing, no image, or an array of another kind.
    """
    if isinstance(source, torch.Tensor):
        return as_video(source[:, None] if source.ndim == 3 else source, height, width)[:, 0]
    if isinstance(source, np.ndarray):
        return as_video(source[None], height, width)[:, 0]
    if isinstance(source, Image.Image):
        return as_video(_upright(source)[None], height, width)[:, 0]
    return as_video(next(_read(source, fps=1000))[None], height, width)[
        :, 0
    ]  # at so high a rate no frame is left out


def as_video(
    source, height: int | None = None, width: int | None = None, fps: float = 8.0
) -> torch.Tensor:
    """A clip as a tensor (3, T, H, W) in [-1, 1].

    Args:
        source: a path; an array (T, H, W, 3) of bytes; a tensor (3, T, H, W) in [-1, 1].
        height, width: the size wanted; its own where None. fps: frames a second wanted of a file, which knows how long its frames last.

    Raises:
        ValueError: missing, unreadable, mp4 without the package `av`, or an array of another kind.
    """
    if isinstance(source, (str, Path)):
        return torch.cat(
            [as_video(frame[None], height, width) for frame in _read(source, fps)], dim=1
        )
    if isinstance(source, np.ndarray):
        if source.ndim != 4 or source.shape[3] != 3 or source.dtype != np.uint8:
            raise ValueError(
                f"an array of {source.dtype} {source.shape} is no clip; (T, H, W, 3) of uint8 is"
            )
        source = torch.from_numpy(source.copy()).permute(3, 0, 1, 2).float() / 127.5 - 1
    if not isinstance(source, torch.Tensor):
        raise ValueError(
            f"a clip comes from a path, an array or a tensor, not from {type(source).__name__}"
        )
    if source.ndim != 4 or source.shape[0] != 3:
        raise ValueError(f"a tensor of {tuple(source.shape)} is no clip; (3, T, H, W) is")
    return _fit(source, height or source.shape[2], width or source.shape[3])


def _fit(video: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Crop to the middle and resize, with every pixel of the crop counted."""
    H, W = video.shape[2:]
    if (height, width) == (H, W):
        return video
    scale = max(height / H, width / W)
    tall, wide = round(height / scale), round(width / scale)
    top, left = (H - tall) // 2, (W - wide) // 2
    frames = video[:, :, top : top + tall, left : left + wide].transpose(0, 1)
    # what torchvision's resize calls, without the six seconds that importing torchvision takes
    return (
        F.interpolate(frames, (height, width), mode="bilinear", antialias=True)
        .transpose(0, 1)
        .clamp(-1, 1)
    )


def _read(path: str | Path, fps: float) -> Iterator[np.ndarray]:
    """Frames of a file at a rate, one by one, (H, W, 3) uint8: a film may be too large to be held whole."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    if path.suffix.lower() in FILMS:
        yield from _read_film(path, fps)
        return
    try:
        with Image.open(path) as image:
            parts = ImageSequence.Iterator(image)
            frames, lasting = zip(
                *((_upright(part), part.info.get("duration", 0)) for part in parts), strict=True
            )
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read as an image ({error}); PNG, JPEG, GIF and WebP can"
        ) from None
    yield from (frames[i] for i in _at_rate(lasting, fps))


def _upright(image: Image.Image) -> np.ndarray:
    """A picture as a camera meant it, (H, W, 3) uint8."""
    return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def _at_rate(lasting, fps: float) -> list[int]:
    """Which frame to show in each 1/fps of a second, from how long each lasts in milliseconds.

    Files keep a frame that does not change once and let it last longer, and GIF rounds to hundredths of a second: frames that last
    about a tick or more are repeated by whole ticks. Faster ones are picked by time.
    """
    ticks = [milliseconds * fps / 1000 for milliseconds in lasting]
    if min(ticks) >= 0.75 or not any(ticks):
        return [i for i, n in enumerate(ticks) for _ in range(max(1, round(n)))]
    ends = np.cumsum(ticks)
    return [
        min(int(np.searchsorted(ends, tick + 0.5)), len(ends) - 1)
        for tick in range(max(1, round(float(ends[-1]) - 1e-6)))
    ]


def _read_film(path: Path, fps: float) -> Iterator[np.ndarray]:
    """As `_at_rate`, for films, whose frames all last equally long."""
    try:
        import av
    except ImportError:
        raise ValueError(
            f"{path.suffix} needs the package av: pip install 'minisora[video]'; .png, .gif and .webp need nothing"
        ) from None
    frame, shown = None, 0
    try:
        with av.open(str(path)) as file:
            tick = fps / float(file.streams.video[0].average_rate or 8)
            for i, frame in enumerate(file.decode(video=0)):
                times = (
                    max(1, round(tick))
                    if tick >= 0.75
                    else math.floor((i + 1) * tick + 0.5) - math.floor(i * tick + 0.5)
                )
                yield from [frame.to_ndarray(format="rgb24")] * times if times else []
                shown += times
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f"{path} cannot be read as a film ({error})") from None
    if frame is None:
        raise ValueError(f"{path} has no frame")
    if not shown:
        yield frame.to_ndarray(format="rgb24")
