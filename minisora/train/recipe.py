"""From nothing to a model: the toy world, the four trainings in order, and the curve of how it went.

    ToyWorld ──► train_vae ──► cache_latents ──► train_language, train_expander ──► train_dit ──► model folder, curve.json
"""

import json
import random
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
import torch.nn as nn

from minisora.checkpoints import load_tensors, save_tensors, write_text
from minisora.config import Preset
from minisora.device import choose_device
from minisora.measure.accuracy import judge_clips, make_clips, psnr_of, summarise, test_prompts, test_scenes
from minisora.train.folder import Folder
from minisora.train.loop import is_finished
from minisora.pipeline import MiniSora
from minisora.text import END, PAD, TextVideoPair
from minisora.train.stages import Latents, cache_latents, train_dit, train_expander, train_language, train_vae
from minisora.show.clip import plot_curve, save_strips
from minisora.world.captions import VOCABULARY, caption, detailed_caption
from minisora.world.dataset import ToyWorld
from minisora.world.render import render

LOOK_PROMPTS = 64  # of each family, judged while the transformer learns
SAMPLE_PROMPTS = [  # drawn from one seed at every look, so that the pictures can be compared
    "a large red circle bouncing on a navy background", "a small yellow star spinning on a black grid",
    "a large green heart growing on a white gradient", "a red ring hits a blue square from the left on a black background",
]  # fmt: skip


def world_of(preset: Preset, size: tuple[int, int, int] | None = None, **options) -> ToyWorld:
    """The toy world as a preset wants it. size: frames, rows, columns; the preset's where None."""
    num_frames, height, width = size or (preset.num_frames, preset.height, preset.width)
    return ToyWorld(pair_share=preset.pair_share, num_frames=num_frames, height=height, width=width, fps=preset.fps, **options)


def render_pool(world: ToyWorld, count: int) -> torch.Tensor:
    """The first `count` clips as (count, 3, T, H, W) uint8."""
    chunks = [render([world.scene(j) for j in range(i, min(i + 64, count))], **world.shape) for i in range(0, count, 64)]
    return torch.cat([((chunk + 1) * 127.5).round().byte() for chunk in chunks])


@dataclass(frozen=True)
class Bucket:
    """Clips of one size for the stages after the compressor."""

    clips: Callable[[int, int], tuple[torch.Tensor, list[list[str]]]]  # (start, how many) → videos in [-1, 1] and their captions
    count: int  # how many there are
    share: float = 1.0  # of the transformer's steps


@dataclass(frozen=True)
class Source:
    """Where a training takes its clips from."""

    vocabulary: tuple[str, ...]
    pools: Callable[[int], list[torch.Tensor]]  # how many of the first size at most → (M, 3, T, H, W) uint8 of every size, for the compressor
    buckets: list[Bucket]  # the first is the preset's own size
    held_back: torch.Tensor  # (B, 3, T, H, W) in [-1, 1], to measure the compressor on
    samples: list[str]  # prompts of the pictures at every look
    judged: bool  # whether these are clips of the toy world: the judge can read them, and captions come in pairs, without places and with


def world_source(preset: Preset) -> Source:
    """The toy world, without end, in the preset's size and in the others."""
    world, others = world_of(preset), preset.other_sizes
    worlds = [world, *(world_of(preset, size, first_seed=(i + 1) * 10_000_000) for i, size in enumerate(others))]

    if preset.captions_per_clip % 2:
        raise ValueError(f"captions_per_clip={preset.captions_per_clip} is odd; in the toy world every sentence comes without places and with them")

    def clips(world: ToyWorld, start: int, count: int):
        scenes = [world.scene(i) for i in range(start, start + count)]
        forms = caption, partial(detailed_caption, **world.shape)
        several = [[form(s, random.Random(f"{k} {s.seed}")) for k in range(0, preset.captions_per_clip, 2) for form in forms] for s in scenes]
        return render(scenes, **world.shape), several

    shares = [1 - preset.other_share * len(others)] + [preset.other_share] * len(others)
    cells = [(w.shape["num_frames"] + 3) // 4 * w.shape["height"] * w.shape["width"] for w in worlds]  # the smaller, the more clips
    counts = lambda most: [max(int(most * s / shares[0] * cells[0] / n), 1) for s, n in zip(shares, cells, strict=True)]  # noqa: E731
    buckets = [Bucket(partial(clips, w), *numbers) for w, *numbers in zip(worlds, counts(preset.cached_clips), shares, strict=True)]
    pools = lambda most: [render_pool(w, count) for w, count in zip(worlds, counts(most), strict=True)]  # noqa: E731
    held_back = render(test_scenes("solo", "seen", 64) + test_scenes("pair", "seen", 64))
    return Source(VOCABULARY, pools, buckets, held_back, SAMPLE_PROMPTS, True)


def folder_source(folder: Folder) -> Source:
    """A reader's own clips; of twenty or more, every tenth is held back."""
    rows = torch.arange(len(folder.videos))
    kept = rows[rows % 10 != 0] if len(rows) >= 20 else rows
    most = max(len(several) for several in folder.captions)

    def clips(start: int, count: int):
        picks = kept[start : start + count].tolist()
        several = [(folder.captions[i] * most)[:most] for i in picks]  # as many for each
        return folder.videos[picks].float() / 127.5 - 1, several

    held_back = folder.videos[rows[rows % 10 == 0]][:128].float() / 127.5 - 1
    samples = list(dict.fromkeys(several[0] for several in folder.captions))[:4]
    return Source(folder.vocabulary, lambda most: [folder.videos[kept[:most]]], [Bucket(clips, len(kept))], held_back, samples, False)


def train_model(
    preset: Preset, run_dir: str | Path, *, start: MiniSora | None = None, folder: Folder | None = None, resume: bool = False,
    device: str = "auto", compile: bool = False, progress: bool = True, look_every: float = 60.0,
) -> MiniSora:  # fmt: skip
    """Train a whole model in `run_dir`; with `resume`, go on where a stopped run left off.

    Writes `vae`, `text`, `expander`, `dit` and `latents.safetensors` (checkpoints of the stages), `model/` (what `MiniSora.load` reads),
    `curve.json` and `curve.png` (the share of clips that the judge finds as asked, against minutes from nothing, every stage counted), and `samples/`.

    Args:
        start: go on from this model's weights, in its sizes, instead of from nothing. Its compressor's encoder stays as it is, so that latents
            keep their meaning, and the language stage is left out: the text encoder goes on learning with the transformer.
        folder: your own clips (`folder.read_folder`) instead of the toy world; the judge cannot read those, so there are samples and no such shares,
            and there is no expander, because nobody says where things are.
        compile: see `device.compiled`; pays off from about four minutes a stage.

    Raises:
        FileExistsError: the folder holds a run and `resume` is not set. ValueError: `resume` with another `start` or other clips.
    """
    run_dir = Path(run_dir)
    if not resume and any(run_dir.rglob("*.safetensors")):
        raise FileExistsError(f"{run_dir} already holds a training; go on with it (--resume), or name another folder (--out)")
    torch.manual_seed(preset.train_vae.seed)
    if start:
        text = replace(start.preset.text, max_length=preset.text.max_length)
        slower = replace(preset.train_dit, learning_rate=preset.train_dit.learning_rate / 4)  # what is learned already is not to be shaken out
        preset = replace(preset, vae=start.preset.vae, text=text, dit=start.preset.dit, basics_steps=0, train_dit=slower)
    preset = replace(preset, expander=None, basics_steps=0) if folder else preset  # a folder's captions do not say where things are
    source, options = folder_source(folder) if folder else world_source(preset), {"resume": resume, "progress": progress}
    _remember(run_dir, resume, start, source)
    model = MiniSora(preset, source.vocabulary)
    if start:
        take_over(model, start)
    model.to(choose_device(device))
    before = start.facts.get("curve", []) if start and source.judged else []
    curve, held_back = Curve(run_dir, resume, before), source.held_back

    with curve.stage("clips"):  # a finished compressor needs none
        finished = resume and is_finished(run_dir, "vae", preset.train_vae)
        videos = source.pools(1 if finished else preset.vae_clips)

    def look_at_vae(vae, record):
        values = torch.cat([psnr_of(model.decode(model.encode(part)).cpu(), part) for part in held_back.split(32)])
        curve.add("vae", record["seconds"], psnr_mean=float(values.mean()), psnr_worst_decile=float(values.quantile(0.1)))

    train_vae(model.vae, videos, preset, run_dir, look=look_at_vae, look_every=look_every, compile=compile, **options)
    del videos

    with curve.stage("latents"):
        data = _latents(model, source, run_dir, resume, progress, measure=not start)
    if not start:
        pair = TextVideoPair(model.text, preset.vae.latent_channels).to(model.device)
        history = train_language(pair, data[0], preset, run_dir, **options)
        curve.seconds["text"] = history[-1]["seconds"] if history else 0.0

    if model.expander:
        history = train_expander(model.expander, data[0], preset, run_dir, **options)
        curve.seconds["expander"] = history[-1]["seconds"] if history else 0.0

    scenes = {family: test_scenes(family, "seen", LOOK_PROMPTS) for family in ("solo", "pair")} if source.judged else {}

    def look_at_dit(_, record):
        tables = {family: summarise(judge_clips(make_clips(model), test_prompts(s))) for family, s in scenes.items()}
        curve.add("dit", record["seconds"], **tables)
        samples = make_clips(model)(source.samples, 0)
        save_strips(samples, run_dir / "samples" / f"step_{record['step']:06d}.png")

    both = nn.ModuleDict({"text": model.text, "dit": model.dit})
    train_dit(both, data, preset, run_dir, look=look_at_dit, look_every=look_every, compile=compile, **options)
    model.save(run_dir / "model", {"curve": curve.points, "threads": torch.get_num_threads()})
    if source.judged and curve.points and curve.points[-1]["stage"] == "dit":
        plot_curve(curve.points).figure.savefig(run_dir / "curve.png", dpi=150, bbox_inches="tight")
    return model.eval()


def _remember(run_dir: Path, resume: bool, start: MiniSora | None, source: Source) -> None:
    """Write down what a run began with, and refuse to go on with something else."""
    about = {"goes on from a model": bool(start), "clips": [bucket.count for bucket in source.buckets], "words": list(source.vocabulary)}
    path = run_dir / "run.json"
    if resume and path.is_file() and json.loads(path.read_text(encoding="utf-8")) != about:
        raise ValueError(f"{run_dir} was begun with another --from, other --data, other words (an older version) or another number of clips; resume it with the same")
    write_text(path, json.dumps(about, ensure_ascii=False) + "\n")


@torch.no_grad()
def take_over(model: MiniSora, start: MiniSora) -> None:
    """Give a model another one's weights, word by word where their vocabularies differ, and let the compressor's encoder rest."""
    model.vae.load_state_dict(start.vae.state_dict())
    model.vae.encoder.requires_grad_(False)
    model.dit.load_state_dict(start.dit.state_dict())
    words = model.text.embed.weight.clone()  # of new words, as they are
    words[[PAD, END]] = start.text.embed.weight[[PAD, END]]
    for word in model.tokenizer.ids.keys() & start.tokenizer.ids.keys():
        words[model.tokenizer.ids[word]] = start.text.embed.weight[start.tokenizer.ids[word]]
    model.text.load_state_dict(start.text.state_dict() | {"embed.weight": words})
    if model.expander and start.expander and (model.preset.expander, model.tokenizer.ids) == (start.preset.expander, start.tokenizer.ids):
        model.expander.load_state_dict(start.expander.state_dict())


def _latents(model: MiniSora, source: Source, run_dir: Path, resume: bool, progress: bool, measure: bool) -> list[Latents]:
    """The latents of every bucket, from the file of an earlier run or encoded now."""
    path, trained, buckets = run_dir / "latents.safetensors", run_dir / "vae.safetensors", source.buckets
    step = load_tensors(trained)[1]["step"] if trained.is_file() else 0
    kept, note = load_tensors(path) if resume and path.is_file() else ({}, {})
    if note.get("step") == step:  # of this very compressor
        model.vae.latents_mean.copy_(kept["mean"])
        model.vae.latents_std.copy_(kept["std"])
        return [Latents(kept[f"latents.{i}"], kept[f"ids.{i}"], bucket.share, source.judged) for i, bucket in enumerate(buckets)]

    encode = partial(cache_latents, model.vae, model.tokenizer, progress=progress)
    data = [encode(b.clips, b.count, share=b.share, paired=source.judged, measure=measure and i == 0) for i, b in enumerate(buckets)]
    kept = {f"latents.{i}": d.latents for i, d in enumerate(data)} | {f"ids.{i}": d.ids for i, d in enumerate(data)}
    save_tensors(path, kept | {"mean": model.vae.latents_mean, "std": model.vae.latents_std}, {"step": step})
    return data


class Curve:
    """Minutes from nothing, over all stages, and what the model could do by then; kept in `curve.json`."""

    def __init__(self, run_dir: Path, resume: bool, before: Sequence[dict] = ()):
        """before: the points of the model that the training goes on from."""
        self.path = run_dir / "curve.json"
        kept = {"seconds": {"before": 60 * before[-1]["minutes"]}, "points": list(before)} if before else {}
        kept = json.loads(self.path.read_text(encoding="utf-8")) if resume and self.path.is_file() else kept
        self.seconds: dict[str, float] = kept.get("seconds", {})
        self.points: list[dict] = kept.get("points", [])

    @contextmanager
    def stage(self, name: str):
        """Adds the time of a `with` block, unless an earlier run already did."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds.setdefault(name, time.perf_counter() - began)
            self.write()

    def add(self, stage: str, seconds: float, **figures) -> None:
        self.seconds[stage] = seconds
        minutes = round(sum(self.seconds.values()) / 60, 2)
        self.points.append({"stage": stage, "minutes": minutes, **figures})
        self.write()

    def write(self) -> None:
        write_text(self.path, json.dumps({"seconds": self.seconds, "points": self.points}, indent=1) + "\n")
