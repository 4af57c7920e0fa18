"""Damaged bytes, wrong numbers and kills while saving: a model loads as it was or is refused."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from minisora.checkpoints import CheckpointError, load_tensors, save_tensors
from minisora.pipeline import MiniSora


@pytest.fixture
def folder(model, tmp_path) -> Path:
    model.save(tmp_path / "m", {"why": "test"})
    return tmp_path / "m"


def weights(model: MiniSora) -> dict[str, torch.Tensor]:
    return {name: tensor.half() for name, tensor in model.state_dict().items()}


def same(a: MiniSora, b: MiniSora) -> bool:
    theirs = weights(b)
    return all(torch.equal(tensor, theirs[name]) for name, tensor in weights(a).items())


# ---------------------------------------- bytes


def damage(data: bytes, rng: random.Random) -> bytes:
    """One bit flipped, the end cut off, or a few bytes replaced."""
    where = rng.randrange(len(data))
    kind = rng.choice(["flip", "cut", "replace"])
    if kind == "cut":
        return data[:where]
    if kind == "flip":
        return data[:where] + bytes([data[where] ^ 1 << rng.randrange(8)]) + data[where + 1 :]
    return data[:where] + rng.randbytes(8) + data[where + 8 :]


def test_damaged_files_load_as_they_were_or_are_refused(model, folder, count):
    rng = random.Random(0)
    for path in sorted(folder.iterdir()):
        good = path.read_bytes()
        for _ in range(count):
            path.write_bytes(damage(good, rng))
            try:
                assert same(MiniSora.load(folder, "cpu"), model) or path.name == "model.json"
            except CheckpointError as error:
                assert len(str(error).splitlines()) == 1, error
        path.write_bytes(good)
    assert same(MiniSora.load(folder, "cpu"), model)


# ---------------------------------------- numbers


def rewrite(folder: Path, change) -> None:
    path = folder / "model.json"
    about = json.loads(path.read_text(encoding="utf-8"))
    change(about)
    path.write_text(json.dumps(about), encoding="utf-8")


NASTY = (
    None, True, -1, 0, 0.5, 10**9, 10**400, float("nan"), float("inf"), "", "8", [], [1], {}, [[]],
)  # fmt: skip


@pytest.mark.parametrize(
    "where",
    [
        ("preset", "shift"),
        ("preset", "fps"),
        ("preset", "num_frames"),
        ("preset", "height"),
        ("preset", "other_sizes"),
        ("preset", "vae"),
        ("preset", "vae", "patch_size"),
        ("preset", "vae", "depth"),
        ("preset", "dit", "hidden_size"),
        ("preset", "dit", "depth"),
        ("preset", "dit", "mlp_ratio"),
        ("preset", "text", "num_heads"),
        ("preset", "text", "max_length"),
        ("preset", "upsampler"),
        ("preset", "train_dit", "minutes"),
        ("preset",),
        ("vocabulary",),
        ("files",),
        ("files", "dit"),
        ("sha256",),
        ("metadata",),
    ],
    ids=".".join,
)
def test_a_model_json_of_any_kind_is_taken_or_refused_at_once(folder, where):
    good = (folder / "model.json").read_text(encoding="utf-8")
    began = time.monotonic()
    for value in NASTY:

        def change(about, value=value):
            for name in where[:-1]:
                about = about[name]
            about[where[-1]] = value

        rewrite(folder, change)
        try:
            model = MiniSora.load(folder, "cpu")
        except CheckpointError as error:
            assert len(str(error).splitlines()) == 1, error
        else:  # what is taken has to work
            assert model.generate("", num_frames=1, num_inference_steps=1).isfinite().all(), value
        (folder / "model.json").write_text(good, encoding="utf-8")
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[]", "3", '"tiny"', "{", "[" * 100_000, '{"a":' * 100_000, "9" * 10_000,
        '{"preset": {}}', '{"preset": [], "vocabulary": []}', "\x00", " " * 2**21,
    ],
    ids=lambda text: f"{text[:12]!r}",
)  # fmt: skip
def test_any_other_text_in_model_json_is_refused(folder, text):
    (folder / "model.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError):
        MiniSora.load(folder, "cpu")


@pytest.mark.parametrize("name", ["../dit.safetensors", "/etc/passwd", "a/b", ".", ""])
def test_a_model_reads_files_of_its_own_folder_only(folder, name):
    rewrite(folder, lambda about: about["files"].update(dit=name))
    with pytest.raises(CheckpointError):
        MiniSora.load(folder, "cpu")


# ---------------------------------------- weights with a right checksum


def replace_part(folder: Path, part: str, change, note=None) -> None:
    """Change a part's tensors, and make every checksum right again."""
    path = folder / f"{part}.safetensors"
    tensors, old = load_tensors(path)
    change(tensors)
    save_tensors(path, tensors, old if note is None else note)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    rewrite(folder, lambda about: about["sha256"].update({part: digest}))


def set_first(value: float):
    def change(tensors: dict[str, torch.Tensor]) -> None:
        next(iter(tensors.values())).view(-1)[0] = value

    return change


def as_int8(tensors: dict[str, torch.Tensor]) -> None:
    for name in tensors:
        tensors[name] = tensors[name].to(torch.int8)


@pytest.mark.parametrize("part", ["vae", "text", "dit", "upsampler"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_first(float("nan")), "NaN or infinite"),
        (set_first(float("inf")), "NaN or infinite"),
        (as_int8, "int8, not floats|larger in the preset than in its file"),
        (lambda tensors: tensors.clear(), "larger in the preset than in its file"),
        (lambda tensors: tensors.update(more=torch.zeros(1)), "does not fit the preset"),
    ],
    ids=["nan", "inf", "int8", "empty", "more"],
)
def test_weights_that_cannot_be_right_are_refused(folder, part, change, message):
    replace_part(folder, part, change)
    with pytest.raises(CheckpointError, match=message):
        MiniSora.load(folder, "cpu")


def test_a_standard_deviation_of_zero_is_refused(folder):
    replace_part(folder, "vae", lambda tensors: tensors["latents_std"].zero_())
    with pytest.raises(CheckpointError, match="standard deviation"):
        MiniSora.load(folder, "cpu")


def test_parts_of_another_training_are_refused(model, folder, tmp_path):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    model.save(tmp_path / "other")
    for part in ("vae", "text", "dit", "upsampler"):
        shutil.copytree(folder, tmp_path / part)
        name = f"{part}.safetensors"
        shutil.copy(tmp_path / "other" / name, tmp_path / part / name)
        with pytest.raises(CheckpointError, match=r"not the file that model\.json speaks of"):
            MiniSora.load(tmp_path / part, "cpu")
    replace_part(folder, "text", lambda tensors: None, note={"part": "dit"})
    with pytest.raises(CheckpointError, match="holds the part 'dit'"):
        MiniSora.load(folder, "cpu")


def test_weights_that_are_not_finite_are_not_saved_over_good_ones(model, folder):
    good = weights(model)
    with torch.no_grad():
        model.dit.x_embedder.weight[0, 0] = 1e6  # more than float16 holds
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        model.save(folder)
    kept = weights(MiniSora.load(folder, "cpu"))
    assert all(torch.equal(tensor, kept[name]) for name, tensor in good.items())


# ---------------------------------------- earlier versions


def test_a_folder_of_the_first_version_still_loads(model, folder):
    """Names of then: `expander`, shares, `table`, `facts`; no list of files."""

    def old_names(about):
        preset = about["preset"]
        preset["pair_share"] = 0.25
        preset["expander"] = preset.pop("upsampler")
        preset["train_expander"] = preset.pop("train_upsampler")
        preset["train_dit"]["decay_share"] = preset["train_dit"].pop("cooldown_fraction")
        about["facts"] = about.pop("metadata")
        about["sha256"]["expander"] = about["sha256"].pop("upsampler")
        del about["files"]

    def old_tables(tensors):
        for name in [name for name in tensors if name.endswith("scale_shift_table")]:
            tensors[name.replace("scale_shift_table", "table")] = tensors.pop(name)

    def old_upsampler(tensors):
        for name in [name for name in tensors if name.startswith("text.")]:
            tensors[name.removeprefix("text.")] = tensors.pop(name)

    replace_part(folder, "dit", old_tables)
    replace_part(folder, "upsampler", old_upsampler, note={"part": "expander"})
    (folder / "upsampler.safetensors").rename(folder / "expander.safetensors")
    rewrite(folder, old_names)
    old = MiniSora.load(folder, "cpu")
    assert same(old, model) and old.preset == model.preset and old.metadata == {"why": "test"}
    old.save(folder)
    assert same(MiniSora.load(folder, "cpu"), model)
    assert not (folder / "expander.safetensors").exists(), "there is one upsampler, not two"


# ---------------------------------------- kills

SAVER = """
import sys
from minisora.pipeline import MiniSora
model = MiniSora.load(sys.argv[1], "cpu")
print("ready", flush=True)
while True:
    model.metadata["count"] = model.metadata.get("count", 0) + 1
    model.save(sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_a_kill_while_saving_leaves_a_model_that_loads(model, folder, count):
    rng = random.Random(0)
    for _ in range(count):
        with subprocess.Popen(
            [sys.executable, "-c", SAVER, str(folder)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(rng.uniform(0.0, 0.3))
            process.send_signal(signal.SIGKILL)
        assert same(MiniSora.load(folder, "cpu"), model)
    model.save(folder)
    assert len(list(folder.iterdir())) == 5, (
        "four parts, model.json, and nothing that was left over"
    )


def test_every_step_of_a_save_may_be_the_last(model, folder, monkeypatch):
    """As the kills, but at every moment in turn: before and after each file is replaced."""
    replace, steps = os.replace, []
    new = MiniSora(model.preset, model.tokenizer.vocabulary).eval()

    def stop_after(limit: int, before: bool):
        def replaced(source, target):
            steps.append(target)
            if len(steps) == limit and before:
                raise KeyboardInterrupt
            replace(source, target)
            if len(steps) == limit:
                raise KeyboardInterrupt

        return replaced

    for limit in range(1, 6):
        for before in (True, False):
            steps.clear()
            monkeypatch.setattr("os.replace", stop_after(limit, before))
            with pytest.raises(KeyboardInterrupt):
                new.save(folder)
            monkeypatch.setattr("os.replace", replace)
            loaded = MiniSora.load(folder, "cpu")
            finished = limit == 5 and not before
            assert same(loaded, new if finished else model), (limit, before)
    new.save(folder)
    assert same(MiniSora.load(folder, "cpu"), new) and len(list(folder.iterdir())) == 5


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_a_model_is_not_saved_through_a_link(model, folder, tmp_path):
    (tmp_path / "link").symlink_to(folder, target_is_directory=True)
    with pytest.raises(ValueError, match="is a link to"):
        model.save(tmp_path / "link")
    assert MiniSora.load(tmp_path / "link", "cpu").metadata == {"why": "test"}, "reading is fine"
