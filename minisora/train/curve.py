"""The curve of a training: minutes from nothing, and what the model could do by then."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minisora.checkpoints import write_text

BEFORE = "before"  # the stage name of the time that went into the model a training goes on from


class Curve:
    """Minutes over all stages, and what the model could do by then; kept in `curve.json`."""

    def __init__(self, run_dir: Path, resume: bool, before: Sequence[dict] = ()):
        """before: the points of the model that the training goes on from."""
        self.path = run_dir / "curve.json"
        self.seconds: dict[str, float] = {}
        self.points: list[dict] = list(before)
        if before:
            self.seconds[BEFORE] = 60 * before[-1]["minutes"]
        if resume and self.path.is_file():
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            self.seconds = kept["seconds"]
            self.points = kept["points"]

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of a `with` block; what a stopped run spent on it stays counted."""
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            self.seconds[name] = self.seconds.get(name, 0.0) + spent
            self.write()

    def spend(self, stage: str, seconds: float) -> None:
        """Say how long a training has taken so far, over all its runs."""
        self.seconds[stage] = seconds
        self.write()

    def add(self, stage: str, seconds: float, **figures: Any) -> None:
        """Add a point. Later points of the same stage were made by a run that was killed."""
        self.spend(stage, seconds)
        minutes = round(sum(self.seconds.values()) / 60, 2)
        self._drop(stage, minutes)
        self.points.append({"stage": stage, "minutes": minutes, **figures})
        self.write()

    def forget(self, stage: str) -> None:
        """Drop the points and the time of a stage that is trained anew."""
        self.seconds.pop(stage, None)
        self._drop(stage, 0.0)
        self.write()

    def _drop(self, stage: str, minutes: float) -> None:
        """Drop a stage's points from some minutes on, but none of the model before this run."""
        before = self.seconds[BEFORE] / 60 if BEFORE in self.seconds else -1.0
        self.points = [
            point
            for point in self.points
            if point["stage"] != stage or point["minutes"] <= before or point["minutes"] < minutes
        ]

    def write(self) -> None:
        """Write `curve.json`."""
        curve = {"seconds": self.seconds, "points": self.points}
        write_text(self.path, json.dumps(curve, indent=1) + "\n")
