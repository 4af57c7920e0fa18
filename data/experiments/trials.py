"""What makes a transformer learn plain sentences sooner? Each idea alone, at one seed and budget.

    python -m data.experiments.trials RUN [--steps 400] [--only NAME …] [--json FILE]

RUN is the folder of a training of `tiny` (its latents, compressor and text encoder are used). Every
trial begins with the same small new transformer, learns text to video alone, and draws the same
clips, captions and noise at each step, but for what the trial changes. Measured on held-out clips
with plain captions: the loss (the same noise for all trials), and how many of 64 prompts about one
object are as asked, ten steps, as typed.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F

from minisora.checkpoints import load_tensors
from minisora.config import TrainConfig
from minisora.dit import DiT
from minisora.flow import add_noise, flow_loss
from minisora.layers import MLP, Attention
from minisora.masks import draw_sigma
from minisora.measure.accuracy import judge_clips, make_clips, summarise
from minisora.measure.clips import clip_shape, test_prompts, test_scenes
from minisora.measure.network import loss_by_sigma
from minisora.patchify import grid_of, patchify, positions_of
from minisora.pipeline import MiniSora
from minisora.threads import choose_threads
from minisora.train.data import Latents
from minisora.train.loop import TrainState, train_step
from minisora.train.muon import Muon
from minisora.train.stages import drop_prompts

LEVELS = (0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 0.95)
HELD_OUT = 256  # clips
PATCH = (1, 2, 2)


# --------------------------------------------------------------------- what a trial changes: noise


def nearest_noise(x_0: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Pair noise and clips of a batch (B, N, P), the nearest first (arXiv:2406.12303)."""
    distances = torch.cdist(x_0.flatten(1), noise.flatten(1))
    chosen = torch.zeros(len(x_0), dtype=torch.long)
    for _ in range(len(x_0)):
        clip, other = divmod(int(distances.argmin()), len(x_0))
        chosen[clip] = other
        distances[clip] = torch.inf
        distances[:, other] = torch.inf
    return noise[chosen]


# ------------------------------------------------------------------- what a trial changes: networks


class WithFirstValues(nn.Module):
    """A linear layer for keys and values that adds the first block's values (arXiv:2410.17897)."""

    def __init__(self, linear: nn.Linear, first: dict[str, torch.Tensor], is_first: bool):
        super().__init__()
        self.linear = linear
        self.first = first
        self.is_first = is_first
        self.amount = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        keys, values = self.linear(x).chunk(2, dim=-1)
        if self.is_first:
            self.first["values"] = values
        return torch.cat([keys, values + self.amount * self.first["values"]], dim=-1)


class GridMLP(MLP):
    """An MLP whose hidden numbers also see their neighbours (SANA, arXiv:2410.10629)."""

    def __init__(self, mlp: MLP, grid: tuple[int, int, int]):
        nn.Module.__init__(self)
        self.up, self.down, self.grid = mlp.up, mlp.down, grid
        size = mlp.up.out_features
        self.neighbours = nn.Conv3d(size, size, 3, padding=1, groups=size)
        nn.init.zeros_(self.neighbours.weight)
        nn.init.zeros_(self.neighbours.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.up(x)
        cells = h.transpose(1, 2).unflatten(2, self.grid)
        h = h + self.neighbours(cells).flatten(2).transpose(1, 2)
        return self.down(F.gelu(h, approximate="tanh"))


def add_value_residuals(dit: DiT, grid: tuple[int, int, int]) -> None:
    first: dict[str, torch.Tensor] = {}
    for index, block in enumerate(dit.blocks):
        attention: Attention = block.attention
        attention.to_kv = WithFirstValues(attention.to_kv, first, index == 0)  # type: ignore


def add_convolutions(dit: DiT, grid: tuple[int, int, int]) -> None:
    for block in dit.blocks:
        block.mlp = GridMLP(block.mlp, grid)


# ------------------------------------------------------------------ what a trial changes: optimizer

POLAR_EXPRESS = (  # arXiv:2505.16932: another polynomial each round
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
)


def polar(G: torch.Tensor) -> torch.Tensor:
    """Singular values of matrices (..., m, n) near 1."""
    X = G if G.shape[-2] <= G.shape[-1] else G.mT
    X = X / (1.01 * X.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7))
    for a, b, c in POLAR_EXPRESS:
        A = X @ X.mT
        X = a * X + (b * A + c * A @ A) @ X
    return X if G.shape[-2] <= G.shape[-1] else X.mT


class OtherMuon(Muon):
    """Muon with refinements.

    Args:
        by_row: divide each row by its usual size, and keep the size of the whole (NorMuon,
            arXiv:2510.05491); else only the polynomials of Polar Express.
    """

    def __init__(self, params: Any, lr: float, by_row: bool):
        super().__init__(params, lr)
        self.by_row = by_row

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                update = polar(self._momenta([p], group["momentum"], None))[0]
                if self.by_row:
                    update = self._even(p, update)
                p.add_(update, alpha=-0.2 * max(p.shape) ** 0.5 * group["lr"])

    def _even(self, p: torch.Tensor, update: torch.Tensor) -> torch.Tensor:
        state = self.state[p]
        squares = update.square().mean(1, keepdim=True)
        usual = state.setdefault("squares", squares.clone())
        usual.lerp_(squares, 0.05)
        even = update / usual.sqrt().clamp(min=1e-8)
        return even * (update.norm() / even.norm().clamp(min=1e-8))


# ------------------------------------------------------------------------------------------- trials


def detailed_in_part(fraction: float, until: float = 1.0) -> Callable[[float], float]:
    """How many captions say more, by how much of the budget is spent."""
    return lambda spent: fraction if spent < until else 0.0


TRIALS: dict[str, dict[str, Any]] = {
    "as it is (6 of 10 captions fuller)": {},
    "a: plain captions alone": {"detailed": detailed_in_part(0.0)},
    "a: half detailed, the last third plain": {"detailed": detailed_in_part(0.5, 0.67)},
    "b: noise paired with clips": {"pair": nearest_noise},
    "c: value residuals": {"change": add_value_residuals},
    "d: convolution in the MLP": {"change": add_convolutions},
    "e: Muon, Polar Express": {"by_row": False},
    "e: Muon, rows evened": {"by_row": True},
}


def run_trial(
    start: MiniSora, data: Latents, held_out: Latents, steps: int, trial: dict[str, Any]
) -> dict[str, Any]:
    """Train one small transformer, and measure it four times."""
    model = small_model(start)
    grid = grid_of(data.latents.shape[2:], PATCH)
    if "change" in trial:
        trial["change"](model.dit, grid)
    both = nn.ModuleDict({"text": model.text, "dit": model.dit})
    config = TrainConfig(
        steps=steps, batch_size=16, learning_rate=1.2e-2, warmup_steps=30, cooldown_fraction=0.8
    )
    state = TrainState("trial", both, config)
    if "by_row" in trial:
        state.optimizers[0] = OtherMuon(
            state.optimizers[0].param_groups[0]["params"], config.learning_rate, trial["by_row"]
        )
    loss_of = loss_function(model, data, grid, trial, state)
    curve, began = [], time.perf_counter()
    both.train()
    for step in range(1, steps + 1):
        train_step(state, loss_of)
        state.step = step
        if step % (steps // 4) == 0:
            seconds = time.perf_counter() - began
            curve.append({"step": step, "seconds": seconds, **measured(model, state, held_out)})
            began += time.perf_counter() - began - seconds
    return {"curve": curve, "as asked": judged(model, state)}


def small_model(start: MiniSora) -> MiniSora:
    """The compressor and text encoder of a model with a new, small transformer."""
    torch.manual_seed(0)
    preset = replace(start.preset, dit=replace(start.preset.dit, hidden_size=128, depth=4))
    model = MiniSora(preset, start.tokenizer.vocabulary, start.tokenizer.rewordings)
    model.vae.load_state_dict(start.vae.state_dict())
    model.text.load_state_dict(start.text.state_dict())
    return model


def loss_function(
    model: MiniSora,
    data: Latents,
    grid: tuple[int, int, int],
    trial: dict[str, Any],
    state: TrainState,
) -> Callable[[int, torch.Generator], tuple[torch.Tensor, dict]]:
    positions = positions_of(grid)
    detailed = trial.get("detailed", detailed_in_part(0.4))

    def loss_of(step: int, generator: torch.Generator) -> tuple[torch.Tensor, dict]:
        fraction = detailed(state.spent())
        latents, ids, _ = data.draw(state.config.batch_size, generator, fraction)
        ids = drop_prompts(ids, 0.1, generator)
        x_0 = patchify(latents, PATCH)
        noise = torch.randn(x_0.shape, generator=generator)
        if "pair" in trial:
            noise = trial["pair"](x_0, noise)
        sigma = draw_sigma(len(x_0), grid, generator, 3.0, {"none": 1.0})
        x_t = add_noise(x_0, noise, sigma[..., None])
        condition = model.text.read(ids, grid)
        velocity = model.dit(x_t, sigma[:, :1], positions, *condition)
        return flow_loss(velocity, x_0, noise, sigma).mean(), {}

    return loss_of


@torch.no_grad()
def measured(model: MiniSora, state: TrainState, held_out: Latents) -> dict[str, float]:
    """The loss of the averaged weights on held-out clips with plain captions."""
    with averaged(model, state):
        losses = loss_by_sigma(model, held_out.latents, held_out.ids[:, 0], LEVELS)
    return {"loss": round(sum(losses) / len(losses), 4)}


def judged(model: MiniSora, state: TrainState) -> dict[str, Any]:
    """Attributes of 64 clips of one object, as typed."""
    shape = clip_shape(model)
    prompts = test_prompts(test_scenes("solo", "seen", 64, **shape), **shape)
    with averaged(model, state):
        make = make_clips(model, upsample=False, num_inference_steps=10)
        return summarise(judge_clips(make, prompts, fps=shape["fps"]))


class averaged:
    """A `with` in which a model has its averaged weights."""

    def __init__(self, model: MiniSora, state: TrainState):
        self.model, self.state = model, state

    def __enter__(self) -> None:
        self.state.ema.swap(self.state.model)
        self.model.eval()

    def __exit__(self, *_: object) -> None:
        self.state.ema.swap(self.state.model)
        self.model.train()


def read_run(run: Path) -> tuple[MiniSora, Latents, Latents]:
    """The model of a training, its latents of its own size, and some of them held out."""
    model = MiniSora.load(run / "model", "cpu")
    tensors, _ = load_tensors(run / "latents.safetensors")
    latents, ids = tensors["latents.0"], tensors["ids.0"]
    own = Latents(latents[HELD_OUT:], ids[HELD_OUT:], paired=True)
    return model, own, Latents(latents[:HELD_OUT], ids[:HELD_OUT].long())


def trials(names: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, trial in TRIALS.items():
        if not names or any(name.startswith(wanted) for wanted in names):
            yield name, trial


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    choose_threads("training")
    start, data, held_out = read_run(asked.run)
    table: dict[str, Any] = {"settings": {"steps": asked.steps}}
    for name, trial in trials(asked.only):
        result = run_trial(start, data, held_out, asked.steps, trial)
        table[name] = result
        losses = " ".join(f"{point['loss']:.3f}" for point in result["curve"])
        seconds = result["curve"][-1]["seconds"] / asked.steps
        right = {key: round(100 * v["value"]) for key, v in result["as asked"].items() if v}
        print(f"{name:<40} loss {losses}   {seconds:.3f} s a step   {right}", flush=True)
        if asked.json:
            asked.json.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
