"""Clips and plots for people: animated PNG in Jupyter, film strips on paper, and files. The only place that imports matplotlib.

video (3, T, H, W) in [-1, 1] ──► frames (T, H, W, 3) uint8 ──► Clip
"""

import base64
import html
import io
import shutil
import sys
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from minisora.world.scene import FPS

FORMATS = (".png", ".gif", ".webp", ".mp4")


def to_frames(video: torch.Tensor) -> np.ndarray:
    """video (3, T, H, W) in [-1, 1] → frames (T, H, W, 3) uint8."""
    if video.ndim != 4 or video.shape[0] != 3:
        raise ValueError(
            f"a clip is (3, T, H, W), not {tuple(video.shape)}; of a batch (B, 3, T, H, W) take one: video[0]"
        )
    return (
        ((video.detach().float().cpu().clamp(-1, 1) + 1) * 127.5)
        .round()
        .byte()
        .permute(1, 2, 3, 0)
        .numpy()
    )


class Clip:
    """A video that shows itself in Jupyter and saves itself to a file.

    Args:
        video: (3, T, H, W) in [-1, 1]. caption: what it shows, also for readers who cannot see it. fps: frames per second.
        scale: pixels on screen for one of the clip's.
    """

    def __init__(self, video: torch.Tensor, caption: str = "", fps: float = FPS, scale: int = 6):
        self.frames, self.caption, self.fps, self.scale = to_frames(video), caption, fps, scale

    def __repr__(self) -> str:
        T, H, W, _ = self.frames.shape
        return f"Clip of {T} frames, {H}×{W}, {self.fps:g} a second" + (
            f": {self.caption}" if self.caption else ""
        )

    def _animate(self, format: str, colors: int | None = None) -> bytes:
        frames = list(self.frames)
        if (
            len(frames) > 1 and not colors and (self.frames == frames[0]).all()
        ):  # Pillow would write one frame, and forget how long it lasts
            frames[-1] = frames[-1].copy()
            frames[-1][0, 0, 2] ^= 1  # one level of blue in one corner
        images = [Image.fromarray(frame) for frame in frames]
        buffer, options = (
            io.BytesIO(),
            {
                "save_all": True,
                "append_images": images[1:],
                "loop": 0,
                "duration": round(1000 / self.fps),
            },
        )
        if colors:  # one palette for all frames, taken from all of them
            palette = Image.fromarray(np.concatenate(self.frames)).quantize(colors)
            images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
            options["append_images"] = images[1:]
        images[0].save(
            buffer, format=format, **options, **({"lossless": True} if format == "WEBP" else {})
        )
        return buffer.getvalue()

    def apng(self) -> bytes:
        """The clip as an animated PNG, at its own size, in 40 colours so that a notebook full of them stays small."""
        return self._animate("PNG", colors=40)

    def html(self) -> str:
        """A figure with the clip inside; needs no other file and survives export to HTML."""
        data, (_, H, W, _) = base64.b64encode(self.apng()).decode(), self.frames.shape
        style = f"width:{W * self.scale}px;height:{H * self.scale}px;image-rendering:pixelated"
        text = html.escape(self.caption or repr(self), quote=True)
        label = f'<figcaption style="font-size:small">{text}</figcaption>' if self.caption else ""
        return f'<figure style="display:inline-block;margin:4px"><img alt="{text}" style="{style}" src="data:image/png;base64,{data}">{label}</figure>'

    def strip(self, count: int = 6, scale: int = 3) -> Image.Image:
        """A film strip of `count` frames, first and last among them, side by side."""
        picks = (
            np.linspace(0, len(self.frames) - 1, min(count, len(self.frames))).round().astype(int)
        )
        gap = np.full((self.frames.shape[1], 1, 3), 255, np.uint8)
        parts = [part for i in picks for part in (self.frames[i], gap)][:-1]
        image = Image.fromarray(np.concatenate(parts, axis=1))
        return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        buffer = io.BytesIO()
        self.strip().save(buffer, format="PNG")
        return {
            "text/html": self.html(),
            "image/png": base64.b64encode(buffer.getvalue()).decode(),
            "text/plain": repr(self),
        }

    def save(self, path: str | Path, force: bool = False) -> Path:
        """Write the clip as .png (animated), .gif, .webp, or .mp4 (needs the extra `video`).

        Raises:
            FileExistsError: the file is there and `force` is not set. ValueError: another ending, or .mp4 without `av`.
        """
        path = can_save(path, force)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() == ".mp4":
            self._save_mp4(path)
        else:
            colors = 64 if path.suffix.lower() == ".gif" else None
            path.write_bytes(
                self._animate(
                    {".png": "PNG", ".gif": "GIF", ".webp": "WEBP"}[path.suffix.lower()], colors
                )
            )
        return path

    def _save_mp4(self, path: Path) -> None:
        import av

        with av.open(str(path), "w") as file:
            stream = file.add_stream("libx264", rate=Fraction(self.fps).limit_denominator(1000))
            stream.height, stream.width, stream.pix_fmt = *self.frames.shape[1:3], "yuv420p"
            for frame in self.frames:
                file.mux(
                    stream.encode(
                        av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
                    )
                )
            file.mux(stream.encode())


def can_save(path: str | Path, force: bool = False) -> Path:
    """Complain about a clip's file before the work and not after it; errors as of `Clip.save`."""
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"{path.name!r} does not end in one of {', '.join(FORMATS)}")
    if path.suffix.lower() == ".mp4" and not find_spec("av"):
        raise ValueError(
            "mp4 needs the package av: pip install 'minisora[video]'; .png, .gif and .webp need nothing"
        )
    if path.exists() and not force:
        raise FileExistsError(
            f"{path} exists; choose another name, or overwrite it with force (--force)"
        )
    return path


def save_strips(videos: torch.Tensor, path: str | Path) -> None:
    """Write film strips of videos (B, 3, T, H, W), one under the other, to a PNG."""
    strips = [np.asarray(Clip(video).strip()) for video in videos]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(strips)).save(path)


def gallery(clips: list[Clip]):
    """Clips side by side, for the end of a notebook cell."""
    return Gallery(clips)


class Gallery:
    def __init__(self, clips: list[Clip]):
        self.clips = clips

    def __repr__(self) -> str:
        return "\n".join(map(repr, self.clips))

    def _repr_html_(self) -> str:
        return (
            '<div style="background:#fff;color:#000">'
            + "".join(clip.html() for clip in self.clips)
            + "</div>"
        )


def text_strip(clip: Clip, columns: int | None = None) -> str:
    """A film strip of coloured half blocks for a terminal; "" where the output is not a terminal or has no UTF-8."""
    if not sys.stdout.isatty() or "utf" not in (sys.stdout.encoding or "").lower():
        return ""
    columns = columns or shutil.get_terminal_size().columns
    count = max(1, min(4, columns // 26))
    picks = np.linspace(0, len(clip.frames) - 1, count).round().astype(int)
    small = [
        np.asarray(Image.fromarray(clip.frames[i]).resize((24, 24), Image.Resampling.BOX))
        for i in picks
    ]
    lines = []
    for row in range(0, 24, 2):
        parts = []
        for frame in small:
            for top, low in zip(frame[row], frame[row + 1], strict=True):
                parts.append(
                    f"\x1b[38;2;{top[0]};{top[1]};{top[2]};48;2;{low[0]};{low[1]};{low[2]}m▀"
                )
            parts.append("\x1b[0m  ")
        lines.append("".join(parts))
    return "\n".join(lines)


def latents_to_rgb(latents: torch.Tensor) -> torch.Tensor:
    """Look at latents (Cz, Tz, Hz, Wz): their three principal channels as colours, (3, Tz, Hz, Wz) in [-1, 1]."""
    flat = latents.float().flatten(1).T  # (cells, Cz)
    flat = flat - flat.mean(0)
    _, _, axes = torch.linalg.svd(flat, full_matrices=False)
    colors = flat @ axes[:3].T
    colors = colors / colors.abs().amax(0).clamp(min=1e-6)
    return colors.T.reshape(3, *latents.shape[1:])


def image_html(image: Image.Image, alt: str, scale: float = 1, colors: int = 64) -> str:
    """A picture as an image tag with words for those who do not see it, in few colours so that a notebook full of them stays small."""
    buffer, alt = io.BytesIO(), html.escape(alt, quote=True)
    image.convert("RGB").quantize(
        colors, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
    ).save(buffer, format="PNG", optimize=True)
    size = (
        "max-width:100%"
        if scale == 1
        else f"width:{image.width * scale:g}px;height:{image.height * scale:g}px;image-rendering:pixelated"
    )
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{alt}" title="{alt}" style="{size};vertical-align:middle;background:#fff" src="data:image/png;base64,{data}">'
