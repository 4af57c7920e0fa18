"""Sixty sentences as students typed them: `python -m data.experiments.sentences [seeds]`.

`sentences.txt` was written by someone who knew only what the world is about, not its words. Every
sentence ends in clips of `base`, which the judge holds against it, or in an answer that says what
the world can show. Outcomes go to `data/results/sentences.json`.
"""

import json
import sys
from pathlib import Path

import torch

from minisora import MiniSora
from minisora.checkpoints import write_text
from minisora.measure.judge import judge
from minisora.world.parse import parse
from minisora.world.retell import read_again

SENTENCES = Path(__file__).with_name("sentences.txt")
RESULTS = Path("data/results/sentences.json")


def outcome(model: MiniSora, sentence: str, seeds: int) -> dict[str, object]:
    """An answer, or how many clips of so many seeds are as asked."""
    try:
        told = read_again(sentence, model)  # as the command line does
    except ValueError as error:
        return {"answer": str(error)}
    generators = [torch.Generator().manual_seed(seed) for seed in range(seeds)]
    asked = parse(sentence)
    videos = model.generate([told] * seeds, generator=generators)
    verdicts = [judge(video, asked, model.preset.fps) for video in videos]
    return {"right": sum(v.all for v in verdicts), "clips": seeds}


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    model = MiniSora.load("base")
    outcomes = {}
    for sentence in SENTENCES.read_text(encoding="utf-8").splitlines():
        outcomes[sentence] = outcome(model, sentence, seeds)
        print(sentence, outcomes[sentence], sep="\n    ", flush=True)
    write_text(RESULTS, json.dumps(outcomes, indent=1, ensure_ascii=False) + "\n")
    answered = sum("answer" in result for result in outcomes.values())
    clips = [result for result in outcomes.values() if "clips" in result]
    right = sum(int(str(result["right"])) for result in clips)
    print(f"{answered} of {len(outcomes)} sentences got an answer")
    print(f"{right} of {seeds * len(clips)} clips of the others are as asked")


if __name__ == "__main__":
    main()
