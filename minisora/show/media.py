"""Pictures and clips from wherever people have them, and into files.

    PNG, JPEG, GIF, WebP, PIL image, array ── as_image ──► (3, H, W) in [-1, 1]
    animated PNG, GIF, WebP, film, array   ── as_video ──► (3, T, H, W) in [-1, 1]
    frames (T, H, W, 3) uint8              ── encode   ──► the bytes of a .png, .gif, .webp or .mp4

A clip is read by time: the frame that is shown in the middle of each 1/fps of a second. What has
another shape than asked for is cropped to the middle and resized. Transparent pixels become white,
the colour of paper. Sizes and lengths are bounded before anything is decoded.
"""

import io
import json
import os
import warnings
from collections.abc import Iterable, Iterator
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, PngImagePlugin

from minisora.checkpoints import refuse_link

Item = TypeVar("Item")
Source: TypeAlias = str | Path | np.ndarray | torch.Tensor

PICTURES = ("PNG", "JPEG", "GIF", "WEBP")  # all that Pillow may open: some formats start programs
ANIMATED = ("PNG", "GIF", "WEBP")  # a photo may hold several pictures too, but they are no clip
OPAQUE = ("1", "L", "RGB", "CMYK", "YCbCr", "HSV")  # Pillow's modes without transparency
FILMS = {  # ending → FFmpeg's name for the format: nothing else, a play list for example, is read
    ".mp4": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "matroska",
    ".avi": "avi",
}
FORMATS = {".png": "PNG", ".gif": "GIF", ".webp": "WEBP", ".mp4": "MP4"}  # of a saved clip
NEEDS_AV = "needs the package av: pip install 'minisora[video]'; .png, .gif and .webp need nothing"

MAX_PIXELS = 64_000_000  # of one frame: every telephone's photos, and no more
MAX_FRAMES = 250_000  # of a file: an hour at 60 a second
MAX_SECONDS = 3600.0
MAX_CLIP_PIXELS = 40_000_000  # of all frames together, which are held in memory: an hour of 32 × 32
MAX_FPS = 240.0
MAX_GIF_FPS = 50.0  # viewers play frames shorter than 1/50 s five times too slowly
MAX_SCALE = 32
TOLERANCES = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 255)  # levels; see `few_colors`
DESCRIPTION = 0x010E  # the EXIF field that holds a WebP's metadata


class MediaError(ValueError):
    """A file that cannot be read or written, with a sentence that says why."""


# ---------------------------------------------------------------------------------------- reading


def as_image(
    source: Source | Image.Image, height: int | None = None, width: int | None = None
) -> torch.Tensor:
    """Take a picture as a tensor (3, H, W) in [-1, 1].

    Args:
        source: a path (of an animation, the first frame counts); a PIL image; an array (H, W, 3) of
            bytes; a tensor (3, H, W) in [-1, 1].
        height, width: the size wanted; its own where None.

    Raises:
        ValueError: missing, no image, too large, or an array of another kind.
    """
    if isinstance(source, (str, Path)):
        return _read_clip(Path(source), height, width, None)[:, 0]
    if isinstance(source, Image.Image):
        return as_video(_rgb(source)[None], height, width)[:, 0]
    if isinstance(source, np.ndarray):
        return as_video(source[None], height, width)[:, 0]
    if isinstance(source, torch.Tensor) and source.ndim == 3:
        source = source[:, None]
    return as_video(source, height, width)[:, 0]


def as_video(
    source: Source, height: int | None = None, width: int | None = None, fps: float = 8.0
) -> torch.Tensor:
    """Take a clip as a tensor (3, T, H, W) in [-1, 1].

    Args:
        source: a path; an array (T, H, W, 3) of bytes; a tensor (3, T, H, W) of bytes or in
            [-1, 1].
        height, width: the size wanted; its own where None. A clip that `Clip.save` enlarged comes
            back in the size that it had.
        fps: frames a second wanted of a file, which knows how long its frames last.

    Raises:
        ValueError: missing, unreadable, too large, too long, a film without the package `av`, or an
            array of another kind.
    """
    if isinstance(source, (str, Path)):
        return _read_clip(Path(source), height, width, check_fps(fps))
    if isinstance(source, np.ndarray):
        if source.ndim != 4 or source.shape[3] != 3 or source.dtype != np.uint8:
            raise ValueError(
                f"an array of {source.dtype} {source.shape} is no clip; (T, H, W, 3) of uint8 is"
            )
        source = torch.from_numpy(source.copy()).permute(3, 0, 1, 2)
    if not isinstance(source, torch.Tensor):
        raise ValueError(
            f"a clip comes from a path, an array or a tensor, not from {type(source).__name__}"
        )
    if source.ndim != 4 or source.shape[0] != 3 or not source.numel():
        raise ValueError(f"a tensor of {tuple(source.shape)} is no clip; (3, T, H, W) is")
    if source.dtype == torch.uint8:
        source = source.float() / 127.5 - 1
    return _fit(source, height or source.shape[2], width or source.shape[3])


def metadata_of(path: str | Path) -> dict[str, Any]:
    """Read what `Clip.save` wrote beside the frames, such as prompt and seed; {} if nothing."""
    path = Path(path)
    try:
        if path.suffix.lower() in FILMS:
            import av

            with av.open(str(path), format=FILMS[path.suffix.lower()]) as file:
                note = file.metadata.get("comment", "")
        else:
            with _open(path) as image:
                comments = (image.info.get("Comment"), image.info.get("comment"))
                note = next(filter(None, comments), None) or image.getexif().get(DESCRIPTION, "")
        metadata = json.loads(note)
    except (Exception, RecursionError):  # a stranger's comment may be anything
        return {}
    return metadata if isinstance(metadata, dict) else {}


def check_fps(fps: float) -> float:
    """Frames a second, if a clip can have as many; ValueError otherwise."""
    if not 0.1 <= fps <= MAX_FPS:  # also false for NaN
        raise ValueError(f"fps={fps:g} is not possible; it goes from 0.1 to {MAX_FPS:g}")
    return fps


def at_rate(frames: Iterable[tuple[Item, float]], fps: float) -> Iterator[Item]:
    """Look frames up by time: for each 1/fps of a second, the frame that is shown in its middle.

    Args:
        frames: each with the seconds for which it is shown.

    Returns:
        As many frames as the clip has seconds × fps, rounded, and at least one.
    """
    end = 0.0
    ticks = 0
    first: list[Item] = []
    for frame, seconds in frames:
        first = first or [frame]
        end += max(seconds, 0.0)
        if end > MAX_SECONDS:
            raise MediaError(f"lasts more than {MAX_SECONDS:g} s; cut it into pieces")
        while (ticks + 0.5) / fps < end - 1e-6:
            yield frame
            ticks += 1
    if not ticks:
        yield from first


def _read_clip(
    path: Path, height: int | None, width: int | None, fps: float | None
) -> torch.Tensor:
    """A file's frames at a rate and a size; only the first where the rate is None."""
    frames: list[torch.Tensor] = []
    previous = None
    scale = 1
    for frame in _frames(path, fps):
        H, W, _ = frame.shape
        if previous is None:
            scale = _saved_scale(path, H, W)
        if frame is not previous:
            fitted = as_video(frame[None], height or H // scale, width or W // scale)
        frames.append(fitted)
        previous = frame
        if len(frames) * fitted[0].numel() > MAX_CLIP_PIXELS:
            raise MediaError(
                f"{path} is too large: {H}×{W} pixels, and more frames than fit into memory; "
                "resize it (height and width; --height 32 --width 32), or cut it"
            )
        if fps is None:
            break
    return torch.cat(frames, dim=1)


def _saved_scale(path: Path, height: int, width: int) -> int:
    """How many times `Clip.save` enlarged this file's clip."""
    scale = metadata_of(path).get("scale", 1)
    if isinstance(scale, int) and 1 <= scale <= MAX_SCALE and not (height % scale or width % scale):
        return scale
    return 1


def _frames(path: Path, fps: float | None) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) uint8 of a file, one by one: a film may be too large to be held whole."""
    if not path.is_file():
        raise MediaError(f"there is no file {path}")
    film = path.suffix.lower() in FILMS
    try:
        if film:
            shown = _film_frames(path)
            chosen = at_rate(shown, fps) if fps else (frame for frame, _ in shown)
            yield from map(_film_rgb, chosen)
        else:
            pictures = _picture_frames(path)
            yield from at_rate(pictures, fps) if fps else (frame for frame, _ in pictures)
    except MediaError as error:
        raise MediaError(f"{path} {error}") from None
    except Image.DecompressionBombError:
        raise MediaError(f"{path} has more than {MAX_PIXELS} pixels; make it smaller") from None
    except Exception as error:  # decoders raise whatever a damaged file leads them to
        why = " ".join(str(error).split()) or type(error).__name__
        kind = "a film" if film else "an image"
        hint = "MP4, MOV, MKV, WebM and AVI can" if film else "PNG, JPEG, GIF and WebP can"
        raise MediaError(f"{path} cannot be read as {kind} ({why}); {hint}") from None


def _open(path: Path) -> Image.Image:
    """One of the four formats, by its content and not by its name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MAX_PIXELS decides, and a broken file is an error anyway
        return Image.open(path, formats=PICTURES)


def _check_size(height: int, width: int, frames: int, seconds: float) -> None:
    if height * width > MAX_PIXELS:
        raise MediaError(
            f"has {height}×{width} pixels, and at most {MAX_PIXELS} can be read; make it smaller"
        )
    if frames > MAX_FRAMES or seconds > MAX_SECONDS:
        raise MediaError(
            f"has {frames} frames and lasts {seconds:g} s; at most {MAX_FRAMES} frames and "
            f"{MAX_SECONDS:g} s can be read; cut it into pieces"
        )


def _picture_frames(path: Path) -> Iterator[tuple[np.ndarray, float]]:
    """Frames of a picture file, each with the seconds for which it is shown."""
    with _open(path) as image:
        count = getattr(image, "n_frames", 1) if image.format in ANIMATED else 1
        _check_size(image.height, image.width, count, 0.0)
        if image.format == "GIF":
            _check_end(path)
        # an animated PNG may begin with a picture that is not part of the animation
        begin = 1 if count > 1 and image.info.get("default_image") else 0
        for i in range(begin, count):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image.seek(i)
                image.load()  # a WebP knows only now how long this frame is shown
                frame = _rgb(image)
            yield frame, _shown_for(image, count)


def _check_end(path: Path) -> None:
    """Refuse a GIF without its end: Pillow would take what is there for the whole."""
    with open(path, "rb") as file:
        file.seek(-min(path.stat().st_size, 64), os.SEEK_END)
        if not file.read().rstrip(b"\0\r\n").endswith(b";"):
            raise MediaError("is cut short: a GIF ends with a semicolon, and this one does not")


def _shown_for(image: Image.Image, count: int) -> float:
    """Seconds for which a frame is shown; where a file says none, viewers take a tenth."""
    milliseconds = float(image.info.get("duration", 0))
    least = 20.0 if image.format == "GIF" else 1e-3
    if count > 1 and milliseconds < least:
        return 0.1
    return milliseconds / 1000


def _rgb(image: Image.Image) -> np.ndarray:
    """A picture as a camera meant it, (H, W, 3) uint8, on white where it is transparent."""
    image = ImageOps.exif_transpose(image)
    transparent = image.info.get("transparency")
    if image.mode == "F":
        raise ValueError("a picture of mode F does not say which number is white; convert it to L")
    if image.mode.startswith("I"):  # grey of 16 bits
        numbers = np.asarray(image).astype(np.int64)
        grey = (numbers.clip(0, 65535) / 257).round().astype(np.uint8)
        if isinstance(transparent, int):
            grey[numbers == transparent] = 255
        return np.repeat(grey[:, :, None], 3, axis=2)
    if transparent is not None or image.mode not in OPAQUE:
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def _film_frames(path: Path) -> Iterator[tuple[Any, float]]:
    """Frames (PyAV's) of a film, each with the seconds until the next one is shown."""
    try:
        import av
    except ImportError:
        raise MediaError(NEEDS_AV) from None
    with av.open(str(path), format=FILMS[path.suffix.lower()]) as file:
        if not file.streams.video:
            raise MediaError("has no pictures in it")
        stream = file.streams.video[0]
        seconds = (file.duration or 0) / av.time_base
        _check_size(stream.height, stream.width, stream.frames, seconds)
        gap = 1 / float(stream.average_rate or 8)
        previous, began = None, 0.0
        for i, frame in enumerate(file.decode(stream)):
            _check_size(frame.height, frame.width, i, 0.0)
            now = began + gap if frame.time is None else frame.time
            if previous is not None:
                yield previous, now - began
            previous, began = frame, now
        if previous is None:
            raise MediaError("has no frame")
        lasting = previous.duration * (previous.time_base or 0)
        yield previous, float(lasting) or gap


def _film_rgb(frame: Any) -> np.ndarray:
    """A film's frame as its camera was held, (H, W, 3) uint8."""
    return np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)


def _fit(video: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Crop to the middle and resize, with every pixel of the crop counted."""
    T, H, W = video.shape[1:]
    if (height, width) == (H, W):
        return video
    if height < 1 or width < 1 or T * height * width > MAX_CLIP_PIXELS:
        raise ValueError(
            f"{T} frames of {height}×{width} are not possible; "
            f"sides are at least 1, and all pixels together at most {MAX_CLIP_PIXELS}"
        )
    if H % height == 0 and H // height * width == W:  # each pixel is the mean of a square of pixels
        return F.interpolate(video.double(), (height, width), mode="area").to(video.dtype)
    scale = max(height / H, width / W)
    tall = max(round(height / scale), 1)
    wide = max(round(width / scale), 1)
    top = (H - tall) // 2
    left = (W - wide) // 2
    frames = video[:, :, top : top + tall, left : left + wide].transpose(0, 1)
    # what torchvision's resize calls, without the six seconds that importing torchvision takes
    resized = F.interpolate(frames, (height, width), mode="bilinear", antialias=True)
    return resized.transpose(0, 1).clamp(-1, 1)


# ---------------------------------------------------------------------------------------- writing


def can_save(path: str | Path, force: bool = False, fps: float = 8.0) -> Path:
    """Complain about a clip's file before the work and not after it.

    Raises:
        FileExistsError: the file is there and `force` is not set.
        ValueError: another ending, a frame rate that the format cannot have, a link, no folder that
            can be written to, or .mp4 without the package `av`.
    """
    path = Path(path)
    ending = path.suffix.lower()
    check_fps(fps)
    if ending not in FORMATS:
        raise MediaError(f"{path.name!r} does not end in one of {', '.join(FORMATS)}")
    if ending == ".mp4" and not find_spec("av"):
        raise MediaError(f"{path} {NEEDS_AV}")
    if ending == ".gif" and fps > MAX_GIF_FPS:
        raise MediaError(
            f"a GIF of {fps:g} frames a second would play too slowly, because viewers show a frame "
            f"for 1/{MAX_GIF_FPS:g} s at least; choose .png, .webp or .mp4"
        )
    if os.path.lexists(path) and not force:
        raise FileExistsError(
            f"{path} exists; choose another name, or overwrite it with force (--force)"
        )
    if path.is_dir():
        raise MediaError(f"{path} is a folder; name a file in it")
    refuse_link(path)
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise MediaError(f"{path} cannot be written, because {folder} is no folder open to you")
    return path


def encode(
    frames: np.ndarray,
    ending: str,
    fps: float,
    scale: int = 1,
    metadata: dict[str, Any] | None = None,
) -> bytes:
    """Turn frames (T, H, W, 3) uint8 into the bytes of a file.

    .png and .webp keep every pixel. .gif has 256 colours a frame (see `few_colors`). .mp4 is nearly
    lossless; with an even `scale` it has the pixel format that every player knows (yuv420p), which
    halves the colours' resolution, and an enlarged pixel does not lose by that. With an odd one it
    is yuv444p, which some players cannot show.

    Args:
        ending: one of FORMATS.
        scale: file pixels for each pixel, 1 to 32.
        metadata: written into the file as JSON, with the scale.
    """
    if not isinstance(scale, int) or not 1 <= scale <= MAX_SCALE:
        raise ValueError(
            f"scale={scale} is not possible; it is a whole number from 1 to {MAX_SCALE}"
        )
    note = json.dumps({**(metadata or {}), "scale": scale})
    if ending == ".mp4":
        return _encode_film(frames, fps, scale, note)
    options: dict[str, Any] = {}
    if ending == ".png":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_text("Comment", note)
    elif ending == ".gif":
        options["comment"] = note.encode()
    else:
        options["exif"] = Image.Exif()
        options["exif"][DESCRIPTION] = note
        options["lossless"] = True
    if ending == ".gif":
        pictures = [palette_pictures(frame[None])[0] for frame in frames]  # a palette each
    else:
        pictures = [Image.fromarray(frame) for frame in _animated(frames)]
    size = (frames.shape[2] * scale, frames.shape[1] * scale)
    pictures = [picture.resize(size, Image.Resampling.NEAREST) for picture in pictures]
    unit = 10 if ending == ".gif" else 1  # milliseconds that times are counted in
    durations = _durations(len(frames), fps, unit)
    return encode_pictures(pictures, FORMATS[ending], duration=durations, **options)


def encode_pictures(pictures: list[Image.Image], format: str, **options: Any) -> bytes:
    """Pillow's file of one picture, or of several that follow each other for ever."""
    buffer = io.BytesIO()
    pictures[0].save(
        buffer, format=format, save_all=True, append_images=pictures[1:], loop=0, **options
    )
    return buffer.getvalue()


def few_colors(frames: np.ndarray, colors: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """Write frames with a palette; no colour moves by more levels than it must.

    A greedy cover: the most frequent colour enters the palette and stands for all colours that
    differ from it by at most `tolerance` levels in each channel; then the most frequent one of the
    others, and so on. `tolerance` is the smallest of a few with which `colors` are enough: 0 where
    there are no more different colours than that.

    Args:
        frames: (..., 3) uint8.

    Returns:
        which palette entry (...) uint8, palette (colors, 3) uint8.
    """
    channels = frames.reshape(-1, 3).astype(np.int32)
    codes = channels[:, 0] << 16 | channels[:, 1] << 8 | channels[:, 2]
    codes, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    unique = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1)[order]
    low, high = 0, len(TOLERANCES) - 1
    while low < high:
        middle = (low + high) // 2
        if len(_cover(unique, TOLERANCES[middle], colors)[1]) > colors:
            low = middle + 1
        else:
            high = middle
    entry, palette = _cover(unique, TOLERANCES[low], colors)
    of_code = np.empty(len(unique), np.uint8)
    of_code[order] = entry
    return of_code[inverse.reshape(-1)].reshape(frames.shape[:-1]), palette.astype(np.uint8)


def _cover(unique: np.ndarray, tolerance: int, colors: int) -> tuple[np.ndarray, np.ndarray]:
    """Which palette entry stands for each colour (M, 3), the most frequent first, and the palette.

    Stops when the palette has more than `colors` entries.
    """
    entry = np.zeros(len(unique), int)
    free = np.arange(len(unique))
    palette: list[np.ndarray] = []
    while len(free) and len(palette) <= colors:
        near = (np.abs(unique[free] - unique[free[0]]) <= tolerance).all(axis=1)
        entry[free[near]] = len(palette)
        palette.append(unique[free[0]])
        free = free[~near]
    return entry, np.array(palette)


def palette_pictures(frames: np.ndarray, colors: int = 256) -> list[Image.Image]:
    """Frames (T, H, W, 3) as pictures that share one palette."""
    indices, palette = few_colors(frames, colors)
    pictures = [Image.fromarray(index) for index in indices]
    for picture in pictures:
        picture.putpalette(palette.tobytes())
    return pictures


def _animated(frames: np.ndarray) -> np.ndarray:
    """Frames of which at least one differs: Pillow writes equal ones as a picture without times."""
    if len(frames) < 2 or (frames != frames[0]).any():
        return frames
    frames = frames.copy()
    frames[-1, 0, 0, 2] ^= 1  # one level of blue in one corner
    return frames


def _durations(count: int, fps: float, unit: int) -> list[int]:
    """Milliseconds of each frame, in whole units, so that no rounding adds up."""
    ends = [round(1000 * (i + 1) / fps / unit) * unit for i in range(count)]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]


def _encode_film(frames: np.ndarray, fps: float, scale: int, note: str) -> bytes:
    """H.264 in an MP4, nearly lossless."""
    import av

    T, H, W, _ = frames.shape
    even = scale % 2 == 0
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        file.metadata["comment"] = note
        rate = Fraction(fps).limit_denominator(1000)
        stream = file.add_stream("libx264", rate=rate, options={"crf": "1"})
        stream.height = H * scale
        stream.width = W * scale
        stream.pix_fmt = "yuv420p" if even else "yuv444p"
        for frame in frames:
            large = np.ascontiguousarray(frame.repeat(scale, axis=0).repeat(scale, axis=1))
            picture = av.VideoFrame.from_ndarray(large, format="rgb24")
            picture = picture.reformat(format=stream.pix_fmt, interpolation="AREA")
            file.mux(stream.encode(picture))
        file.mux(stream.encode())
    return buffer.getvalue()
