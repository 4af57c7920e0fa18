"""The noise explorer (notebook 04): a clip at one noise level, and what the network makes of it.

clip, sigma, prompt ──► x_t, velocity, guess of x_0; and where four schedules pass that level
"""

import math
from typing import Any

import torch

from minisora.compare.ddpm import alphas_cumprod
from minisora.flow import add_noise, clean_from_velocity, shift_sigma
from minisora.pipeline import MiniSora
from minisora.show.latents import LatentBasis, latent_basis, latents_to_rgb
from minisora.show.plots import figure_html, new_axes
from minisora.widgets.common import Html, Panel, film, line, menu, page, side_by_side, slider, table
from minisora.world.retell import read_again

SCHEDULES = {  # name → line style and Okabe-Ito colour
    "rectified flow": ("-", "#0072B2"),
    "rectified flow, shift 3": ("--", "#D55E00"),
    "DDPM linear": ("-.", "#009E73"),
    "DDPM cosine": (":", "#CC79A7"),
}
STEPS = 1000
PROGRESS = ((torch.arange(STEPS) + 0.5) / STEPS).double()  # along a schedule, from clean to noise


def snr_db(sigma: torch.Tensor, std: float = 1.0) -> torch.Tensor:
    """Signal-to-noise ratio of x_t = (1 − σ) x_0 + σ noise in decibels: 20·log10((1 − σ)·std / σ).

    Args:
        std: standard deviation of x_0.
    """
    signal = (1 - sigma) * std
    return 20 * torch.log10(signal / sigma)


def schedule_db(schedule: str) -> torch.Tensor:
    """Signal-to-noise ratio in decibels along a schedule, (1000,), falling, at `PROGRESS`.

    Raises:
        ValueError: a name that is not in SCHEDULES.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule={schedule!r} is not known; it is one of {', '.join(SCHEDULES)}")
    if schedule.startswith("DDPM"):
        _, kind = schedule.split()
        kept = alphas_cumprod(kind, STEPS)
        return 10 * torch.log10(kept / (1 - kept))
    shift = 3.0 if "shift" in schedule else 1.0
    sigma = shift_sigma(PROGRESS, shift)
    return snr_db(sigma)


def guess(
    model: MiniSora,
    x_t: torch.Tensor,
    sigma: float,
    prompts: list[str],
) -> tuple[torch.Tensor, torch.Tensor]:
    """The network's velocity at x_t, and the x_0 that follows from it.

    Args:
        x_t: (B, Cz, Tz, Hz, Wz), as both results are.
        prompts: B of them.
    """
    ids, _ = model.tokenizer(prompts)
    velocity = model.velocity(x_t, sigma, ids)
    x_0 = clean_from_velocity(x_t.to(velocity), velocity, torch.tensor(sigma))
    return velocity, x_0


def plot_schedules(schedule: str, decibels: float) -> tuple[str, float]:
    """All schedules as an image tag, and how far along `schedule` passes `decibels`, in [0, 1]."""
    before = schedule_db(schedule) > decibels
    passed = float(before.double().mean())
    figure, axes = new_axes(4.4, 2.9)
    for name, (dashes, color) in SCHEDULES.items():
        width = 2.6 if name == schedule else 1.4
        axes.plot(PROGRESS, schedule_db(name), dashes, color=color, label=name, linewidth=width)
    inside = min(max(decibels, -40.0), 40.0)
    axes.plot(passed, inside, "o", color="#000000", markersize=9)
    axes.set(xlabel="fraction of steps, clean → noise", ylabel="SNR in dB")
    axes.set(xlim=(0, 1), ylim=(-42, 42))
    axes.legend(fontsize=7, loc="lower left")
    alt = f"SNR of four schedules; {schedule} passes {decibels:.1f} dB at {passed:.2f}"
    return figure_html(figure, alt), passed


def render_noise(
    model: MiniSora,
    video: torch.Tensor,
    prompt: str,
    sigma: float,
    seed: int,
    schedule: str,
) -> Html:
    """Show a clip (3, T, H, W) at noise level sigma, the network's velocity, and its guess of x_0.

    Raises:
        ValueError: sigma outside of [0, 1], an unknown schedule; or as `understand`.
    """
    told = read_again(prompt, model)
    if not 0 <= sigma <= 1:
        raise ValueError(f"sigma={sigma} is not in [0, 1]; 0 is clean, 1 is noise")
    x_0 = model.encode(video[None])
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(x_0.shape, generator=generator).to(x_0)
    x_t = add_noise(x_0, noise, torch.tensor(sigma))
    velocity, x_0_hat = guess(model, x_t, sigma, [told])
    level = snr_db(torch.tensor(sigma, dtype=torch.float64))
    decibels = float(level)
    plot, passed = plot_schedules(schedule, decibels)
    noisy, guessed = model.decode(torch.cat([x_t, x_0_hat]))

    basis = latent_basis(model)
    rows = [
        ["", "latents, three main directions", "decoded"],
        _row("x_0, clean", sigma, x_0, basis, video),
        _row("x_t", sigma, x_t, basis, noisy),
        _row("velocity", sigma, velocity, basis, None),
        _row("guess of x_0", sigma, x_0_hat, basis, guessed),
    ]
    missed = (x_0_hat - x_0).square().mean()
    power = x_0.square().mean()
    error = float(missed / power)
    words = (
        f"σ = {sigma:.2f}: {_level(decibels)}; {schedule} is here after "
        f"{100 * passed:.0f} % of its steps, from clean to noise. The guess of x_0 misses "
        f"{100 * error:.0f} % of the latents' power "
        "(0 % is right, 100 % is as good as guessing zero)."
    )
    pictures = side_by_side(table(rows), plot)
    return Html(page(pictures), words)


def _row(
    name: str,
    sigma: float,
    latents: torch.Tensor,
    basis: LatentBasis,
    decoded: torch.Tensor | None,
) -> list[str]:
    """A name, latents (1, Cz, Tz, Hz, Wz) in the model's colours, and frames of their clip."""
    alt = f"{name} at σ = {sigma:.2f}"
    colors = latents_to_rgb(latents[0], basis)
    strip = film(colors, f"{alt}, latents", colors.shape[1], 6)
    frames = ""
    if decoded is not None:
        frames = film(decoded, f"{alt}, four frames", 4, 2)
    return [name, strip, frames]


def _level(decibels: float) -> str:
    if decibels == math.inf:
        return "no noise"
    if decibels == -math.inf:
        return "no signal"
    return f"SNR {decibels:+.1f} dB"


class NoiseExplorer(Panel):
    """Change σ over a clip, and the prompt, which starts as the clip's own caption.

    Args:
        clips: pairs of a caption and a clip (3, T, H, W).
    """

    def __init__(self, model: MiniSora, clips: list[tuple[str, torch.Tensor]], sigma: float = 0.6):
        captions = [caption for caption, _ in clips]
        numbered = [(caption, i) for i, caption in enumerate(captions)]
        controls = {
            "sigma": slider("σ", float(sigma), 0.0, 1.0, 0.01, "0 is clean, 1 is noise"),
            "seed": slider("seed", 0, 0, 20, about="Which noise"),
            "schedule": menu("schedule", SCHEDULES, about="The schedule to mark"),
            "clip": menu("clip", numbered, 0, "The clip to add noise to"),
            "prompt": line("prompt", captions[0], "Empty is the null prompt"),
        }

        def use_its_caption(change: dict[str, Any]) -> None:
            clip = change["new"]
            controls["prompt"].value = captions[clip]

        def render(clip: int, **values: Any) -> Html:
            _, video = clips[clip]
            return render_noise(model, video, **values)

        controls["clip"].observe(use_its_caption, "value")
        super().__init__(render, controls, height=350)
