"""How fast, on this machine: every stage in clips a second, and training against the machine's own matrix products."""

import copy
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn as nn

from minisora.config import PRESETS, DiTConfig, TrainConfig
from minisora.device import autocast, has_fast_bf16
from minisora.dit import DiT
from minisora.text import EOS, PAD
from minisora.train.data import Latents
from minisora.train.stages import train_dit
from minisora.world.dataset import ToyWorld


def _seconds(work: Callable[[], object], repeats: int) -> float:
    """Median seconds of one call, after one that does not count."""
    times = []
    work()
    _finish()
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        _finish()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _finish() -> None:
    """Wait for a GPU, which takes orders faster than it carries them out."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def matrix_product_rate(device: torch.device, repeats: int = 20) -> float:
    """GFLOP/s of one linear layer of the transformer's MLP, (5120, 256) × (256, 1024), in the precision that training uses."""
    kind = torch.bfloat16 if has_fast_bf16(device) else torch.float32
    a, b = (
        torch.randn(5120, 256, dtype=kind, device=device),
        torch.randn(1024, 256, dtype=kind, device=device),
    )
    return 2 * 5120 * 256 * 1024 / _seconds(lambda: nn.functional.linear(a, b), repeats) / 1e9


def forward_flops(num_tokens: int, config: DiTConfig = PRESETS["tiny"].dit) -> tuple[int, int]:
    """Operations of all blocks in one forward pass: linear layers, and self-attention.

    The prompt's own are left out: they do not grow with the clip.
    """
    N, D = num_tokens, config.hidden_size
    # q, k, v, out; cross-attention's q and out; the MLP's up and down
    linear = 2 * N * D**2 * (4 + 2 + 2 * config.mlp_ratio)
    attention = 2 * N**2 * (D + D)  # Q Kᵀ, and the map times V
    return int(config.depth * linear), config.depth * attention


def step_flops(dit: DiT, num_tokens: int, prompt_tokens: int) -> float:
    """Floating-point operations of one training step for one clip: three times the forward pass's matrix products."""
    D, depth, r = dit.config.hidden_size, dit.config.depth, dit.config.mlp_ratio
    linear = (
        num_tokens * D * D * (4 + 2 + 2 * r) + prompt_tokens * 2 * D * dit.config.text_size
    )  # a block, in multiply-adds
    attention = 2 * num_tokens * (num_tokens + prompt_tokens) * D
    ends = num_tokens * (
        2 * dit.x_embedder.weight.numel()
        + 8 * D * D
        + sum(p.numel() for p in dit.t_embedder.parameters() if p.ndim == 2)
    )
    return 3 * 2 * (depth * (linear + attention) + ends)


def benchmark(model, quick: bool = False) -> dict:
    """Measure every stage; nothing else should run beside it. `model` is left as it was."""
    repeats, device = (2 if quick else 5), model.device
    world = ToyWorld()
    videos = world.batch(0, 32).videos
    prompts = ["a large red circle bouncing on a navy background"] * 16
    latents = model.encode(videos)
    table: dict = {
        "machine": platform.processor() or platform.machine(),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "bf16": has_fast_bf16(device),
    }
    rate = lambda work, clips: round(clips / _seconds(work, repeats), 1)
    table["clips rendered a second"] = rate(lambda: world.batch(0, 128), 128)
    table["clips encoded a second"] = rate(lambda: model.encode(videos), len(videos))
    table["clips decoded a second"] = rate(lambda: model.decode(latents), len(videos))
    table["clips sampled a second (20 steps, guided)"] = rate(
        lambda: model.generate(prompts), len(prompts)
    )
    longer = lambda: model.upsample(prompts[:1], torch.Generator().manual_seed(0))
    table["seconds for one prompt (upsampler)"] = round(_seconds(longer, repeats * 2), 5)
    table["seconds for one clip (20 steps, guided)"] = round(
        _seconds(lambda: model.generate(longer()), repeats * 2), 3
    )

    for seconds in (2, 4) if quick else (10, 60):
        table |= {
            f"{name} of {seconds} s of video": value
            for name, value in _long_clip(model, seconds).items()
        }

    batch, steps = (
        model.preset.train_dit.batch_size,
        7 if quick else 20,
    )  # with three more that do not count, so that the loop logs its tenth
    ids = torch.full((256, 1, 20), PAD)
    ids[:, :, :19], ids[:, :, 19] = 5, EOS
    data = Latents(latents.cpu().repeat(8, 1, 1, 1, 1).half(), ids.to(torch.int16))
    table["clips trained a second"] = round(batch * steps / _train_seconds(model, data, steps), 1)
    table["GFLOP/s of matrix products here"] = round(matrix_product_rate(device), 1)
    tokens = latents[0, 0].numel() // 4
    table["GFLOP/s of a training step"] = round(
        step_flops(model.dit, tokens, 20) * table["clips trained a second"] / 1e9, 1
    )
    table["training step's share of that rate"] = round(
        table["GFLOP/s of a training step"] / table["GFLOP/s of matrix products here"], 3
    )
    return table


LONG = """
import sys, time
from minisora import MiniSora, tasks
model = MiniSora.load(sys.argv[1], sys.argv[2])
began = time.perf_counter()
tasks.long_video(model, "a large red circle bouncing on a navy background", seconds=float(sys.argv[3]), progress=False)
seconds = time.perf_counter() - began
try:
    import resource  # not on Windows
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
except ImportError:
    peak = float("nan")
print(seconds, peak)
"""


def _long_clip(model, seconds: float) -> dict[str, float]:
    """What a long clip costs, in a process of its own: seconds of sampling, and the peak of its memory in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder)
        command = [sys.executable, "-c", LONG, folder, str(model.device), str(seconds)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).resolve().parents[2],
        )
    took, peak = map(float, done.stdout.split())
    return {"seconds": round(took, 2), "MiB at the peak": round(peak)}


def _train_seconds(model, data: Latents, steps: int) -> float:
    """Seconds of `steps` training steps of a fresh transformer of the same size."""
    fresh = nn.ModuleDict(
        {"text": copy.deepcopy(model.text), "dit": DiT(model.preset.dit).to(model.device)}
    )
    config = TrainConfig(
        steps=steps + 3, batch_size=model.preset.train_dit.batch_size, save_every=1e9
    )
    with tempfile.TemporaryDirectory() as folder, autocast(model.device):
        history = train_dit(
            fresh,
            data,
            replace(model.preset, train_dit=config, curriculum_steps=0),
            folder,
            progress=False,
        )
    return history[-1]["seconds"] / history[-1]["step"] * steps
