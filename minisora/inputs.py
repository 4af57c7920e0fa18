"""What a user hands in, checked before any memory is taken.

    numbers ──► within their bounds
    words ──► words that the model knows
    videos (tensor, numpy, PIL) ──► float32 (B, 3, T, H, W) in [-1, 1]; images without T

What cannot be taken ends in a ValueError of one sentence: the value, and what is allowed.
"""

import math
import operator
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image

Picture: TypeAlias = torch.Tensor | np.ndarray | Image.Image
Pictures: TypeAlias = Picture | Sequence[Picture]
Prompt: TypeAlias = str | Sequence[str]
Script: TypeAlias = str | Sequence[tuple[float, Prompt]]
Size: TypeAlias = tuple[int, int, int]
Generators: TypeAlias = torch.Generator | Sequence[torch.Generator] | None

MAX_STEPS = 1000
MAX_GUIDANCE = 100.0
MAX_CELLS = 8192  # latent cells of a clip alone; attention needs memory for every two of them
MAX_PIXELS = 2**26  # of a long video in float32, 0.8 GB: at 32×32 and 8 fps more than two hours


def reword(words: Sequence[str], rewordings: Mapping[str, str]) -> list[str]:
    """Replace phrases (keys) by words that the model knows (values), the longest phrases first."""
    if not rewordings:
        return list(words)
    phrases = _phrases(tuple(rewordings))
    return phrases.sub(lambda found: rewordings[found[0]], " ".join(words)).split()


@lru_cache
def _phrases(rewordings: tuple[str, ...]) -> re.Pattern[str]:
    """A pattern that finds any of the phrases as whole words."""
    longest_first = sorted(map(re.escape, rewordings), key=len, reverse=True)
    return re.compile(rf"(?<!\S)(?:{'|'.join(longest_first)})(?!\S)")


def shown(value: object) -> str:
    """Write a value for a message: on one line, at most about 60 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:60]} …"


def whole_number(name: str, value: Any, low: int, high: int) -> int:
    """Return a whole number as an int; ValueError where it is none, or not from low to high."""
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(
            f"{name}={shown(value)} is not a whole number; it goes from {low} to {high}"
        ) from None
    if number < low:
        raise ValueError(f"{name}={number} is too few; it goes from {low} to {high}")
    if number > high:
        raise ValueError(f"{name}={number} is too many; it goes from {low} to {high}")
    return number


def real_number(name: str, value: Any, low: float, high: float) -> float:
    """Return a number as a float; ValueError where it is none, NaN, or not from low to high."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        number = math.nan
    if not low <= number <= high:
        raise ValueError(f"{name}={shown(value)} is not a number from {low:g} to {high:g}")
    return number


def check_length(num_frames: int, height: int, width: int, count: int = 1) -> None:
    """Raise ValueError for `count` videos that together have more than MAX_PIXELS pixels."""
    most = MAX_PIXELS // (count * height * width)
    if num_frames > most:
        raise ValueError(
            f"{count} × {num_frames} frames of {height}×{width} are too many; at most {most} fit"
        )


def check_cells(size: Size, cells: int, count: int) -> None:
    """Raise ValueError where attention takes too much memory: count × cells² > MAX_CELLS².

    Args:
        size: (T, H, W) in pixels, for the message.
        cells: latent cells of a clip.
        count: clips in a batch.
    """
    num_frames, height, width = size
    most = int(MAX_CELLS / count**0.5)
    if cells > most:
        raise ValueError(
            f"{count} × {num_frames} frames of {height}×{width} are too much at once: {cells} "
            f"latent cells a clip, and at most {most} fit; make fewer, shorter or smaller clips"
        )


def sentences(name: str, value: str | Sequence[str]) -> list[str]:
    """Return one sentence or several as a list; ValueError for an empty list or anything else."""
    prompts = [value] if isinstance(value, str) else value
    if not isinstance(prompts, (list, tuple)) or not all(isinstance(p, str) for p in prompts):
        raise ValueError(f"{name} is a sentence or a list of sentences, not {shown(value)}")
    if not prompts:
        raise ValueError(f"{name} is an empty list; it needs at least one sentence")
    return list(prompts)


def one_each(name: str, value: str | Sequence[str], count: int) -> list[str]:
    """Return a sentence for each of `count` clips: the same for all, or one each.

    Raises:
        ValueError: no sentences, or another number of them than clips.
    """
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
    """Raise ValueError unless there is one generator for the batch, one for each clip, or None."""
    if generator is None or isinstance(generator, torch.Generator):
        return
    if not isinstance(generator, (list, tuple)) or not all(
        isinstance(g, torch.Generator) for g in generator
    ):
        raise ValueError(
            f"generator is a torch.Generator or a list of one for each clip, not {shown(generator)}"
        )
    if len(generator) != count:
        raise ValueError(f"{count} clips and {len(generator)} generators do not pair up")


def check_options(count: int, options: Mapping[str, Any], samplers: Sequence[str]) -> None:
    """Raise ValueError where options of `MiniSora.denoise` do not fit `count` clips.

    Args:
        samplers: names of all samplers.
    """
    one_each("negative_prompt", options.get("negative_prompt", ""), count)
    check_generators(options.get("generator"), count)
    guidance_scale = options.get("guidance_scale", 1.0)
    real_number("guidance_scale", guidance_scale, -MAX_GUIDANCE, MAX_GUIDANCE)
    steps = options.get("num_inference_steps")
    if steps is not None:
        whole_number("num_inference_steps", steps, 1, MAX_STEPS)
    sampler = options.get("sampler", samplers[0])
    if sampler not in samplers:
        raise ValueError(
            f"sampler={shown(sampler)} is not known; it is one of {', '.join(samplers)}"
        )


def check_latents(latents: torch.Tensor, sigma: torch.Tensor, channels: int) -> None:
    """Raise ValueError unless latents are (B, channels, Tz, Hz, Wz) and sigma is (Tz, Hz, Wz)."""
    good = isinstance(latents, torch.Tensor) and latents.ndim == 5
    if not good or latents.shape[1] != channels or not latents.isfinite().all():
        raise ValueError(
            f"latents are finite numbers (B, {channels}, Tz, Hz, Wz), not {shown(latents)}"
        )
    good = isinstance(sigma, torch.Tensor) and sigma.shape == latents.shape[2:]
    if not good or not ((sigma >= 0) & (sigma <= 1)).all():
        raise ValueError(
            f"sigma has a level from 0 to 1 for each of {tuple(latents.shape[2:])} latent "
            f"cells, and is not {shown(sigma)}"
        )


def video_batch(source: Pictures, name: str = "video") -> torch.Tensor:
    """Turn videos of any kind into float32 (B, 3, T, H, W) in [-1, 1].

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
    """Turn images of any kind into float32 (B, 3, H, W) in [-1, 1]; as `video_batch`, without T."""
    return _batch(source, 4, name)


def _batch(source: Pictures, ndim: int, name: str) -> torch.Tensor:
    """A batch of `ndim` axes in [-1, 1], colours in the second: 4 for images, 5 for videos."""
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
    """One tensor, array or PIL image as float32; 0 … 255 of uint8 become -1 … 1."""
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
        raise ValueError(f"{name} is a tensor, a numpy array or a PIL image, not {shown(source)}")
    if source.dtype == torch.uint8:
        return source.float() / 127.5 - 1
    if not source.is_floating_point():
        raise ValueError(
            f"{name} has numbers of {source.dtype}; uint8, or floats in [-1, 1], would do"
        )
    return source.float()


def noise_levels(sigma: float | torch.Tensor, shape: Size) -> torch.Tensor:
    """Expand noise levels to one for each latent cell.

    Args:
        sigma: as in `tasks.denoise_video`.
        shape: (Tz, Hz, Wz).

    Returns:
        (Tz, Hz, Wz) float32 in [0, 1].

    Raises:
        ValueError: a shape that does not broadcast, or a level outside of [0, 1].
    """
    try:
        levels = torch.as_tensor(sigma, dtype=torch.float32)
        levels = levels[:, None, None] if levels.ndim == 1 else levels
        levels = levels.expand(shape)
    except (RuntimeError, TypeError, ValueError):
        raise ValueError(
            f"noise levels are a number, one for each of {shape[0]} latent frames, or a tensor "
            f"that broadcasts to {shape}, not {shown(sigma)}"
        ) from None
    low, high = float(levels.min()), float(levels.max())
    if not (low >= 0 and high <= 1):  # NaN is neither
        raise ValueError(
            f"noise levels go from 0 (kept) to 1 (generated anew), not {low:g} to {high:g}"
        )
    return levels


def missing_pixels(
    shape: tuple[int, ...],
    frames: Sequence[int] | None,
    region: Sequence[int] | torch.Tensor | None,
) -> torch.Tensor:
    """Find which pixels of a clip are to be generated.

    Args:
        shape: (T, H, W).
        frames, region: as in `tasks.inpaint`.

    Returns:
        (T, H, W) bool, True where missing.

    Raises:
        ValueError: frames or a region that are not understood, or not in the clip.
    """
    T, H, W = shape
    if frames is None and region is None:
        raise ValueError("nothing is missing; name frames or a region")
    inside = _region_pixels(shape, region)
    if not inside.any():
        raise ValueError(f"the region has no pixel in a frame of {H}×{W}")
    if frames is None:
        return inside
    chosen = torch.zeros(T, dtype=torch.bool)
    try:
        numbers = list(map(operator.index, frames))
    except TypeError:
        raise ValueError(f"frames={shown(frames)} are not whole numbers") from None
    for number in numbers:
        if not 0 <= number < T:
            raise ValueError(f"frame {number} is not there; the clip has frames 0 to {T - 1}")
        chosen[number] = True
    missing = inside & chosen[:, None, None]
    if not missing.any():
        raise ValueError("no frame is missing; name at least one that the region has pixels in")
    return missing


def _region_pixels(
    shape: tuple[int, ...], region: Sequence[int] | torch.Tensor | None
) -> torch.Tensor:
    """The pixels of a region, (T, H, W) bool; all where None."""
    if region is None:
        return torch.ones(shape, dtype=torch.bool)
    if isinstance(region, torch.Tensor):
        if region.dtype != torch.bool:
            raise ValueError(f"a region is a tensor of bool, not of {region.dtype}")
        try:
            return region.cpu().expand(shape).clone()
        except RuntimeError:
            raise ValueError(
                f"a region of {tuple(region.shape)} does not broadcast to {shape}"
            ) from None
    try:
        top, left, height, width = map(operator.index, region)
    except (TypeError, ValueError):
        raise ValueError(
            f"region={shown(region)} is not understood; it is (top, left, height, width) "
            "in pixels, or a tensor of bool"
        ) from None
    inside = torch.zeros(shape, dtype=torch.bool)
    rows = slice(max(top, 0), max(top + height, 0))
    columns = slice(max(left, 0), max(left + width, 0))
    inside[:, rows, columns] = True
    return inside


def script_parts(script: Script, seconds: float) -> tuple[list[float], list[list[str]]]:
    """Return the seconds and the sentences of every part of a script.

    Args:
        script: as in `tasks.long_video`.
        seconds: of a script that is one sentence.

    Returns:
        A number of seconds for each part, and a list of B sentences for each part.
    """
    parts = [(seconds, script)] if isinstance(script, str) else script
    try:
        pairs = [(length, text) for length, text in parts]
    except (TypeError, ValueError):
        pairs = []
    if not pairs:
        raise ValueError(f"a script is a list of (seconds, sentence), not {shown(script)}")
    # the upper bound is for infinity; `check_length` refuses what is too long
    lengths = [real_number("seconds", length, 1e-3, MAX_PIXELS) for length, _ in pairs]
    count = max(len(sentences("script", text)) for _, text in pairs)
    return lengths, [one_each("script", text, count) for _, text in pairs]


def check_joint(first: torch.Tensor, last: torch.Tensor, num_frames: int, patch: int) -> None:
    """Raise ValueError for two videos (B, 3, T, H, W) that `num_frames` frames cannot connect.

    Args:
        patch: frames in a latent frame.
    """
    if num_frames % patch:
        nearest = max(num_frames // patch, 1) * patch
        raise ValueError(f"num_frames={num_frames} is no multiple of {patch}; {nearest} would be")
    if last.shape[2] < patch:
        raise ValueError(f"the second clip has {last.shape[2]} frames and needs {patch}")
    if first.shape[3:] != last.shape[3:] or len(first) != len(last):
        raise ValueError(
            f"clips of {tuple(first.shape)} and {tuple(last.shape)} do not fit together: "
            "batch, height and width must agree"
        )
