"""What one watches while a transformer trains (notebook 07): loss by noise level, and samples.

(model, record) ── Watch ──► history of losses at four noise levels, samples ── render_desk ──► Html
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch

from minisora.measure.network import SIGMAS, loss_by_sigma
from minisora.pipeline import MiniSora
from minisora.show.clip import Clip, to_frames
from minisora.show.plots import new_axes
from minisora.train.data import Latents
from minisora.widgets.common import Html, drawn, page, picture, side_by_side, table

LINES = (  # marker, line and colour of a noise level
    ("o", "-", "#0072B2"),
    ("s", "--", "#E69F00"),
    ("^", "-.", "#009E73"),
    ("D", ":", "#D55E00"),
)
Samples = list[tuple[int, torch.Tensor]]  # step, videos (B, 3, T, H, W)


class Watch:
    """An evaluation callback for `fit`: loss on held-out clips, and samples from one seed.

    `history` has a record of step, seconds and losses (one for each of SIGMAS) for every call,
    `samples` pairs of step and videos.

    Args:
        prompts: of the samples, which all start from one seed.
        sample_every: seconds of training between two samples.
        show: called with this watch after every call.
    """

    def __init__(
        self,
        model: MiniSora,
        held_out: Latents,
        prompts: list[str],
        sample_every: float = 15.0,
        show: Callable[["Watch"], None] = lambda watch: None,
    ):
        self.model = model
        self.held_out = held_out
        self.prompts = prompts
        self.sample_every = sample_every
        self.show = show
        self.clear()

    def clear(self) -> None:
        self.history: list[dict[str, Any]] = []
        self.samples: Samples = []
        self.sampled = 0.0

    def __call__(self, _: Any, record: dict[str, Any]) -> None:
        losses = loss_by_sigma(self.model, self.held_out.latents, self.held_out.ids[:, 0])
        self.history.append({**record, "losses": losses})
        if not self.samples or record["seconds"] - self.sampled >= self.sample_every:
            self.draw()
        self.show(self)

    def draw(self) -> None:
        """Add samples of the present weights, unless this step has some."""
        record = self.history[-1]
        self.sampled = record["seconds"]
        if self.samples and self.samples[-1][0] == record["step"]:
            return
        generator = torch.Generator().manual_seed(0)
        videos = self.model.generate(
            self.prompts, upsample=False, num_inference_steps=10, generator=generator
        )
        self.samples.append((record["step"], videos.cpu()))

    def html(self, left: float | None = None) -> Html:
        return render_desk(self.history, self.samples, self.prompts, left)


def render_desk(
    history: list[dict[str, Any]],
    samples: Samples,
    prompts: list[str],
    left: float | None = None,
) -> Html:
    """Curves of the loss at four noise levels, beside samples from one seed, the newest moving.

    Args:
        history, samples: as `Watch` keeps them.
        left: seconds to go, where that is known.
    """
    if not history:
        return Html("<p>nothing yet: press Start</p>", "nothing yet: press Start")
    last = history[-1]
    pairs = zip(SIGMAS, last["losses"], strict=True)
    figures = ", ".join(f"{loss:.2f} at σ = {sigma:g}" for sigma, loss in pairs)
    words = (
        f"step {last['step']}, {last['seconds']:.0f} s of training; "
        f"loss on held-out clips: {figures}{_to_go(left)}"
    )
    curves = drawn(_plot_losses(history), words).text
    return Html(page(side_by_side(curves, table(_sample_rows(samples, prompts)))), words)


def _to_go(left: float | None) -> str:
    if left is None:
        return ""
    if left < 90:
        return f"; about {left:.0f} s to go"
    return f"; about {left / 60:.0f} minutes to go"


def _plot_losses(history: list[dict[str, Any]]) -> Any:
    """A figure of the losses at every noise level against the step."""
    figure, ax = new_axes(4.8, 3.4)
    steps = [record["step"] for record in history]
    every = max(1, len(steps) // 8)
    for i, (sigma, (marker, dashes, color)) in enumerate(zip(SIGMAS, LINES, strict=True)):
        losses = [record["losses"][i] for record in history]
        style: dict[str, Any] = {"color": color, "marker": marker, "markersize": 4}
        ax.plot(steps, losses, dashes, markevery=every, label=f"σ = {sigma:g}", **style)
    ax.axhline(2, color="#555", linewidth=1, label="velocity zero")
    top = max(max(record["losses"]) for record in history)
    ax.set(xlabel="step", ylabel="loss on held-out clips", ylim=(0, max(2.25, min(1.05 * top, 8))))
    ax.legend(loc="lower left", ncols=2, fontsize=7)
    return figure


def _sample_rows(samples: Samples, prompts: list[str]) -> Iterable[list[str]]:
    """A row for the first samples, the last ones, and two between; only the last ones move."""
    picks = {round(i * (len(samples) - 1) / 3) for i in range(4)} if samples else set()
    for i in sorted(picks):
        step, videos = samples[i]
        cells = []
        for video, prompt in zip(videos, prompts, strict=True):
            if i + 1 == len(samples):
                cell = Clip(video, prompt, scale=3).html()
            else:
                middle = to_frames(video)[video.shape[1] // 2]
                cell = picture(middle, f"step {step}, {prompt}", 64)
            cells.append(f'<div style="max-width:120px">{cell}</div>')
        yield [f"step {step}", *cells]
