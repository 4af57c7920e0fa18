"""Train a preset within a number of minutes, everything included, and write all of it out.

    python -m data.experiments.train_on_gpu --preset base --minutes 6 --out OUT
        ──► OUT/model.tar.00 …, report.json, samples.png, curve.png

The number counts from the start of Python to the last file. What is spent on clips, compiling,
evaluations and files is taken from the trainings, which share what is left whenever one begins.
A signal (Ctrl-C, SIGTERM) ends a training early; what was learned is written out then, too. It is
also written out after every stage and evaluation, so that a kill loses little. A file has at most
15 MiB; `--join OUT FOLDER` puts the model's files together into a folder for `MiniSora.load`.
"""

import time

BEGAN = time.monotonic()  # before torch is loaded, which takes seconds

import argparse  # noqa: E402
import io  # noqa: E402
import json  # noqa: E402
import shutil  # noqa: E402
import signal  # noqa: E402
import tarfile  # noqa: E402
import traceback  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from dataclasses import replace  # noqa: E402
from pathlib import Path  # noqa: E402
from types import FrameType  # noqa: E402
from typing import Any  # noqa: E402

import torch  # noqa: E402
import torch.nn as nn  # noqa: E402

from minisora import PRESETS, MiniSora  # noqa: E402
from minisora.checkpoints import load_tensors, write_bytes, write_text  # noqa: E402
from minisora.config import Preset  # noqa: E402
from minisora.device import COMPILE_FROM, can_compile, is_gpu  # noqa: E402
from minisora.measure.accuracy import (  # noqa: E402
    families_of,
    judge_clips,
    make_clips,
    summarise,
)
from minisora.measure.clips import clip_shape, test_prompts, test_scenes  # noqa: E402
from minisora.show.clip import save_strips  # noqa: E402
from minisora.threads import choose_threads  # noqa: E402
from minisora.train.loop import read_note  # noqa: E402
from minisora.train.recipe import Stages, begin, judged_figures  # noqa: E402
from minisora.train.run import read_run  # noqa: E402

PIECE = 15 * 2**20  # bytes of one file of the model
RESERVE = 0.05  # of all the time: the last evaluation and the files
FRACTIONS = {"vae": 0.3, "text": 0.04, "upsampler": 0.07, "dit": 0.95}  # of what is left then
CONFIGS = {
    "vae": "train_vae",
    "text": "train_language",
    "upsampler": "train_upsampler",
    "dit": "train_dit",
}
SAMPLES = 32


class Run:
    """One training with a deadline: where the time goes, and what is written out of it.

    Args:
        minutes: from the start of Python to the end.
        judged: prompts of each family in the last evaluation.
    """

    def __init__(self, stages: Stages, out: Path, minutes: float, judged: int):
        self.stages = stages
        self.out = out
        self.minutes = minutes
        self.judged = judged
        self.parts: dict[str, float] = {"start": time.monotonic() - BEGAN}
        self.figures: dict[str, Any] = {}
        self.errors: list[str] = []

    @property
    def model(self) -> MiniSora:
        return self.stages.model

    def left(self) -> float:
        """Seconds until everything has to be written."""
        return 60 * self.minutes - (time.monotonic() - BEGAN)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure a part, and say how long it took."""
        began = time.monotonic()
        try:
            yield
        finally:
            seconds = time.monotonic() - began
            self.parts[name] = self.parts.get(name, 0.0) + seconds
            say(f"{name}: {seconds:.1f} s, {self.left():.0f} s are left")

    def stage(self, name: str, train: Callable[[Stages], Any]) -> None:
        """Run a training with its fraction of the time that is left.

        Where a compiled network fails, it goes on without compiling.
        """
        with self.part(name):
            try:
                train(self._with_budget(name))
            except Exception:
                if not self.stages.compile:
                    raise
                self.errors.append(traceback.format_exc()[-2000:])
                say(f"{name} goes on without compiling, because it failed:\n{self.errors[-1]}")
                self.stages = replace(self.stages, compile=False, resume=True)
                train(self._with_budget(name))
        self.write()

    def _with_budget(self, name: str) -> Stages:
        """The stages with the minutes of one of them set to what it may take now."""
        left = max(self.left() - 60 * self.minutes * RESERVE, 0.0)
        seconds = 0.0 if self._is_passed(name) else left * FRACTIONS[name]
        evaluations = 3 if name == "dit" else 1
        config = getattr(self.model.preset, CONFIGS[name])
        note = read_note(self.stages.run_dir, name) if self.stages.resume else None
        before = note["seconds"] if note else 0.0
        config = replace(
            config,
            minutes=(0.999 * before + seconds) / 60,  # all of it is spent where nothing is added
            steps=None,
            save_every=30.0,
        )
        self.model.preset = replace(self.model.preset, **{CONFIGS[name]: config})
        # a training stops early where its evaluations and files take more than was left for them
        last = 60 * self.minutes * RESERVE
        end = last if name == "dit" else max(self.left() - 2 * seconds - 5, last)
        return replace(
            self.stages,
            evaluate_every=max(seconds / evaluations, 1.0) + 0.1,
            on_evaluate=self.write,
            should_stop=lambda: self.left() < end,
        )

    def _is_passed(self, name: str) -> bool:
        """Whether an earlier run went on to a later stage, which more of this one would spoil."""
        order = list(CONFIGS)
        files = [f"{stage}.safetensors" for stage in order[order.index(name) + 1 :]]
        if name == "vae":
            files.append("latents.safetensors")
        return any((self.stages.run_dir / file).is_file() for file in files)

    def train(self) -> None:
        """All stages; the transformer's evaluations judge as many clips as there is time for."""
        self._with_budget("vae")  # so that no clips are drawn where it was passed
        with self.part("clips"):
            videos = [self.stages.clips()]
        self.stage("vae", lambda stages: stages.compressor(videos[0]))
        videos.clear()  # their memory is needed
        with self.part("latents"):
            data = self.stages.latents(measure=True)
        self.stage("text", lambda stages: stages.text_encoder(data))
        if self.model.upsampler:
            self.stage("upsampler", lambda stages: stages.upsampler(data))
        count = min(int(0.03 * self.left() / self.seconds_of_clips()), 64)
        self.stages = replace(self.stages, prompts=max(count, 1))
        self.stage("dit", lambda stages: stages.transformer(data))

    def seconds_of_clips(self) -> float:
        """How long it takes to make and judge one clip of each family."""
        self.model.eval()
        judged_figures(self.model, 1)  # warm up
        began = time.monotonic()
        judged_figures(self.model, 1)
        return max(time.monotonic() - began, 1e-3)

    def evaluate(self) -> None:
        """Draw samples, and judge each family with as many prompts as there is time for."""
        families = families_of(self.model)
        seconds = self.seconds_of_clips() / len(families)
        count = max(min(SAMPLES, int(0.3 * self.left() / seconds)) // len(families), 1)
        shape = clip_shape(self.model)
        scenes = []
        for family in families:
            scenes += test_scenes(family, "seen", count, **shape)
        prompts = test_prompts(scenes, **shape)
        videos = make_clips(self.model)(prompts, 0)
        save_strips(videos.cpu(), self.out / "samples.png")
        self.figures["sample prompts"] = prompts
        kinds = [(family, up) for up in (False, True) for family in families]
        for i, (family, upsample) in enumerate(kinds):
            free = self.left() - 0.03 * 60 * self.minutes
            count = min(self.judged, int(0.7 * free / seconds / (len(kinds) - i)))
            if count < 1:
                say("there is no time to judge more")
                return
            prompts = test_prompts(test_scenes(family, "seen", count, **shape), **shape)
            make = make_clips(self.model, upsample=upsample)
            table = summarise(judge_clips(make, prompts, fps=shape["fps"]))
            self.figures[f"{family}, {'upsampled' if upsample else 'typed'}"] = table
            say(f"{family}, upsampled {upsample}: {table['all']}")

    def write(self) -> None:
        """Write out the model as it is now, and the report."""
        began = time.monotonic()
        self.stages.finish()
        run_dir = self.stages.run_dir
        pieces = cut(pack(run_dir / "model"), PIECE)
        for i, piece in enumerate(pieces):
            write_bytes(self.out / f"model.tar.{i:02d}", piece)
        for old in self.out.glob("model.tar.??"):
            if int(old.suffix[1:]) >= len(pieces):
                old.unlink()
        if (run_dir / "curve.png").is_file():
            shutil.copy(run_dir / "curve.png", self.out / "curve.png")
        self.parts["files"] = self.parts.get("files", 0.0) + time.monotonic() - began
        self.report()

    def say_report(self) -> None:
        """Print where the time went."""
        table = json.loads((self.out / "report.json").read_text(encoding="utf-8"))
        for name in ("seconds of each part", "seconds in all", "machine", "compiled", "errors"):
            say(f"{name}: {table[name]}")
        for name, stage in table["stages"].items():
            say(f"{name}: {stage}")
        for name, figures in self.figures.items():
            if isinstance(figures, dict):
                say(f"{name}: {figures['all']}")

    def report(self) -> None:
        """Write down where the time went."""
        speeds = {}
        for name in CONFIGS:
            note = read_note(self.stages.run_dir, name)
            if note is not None:
                seconds = max(note["seconds"], 1e-9)
                speeds[name] = {
                    "steps": note["step"],
                    "seconds": round(seconds, 1),
                    "steps a second": round(note["step"] / seconds, 2),
                    "skipped": note.get("skipped", 0),
                    "last figures": note["history"][-1:],
                }
        table = {
            "seconds of each part": {name: round(s, 1) for name, s in self.parts.items()},
            "seconds in all": round(time.monotonic() - BEGAN, 1),
            "stages": speeds,
            "machine": machine(self.model.device),
            "compiled": self.stages.compile,
            "errors": self.errors,
            "figures": self.figures,
            "curve": self.stages.curve.points,
        }
        write_text(self.out / "report.json", json.dumps(table, indent=1) + "\n")


def machine(device: torch.device) -> dict[str, Any]:
    """What the training ran on."""
    about: dict[str, Any] = {"device": str(device), "torch": torch.__version__}
    if is_gpu(device):
        about["name"] = torch.cuda.get_device_name(device)
        about["peak memory in GiB"] = round(torch.cuda.max_memory_allocated(device) / 2**30, 2)
    return about


def pack(folder: Path) -> bytes:
    """A folder's files as one tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, path.name)
    return buffer.getvalue()


def cut(data: bytes, size: int) -> list[bytes]:
    """Bytes in pieces of at most `size`."""
    return [data[i : i + size] for i in range(0, len(data), size)]


def join(out: Path, folder: Path) -> None:
    """Undo `pack` and `cut`."""
    data = b"".join(path.read_bytes() for path in sorted(out.glob("model.tar.??")))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(folder, filter="data")


@torch.no_grad()
def take_averages(stages: Stages) -> None:
    """Give a model whose training was cut off the averaged weights of its checkpoints."""
    model = stages.model
    modules: dict[str, nn.Module | None] = {
        "vae": model.vae,
        "upsampler": model.upsampler,
        "dit": nn.ModuleDict({"text": model.text, "dit": model.dit}),
    }
    for stage, module in modules.items():
        path = stages.run_dir / f"{stage}.safetensors"
        if module is not None and path.is_file():
            tensors, _ = load_tensors(path)
            for name, p in module.named_parameters():
                p.copy_(tensors[f"ema.{name}"])


def say(text: str) -> None:
    print(f"[{time.monotonic() - BEGAN:6.1f} s] {text}", flush=True)


def chosen_preset(args: argparse.Namespace) -> Preset:
    """The preset with the numbers that were typed; a run that goes on keeps its own."""
    run = read_run(args.run) if args.run.is_dir() else None
    if run is not None:
        return run.preset
    preset = PRESETS[args.preset]
    changes: dict[str, Any] = {}
    for name in ("vae_clips", "cached_clips"):
        if getattr(args, name):
            changes |= {name: getattr(args, name), f"gpu_{name}": getattr(args, name)}
    if args.width:
        changes["dit"] = replace(preset.dit, hidden_size=args.width)
    if args.depth:
        changes["dit"] = replace(changes.get("dit", preset.dit), depth=args.depth)
    return replace(preset, **changes)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="base", choices=list(PRESETS))
    parser.add_argument("--minutes", type=float, default=6.0, help="from start to end")
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--run", type=Path, help="the run's folder; one that is there goes on")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--vae-clips", type=int)
    parser.add_argument("--cached-clips", type=int)
    parser.add_argument("--width", type=int, help="of the transformer")
    parser.add_argument("--depth", type=int, help="of the transformer")
    parser.add_argument("--judged", type=int, default=128, help="prompts a family, at the end")
    parser.add_argument("--join", type=Path, nargs=2, metavar=("OUT", "FOLDER"))
    args = parser.parse_args()
    args.run = args.run or Path("runs") / f"gpu_{args.preset}"
    return args


def start(args: argparse.Namespace) -> Stages:
    """The model and what its stages need."""
    choose_threads("training")
    stages = begin(
        chosen_preset(args),
        args.run,
        resume=(args.run / "run.json").is_file(),
        device=args.device,
        progress=False,
        options={"preset": args.preset},
    )
    kind = stages.model.device.type
    least = COMPILE_FROM.get(kind, COMPILE_FROM["cpu"])
    pays = args.minutes * FRACTIONS["vae"] * (1 - RESERVE) >= least
    return replace(stages, compile=not args.no_compile and pays and can_compile(kind))


def terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def main() -> int:
    """Train, evaluate, write out; 0 where nothing went wrong."""
    args = parse()
    if args.join:
        join(*args.join)
        return 0
    signal.signal(signal.SIGTERM, terminate)
    args.out.mkdir(parents=True, exist_ok=True)
    stages = start(args)
    run = Run(stages, args.out, args.minutes, args.judged)
    say(f"{args.preset} on {machine(stages.model.device)}, compiled: {stages.compile}")
    code = 0
    try:
        run.train()
        with run.part("evaluation"):
            run.evaluate()
    except BaseException as error:  # also signals: what was learned is written out in any case
        code = error.code if isinstance(error, SystemExit) else 1
        run.errors.append(traceback.format_exc()[-2000:])
        say(f"ended by {error!r}; what was learned is written out")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        take_averages(stages)
    finally:
        stages.workers.close()
    run.write()
    run.say_report()
    return int(code or 0)


if __name__ == "__main__":
    raise SystemExit(main())
