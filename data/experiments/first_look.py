"""The clips at the top of README, by shipped models; prints what the judge saw in each.

    python -m data.experiments.first_look [--try-seeds 8]

With --try-seeds it writes nothing, and says for each sentence which of the seeds 0 … N − 1 are as
asked, outlines included.
"""

import argparse
from pathlib import Path

import torch

from minisora.measure.judge import read, verdict
from minisora.pipeline import MiniSora
from minisora.show.clip import Clip
from minisora.world.parse import parse

FOLDER = Path(__file__).parents[1] / "results" / "clips"
CLIPS = {  # name of the file → sentence, seed
    "pan": ("a large pink heart on navy hills, the camera pans right", 0),
    "wall": ("a blue ball passes behind a wall", 1),
    "order": ("a red circle moving right, then moving up", 0),
    "hit": ("a large green square hits a small orange circle", 1),
    "three": ("three cyan squares moving left", 2),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="base")
    parser.add_argument("--try-seeds", type=int, default=0)
    asked = parser.parse_args()
    model = MiniSora.load(asked.model, "cpu")
    for name, (sentence, seed) in CLIPS.items():
        if asked.try_seeds:
            right = [k for k in range(asked.try_seeds) if as_asked(model, sentence, k)[1]]
            print(f"{sentence}: {right}")
            continue
        clip, right = as_asked(model, sentence, seed)
        Clip(clip, sentence, model.preset.fps).save(FOLDER / f"{name}.gif", force=True, scale=3)
        print(f"{name}: {sentence}, seed {seed}: {'as asked' if right else 'not as asked'}")


def as_asked(model: MiniSora, sentence: str, seed: int) -> tuple[torch.Tensor, bool]:
    """A clip (3, T, H, W), and whether it is as asked, with outlines that hold."""
    generator = torch.Generator().manual_seed(seed)
    clip = model.generate(sentence, generator=generator)[0]
    return clip, verdict(read(clip, model.preset.fps), parse(sentence)).all_and_outline


if __name__ == "__main__":
    main()
