"""What one watches while a transformer trains (notebook 07): its loss by noise level on held-out clips, and samples from one seed."""

from collections.abc import Callable

import torch

from minisora.device import autocast
from minisora.flow import add_noise, velocity_of
from minisora.pipeline import MiniSora
from minisora.show.clip import Clip, to_frames
from minisora.show.plots import new_axes
from minisora.train.data import Latents
from minisora.widgets.common import Html, drawn, picture

LEVELS = (0.125, 0.375, 0.625, 0.875)  # the middles of the four quarters
LINES = (
    ("o", "-", "#0072B2"),
    ("s", "--", "#E69F00"),
    ("^", "-.", "#009E73"),
    ("D", ":", "#D55E00"),
)  # of a level


@torch.no_grad()
def loss_by_level(
    model: MiniSora, held_out: Latents, levels: tuple[float, ...] = LEVELS
) -> list[float]:
    """Error of the velocity with all tokens at one noise level, for each of the levels; the same clips and noise at every call."""
    x_0, ids = held_out.latents.to(model.device).float(), held_out.ids[:, 0]
    noise = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(0)).to(x_0)
    losses = []
    with autocast(model.device):
        for level in levels:
            velocity = model.velocity(add_noise(x_0, noise, torch.tensor(level)), level, ids)
            losses.append((velocity - velocity_of(x_0, noise)).square().mean().item())
    return losses


class Watch:
    """A `look` for `fit`: measures the averaged model on held-out clips, and draws samples from one seed every `sample_every` seconds.

    `history` has a record of step, seconds and losses (one for each of LEVELS) for every look, `samples` pairs of step and videos
    (B, 3, T, H, W). `show(watch)` is called after every look.
    """

    def __init__(
        self,
        model: MiniSora,
        held_out: Latents,
        prompts: list[str],
        sample_every: float = 15.0,
        show: Callable[["Watch"], None] = lambda watch: None,
    ):
        self.model, self.held_out, self.prompts, self.sample_every, self.show = (
            model,
            held_out,
            prompts,
            sample_every,
            show,
        )
        self.clear()

    def clear(self) -> None:
        self.history, self.samples, self.sampled = [], [], 0.0

    def __call__(self, _, record: dict) -> None:
        self.history.append({**record, "losses": loss_by_level(self.model, self.held_out)})
        if not self.samples or record["seconds"] - self.sampled >= self.sample_every:
            self.draw()
        self.show(self)

    def draw(self) -> None:
        """Add samples of the present weights, unless this step has some."""
        step, self.sampled = self.history[-1]["step"], self.history[-1]["seconds"]
        if not self.samples or self.samples[-1][0] != step:
            videos = self.model.generate(
                self.prompts, num_inference_steps=10, generator=torch.Generator().manual_seed(0)
            )
            self.samples.append((step, videos.cpu()))

    def html(self, left: float | None = None) -> Html:
        return render_desk(self.history, self.samples, self.prompts, left)


def render_desk(
    history: list[dict],
    samples: list[tuple[int, torch.Tensor]],
    prompts: list[str],
    left: float | None = None,
) -> Html:
    """Curves of the loss at four noise levels, beside samples from one seed, the newest below and moving.

    Args:
        history, samples: as `Watch` keeps them. left: seconds to go, where that is known.
    """
    if not history:
        return Html("<p>nothing yet: press Start</p>", "nothing yet: press Start")
    last = history[-1]
    figures = ", ".join(
        f"{loss:.2f} at σ = {level:g}" for level, loss in zip(LEVELS, last["losses"], strict=True)
    )
    words = f"step {last['step']}, {last['seconds']:.0f} s of training; loss on held-out clips: {figures}"
    words += (
        ""
        if left is None
        else f"; about {left:.0f} s to go"
        if left < 90
        else f"; about {left / 60:.0f} minutes to go"
    )
    figure, ax = new_axes(4.8, 3.4)
    steps = [record["step"] for record in history]
    for i, (level, (marker, line, color)) in enumerate(zip(LEVELS, LINES, strict=True)):
        values = [record["losses"][i] for record in history]
        ax.plot(
            steps,
            values,
            line,
            color=color,
            marker=marker,
            markersize=4,
            markevery=max(1, len(steps) // 8),
            label=f"σ = {level:g}",
        )
    ax.axhline(2, color="#555", linewidth=1, label="says zero")
    top = max(max(record["losses"]) for record in history)
    ax.set(xlabel="step", ylabel="loss on held-out clips", ylim=(0, max(2.25, min(1.05 * top, 8))))
    ax.legend(loc="lower left", ncols=2, fontsize=7)
    picks = (
        sorted({round(i * (len(samples) - 1) / 3) for i in range(4)}) if samples else []
    )  # first, last and two between
    rows = []
    for i in picks:
        step, videos = samples[i]
        pairs = list(zip(videos, prompts, strict=True))
        if i + 1 < len(samples):
            parts = [
                picture(to_frames(video)[video.shape[1] // 2], f"step {step}, {prompt}", 64)
                for video, prompt in pairs
            ]
        else:
            parts = [Clip(video, prompt, scale=3).html() for video, prompt in pairs]
        rows.append(
            f"<td>step {step}</td>"
            + "".join(
                f'<td style="max-width:120px;vertical-align:top">{part}</td>' for part in parts
            )
        )
    table = "".join(f"<tr>{row}</tr>" for row in rows)
    style = "display:flex;flex-wrap:wrap;gap:12px;background:#fff;color:#000;font-size:small"
    return Html(
        f'<div style="{style}"><div>{drawn(figure, words).text}</div><table>{table}</table></div>',
        words,
    )
