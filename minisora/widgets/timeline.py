"""The timeline editor (notebook 09): which tokens of a window are conditioning.

clip, slide ── window ──► 17 frames, and which of them are known
known, Plan ── sigma_of ──► noise levels (t, h, w): 0 conditioning, 1 generated, between changed
"""

from dataclasses import dataclass
from typing import Any

import torch

from minisora import tasks
from minisora.measure.judge import read
from minisora.patchify import Size, grid_of
from minisora.pipeline import MiniSora
from minisora.show.clip import Clip
from minisora.widgets.common import (
    Html,
    Panel,
    answer_box,
    control,
    error_html,
    film,
    line,
    menu,
    page,
    slider,
    tip,
)
from minisora.world.retell import read_again


@dataclass(frozen=True)
class Plan:
    """Everything that tells one task from another.

    Args:
        kept: latent frames whose tokens are conditioning, where they are known.
        rows, columns: tokens from, to; inside this box no token is conditioning.
        strength: noise level of what is generated.
        slide: latent frames by which the window moves on, or back where negative.
    """

    kept: tuple[int, ...] = ()
    rows: tuple[int, int] = (0, 0)
    columns: tuple[int, int] = (0, 0)
    strength: float = 1.0
    slide: int = 0


ALL = (0, 1, 2, 3, 4)
PLANS = {
    "text to video": Plan(),
    "animate the first frame": Plan(kept=(0,)),
    "go on": Plan(kept=ALL, slide=1),
    "say what came before": Plan(kept=ALL, slide=-1),
    "join both ends": Plan(kept=(0, 4)),
    "fill a gap": Plan(kept=(0, 1, 4)),
    "edit a region": Plan(kept=ALL, rows=(0, 2), columns=(0, 2)),
    "change everything": Plan(strength=0.7),
}


def window(
    clip: torch.Tensor, slide: int, num_frames: int = 17, step: int = 4
) -> tuple[torch.Tensor, torch.Tensor]:
    """Move a window by `slide` latent frames from the end of a clip (3, T, H, W).

    Where slide is negative, the window moves back from the clip's beginning.

    Returns:
        video (3, num_frames, H, W), in which unknown frames repeat the nearest known one;
        known (num_frames,) bool.

    Raises:
        ValueError: a window that holds nothing of the clip.
    """
    T = clip.shape[1]
    first = max(T - num_frames, 0) if slide > 0 else 0
    frames = torch.arange(num_frames) + first + step * slide
    known = (frames >= 0) & (frames < T)
    if not known.any():
        raise ValueError(
            f"slide={slide} is too far: the window then holds nothing of a clip of {T} frames"
        )
    return clip[:, frames.clamp(0, T - 1)], known


def sigma_of(plan: Plan, known: torch.Tensor, grid: Size, step: int = 4) -> torch.Tensor:
    """Noise level of every token, (t, h, w), of a plan whose window has known frames (num_frames,).

    A latent frame can be kept where all of its pixel frames are known.
    """
    whole = torch.cat([known[:1], known[1:].view(-1, step).all(1)])
    sigma = tasks.sigma_of(grid, plan.kept, plan.rows, plan.columns, plan.strength)
    sigma[~whole] = 1
    return sigma


def mask_html(sigma: torch.Tensor) -> str:
    """The tokens of every latent frame: ● conditioning, × generated, ▲ changed."""
    marks = {0.0: ("●", "#0072B2"), 1.0: ("×", "#D55E00")}
    blocks = []
    for frame, levels in enumerate(sigma.tolist()):
        lines = []
        for row in levels:
            cells = [marks.get(level, ("▲", "#555555")) for level in row]
            lines.append("".join(f'<span style="color:{c}">{mark}</span>' for mark, c in cells))
        body = "<br>".join([*lines, f"<small>{frame}</small>"])
        blocks.append(f'<div style="text-align:center;margin:0 6px">{body}</div>')
    counts = words_of(sigma)
    style = "display:flex;font-family:monospace;font-size:14px;line-height:1"
    words = f'role="img" aria-label="{counts}" title="{counts}"'
    return f'<div {words} style="{style}">{"".join(blocks)}</div>'


def words_of(sigma: torch.Tensor) -> str:
    """How many tokens are what."""
    clean = int((sigma == 0).sum())
    generated = int((sigma == 1).sum())
    changed = sigma.numel() - clean - generated
    parts = []
    if clean:
        parts.append(f"{clean} conditioning")
    if generated:
        parts.append(f"{generated} generated")
    if changed:
        parts.append(f"{changed} changed from σ = {float(sigma[sigma < 1].max()):.2g}")
    return f"{', '.join(parts)} of {sigma.numel()} tokens"


def _planned(
    model: MiniSora, clip: torch.Tensor, plan: Plan
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A plan's video (3, T, H, W), its known frames (T,), and its noise levels (t, h, w)."""
    step = model.vae.config.patch_size[0]
    video, known = window(clip, plan.slide, model.preset.num_frames, step)
    return video, known, sigma_of(plan, known, _grid(model, video), step)


def preview(model: MiniSora, clip: torch.Tensor, plan: Plan) -> Html:
    """The window's frames, unknown ones pale, and the plan's mask over tokens."""
    video, known, sigma = _planned(model, clip, plan)
    shown = torch.where(known[None, :, None, None], video, 0.8 + 0.2 * video)
    words = f"{int(known.sum())} of {len(known)} frames are known; {words_of(sigma)}"
    return Html(page(film(shown, words, 9, 2), mask_html(sigma)), words)


def run(
    model: MiniSora, clip: torch.Tensor, plan: Plan, prompt: str, seed: int = 0, **options: Any
) -> torch.Tensor:
    """Generate what a plan leaves open, and put the window back in its place: (3, T′, H, W)."""
    video, known, sigma = _planned(model, clip, plan)
    _, rows, columns = model.dit.config.patch_size
    cells = sigma.repeat_interleave(rows, 1).repeat_interleave(columns, 2)
    generator = torch.Generator().manual_seed(seed)
    batch = tasks.denoise_video(model, video, cells, prompt, generator=generator, **options)
    generated = batch[0].cpu()
    overlap = int(known.sum())
    if plan.slide > 0:
        return torch.cat([clip[:, : clip.shape[1] - overlap], generated], dim=1)
    return torch.cat([generated, clip[:, overlap:]], dim=1)


def _grid(model: MiniSora, video: torch.Tensor) -> Size:
    return grid_of(model.vae.latent_shape(*video.shape[1:]), model.dit.config.patch_size)


class TimelineEditor(Panel):
    """Mark what is conditioning, press Run; the result is the next clip. Undo goes back.

    `history` holds all clips (3, T, H, W), `clip` is the last, `plan` what the controls say.

    Args:
        clip: a clip (3, T, H, W) to begin with: generated, from a file
            (`minisora.show.media.as_video`), or drawn by `render`.
    """

    def __init__(self, model: MiniSora, clip: torch.Tensor, prompt: str = ""):
        import ipywidgets as w

        self.model = model
        self.history = [clip.cpu()]
        t, h, r = _grid(model, window(clip, 0, model.preset.num_frames)[0])
        kept = "Latent frames that are conditioning: several with Shift or Ctrl"
        frames = [(_frames(k), k) for k in range(t)]
        span: dict[str, Any] = {"value": (0, 0), "min": 0, "continuous_update": False}
        controls = {
            "prompt": line("prompt", prompt, "What the clip should show"),
            "kept": control("SelectMultiple", "conditioning", kept, options=frames, rows=t),
            "slide": slider("slide", 0, 1 - t, t - 1, about="Latent frames that the window moves"),
            "rows": control("IntRangeSlider", "rows", "Generated in every frame", max=h, **span),
            "columns": control(
                "IntRangeSlider", "columns", "Generated in every frame", max=r, **span
            ),
            "strength": slider("strength", 1.0, 0.1, 1.0, 0.05, "Noise level of what is generated"),
            "seed": slider("seed", 0, 0, 99, about="Which noise to start from"),
        }
        self.mask = answer_box(150)
        super().__init__(self._render, controls, height=260, button="Run", wait=True)
        self.ready = menu("start from", PLANS, about="A task as a mask; change it as you like")
        self.ready.observe(lambda change: self.choose(change["new"]), "value")
        self.back = tip(w.Button(description="Undo"), "Forget the last result")
        self.back.on_click(lambda _: self.undo())
        for widget in controls.values():
            widget.observe(lambda _: self.show(), "value")
        top, run_button, *rest = self.box.children
        self.box.children = (self.ready, top, self.mask, w.HBox([run_button, self.back]), *rest)
        self.show()

    @property
    def clip(self) -> torch.Tensor:
        return self.history[-1]

    @property
    def plan(self) -> Plan:
        values = self.values
        return Plan(**{name: values[name] for name in vars(PLANS["go on"])})

    def choose(self, name: str) -> None:
        """Set the controls to one of PLANS."""
        for key, value in vars(PLANS[name]).items():
            self.controls[key].value = value

    def show(self) -> None:
        """Draw the mask of the present plan over the present clip."""
        try:
            self.mask.value = preview(self.model, self.clip, self.plan).text
        except Exception as error:
            self.mask.value = error_html(error)

    def undo(self) -> None:
        """Go back to the clip before the last result; the first one stays."""
        self.history = self.history[:-1] or self.history
        self.show()
        self.output.value = Clip(self.clip, f"clip {len(self.history) - 1}", scale=5).html()

    def _render(self, prompt: str, seed: int, **_: Any) -> Html:
        told = read_again(prompt, self.model)
        before = self.clip
        after = run(self.model, before, self.plan, told, seed)
        fps = self.model.preset.fps
        seen = read(after, fps)
        words = f"{before.shape[1]} frames became {after.shape[1]}; the judge saw {seen}"
        self.history.append(after)
        self.show()
        clips = ((before, "before"), (after, "after: the next clip"))
        shown = [Clip(clip, name, fps, scale=5).html() for clip, name in clips]
        return Html(page(*shown), words)


def _frames(k: int) -> str:
    """Latent frame k in words, with its pixel frames."""
    return f"latent frame {k} (frames {4 * k - 3} to {4 * k})" if k else "latent frame 0 (frame 0)"
