"""The failure gallery (notebook 12): a kind of failure, a prompt and a seed → a clip with the judge's tracks in it, asked against seen."""

import html
from itertools import count

import numpy as np
import torch

from minisora.measure.clips import change_word, sentence, test_prompts
from minisora.measure.judge import Reading, read, verdict
from minisora.pipeline import MiniSora
from minisora.show.clip import Clip, to_frames
from minisora.show.plots import figure_html, new_axes
from minisora.widgets.common import Html, Panel, drawn, menu, slider
from minisora.world.captions import OPPOSITE, PromptSpec, parse
from minisora.world.dataset import TEST_SEEDS, sample_scene
from minisora.world.scene import FPS, check_choice

MASKS = (
    "physics: thrown",
    "physics: falling",
    "physics: collision",
    "space: left or right",
    "space: above or below",
    "space: held-out look",
    "interaction: before",
    "interaction: one word changed",
    "length: 9 frames",
    "length: 33 frames",
)
LINES = (
    ("o", "-"),
    ("s", "--"),
    ("^", ":"),
    ("D", "-."),
)  # marker and line of each object, so that colour is not needed
SHAPE_COLOR_PAIRS = (
    ("#000000", "x", "truth"),
    ("#0072B2", "o", "stored"),
    ("#D55E00", "s", "here"),
    ("#009E73", "D", ""),
    ("#CC79A7", "^", ""),
)


def prompt_of(kind: str, number: int) -> str:
    """Prompt number `number` of a kind; the same on every machine. Another kind is a ValueError."""
    check_choice("kind", kind, MASKS)
    what = kind.split(": ")[1]
    if what == "collision" or kind.startswith("space"):
        sides = {
            "left or right": ("left of", "right of"),
            "above or below": ("above", "below"),
        }.get(what, tuple(OPPOSITE))
        scenes = (
            sample_scene(
                TEST_SEEDS + 100 * number + i, "pair", "held_out" if "held" in what else "seen"
            )
            for i in count()
        )
        return test_prompts(
            [next(s for s in scenes if s.relation in sides and s.collides == (what == "collision"))]
        )[0]
    motion = (
        what if what in ("thrown", "falling") else ("bouncing", "circling", "still")[number % 3]
    )
    scene = sample_scene(TEST_SEEDS + number, motion=motion)
    return sentence(change_word(scene, "color") if "changed" in what else scene)


def draw_tracks(
    videos, readings: list[Reading], titles=(), shown: int = 6, fps: float = FPS
) -> str:
    """Film strips of clips (3, T, H, W), one under the other, with where the judge has seen each object up to then."""
    rows = [to_frames(v) for v in videos]
    height, width = rows[0].shape[1:3]
    w, h = width / min(height, width), height / min(height, width)  # half of a frame in half-widths
    figure, axes = new_axes(
        1.3 * shown * w / h, 1.45 * len(rows) + 0.1, rows=len(rows), squeeze=False
    )
    for i, (ax, frames, reading) in enumerate(zip(axes[:, 0], rows, readings, strict=True)):
        picks = np.linspace(0, len(frames) - 1, min(shown, len(frames))).round().astype(int)
        for k, pick in enumerate(picks):
            middle = k * (2 * w + 0.1)
            ax.imshow(frames[pick], extent=(middle - w, middle + w, h, -h), interpolation="nearest")
            ax.text(middle, h + 0.05, f"{pick / fps:.1f} s", ha="center", va="top", fontsize=7)
            for thing, (marker, line) in zip(reading.objects, LINES * 2, strict=False):
                x, y = thing.positions[: pick + 1, 0] + middle, thing.positions[: pick + 1, 1]
                ax.plot(x, y, color="black", linewidth=2.6)
                ax.plot(x, y, color="white", linewidth=1.2, linestyle=line)
                ax.plot(
                    x[-1:], y[-1:], marker, color="white", markeredgecolor="black", markersize=4
                )
        ax.set(xlim=(-w - 0.05, middle + w + 0.05), ylim=(h + 0.35, -h - 0.02))
        ax.set_title(titles[i] if titles else "", fontsize=8, loc="left", pad=2)
        ax.axis("off")
    alt = "film strips with the judge's tracks drawn in: " + "; ".join(
        f"{t} {r}" for t, r in zip(titles or [""] * len(rows), readings, strict=True)
    )
    return figure_html(figure, alt, colors=256)


def plot_fractions(
    columns: dict[str, dict | None],
    alt: str,
    names: list[str] | None = None,
    xlabel: str = "share of clips",
) -> Html:
    """Shares with their 95 % intervals: a row for each name, a mark for each column."""
    columns = {
        label: {n: f for n, f in figures.items() if f and "value" in f}
        for label, figures in columns.items()
        if figures
    }
    names = [
        n
        for n in names or dict.fromkeys(n for f in columns.values() for n in f)
        if any(n in f for f in columns.values())
    ]
    if not names:
        return Html(f"<p>{html.escape(alt)}: nothing to measure</p>", f"{alt}: nothing to measure")
    figure, ax = new_axes(6.4, 0.8 + 0.34 * len(names))
    words = []
    for j, (label, figures) in enumerate(columns.items()):
        color, marker = next(
            ((c, m) for c, m, key in SHAPE_COLOR_PAIRS if key and label.startswith(key)),
            SHAPE_COLOR_PAIRS[-1 - j % 2][:2],
        )
        rows = [(i, figures[n]) for i, n in enumerate(names) if n in figures]
        at, low, high = (
            np.array([100 * f[key] for _, f in rows]) for key in ("value", "low", "high")
        )
        places = [i + (j - (len(columns) - 1) / 2) * 0.22 for i, _ in rows]
        ax.errorbar(
            at,
            places,
            xerr=np.abs([at - low, high - at]),
            fmt=marker,
            color=color,
            capsize=2,
            markersize=5,
            label=label,
        )
        words += [
            f"{label}: "
            + ", ".join(f"{names[i]} {a:.3g}" for (i, _), a in zip(rows, at, strict=True))
        ]
    ax.set(
        yticks=range(len(names)),
        yticklabels=names,
        xlabel=f"{xlabel} (%)",
        xlim=(-3, 103),
        ylim=(len(names) - 0.5, -0.5),
    )
    ax.grid(axis="x", alpha=0.3)
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    alt = f"{alt}. {'; '.join(words)}"
    return drawn(figure, alt)


def compare(request: PromptSpec, reading: Reading) -> list[tuple[str, str, str, bool]]:
    """Attribute, asked, seen, right: one row for everything that was asked."""
    rows = []
    for name, right in verdict(reading, request).attributes.items():
        if name == "count":
            frames = "; ".join(
                f"{o.color} in {int(o.seen.sum())} of {len(o.seen)} frames" for o in reading.objects
            )
            asked, seen = str(len(request.objects)), f"{len(reading.objects)} ({frames or 'none'})"
        elif name == "background":
            asked, seen = (
                f"{request.background or 'any'} {request.texture or 'any'}",
                f"{reading.background} {reading.texture}",
            )
        elif name == "relation":
            asked, seen = f"the first is {request.relation} the second", "so" if right else "not so"
        else:
            asked = ", ".join(getattr(o, name) or "any" for o in request.objects)
            seen = ", ".join(getattr(o, name) for o in reading.objects) or "nothing"
        rows.append((name, asked, seen, right))
    return rows


def render_failure(model: MiniSora, prompt: str, seed: int, num_frames: int | None = None) -> Html:
    """Make a clip and say what of it is as asked: the clip, a strip with the judge's tracks, and a table of asked against seen.

    Raises ValueError as `MiniSora.generate` and `parse` do."""
    request = parse(prompt)
    video = model.generate(
        prompt, num_frames=num_frames, generator=torch.Generator().manual_seed(seed)
    )[0]
    reading = read(video)
    result = verdict(reading, request)
    misses = ", ".join(f"{o.color} {o.law.error:.2f}" for o in reading.objects) or "none"
    words = f"Asked: {prompt}. Seen: {reading}. So: {result}. The best law misses each track by (half-widths): {misses}. Seed {seed}."
    line = '<tr><td>{} {}</td><td style="padding:1px 12px">{}</td><td>{}</td></tr>'
    rows = [
        line.format("✓" if right else "✗", name, html.escape(a), html.escape(b))
        for name, a, b, right in compare(request, reading)
    ]
    table = f'<table style="text-align:left"><tr><th>attribute</th><th>asked</th><th>seen</th></tr>{"".join(rows)}</table>'
    return Html(
        f'<div style="background:#fff;color:#000;font-size:13px;padding:4px"><p><b>{html.escape(prompt)}</b>: {result}</p>'
        f'<div style="display:flex;flex-wrap:wrap;align-items:center">{Clip(video, scale=4).html()}{table}</div>'
        f"{draw_tracks([video], [reading])}</div>",
        words,
    )


class FailureGallery(Panel):
    """A menu of kinds, a slider for which of its prompts, one for the seed, and a button."""

    def __init__(self, model: MiniSora):
        def render(kind: str, number: int, seed: int) -> Html:
            frames = int(kind.split()[1]) if kind.startswith("length") else None
            return render_failure(model, prompt_of(kind, number), seed, frames)

        controls = {
            "kind": menu("kind", MASKS, about="Which weakness to look at"),
            "number": slider("prompt", 0, 0, 19, about="Which of the kind's prompts"),
            "seed": slider("seed", 0, 0, 99, about="Which noise to start from"),
        }
        super().__init__(render, controls, height=360, button="Make the clip")
