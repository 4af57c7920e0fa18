"""How fast, on this machine: a clip, a minute of video, and every stage of the pipeline.

    model ── benchmark ──► name → seconds, clips a second, GFLOP/s

What decides a time is written beside it: processor, threads, precision, numbers of steps. How fast
training is, `train/speed.py` measures.
"""

import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn as nn

from minisora.config import PLAY_PRESETS, PRESETS, STEPS, DiTConfig
from minisora.device import choose_dtype
from minisora.dit import DiT
from minisora.measure.play import seconds_a_frame
from minisora.pipeline import MiniSora
from minisora.play.model import PlayModel
from minisora.world.dataset import ToyWorld

Speeds = dict[str, str | int | float]
ROOT = Path(__file__).resolve().parents[2]
PROMPT = "a large red circle bouncing on a navy background"
BUSY = {  # what may run beside: programs, each a name and its source
    "two busy Python loops": ["while True: pass"] * 2,
    "a torch program of two threads": [
        "import torch\ntorch.set_num_threads(2)\na = torch.randn(1024, 1024)\nwhile True: a @ a"
    ],
    "a second minisora": [
        "import sys\n"
        "from minisora import MiniSora\n"
        "model = MiniSora.load(sys.argv[1], sys.argv[2])\n"
        f"while True: model.generate({PROMPT!r})"
    ],
}
LONG_VIDEO = f"""
import sys, time
from minisora import MiniSora, tasks
model = MiniSora.load(sys.argv[1], sys.argv[2])
began = time.perf_counter()
tasks.long_video(model, {PROMPT!r}, seconds=float(sys.argv[3]), progress=False)
seconds = time.perf_counter() - began
try:
    import resource  # not on Windows
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak /= 2**20 if sys.platform == "darwin" else 2**10
except ImportError:
    peak = float("nan")
print(seconds, peak)
"""


# ------------------------------------------------------------------------------ what decides a time


def processor_name() -> str:
    """What the operating system calls the processor."""
    cpuinfo = Path("/proc/cpuinfo")  # Linux
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


# ------------------------------------------------------------------------------------ stopwatches


def _times(work: Callable[[], object], repeats: int) -> list[float]:
    """Seconds of each of several calls, after one that does not count."""
    times = []
    work()
    _finish()
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        _finish()
        times.append(time.perf_counter() - began)
    return times


def _seconds(work: Callable[[], object], repeats: int) -> float:
    """Median seconds of one call."""
    return statistics.median(_times(work, repeats))


def _finish() -> None:
    """Wait for a GPU, which takes orders faster than it carries them out."""
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


# ------------------------------------------------------------------------------------- operations


def matrix_product_rate(device: torch.device, repeats: int = 20) -> float:
    """GFLOP/s of a linear layer, (5120, 256) × (256, 1024), in the precision of training."""
    dtype = choose_dtype(device)
    a = torch.randn(5120, 256, dtype=dtype, device=device)
    b = torch.randn(1024, 256, dtype=dtype, device=device)
    seconds = _seconds(lambda: nn.functional.linear(a, b), repeats)
    return 2 * 5120 * 256 * 1024 / seconds / 1e9


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
    """Operations of one training step for one clip: three times the forward pass's products."""
    N, D, config = num_tokens, dit.config.hidden_size, dit.config
    # multiply-adds of a block; the prompt's keys and values, once
    linear = N * D**2 * (4 + 2 + 2 * config.mlp_ratio)
    linear += prompt_tokens * 2 * D * config.text_size
    attention = 2 * N * (N + prompt_tokens) * D
    levels = sum(p.numel() for p in dit.t_embedder.parameters() if p.ndim == 2)
    ends = N * (2 * dit.x_embedder.weight.numel() + 8 * D**2 + levels)
    return 3 * 2 * (config.depth * (linear + attention) + ends)


# -------------------------------------------------------------------------------------- benchmark


def benchmark(model: MiniSora, quick: bool = False, busy: bool = False) -> Speeds:
    """Measure every stage; nothing else should run beside it. `model` is left as it was.

    Args:
        quick: fewer repetitions and shorter clips.
        busy: also time clips and games beside the programs of BUSY, which are started for it.
    """
    repeats = 2 if quick else 5
    table: Speeds = {
        "processor": processor_name(),
        "device": str(model.device),
        "threads": torch.get_num_threads(),
        "dtype": model.dtype_name,
        "torch": torch.__version__,
    }
    table |= _clip_speeds(model, repeats)
    table |= _play_speeds()
    if busy:
        table |= _busy_speeds(model, 3 if quick else 15)
    for seconds in (2, 4) if quick else (10, 60):
        took, peak = _long_video_cost(model, seconds)
        table[f"seconds for {seconds} s of video"] = took
        table[f"MiB at the peak of {seconds} s of video"] = peak
    return table | _stage_speeds(model, repeats)


def _clip_speeds(model: MiniSora, repeats: int) -> Speeds:
    """What one clip takes, and clips in a batch."""
    few, many = STEPS["upsampled"], STEPS["typed"]

    def seconds(steps: int) -> float:
        return _seconds(lambda: model.generate(PROMPT, num_inference_steps=steps), 3 * repeats)

    upsample = _seconds(lambda: model.upsample(PROMPT), 3 * repeats)
    batch = _seconds(lambda: model.generate([PROMPT] * 16, num_inference_steps=few), repeats)
    return {
        f"seconds for one clip ({few} steps, guided)": round(seconds(few), 3),
        f"seconds for one clip ({many} steps, guided)": round(seconds(many), 3),
        "of these for its prompt (upsampler)": round(upsample, 4),
        f"clips sampled a second ({few} steps, 16 at once)": round(16 / batch, 1),
    }


def _busy_speeds(model: MiniSora, repeats: int) -> Speeds:
    """Median and worst seconds of one clip while other programs run beside it."""
    steps = STEPS["upsampled"]
    table: Speeds = {}
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder)
        for name, programs in BUSY.items():
            with _running(programs, folder, str(model.device)):
                times = _times(lambda: model.generate(PROMPT, num_inference_steps=steps), repeats)
                table |= _play_speeds(f" beside {name}")
            table[f"seconds for one clip beside {name}"] = round(statistics.median(times), 3)
            table[f"the worst of {repeats} beside {name}"] = round(max(times), 3)
    return table


@contextmanager
def _running(programs: list[str], *arguments: str, warm_up: float = 8.0) -> Iterator[None]:
    """Let Python programs run as long as the context lasts."""
    children = []
    try:
        for source in programs:
            command = [sys.executable, "-c", source, *arguments]
            children.append(subprocess.Popen(command, cwd=ROOT))
        time.sleep(warm_up)  # until they have loaded torch
        stopped = [child.returncode for child in children if child.poll() is not None]
        if stopped:
            raise RuntimeError(f"a program that should run beside ended with code {stopped[0]}")
        yield
    finally:
        for child in children:
            child.kill()
            child.wait()


def _play_speeds(beside: str = "") -> Speeds:
    """Frames a second of the games that can be played, in one sampling step."""
    table: Speeds = {}
    for name in PLAY_PRESETS:
        median = statistics.median(seconds_a_frame(PlayModel.load(name)))
        table[f"frames of {name} a second{beside}"] = round(1 / median, 1)
    return table


def _stage_speeds(model: MiniSora, repeats: int) -> Speeds:
    """Clips a second that are rendered, encoded and decoded."""
    world, whole = ToyWorld(), ToyWorld(world="whole", height=64, width=64)
    videos = world.batch(0, 32).videos
    latents = model.encode(videos)
    rendered = _seconds(lambda: world.batch(0, 128), repeats)
    larger = _seconds(lambda: whole.batch(0, 128), repeats)
    encoded = _seconds(lambda: model.encode(videos), repeats)
    decoded = _seconds(lambda: model.decode(latents), repeats)
    return {
        "clips rendered a second": round(128 / rendered, 1),
        "clips of the whole world rendered a second, 64×64": round(128 / larger, 1),
        "clips encoded a second": round(32 / encoded, 1),
        "clips decoded a second": round(32 / decoded, 1),
    }


def _long_video_cost(model: MiniSora, seconds: float) -> tuple[float, int]:
    """Seconds of sampling and peak memory in MiB of a long clip, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder)
        command = [sys.executable, "-c", LONG_VIDEO, folder, str(model.device), str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    took, peak = map(float, done.stdout.split())
    return round(took, 2), round(peak)
