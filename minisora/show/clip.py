"""Clips for people: animated PNG in Jupyter, film strips on paper, half blocks in a terminal.

video (3, T, H, W) in [-1, 1] ──► frames (T, H, W, 3) uint8 ──► Clip
"""

import base64
import html
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from minisora.checkpoints import write_bytes
from minisora.show.media import can_save, encode, encode_pictures, palette_pictures
from minisora.world.scene import FPS

FILE_SCALE = 8  # file pixels for each pixel of a saved clip: viewers show 32 × 32 as a thumbnail


def to_frames(video: torch.Tensor) -> np.ndarray:
    """Turn a video (3, T, H, W) in [-1, 1] into frames (T, H, W, 3) uint8."""
    if video.ndim != 4 or video.shape[0] != 3:
        raise ValueError(
            f"a clip is (3, T, H, W), not {tuple(video.shape)}; "
            "of a batch (B, 3, T, H, W) take one: video[0]"
        )
    levels = (video.detach().float().cpu().clamp(-1, 1) + 1) * 127.5
    if levels.isnan().any():
        raise ValueError("the clip has values that are no numbers (NaN), so it cannot be shown")
    return levels.round().byte().permute(1, 2, 3, 0).numpy()


class Clip:
    """A video that shows itself in Jupyter and saves itself to a file.

    Args:
        video: (3, T, H, W) in [-1, 1].
        caption: what it shows, also for readers who cannot see it.
        fps: frames per second.
        scale: pixels in a notebook for one of the clip's.
    """

    def __init__(
        self, video: torch.Tensor, caption: str = "", fps: float = FPS, scale: int = 6
    ) -> None:
        self.frames = to_frames(video)
        self.caption = caption
        self.fps = fps
        self.scale = scale

    def __repr__(self) -> str:
        T, H, W, _ = self.frames.shape
        words = f"Clip of {T} frames, {H}×{W}, {self.fps:g} a second"
        return f"{words}: {self.caption}" if self.caption else words

    def apng(self) -> bytes:
        """Encode the clip as an animated PNG, at its own size, in at most 256 colours.

        A notebook full of them stays small. Up to 256 different colours are exact; more are moved
        by as few levels as possible (`media.few_colors`).
        """
        return encode_pictures(palette_pictures(self.frames), "PNG", duration=1000 / self.fps)

    def html(self) -> str:
        """A figure with the clip inside; needs no other file and survives export to HTML."""
        _, H, W, _ = self.frames.shape
        text = html.escape(self.caption or repr(self), quote=True)
        style = f"width:{W * self.scale}px;height:{H * self.scale}px;image-rendering:pixelated"
        image = f'<img alt="{text}" style="{style}" src="{_data_url(self.apng())}">'
        label = f'<figcaption style="font-size:small">{text}</figcaption>' if self.caption else ""
        return f'<figure style="display:inline-block;margin:4px">{image}{label}</figure>'

    def strip(self, count: int = 6, scale: int = 3) -> Image.Image:
        """A film strip of `count` frames, first and last among them, side by side."""
        picks = _picks(len(self.frames), count)
        gap = np.full((self.frames.shape[1], 1, 3), 255, np.uint8)
        parts = [self.frames[picks[0]]]
        for i in picks[1:]:
            parts += [gap, self.frames[i]]
        image = Image.fromarray(np.concatenate(parts, axis=1))
        return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        strip = encode_pictures([self.strip()], "PNG")
        return {
            "text/html": self.html(),
            "image/png": base64.b64encode(strip).decode(),
            "text/plain": repr(self),
        }

    def save(
        self,
        path: str | Path,
        force: bool = False,
        *,
        scale: int = FILE_SCALE,
        metadata: dict[str, Any] | None = None,
    ) -> Path:
        """Write the clip as .png (animated), .gif, .webp, or .mp4 (needs the extra `video`).

        The file is whole or not there. `media.as_video` reads it back in the clip's own size, and
        `media.metadata_of` what was written beside the frames.

        Args:
            force: overwrite a file that is there, but no link.
            scale: file pixels for each pixel, 1 to 32; pixels are repeated, not smoothed.
            metadata: how the clip was made, for example its prompt and seed.

        Raises:
            FileExistsError: the file is there and `force` is not set.
            ValueError: another ending, .mp4 without `av`, or what `media.can_save` refuses.
        """
        path = can_save(path, force, self.fps)
        note = {"caption": self.caption, "fps": self.fps, **(metadata or {})}
        write_bytes(path, encode(self.frames, path.suffix.lower(), self.fps, scale, note))
        return path


def save_strips(videos: torch.Tensor, path: str | Path) -> None:
    """Write film strips of videos (B, 3, T, H, W), one under the other, to a PNG."""
    strips = np.concatenate([np.asarray(Clip(video).strip()) for video in videos])
    write_bytes(path, encode_pictures([Image.fromarray(strips)], "PNG"))


def gallery(clips: list[Clip]) -> "Gallery":
    """Clips side by side, for the end of a notebook cell."""
    return Gallery(clips)


class Gallery:
    """Several clips that Jupyter shows side by side."""

    def __init__(self, clips: list[Clip]) -> None:
        self.clips = clips

    def __repr__(self) -> str:
        return "\n".join(map(repr, self.clips))

    def _repr_html_(self) -> str:
        figures = "".join(clip.html() for clip in self.clips)
        return f'<div style="background:#fff;color:#000">{figures}</div>'


def text_strip(clip: Clip, columns: int | None = None) -> str:
    """A film strip of coloured half blocks; "" where the output is no terminal or has no UTF-8."""
    if not sys.stdout.isatty() or "utf" not in (sys.stdout.encoding or "").lower():
        return ""
    columns = columns or shutil.get_terminal_size().columns
    small = []
    for i in _picks(len(clip.frames), max(1, min(4, columns // 26))):
        picture = Image.fromarray(clip.frames[i])
        small.append(np.asarray(picture.resize((24, 24), Image.Resampling.BOX)))
    rows = [[_half_blocks(frame, row) for frame in small] for row in range(0, 24, 2)]
    return "\n".join("".join(row) for row in rows)


def _half_blocks(frame: np.ndarray, row: int) -> str:
    """Two rows of a picture as one line of text: the upper colour on the lower one."""
    blocks = []
    for top, low in zip(frame[row], frame[row + 1], strict=True):
        upper = f"38;2;{top[0]};{top[1]};{top[2]}"
        lower = f"48;2;{low[0]};{low[1]};{low[2]}"
        blocks.append(f"\x1b[{upper};{lower}m▀")
    return "".join(blocks) + "\x1b[0m  "


def _picks(total: int, count: int) -> list[int]:
    """`count` frames of `total`, evenly spaced, first and last among them."""
    return np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist()


def image_html(image: Image.Image, alt: str, scale: float = 1) -> str:
    """A picture as an image tag, with words for those who do not see it.

    It has at most 256 colours (as `Clip.apng`), so that a notebook full of pictures stays small.
    """
    alt = html.escape(alt, quote=True)
    size = "max-width:100%"
    if scale != 1:
        width = f"width:{image.width * scale:g}px"
        size = f"{width};height:{image.height * scale:g}px;image-rendering:pixelated"
    picture = palette_pictures(np.asarray(image.convert("RGB"))[None])
    url = _data_url(encode_pictures(picture, "PNG", optimize=True))
    style = f"{size};vertical-align:middle;background:#fff"
    return f'<img alt="{alt}" title="{alt}" style="{style}" src="{url}">'


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
