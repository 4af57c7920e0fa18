"""What twenty minutes from nothing gave, in the order in which it was learned.

    minisora train --preset tiny --out runs/mine
    python -m data.experiments.from_nothing runs/mine ──► data/results/from_nothing.json

Notebooks 02, 07 and 08 show it beside the reader's own trainings: the compressor's squared error,
how often a clip finds its own caption, and what the judge found as asked.
"""

import argparse
import json
from pathlib import Path

from minisora.checkpoints import write_text
from minisora.train.loop import read_note
from minisora.train.run import read_run

RESULT = Path(__file__).parents[1] / "results" / "from_nothing.json"


def points_of(run: Path, stage: str, name: str) -> list[tuple[int, float]]:
    """Steps and a figure of that stage, at steps a quarter apart: a curve needs no more."""
    note = read_note(run, stage)
    if note is None:
        raise SystemExit(f"{run} holds no training of {stage}; make one with minisora train")
    points, due = [], 0.0
    for record in note["history"]:
        if record["step"] >= due:
            points.append((record["step"], round(record[name], 4)))
            due = 1.25 * record["step"]
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    folder = parser.parse_args().run
    run = read_run(folder)
    if run is None:
        raise SystemExit(f"{folder} holds no training; make one with minisora train --preset tiny")
    kept = json.loads((folder / "curve.json").read_text(encoding="utf-8"))
    result = {
        "about": "a training of the preset tiny from nothing on two cores",
        "seconds": {stage: round(seconds) for stage, seconds in kept["seconds"].items()},
        "compressor": {
            "minutes": run.preset.train_vae.minutes,
            "points": points_of(folder, "vae", "mse"),
        },
        "language": {
            "batch_size": run.preset.train_language.batch_size,
            "points": points_of(folder, "text", "own caption nearest"),
        },
        "curve": kept["points"],
    }
    write_text(RESULT, json.dumps(result, indent=1) + "\n")
    print(f"{len(kept['points'])} points of {sum(kept['seconds'].values()) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
