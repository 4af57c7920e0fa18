"""The failure gallery (notebook 12): a kind of failure and a seed → truth and clip, side by side.

kind, number ──► Scene, prompt ── render, generate ──► two videos ── read ──► tracks, a table
"""

import html
from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np
import torch

from minisora.measure.clips import change_word, clip_shape, sentence, tells_apart, test_prompts
from minisora.measure.judge import Reading, read, verdict
from minisora.pipeline import MiniSora
from minisora.show.clip import Clip, to_frames
from minisora.show.plots import figure_html, new_axes
from minisora.widgets.common import (
    Html,
    Panel,
    drawn,
    menu,
    page,
    sampling_controls,
    side_by_side,
    slider,
    table,
)
from minisora.world.captions import OPPOSITE
from minisora.world.dataset import TEST_SEEDS, sample_scene
from minisora.world.parse import PromptSpec, parse
from minisora.world.render import render
from minisora.world.scene import FPS, Scene, check_choice

KINDS = (
    "physics: thrown",
    "physics: falling",
    "physics: collision",
    "space: left or right",
    "space: above or below",
    "space: held-out pair",
    "interaction: before",
    "interaction: one word changed",
    "length: 9 frames",
    "length: 33 frames",
)
SIDES = {"left or right": ("left of", "right of"), "above or below": ("above", "below")}
# marker and line of each object, so that colour is not needed
LINES = (("o", "-"), ("s", "--"), ("^", ":"), ("D", "-."))
STYLES = {  # a word in a column's name → its colour and marker
    "truth": ("#000000", "x"),
    "stored": ("#0072B2", "o"),
    "here": ("#D55E00", "s"),
}
OTHER_STYLES = (("#009E73", "D"), ("#CC79A7", "^"))


def case_of(kind: str, number: int) -> tuple[str, Scene]:
    """Case number `number` of a kind, a prompt and its scene; the same on every machine.

    Raises:
        ValueError: a kind that is not in KINDS.
    """
    check_choice("kind", kind, KINDS)
    what = kind.split(": ")[1]
    if what == "collision":
        scene = sample_scene(TEST_SEEDS + number, "collision")
        return test_prompts([scene])[0], scene
    if kind.startswith("space"):
        sides = SIDES.get(what, tuple(OPPOSITE))
        split = "held_out" if "held" in what else "seen"
        for seed in count(TEST_SEEDS + 100 * number):
            scene = sample_scene(seed, "pair", split)
            if scene.relation in sides and tells_apart(scene):
                return test_prompts([scene])[0], scene
    motion = (
        what if what in ("thrown", "falling") else ("bouncing", "circling", "still")[number % 3]
    )
    scene = sample_scene(TEST_SEEDS + number, motion=motion)
    if "changed" in what:
        scene = change_word(scene, "color")
    return sentence(scene), scene


def prompt_of(kind: str, number: int) -> str:
    """The prompt of `case_of`."""
    return case_of(kind, number)[0]


def in_step(*videos: torch.Tensor) -> torch.Tensor:
    """Clips (3, T, H, W) of one size side by side as one, so that they play in step."""
    gap = torch.ones_like(videos[0][..., :2])  # white
    parts = [videos[0]]
    for video in videos[1:]:
        parts += [gap, video]
    return torch.cat(parts, dim=-1)


def draw_tracks(
    videos: Sequence[torch.Tensor],
    readings: Sequence[Reading],
    titles: Sequence[str] = (),
    shown: int = 6,
    fps: float = FPS,
) -> str:
    """Film strips of clips (3, T, H, W), one under the other, with the tracks up to then."""
    titles = titles or [""] * len(videos)
    height, width = videos[0].shape[2:]
    w, h = width / min(height, width), height / min(height, width)  # half of a frame in half-widths
    size = (1.3 * shown * w / h, 1.45 * len(videos) + 0.1)
    figure, axes = new_axes(*size, rows=len(videos), squeeze=False)
    for ax, video, reading, title in zip(axes[:, 0], videos, readings, titles, strict=True):
        frames = to_frames(video)
        picks = np.linspace(0, len(frames) - 1, min(shown, len(frames))).round().astype(int)
        middles = np.arange(len(picks)) * (2 * w + 0.1)
        for pick, middle in zip(picks, middles, strict=True):
            extent = (middle - w, middle + w, h, -h)
            ax.imshow(frames[pick], extent=extent, interpolation="nearest")
            ax.text(middle, h + 0.05, f"{pick / fps:.1f} s", ha="center", va="top", fontsize=7)
            for seen, (marker, dashes) in zip(reading.objects, LINES * 2, strict=False):
                x, y = seen.positions[: pick + 1].T
                ax.plot(x + middle, y, color="black", linewidth=2.6)
                ax.plot(x + middle, y, color="white", linewidth=1.2, linestyle=dashes)
                ends = {"color": "white", "markeredgecolor": "black", "markersize": 4}
                ax.plot(x[-1:] + middle, y[-1:], marker, **ends)
        ax.set(xlim=(-w - 0.05, middles[-1] + w + 0.05), ylim=(h + 0.35, -h - 0.02))
        ax.set_title(title, fontsize=8, loc="left", pad=2)
        ax.axis("off")
    seen_words = "; ".join(f"{t} {r}" for t, r in zip(titles, readings, strict=True))
    alt = f"film strips with the judge's tracks drawn in: {seen_words}"
    return figure_html(figure, alt)


def plot_fractions(
    columns: dict[str, dict | None],
    alt: str,
    names: Sequence[str] = (),
    xlabel: str = "fraction of clips",
) -> Html:
    """Fractions with their 95 % intervals: a row for each name, a mark for each column.

    Args:
        columns: label → name → {"value", "low", "high"}; what is None was not measured.
        names: the rows and their order; all where empty.
    """
    measured: dict[str, dict[str, dict]] = {}
    for label, figures in columns.items():
        found = {name: f for name, f in (figures or {}).items() if f and "value" in f}
        if found:
            measured[label] = found
    known = list(dict.fromkeys(name for found in measured.values() for name in found))
    names = [name for name in names or known if name in known]
    if not names:
        return Html(f"<p>{html.escape(alt)}: nothing to measure</p>", f"{alt}: nothing to measure")
    figure, ax = new_axes(6.4, 0.8 + 0.34 * len(names))
    words = []
    for j, (label, found) in enumerate(measured.items()):
        styles = [style for word, style in STYLES.items() if word in label]
        color, marker = styles[0] if styles else OTHER_STYLES[j % 2]
        rows = [i for i, name in enumerate(names) if name in found]
        values = np.array([found[names[i]]["value"] for i in rows])
        low = np.array([found[names[i]]["low"] for i in rows])
        high = np.array([found[names[i]]["high"] for i in rows])
        heights = np.array(rows) + 0.22 * (j - (len(measured) - 1) / 2)
        errors = 100 * np.abs([values - low, high - values])
        style = {"fmt": marker, "color": color, "capsize": 2, "markersize": 5}
        ax.errorbar(100 * values, heights, xerr=errors, label=label, **style)
        parts = [f"{names[i]} {100 * value:.3g}" for i, value in zip(rows, values, strict=True)]
        words.append(f"{label}: {', '.join(parts)}")
    ax.set(yticks=range(len(names)), yticklabels=names, xlabel=f"{xlabel} (%)")
    ax.set(xlim=(-3, 103), ylim=(len(names) - 0.5, -0.5))
    ax.grid(axis="x", alpha=0.3)
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return drawn(figure, f"{alt}. {'; '.join(words)}")


def compare(asked: PromptSpec, reading: Reading) -> list[tuple[str, str, str, bool]]:
    """Attribute, asked, seen, right: one row for everything that was asked."""
    rows = []
    for name, right in verdict(reading, asked).attributes.items():
        if name == "count":
            frames = [f"{o.color} in {int(o.seen.sum())} of {len(o.seen)}" for o in reading.objects]
            seen = f"{len(reading.objects)} (frames: {'; '.join(frames) or 'none'})"
            rows.append((name, str(len(asked.objects)), seen, right))
        elif name == "background":
            wanted = f"{' or '.join(asked.background or ('any',))} {asked.texture or 'any'}"
            rows.append((name, wanted, f"{reading.background} {reading.texture}", right))
        elif name in ("shape", "color", "size", "motion", "order"):
            own = "then" if name == "order" else name
            wanted = ", ".join(getattr(o, own) or "any" for o in asked.objects)
            if name == "motion" and asked.verb in ("hits", "falls onto"):
                wanted = f"{asked.verb}, hit"
            seen = ", ".join(str(getattr(o, own)) for o in reading.objects) or "nothing"
            rows.append((name, wanted, seen, right))
        else:
            wanted = {
                "relation": f"the first is {asked.relation} the second",
                "outline": "whole in every frame (never asked)",
            }.get(name, "as the prompt says")
            rows.append((name, wanted, "so" if right else "not so", right))
    return rows


def render_failure(
    model: MiniSora,
    prompt: str,
    seed: int,
    num_frames: int | None = None,
    upsample: bool = True,
    num_inference_steps: int | None = None,
    scene: Scene | None = None,
) -> Html:
    """Make a clip, and show what of it is as asked: a strip with the judge's tracks, and a table.

    Args:
        scene: of which the prompt is true. Its clip, the ground truth, plays beside the generated
            one; where the prompt leaves something open, other clips are as right.

    Raises:
        ValueError: as `MiniSora.generate` and `parse`.
    """
    asked, fps = parse(prompt), model.preset.fps
    video = model.generate(
        prompt,
        upsample=upsample,
        num_inference_steps=num_inference_steps or None,
        num_frames=num_frames,
        generator=torch.Generator().manual_seed(seed),
    )[0]
    reading = read(video, fps)
    result = verdict(reading, asked)
    errors = ", ".join(f"{o.color} {o.law.error:.2f}" for o in reading.objects) or "none"
    words = (
        f"Asked: {prompt}. Seen: {reading}. So: {result}. The best law misses each track by "
        f"(half-widths): {errors}. Seed {seed}."
    )
    rows = [("attribute", "asked", "seen")]
    for name, wanted, seen, right in compare(asked, reading):
        rows.append((f"{'✓' if right else '✗'} {name}", html.escape(wanted), html.escape(seen)))
    title = f"<p><b>{html.escape(prompt)}</b>: {result}</p>"
    videos, readings, titles = [video], [reading], ["generated"]
    if scene is not None:
        truth = render([scene], **clip_shape(model, num_frames))[0]
        videos, readings = [truth, video], [read(truth, fps), reading]
        titles = ["ground truth", "generated"]
    label = f"{' | '.join(titles)}: a clip of {video.shape[1]} frames"
    shown = Clip(in_step(*videos), label, fps, scale=max(1, 128 // video.shape[2]))
    pictures = side_by_side(shown.html(), table(rows))
    return Html(page(title, pictures, draw_tracks(videos, readings, titles, fps=fps)), words)


class FailureGallery(Panel):
    """A menu of kinds, a slider for which of its prompts, what sampling asks for, and a button."""

    def __init__(self, model: MiniSora):
        controls = {
            "kind": menu("kind", KINDS, about="Which weakness to show"),
            "number": slider("prompt", 0, 0, 19, about="Which of the kind's prompts"),
            **sampling_controls(),
        }

        def answer(kind: str, number: int, seed: int, **options: Any) -> Html:
            frames = int(kind.split()[1]) if kind.startswith("length") else None
            prompt, scene = case_of(kind, number)
            return render_failure(model, prompt, seed, frames, **options, scene=scene)

        super().__init__(answer, controls, height=520, button="Make the clip")
