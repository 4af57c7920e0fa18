"""What a run began with: `run.json`, and the weights of the model that it goes on from.

A run folder remembers its preset and its options, so that a resume needs none of them, and refuses
to go on with others. Only budgets (minutes, steps) may grow.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn as nn

from minisora.checkpoints import checksum, write_text
from minisora.config import PlayPreset, Preset
from minisora.pipeline import MiniSora
from minisora.text import EOS, PAD
from minisora.train.folder import Folder

BUDGETS = ("minutes", "steps")  # fields of a TrainConfig that may grow
WORD_ROWS = ("embed.weight", "head.weight", "head.bias")  # weights with a row for each word
FREE = ("save_every",)  # fields that change nothing about the result


@dataclass(frozen=True)
class Run:
    """What `run.json` holds."""

    preset: Preset | PlayPreset  # as asked for
    words: list[str]  # that the model knows; none for a game
    start: str | None = None  # checksum of the model that the run goes on from
    clips: str | None = None  # checksum of a reader's own clips; None: the toy world
    options: dict[str, Any] = field(default_factory=dict)  # of the command line


def read_run(run_dir: str | Path) -> Run | None:
    """What the run in this folder began with; None where there is none.

    Raises:
        ValueError: a file that cannot be read, or one of an older version.
    """
    path = Path(run_dir) / "run.json"
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        kind = PlayPreset if "game" in values["preset"] else Preset
        return Run(**{**values, "preset": kind.from_dict(values["preset"])})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}): it is damaged or of an older version; "
            "train into another folder"
        ) from None


def check_folder(run_dir: Path, resume: bool) -> None:
    """Refuse a folder that no run can begin in.

    Raises:
        FileExistsError: the folder holds a run and `resume` is not set.
        ValueError: the folder is that of a model.
    """
    if (run_dir / "model.json").is_file():
        raise ValueError(
            f"{run_dir} is a model, not a training; name the run's folder, which is the one above"
        )
    if not resume and any(run_dir.rglob("*.safetensors")):
        raise FileExistsError(
            f"{run_dir} already holds a training; "
            "go on with it (--resume), or name another folder (--out)"
        )


def remember(run_dir: Path, run: Run) -> None:
    """Write down what a run begins with, or refuse to go on with something else.

    Raises:
        ValueError: the folder's run began with something else.
    """
    former = read_run(run_dir)
    if former is not None:
        _check_same(run_dir, former, run)
    write_text(run_dir / "run.json", json.dumps(asdict(run), ensure_ascii=False, indent=1) + "\n")


def _check_same(run_dir: Path, former: Run, run: Run) -> None:
    """Refuse another model, other clips, or a preset in which more than a budget has grown."""
    if run.start != former.start:
        raise ValueError(f"{run_dir} was begun with another --from; resume it with the same")
    if run.clips != former.clips:
        raise ValueError(f"{run_dir} was begun with another --data; resume it with the same")
    if run.words != former.words:
        raise ValueError(f"{run_dir} was begun with other words, by an older version of minisora")
    old, new = _flat(former.preset.to_dict()), _flat(run.preset.to_dict())
    for name in sorted(old | new):
        before, now = old.get(name), new.get(name)
        kind = name.rsplit(".", 1)[-1]
        if before == now or kind in FREE:
            continue
        if kind in BUDGETS and before is not None and now is not None:
            if now > before:
                continue
            raise ValueError(
                f"{run_dir} was begun with {name} = {before}; that may grow, not shrink to {now}"
            )
        raise ValueError(
            f"{run_dir} was begun with {name} = {before}, not {now}; "
            "resume it with the same, or train into another folder"
        )


def _flat(values: dict, prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, with dots in its names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def fingerprint(module: torch.nn.Module) -> str:
    """A checksum of weights: equal for equal models, whatever device they are on."""
    return checksum({name: x.detach().cpu() for name, x in module.state_dict().items()})


def fingerprint_of_clips(folder: Folder) -> str:
    """A checksum of a reader's clips and captions."""
    captions = json.dumps(folder.captions).encode()
    return checksum({"videos": folder.videos, "captions": torch.tensor(list(captions))})


# --------------------------------------------------------------------------- on from another model


def preset_of_run(preset: Preset, start: MiniSora | None, folder: Folder | None) -> Preset:
    """The preset that is trained, which is not always the one that was asked for.

    Going on from a model, its sizes count, the learning rate is a quarter (what is learned already
    is not to be shaken out) and there is no curriculum. A folder's captions say no positions, so
    there is nothing for an upsampler to learn and no curriculum of detailed captions.
    """
    if start:
        rate = preset.train_dit.learning_rate / 4
        preset = replace(
            preset,
            vae=start.preset.vae,
            text=replace(start.preset.text, max_length=preset.text.max_length),
            dit=start.preset.dit,
            curriculum_steps=0,
            train_dit=replace(preset.train_dit, learning_rate=rate),
        )
    if folder:
        preset = replace(preset, upsampler=None, curriculum_steps=0)
    return preset


@torch.no_grad()
def take_over(model: MiniSora, start: MiniSora) -> None:
    """Give a model another one's weights, word by word where their vocabularies differ.

    The compressor's encoder rests from then on, so that latents keep their meaning. An upsampler of
    another size is left as it is.
    """
    model.vae.load_state_dict(start.vae.state_dict())
    model.vae.encoder.requires_grad_(False)
    model.dit.load_state_dict(start.dit.state_dict())
    known = model.tokenizer.ids.keys() & start.tokenizer.ids.keys()
    rows = {PAD: PAD, EOS: EOS}  # of the model → of the one that it goes on from
    rows |= {model.tokenizer.ids[word]: start.tokenizer.ids[word] for word in known}
    _take_words(model.text, start.text, rows)
    same_size = model.preset.upsampler == start.preset.upsampler
    if model.upsampler and start.upsampler and same_size:
        _take_words(model.upsampler, start.upsampler, rows)


def _take_words(network: nn.Module, start: nn.Module, rows: dict[int, int]) -> None:
    """Copy the weights of a network of words; rows of words that are new stay as they are."""
    weights = start.state_dict()
    for name, own in network.state_dict().items():
        if name.endswith(WORD_ROWS):
            merged = own.clone()
            merged[list(rows)] = weights[name][list(rows.values())]
            weights[name] = merged
    network.load_state_dict(weights)
