"""The noise explorer (notebook 04): one noise level → a clip at that level, what the network makes of it, and where schedules pass it."""

import math

import torch

from minisora.compare.ddpm import alphas_cumprod
from minisora.flow import add_noise, clean_from_velocity, shift_sigma
from minisora.pipeline import MiniSora
from minisora.show.plots import figure_html, new_axes
from minisora.widgets.common import Html, Panel, film, line, menu, slider

SCHEDULES = {  # name → line style and Okabe-Ito colour
    "rectified flow": ("-", "#0072B2"),
    "rectified flow, shift 3": ("--", "#D55E00"),
    "DDPM linear": ("-.", "#009E73"),
    "DDPM cosine": (":", "#CC79A7"),
}
STEPS = 1000
SHARE = (
    torch.arange(STEPS) + 0.5
).double() / STEPS  # of a schedule's steps that lie behind, from clean to noise


def snr_db(sigma: torch.Tensor, std: float = 1.0) -> torch.Tensor:
    """Signal-to-noise ratio of x_t = (1 − σ) x_0 + σ noise in decibels: 20·log10((1 − σ)·std / σ); std is that of x_0."""
    return 20 * torch.log10((1 - sigma) * std / sigma)


def schedule_db(schedule: str) -> torch.Tensor:
    """Signal-to-noise ratio in decibels along a schedule, (1000,), falling; its places are `SHARE`.

    Raises:
        ValueError: a name that is not in SCHEDULES.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule={schedule!r} is not known; it is one of {', '.join(SCHEDULES)}")
    if schedule.startswith("DDPM"):
        bar = alphas_cumprod(schedule.split()[1], STEPS)
        return 10 * torch.log10(bar / (1 - bar))
    return snr_db(shift_sigma(SHARE, 3.0 if "shift" in schedule else 1.0))


def tint(latents: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Latents (Cz, Tz, Hz, Wz) in the three main directions of `like`, as colours: the same cell has the same colour at every σ."""
    middle = like.flatten(1).mean(1, keepdim=True)
    axes = torch.linalg.svd(like.flatten(1) - middle, full_matrices=False)[0][:, :3].T  # (3, Cz)
    reach = (axes @ (like.flatten(1) - middle)).abs().amax()
    return (
        (axes @ (latents.flatten(1) - middle) / reach).clamp(-1, 1).reshape(3, *latents.shape[1:])
    )


def guess(
    model: MiniSora, x_t: torch.Tensor, sigma: float, prompts: list[str]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The network's velocity at x_t, and the x_0 that follows from it; x_t and both are (B, Cz, Tz, Hz, Wz), with B prompts."""
    velocity = model.velocity(x_t, sigma, model.tokenizer(prompts)[0])
    return velocity, clean_from_velocity(x_t.to(velocity), velocity, torch.tensor(sigma))


def curves(schedule: str, decibels: float) -> tuple[str, float]:
    """All schedules as an image tag, with a mark where `schedule` passes `decibels`; and that place in [0, 1]."""
    passed = float((schedule_db(schedule) > decibels).double().mean())
    figure, axes = new_axes(4.4, 2.9)
    for name, (dashes, color) in SCHEDULES.items():
        axes.plot(
            SHARE,
            schedule_db(name),
            dashes,
            color=color,
            label=name,
            linewidth=2.6 if name == schedule else 1.4,
        )
    axes.plot(passed, min(max(decibels, -40.0), 40.0), "o", color="#000000", markersize=9)
    axes.set(
        xlabel="share of steps, clean → noise", ylabel="SNR in dB", xlim=(0, 1), ylim=(-42, 42)
    )
    axes.legend(fontsize=7, loc="lower left")
    return figure_html(
        figure,
        f"SNR of four schedules against steps; {schedule} passes {decibels:.1f} dB at {passed:.2f}",
        dpi=80,
    ), passed


def render_noise(
    model: MiniSora, video: torch.Tensor, prompt: str, sigma: float, seed: int, schedule: str
) -> Html:
    """A clip (3, T, H, W) at noise level sigma, in latents and decoded, beside the network's velocity and its guess of x_0.

    Raises:
        ValueError: sigma outside of [0, 1], an unknown word, an unknown schedule.
    """
    if not 0 <= sigma <= 1:
        raise ValueError(f"sigma={sigma} is not in [0, 1]; 0 is clean, 1 is noise")
    x_0 = model.encode(video[None])
    noise = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(seed)).to(x_0)
    x_t = add_noise(x_0, noise, torch.tensor(sigma))
    velocity, x_0_hat = guess(model, x_t, sigma, [prompt])
    decibels = float(snr_db(torch.tensor(sigma, dtype=torch.float64)))
    picture, passed = curves(schedule, decibels)
    pixels = model.decode(torch.cat([x_t, x_0_hat]))
    rows = ""
    for name, latents, clip in (
        ("x_0, clean", x_0, video),
        ("x_t", x_t, pixels[0]),
        ("velocity", velocity, None),
        ("guess of x_0", x_0_hat, pixels[1]),
    ):
        left = film(
            tint(latents[0], x_0[0]),
            f"{name} at σ = {sigma:.2f}, latents as colours",
            latents.shape[2],
            6,
        )
        right = "" if clip is None else film(clip, f"{name} at σ = {sigma:.2f}, four frames", 4, 2)
        rows += f"<tr><td><b>{name}</b></td><td>{left}</td><td>{right}</td></tr>"
    table = f'<table style="font-size:13px"><tr><th></th><th>latents, three main directions</th><th>decoded</th></tr>{rows}</table>'
    miss = float((x_0_hat - x_0).square().mean() / x_0.square().mean())
    snr = {math.inf: "no noise", -math.inf: "no signal"}.get(decibels, f"SNR {decibels:+.1f} dB")
    words = (
        f"σ = {sigma:.2f}: {snr}; {schedule} is here after {100 * passed:.0f} % of its steps, from clean to noise. "
        f"The guess of x_0 misses {100 * miss:.0f} % of the latents' power (0 % is right, 100 % is as good as guessing zero)."
    )
    page = f'<div style="display:flex;flex-wrap:wrap;align-items:center;background:#fff;color:#000">{table}<div>{picture}</div></div>'
    return Html(page, words)


class NoiseExplorer(Panel):
    """Drag σ over a clip. The prompt starts as the clip's own sentence; change it, and see from which σ on the network minds.

    Args:
        clips: pairs of a caption and a clip (3, T, H, W).
    """

    def __init__(self, model: MiniSora, clips: list[tuple[str, torch.Tensor]], sigma: float = 0.6):
        prompt = line("prompt", clips[0][0], "What the network is told; empty says nothing")
        which = menu(
            "clip",
            [(caption, i) for i, (caption, _) in enumerate(clips)],
            0,
            "The clip to add noise to",
        )
        which.observe(lambda change: setattr(prompt, "value", clips[change["new"]][0]), "value")
        controls = {
            "sigma": slider(
                "σ", float(sigma), 0.0, 1.0, 0.01, "The noise level: 0 is clean, 1 is noise"
            ),
            "seed": slider("seed", 0, 0, 20, about="Which noise"),
            "schedule": menu("schedule", SCHEDULES, about="The schedule to mark"),
            "clip": which,
            "prompt": prompt,
        }
        super().__init__(
            lambda clip, **state: render_noise(model, clips[clip][1], **state), controls, height=350
        )
