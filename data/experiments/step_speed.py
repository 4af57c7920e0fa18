"""A training step of our transformer beside those of the diffusers library, equally large.

    pip install diffusers
    python -m data.experiments.step_speed --rounds 7 [--compile] [--profile]

Every network is 256 wide and 8 blocks deep (Latte: 4 pairs of a spatial and a temporal block), with
80 tokens a clip, 32 words and 32 clips. A step is forward, a squared error, backward, and AdamW.
The networks take turns, so that whatever else the machine does meets all of them; a figure is the
median of the rounds. `--profile` says where our own step spends its time.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
import torch.nn as nn

from minisora.config import DiTConfig
from minisora.device import autocast, compiled
from minisora.dit import DiT
from minisora.patchify import patchify, positions_of
from minisora.threads import choose_threads

WIDTH, DEPTH, HEADS = 256, 8, 4
CLIPS, CHANNELS, FRAMES, ROWS, COLUMNS = 32, 16, 5, 8, 8
WORDS, TEXT_SIZE = 32, 96
PATCH = (1, 2, 2)

Step = Callable[[], None]


def latents() -> torch.Tensor:
    """Random latents (B, C, T, H, W)."""
    return torch.randn(CLIPS, CHANNELS, FRAMES, ROWS, COLUMNS)


def step_of(network: nn.Module, predict: Callable[[], torch.Tensor]) -> Step:
    """A whole training step of a network."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def step() -> None:
        with autocast(torch.device("cpu")):
            error = predict().float().square().mean()
        optimizer.zero_grad(set_to_none=True)
        error.backward()
        optimizer.step()

    return step


def ours(compile: bool) -> Step:
    """minisora's DiT, with one noise level a clip, as the others have."""
    torch.manual_seed(0)
    config = DiTConfig(
        latent_channels=CHANNELS,
        hidden_size=WIDTH,
        depth=DEPTH,
        num_heads=HEADS,
        text_size=TEXT_SIZE,
    )
    dit = DiT(config)
    network = compiled(dit, compile)
    x = patchify(latents(), PATCH)
    positions = positions_of((FRAMES, ROWS // 2, COLUMNS // 2))
    sigma, words = torch.rand(CLIPS, 1), torch.randn(CLIPS, WORDS, TEXT_SIZE)
    mask = torch.ones(CLIPS, WORDS, dtype=torch.bool)
    return step_of(dit, lambda: network(x, sigma, positions, words, mask))


def cogvideox() -> Step:
    from diffusers import CogVideoXTransformer3DModel

    torch.manual_seed(0)
    network = CogVideoXTransformer3DModel(
        num_attention_heads=HEADS,
        attention_head_dim=WIDTH // HEADS,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        time_embed_dim=WIDTH,
        text_embed_dim=TEXT_SIZE,
        num_layers=DEPTH,
        sample_width=COLUMNS,
        sample_height=ROWS,
        sample_frames=4 * FRAMES - 3,
        max_text_seq_length=WORDS,
    )
    x, words = latents().transpose(1, 2).contiguous(), torch.randn(CLIPS, WORDS, TEXT_SIZE)
    sigma = torch.randint(1000, (CLIPS,))
    return step_of(network, lambda: network(x, words, sigma).sample)


def latte() -> Step:
    from diffusers import LatteTransformer3DModel

    torch.manual_seed(0)
    network = LatteTransformer3DModel(
        num_attention_heads=HEADS,
        attention_head_dim=WIDTH // HEADS,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_layers=DEPTH // 2,
        cross_attention_dim=WIDTH,
        attention_bias=True,
        sample_size=ROWS,
        patch_size=PATCH[1],
        activation_fn="gelu-approximate",
        num_embeds_ada_norm=1000,
        norm_type="ada_norm_single",
        norm_elementwise_affine=False,
        caption_channels=TEXT_SIZE,
        video_length=FRAMES,
    )
    x, words = latents(), torch.randn(CLIPS, WORDS, TEXT_SIZE)
    sigma = torch.randint(1000, (CLIPS,))
    return step_of(network, lambda: network(x, sigma, words).sample)


def wan() -> Step:
    from diffusers import WanTransformer3DModel

    torch.manual_seed(0)
    network = WanTransformer3DModel(
        patch_size=PATCH,
        num_attention_heads=HEADS,
        attention_head_dim=WIDTH // HEADS,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        text_dim=TEXT_SIZE,
        freq_dim=WIDTH,
        ffn_dim=4 * WIDTH,
        num_layers=DEPTH,
    )
    x, words = latents(), torch.randn(CLIPS, WORDS, TEXT_SIZE)
    sigma = torch.randint(1000, (CLIPS,))
    return step_of(network, lambda: network(x, sigma, words).sample)


def race(steps: dict[str, Step], rounds: int) -> dict[str, float]:
    """Seconds of a step, median; the networks take turns, and two rounds warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 2):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            if turn >= 2:
                seconds[name].append(time.perf_counter() - began)
    return {name: median(values) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    choose_threads("training")
    if asked.profile:
        profile(ours(asked.compile))
        return
    steps = {"CogVideoX": cogvideox(), "Latte": latte(), "Wan": wan(), "ours": ours(False)}
    if asked.compile:
        steps["ours, compiled"] = ours(True)
    table = race(steps, asked.rounds)
    best = min(value for name, value in table.items() if not name.startswith("ours"))
    for name, value in table.items():
        print(f"{name:<16} {value:.3f} s   {best / value:.2f} times as fast as the fastest of them")


def profile(step: Step) -> None:
    """Print what takes longest in a step."""
    for _ in range(2):
        step()
    with torch.profiler.profile() as seen:
        for _ in range(3):
            step()
    print(seen.key_averages().table(sort_by="self_cpu_time_total", row_limit=25))


if __name__ == "__main__":
    main()
