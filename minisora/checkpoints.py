"""Files that are written whole or not at all, and read only where they can be trusted.

    tensors + note ── save_tensors ──► safetensors with checksums ── load_tensors ──► tensors + note
    parts + about  ── save_parts ────► a folder with a model.json ── read_about, load_part ──► parts

safetensors files hold bare numbers. Nothing here unpickles, so a file from a stranger can be
refused but can run nothing. What is loaded is copied into memory: no tensor lives in a file that is
to be replaced, which Windows would not allow.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import threading
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from minisora.config import Preset

MAX_JSON = 2**20  # bytes of a model.json
MAX_TENSORS = 2**32  # bytes of a file of tensors
PARTS = ("vae", "text", "dit", "upsampler")  # of a model, each with a file of its own


DAMAGE = (  # exceptions that readers raise where bytes are not as they were written
    SafetensorError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    RuntimeError,  # RecursionError, too
)


class CheckpointError(ValueError):
    """A checkpoint that cannot be trusted, with a sentence that says why."""


# ---------------------------------------- any file


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file atomically: a kill at any moment leaves the old file or the new one.

    Its permissions are as the umask says. Scratch files that killed processes left are removed.

    Raises:
        ValueError: the path is a link, or something else that is not a file.
        OSError: it cannot be written (full disk, no permission); nothing was changed.
    """
    path = Path(path)
    scratch = path.with_name(f"{_scratch_stem(path)}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        refuse_link(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_scratch(path)
        with open(scratch, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except OSError as error:
        raise _unwritten(path, error) from None
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink()


def _unwritten(path: Path, error: OSError) -> OSError:
    return OSError(f"{path} cannot be written ({error.strerror or error}); nothing was changed")


def write_text(path: str | Path, text: str) -> None:
    """Write a text file atomically, as UTF-8; otherwise as `write_bytes`."""
    write_bytes(path, text.encode("utf-8"))


def refuse_link(path: Path) -> None:
    """Raise ValueError where a path is a link, or exists and is not a file.

    Of a link it is not clear whether the link is to be replaced, or the file that it leads to.
    """
    if path.is_symlink():
        raise ValueError(f"{path} is a link to {os.readlink(path)}; name that itself")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is there and is not a file; choose another name")


def _scratch_stem(path: Path) -> str:
    return f".{path.name[:80]}"  # cut, because names have a greatest length


def _remove_scratch(path: Path) -> None:
    """Remove scratch files of `path` whose process is gone."""
    pattern = re.compile(re.escape(_scratch_stem(path)) + r"\.(\d{1,9})-\d+\.tmp")
    for name in os.listdir(path.parent):
        match = pattern.fullmatch(name)
        if match and not _is_running(int(match[1])):
            with contextlib.suppress(OSError):
                (path.parent / name).unlink()


def _is_running(process: int) -> bool:
    if os.name != "posix":
        return False  # on Windows an open file cannot be removed, so that trying is harmless
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True


def _read_bytes(path: Path, limit: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > limit:
            raise CheckpointError(f"{path} has {size} bytes; more than {limit} are not read")
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error})") from None


# ---------------------------------------- tensors


def save_tensors(path: str | Path, tensors: dict[str, torch.Tensor], note: dict) -> str:
    """Write tensors and a JSON-able note to one file, atomically.

    Returns:
        The SHA-256 of the file.

    Raises:
        ValueError, OSError: as `write_bytes`.
    """
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(note, sort_keys=True)
    metadata = {
        "note": text,
        "sha256": checksum(tensors),
        "note_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }
    data = save(tensors, metadata)
    write_bytes(path, data)
    return hashlib.sha256(data).hexdigest()


def load_tensors(
    path: str | Path, sha256: str | None = None
) -> tuple[dict[str, torch.Tensor], dict]:
    """Read what `save_tensors` wrote, into memory of its own.

    Args:
        sha256: that the file has to have, as model.json says; None is any.

    Returns:
        The tensors, and the note.

    Raises:
        CheckpointError: missing, truncated or altered.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint at {path}")
    data = _read_bytes(path, MAX_TENSORS)
    try:
        tensors = load(data)
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length])["__metadata__"]
        note = dict(json.loads(metadata["note"]))
        told = metadata["note_sha256"], metadata["sha256"]
        found = hashlib.sha256(metadata["note"].encode()).hexdigest(), checksum(tensors)
    except DAMAGE as error:
        raise CheckpointError(
            f"{path} is damaged or cut short ({error}); restore it from a copy or train again"
        ) from None
    if told != found:
        raise CheckpointError(
            f"{path} does not match its checksum: it was altered after it was written; "
            "restore it from a copy"
        )
    if sha256 is not None and sha256 != hashlib.sha256(data).hexdigest():
        raise CheckpointError(
            f"{path} is not the file that model.json speaks of; restore both from one copy"
        )
    return tensors, note


def checksum(tensors: dict[str, torch.Tensor]) -> str:
    """SHA-256 over names, types, shapes and numbers of tensors."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


# ---------------------------------------- models


def save_parts(folder: str | Path, parts: dict[str, torch.nn.Module], about: dict) -> None:
    """Write a model's parts (float16) and its `model.json`; at any moment one whole model is there.

    Parts never overwrite those of the model that is there: each part has two file names, and gets
    the one that is not in use. The new model.json, which is written last, replaces all at once.

    Args:
        parts: name → network.
        about: preset, vocabulary, rewordings and metadata, as JSON can hold them.

    Raises:
        CheckpointError: weights that are not finite.
        ValueError, OSError: as `write_bytes`.
    """
    folder = Path(folder)
    if folder.is_symlink():
        raise ValueError(f"{folder} is a link to {os.readlink(folder)}; name that itself")
    taken = _files_in_use(folder)
    tensors = {part: _half(part, module) for part, module in parts.items()}
    files = {part: f"{part}.safetensors" for part in parts}
    for part, name in files.items():
        if name in taken:
            files[part] = f"{part}.2.safetensors"
    checksums = {
        part: save_tensors(folder / files[part], tensors[part], {"part": part}) for part in parts
    }
    text = json.dumps({**about, "files": files, "sha256": checksums}, indent=1, ensure_ascii=False)
    write_text(folder / "model.json", text + "\n")
    for part in (*PARTS, "expander"):  # the old name of the upsampler
        for name in (f"{part}.safetensors", f"{part}.2.safetensors"):
            if name not in files.values():
                with contextlib.suppress(OSError):  # the next save tries again
                    (folder / name).unlink()


def _half(part: str, module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The weights of a part in float16, all finite."""
    tensors = {name: tensor.half() for name, tensor in module.state_dict().items()}
    _check_finite(part, tensors)
    return tensors


def _files_in_use(folder: Path) -> set[str]:
    """The files of the model in a folder; none where there is no model that could be loaded."""
    try:
        return set(read_about(folder)["files"].values())
    except CheckpointError:
        return set()


def read_about(folder: Path) -> dict:
    """Read the `model.json` of a folder.

    Returns:
        preset (a `Preset`), vocabulary, rewordings, metadata; and of each part: files (its name),
        sizes (in bytes), sha256.

    Raises:
        CheckpointError: missing, no JSON of the right kind, or numbers that no model can have.
    """
    path = folder / "model.json"
    try:
        about = _upgraded(json.loads(_read_bytes(path, MAX_JSON).decode("utf-8")), folder)
        _check_about(about)
    except CheckpointError:
        raise
    except DAMAGE as error:
        raise CheckpointError(
            f"{path} cannot be read ({error!s:.200}); restore it from a copy"
        ) from None
    return about


def load_part(folder: Path, part: str, about: dict, module: torch.nn.Module) -> None:
    """Fill `module`, one part of a model, with its weights.

    Args:
        about: as from `read_about`.

    Raises:
        CheckpointError: the file is damaged, of another training, or does not fit the preset.
    """
    path = folder / about["files"][part]
    tensors, note = load_tensors(path, str(about["sha256"].get(part)))
    tensors = upgrade_tensors(tensors)
    told = OLD_FIELDS.get(note.get("part", part), note.get("part", part))
    if told != part:
        raise CheckpointError(f"{path} holds the part {told!r}, not {part!r}")
    _check_finite(str(path), tensors)
    try:
        module.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{path} does not fit the preset ({reason})") from None


def _check_finite(where: str, tensors: dict[str, torch.Tensor]) -> None:
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise CheckpointError(f"{where}: {name} has numbers of {tensor.dtype}, not floats")
        if not tensor.isfinite().all():
            raise CheckpointError(f"{where}: {name} has NaN or infinite numbers; train again")
        if name == "latents_std" and not (tensor > 0).all():
            raise CheckpointError(f"{where}: {name} has a standard deviation that is not above 0")


# ---------------------------------------- what a model.json may say


def _check_about(about: dict) -> None:
    """Raise ValueError for words that are none, or for networks that are larger than their files.

    `Preset` has checked its own numbers.
    """
    preset, vocabulary = about["preset"].to_dict(), about["vocabulary"]
    if not isinstance(vocabulary, list) or not all(isinstance(word, str) for word in vocabulary):
        raise ValueError("the vocabulary is not a list of words")
    if len(set(vocabulary)) != len(vocabulary):
        raise ValueError("the vocabulary has a word twice")
    rewordings = about.setdefault("rewordings", {})
    if not all(isinstance(text, str) for pair in rewordings.items() for text in pair):
        raise ValueError("rewordings are not phrases for phrases")
    if not isinstance(about["metadata"], dict):
        raise ValueError("metadata is no dictionary")
    vae, dit = preset["vae"], preset["dit"]
    inputs = {
        "vae": 3 * math.prod(vae["patch_size"]),
        "text": len(vocabulary),
        "dit": dit["latent_channels"] * math.prod(dit["patch_size"]),
        "upsampler": len(vocabulary),
    }
    for part, size in about["sizes"].items():
        D, depth = preset[part]["hidden_size"], preset[part]["depth"]
        if 2 * D * (4 * depth * D + inputs[part]) > size:  # the least that float16 takes
            raise ValueError(f"{part} is larger in the preset than in its file")


# ---------------------------------------- names of earlier versions

GONE = ("pair_share", "pair_fraction")  # the families of `Preset.world` say it
OLD_FIELDS = {  # of a preset and its parts, as models that were saved before 0.2 call them
    "other_share": "other_fraction",
    "detailed_share": "detailed_fraction",
    "basics_steps": "curriculum_steps",
    "basics_detailed_share": "curriculum_detailed_fraction",
    "given_noise": "noise_augmentation",
    "expander": "upsampler",
    "train_expander": "train_upsampler",
    "decay_share": "cooldown_fraction",
}


def _upgraded(about: dict, folder: Path) -> dict:
    """A `model.json` of any version as this version writes it, with the sizes of its files."""
    about = upgrade_note(about)
    preset = Preset.from_dict(about["preset"])
    parts = [part for part in PARTS if getattr(preset, part) is not None]
    files = {part: about.get("files", {}).get(part, f"{part}.safetensors") for part in parts}
    if "upsampler" in files and "files" not in about and not (folder / files["upsampler"]).exists():
        files["upsampler"] = "expander.safetensors"  # as it was called once
    for name in files.values():
        if Path(name).name != name:
            raise ValueError(f"the file {name!r:.80} is not in the model's folder")
        if not (folder / name).is_file():
            raise CheckpointError(f"there is no checkpoint at {folder / name}")
    sizes = {part: (folder / name).stat().st_size for part, name in files.items()}
    return {**about, "preset": preset, "files": files, "sizes": sizes}


def upgrade_note(note: Any) -> dict[str, Any]:
    """Rewrite a `model.json` of any version as this version writes it.

    Raises:
        ValueError: a value that is no `model.json`.
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
    known = {name: value for name, value in values.items() if name not in GONE}
    return {OLD_FIELDS.get(name, name): value for name, value in known.items()}


def upgrade_tensors(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Give weights of any version the names of this version."""
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
