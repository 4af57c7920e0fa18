import errno
import os
import stat
import subprocess
import sys

import pytest
import torch

from minisora.checkpoints import (
    CheckpointError,
    load_tensors,
    save_tensors,
    upgrade_note,
    upgrade_tensors,
    write_bytes,
    write_text,
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
    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(
        OSError, match=r"cannot be written \(No space left on device\); nothing was"
    ):
        save_tensors(path, {"a": torch.zeros(1)}, {})
    assert load_tensors(path)[1] == {"step": 7}
    assert [p.name for p in path.parent.iterdir()] == [path.name]


posix = pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX")


@posix
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_permissions_are_as_the_umask_says(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.json", "{}")
        save_tensors(tmp_path / "b.safetensors", {"a": torch.zeros(1)}, {})
    finally:
        os.umask(before)
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == mode, path


@posix
@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_is_neither_replaced_nor_written_through(tmp_path, dangling):
    target, link = tmp_path / "target", tmp_path / "link"
    if not dangling:
        target.write_text("mine")
    link.symlink_to(target)
    with pytest.raises(ValueError, match=r"is a link to .*target; name that itself"):
        write_text(link, "other")
    assert link.is_symlink() and target.exists() != dangling
    assert dangling or target.read_text() == "mine"


@pytest.mark.parametrize("name", [".", "folder"])
def test_a_folder_is_not_a_file_to_write(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="is not a file"):
        write_text(tmp_path / name, "x")


def test_what_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "x", tmp_path / ("x" * 300)):
        with pytest.raises(OSError, match=r"cannot be written \(.*\); nothing was changed"):
            write_bytes(path, b"x")


def test_a_name_as_long_as_a_name_can_be(tmp_path):
    write_bytes(tmp_path / ("x" * 255), b"x")
    assert (tmp_path / ("x" * 255)).read_bytes() == b"x"


@posix
def test_what_a_killed_write_left_is_removed_by_the_next(tmp_path):
    path = tmp_path / "clip.png"
    code = (
        "import os, signal, sys, pathlib\n"
        "from minisora.checkpoints import write_bytes\n"
        "os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_bytes(sys.argv[1], b'new')\n"
    )
    write_bytes(path, b"old")
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    running = tmp_path / f".clip.png.{os.getpid()}-1.tmp"  # of a process that is still there
    running.write_bytes(b"")
    other = tmp_path / ".other.png.1-1.tmp"
    other.write_bytes(b"")
    assert len(list(tmp_path.iterdir())) == 4 and path.read_bytes() == b"old"
    write_bytes(path, b"newer")
    assert sorted(tmp_path.iterdir()) == sorted([path, running, other])
    assert path.read_bytes() == b"newer"


def test_loaded_tensors_do_not_live_in_the_file(path):
    """A file that is mapped into memory cannot be replaced on Windows."""
    tensors, _ = load_tensors(path)
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.write(bytes(size))
    assert torch.equal(tensors["a"], torch.arange(1000.0))
    tensors["a"] += 1
    assert path.read_bytes() == bytes(size)
    if sys.platform == "linux":
        with open("/proc/self/maps") as maps:
            assert str(path) not in maps.read()
    save_tensors(path, tensors, {})
    assert torch.equal(load_tensors(path)[0]["a"], tensors["a"])
