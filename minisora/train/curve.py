"""The curve of a training: minutes from nothing, and what the model could do by then."""

import json
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

from minisora.checkpoints import write_text


class Curve:
    """Minutes from nothing, over all stages, and what the model could do by then; kept in `curve.json`."""

    def __init__(self, run_dir: Path, resume: bool, before: Sequence[dict] = ()):
        """before: the points of the model that the training goes on from."""
        self.path = run_dir / "curve.json"
        kept = (
            {"seconds": {"before": 60 * before[-1]["minutes"]}, "points": list(before)}
            if before
            else {}
        )
        kept = (
            json.loads(self.path.read_text(encoding="utf-8"))
            if resume and self.path.is_file()
            else kept
        )
        self.seconds: dict[str, float] = kept.get("seconds", {})
        self.points: list[dict] = kept.get("points", [])

    @contextmanager
    def stage(self, name: str):
        """Adds the time of a `with` block, unless an earlier run already did."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds.setdefault(name, time.perf_counter() - began)
            self.write()

    def add(self, stage: str, seconds: float, **figures) -> None:
        self.seconds[stage] = seconds
        minutes = round(sum(self.seconds.values()) / 60, 2)
        self.points.append({"stage": stage, "minutes": minutes, **figures})
        self.write()

    def write(self) -> None:
        write_text(
            self.path, json.dumps({"seconds": self.seconds, "points": self.points}, indent=1) + "\n"
        )
