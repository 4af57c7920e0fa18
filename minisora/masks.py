"""Which tokens are clean: the draw of noise levels in training."""

import torch

from minisora.flow import shift_sigma

MASKS = {  # share of the clips in training
    "one level": 0.5,
    "a level a frame": 0.15,
    "start given": 0.15,
    "end given": 0.05,
    "ends given": 0.05,
    "run given": 0.05,
    "box made": 0.05,
}


def draw_sigma(
    batch_size: int,
    grid: tuple[int, int, int],
    generator: torch.Generator,
    shift: float = 3.0,
    kinds: dict[str, float] = MASKS,
) -> torch.Tensor:
    """Noise levels for training, one a token: what makes one network serve every prompt.

    Args:
        kinds: kind → share of the clips. "one level" has the same level throughout; "a level a frame" one of its own in every latent
            frame (diffusion forcing, arXiv:2407.01392). In the others a part is given, at level 0, and the rest has one level: "start given"
            and "end given" (one frame in half of the cases, else a random number of them), "ends given" (one or two frames and the last
            one), "run given" (a random run of frames), "box made" (everything but a random box of tokens, the same in all frames).

    Returns:
        sigma (B, N) in [0, 1], in the token order of `patchify`.

    Raises:
        ValueError: a kind that is not one of these.
    """
    (t, h, w), device = grid, generator.device
    rand = lambda *shape: torch.rand(*shape, generator=generator, device=device)
    below = lambda most: (rand(batch_size, 1) * most).floor()  # whole numbers from 0 to most - 1
    one, apart = rand(batch_size, 1).expand(-1, t), rand(batch_size, t)
    frame, row, column = (torch.arange(n, device=device).expand(batch_size, -1) for n in grid)
    some = torch.where(rand(batch_size, 1) < 0.5, 1, 1 + below(t - 1))  # frames that are given
    begin, tall, wide = below(t), 1 + below(h), 1 + below(w)
    top, left = (
        (rand(batch_size, 1) * (h - tall + 1)).floor(),
        (rand(batch_size, 1) * (w - wide + 1)).floor(),
    )
    inside = ((row >= top) & (row < top + tall))[:, None, :, None] & (
        (column >= left) & (column < left + wide)
    )[:, None, None, :]
    whole = lambda frames: frames[:, :, None, None].expand(-1, -1, h, w)
    given = {
        "one level": whole(frame < 0),
        "a level a frame": whole(frame < 0),
        "start given": whole(frame < some),
        "end given": whole(frame >= t - some),
        "ends given": whole((frame < 1 + below(2)) | (frame == t - 1)),
        "run given": whole((frame >= begin) & (frame < begin + some)),
        "box made": ~inside.expand(-1, t, -1, -1),
    }
    if unknown := set(kinds) - set(given):
        raise ValueError(
            f"kind {unknown.pop()!r} of noise levels is not known; it is one of {', '.join(given)}"
        )
    choice = torch.multinomial(
        torch.tensor(list(kinds.values()), device=device),
        batch_size,
        replacement=True,
        generator=generator,
    )
    sigma = torch.zeros(batch_size, t, h, w, device=device)
    for i, name in enumerate(kinds):
        level = shift_sigma(apart if name == "a level a frame" else one, shift)[:, :, None, None]
        sigma = torch.where(
            (choice == i)[:, None, None, None], torch.where(given[name], 0, level), sigma
        )
    if t == 1:  # an image that is wholly given teaches nothing
        sigma = torch.where(
            (sigma == 0).flatten(1).all(1)[:, None, None, None],
            shift_sigma(one, shift)[:, :, None, None],
            sigma,
        )
    return sigma.flatten(1)
