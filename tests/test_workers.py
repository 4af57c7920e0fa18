"""Clips are the same from any number of processes, and from none."""

import pytest
import torch

from minisora.text import Tokenizer
from minisora.train import workers
from minisora.train.workers import CHUNK, Wanted, Workers
from minisora.world.captions import VOCABULARY
from minisora.world.dataset import ToyWorld

WANTED = Wanted(ToyWorld(), 2, Tokenizer(VOCABULARY))


def joined(chunks):
    """Positions of the first objects, and all ids, of some chunks."""
    chunks = list(chunks)
    ids = [chunk.ids.flatten() for chunk in chunks]
    words = torch.cat(ids)
    return torch.cat([chunk.drawing.positions[:, 0] for chunk in chunks]), words[words > 0]


@pytest.mark.slow
def test_processes_make_the_same_clips():
    pool = Workers(2)
    try:
        several = joined(pool.chunks(WANTED, 2 * CHUNK + 10))
        assert pool.processes == 2, "no process failed"
    finally:
        pool.close()
    alone = joined(Workers(0).chunks(WANTED, 2 * CHUNK + 10))
    assert all(torch.equal(a, b) for a, b in zip(several, alone, strict=True))


def test_where_processes_fail_one_does_all(monkeypatch, capsys):
    def fails(processes):
        raise OSError("no more processes")

    monkeypatch.setattr(workers, "_start", fails)
    monkeypatch.setattr(workers, "CHUNK", 4)
    pool = Workers(4)
    several = joined(pool.chunks(WANTED, 10))
    alone = joined(Workers(0).chunks(WANTED, 10))
    assert all(torch.equal(a, b) for a, b in zip(several, alone, strict=True))
    assert "no more processes" in capsys.readouterr().out and pool.processes == 0
