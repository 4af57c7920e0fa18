"""What a user hands in, checked before any memory is taken.

    numbers ──► within their bounds
    videos (tensor, numpy, PIL) ──► float32 (B, 3, T, H, W) in [-1, 1]; images without T

What cannot be taken ends in a ValueError of one sentence: the value, and what is allowed.
"""

import math
import operator
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image

Picture: TypeAlias = torch.Tensor | np.ndarray | Image.Image
Pictures: TypeAlias = Picture | Sequence[Picture]
Generators: TypeAlias = torch.Generator | Sequence[torch.Generator] | None

MAX_STEPS = 1000
MAX_GUIDANCE = 100.0
MAX_CELLS = 8192  # latent cells of one clip; attention needs memory for every pair of them
MAX_PIXELS = 2**26  # of a long video, 0.8 GB: at 32×32 more than two hours


def whole_number(name: str, value: Any, low: int, high: int) -> int:
    """A whole number within its bounds, whatever kind of number it came as."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(
            f"{name}={value!r} is not a whole number; it goes from {low} to {high}"
        ) from None
    if number < low:
        raise ValueError(f"{name}={number} is too few; it goes from {low} to {high}")
    if number > high:
        raise ValueError(f"{name}={number} is too many; it goes from {low} to {high}")
    return number


def real_number(name: str, value: Any, low: float, high: float) -> float:
    """A number within its bounds, and so neither NaN nor infinite."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        number = math.nan
    if not low <= number <= high:
        raise ValueError(f"{name}={value!r} is not a number from {low:g} to {high:g}")
    return number


def check_length(num_frames: int, height: int, width: int, count: int = 1) -> None:
    """Refuse long videos that memory would not hold, before the first frame is made."""
    most = MAX_PIXELS // (count * height * width)
    if num_frames > most:
        raise ValueError(
            f"{count} × {num_frames} frames of {height}×{width} are too many; at most {most} fit"
        )


def sentences(name: str, value: str | Sequence[str]) -> list[str]:
    """One sentence or several, as a list of at least one."""
    prompts = [value] if isinstance(value, str) else value
    if not isinstance(prompts, (list, tuple)) or not all(isinstance(p, str) for p in prompts):
        raise ValueError(f"{name} is a sentence or a list of sentences, not {value!r:.80}")
    if not prompts:
        raise ValueError(f"{name} is an empty list; it needs at least one sentence")
    return list(prompts)


def one_each(name: str, value: str | Sequence[str], count: int) -> list[str]:
    """A sentence for each of `count` clips: the same for all, or one each."""
    prompts = sentences(name, value)
    if isinstance(value, str):
        return prompts * count
    if len(prompts) != count:
        raise ValueError(
            f"{count} clips and {len(prompts)} sentences as {name} do not pair up; "
            "give one for all, or one each"
        )
    return prompts


def check_generators(generator: Generators, count: int) -> None:
    """One generator for the whole batch, or a list of one for each clip."""
    if generator is None or isinstance(generator, torch.Generator):
        return
    if not isinstance(generator, (list, tuple)) or not all(
        isinstance(g, torch.Generator) for g in generator
    ):
        raise ValueError(
            f"generator is a torch.Generator or a list of one for each clip, not {generator!r:.80}"
        )
    if len(generator) != count:
        raise ValueError(f"{count} clips and {len(generator)} generators do not pair up")


def video_batch(source: Pictures, name: str = "video") -> torch.Tensor:
    """Videos of any kind as float32 (B, 3, T, H, W) in [-1, 1].

    Args:
        source: (3, T, H, W) or (T, H, W, 3), with or without a batch before it, as a tensor or a
            numpy array, uint8 or floats in [-1, 1]; a list of PIL images is one video; a list of
            tensors or arrays is a batch.

    Raises:
        ValueError: another shape, another kind of number, or values outside of [-1, 1].
    """
    if isinstance(source, (list, tuple)) and source and isinstance(source[0], Image.Image):
        source = _stacked([_pixels(frame, name) for frame in source], name)[None]
    return _batch(source, 5, name)


def image_batch(source: Pictures, name: str = "image") -> torch.Tensor:
    """Images of any kind as float32 (B, 3, H, W) in [-1, 1]; as `video_batch`, without T."""
    return _batch(source, 4, name)


def _batch(source: Pictures, ndim: int, name: str) -> torch.Tensor:
    if isinstance(source, (list, tuple)):
        x = _stacked([_pixels(part, name) for part in source], name)
    else:
        x = _pixels(source, name)
    x = x[None] if x.ndim == ndim - 1 else x
    if x.ndim == ndim and x.shape[-1] == 3:
        x = x.movedim(-1, 1)  # colours last; no clip has a width of 3
    if x.ndim != ndim or x.shape[1] != 3:
        axes = "3, H, W" if ndim == 4 else "3, T, H, W"
        raise ValueError(f"{name} has shape {tuple(x.shape)}; it should be ({axes}) or (B, {axes})")
    if not x.numel():
        raise ValueError(f"{name} has shape {tuple(x.shape)}, which is empty")
    low, high = float(x.min()), float(x.max())
    if not (low >= -1.01 and high <= 1.01):  # NaN is neither
        raise ValueError(f"{name} has values in [{low:.1f}, {high:.1f}]; scale them to [-1, 1]")
    return x


def _stacked(parts: list[torch.Tensor], name: str) -> torch.Tensor:
    shapes = {tuple(part.shape) for part in parts}
    if len(shapes) != 1:
        kinds = " and ".join(map(str, sorted(shapes))) or "nothing"
        raise ValueError(f"{name} is a list of {kinds}; all in a list need one shape")
    return torch.stack(parts)


def _pixels(source: Pictures, name: str) -> torch.Tensor:
    """One tensor, array or PIL image as float32; uint8 goes from 0 … 255 to -1 … 1."""
    if isinstance(source, Image.Image):
        if source.mode not in ("RGB", "L"):
            raise ValueError(
                f"{name} is a PIL image of mode {source.mode}; convert it to RGB, "
                "as minisora.show.media.as_image does"
            )
        source = np.array(source.convert("RGB"))
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 and source.dtype.kind != "f":
            raise ValueError(
                f"{name} is an array of {source.dtype}; uint8, or floats in [-1, 1], would do"
            )
        kind = np.uint8 if source.dtype == np.uint8 else np.float32
        source = torch.from_numpy(np.array(source, dtype=kind))
    if not isinstance(source, torch.Tensor):
        raise ValueError(
            f"{name} is a tensor, a numpy array or a PIL image, not {type(source).__name__}"
        )
    if source.dtype == torch.uint8:
        return source.float() / 127.5 - 1
    if not source.is_floating_point():
        raise ValueError(
            f"{name} has numbers of {source.dtype}; uint8, or floats in [-1, 1], would do"
        )
    return source.float()
