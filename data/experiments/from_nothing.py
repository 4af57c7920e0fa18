"""What twenty minutes from nothing gave, in the order in which it was learned.

    minisora train --preset tiny --out runs/mine
    python -m data.experiments.from_nothing runs/mine ──► data/results/from_nothing.json

Notebook 02 shows the compressor's squared error beside the reader's own. At the end of training,
sentences about one object are given to the model as people type them.
"""

import argparse
import json
from pathlib import Path

from minisora.checkpoints import write_text
from minisora.measure.accuracy import evaluate_text_to_video
from minisora.pipeline import MiniSora
from minisora.threads import choose_threads
from minisora.train.loop import read_note
from minisora.train.run import read_run

PROMPTS = 128
RESULT = Path(__file__).parents[1] / "results" / "from_nothing.json"


def points_of(run: Path, stage: str, name: str) -> list[tuple[int, float]]:
    """Steps a quarter apart, and the mean of a figure of that stage since the one before."""
    note = read_note(run, stage)
    if note is None:
        raise SystemExit(f"{run} holds no training of {stage}; make one with minisora train")
    points, values, due = [], [], 0.0
    for record in note["history"]:
        values.append(record[name])
        if record["step"] >= due or record is note["history"][-1]:
            points.append((record["step"], round(sum(values) / len(values), 4)))
            values, due = [], 1.25 * record["step"]
    return points


def values_of(point: dict) -> dict[str, float]:
    """What was right of one object, attribute by attribute, after so many minutes in all."""
    figures = {name: figure["value"] for name, figure in point["solo"].items() if figure}
    return {"minutes": point["minutes"], **figures}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    folder = parser.parse_args().run
    run = read_run(folder)
    if run is None:
        raise SystemExit(f"{folder} holds no training; make one with minisora train --preset tiny")
    choose_threads("training")
    model = MiniSora.load(folder / "model", "cpu")
    typed = evaluate_text_to_video(
        model, PROMPTS, splits=["seen"], families=["solo"], upsample=False
    )
    kept = json.loads((folder / "curve.json").read_text(encoding="utf-8"))
    result = {
        "about": "a training of the preset tiny from nothing on two cores",
        "seconds": {stage: round(seconds) for stage, seconds in kept["seconds"].items()},
        "compressor": {
            "minutes": run.preset.train_vae.minutes,
            "points": points_of(folder, "vae", "mse"),
        },
        "one object, upsampled": [values_of(p) for p in kept["points"] if "solo" in p],
        "as typed": typed["solo"]["seen"],
    }
    write_text(RESULT, json.dumps(result, indent=1) + "\n")
    minutes = sum(kept["seconds"].values()) / 60
    right = 100 * typed["solo"]["seen"]["all and outline"]["value"]
    print(
        f"{minutes:.0f} minutes: {right:.0f} % of {PROMPTS} plain sentences as asked, outlines too"
    )


if __name__ == "__main__":
    main()
