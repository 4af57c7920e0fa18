import pytest
import torch

from minisora.checkpoints import CheckpointError, load_tensors, save_tensors


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


def test_a_failed_write_leaves_the_old_file(path, monkeypatch):
    monkeypatch.setattr(
        "minisora.checkpoints._to_disk", lambda p: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(OSError, match="disk full"):
        save_tensors(path, {"a": torch.zeros(1)}, {})
    assert load_tensors(path)[1] == {"step": 7}
    assert [p.name for p in path.parent.iterdir()] == [path.name]
