"""From nothing to a model: the toy world, the four trainings in order, and the curve of how it went.

ToyWorld ──► train_vae ──► cache_latents ──► train_language, train_upsampler ──► train_dit ──► model folder, curve.json
"""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import torch.nn as nn

from minisora.checkpoints import load_tensors, save_tensors, write_text
from minisora.config import Preset
from minisora.device import choose_device
from minisora.measure.accuracy import judge_clips, make_clips, summarise
from minisora.measure.clips import test_prompts, test_scenes
from minisora.measure.stats import psnr_of
from minisora.pipeline import MiniSora
from minisora.show.clip import save_strips
from minisora.show.plots import plot_curve
from minisora.text import EOS, PAD, TextVideoPair
from minisora.train.curve import Curve
from minisora.train.data import Latents, Source, cache_latents, folder_source, world_source
from minisora.train.folder import Folder
from minisora.train.loop import is_finished
from minisora.train.stages import train_dit, train_language, train_upsampler, train_vae

EVALUATION_PROMPTS = 64  # of each family, judged while the transformer learns


def train_model(
    preset: Preset,
    run_dir: str | Path,
    *,
    start: MiniSora | None = None,
    folder: Folder | None = None,
    resume: bool = False,
    device: str = "auto",
    compile: bool = False,
    progress: bool = True,
    evaluate_every: float = 60.0,
) -> MiniSora:
    """Train a whole model in `run_dir`; with `resume`, go on where a stopped run left off.

    Writes `vae`, `text`, `upsampler`, `dit` and `latents.safetensors` (checkpoints of the stages), `model/` (what `MiniSora.load` reads),
    `curve.json` and `curve.png` (the share of clips that the judge finds as asked, against minutes from nothing, every stage counted), and `samples/`.

    Args:
        start: go on from this model's weights, in its sizes, instead of from nothing. Its compressor's encoder stays as it is, so that latents
            keep their meaning, and the language stage is left out: the text encoder goes on learning with the transformer.
        folder: your own clips (`folder.read_folder`) instead of the toy world; the judge cannot read those, so there are samples and no such shares,
            and there is no upsampler, because nobody says where things are.
        compile: see `device.compiled`; pays off from about four minutes a stage.

    Raises:
        FileExistsError: the folder holds a run and `resume` is not set. ValueError: `resume` with another `start` or other clips.
    """
    run_dir = Path(run_dir)
    if not resume and any(run_dir.rglob("*.safetensors")):
        raise FileExistsError(
            f"{run_dir} already holds a training; go on with it (--resume), or name another folder (--out)"
        )
    torch.manual_seed(preset.train_vae.seed)
    if start:
        text = replace(start.preset.text, max_length=preset.text.max_length)
        slower = replace(
            preset.train_dit, learning_rate=preset.train_dit.learning_rate / 4
        )  # what is learned already is not to be shaken out
        preset = replace(
            preset,
            vae=start.preset.vae,
            text=text,
            dit=start.preset.dit,
            curriculum_steps=0,
            train_dit=slower,
        )
    preset = (
        replace(preset, upsampler=None, curriculum_steps=0) if folder else preset
    )  # a folder's captions do not say where things are
    source, options = (
        folder_source(folder) if folder else world_source(preset),
        {"resume": resume, "progress": progress},
    )
    _remember(run_dir, resume, start, source)
    model = MiniSora(preset, source.vocabulary)
    if start:
        take_over(model, start)
    model.to(choose_device(device))
    before = start.metadata.get("curve", []) if start and source.judged else []
    curve, held_back = Curve(run_dir, resume, before), source.held_back

    with curve.stage("clips"):  # a finished compressor needs none
        finished = resume and is_finished(run_dir, "vae", preset.train_vae)
        videos = source.pools(1 if finished else preset.vae_clips)

    def measure_vae(vae, record):
        values = torch.cat(
            [psnr_of(model.decode(model.encode(part)).cpu(), part) for part in held_back.split(32)]
        )
        curve.add(
            "vae",
            record["seconds"],
            psnr_mean=float(values.mean()),
            psnr_worst_decile=float(values.quantile(0.1)),
        )

    train_vae(
        model.vae,
        videos,
        preset,
        run_dir,
        on_evaluate=measure_vae,
        evaluate_every=evaluate_every,
        compile=compile,
        **options,
    )
    del videos

    with curve.stage("latents"):
        data = _latents(model, source, run_dir, resume, progress, measure=not start)
    if not start:
        pair = TextVideoPair(model.text, preset.vae.latent_channels).to(model.device)
        history = train_language(pair, data[0], preset, run_dir, **options)
        curve.seconds["text"] = history[-1]["seconds"] if history else 0.0

    if model.upsampler:
        history = train_upsampler(model.upsampler, data[0], preset, run_dir, **options)
        curve.seconds["upsampler"] = history[-1]["seconds"] if history else 0.0

    scenes = (
        {family: test_scenes(family, "seen", EVALUATION_PROMPTS) for family in ("solo", "pair")}
        if source.judged
        else {}
    )

    def measure_dit(_, record):
        tables = {
            family: summarise(judge_clips(make_clips(model), test_prompts(s)))
            for family, s in scenes.items()
        }
        curve.add("dit", record["seconds"], **tables)
        samples = make_clips(model)(source.samples, 0)
        save_strips(samples, run_dir / "samples" / f"step_{record['step']:06d}.png")

    both = nn.ModuleDict({"text": model.text, "dit": model.dit})
    train_dit(
        both,
        data,
        preset,
        run_dir,
        on_evaluate=measure_dit,
        evaluate_every=evaluate_every,
        compile=compile,
        **options,
    )
    model.save(run_dir / "model", {"curve": curve.points, "threads": torch.get_num_threads()})
    if source.judged and curve.points and curve.points[-1]["stage"] == "dit":
        plot_curve(curve.points).figure.savefig(run_dir / "curve.png", dpi=150, bbox_inches="tight")
    return model.eval()


def _remember(run_dir: Path, resume: bool, start: MiniSora | None, source: Source) -> None:
    """Write down what a run began with, and refuse to go on with something else."""
    about = {
        "goes on from a model": bool(start),
        "clips": [bucket.count for bucket in source.buckets],
        "words": list(source.vocabulary),
    }
    path = run_dir / "run.json"
    if resume and path.is_file() and json.loads(path.read_text(encoding="utf-8")) != about:
        raise ValueError(
            f"{run_dir} was begun with another --from, other --data, other words (an older version) or another number of clips; resume it with the same"
        )
    write_text(path, json.dumps(about, ensure_ascii=False) + "\n")


@torch.no_grad()
def take_over(model: MiniSora, start: MiniSora) -> None:
    """Give a model another one's weights, word by word where their vocabularies differ, and let the compressor's encoder rest."""
    model.vae.load_state_dict(start.vae.state_dict())
    model.vae.encoder.requires_grad_(False)
    model.dit.load_state_dict(start.dit.state_dict())
    words = model.text.embed.weight.clone()  # of new words, as they are
    words[[PAD, EOS]] = start.text.embed.weight[[PAD, EOS]]
    for word in model.tokenizer.ids.keys() & start.tokenizer.ids.keys():
        words[model.tokenizer.ids[word]] = start.text.embed.weight[start.tokenizer.ids[word]]
    model.text.load_state_dict(start.text.state_dict() | {"embed.weight": words})
    if (
        model.upsampler
        and start.upsampler
        and (model.preset.upsampler, model.tokenizer.ids)
        == (start.preset.upsampler, start.tokenizer.ids)
    ):
        model.upsampler.load_state_dict(start.upsampler.state_dict())


def _latents(
    model: MiniSora, source: Source, run_dir: Path, resume: bool, progress: bool, measure: bool
) -> list[Latents]:
    """The latents of every bucket, from the file of an earlier run or encoded now."""
    path, trained, buckets = (
        run_dir / "latents.safetensors",
        run_dir / "vae.safetensors",
        source.buckets,
    )
    step = load_tensors(trained)[1]["step"] if trained.is_file() else 0
    kept, note = load_tensors(path) if resume and path.is_file() else ({}, {})
    if note.get("step") == step:  # of this very compressor
        model.vae.latents_mean.copy_(kept["mean"])
        model.vae.latents_std.copy_(kept["std"])
        return [
            Latents(kept[f"latents.{i}"], kept[f"ids.{i}"], bucket.share, source.judged)
            for i, bucket in enumerate(buckets)
        ]

    encode = partial(cache_latents, model.vae, model.tokenizer, progress=progress)
    data = [
        encode(b.clips, b.count, share=b.share, paired=source.judged, measure=measure and i == 0)
        for i, b in enumerate(buckets)
    ]
    kept = {f"latents.{i}": d.latents for i, d in enumerate(data)} | {
        f"ids.{i}": d.ids for i, d in enumerate(data)
    }
    save_tensors(
        path, kept | {"mean": model.vae.latents_mean, "std": model.vae.latents_std}, {"step": step}
    )
    return data
