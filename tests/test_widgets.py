"""Widgets without a browser: set a value, look at the result."""

import re
import time

import pytest

from minisora.widgets import PromptBuilder, PromptState, pipeline_map, render_prompt, sentence, setup
from minisora.world.captions import parse
from minisora.world.scene import BACKGROUND_COLORS, COLORS, MOTIONS, SHAPES, SIZES, TEXTURES


def test_render_is_pure(model):
    state = PromptState("a red circle", num_inference_steps=3, seed=5)
    a, b = render_prompt(model, state), render_prompt(model, state)
    strip = lambda text: re.sub(r"\d+\.\d\d s", "", text)  # noqa: E731
    assert strip(a.text) == strip(b.text) and (a.clip.frames == b.clip.frames).all()
    other = render_prompt(model, PromptState("a red circle", num_inference_steps=3, seed=6))
    assert (a.clip.frames != other.clip.frames).any()
    assert all("alt=" in tag for tag in re.findall(r"<img[^>]*>", a.text)) and "judge saw" in a.words


def test_menus_write_sentences_that_can_be_read():
    for motion in MOTIONS:
        for texture in TEXTURES:
            asked = parse(sentence("small", "red", "star", motion, "navy", texture))
            assert asked.objects[0].motion == motion and (asked.background, asked.texture) == ("navy", texture)
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
        assert control.description and (getattr(control, "tooltip", None) or getattr(control, "description_tooltip", None))


def test_the_shipped_builder_answers_within_a_second(shipped, capsys):
    render_prompt(shipped, PromptState())
    began = time.perf_counter()
    render_prompt(shipped, PromptState(seed=1))
    with capsys.disabled():
        print(f"\n  prompt builder: a press takes {time.perf_counter() - began:.2f} s")


def test_setup_and_map(capsys, monkeypatch):
    monkeypatch.setenv("MINISORA_FAST", "1")
    assert setup().fast and "FAST" in capsys.readouterr().out
    assert pipeline_map(("noise",)).count("●") == 1
