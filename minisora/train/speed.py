"""How fast a transformer is trained here, beside the machine's own matrix products.

model ── training_speeds ──► name → clips a second, GFLOP/s
"""

import copy
import math
import tempfile
from dataclasses import replace

import torch
import torch.nn as nn

from minisora.config import TrainConfig
from minisora.device import autocast
from minisora.dit import DiT
from minisora.measure.speed import Speeds, matrix_product_rate, step_flops
from minisora.pipeline import MiniSora
from minisora.text import EOS, PAD
from minisora.train.data import Latents
from minisora.train.stages import train_dit
from minisora.world.dataset import ToyWorld


def training_speeds(model: MiniSora, steps: int) -> Speeds:
    """Clips trained a second, and the operations of a step against plain matrix products."""
    words = 20
    latents = model.encode(ToyWorld().batch(0, 32).videos)
    ids = torch.full((256, 1, words), PAD)
    ids[:, :, : words - 1] = 5  # any word
    ids[:, :, words - 1] = EOS
    many = latents.cpu().repeat(8, 1, 1, 1, 1)
    data = Latents(many.half(), ids.to(torch.int16))
    batch = model.preset.train_dit.batch_size
    clips = batch * steps / _train_seconds(model, data, steps)
    tokens = latents[0, 0].numel() // math.prod(model.dit.config.patch_size)
    rate = matrix_product_rate(model.device)
    used = step_flops(model.dit, tokens, words) * clips / 1e9
    return {
        "clips trained a second": round(clips, 1),
        "GFLOP/s of matrix products here": round(rate, 1),
        "GFLOP/s of a training step": round(used, 1),
        "a training step's fraction of that rate": round(used / rate, 3),
    }


def _train_seconds(model: MiniSora, data: Latents, steps: int) -> float:
    """Seconds of `steps` training steps of a fresh transformer of the same size."""
    dit = DiT(model.preset.dit).to(model.device)
    fresh = nn.ModuleDict({"text": copy.deepcopy(model.text), "dit": dit})
    batch = model.preset.train_dit.batch_size
    config = TrainConfig(steps=steps + 3, batch_size=batch, save_every=1e9)  # three warm up
    preset = replace(model.preset, train_dit=config, curriculum_steps=0)
    with tempfile.TemporaryDirectory() as folder, autocast(model.device):
        history = train_dit(fresh, data, preset, folder, progress=False)
    last = history[-1]
    return last["seconds"] / last["step"] * steps
