"""Polish a `base` on two cores: what its three minutes of a GPU left rough.

    python -m data.experiments.polish transformer --from MODEL --out runs/polish --minutes 52
    python -m data.experiments.polish decoder --from MODEL --out runs/polish --minutes 42
    python -m data.experiments.polish join --from MODEL --out runs/polish ──► runs/polish/model

MODEL is a folder as `train_on_gpu` writes it. The shipped `base` is what came of this.

The first two do not need each other: each takes one thread, side by side. Latents, words and the
prompt upsampler stay as they are.

- *transformer*: it goes on at a low rate, and brushes, chompers and lamps come four times as often.
  Lamps that are off have become lilac since it was trained; it still draws them gray.
- *decoder*: it learns to give the true clip not only from true latents, but also from latents that
  the transformer made: those of a true clip with noise, denoised again.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F

from minisora.config import TrainConfig
from minisora.patchify import grid_of, unpatchify
from minisora.pipeline import MiniSora
from minisora.train.data import (
    Latents,
    WorldClips,
    cache_latents,
    draw_size,
    fractions_of_sizes,
    render_pool,
    world_of,
)
from minisora.train.loop import Figures, fit
from minisora.train.stages import compiled_for_sizes, draw_videos, train_dit
from minisora.world.dataset import ADDED_LATER, ToyWorld

MARKS = ("paint", "bite", "lamp")
MARKS_TIMES = 4  # as often as in the preset's world
FIRST_SEED = 500_000_000  # of clips that the first training did not have
OTHER_SIZE = 0.05  # of the steps, for each size after the first
LATENTS = 20_000  # clips of the first size for the transformer
CLIPS = 5_000  # the same for the decoder
LEVELS = (0.2, 0.6)  # noise levels from which the transformer denoises again
DENOISED_AT_ONCE = 32
DECODER_BATCH = 4
OF_TRANSFORMER = 0.5  # of the way from the model's weights to the polished ones
OF_DECODER = 0.7
ABSOLUTE = 0.1  # weight of the absolute error beside the squared one: edges stay sharp


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["transformer", "decoder", "join"])
    parser.add_argument("--from", dest="start", required=True, help="the model's folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=50.0)
    parser.add_argument("--clips", type=int, help="fewer clips, for a try")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    model = MiniSora.load(asked.start, "cpu")
    if asked.part == "join":
        join(model, asked.out)
    elif asked.part == "transformer":
        polish_transformer(model, asked.out, gentle(asked.minutes, 16), asked.clips or LATENTS)
    else:
        polish_decoder(model, asked.out, gentle(asked.minutes, DECODER_BATCH), asked.clips or CLIPS)


def join(model: MiniSora, out: Path) -> None:
    """Go part of the way from a model's weights to the polished ones.

    Between the two, it keeps more of what it knew before (arXiv:2109.01903).
    """
    polished = MiniSora.load(out / "transformer", "cpu")
    go_towards(model.text, polished.text, OF_TRANSFORMER)
    go_towards(model.dit, polished.dit, OF_TRANSFORMER)
    go_towards(model.vae, MiniSora.load(out / "decoder", "cpu").vae, OF_DECODER)
    model.save(out / "model", dict(model.metadata))


@torch.no_grad()
def go_towards(network: nn.Module, other: nn.Module, fraction: float) -> None:
    """Move every weight this fraction of the way to another network's."""
    for own, its in zip(network.parameters(), other.parameters(), strict=True):
        own.lerp_(its, fraction)


def gentle(minutes: float, batch_size: int) -> TrainConfig:
    """A rate that falls nearly from the start, so that nothing that is learned is shaken out."""
    return TrainConfig(
        minutes=minutes,
        batch_size=batch_size,
        learning_rate=1e-3,
        warmup_steps=50,
        cooldown_fraction=0.9,
        ema_decay=0.998,
    )


def worlds_of(model: MiniSora, count: int) -> list[tuple[ToyWorld, int, float]]:
    """For every size: the world that `base` learned, with more marks, clips, and its fraction."""
    sizes: list[Any] = [None, *model.preset.other_sizes]
    found = []
    for i, fraction in enumerate(fractions_of_sizes(len(sizes), OTHER_SIZE)):
        world = world_of(model.preset, sizes[i], first_seed=FIRST_SEED + i * 10_000_000)
        families = {name: w for name, w in world.families.items() if name not in ADDED_LATER}
        for name in MARKS:
            if name in families:
                families[name] *= MARKS_TIMES
        world.families = families
        found.append((world, count if i == 0 else max(int(count * OTHER_SIZE), 64), fraction))
    return found


# -------------------------------------------------------------------------------- transformer


def polish_transformer(model: MiniSora, out: Path, config: TrainConfig, count: int) -> None:
    """Train transformer and text encoder on."""
    preset = replace(model.preset, curriculum_steps=0, train_dit=config)
    data: list[Latents] = []
    for world, clips, fraction in worlds_of(model, count):
        source = WorldClips(world, preset.captions_per_clip)
        options: dict[str, Any] = {"fraction": fraction, "paired": True, "measure": False}
        data.append(cache_latents(model.vae, model.tokenizer, source, clips, **options))
    both = nn.ModuleDict({"text": model.text, "dit": model.dit})
    train_dit(both, data, preset, out / "of_transformer", compile=True)
    model.save(out / "transformer")


# ------------------------------------------------------------------------------------ decoder


def polish_decoder(model: MiniSora, out: Path, config: TrainConfig, count: int) -> None:
    """Train the decoder on; half of the clips of the first size come from denoised latents."""
    sizes = worlds_of(model, count)
    pools = [render_pool(world, clips) for world, clips, _ in sizes]
    fractions = [fraction for *_, fraction in sizes]
    denoised = torch.cat(list(denoised_again(model, sizes[0][0], count)))
    vae = model.vae
    vae.encoder.requires_grad_(False)
    networks = compiled_for_sizes(vae, True, len(pools), every=False)

    def loss_of(step: int, generator: torch.Generator) -> tuple[torch.Tensor, Figures]:
        size = draw_size(fractions, generator)
        kind = "denoised" if size == 0 and step % 2 else "true"
        if kind == "denoised":
            rows = torch.randint(count, (DECODER_BATCH,), generator=generator)
            video = pools[0][rows].float() / 127.5 - 1
            latents = vae.denormalise(denoised[rows].float())
        else:
            video = draw_videos(pools[size], DECODER_BATCH, generator)
            latents = vae.encode(video).sample(generator)
        decoded = networks[size].decode(latents)
        squared = F.mse_loss(decoded, video)
        loss = squared + ABSOLUTE * F.l1_loss(decoded, video)
        return loss, {f"mse, {kind}": squared}

    fit("vae", vae, loss_of, config, out / "of_decoder")
    model.save(out / "decoder")


@torch.no_grad()
def denoised_again(model: MiniSora, world: ToyWorld, count: int) -> Iterator[torch.Tensor]:
    """Latents of the first clips of a world, with noise, as the transformer denoises them."""
    generator = torch.Generator().manual_seed(0)
    clips = WorldClips(world, 2)
    patch = model.dit.config.patch_size
    guesses: dict[str, torch.Tensor] = {}

    def keep(step: int, sigma: float, tokens: torch.Tensor, x_0: torch.Tensor) -> None:
        guesses["last"] = x_0  # where the last step ends

    low, high = LEVELS
    for start in range(0, count, DENOISED_AT_ONCE):
        videos, captions = clips(start, min(DENOISED_AT_ONCE, count - start))
        level = low + (high - low) * float(torch.rand((), generator=generator))
        latents = model.encode(videos)
        model.denoise(
            [plain for plain, _ in captions],
            latents,
            torch.full(latents.shape[2:], level),
            num_inference_steps=max(round(8 * level), 2),
            generator=generator,
            callback=keep,
        )
        yield unpatchify(guesses["last"], grid_of(latents.shape[2:], patch), patch).half()


if __name__ == "__main__":
    main()
