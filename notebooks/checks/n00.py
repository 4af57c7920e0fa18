"""Notebook 00, A video from a sentence."""

import torch

from minisora import MiniSora, parse, read, verdict
from minisora.patchify import grid_of
from minisora.sampling import guided

from .common import Function, called, number, same, same_number, say


def check_failure(model: MiniSora, prompt: str, seed: int) -> bool:
    """Exercise 1: a prompt that the judge can read and that the model does not follow."""
    try:
        spec = parse(prompt)
    except ValueError as error:
        return say(f"the judge cannot read this prompt: {error}")
    if not spec.objects:
        return say("an empty prompt asks for nothing, so nothing can be wrong")
    video = model.generate(prompt, generator=torch.Generator().manual_seed(seed))[0]
    seen = read(video)
    result = verdict(seen, spec)
    if result.all:
        return say(f"the model got this one right: the judge saw {seen}. Try another")
    return say(f"this is a failure: the judge saw {seen}; {result}", True)


def check_count_tokens(count_tokens: Function) -> bool:
    """Exercise 2: tokens of a clip."""
    for T, H, W in ((17, 32, 32), (1, 32, 32), (33, 24, 40), (5, 40, 8)):
        frames, rows, columns = grid_of(((T + 3) // 4, H // 4, W // 4), (1, 2, 2))
        right = frames * rows * columns
        answer = called(count_tokens, T, H, W)
        if answer is None:
            return False
        name = f"count_tokens({T}, {H}, {W})"
        count = number(answer, name)
        if count is None:
            return False
        first = "the first frame has a latent frame of its own"
        if T == 1:
            first = "an image is a video of one frame, and has a latent frame of its own"
        mistakes = {
            first: float((T // 4) * rows * columns),
            "rows and columns may differ": float(frames * rows * rows),
            "a token is 2 × 2 latent cells, not one": float(4 * right),
        }
        if not same_number(count, right, name, mistakes=mistakes):
            return False
    return say("right for images, long clips and oblong ones", True)


def check_guide(guide: Function) -> bool:
    """Exercise 3: the guided velocity."""
    generator = torch.Generator().manual_seed(0)
    prompt, empty = torch.randn(2, 1, 6, 4, dtype=torch.float64, generator=generator)
    mask = torch.ones(1, 1, dtype=torch.bool)

    def network(tokens, sigma, positions, embeds, mask):
        return torch.cat([prompt, empty]) if len(tokens) > 1 else embeds

    hints = {
        1.0: "at scale 1 it should be the prompt's velocity",
        0.0: "at scale 0 it should be the empty prompt's velocity",
        2.5: "with a scale above 1 it should lie beyond the prompt, seen from the empty prompt",
    }
    for scale, hint in hints.items():
        velocity = guided(network, None, (prompt, mask), (empty, mask), scale)
        right = velocity(torch.zeros(1, 6, 4), torch.zeros(1, 6))
        answer = called(guide, prompt, empty, scale)
        if answer is None:
            return False
        if not same(answer, right, "guide", f"scale {scale:g}", otherwise=hint):
            return False
    return say("right at scale 0, at scale 1 and beyond", True)
