"""Scenes from all cores: processes make them and their captions, and the device draws them.

    ToyWorld, clips start … start + n - 1 ── make_chunk ──► Chunk: Drawing, ids (n, captions, S)

A clip depends on its number alone, so it is the same from any number of processes.
"""

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass

import torch
from tqdm.auto import tqdm

from minisora.text import Tokenizer
from minisora.world.dataset import ToyWorld
from minisora.world.render import Drawing

CHUNK = 256  # scenes that a process makes at a time
FEWEST_CORES = 4  # with fewer, starting processes takes longer than they save


@dataclass(frozen=True)
class Chunk:
    """Some clips that are not drawn yet."""

    drawing: Drawing
    ids: torch.Tensor | None  # (n, captions a clip, S) int16, padded with 0


@dataclass(frozen=True)
class Wanted:
    """Which clips are made, and with how many captions."""

    world: ToyWorld
    captions_per_clip: int = 0
    tokenizer: Tokenizer | None = None

    def make_chunk(self, start: int, count: int) -> Chunk:
        """Make clips start … start + count - 1, all but their pixels."""
        scenes = [self.world.scene(i) for i in range(start, start + count)]
        ids = None
        if self.tokenizer is not None:
            prompts = []
            for scene in scenes:
                prompts += self.world.captions(scene, self.captions_per_clip)
            ids = self.tokenizer(prompts)[0].to(torch.int16).view(count, self.captions_per_clip, -1)
        return Chunk(self.world.prepare(scenes), ids)


class Workers:
    """Processes that make chunks, or none.

    Args:
        processes: how many; below two, chunks are made by whoever asks for them.
    """

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self.executor: ProcessPoolExecutor | None = None

    def chunks(self, wanted: Wanted, count: int, alone: int = 64) -> Iterator[Chunk]:
        """Clips 0 … count - 1 in chunks. Processes begin at once, whenever these are asked for.

        Args:
            alone: clips in a chunk where there are no processes.
        """
        if self.processes < 2 or count < 2 * CHUNK:
            return (
                wanted.make_chunk(start, min(alone, count - start))
                for start in range(0, count, alone)
            )
        parts = [(start, min(CHUNK, count - start)) for start in range(0, count, CHUNK)]
        try:
            if self.executor is None:
                self.executor = _start(self.processes)
            futures = [self.executor.submit(_make_chunk, wanted, *part) for part in parts]
        except Exception as error:
            self._give_up(error)
            futures = []
        return self._results(wanted, parts, futures)

    def _results(
        self, wanted: Wanted, parts: list[tuple[int, int]], futures: list[Future]
    ) -> Iterator[Chunk]:
        """Chunks in their order; made here where the processes cannot."""
        futures = futures[::-1]  # taken from the end, so that none is kept longer than needed
        for part in parts:
            chunk = None
            if futures and self.processes:
                try:
                    chunk = pickle.loads(futures.pop().result())
                except Exception as error:
                    self._give_up(error)
            yield chunk or wanted.make_chunk(*part)

    def _give_up(self, error: Exception) -> None:
        self.close()
        self.processes = 0
        tqdm.write(f"scenes are made in one process, because others fail here ({error!r:.200})")

    def close(self) -> None:
        """End the processes; what they have not begun is dropped."""
        if self.executor is not None:
            self.executor.shutdown(wait=False, cancel_futures=True)
        self.executor = None


def count_processes() -> int:
    """As many as there are cores, or none where that would not pay."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    return cores if cores >= FEWEST_CORES else 0


def _start(processes: int) -> ProcessPoolExecutor:
    """Processes that share nothing with this one: a fork of a process that uses CUDA would hang."""
    forkserver = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if forkserver else "spawn")
    if forkserver:
        context.set_forkserver_preload([__name__])
    return ProcessPoolExecutor(processes, context, initializer=_begin)


def _begin() -> None:
    """What a process does first: it steps back behind the training, and ends when that ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(10)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)


def _make_chunk(wanted: Wanted, start: int, count: int) -> bytes:
    """As bytes: a tensor would travel in shared memory, of which a container may have little."""
    return pickle.dumps(wanted.make_chunk(start, count))
