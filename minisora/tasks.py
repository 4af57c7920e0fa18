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

The network and the sampler are the same in all of them (OpenAI's report, *Video generation models
as world simulators*, 2024, "Prompting with images and videos"). Each function here only says which
latents go in, and at which noise level each of them starts. Conditioning pixels come out as they
came in, bit for bit. `options` are those of `MiniSora.denoise`. Every task raises its ValueErrors
before the work begins.

Videos and images may be tensors, numpy arrays or PIL images: see `inputs.video_batch`.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Unpack

import torch
from tqdm.auto import tqdm

from minisora.inputs import (
    MAX_PIXELS,
    Pictures,
    Prompt,
    Script,
    check_joint,
    check_length,
    check_options,
    image_batch,
    missing_pixels,
    noise_levels,
    one_each,
    real_number,
    script_parts,
    shown,
    video_batch,
    whole_number,
)
from minisora.patchify import Size, highest_in_patches
from minisora.pipeline import MiniSora, SamplingOptions
from minisora.sampling import SAMPLERS

CONTEXT_FRAMES = 12  # clean frames at the edge of a window; data/LOG.md has the comparison
# PSNR below which a warning is given: of 96 toy-world clips the worst has 26, and clips of other
# colours have 15 to 25
ROUND_TRIP_DB = 24.0


def text_to_image(
    model: MiniSora,
    prompt: Prompt,
    *,
    height: int | None = None,
    width: int | None = None,
    **options: Unpack[SamplingOptions],
) -> torch.Tensor:
    """Text to image: a clip of one frame, and no token starts clean.

    Args:
        height, width: as in `MiniSora.generate`.

    Returns:
        images (B, 3, H, W) in [-1, 1].
    """
    video = model.generate(prompt, num_frames=1, height=height, width=width, **options)
    return video[:, :, 0]


def animate(
    model: MiniSora,
    image: Pictures,
    prompt: Prompt,
    *,
    num_frames: int | None = None,
    **options: Unpack[SamplingOptions],
) -> torch.Tensor:
    """Image to video: the tokens of the first latent frame start clean.

    Args:
        image: (3, H, W) or (B, 3, H, W) in [-1, 1]; sides as in `MiniSora.generate`.
        num_frames: 4k + 1; the preset's where None.

    Returns:
        video (B, 3, T, H, W) in [-1, 1] that starts with the image.
    """
    first = image_batch(image)[:, :, None]  # (B, 3, 1, H, W)
    frames = model.preset.num_frames if num_frames is None else num_frames
    B, _, _, H, W = first.shape
    shape = model.latent_shape(frames, H, W, B)
    prompts = _prompts(model, prompt, B, options)
    if frames == 1:
        return first
    encoded = model.encode(first)  # (B, Cz, 1, Hz, Wz)
    latents = encoded.new_zeros(B, encoded.shape[1], *shape)
    latents[:, :, :1] = encoded
    generated = model.denoise(prompts, latents, sigma_of(shape, [0]), **options)
    first = first.to(generated.device)
    _warn_of_colours(first, generated[:, :, :1])
    return torch.cat([first, generated[:, :, 1:]], dim=2)


def denoise_video(
    model: MiniSora,
    video: Pictures,
    sigma: float | torch.Tensor,
    prompt: Prompt = "",
    **options: Unpack[SamplingOptions],
) -> torch.Tensor:
    """Start every latent cell of a video at its own noise level: the general case.

    Args:
        video: (3, T, H, W) or (B, 3, T, H, W) in [-1, 1], T = 4k + 1.
        sigma: a number, one for each latent frame (Tz,), or a tensor that broadcasts to
            (Tz, Hz, Wz). 0 is kept, 1 is generated anew, between is changed. The highest in a token
            counts for all of it.
        prompt: one for all clips, or one each.

    Returns:
        video (B, 3, T, H, W) in [-1, 1]. Where all levels are 0, the video as it came in.

    Raises:
        ValueError: a size that the model cannot take, or a noise level outside of [0, 1].
    """
    videos = video_batch(video)
    shape = _latent_shape(model, videos)
    prompts = _prompts(model, prompt, len(videos), options)
    levels = noise_levels(sigma, shape)
    return _denoise_pixels(model, videos, levels, prompts, options)


def _latent_shape(model: MiniSora, videos: torch.Tensor) -> Size:
    B, _, T, H, W = videos.shape
    return model.latent_shape(T, H, W, B)


def _changed(model: MiniSora, levels: torch.Tensor) -> torch.Tensor:
    """Find the pixels of tokens that start above noise level 0: (T, H, W) bool."""
    patch = model.dit.config.patch_size
    cell = model.vae.config.patch_size
    changed = highest_in_patches(levels, patch) > 0  # tokens (t, h, w)
    for axis in range(3):
        changed = changed.repeat_interleave(patch[axis] * cell[axis], axis)
    return changed[cell[0] - 1 :]  # the first latent frame is one frame


def _denoise_pixels(
    model: MiniSora,
    videos: torch.Tensor,
    levels: torch.Tensor,
    prompts: list[str],
    options: SamplingOptions,
    missing: torch.Tensor | None = None,
    warn: bool = True,
) -> torch.Tensor:
    """Denoise videos (B, 3, T, H, W) from levels (Tz, Hz, Wz), and put back what is not missing.

    Args:
        missing: pixels (T, H, W) to be generated; where None, those of all tokens above level 0.
        warn: whether to compare the conditioning pixels with their round trip.
    """
    changed = _changed(model, levels)
    if missing is None:
        missing = changed
    if not missing.any():
        return videos.clone()
    generated = model.denoise(prompts, model.encode(videos), levels, **options)
    videos = videos.to(generated.device)
    clean = ~changed.to(generated.device)
    if warn and clean.any():  # clean pixels were decoded with the rest, so this costs no extra pass
        _warn_of_colours(videos[:, :, clean], generated[:, :, clean])
    return torch.where(missing.to(generated.device), generated, videos)


def _warn_of_colours(conditioning: torch.Tensor, decoded: torch.Tensor) -> None:
    """Warn where the VAE reconstructs conditioning pixels (B, 3, …) badly.

    The transformer sees their latents, so that generated pixels fit the decoded ones, and not those
    that came in.
    """
    error = (conditioning - decoded).square().flatten(1).mean(1).max()  # of the worst clip
    # PSNR: the range of [-1, 1] is 2, and its square 4
    decibels = float(10 * torch.log10(4 / error.clamp(min=1e-12)))
    if decibels < ROUND_TRIP_DB:
        warnings.warn(
            f"the compressor gives conditioning pixels back with {decibels:.0f} dB, and clips like "
            "those of its training with about 30; expect other colours in what is generated",
            stacklevel=4,
        )


def sigma_of(
    shape: tuple[int, int, int],
    kept: Sequence[int] = (),
    rows: tuple[int, int] = (0, 0),
    columns: tuple[int, int] = (0, 0),
    strength: float = 1.0,
) -> torch.Tensor:
    """Make noise levels: 0 in the frames that are kept, `strength` everywhere else.

    Args:
        shape: frames, rows and columns of latent cells or of tokens, (t, h, w).
        kept: frames that start clean, from 0.
        rows, columns: (first, last + 1) of a box in which no frame starts clean.
        strength: in [0, 1].

    Returns:
        sigma (t, h, w).

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
    video: Pictures,
    prompt: Prompt,
    strength: float = 0.7,
    **options: Unpack[SamplingOptions],
) -> torch.Tensor:
    """Change a video as the prompt says (SDEdit, arXiv:2108.01073).

    Args:
        video: (3, T, H, W) or (B, 3, T, H, W) in [-1, 1], T = 4k + 1.
        strength: in [0, 1], the noise level at which all tokens start; at 0 the video comes back as
            it came in.

    Returns:
        video (B, 3, T, H, W) in [-1, 1].
    """
    strength = real_number("strength", strength, 0, 1)
    return denoise_video(model, video, strength, prompt, **options)


def inpaint(
    model: MiniSora,
    video: Pictures,
    prompt: Prompt = "",
    *,
    frames: Sequence[int] | None = None,
    region: Sequence[int] | torch.Tensor | None = None,
    **options: Unpack[SamplingOptions],
) -> torch.Tensor:
    """Generate missing frames, or a region, anew: tokens that have no missing pixel start clean.

    Args:
        video: (3, T, H, W) or (B, 3, T, H, W) in [-1, 1].
        frames: numbers of the frames that are missing, from 0; all where None.
        region: (top, left, height, width) in pixels, or a bool tensor that broadcasts to (T, H, W),
            True where a pixel is missing; whole frames where None.

    Returns:
        video (B, 3, T, H, W); pixels that are not missing are the ones that came in.
    """
    videos = video_batch(video)
    missing = missing_pixels(tuple(videos.shape[2:]), frames, region)
    _latent_shape(model, videos)  # raises ValueError for a size that the model cannot take
    prompts = _prompts(model, prompt, len(videos), options)
    cell = model.vae.config.patch_size
    repeats = missing[:1].expand(cell[0] - 1, -1, -1)  # as in `VideoVAE.encode`
    levels = highest_in_patches(torch.cat([repeats, missing]).float(), cell)
    return _denoise_pixels(model, videos, levels, prompts, options, missing)


def extend(
    model: MiniSora,
    video: Pictures,
    num_frames: int,
    prompt: Prompt = "",
    *,
    direction: str = "forward",
    context_frames: int = CONTEXT_FRAMES,
    **options: Unpack[SamplingOptions],
) -> torch.Tensor:
    """Go on where a video ends, or generate what came before it.

    A window as long as training's longest clips slides until there are `num_frames` more. In each
    window the latent frames that are there already start clean.

    Args:
        video: (3, T, H, W) or (B, 3, T, H, W) in [-1, 1].
        num_frames: how many frames more.
        direction: "forward" or "backward".
        context_frames: how many frames of a window start clean, a multiple of 4. Forward there is
            one more, because a window's first frame has a latent frame to itself. With few of them
            objects stay the same, but their motion does not: data/LOG.md has the comparison.

    Returns:
        video (B, 3, T + num_frames, H, W); the conditioning frames are the ones that came in.

    Raises:
        ValueError: another direction, fewer than one frame, or too short a clip to go backward.
    """
    if direction not in ("forward", "backward"):
        raise ValueError(f"direction={shown(direction)} is not known; it is forward or backward")
    clip = video_batch(video).cpu()
    B, _, T, H, W = clip.shape
    num_frames = whole_number("num_frames", num_frames, 1, MAX_PIXELS)
    context_frames = whole_number("context_frames", context_frames, 1, MAX_PIXELS)
    check_length(T + num_frames, H, W, B)
    prompts = _prompts(model, prompt, B, options)
    new = _more(model, clip, num_frames, prompts, direction, context_frames, options)
    parts = [clip, new] if direction == "forward" else [new, clip]
    return torch.cat(parts, dim=2)


def _more(
    model: MiniSora,
    clip: torch.Tensor,
    num_frames: int,
    prompts: list[str],
    direction: str,
    context_frames: int,
    options: SamplingOptions,
    warn: bool = True,
) -> torch.Tensor:
    """The frames that `extend` adds, (B, 3, num_frames, H, W), window by window."""
    forward = direction == "forward"
    plan = _window_behind if forward else _window_before
    longest = longest_window(model) * model.vae.config.patch_size[0]
    pieces: list[torch.Tensor] = []
    missing = num_frames
    while missing > 0:
        window, sigma, new = plan(model, clip, missing, context_frames)
        generated = _denoise_frames(model, window, sigma, prompts, options, warn)[:, :, new]
        missing -= generated.shape[2]
        warn = False  # the next windows go on from what was generated
        if forward:
            pieces.append(generated)
            clip = torch.cat([clip, generated], dim=2)[:, :, -longest:]
        else:
            pieces.insert(0, generated)
            clip = torch.cat([generated, clip], dim=2)[:, :, :longest]
    joined = torch.cat(pieces, dim=2)
    return joined[:, :, :num_frames] if forward else joined[:, :, -num_frames:]


def _window_behind(
    model: MiniSora, clip: torch.Tensor, missing: int, context_frames: int
) -> tuple[torch.Tensor, torch.Tensor, slice]:
    """Make a window that begins with a clip's end.

    Returns:
        The window (B, 3, T, H, W), its noise levels (Tz,), and where its new frames are: `missing`
        of them or a few more, as fill latent frames, or fewer where the window is full.
    """
    patch = model.vae.config.patch_size[0]
    longest = longest_window(model)
    most = (clip.shape[2] - 1) // patch  # latent frames of the clip after the first of the window
    context = min(max(context_frames // patch, 1), longest - 2, most)
    new = min(math.ceil(missing / patch), longest - 1 - context)
    kept = clip[:, :, -(1 + patch * context) :]
    # frames at level 1 become pure noise, whatever they show
    blank = kept[:, :, -1:].repeat_interleave(patch * new, dim=2)
    sigma = torch.tensor([0.0] * (1 + context) + [1.0] * new)
    return torch.cat([kept, blank], dim=2), sigma, slice(kept.shape[2], None)


def _window_before(
    model: MiniSora, clip: torch.Tensor, missing: int, context_frames: int
) -> tuple[torch.Tensor, torch.Tensor, slice]:
    """Make a window that ends with a clip's beginning; otherwise as `_window_behind`."""
    patch = model.vae.config.patch_size[0]
    longest = longest_window(model)
    most = clip.shape[2] // patch  # latent frames of the clip
    if not most:
        raise ValueError(
            f"going backward starts from {patch} frames, and the clip has {clip.shape[2]}"
        )
    context = min(max(context_frames // patch, 1), longest - 2, most)
    # latent frames after the window's first, which is one new frame
    new = min(math.ceil((missing - 1) / patch), longest - 1 - context)
    kept = clip[:, :, : patch * context]
    blank = kept[:, :, :1].repeat_interleave(1 + patch * new, dim=2)
    sigma = torch.tensor([1.0] * (1 + new) + [0.0] * context)
    return torch.cat([blank, kept], dim=2), sigma, slice(blank.shape[2])


def _denoise_frames(
    model: MiniSora,
    clip: torch.Tensor,
    sigma: torch.Tensor,
    prompts: list[str],
    options: SamplingOptions,
    warn: bool = True,
) -> torch.Tensor:
    """Denoise a clip whose latent frames start at noise levels (Tz,), and bring it to the CPU."""
    levels = noise_levels(sigma, _latent_shape(model, clip))
    return _denoise_pixels(model, clip, levels, prompts, options, warn=warn).cpu()


def longest_window(model: MiniSora) -> int:
    """Count the latent frames of training's longest clips; at least 3: first, context, new."""
    others = [size[0] for size in model.preset.other_sizes]
    longest = max([model.preset.num_frames, *others])
    return max((longest - 1) // model.vae.config.patch_size[0] + 1, 3)


def connect(
    model: MiniSora,
    before: Pictures,
    after: Pictures,
    prompt: Prompt = "",
    num_frames: int = 8,
    **options: Unpack[SamplingOptions],
) -> torch.Tensor:
    """Lead from one video into another: the first's end and the second's beginning start clean.

    Args:
        before, after: (3, T, H, W) or (B, 3, T, H, W) in [-1, 1].
        num_frames: frames between the two, a multiple of 4.

    Returns:
        video (B, 3, T_before + num_frames + T_after, H, W); the frames of both clips are the ones
        that came in.

    Raises:
        ValueError: clips of different sizes, a second clip of fewer than 4 frames, or a number of
            frames that is not a multiple of 4.
    """
    patch = model.vae.config.patch_size[0]
    first = video_batch(before, "before").cpu()
    last = video_batch(after, "after").cpu()
    num_frames = whole_number("num_frames", num_frames, 1, MAX_PIXELS)
    check_joint(first, last, num_frames, patch)
    prompts = _prompts(model, prompt, len(first), options)
    new = num_frames // patch
    fitting = max((longest_window(model) - 1 - new) // 2, 1)  # in half of a window
    most = min(CONTEXT_FRAMES // patch, fitting)  # latent frames of either clip
    head = min(most, (first.shape[2] - 1) // patch)
    tail = min(most, last.shape[2] // patch)
    kept = first[:, :, -(1 + patch * head) :]
    B, _, _, H, W = first.shape
    model.latent_shape(kept.shape[2] + num_frames + patch * tail, H, W, B)
    blank = kept[:, :, -1:].repeat_interleave(num_frames, dim=2)
    sigma = torch.tensor([0.0] * (1 + head) + [1.0] * new + [0.0] * tail)
    clip = torch.cat([kept, blank, last[:, :, : patch * tail]], dim=2)
    generated = _denoise_frames(model, clip, sigma, prompts, options)
    middle = generated[:, :, kept.shape[2] :][:, :, :num_frames]
    return torch.cat([first, middle, last], dim=2)


def loop(
    model: MiniSora,
    video: Pictures,
    prompt: Prompt = "",
    num_frames: int = 8,
    **options: Unpack[SamplingOptions],
) -> torch.Tensor:
    """Lead from a video's end back to its beginning, so that it can be shown again and again.

    Arguments as `connect`'s.

    Returns:
        video (B, 3, T + num_frames, H, W).
    """
    clip = video_batch(video)
    connected = connect(model, clip, clip, prompt, num_frames, **options)
    return connected[:, :, : -clip.shape[2]]


def long_video(
    model: MiniSora,
    script: Script,
    *,
    seconds: float = 60.0,
    fps: float = 8.0,
    height: int | None = None,
    width: int | None = None,
    upsample: bool = True,
    progress: bool = True,
    **options: Unpack[SamplingOptions],
) -> torch.Tensor:
    """Generate a long clip, window by window: the first as `generate`, the others as `extend`.

    Each window sees `CONTEXT_FRAMES` of the clip (fewer where the sentence changes) and nothing
    else, so that its cost and memory do not grow with the clip.

    Args:
        script: one sentence for all `seconds`, or several, each with its seconds:
            [(20, "a red circle moving left"), (40, …)]. In place of a sentence, a list of B of them
            makes B clips at once.
        seconds: of the clip, where the script is one sentence.
        fps: frames per second, 0.1 to 240.
        height, width: as in `MiniSora.generate`.
        upsample: of the first sentence, as in `MiniSora.generate`.
        progress: whether to show a progress bar.

    Returns:
        video (B, 3, T, H, W), T = all seconds × fps + 1; B is 1 for single sentences.
    """
    fps = real_number("fps", fps, 0.1, 240)
    lengths, texts = script_parts(script, seconds)
    ends = [round(fps * sum(lengths[: i + 1])) + 1 for i in range(len(lengths))]
    rows = model.preset.height if height is None else height
    columns = model.preset.width if width is None else width
    model.latent_shape(1, rows, columns, len(texts[0]))  # first, whether these are sides at all
    check_length(ends[-1], rows, columns, len(texts[0]))
    for prompts in texts:
        _prompts(model, prompts, len(prompts), options)  # checks every sentence before the work
    first = model.generate(texts[0], height=rows, width=columns, upsample=upsample, **options)
    edge = first.cpu()[:, :, : ends[0]]  # the frames that the next window goes on from
    pieces = [edge]
    done = edge.shape[2]
    longest = longest_window(model) * model.vae.config.patch_size[0]
    with tqdm(total=ends[-1], initial=done, unit="frame", disable=not progress) as bar:
        for count, prompts, context in _windows(model, ends, texts, done):
            new = _more(model, edge, count, prompts, "forward", context, options, warn=False)
            pieces.append(new)
            edge = torch.cat([edge, new], dim=2)[:, :, -longest:]
            bar.update(count)
    return torch.cat(pieces, dim=2)


def _windows(
    model: MiniSora, ends: list[int], texts: list[list[str]], done: int
) -> Iterator[tuple[int, list[str], int]]:
    """Plan the windows after `done` frames of a script: new frames, sentences, context frames."""
    patch = model.vae.config.patch_size[0]
    most = patch * max(longest_window(model) - 1 - CONTEXT_FRAMES // patch, 1)
    previous = texts[0]
    for end, prompts in zip(ends, texts, strict=True):
        # a window that sees little of the old motion obeys a new sentence more readily
        context = CONTEXT_FRAMES if prompts == previous else patch
        previous = prompts
        while done < end:
            count = min(most, end - done)
            yield count, prompts, context
            done += count
            context = CONTEXT_FRAMES


def _prompts(model: MiniSora, prompt: Prompt, count: int, options: SamplingOptions) -> list[str]:
    """Make a prompt for each of `count` clips, and check prompts and options before the work."""
    prompts = one_each("prompt", prompt, count)
    check_options(count, options, list(SAMPLERS))
    model.tokenizer(prompts)
    return prompts
