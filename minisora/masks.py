"""Which tokens are clean: the draw of noise levels in training.

    grid (t, h, w), one mask for each clip ── draw_sigma ──► sigma (B, N): 0 clean, 1 noise

`causal_mask` is another kind: which token may attend to which, where frame follows frame (play).

Training on many masks is what lets one network serve every task. A conditioning mask marks tokens
that start clean (level 0); all other tokens of the clip are to be generated. That the tokens of one
clip have different noise levels is diffusion forcing, arXiv:2407.01392.
"""

import random
from collections.abc import Callable

import torch

from minisora.device import host_generator, to_device
from minisora.flow import shift_sigma
from minisora.patchify import Size

MASKS = {  # mask → fraction of the training clips
    "none": 0.5,  # one level for all tokens
    "independent levels": 0.15,  # one for each latent frame
    "start": 0.15,
    "end": 0.05,
    "both ends": 0.05,
    "span": 0.05,
    "box": 0.05,
}


# ------- conditioning masks: grid → (t, h, w) bool, True where a token is clean; rng draws its size


def none(grid: Size, rng: random.Random) -> torch.Tensor:
    """No token is clean."""
    return torch.zeros(grid, dtype=torch.bool)


def start(grid: Size, rng: random.Random) -> torch.Tensor:
    """The first latent frames are clean (image to video, extend forward)."""
    clean = none(grid, rng)
    clean[: _frame_count(grid, rng)] = True
    return clean


def end(grid: Size, rng: random.Random) -> torch.Tensor:
    """The last latent frames are clean (extend backward)."""
    clean = none(grid, rng)
    clean[grid[0] - _frame_count(grid, rng) :] = True
    return clean


def both_ends(grid: Size, rng: random.Random) -> torch.Tensor:
    """The first frame or two and the last one are clean (connect, loop).

    A clip of fewer than three latent frames has the mask `start`.
    """
    if grid[0] < 3:
        return start(grid, rng)
    clean = none(grid, rng)
    first = min(rng.randint(1, 2), grid[0] - 2)
    clean[:first] = True
    clean[-1] = True
    return clean


def span(grid: Size, rng: random.Random) -> torch.Tensor:
    """A run of latent frames anywhere is clean."""
    clean = none(grid, rng)
    begin = rng.randrange(grid[0])
    clean[begin : begin + _frame_count(grid, rng)] = True
    return clean


def box(grid: Size, rng: random.Random) -> torch.Tensor:
    """All is clean but a box of tokens, the same in every frame (inpaint a region)."""
    t, h, w = grid
    height = rng.randint(1, h)
    width = rng.randint(1, w)
    top = rng.randint(0, h - height)
    left = rng.randint(0, w - width)
    clean = torch.ones(grid, dtype=torch.bool)
    clean[:, top : top + height, left : left + width] = False
    return clean


def _frame_count(grid: Size, rng: random.Random) -> int:
    """Draw how many latent frames are clean: 1 in half of the cases, else any number up to t − 1.

    A clip of one frame has none, because something must be left to generate.
    """
    most = grid[0] - 1
    if most == 0:
        return 0
    return 1 if rng.random() < 0.5 else rng.randint(1, most)


CLEAN_TOKENS: dict[str, Callable[[Size, random.Random], torch.Tensor]] = {
    "none": none,
    "independent levels": none,
    "start": start,
    "end": end,
    "both ends": both_ends,
    "span": span,
    "box": box,
}

# ------------------------------------------------------------------------ noise levels


def draw_sigma(
    batch_size: int,
    grid: Size,
    generator: torch.Generator,
    shift: float = 3.0,
    masks: dict[str, float] = MASKS,
) -> torch.Tensor:
    """Draw a mask for each clip, and the noise levels of its tokens.

    Args:
        batch_size: B.
        grid: (t, h, w), how many tokens a clip has along each axis.
        generator: source of all draws; sigma is on its device.
        shift: s of `shift_sigma`.
        masks: mask → fraction of the clips; fractions that do not sum to 1 are scaled.

    Returns:
        sigma (B, N) in [0, 1], in the token order of `patchify`. At least one token of each clip is
        above 0.

    Raises:
        ValueError: a mask that is not known.
    """
    t, h, w = grid
    device = generator.device
    for name in masks:
        if name not in CLEAN_TOKENS:
            raise ValueError(f"mask {name!r} is not known; it is one of {', '.join(CLEAN_TOKENS)}")
    seed = torch.randint(2**62, (1,), generator=host_generator(generator))
    rng = random.Random(int(seed))
    names = rng.choices(list(masks), weights=list(masks.values()), k=batch_size)
    clean = torch.stack([CLEAN_TOKENS[name](grid, rng) for name in names])  # (B, t, h, w)
    # 1 − rand is in (0, 1]: level 0 would mark a clean token
    level = 1 - torch.rand(batch_size, t, generator=generator, device=device)
    independent = torch.tensor([name == "independent levels" for name in names])
    level = torch.where(to_device(independent, device)[:, None], level, level[:, :1])  # (B, t)
    level = shift_sigma(level, shift)[:, :, None, None].expand(-1, -1, h, w)
    return level.masked_fill(to_device(clean, device), 0).flatten(1)


# ------------------------------------------------------------------------ frame after frame


def causal_mask(frames: torch.Tensor, clean: torch.Tensor, context: int) -> torch.Tensor:
    """Let no token see a later frame: which token (row) may attend to which (column), (N, N) bool.

    A sequence may hold a frame twice, clean and noisy. A noisy token sees its own noisy frame and
    the `context` clean frames before it; a clean one sees as many, its own among them.

    Args:
        frames: (N,), the number of each token's frame. clean: (N,) bool.
    """
    age = frames[:, None] - frames  # (N, N), in frames
    newest = (~clean).long()[:, None]  # the least age of what is seen: its own, or the one before
    past = clean & (age >= newest) & (age < newest + context)
    own = ~(clean | clean[:, None]) & (age == 0)
    return past | own
