"""Train the shipped `tiny` on, on two cores, after its world has changed.

    python -m data.experiments.train_again --out runs/tiny [--dit-minutes 100] [--resume]

It begins with the shipped weights, as `minisora train --from` does, but the encoder learns, too:
its colours and backgrounds are others now, and so are the latents that the transformer has to
learn. What was learned about shapes and motions is kept.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from minisora.config import PRESETS, Preset
from minisora.pipeline import MiniSora
from minisora.threads import choose_threads
from minisora.train.recipe import begin

START = Path(__file__).parents[1] / "checkpoints" / "tiny"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, default=START)
    parser.add_argument("--vae-minutes", type=float, default=14.0)
    parser.add_argument("--upsampler-minutes", type=float, default=4.0)
    parser.add_argument("--dit-minutes", type=float, default=100.0)
    parser.add_argument("--cached-clips", type=int, default=20_000)
    parser.add_argument("--evaluate-every", type=float, default=1500.0)
    parser.add_argument("--resume", action="store_true")
    asked = parser.parse_args()
    preset = preset_for(asked.vae_minutes, asked.upsampler_minutes, asked.dit_minutes)
    choose_threads("training")
    stages = begin(
        replace(preset, cached_clips=asked.cached_clips),
        asked.out,
        start=MiniSora.load(asked.start, "cpu"),
        resume=asked.resume,
        compile=True,
        evaluate_every=asked.evaluate_every,
    )
    stages.model.vae.encoder.requires_grad_(True)
    try:
        stages.compressor(stages.clips())
        data = stages.latents(measure=True)
        stages.upsampler(data)
        stages.transformer(data)
        stages.finish()
    finally:
        stages.workers.close()


def preset_for(vae_minutes: float, upsampler_minutes: float, dit_minutes: float) -> Preset:
    """`tiny` with half of its learning rates, because what is learned already is not to be lost."""
    tiny = PRESETS["tiny"]
    return replace(
        tiny,
        train_vae=replace(
            tiny.train_vae, minutes=vae_minutes, learning_rate=3e-3, cooldown_fraction=0.8
        ),
        train_upsampler=replace(tiny.train_upsampler, minutes=upsampler_minutes),
        # `begin` takes a quarter of it
        train_dit=replace(tiny.train_dit, minutes=dit_minutes, learning_rate=2.4e-2),
    )


if __name__ == "__main__":
    main()
