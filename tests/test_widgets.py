"""Widgets without a browser, and the prompt builder in JupyterLab under headless Chromium."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minisora.widgets import PromptBuilder, PromptState, pipeline_map, render_prompt, sentence, setup
from minisora.world.captions import parse
from minisora.world.scene import BACKGROUND_COLORS, COLORS, MOTIONS, SHAPES, SIZES, TEXTURES

ROOT = Path(__file__).resolve().parent.parent


def test_render_is_pure(model):
    state = PromptState("a red circle", num_inference_steps=3, seed=5)
    a, b = render_prompt(model, state), render_prompt(model, state)
    strip = lambda text: re.sub(r"\d+\.\d\d s", "", text)  # noqa: E731
    assert strip(a.html) == strip(b.html) and (a.clip.frames == b.clip.frames).all()
    other = render_prompt(model, PromptState("a red circle", num_inference_steps=3, seed=6))
    assert (a.clip.frames != other.clip.frames).any()
    assert all("alt=" in tag for tag in re.findall(r"<img[^>]*>", a.html)) and "judge saw" in a.words


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
    assert "blue" in builder.prompt.value
    builder.button.click()
    assert "<img" in builder.output.value and "judge saw" in builder.words.value
    shown = builder.output.value
    builder.seed.value = 7
    builder.press()
    assert builder.output.value != shown
    builder.prompt.value = "a purple circle"
    builder.press()
    assert "purple" in builder.words.value and "✗" in builder.words.value
    for control in (*builder.menus.values(), builder.prompt, builder.seed, builder.steps, builder.guidance):
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


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def lab(tmp_path):
    """JupyterLab on a free port, serving a copy of the notebooks."""
    pytest.importorskip("jupyterlab", reason="JupyterLab is not installed")
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--ip=127.0.0.1", f"--notebook-dir={tmp_path / 'notebooks'}",
        "--IdentityProvider.token=", "--ServerApp.password=", "--ServerApp.disable_check_xsrf=True", "--LabApp.news_url=None",
    ]  # fmt: skip
    env = {**os.environ, "MINISORA_FAST": "1", "PYTHONPATH": str(ROOT), "JUPYTER_CONFIG_DIR": str(tmp_path / "config"), "JUPYTER_DATA_DIR": str(tmp_path / "data")}
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.2)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(20)


@pytest.mark.skipif(CHROMIUM is None, reason="no browser is installed (chromium or google-chrome)")
def test_the_prompt_builder_in_a_browser(lab, shipped):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    pictures = ROOT / "test-artefacts"
    pictures.mkdir(exist_ok=True)
    flags = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_page(viewport={"width": 1280, "height": 1100})
        errors = []
        page.on("pageerror", lambda e: errors.append(str(e)))
        page.goto(f"{lab}/lab/tree/00_a_video_from_a_sentence.ipynb?reset", wait_until="domcontentloaded", timeout=120_000)
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).first.click()
        button = page.get_by_role("button", name="Make the clip")
        button.wait_for(timeout=180_000)
        button.scroll_into_view_if_needed()
        clip = page.locator(".widget-html figure img").first
        clip.wait_for(timeout=60_000)
        before = clip.get_attribute("src")
        words = page.get_by_text(re.compile("the judge saw", re.I)).last.inner_text()
        slider = page.locator(".widget-slider .noUi-handle, .widget-slider [role=slider]").first
        slider.focus()
        slider.press("ArrowRight")
        button.focus()
        button.press("Enter")
        page.wait_for_function("([was]) => document.querySelector('.widget-html figure img').src !== was", arg=[before], timeout=60_000)
        button.scroll_into_view_if_needed()
        page.screenshot(path=str(pictures / "00_prompt_builder.png"))
        browser.close()
    assert words and errors == []
