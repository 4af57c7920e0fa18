"""The timeline editor (notebook 09): a window over a clip, what of it is given, and what comes out when the rest is made.

clip, slide ── window ──► 17 frames, and which of them are known
known, Plan ── levels_of ──► noise level of every token, (t, h, w): 0 given, 1 made, between changed
"""

import html
from dataclasses import dataclass

import torch

from minisora import tasks
from minisora.measure.judge import read
from minisora.patchify import Size, grid_of
from minisora.pipeline import MiniSora
from minisora.show.clip import Clip
from minisora.widgets.common import Html, Panel, film, line, menu, slider, tip


@dataclass(frozen=True)
class Plan:
    """Everything that tells one capability from another."""

    kept: tuple[int, ...] = ()  # latent frames whose tokens are given, where they are known
    rows: tuple[int, int] = (
        0,
        0,
    )  # tokens from, to: inside this box everything is made, also in kept frames
    columns: tuple[int, int] = (0, 0)
    strength: float = 1.0  # noise level of what is made
    slide: int = 0  # latent frames by which the window moves on, or back where negative


PLANS = {
    "text to video": Plan(),
    "animate the first frame": Plan(kept=(0,)),
    "go on": Plan(kept=(0, 1, 2, 3, 4), slide=1),
    "say what came before": Plan(kept=(0, 1, 2, 3, 4), slide=-1),
    "join both ends": Plan(kept=(0, 4)),
    "fill a gap": Plan(kept=(0, 1, 4)),
    "edit a region": Plan(kept=(0, 1, 2, 3, 4), rows=(0, 2), columns=(0, 2)),
    "change everything": Plan(strength=0.7),
}


def window(
    clip: torch.Tensor, slide: int, num_frames: int = 17, step: int = 4
) -> tuple[torch.Tensor, torch.Tensor]:
    """Move a window by `slide` latent frames from the end of a clip (3, T, H, W), or from its beginning where slide is negative.

    Returns:
        video (3, num_frames, H, W), in which unknown frames repeat the nearest known one; known (num_frames,) bool.

    Raises:
        ValueError: a window that holds nothing of the clip.
    """
    T = clip.shape[1]
    first = (max(T - num_frames, 0) if slide > 0 else 0) + step * slide
    places = torch.arange(num_frames) + first
    known = (places >= 0) & (places < T)
    if not known.any():
        raise ValueError(
            f"slid by {slide} latent frames, the window holds nothing of a clip of {T} frames"
        )
    return clip[:, places.clamp(0, T - 1)], known


def levels_of(plan: Plan, known: torch.Tensor, grid: Size, step: int = 4) -> torch.Tensor:
    """Noise level of every token, (t, h, w). A latent frame is given if it is kept and all of its frames are known."""
    t, h, w = grid
    whole = torch.cat([known[:1], known[1:].view(-1, step).all(1)])
    levels = torch.full((t, h, w), plan.strength)
    for frame in plan.kept:
        if not 0 <= frame < t:
            raise ValueError(f"latent frame {frame} is not there; they count from 0 to {t - 1}")
        if whole[frame]:
            levels[frame] = 0
    (top, below), (left, right) = plan.rows, plan.columns
    levels[:, top:below, left:right] = plan.strength
    levels[~whole] = 1  # of what nothing is known, nothing can be kept
    return levels


def mask_html(levels: torch.Tensor) -> str:
    """The tokens of every latent frame: ● given, × made, ▲ changed."""
    blocks = []
    for frame, level in enumerate(levels):
        mark = lambda v: (
            ("●", "#0072B2") if v == 0 else ("×", "#D55E00") if v == 1 else ("▲", "#555555")
        )
        rows = (
            "".join('<span style="color:{1}">{0}</span>'.format(*mark(float(v))) for v in row)
            for row in level
        )
        blocks.append(
            f'<div style="text-align:center;margin:0 6px">{"<br>".join(rows)}<br><small>{frame}</small></div>'
        )
    counts = words_of(levels)
    style = "display:flex;font-family:monospace;font-size:14px;line-height:1;background:#fff;color:#000;padding:4px"
    return f'<div role="img" aria-label="{counts}" title="{counts}" style="{style}">{"".join(blocks)}</div>'


def words_of(levels: torch.Tensor) -> str:
    """How many tokens are what."""
    given, made = int((levels == 0).sum()), int((levels == 1).sum())
    parts = (
        (given, "given"),
        (made, "made"),
        (levels.numel() - given - made, f"changed from σ = {float(levels.max()):.2g}"),
    )
    return ", ".join(f"{n} {name}" for n, name in parts if n) + f" of {levels.numel()} tokens"


def preview(model: MiniSora, clip: torch.Tensor, plan: Plan) -> Html:
    """The window's frames as they are known, and the mask over tokens that a plan makes of them."""
    video, known = window(clip, plan.slide, model.preset.num_frames, model.vae.config.patch_size[0])
    levels = levels_of(plan, known, _grid(model, video))
    shown = torch.where(
        known[None, :, None, None], video, 0.8 + 0.2 * video
    )  # unknown frames are pale
    words = f"{int(known.sum())} of {len(known)} frames are known; {words_of(levels)}"
    return Html(
        f'<div style="background:#fff;color:#000">{film(shown, words, 9, 2)}<br>{mask_html(levels)}</div>',
        words,
    )


def run(
    model: MiniSora, clip: torch.Tensor, plan: Plan, prompt: str, seed: int = 0, **options
) -> torch.Tensor:
    """Make what a plan leaves open, and put the window back where it came from: (3, T′, H, W)."""
    video, known = window(clip, plan.slide, model.preset.num_frames, model.vae.config.patch_size[0])
    levels = levels_of(plan, known, _grid(model, video))
    _, ph, pw = model.dit.config.patch_size
    cells = levels.repeat_interleave(ph, 1).repeat_interleave(pw, 2)
    made = tasks.denoise_video(
        model, video, cells, prompt, generator=torch.Generator().manual_seed(seed), **options
    )[0].cpu()
    if plan.slide > 0:
        return torch.cat([clip[:, : clip.shape[1] - int(known.sum())], made], dim=1)
    return torch.cat([made, clip[:, int(known.sum()) :]], dim=1)


def _grid(model: MiniSora, video: torch.Tensor) -> Size:
    return grid_of(model.vae.latent_shape(*video.shape[1:]), model.dit.config.patch_size)


class TimelineEditor(Panel):
    """Mark what is given, see the mask, press Run; the result is the next clip to work on. Undo goes back.

    `history` holds all clips (3, T, H, W), `clip` is the last of them, `plan` what the controls say.

    Args:
        clip: a clip (3, T, H, W) to begin with: generated, from a file (`minisora.show.media.as_video`), or drawn by `render`.
    """

    def __init__(self, model: MiniSora, clip: torch.Tensor, prompt: str = ""):
        import ipywidgets as w

        self.model, self.history = model, [clip.cpu()]
        t, h, r = _grid(model, window(clip, 0, model.preset.num_frames)[0])
        several = {
            "style": {"description_width": "110px"},
            "layout": w.Layout(width="340px"),
            "continuous_update": False,
        }
        box = lambda name, most, about: tip(
            w.IntRangeSlider(value=(0, 0), min=0, max=most, description=name, **several), about
        )
        kept = w.SelectMultiple(
            options=[(_frames(k), k) for k in range(t)],
            description="given",
            rows=t,
            style=several["style"],
            layout=several["layout"],
        )
        controls = {
            "prompt": line("prompt", prompt, "What the clip should show"),
            "kept": tip(kept, "Latent frames that are given: several with Shift or Ctrl"),
            "slide": slider(
                "slide",
                0,
                1 - t,
                t - 1,
                about="Latent frames by which the window moves on (or back)",
            ),
            "rows": box("made rows", h, "Rows of tokens that are made in every frame"),
            "columns": box("made columns", r, "Columns of tokens that are made in every frame"),
            "strength": slider(
                "strength",
                1.0,
                0.1,
                1.0,
                0.05,
                "Noise level of what is made: below 1, what was there shines through",
            ),
            "seed": slider("seed", 0, 0, 99, about="Which noise to start from"),
        }
        self.mask = w.HTML(
            layout=w.Layout(height="150px", overflow="auto", border="1px solid #bbb")
        )
        super().__init__(self._render, controls, height=260, button="Run", wait=True)
        self.ready = menu(
            "start from", PLANS, about="A capability as a mask; change it as you like"
        )
        self.ready.observe(lambda change: self.choose(change["new"]), "value")
        self.back = tip(w.Button(description="Undo"), "Forget the last result")
        self.back.on_click(lambda _: self.undo())
        for control in controls.values():
            control.observe(lambda _: self.show(), "value")
        top, run_button, *rest = self.box.children
        self.box.children = (self.ready, top, self.mask, w.HBox([run_button, self.back]), *rest)
        self.show()

    @property
    def clip(self) -> torch.Tensor:
        return self.history[-1]

    @property
    def plan(self) -> Plan:
        return Plan(**{k: v for k, v in self.values.items() if k not in ("prompt", "seed")})

    def choose(self, name: str) -> None:
        """Set the controls to one of PLANS."""
        for key, value in vars(PLANS[name]).items():
            self.controls[key].value = value

    def show(self) -> None:
        """Draw the mask of the present plan over the present clip."""
        try:
            self.mask.value = preview(self.model, self.clip, self.plan).text
        except ValueError as error:
            self.mask.value = f"✗ {html.escape(str(error))}"

    def undo(self) -> None:
        """Go back to the clip before the last result; the first one stays."""
        self.history = self.history[:-1] or self.history
        self.show()
        self.output.value = Clip(self.clip, f"clip {len(self.history) - 1}", scale=5).html()

    def _render(self, prompt: str, seed: int, **_) -> Html:
        before = self.clip
        self.history.append(run(self.model, before, self.plan, prompt, seed))
        self.show()
        words = (
            f"{before.shape[1]} frames became {self.clip.shape[1]}; the judge saw {read(self.clip)}"
        )
        pair = (
            Clip(before, "before", scale=5).html()
            + Clip(self.clip, "after: the next clip to work on", scale=5).html()
        )
        return Html(f'<div style="background:#fff;color:#000">{pair}</div>', words)


def _frames(k: int) -> str:
    return f"latent frame {k} (frame{'s' if k else ''} {f'{4 * k - 3} to {4 * k}' if k else 0})"
