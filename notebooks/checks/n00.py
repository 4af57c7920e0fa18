"""Notebook 00, A video from a sentence."""

import torch

from minisora import parse, read, verdict
from minisora.patchify import grid_of
from minisora.sampling import guided

from .common import called, say


def check_failure(model, prompt: str, seed: int) -> bool:
    """Notebook 00, exercise 1: a prompt that the judge can read and the model gets wrong."""
    try:
        request = parse(prompt)
    except ValueError as error:
        return say(f"the judge cannot read this prompt: {error}")
    if not request.objects:
        return say("an empty prompt asks for nothing, so nothing can be wrong")
    words, noise = (
        torch.Generator().manual_seed(seed) for _ in range(2)
    )  # as the prompt builder does it
    video = model.generate(model.upsample(prompt, words), upsample=False, generator=noise)[0]
    seen = read(video)
    result = verdict(seen, request)
    if result.all:
        return say(f"the model got this one right: the judge saw {seen}. Try another")
    return say(f"well broken: the judge saw {seen}; {result}", True)


def check_count_tokens(count_tokens) -> bool:
    """Notebook 00, exercise 2: tokens of a clip."""
    for T, H, W in ((17, 32, 32), (1, 32, 32), (33, 24, 40), (5, 40, 8)):
        grid = grid_of(((T + 3) // 4, H // 4, W // 4), (1, 2, 2))
        right = grid[0] * grid[1] * grid[2]
        yours = called(count_tokens, T, H, W)
        if yours is None:
            return False
        if yours != right:
            hint = ""
            if T == 1:
                hint = "; an image is a video of one frame, and has a latent frame of its own"
            elif yours == (T // 4) * (H // 8) * (W // 8):
                hint = "; the first frame has a latent frame of its own"
            elif H != W and yours == ((T - 1) // 4 + 1) * (H // 8) ** 2:
                hint = "; rows and columns may differ"
            elif yours == 4 * right:
                hint = "; a token is 2 × 2 cells, not one"
            return say(
                f"count_tokens({T}, {H}, {W}) gives {yours}, which is off by a factor of {yours / right:.2f}{hint}"
            )
    return say("right for images, long clips and oblong ones", True)


def check_guide(guide) -> bool:
    """Notebook 00, exercise 3: the guided velocity."""
    words, empty = torch.randn(
        2, 1, 6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    mask = torch.ones(1, 1, dtype=torch.bool)
    for scale in (1.0, 0.0, 2.5):
        stub = lambda tokens, sigma, positions, embeds, mask: (
            torch.cat([words, empty])[: len(tokens)] if len(tokens) > 1 else embeds
        )
        expected = guided(stub, None, (words, mask), (empty, mask), scale)(
            torch.zeros(1, 6, 4), torch.zeros(1, 6)
        )
        yours = called(guide, words, empty, scale)
        if yours is None:
            return False
        if not isinstance(yours, torch.Tensor) or yours.shape != words.shape:
            return say(f"guide should return a tensor of shape {tuple(words.shape)}")
        miss = float((yours - expected).abs().max())
        if miss > 1e-9:
            hint = {
                1.0: "at scale 1 it should be the words' velocity",
                0.0: "at scale 0 it should be the empty prompt's velocity",
            }.get(scale, "")
            if not hint:
                hint = "with a scale above 1 it should lie beyond the words, seen from the empty prompt"
            return say(f"at scale {scale:g} it is off by up to {miss:.3f}: {hint}")
    return say("right at scales 0, 1 and between and beyond", True)
