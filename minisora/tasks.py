"""One function, many prompts: every Sora capability is a choice of which tokens are clean already.

    video, prompt ── a task ──► (latents, sigma) ── MiniSora.denoise ──► video (B, 3, T, H, W)

| task                  | tokens that start clean (noise level 0)                       |
| --------------------- | ------------------------------------------------------------- |
| generate              | none                                                          |
| text_to_image         | none; an image is a clip of one frame                         |
| animate               | the first latent frame                                        |
| extend                | the last latent frames (forward) or the first ones (backward) |
| long_video            | as extend, again and again: a window that slides              |
| connect, loop         | both ends                                                     |
| inpaint               | every token that has no missing pixel                         |
| video_to_video        | none, but all start at noise level `strength` instead of 1    |

The network and the sampler are the same in all of them (OpenAI's report, *Video generation models as
world simulators*, 2024, "Prompting with images and videos"). Each function here only says which latents
go in, and at which noise level each of them starts. `options` are those of `MiniSora.denoise`.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from tqdm.auto import tqdm

from minisora.patchify import patchify
from minisora.pipeline import MiniSora

CONTEXT_FRAMES = 12  # that a window goes on from; data/LOG.md has the comparison


def text_to_image(
    model: MiniSora,
    prompt: str | Sequence[str],
    *,
    height: int | None = None,
    width: int | None = None,
    **options: Any,
) -> torch.Tensor:
    """Text to image: a clip of one frame, and no token starts clean.

    Returns:
        images (B, 3, H, W) in [-1, 1].
    """
    video = model.generate(prompt, num_frames=1, height=height, width=width, **options)
    return video[:, :, 0]


def animate(
    model: MiniSora,
    image: torch.Tensor,
    prompt: str | Sequence[str],
    *,
    num_frames: int | None = None,
    **options: Any,
) -> torch.Tensor:
    """Image to video: the tokens of the first latent frame start clean.

    Args:
        image: (3, H, W) or (B, 3, H, W) in [-1, 1], sides multiples of 8.
        num_frames: 4k + 1; the preset's where None.

    Returns:
        video (B, 3, T, H, W) that starts with the image.
    """
    images = _batched(image, 4, "image")
    frames = model.preset.num_frames if num_frames is None else num_frames
    shape = model.latent_shape(frames, *images.shape[-2:])
    first = model.encode(images[:, :, None])  # (B, Cz, 1, Hz, Wz)
    latents = first.new_zeros(len(images), first.shape[1], *shape)
    latents[:, :, :1] = first
    sigma = torch.ones(shape)
    sigma[0] = 0
    return model.denoise(_paired(prompt, len(images)), latents, sigma, **options)


def denoise_video(
    model: MiniSora,
    video: torch.Tensor,
    sigma: float | torch.Tensor,
    prompt: str | Sequence[str] = "",
    **options: Any,
) -> torch.Tensor:
    """Start every latent cell of a video at its own noise level, and denoise all of them: the general case.

    Args:
        video: (3, T, H, W) or (B, 3, T, H, W) in [-1, 1], T = 4k + 1.
        sigma: a number, one for each latent frame (Tz,), or a tensor that broadcasts to (Tz, Hz, Wz).
            0 is kept, 1 is generated anew, between is changed.
        prompt: one for all clips, or one each.

    Returns:
        video (B, 3, T, H, W) in [-1, 1].

    Raises:
        ValueError: a size that the model cannot take, or a noise level outside of [0, 1].
    """
    videos = _batched(video, 5, "video")
    shape = model.latent_shape(*videos.shape[2:])
    sigma = torch.as_tensor(sigma, dtype=torch.float32)
    if sigma.ndim == 1:
        sigma = sigma[:, None, None]
    low, high = float(sigma.min()), float(sigma.max())
    if low < 0 or high > 1:
        raise ValueError(
            f"noise levels go from 0 (kept) to 1 (generated anew), not {low:g} to {high:g}"
        )
    latents = model.encode(videos)
    return model.denoise(_paired(prompt, len(videos)), latents, sigma.expand(shape), **options)


def sigma_of(
    shape: tuple[int, int, int],
    kept: Sequence[int] = (),
    rows: tuple[int, int] = (0, 0),
    columns: tuple[int, int] = (0, 0),
    strength: float = 1.0,
) -> torch.Tensor:
    """Noise levels (t, h, w) of a plan: 0 in the frames that are kept, `strength` everywhere else.

    Args:
        shape: frames, rows and columns of latent cells or of tokens.
        kept: frames that start clean.
        rows, columns: from, to; inside this box no frame starts clean.

    Raises:
        ValueError: a frame that is not there.
    """
    sigma = torch.full(shape, float(strength))
    for frame in kept:
        if not 0 <= frame < shape[0]:
            raise ValueError(
                f"latent frame {frame} is not there; they count from 0 to {shape[0] - 1}"
            )
        sigma[frame] = 0
    sigma[:, slice(*rows), slice(*columns)] = strength
    return sigma


def video_to_video(
    model: MiniSora,
    video: torch.Tensor,
    prompt: str | Sequence[str],
    strength: float = 0.7,
    **options: Any,
) -> torch.Tensor:
    """Change a video as the prompt says: all tokens start at noise level `strength` (SDEdit, arXiv:2108.01073)."""
    return denoise_video(model, video, strength, prompt, **options)


def inpaint(
    model: MiniSora,
    video: torch.Tensor,
    prompt: str | Sequence[str] = "",
    *,
    frames: Sequence[int] | None = None,
    region: tuple[int, int, int, int] | torch.Tensor | None = None,
    **options: Any,
) -> torch.Tensor:
    """Generate missing frames, or a region, anew. Every token that has no missing pixel starts clean.

    Args:
        video: (3, T, H, W) or (B, 3, T, H, W) in [-1, 1].
        frames: numbers of the frames that are missing, from 0; all where None.
        region: (top, left, height, width) in pixels, or a bool tensor that broadcasts to (T, H, W);
            whole frames where None.

    Returns:
        video (B, 3, T, H, W).
    """
    missing = _missing_pixels(video.shape[-3:], frames, region)
    patch = model.vae.config.patch_size
    shape = model.latent_shape(*missing.shape)
    first = missing[:1].expand(patch[0] - 1, -1, -1)  # fills a cell, as in `VideoVAE.encode`
    cells = patchify(torch.cat([first, missing])[None, None].float(), patch).amax(-1)
    return denoise_video(model, video, cells.view(shape), prompt, **options)


def _missing_pixels(
    shape: tuple[int, int, int],
    frames: Sequence[int] | None,
    region: tuple[int, int, int, int] | torch.Tensor | None,
) -> torch.Tensor:
    """Which pixels of a clip are to be generated: (T, H, W) bool."""
    T, H, W = shape
    if frames is None and region is None:
        raise ValueError("nothing is missing; name frames or a region")
    inside = torch.ones(T, H, W, dtype=torch.bool)
    if isinstance(region, torch.Tensor):
        inside = region.bool().expand(T, H, W).clone()
    elif region is not None:
        top, left, height, width = region
        inside = torch.zeros(T, H, W, dtype=torch.bool)
        rows = slice(max(top, 0), max(top + height, 0))
        columns = slice(max(left, 0), max(left + width, 0))
        inside[:, rows, columns] = True
    if not inside.any():
        raise ValueError(f"the region has no pixel in a frame of {H}×{W}")
    if frames is None:
        return inside
    if not len(frames):
        raise ValueError("no frame is missing; name at least one")
    for frame in frames:
        if not 0 <= frame < T:
            raise ValueError(f"frame {frame} is not there; the clip has frames 0 to {T - 1}")
    chosen = torch.zeros(T, dtype=torch.bool)
    chosen[list(frames)] = True
    return inside & chosen[:, None, None]


def extend(
    model: MiniSora,
    video: torch.Tensor,
    num_frames: int,
    prompt: str | Sequence[str] = "",
    *,
    direction: str = "forward",
    context_frames: int = CONTEXT_FRAMES,
    **options: Any,
) -> torch.Tensor:
    """Go on where a video ends, or generate what came before it.

    The latent frames next to the seam start clean. A window as long as training's longest clips slides
    until there are `num_frames` more.

    Args:
        video: (3, T, H, W) or (B, 3, T, H, W) in [-1, 1].
        num_frames: how many frames more.
        direction: "forward" or "backward".
        context_frames: that a window goes on from, a multiple of 4; forward, one more stands before them
            (a window's first frame has a latent frame to itself). Few keep what is there and not how it
            moves: data/LOG.md has the comparison.

    Returns:
        video (B, 3, T + num_frames, H, W); the conditioning frames are the ones that came in.

    Raises:
        ValueError: another direction, fewer than one frame, or too short a clip to go backward from.
    """
    if direction not in ("forward", "backward"):
        raise ValueError(f"direction={direction!r} is not known; it is forward or backward")
    if num_frames < 1 or context_frames < 1:
        raise ValueError(
            f"num_frames={num_frames} and context_frames={context_frames}: neither can be less than 1"
        )
    longer = _batched(video, 5, "video").cpu()
    total = longer.shape[2] + num_frames
    one_window = _append if direction == "forward" else _prepend
    while longer.shape[2] < total:
        missing = total - longer.shape[2]
        longer = one_window(model, longer, missing, prompt, context_frames, **options)
    return longer[:, :, :total] if direction == "forward" else longer[:, :, -total:]


def _append(
    model: MiniSora,
    video: torch.Tensor,
    missing: int,
    prompt: str | Sequence[str],
    context_frames: int,
    **options: Any,
) -> torch.Tensor:
    """One window more at the end of a clip; it may be a few frames more than are missing."""
    patch, window = model.vae.config.patch_size[0], longest_window(model)
    most = (video.shape[2] - 1) // patch  # latent frames behind the first of the context
    context = min(max(context_frames // patch, 1), window - 2, most)
    new = min(math.ceil(missing / patch), window - 1 - context)
    kept = video[:, :, -(1 + patch * context) :]
    blank = kept[:, :, -1:].expand(-1, -1, patch * new, -1, -1)  # anything would do
    sigma = torch.tensor([0.0] * (1 + context) + [1.0] * new)
    generated = denoise_video(model, torch.cat([kept, blank], dim=2), sigma, prompt, **options)
    return torch.cat([video, generated[:, :, kept.shape[2] :].cpu()], dim=2)


def _prepend(
    model: MiniSora,
    video: torch.Tensor,
    missing: int,
    prompt: str | Sequence[str],
    context_frames: int,
    **options: Any,
) -> torch.Tensor:
    """One window more before a clip; it may be a few frames more than are missing."""
    patch, window = model.vae.config.patch_size[0], longest_window(model)
    most = video.shape[2] // patch
    if not most:
        raise ValueError(
            f"going backward starts from {patch} frames, and the clip has {video.shape[2]}"
        )
    context = min(max(context_frames // patch, 1), window - 2, most)
    new = min(math.ceil((missing - 1) / patch), window - 1 - context)  # behind the window's first
    kept = video[:, :, : patch * context]
    blank = kept[:, :, :1].expand(-1, -1, 1 + patch * new, -1, -1)
    sigma = torch.tensor([1.0] * (1 + new) + [0.0] * context)
    generated = denoise_video(model, torch.cat([blank, kept], dim=2), sigma, prompt, **options)
    return torch.cat([generated[:, :, : blank.shape[2]].cpu(), video], dim=2)


def longest_window(model: MiniSora) -> int:
    """Latent frames of the longest clips that training had, at least 3."""
    longest = max([model.preset.num_frames, *(frames for frames, *_ in model.preset.other_sizes)])
    return max((longest - 1) // model.vae.config.patch_size[0] + 1, 3)


def connect(
    model: MiniSora,
    before: torch.Tensor,
    after: torch.Tensor,
    prompt: str | Sequence[str] = "",
    num_frames: int = 8,
    **options: Any,
) -> torch.Tensor:
    """Lead from one video into another: the end of the first and the beginning of the second start clean.

    Args:
        before, after: (3, T, H, W) or (B, 3, T, H, W) in [-1, 1].
        num_frames: frames between the two, a multiple of 4.

    Returns:
        video (B, 3, T_before + num_frames + T_after, H, W); the frames of both clips are the ones that came in.
    """
    patch, window = model.vae.config.patch_size[0], longest_window(model)
    first = _batched(before, 5, "before").cpu()
    last = _batched(after, 5, "after").cpu()
    if num_frames < patch or num_frames % patch:
        nearest = max(num_frames // patch, 1) * patch
        raise ValueError(f"num_frames={num_frames} is no multiple of {patch}; {nearest} would be")
    if last.shape[2] < patch:
        raise ValueError(f"the second clip has {last.shape[2]} frames and needs {patch}")
    if first.shape[3:] != last.shape[3:] or len(first) != len(last):
        raise ValueError(
            f"clips of {tuple(first.shape)} and {tuple(last.shape)} do not fit together: "
            "batch, height and width must agree"
        )
    new = num_frames // patch
    most = min(CONTEXT_FRAMES // patch, max((window - 1 - new) // 2, 1))  # latent frames of either
    head = min(most, (first.shape[2] - 1) // patch)
    tail = min(most, last.shape[2] // patch)
    kept = first[:, :, -(1 + patch * head) :]
    blank = kept[:, :, -1:].expand(-1, -1, num_frames, -1, -1)
    sigma = torch.tensor([0.0] * (1 + head) + [1.0] * new + [0.0] * tail)
    clip = torch.cat([kept, blank, last[:, :, : patch * tail]], dim=2)
    generated = denoise_video(model, clip, sigma, prompt, **options)
    middle = generated[:, :, kept.shape[2] : kept.shape[2] + num_frames].cpu()
    return torch.cat([first, middle, last], dim=2)


def loop(
    model: MiniSora,
    video: torch.Tensor,
    prompt: str | Sequence[str] = "",
    num_frames: int = 8,
    **options: Any,
) -> torch.Tensor:
    """Lead from a video's end back to its beginning: (B, 3, T + num_frames, H, W), to be shown again and again.

    Arguments as `connect`'s.
    """
    connected = connect(model, video, video, prompt, num_frames, **options)
    return connected[:, :, : video.shape[-3] + num_frames]


def long_video(
    model: MiniSora,
    script: str | Sequence[tuple[float, str | list[str]]],
    *,
    seconds: float = 60.0,
    fps: float = 8.0,
    height: int | None = None,
    width: int | None = None,
    upsample: bool = True,
    progress: bool = True,
    **options: Any,
) -> torch.Tensor:
    """A long clip, window by window: a clip of the first sentence, then `extend` again and again.

    Each window goes on from `CONTEXT_FRAMES` (from fewer where the sentence changes) and from nothing
    else, so that cost and memory do not grow with the clip.

    Args:
        script: one sentence for all `seconds`, or several, each with its seconds:
            [(20, "a red circle moving left"), (40, …)]. In place of a sentence, a list of B of them
            makes B clips at once.

    Returns:
        video (B, 3, T, H, W), T = seconds × fps + 1, with all parts' seconds; B is 1 for single sentences.
    """
    parts = [(seconds, script)] if isinstance(script, str) else list(script)
    if not parts or min(length for length, _ in parts) <= 0:
        raise ValueError(
            f"a script is a list of (seconds, sentence) with seconds above 0, not {script!r} for {seconds:g} s"
        )
    sentences = [[text] if isinstance(text, str) else list(text) for _, text in parts]
    model.tokenizer(sum(sentences, []))  # an unknown word is found now, not in the middle
    ends = [round(fps * sum(length for length, _ in parts[: i + 1])) + 1 for i in range(len(parts))]
    video = model.generate(parts[0][1], upsample=upsample, height=height, width=width, **options)
    video = video.cpu()[:, :, : ends[0]]
    patch = model.vae.config.patch_size[0]
    step = patch * max(longest_window(model) - 1 - CONTEXT_FRAMES // patch, 1)
    previous = parts[0][1]
    with tqdm(total=ends[-1], initial=video.shape[2], unit="frame", disable=not progress) as bar:
        for end, (_, sentence) in zip(ends, parts, strict=True):
            # who sees less of a motion is freer to end it
            context_frames = CONTEXT_FRAMES if sentence == previous else patch
            previous = sentence
            while video.shape[2] < end:
                more = min(step, end - video.shape[2])
                video = extend(
                    model, video, more, sentence, context_frames=context_frames, **options
                )
                context_frames = CONTEXT_FRAMES
                bar.update(more)
    return video


def _batched(x: torch.Tensor, ndim: int, name: str) -> torch.Tensor:
    """A batch of images (ndim 4) or videos (5), from one of them or several."""
    x = x[None] if x.ndim == ndim - 1 else x
    if x.ndim != ndim or x.shape[1] != 3:
        axes = "3, H, W" if ndim == 4 else "3, T, H, W"
        raise ValueError(f"{name} has shape {tuple(x.shape)}; it should be ({axes}) or (B, {axes})")
    if x.min() < -1.01 or x.max() > 1.01:
        raise ValueError(
            f"{name} has values in [{x.min():.1f}, {x.max():.1f}]; scale them to [-1, 1]"
        )
    return x


def _paired(prompt: str | Sequence[str], count: int) -> list[str]:
    """A prompt for each of `count` clips."""
    prompts = [prompt] * count if isinstance(prompt, str) else list(prompt)
    if len(prompts) != count:
        raise ValueError(f"{count} clips and {len(prompts)} prompts do not pair up")
    return prompts
