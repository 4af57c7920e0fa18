"""Steps of several sizes in one transformer, which is told how long a step it is to take.

    DiT ── with_step_sizes ──► student with actions ── for_one_size ──► plain DiT for this size

For the trial `shortcut` of `python -m data.experiments.distil` (arXiv:2410.12557).
"""

from dataclasses import replace

import torch
import torch.nn as nn

from minisora.dit import DiT
from minisora.flow import shift_sigma
from minisora.sampling import Velocity

SIZES = (0.0, 0.125, 0.25, 0.5, 1.0)  # lengths, before the schedule's shift; 0 is a velocity


def size_for(steps: int) -> int:
    """The number of SIZES with which a clip takes so many steps; 0 where there is none."""
    length = 1 / steps
    return SIZES.index(length) if length in SIZES else 0


def with_step_sizes(dit: DiT) -> DiT:
    """A copy that can be told a number of SIZES as an action; at first it makes no difference."""
    config = replace(dit.config, num_actions=len(SIZES))
    student = DiT(config)
    student.load_state_dict(dit.state_dict(), strict=False)
    nn.init.zeros_(student.action_embedder.weight)
    return student


def for_one_size(student: DiT, size: int) -> DiT:
    """The student that is always told one size, as a plain transformer.

    The embedding of a size is added to what `t_embedder` ends in, so its last bias takes it in.
    """
    weights = student.state_dict()
    embedding = weights.pop("action_embedder.weight")[size]
    bias = weights["t_embedder.mlp.2.bias"]
    weights["t_embedder.mlp.2.bias"] = bias + embedding
    config = replace(student.config, num_actions=0)
    plain = DiT(config)
    plain.load_state_dict(weights)
    return plain


def draw_steps(
    count: int,
    shift: float,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw steps of a sampler, B = count.

    Args:
        shift: of the sampler's schedule.

    Returns:
        size (B, 1), numbers of SIZES, never 0. Noise levels (B, 3): where a step begins, where half
        of it is done, and where it ends.
    """
    size = torch.randint(1, len(SIZES), (count, 1), generator=generator)
    length = torch.tensor(SIZES)[size]
    drawn = torch.rand(count, 1, generator=generator)
    earlier = (drawn / length).floor()  # steps
    begin = 1 - length * earlier
    middle = begin - length / 2
    end = begin - length
    levels = torch.cat([begin, middle, end], dim=1)
    return size, shift_sigma(levels, shift)


def two_steps(
    velocity: Velocity,
    x_t: torch.Tensor,
    levels: torch.Tensor,
) -> torch.Tensor:
    """The mean velocity of two steps, which one step of both lengths should have.

    Args:
        x_t: (B, N, P). levels: (B, 3), as from `draw_steps`.

    Returns:
        (B, N, P).
    """
    begin, middle, end = levels[..., None].split(1, dim=1)  # (B, 1, 1)
    first = velocity(x_t, begin[..., 0])
    x_middle = x_t + (middle - begin) * first
    second = velocity(x_middle, middle[..., 0])
    x_end = x_middle + (end - middle) * second
    return (x_end - x_t) / (end - begin)
