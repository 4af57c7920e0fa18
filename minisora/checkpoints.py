"""Tensors and facts on disk: safetensors (files of bare numbers) with a JSON note and a checksum inside, written whole or not at all.

Nothing here unpickles, so a file from a stranger can be refused but can run nothing.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file


class CheckpointError(ValueError):
    """A checkpoint that cannot be trusted, with a sentence that says why."""


def checksum(tensors: dict[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and numbers."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_tensors(path: str | Path, tensors: dict[str, torch.Tensor], note: dict) -> None:
    """Write tensors and a JSON-able note to one file, atomically: a kill at any moment leaves the old file or the new one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(note, sort_keys=True)
    metadata = {
        "note": text,
        "sha256": checksum(tensors),
        "note_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        save_file(tensors, scratch, metadata=metadata)
        _to_disk(scratch)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def load_tensors(path: str | Path) -> tuple[dict[str, torch.Tensor], dict]:
    """Read what `save_tensors` wrote.

    Raises:
        CheckpointError: missing, truncated or altered.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged or cut short ({error}); restore it from a copy or train again"
        ) from None
    note = metadata.get("note", "")
    if metadata.get("note_sha256") != hashlib.sha256(note.encode()).hexdigest() or metadata.get(
        "sha256"
    ) != checksum(tensors):
        raise CheckpointError(
            f"{path} does not match its checksum: it was altered after it was written; restore it from a copy"
        )
    return tensors, json.loads(note)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    scratch.write_text(text, encoding="utf-8")
    _to_disk(scratch)
    os.replace(scratch, path)


def _to_disk(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


# ------------------------------------------------------------------------------ names of earlier versions

OLD_FIELDS = {  # of a preset and its parts, as models that were saved before 0.2 call them
    "pair_share": "pair_fraction",
    "other_share": "other_fraction",
    "detailed_share": "detailed_fraction",
    "basics_steps": "curriculum_steps",
    "basics_detailed_share": "curriculum_detailed_fraction",
    "given_noise": "noise_augmentation",
    "expander": "upsampler",
    "train_expander": "train_upsampler",
    "decay_share": "cooldown_fraction",
}


def upgrade_note(note: Any) -> dict[str, Any]:
    """A `model.json` of any version as this version writes it.

    Raises:
        ValueError: what is not a model's note at all.
    """
    if not isinstance(note, dict) or not isinstance(note.get("preset"), dict):
        raise ValueError("it has no preset")
    preset = _renamed(note["preset"])
    for name, part in preset.items():
        if isinstance(part, dict):
            preset[name] = _renamed(part)
    preset.setdefault("upsampler", None)  # the first models went without
    sha256 = note.get("sha256", {})
    if not isinstance(sha256, dict):
        raise ValueError("its checksums are not names and values")
    metadata = note.get("metadata", note.get("facts", {}))
    return {**note, "preset": preset, "sha256": _renamed(sha256), "metadata": metadata}


def _renamed(values: dict[str, Any]) -> dict[str, Any]:
    return {OLD_FIELDS.get(name, name): value for name, value in values.items()}


def upgrade_tensors(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of any version under the names of this version."""
    # the prompt upsampler was a text encoder once; now it has one
    old_upsampler = "head.weight" in tensors and "embed.weight" in tensors
    upgraded = {}
    for name, tensor in tensors.items():
        if name.endswith(".table"):
            name = f"{name.removesuffix('.table')}.scale_shift_table"
        if old_upsampler and not name.startswith("head."):
            name = f"text.{name}"
        upgraded[name] = tensor
    return upgraded


def part_path(folder: Path, part: str) -> Path:
    """The file of a model's part; the prompt upsampler's was called expander once."""
    path = folder / f"{part}.safetensors"
    old = folder / "expander.safetensors"
    return old if part == "upsampler" and old.is_file() and not path.is_file() else path
