"""Notebook 09, One model, every prompt."""

import torch

from minisora import tasks
from minisora.config import DiTConfig, Preset, TextConfig, VAEConfig
from minisora.pipeline import MiniSora
from minisora.world.captions import VOCABULARY
from minisora.world.dataset import ToyWorld

from .common import called, same, say


def check_outpaint_levels(outpaint_levels) -> bool:
    """Notebook 09, exercise 1: outpaint_levels(grid, inner) → (t, h, w)."""
    for grid, inner in (
        ((5, 4, 4), (2, 2)),
        ((1, 3, 5), (1, 3)),
        ((3, 6, 4), (2, 4)),
        ((2, 4, 6), (4, 2)),
    ):
        (t, h, w), (a, b) = grid, inner
        top, left = (h - a) // 2, (w - b) // 2
        right = torch.ones(t, h, w)
        right[:, top : top + a, left : left + b] = 0
        yours = called(outpaint_levels, grid, inner)
        if yours is None:
            return False
        corner, first = torch.ones(t, h, w), torch.ones(t, h, w)
        corner[:, :a, :b] = 0
        first[0] = right[0]
        faults = {
            "it is the wrong way round: the picture in the middle is given, the border is made": 1
            - right,
            "the given part lies in a corner; it should lie in the middle": corner,
            "only the first frame has a given middle; the clip has one in every frame": first,
        }
        if (
            isinstance(yours, torch.Tensor)
            and yours.shape == right.shape
            and not torch.equal(yours.float(), right)
        ):
            hint = next(
                (words for words, wrong in faults.items() if torch.equal(yours.float(), wrong)),
                "count the given tokens in each row",
            )
            return say(f"outpaint_levels({grid}, {inner}): {hint}")
        if not same(yours, right, "outpaint_levels", f"grid {grid}, inner {inner}"):
            return False
    return say("right: everything around the picture is made, in every frame", True)


def check_fading_levels(fading_levels) -> bool:
    """Notebook 09, exercise 2: fading_levels(grid, first, last) → (t, h, w)."""
    for grid, first, last in (
        ((5, 4, 4), 0.0, 1.0),
        ((3, 2, 5), 0.9, 0.3),
        ((1, 4, 4), 0.4, 0.8),
        ((2, 1, 3), 0.2, 0.6),
    ):
        t, h, w = grid
        along = (
            torch.linspace(first, last, t, dtype=torch.float64)
            if t > 1
            else torch.tensor([first], dtype=torch.float64)
        )
        right = along.view(t, 1, 1).expand(t, h, w)
        yours = called(fading_levels, grid, first, last)
        if yours is None:
            return False
        if isinstance(yours, torch.Tensor) and not torch.isfinite(yours).all():
            return say(
                f"fading_levels({grid}, …) holds something that is not a number: how many steps lead through a clip of {t} latent frame?"
            )
        share = torch.arange(t, dtype=torch.float64).view(t, 1, 1) / t
        sideways = torch.linspace(first, last, w, dtype=torch.float64).expand(t, h, w)
        faults = {
            "it runs backwards: the first latent frame should have the level `first`": right.flip(
                0
            ),
            "the last latent frame does not reach `last`: between t frames there are t − 1 steps": (
                first + (last - first) * share
            ).expand(t, h, w),
            "it changes along the row; it should change in time": sideways,
            "all frames have one level": torch.full((t, h, w), first, dtype=torch.float64),
        }
        if (
            isinstance(yours, torch.Tensor)
            and yours.shape == right.shape
            and not torch.allclose(yours.double(), right, atol=1e-6)
        ):
            hint = next(
                (
                    words
                    for words, wrong in faults.items()
                    if torch.allclose(yours.double(), wrong, atol=1e-6)
                ),
                "",
            )
            return say(
                f"fading_levels({grid}, {first}, {last}) is off" + (f": {hint}" if hint else "")
            )
        if not same(yours, right, "fading_levels", f"grid {grid}", 1e-6):
            return False
    return say("right: forwards, backwards, and for an image", True)


def check_kept_subject(kept_subject) -> bool:
    """Notebook 09, exercise 3: kept_subject(subject (T, H, W) bool) → share of the subject inside the square crop in the middle."""
    generator = torch.Generator().manual_seed(9)
    for T, H, W in ((3, 4, 10), (2, 9, 5), (4, 6, 6), (1, 4, 8)):
        subject = torch.rand(T, H, W, generator=generator) < torch.linspace(0.1, 0.9, W)
        side = min(H, W)
        top, left = (H - side) // 2, (W - side) // 2
        inside = subject[:, top : top + side, left : left + side]
        right, where = float(inside.sum() / subject.sum()), f"{T} frames of {H}×{W}"
        yours = called(kept_subject, subject.clone())
        if yours is None:
            return False
        try:
            yours = float(yours)
        except (TypeError, ValueError, RuntimeError):
            return say(
                f"kept_subject should give back one number for {where}, not {type(yours).__name__}"
            )
        if not abs(yours - right) < 1e-6:
            corner = subject[:, :side, :side]
            faults = {
                "that is the share of the crop which the subject fills; asked is the share of the subject": float(
                    inside.float().mean()
                ),
                "that crops at the upper left; the square lies in the middle": float(
                    corner.sum() / subject.sum()
                ),
                "that is what is cut off": 1 - right,
                "that counts pixels; divide by the subject's": float(inside.sum()),
            }
            hint = next((words for words, wrong in faults.items() if abs(yours - wrong) < 1e-6), "")
            return say(
                f"kept_subject gives {yours:.4f} for {where}, off by {abs(yours - right):.4f}"
                + (f": {hint}" if hint else "")
            )
    return say("right for wide, tall and square frames", True)


def check_go_on(go_on) -> bool:
    """Notebook 09, exercise 4: go_on(model, video (3, 17, H, W), prompt, generator) → (3, 25, H, W)."""
    torch.manual_seed(0)
    small = Preset(
        vae=VAEConfig(hidden_size=32, depth=1, num_heads=2),
        text=TextConfig(hidden_size=32, depth=1, num_heads=2),
        dit=DiTConfig(hidden_size=48, depth=1, num_heads=2, text_size=32),
    )
    model = MiniSora(small, VOCABULARY).eval()
    with torch.no_grad():
        for p in model.dit.parameters():  # so that everything has a say
            if p.abs().max() == 0:
                p.normal_(std=0.05)
    batch, prompt = ToyWorld(first_seed=7).batch(0, 2), "a red circle moving left"
    for i, video in enumerate(batch.videos):
        seeded = lambda: torch.Generator().manual_seed(5)
        right = tasks.extend(model, video, 8, prompt, generator=seeded())[0]
        yours = called(go_on, model, video.clone(), prompt, seeded())
        if yours is None:
            return False
        if not isinstance(yours, torch.Tensor):
            return say(f"go_on should give back a video (3, 25, H, W), not {type(yours).__name__}")
        yours = yours[0] if yours.ndim == 5 and len(yours) == 1 else yours
        if yours.shape != right.shape:
            return say(
                f"the shape is {tuple(yours.shape)}; 17 frames and 8 more are {tuple(right.shape)}"
            )
        if not torch.allclose(yours[:, :17], video, atol=1e-6):
            again = model.decode(model.encode(video[None]))[0]
            hint = (
                ": they went through the compressor; give back the ones that came in"
                if torch.allclose(yours[:, :17], again, atol=1e-3)
                else ""
            )
            return say(
                f"the first 17 frames are not the given ones, off by {float((yours[:, :17] - video).abs().max()):.3f}{hint}"
            )
        if not torch.allclose(yours[:, 17:], right[:, 17:], atol=1e-4):
            start = torch.cat([video[:, :13], video[:, 12:13].expand(-1, 8, -1, -1)], dim=1)
            levels = torch.tensor([0.0, 0, 0, 0, 1, 1]).view(6, 1, 1)
            early = tasks.denoise_video(model, start, levels, prompt, generator=seeded())[0][:, -8:]
            nothing = tasks.denoise_video(
                model, start, torch.ones(6, 1, 1), prompt, generator=seeded()
            )[0][:, -8:]
            little = tasks.extend(model, video, 8, prompt, context_frames=8, generator=seeded())[0][
                :, -8:
            ]
            fresh = model.generate(prompt, generator=seeded())[0][:, -8:]
            still = video[:, -1:].expand(-1, 8, -1, -1)
            faults = {
                "the new frames go on from the clip's beginning; the window should hold its last thirteen frames": early,
                "the window holds nine frames of the clip; it should hold thirteen": little,
                "the new frames are those of a fresh clip: nothing was given": fresh,
                "nothing was given: all levels are 1": nothing,
                "the last frame is repeated and nothing was made: the levels of the new latent frames should be 1": still,
            }
            hint = next(
                (
                    words
                    for words, wrong in faults.items()
                    if torch.allclose(yours[:, 17:], wrong, atol=2e-2)
                ),
                "",
            )
            miss = float((yours[:, 17:] - right[:, 17:]).abs().max())
            return say(
                f"the new frames of clip {i} are off by up to {miss:.3f}"
                + (f": {hint}" if hint else "")
            )
    return say("frame for frame what `extend` makes", True)
