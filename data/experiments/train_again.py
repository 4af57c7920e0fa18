"""Train a shipped model on, on two cores, after its world has changed.

    python -m data.experiments.train_again --preset tiny --out runs/tiny [--dit-minutes 100]
    python -m data.experiments.train_again --preset base --vae-minutes 0 --out runs/base [--resume]

It begins with the shipped weights, as `minisora train --from` does. But where the compressor gets
minutes, its encoder learns, too: where colours and backgrounds are others now, so are the latents
that the transformer has to learn. What was learned about shapes and motions is kept.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from minisora.config import PRESETS, Preset
from minisora.pipeline import MiniSora
from minisora.threads import choose_threads
from minisora.train.recipe import begin

SHIPPED = Path(__file__).parents[1] / "checkpoints"
QUARTER = 4  # `begin` takes a quarter of the transformer's rate where it goes on from a model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="tiny")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="a model's folder; the shipped one if left out")
    parser.add_argument("--vae-minutes", type=float, default=14.0)
    parser.add_argument("--upsampler-minutes", type=float, default=4.0)
    parser.add_argument("--dit-minutes", type=float, default=100.0)
    parser.add_argument("--dit-rate", type=float, default=6e-3)
    parser.add_argument("--cached-clips", type=int, default=20_000)
    parser.add_argument("--evaluate-every", type=float, default=1500.0)
    parser.add_argument("--resume", action="store_true")
    asked = parser.parse_args()
    choose_threads("training")
    stages = begin(
        preset_for(asked),
        asked.out,
        start=MiniSora.load(asked.start or SHIPPED / asked.preset, "cpu"),
        resume=asked.resume,
        compile=True,
        evaluate_every=asked.evaluate_every,
    )
    learns = asked.vae_minutes > 0
    stages.model.vae.encoder.requires_grad_(learns)
    try:
        stages.compressor(stages.clips())
        data = stages.latents(measure=learns)
        stages.upsampler(data)
        stages.transformer(data)
        stages.finish()
    finally:
        stages.workers.close()


def preset_for(asked: argparse.Namespace) -> Preset:
    """The preset with what was asked, and gentle rates: what is learned is not to be lost."""
    preset = PRESETS[asked.preset]
    return replace(
        preset,
        cached_clips=asked.cached_clips,
        train_vae=replace(
            preset.train_vae,
            minutes=asked.vae_minutes,
            learning_rate=3e-3,
            cooldown_fraction=0.8,
        ),
        train_upsampler=replace(preset.train_upsampler, minutes=asked.upsampler_minutes),
        train_dit=replace(
            preset.train_dit,
            minutes=asked.dit_minutes,
            learning_rate=QUARTER * asked.dit_rate,
        ),
    )


if __name__ == "__main__":
    main()
