import pytest
import torch

from minisora.checkpoints import (
    CheckpointError,
    load_tensors,
    save_tensors,
    upgrade_note,
    upgrade_tensors,
)
from minisora.upsampler import PromptUpsampler


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "x.safetensors"
    save_tensors(path, {"a": torch.arange(1000.0), "b": torch.ones(3).half()}, {"step": 7})
    return path


def test_what_is_written_is_read(path):
    tensors, note = load_tensors(path)
    assert (
        torch.equal(tensors["a"], torch.arange(1000.0))
        and tensors["b"].dtype == torch.float16
        and note == {"step": 7}
    )
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("keep", [0, 5, 200, 3000])
def test_a_truncated_file_is_refused(path, keep):
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"damaged|checksum"):
        load_tensors(path)


@pytest.mark.parametrize("where", [-1, -2000, 40])
def test_an_altered_file_is_refused(path, where):
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(CheckpointError):
        load_tensors(path)


def test_a_pickle_is_refused_and_runs_nothing(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    path = tmp_path / "evil.safetensors"
    torch.save(Evil(), path)
    with pytest.raises(CheckpointError):
        load_tensors(path)
    assert not (tmp_path / "ran").exists()


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_tensors(tmp_path / "none")


def test_an_old_upsampler_still_loads(preset):
    """It was a text encoder with a head; its weights had no "text." before their names."""
    upsampler = PromptUpsampler(20, preset.upsampler)
    old = {name.removeprefix("text."): x for name, x in upsampler.state_dict().items()}
    assert old.keys() != upsampler.state_dict().keys()
    upsampler.load_state_dict(upgrade_tensors(old))
    assert upgrade_tensors(upsampler.state_dict()).keys() == upsampler.state_dict().keys()


@pytest.mark.parametrize("note", [None, [], "tiny", {}, {"preset": 3}, {"preset": {}, "sha256": 1}])
def test_a_note_of_the_wrong_type_is_one_sentence(note):
    with pytest.raises(ValueError, match=r"it has no preset|its checksums"):
        upgrade_note(note)


def test_a_failed_write_leaves_the_old_file(path, monkeypatch):
    monkeypatch.setattr(
        "minisora.checkpoints._to_disk", lambda p: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(OSError, match="disk full"):
        save_tensors(path, {"a": torch.zeros(1)}, {})
    assert load_tensors(path)[1] == {"step": 7}
    assert [p.name for p in path.parent.iterdir()] == [path.name]
