"""Notebook 09, One model, every prompt."""

import warnings

import torch

from minisora import MiniSora, tasks
from minisora.config import DiTConfig, Preset, TextConfig, VAEConfig
from minisora.world.captions import VOCABULARY
from minisora.world.dataset import ToyWorld

from .common import Function, called, number, same, same_number, say


def check_outpaint_sigma(outpaint_sigma: Function) -> bool:
    """Exercise 1: outpaint_sigma(grid, inner) → (t, h, w)."""
    cases = (((5, 4, 4), (2, 2)), ((1, 3, 5), (1, 3)), ((3, 6, 4), (2, 4)), ((2, 4, 6), (4, 2)))
    for grid, (rows, columns) in cases:
        t, h, w = grid
        top = (h - rows) // 2
        left = (w - columns) // 2
        right = torch.ones(t, h, w)
        right[:, top : top + rows, left : left + columns] = 0
        corner = torch.ones(t, h, w)
        corner[:, :rows, :columns] = 0
        first = torch.ones(t, h, w)
        first[0] = right[0]
        mistakes = {
            "it is the wrong way round: the middle is clean, the border is generated": 1 - right,
            "the clean part lies in a corner; it should lie in the middle": corner,
            "only the first frame has a clean middle; every frame should have one": first,
        }
        answer = called(outpaint_sigma, grid, (rows, columns))
        if answer is None:
            return False
        where = f"grid {grid}, inner {(rows, columns)}"
        hint = "count the clean tokens in each row"
        if not same(answer, right, "outpaint_sigma", where, mistakes, 0.0, hint):
            return False
    return say("right: everything around the clip is generated, in every frame", True)


def check_fading_sigma(fading_sigma: Function) -> bool:
    """Exercise 2: fading_sigma(grid, first, last) → (t, h, w)."""
    cases = (
        ((5, 4, 4), 0.0, 1.0),
        ((3, 2, 5), 0.9, 0.3),
        ((1, 4, 4), 0.4, 0.8),
        ((2, 1, 3), 0.2, 0.6),
    )
    for grid, first, last in cases:
        t, h, w = grid
        answer = called(fading_sigma, grid, first, last)
        if answer is None:
            return False
        if isinstance(answer, torch.Tensor) and not torch.isfinite(answer).all():
            return say(
                f"fading_sigma({grid}, …) holds something that is not a number:"
                f" how many steps lead through a clip of {t} latent frame?"
            )
        along = torch.linspace(first, last, t, dtype=torch.float64)
        right = along.view(t, 1, 1).expand(t, h, w)
        short = first + (last - first) * torch.arange(t, dtype=torch.float64) / t
        sideways = torch.linspace(first, last, w, dtype=torch.float64)
        mistakes = {
            "it runs backwards: the first latent frame should have the level `first`": right.flip(
                0
            ),
            "the last latent frame does not reach `last`: between t frames are t − 1 steps": (
                short.view(t, 1, 1).expand(t, h, w)
            ),
            "it changes along the row; it should change in time": sideways.expand(t, h, w),
            "all frames have one level": torch.full((t, h, w), first, dtype=torch.float64),
        }
        where = f"({grid}, {first}, {last})"
        if not same(answer, right, "fading_sigma", where, mistakes, 1e-6):
            return False
    return say("right: forwards, backwards, and for an image", True)


def check_kept_subject(kept_subject: Function) -> bool:
    """Exercise 3: kept_subject(subject (T, H, W) bool) → fraction of it in a middle crop."""
    generator = torch.Generator().manual_seed(9)
    for T, H, W in ((3, 4, 10), (2, 9, 5), (4, 6, 6), (1, 4, 8)):
        subject = torch.rand(T, H, W, generator=generator) < torch.linspace(0.1, 0.9, W)
        side = min(H, W)
        top = (H - side) // 2
        left = (W - side) // 2
        inside = subject[:, top : top + side, left : left + side]
        right = float(inside.sum() / subject.sum())
        answer = called(kept_subject, subject.clone())
        if answer is None:
            return False
        fraction = number(answer, "kept_subject")
        if fraction is None:
            return False
        mistakes = {
            "that is how much of the crop the subject fills; asked is how much is kept": float(
                inside.float().mean()
            ),
            "that crops at the upper left; the square lies in the middle": float(
                subject[:, :side, :side].sum() / subject.sum()
            ),
            "that is what is cut off": 1 - right,
            "that counts pixels; divide by the subject's": float(inside.sum()),
        }
        where = f"{T} frames of {H}×{W}"
        if not same_number(fraction, right, "kept_subject", where, mistakes):
            return False
    return say("right for wide, tall and square frames", True)


# ------------------------------------------------------------------------------- 4 extend


def check_extend_by_hand(extend_by_hand: Function) -> bool:
    """Exercise 4: extend_by_hand(model, video (3, 17, H, W), prompt, generator) → (3, 25, H, W)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an untrained compressor knows no colours
        return _extends(extend_by_hand, _small_model())


def _extends(extend_by_hand: Function, model: MiniSora) -> bool:
    prompt = "a red circle moving left"
    for i, video in enumerate(ToyWorld(first_seed=7).batch(0, 2).videos):
        right = tasks.extend(model, video, 8, prompt, generator=_seeded())[0]
        answer = called(extend_by_hand, model, video.clone(), prompt, _seeded())
        if answer is None:
            return False
        if isinstance(answer, torch.Tensor) and answer.ndim == 5 and len(answer) == 1:
            answer = answer[0]
        if not isinstance(answer, torch.Tensor) or answer.shape != right.shape:
            return same(answer, right, "extend_by_hand")
        again = {
            "they went through the compressor; give back the ones that came in": model.decode(
                model.encode(video[None])
            )[0]
        }
        name = "the first 17 frames are the clip's own; their copy"
        if not same(answer[:, :17], video, name, mistakes=again, tolerance=1e-3):
            return False
        new = answer[:, 17:]
        where = f"clip {i}"
        mistakes = _extend_mistakes(model, video, prompt)
        if not same(new, right[:, 17:], "the new part", where, mistakes, 1e-3):
            return False
    return say("frame for frame what `extend` makes", True)


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def _small_model() -> MiniSora:
    """A small untrained model whose transformer is not silent."""
    small = Preset(
        vae=VAEConfig(hidden_size=32, depth=1, num_heads=2),
        text=TextConfig(hidden_size=32, depth=1, num_heads=2),
        dit=DiTConfig(hidden_size=48, depth=1, num_heads=2, text_size=32),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MiniSora(small, VOCABULARY).eval()
        with torch.no_grad():
            for weights in model.dit.parameters():
                if weights.abs().max() == 0:
                    weights.normal_(std=0.05)
    return model


def _extend_mistakes(model: MiniSora, video: torch.Tensor, prompt: str) -> dict[str, torch.Tensor]:
    start = torch.cat([video[:, :13], video[:, 12:13].expand(-1, 8, -1, -1)], dim=1)
    clean = torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0, 1.0]).view(6, 1, 1)
    noise = torch.ones(6, 1, 1)

    def last_eight(sigma: torch.Tensor) -> torch.Tensor:
        return tasks.denoise_video(model, start, sigma, prompt, generator=_seeded())[0][:, -8:]

    nine = tasks.extend(model, video, 8, prompt, context_frames=9, generator=_seeded())[0]
    fresh = model.generate(prompt, upsample=False, generator=_seeded())[0]
    return {
        "they follow the clip's beginning; the window should hold its last thirteen frames": (
            last_eight(clean)
        ),
        "the window holds nine frames of the clip; it should hold thirteen": nine[:, -8:],
        "they are those of a fresh clip: no frame was clean": fresh[:, -8:],
        "no frame was clean: every noise level is 1": last_eight(noise),
        "the last frame is repeated: the noise level of the new latent frames should be 1": (
            video[:, -1:].expand(-1, 8, -1, -1)
        ),
    }
