"""Where sampling steps stand: fewer of them, closer to noise, for sentences as typed.

    python -m data.experiments.shifts ──► data/results/shifts.json

The shift of `flow.sigma_schedule` moves the noise levels of all steps towards noise, where it is
decided what a clip shows. Nothing is trained: the model, the prompts and the noise stay the same.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from minisora.checkpoints import write_text
from minisora.measure.accuracy import evaluate_text_to_video
from minisora.pipeline import MiniSora
from minisora.threads import choose_threads

RESULT = Path(__file__).parents[1] / "results" / "shifts.json"
SHIFTS = (1.0, 3.0, 5.0, 8.0)
STEPS = (4, 8, 20)
FAMILIES = ("solo", "pair")
PROMPTS = 128


def main() -> None:
    choose_threads("sampling")
    model = MiniSora.load("tiny", "cpu")
    result: dict[str, Any] = {}
    for shift in SHIFTS:
        model.preset = replace(model.preset, shift=shift)
        for steps in STEPS:
            options = {"num_inference_steps": steps, "upsample": False}
            found = evaluate_text_to_video(
                model, PROMPTS, splits=["seen"], families=FAMILIES, **options
            )
            row = {family: found[family]["seen"]["all"] for family in FAMILIES}
            result.setdefault(f"shift {shift:g}", {})[str(steps)] = row
            print(shift, steps, {family: figure["value"] for family, figure in row.items()})
    settings = {"model": "tiny", "prompts": PROMPTS, "seed": 0, "guidance_scale": 2.0}
    write_text(RESULT, json.dumps(result | {"settings": settings}, indent=1) + "\n")
    print(f"written to {RESULT}")


if __name__ == "__main__":
    main()
