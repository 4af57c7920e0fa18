"""Widgets without a browser: set a value, look at the result."""

import re
import time

import pytest

from minisora.compare.toy2d import PlaneNet
from minisora.train.data import cache_latents
from minisora.widgets import (
    PromptBuilder,
    PromptState,
    pipeline_map,
    render_prompt,
    sentence,
    setup,
)
from minisora.widgets.attention import AttentionExplorer
from minisora.widgets.failures import FailureGallery
from minisora.widgets.flow import FlowExplorer
from minisora.widgets.guidance import GuidanceDesk
from minisora.widgets.latent import LatentExplorer
from minisora.widgets.noise import NoiseExplorer
from minisora.widgets.scene import SceneBuilder
from minisora.widgets.timeline import TimelineEditor
from minisora.widgets.tokens import TokenExplorer
from minisora.widgets.watch import Watch
from minisora.world.captions import parse
from minisora.world.scene import BACKGROUND_COLORS, COLORS, MOTIONS, SHAPES, SIZES, TEXTURES


def test_render_is_pure(model):
    state = PromptState("a red circle", num_inference_steps=3, seed=5)
    a, b = render_prompt(model, state), render_prompt(model, state)
    strip = lambda text: re.sub(r"\d+\.\d\d s", "", text)
    assert strip(a.text) == strip(b.text) and (a.clip.frames == b.clip.frames).all()
    other = render_prompt(model, PromptState("a red circle", num_inference_steps=3, seed=6))
    assert (a.clip.frames != other.clip.frames).any()
    assert (
        all("alt=" in tag for tag in re.findall(r"<img[^>]*>", a.text)) and "judge saw" in a.words
    )


def test_menus_write_sentences_that_can_be_read():
    for motion in MOTIONS:
        for texture in TEXTURES:
            asked = parse(sentence("small", "red", "star", motion, "navy", texture))
            assert asked.objects[0].motion == motion and (asked.background, asked.texture) == (
                "navy",
                texture,
            )
    assert set(SHAPES) and set(COLORS) and set(SIZES) and set(BACKGROUND_COLORS)


def test_the_prompt_builder_answers_and_shows_errors(model):
    pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")
    builder = PromptBuilder(model, PromptState(num_inference_steps=2))
    builder.menus["color"].value = "blue"
    assert "blue" in builder.controls["prompt"].value
    builder.button.click()
    assert "<img" in builder.output.value and "judge saw" in builder.words.value
    shown = builder.output.value
    builder.controls["seed"].value = 7
    builder.press()
    assert builder.output.value != shown
    builder.controls["prompt"].value = "a purple circle"
    builder.press()
    assert "purple" in builder.words.value and "✗" in builder.words.value
    for control in (*builder.menus.values(), *builder.controls.values()):
        assert control.description and (
            getattr(control, "tooltip", None) or getattr(control, "description_tooltip", None)
        )


def test_setup_and_map(capsys, monkeypatch):
    monkeypatch.setenv("MINISORA_FAST", "1")
    assert setup().fast and "FAST" in capsys.readouterr().out
    assert pipeline_map(("noise",)).count("●") == 1


def test_how_fast_every_widget_answers(shipped, batch, capsys):
    """Prints seconds for a drag (0.3 would do) and for a press (1 would do) with the shipped model; nothing is asserted about time."""
    pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")
    clip, prompt = batch.videos[0], batch.captions[0]
    data = cache_latents(
        shipped.vae,
        shipped.tokenizer,
        lambda start, n: (batch.videos[:n], [[c] for c in batch.captions[:n]]),
        4,
        measure=False,
        progress=False,
    )
    watch = Watch(shipped, data, [prompt], sample_every=0.0, show=lambda w: w.html())
    drags = {
        "scene builder": (SceneBuilder(), "seed", 7),
        "latent explorer": (LatentExplorer(shipped, batch.videos, batch.captions), "mix", 0.5),
        "token explorer, token": (TokenExplorer(), "token", 79),
        "token explorer, size": (TokenExplorer(), "width", 64),
        "noise explorer": (NoiseExplorer(shipped, [(prompt, clip)]), "sigma", 0.9),
        "flow explorer": (FlowExplorer({"moons": PlaneNet()}), "sigma", 0.6),
        "attention explorer, token": (AttentionExplorer(shipped, clip, prompt), "column", 0),
        "attention explorer, noise level": (AttentionExplorer(shipped, clip, prompt), "sigma", 0.9),
        "timeline editor, mask": (TimelineEditor(shipped, clip, prompt), "slide", 1),
    }
    presses = {
        "prompt builder": PromptBuilder(shipped, PromptState()),
        "guidance desk": GuidanceDesk(shipped),
        "failure gallery": FailureGallery(shipped),
        "timeline editor, Run": TimelineEditor(shipped, clip, prompt),
    }
    shipped.generate(prompt)  # the first call of a process takes longer
    answers = {
        name: lambda panel=panel, key=key, value=value: setattr(panel.controls[key], "value", value)
        for name, (panel, key, value) in drags.items()
    }
    answers |= {f"{name} (press)": panel.press for name, panel in presses.items()} | {
        "training desk, picture": lambda: watch(None, {"step": 1, "seconds": 1.0})
    }
    for name, answer in answers.items():
        began = time.perf_counter()
        answer()
        with capsys.disabled():
            print(f"\n  {name:<34} {time.perf_counter() - began:.2f} s", end="")
    assert all(
        "✗" not in panel.words.value
        for panel in (*presses.values(), *(panel for panel, *_ in drags.values()))
    )
