"""Widgets without a browser: set a value, see the result."""

import random
import re
import time

import pytest
import torch

from minisora.compare.toy2d import PlaneNet
from minisora.train.data import Latents
from minisora.widgets import (
    Html,
    Panel,
    PromptBuilder,
    PromptState,
    pipeline_map,
    render_prompt,
    sentence,
    setup,
)
from minisora.widgets.attention import AttentionExplorer
from minisora.widgets.camera import CameraRig
from minisora.widgets.common import menu, slider
from minisora.widgets.failures import FailureGallery
from minisora.widgets.flow import FlowExplorer
from minisora.widgets.guidance import GuidanceDesk
from minisora.widgets.latent import LatentExplorer
from minisora.widgets.noise import NoiseExplorer
from minisora.widgets.scene import SceneBuilder
from minisora.widgets.timeline import TimelineEditor
from minisora.widgets.tokens import TokenExplorer
from minisora.widgets.watch import Watch
from minisora.world.families import SOLO_MOTIONS
from minisora.world.parse import parse
from minisora.world.rewordings import REWORDINGS
from minisora.world.scene import TEXTURES

PROMPT = "a red circle"
ipywidgets = pytest.importorskip("ipywidgets", reason="ipywidgets is not installed")


def test_render_is_pure(model):
    state = PromptState(PROMPT, num_inference_steps=3, seed=5)
    a, b = render_prompt(model, state), render_prompt(model, state)

    def without_time(text):
        return re.sub(r"\d+\.\d\d s", "", text)

    assert without_time(a.text) == without_time(b.text)
    assert (a.clip.frames == b.clip.frames).all()
    other = render_prompt(model, PromptState(PROMPT, num_inference_steps=3, seed=6))
    assert (a.clip.frames != other.clip.frames).any()
    assert all("alt=" in tag for tag in re.findall(r"<img[^>]*>", a.text))
    assert "judge saw" in a.words


@pytest.mark.parametrize("upsample", [True, False])
@pytest.mark.parametrize("steps", [None, 2])
def test_the_builder_makes_the_clip_that_generate_makes(shipped, upsample, steps):
    from minisora.show.clip import to_frames

    state = PromptState(PROMPT, seed=3, upsample=upsample, num_inference_steps=steps)
    answer = render_prompt(shipped, state)
    video = shipped.generate(
        PROMPT,
        upsample=upsample,
        num_inference_steps=steps,
        generator=torch.Generator().manual_seed(3),
    )
    assert (answer.clip.frames == to_frames(video[0])).all()
    assert ("upsampled: " in answer.text) == upsample
    assert "read as: " not in answer.text


def test_the_builder_says_what_is_read(shipped):
    state = PromptState("The red ball goes up", upsample=False, num_inference_steps=1)
    text = render_prompt(shipped, state).text
    assert "read as: <i>a red circle moving up</i>" in text and "upsampled" not in text


def test_the_builder_starts_from_the_defaults_of_generate():
    import inspect

    from minisora.pipeline import MiniSora

    defaults = inspect.signature(MiniSora.generate).parameters
    for name in ("upsample", "negative_prompt", "num_inference_steps", "guidance_scale"):
        assert getattr(PromptState(), name) == defaults[name].default, name


def test_menus_write_sentences_that_can_be_read():
    for motion in SOLO_MOTIONS:
        for texture in TEXTURES:
            asked = parse(sentence("small", "red", "star", motion, "navy", texture))
            assert asked.objects[0].motion == motion
            assert (asked.background, asked.texture) == (("navy",), texture)


def test_the_prompt_builder_answers_and_shows_errors(model):
    builder = PromptBuilder(model, PromptState(num_inference_steps=2))
    builder.menus["color"].value = "blue"
    assert "blue" in builder.controls["prompt"].value
    builder.button.click()
    assert "<img" in builder.output.value and "judge saw" in builder.words.value
    shown = builder.output.value
    builder.controls["seed"].value = 7
    builder.button.click()
    assert builder.output.value != shown
    builder.controls["prompt"].value = "a purple circle"
    builder.button.click()
    assert "purple" in builder.words.value and "✗" in builder.words.value


def test_setup_and_map(capsys, monkeypatch):
    monkeypatch.setenv("MINISORA_FAST", "1")
    assert setup().fast
    said = capsys.readouterr().out
    assert "FAST" in said and f"threads: {torch.get_num_threads()}" in said
    assert pipeline_map(("noise",)).count("●") == 1


@pytest.mark.parametrize("train,use", [(True, "training"), (False, "sampling")])
def test_setup_leaves_the_threads_that_the_mode_needs(train, use, monkeypatch):
    uses = []
    monkeypatch.setattr("minisora.widgets.common.choose_threads", uses.append)
    setup(train=train)
    assert uses[-1] == use


# ------------------------------------------------------------------------------- errors in a panel


@pytest.mark.parametrize("button", ["", "Go"])
@pytest.mark.parametrize(
    "error",
    [
        ValueError("seven is too many"),
        RuntimeError("one line\nand another"),
        KeyError("a name"),
        OSError("no such <file>"),
        AssertionError(),
        MemoryError(),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_error_is_shown_and_the_panel_goes_on(error, button):
    def render(number):
        if number == 7:
            raise error
        return Html(f"<p>{number}</p>", f"number {number}")

    panel = Panel(render, {"number": slider("number", 1, 0, 9)}, button=button)
    panel.controls["number"].value = 7
    panel.press()
    words = panel.words.value
    assert "✗" in words and "working" not in words and "<file>" not in words
    assert "<p>1</p>" in panel.output.value, "the last picture stays"
    line = re.sub(r"<details>.*</details>", "", words, flags=re.S)
    assert "\n" not in line, "an error is one line"
    if isinstance(error, ValueError):
        assert "seven is too many" in line and "Traceback" not in words
    else:
        assert type(error).__name__ in line and "Traceback" in words
    panel.controls["number"].value = 3
    panel.press()
    assert "<p>3</p>" in panel.output.value and panel.words.value == "number 3"


def test_a_menu_starts_with_its_first_option():
    assert menu("shape", ("star", "ring")).value == "star"
    assert menu("clip", [("one", 1), ("two", 2)]).value == 1
    assert menu("clip", [("one", 1), ("two", 2)], 2).value == 2


# ------------------------------------------------------------------------------------- all widgets

TEXTS = (
    "",
    " ",
    PROMPT,
    "a large blue star moving left on a navy background",
    "a small red circle hits a large blue square from the left",
    "a purple circle",
    "A RED CIRCLE!",
    "a red circle x2",
    "red red red",
    "ein Kreis",
    "círculo c\u0327 \u200b",
    "a red circle at x16 y99",
    "<script>alert(1)</script>",
    "\U0001f534 \x00 \n",
    "red " * 200,
)


def panels(model, batch):
    clip, clips = batch.videos[0], list(zip(batch.captions, batch.videos, strict=True))[:2]
    return {
        "scene builder": lambda: SceneBuilder(),
        "camera rig": lambda: CameraRig(),
        "latent explorer": lambda: LatentExplorer(model, batch.videos[:3], batch.captions[:3]),
        "token explorer": lambda: TokenExplorer(),
        "noise explorer": lambda: NoiseExplorer(model, clips),
        "flow explorer": lambda: FlowExplorer({"moons": PlaneNet()}),
        "attention explorer": lambda: AttentionExplorer(model, clip, PROMPT),
        "timeline editor": lambda: TimelineEditor(model, clip, PROMPT),
        "prompt builder": lambda: PromptBuilder(model, PromptState(num_inference_steps=2)),
        "guidance desk": lambda: GuidanceDesk(model, PROMPT),
        "failure gallery": lambda: FailureGallery(model),
    }


NAMES = tuple(panels(None, type("Batch", (), {"videos": [None], "captions": [None]})))


TYPED = (
    "noise explorer",
    "attention explorer",
    "timeline editor",
    "prompt builder",
    "guidance desk",
)  # have a line for a prompt


def any_value(control, rng):
    """A value that a reader could give a control."""
    if hasattr(control, "options"):
        values = [pair[1] if isinstance(pair, tuple) else pair for pair in control.options]
        if isinstance(control, ipywidgets.SelectMultiple):
            return tuple(value for value in values if rng.random() < 0.5)
        return rng.choice(values)
    if isinstance(control, ipywidgets.Text):
        return rng.choice(TEXTS)
    if isinstance(control, ipywidgets.IntRangeSlider):
        return tuple(sorted(rng.randint(control.min, control.max) for _ in range(2)))
    if isinstance(control, ipywidgets.IntSlider):
        steps = (control.max - control.min) // control.step
        return control.min + control.step * rng.randint(0, steps)
    return rng.choice((control.min, control.max, rng.uniform(control.min, control.max)))


@pytest.mark.parametrize("name", NAMES)
def test_any_state_of_a_widget_gives_a_picture_or_a_message(name, model, batch, count):
    rng = random.Random(name)
    panel = panels(model, batch)[name]()
    for _ in range(count):
        changed = rng.sample(list(panel.controls), rng.randint(1, len(panel.controls)))
        for key in changed:
            panel.controls[key].value = any_value(panel.controls[key], rng)
        if "num_inference_steps" in panel.controls:
            panel.controls["num_inference_steps"].value = rng.choice((1, 2))  # quick
        panel.press()
        words = panel.words.value
        assert words and "working" not in words, panel.values
        assert "<details>" not in words, (panel.values, words)
        assert "<script" not in words + panel.output.value
        if "✗" not in words:
            assert "<img" in panel.output.value, panel.values


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [("a purple circle", "something purple; objects are red, orange"), ("two stars", "--model")],
)
@pytest.mark.parametrize("name", TYPED)
def test_a_typed_prompt_is_understood_before_anything_is_made(
    name, prompt, answer, model, batch, monkeypatch
):
    """What the world, or the model's part of it, cannot show is answered, and no network runs."""
    panel = panels(model, batch)[name]()
    model.tokenizer.rewordings = REWORDINGS  # as of a model that learned the toy world
    monkeypatch.setattr(model, "dit", None)
    panel.controls["prompt"].value = prompt
    panel.press()
    words = panel.words.value
    assert "✗" in words and answer in words and "<details>" not in words


@pytest.mark.parametrize("name", NAMES)
def test_every_control_has_a_name_and_a_tooltip(name, model, batch):
    panel = panels(model, batch)[name]()
    extra = [
        *getattr(panel, "menus", {}).values(),
        *([panel.ready] if "ready" in vars(panel) else []),
    ]
    for control in (*panel.controls.values(), *extra):
        tooltip = control.tooltip if control.has_trait("tooltip") else control.description_tooltip
        assert control.description and tooltip


@pytest.mark.slow
def test_how_fast_every_widget_answers(shipped, batch, capsys):
    """Prints seconds with the shipped model: 0.3 would do for a change, 1 for a press."""
    data = Latents(
        shipped.encode(batch.videos[:4]).half().cpu(),
        shipped.tokenizer(batch.captions[:4])[0][:, None],
    )
    watch = Watch(shipped, data, [PROMPT], sample_every=0.0, show=lambda w: w.html())
    shipped.generate(PROMPT)  # the first call of a process takes longer
    for name in NAMES:
        panel = panels(shipped, batch)[name]()
        panel.press()
        began = time.perf_counter()
        panel.press()
        with capsys.disabled():
            print(f"\n  {name:<20} {time.perf_counter() - began:.2f} s", end="")
        assert "✗" not in panel.words.value
    watch(None, {"step": 1, "seconds": 1.0})
    assert "<img" in watch.html().text
