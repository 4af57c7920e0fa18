"""From nothing to a model: the order of the stages, and the curve of how it went.

ToyWorld or a folder ──► train_vae ──► cached_latents ──► train_language, train_upsampler
                                                      ──► train_dit ──► model/, curve.json

A run folder holds `run.json` (what the run began with), `vae`, `text`, `upsampler`, `dit` and
`latents.safetensors`, `model/` (what `MiniSora.load` reads), `curve.json` and `curve.png` (the
fraction of clips that the judge finds as asked, against minutes from nothing), and `samples/`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn as nn

from minisora.config import Preset
from minisora.device import choose_device, fast_float32, is_gpu
from minisora.measure.accuracy import families_of, judge_clips, make_clips, summarise
from minisora.measure.clips import clip_shape, test_prompts, test_scenes
from minisora.measure.stats import psnr_of
from minisora.pipeline import MiniSora
from minisora.show.clip import save_strips
from minisora.show.plots import plot_curve
from minisora.train.contrastive import TextVideoPair
from minisora.train.curve import Curve
from minisora.train.data import (
    Latents,
    Source,
    Tokenized,
    cached_latents,
    folder_source,
    world_source,
)
from minisora.train.folder import Folder
from minisora.train.loop import is_finished, read_note
from minisora.train.run import (
    Run,
    check_folder,
    fingerprint,
    fingerprint_of_clips,
    preset_of_run,
    remember,
    take_over,
)
from minisora.train.stages import train_dit, train_language, train_upsampler, train_vae
from minisora.train.workers import Workers, count_processes

EVALUATION_SECONDS = 150.0  # of training between two evaluations
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
    evaluate_every: float = EVALUATION_SECONDS,
    options: dict[str, Any] | None = None,
) -> MiniSora:
    """Train a whole model in `run_dir`; with `resume`, go on where a stopped run left off.

    On a GPU, the preset's numbers for a GPU count (`Preset.on_gpu`). A stage that was trained on
    something that has changed since is trained anew: the transformer, for example, where the
    compressor is trained for longer.

    Args:
        start: go on from this model's weights, in its sizes, instead of from nothing. Its encoder
            stays as it is (`take_over`), and the text encoder learns with the transformer alone.
        folder: your own clips (`folder.read_folder`) instead of the toy world. The judge cannot
            read those, and there is no upsampler, because nobody says where things are.
        compile: see `device.compiled`; pays off from the minutes of `COMPILE_FROM` a stage.
        options: kept in `run.json` for whoever resumes the run.

    Raises:
        FileExistsError: the folder holds a run and `resume` is not set.
        ValueError: `resume` with another preset, another `start` or other clips.
    """
    stages = begin(
        preset,
        run_dir,
        start=start,
        folder=folder,
        resume=resume,
        device=device,
        compile=compile,
        progress=progress,
        evaluate_every=evaluate_every,
        options=options,
    )
    try:
        stages.compressor(stages.clips())
        data = stages.latents(measure=not start)
        if not start:
            stages.text_encoder(data)
        if stages.model.upsampler:
            stages.upsampler(data)
        stages.transformer(data)
        return stages.finish()
    finally:
        stages.workers.close()


def begin(
    preset: Preset,
    run_dir: str | Path,
    *,
    start: MiniSora | None = None,
    folder: Folder | None = None,
    resume: bool = False,
    device: str = "auto",
    compile: bool = False,
    progress: bool = True,
    evaluate_every: float = EVALUATION_SECONDS,
    options: dict[str, Any] | None = None,
) -> "Stages":
    """Make the model and all that its stages need; arguments and errors are `train_model`'s."""
    run_dir = Path(run_dir)
    check_folder(run_dir, resume)
    asked = preset
    place = choose_device(device)
    fast_float32(place)
    if is_gpu(place):
        preset = preset.on_gpu()
    preset = preset_of_run(preset, start, folder)
    source = folder_source(folder, preset.vae_clips) if folder else world_source(preset)
    run = Run(
        asked,
        list(source.vocabulary),
        fingerprint(start) if start else None,
        fingerprint_of_clips(folder) if folder else None,
        options or {},
    )
    remember(run_dir, run)
    torch.manual_seed(preset.train_vae.seed)
    model = MiniSora(preset, source.vocabulary, source.rewordings)
    if start:
        take_over(model, start)
    model.to(place)
    before = start.metadata.get("curve", []) if start and source.judged else []
    curve = Curve(run_dir, resume, before)
    workers = Workers(count_processes())
    return Stages(model, source, run_dir, curve, resume, progress, compile, evaluate_every, workers)


@dataclass(frozen=True)
class Stages:
    """The stages of one run, each with its evaluation and with the checksums of what it reads."""

    model: MiniSora
    source: Source
    run_dir: Path
    curve: Curve
    resume: bool
    progress: bool
    compile: bool
    evaluate_every: float
    workers: Workers
    begun: list[Iterator[Tokenized]] = field(default_factory=list)  # clips for the latents
    on_evaluate: Callable[[], Any] = lambda: None  # also called where averaged weights are in
    should_stop: Callable[[], bool] = lambda: False
    prompts: int | None = None  # of each family, judged at an evaluation of the transformer

    def clips(self) -> list[torch.Tensor]:
        """Draw the compressor's clips of every size; none where it needs no more training.

        While a GPU trains it, processes go on with the clips of the stages after it.
        """
        device = self.model.device
        if self._is_finished("vae"):
            return []
        with self.curve.stage("clips"):
            videos = self.source.pools(device, self.workers)
        if is_gpu(device):
            self.begun[:] = self.source.begin(self.model.tokenizer, device, self.workers)
        return videos

    def compressor(self, videos: list[torch.Tensor]) -> None:
        """Train the VAE; its figure is how well held-back clips come back."""
        model = self.model

        def evaluate(_: nn.Module, record: dict) -> None:
            psnr = reconstruction_psnr(model, self.source.held_back)
            figures = {
                "psnr_mean": float(psnr.mean()),
                "psnr_worst_decile": float(psnr.quantile(0.1)),
            }
            self.curve.add("vae", record["seconds"], **figures)
            self.on_evaluate()

        options = self._options(evaluate)
        train_vae(model.vae, videos, model.preset, self.run_dir, compile=self.compile, **options)

    def latents(self, measure: bool) -> list[Latents]:
        """Encode the clips, or read what an earlier run has encoded."""
        with self.curve.stage("latents"):
            return cached_latents(
                self.model.vae,
                self.model.tokenizer,
                self.source,
                self.run_dir / "latents.safetensors",
                fingerprint(self.model.vae),
                self.progress,
                measure,
                self.begun,
                self.workers,
            )

    def text_encoder(self, data: list[Latents]) -> None:
        """Train the text encoder beside a video encoder that is thrown away."""
        model = self.model
        pair = TextVideoPair(model.text, model.preset.vae.latent_channels).to(model.device)
        options = self._options(reads={"compressor": fingerprint(model.vae)})
        train_language(pair, data[0], model.preset, self.run_dir, **options)
        self._count_time("text")

    def upsampler(self, data: list[Latents]) -> None:
        """Train the prompt upsampler. It reads captions only, whatever the compressor is."""
        model = self.model
        assert model.upsampler is not None
        options = self._options()
        train_upsampler(model.upsampler, data[0], model.preset, self.run_dir, **options)
        self._count_time("upsampler")

    def transformer(self, data: list[Latents]) -> None:
        """Train the transformer; its figures are what the judge finds as asked."""
        model = self.model
        reads = {"compressor": fingerprint(model.vae), "text encoder": fingerprint(model.text)}
        note = read_note(self.run_dir, "dit")
        if note is not None and note.get("reads") != reads:
            self.curve.forget("dit")

        def evaluate(_: nn.Module, record: dict) -> None:
            figures = judged_figures(model, self.prompts) if self.source.judged else {}
            self.curve.add("dit", record["seconds"], **figures)
            samples = make_clips(model)(self.source.samples, 0)
            save_strips(samples, self.run_dir / "samples" / f"step_{record['step']:06d}.png")
            self.on_evaluate()

        both = nn.ModuleDict({"text": model.text, "dit": model.dit})
        options = self._options(evaluate, reads)
        train_dit(both, data, model.preset, self.run_dir, compile=self.compile, **options)

    def finish(self) -> MiniSora:
        """Write the model and its curve."""
        model, curve = self.model, self.curve
        metadata = {"curve": curve.points, "threads": torch.get_num_threads()}
        model.save(self.run_dir / "model", metadata)
        if self.source.judged and any(point["stage"] == "dit" for point in curve.points):
            save_curve(curve.points, self.run_dir / "curve.png")
        return model.eval()

    def _count_time(self, stage: str) -> None:
        note = read_note(self.run_dir, stage)
        self.curve.spend(stage, note["seconds"] if note else 0.0)

    def _is_finished(self, stage: str) -> bool:
        config = getattr(self.model.preset, f"train_{stage}")
        left_out = config.steps is None and config.minutes == 0
        return left_out or (self.resume and is_finished(self.run_dir, stage, config))

    def _options(self, on_evaluate: Any = None, reads: dict[str, str] | None = None) -> dict:
        """What `fit` is told by every stage."""
        return {
            "resume": self.resume,
            "progress": self.progress,
            "on_evaluate": on_evaluate,
            "evaluate_every": self.evaluate_every,
            "should_stop": self.should_stop,
            "reads": reads,
        }


def save_curve(points: list[dict], path: Path) -> None:
    """Draw the curve into a file."""
    figure: Any = plot_curve(points).figure
    figure.savefig(path, dpi=150, bbox_inches="tight")


def reconstruction_psnr(model: MiniSora, videos: torch.Tensor) -> torch.Tensor:
    """PSNR of each video (B, 3, T, H, W) that went through the compressor, in dB."""
    parts = []
    for part in videos.split(32):
        decoded = model.decode(model.encode(part)).cpu()
        parts.append(psnr_of(decoded, part))
    return torch.cat(parts)


def judged_figures(model: MiniSora, count: int | None = None) -> dict[str, dict]:
    """Family → fractions of test prompts that come out as asked, in the model's own size.

    Args:
        count: prompts of each family; `EVALUATION_PROMPTS` where None.
    """
    figures = {}
    shape = clip_shape(model)
    for family in families_of(model):
        scenes = test_scenes(family, "seen", count or EVALUATION_PROMPTS, **shape)
        prompts = test_prompts(scenes, **shape)
        figures[family] = summarise(judge_clips(make_clips(model), prompts, fps=shape["fps"]))
    return figures
