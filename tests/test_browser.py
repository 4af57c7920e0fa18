"""Widgets in JupyterLab under headless Chromium: move a control by keyboard, see the new picture.

Each widget stands in a notebook of one cell. Needs a Chromium on this machine and the package
playwright; elsewhere these tests skip. Screenshots go to `test-artefacts/`.
"""

import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
playwright = pytest.importorskip(
    "playwright.sync_api", reason="the package playwright is not installed"
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        BROWSER is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"
    ),
]
WIDGETS = {  # two that answer a slider, one with a button, one with a mask and a button
    "camera": "from minisora.widgets.camera import CameraRig\nCameraRig()",
    "tokens": "from minisora.widgets.tokens import TokenExplorer\nTokenExplorer()",
    "prompt": """
from minisora.pipeline import MiniSora
from minisora.widgets import PromptBuilder
PromptBuilder(MiniSora.load("tiny", "cpu"))""",
    "timeline": """
from minisora.pipeline import MiniSora
from minisora.widgets.timeline import TimelineEditor
from minisora.world.dataset import sample_scene
from minisora.world.render import render
TimelineEditor(MiniSora.load("tiny", "cpu"), render([sample_scene(3)])[0])""",
}
PLAYER = """
from minisora.play.model import PlayModel
from minisora.widgets.player import Player
player = Player(PlayModel.load("play-tiles", "cpu"))
player"""
NOTEBOOKS = {**WIDGETS, "player": PLAYER}
HARMLESS = re.compile(
    r"favicon|ERR_INTERNET_DISCONNECTED|ERR_NAME_NOT_RESOLVED|jupyterlab-news|/lsp/|extensions",
    re.I,
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab server over a notebook for each widget; its address with the token."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "notebooks").mkdir()
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    for name, source in NOTEBOOKS.items():
        cells = [nbformat.v4.new_code_cell(source.strip())]
        notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
        nbformat.write(notebook, folder / "notebooks" / f"{name}.ipynb")
    env = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "JUPYTER_PREFER_ENV_PATH": "1",
    }
    env |= {
        f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")
    }
    options = [
        "--no-browser",
        "--allow-root",
        "--port=0",
        "--expose-app-in-browser",
        "--LabApp.news_url=",
        "--LabApp.extension_manager=readonly",
    ]
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        *options,
        f"--ServerApp.root_dir={folder / 'notebooks'}",
    ]
    with open(folder / "log", "w") as log:
        server = subprocess.Popen(
            command,
            env=env,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        yield _address(server, folder)
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)


def _address(server: subprocess.Popen, folder: Path, patience: float = 90) -> tuple[str, str]:
    """The server's address and token, from the file that it writes when it listens."""
    for _ in range(int(patience * 4)):
        assert server.poll() is None, (folder / "log").read_text()
        for path in (folder / "runtime").glob("jpserver-*.json"):
            try:
                note = json.loads(path.read_text())
            except json.JSONDecodeError:
                continue  # being written
            return note["url"], note["token"]
        time.sleep(0.25)
    raise AssertionError("JupyterLab did not start: " + (folder / "log").read_text())


CELLS = """() => {
  const panel = window.jupyterapp && window.jupyterapp.shell.currentWidget;
  if (!panel || !panel.content || !panel.content.model || !panel.sessionContext) return null;
  const kernel = panel.sessionContext.session && panel.sessionContext.session.kernel;
  const cells = [...panel.content.model.cells].filter(c => c.type === 'code');
  const outputs = cells.flatMap(c => c.outputs.toJSON());
  return {
    ready: !!kernel && kernel.status === 'idle',
    total: cells.length,
    done: cells.filter(c => c.executionCount).length,
    errors: outputs.filter(o => o.output_type === 'error').map(o => o.ename + ': ' + o.evalue),
  };
}"""


class Notebook:
    """An open notebook and the page that it is on."""

    def __init__(self, page, complaints: list[str]):
        self.page, self.complaints = page, complaints

    def run_all(self, patience: float = 240) -> None:
        """Run every cell; an error in one is an error here."""
        self.page.evaluate(
            "() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }"
        )
        state = self.wait(
            lambda s: (s["done"] == s["total"] and s["ready"]) or s["errors"], patience
        )
        assert not state["errors"], state["errors"]

    def wait(self, enough, patience: float) -> dict:
        state = None
        for _ in range(int(patience * 2)):
            state = self.page.evaluate(CELLS)
            if state and enough(state):
                return state
            self.page.wait_for_timeout(500)
        self.shot("stuck")
        raise AssertionError(f"after {patience} seconds: {state}")

    def close(self, name: str) -> None:
        """Keep a screenshot, and hold the page to an empty list of complaints."""
        self.shot(name)
        assert not [c for c in self.complaints if not HARMLESS.search(c)]
        self.page.close()

    def shot(self, name: str) -> None:
        folder = ROOT / "test-artefacts"
        folder.mkdir(exist_ok=True)
        self.page.screenshot(path=folder / f"{name}.png")


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(
            executable_path=BROWSER,
            args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
            timeout=60_000,
        )
        yield browser
        browser.close()


@pytest.fixture
def open_notebook(lab, chromium):
    url, token = lab
    context = chromium.new_context(viewport={"width": 1300, "height": 1600})

    def open_one(name: str) -> Notebook:
        page, complaints = context.new_page(), []
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                message.type == "error"
                and complaints.append(f"{message.text} {message.location.get('url', '')}")
            ),
        )
        page.goto(f"{url}doc/tree/{name}.ipynb?token={token}", wait_until="domcontentloaded")
        notebook = Notebook(page, complaints)
        notebook.wait(lambda s: s["ready"] and s["total"] > 0, 120)
        return notebook

    yield open_one
    context.close()


ANSWERS = "e => [...e.querySelectorAll('.widget-html-content')].map(e => e.innerHTML).join()"
PANELS = ".jp-OutputArea-output > .widget-vbox, .lm-Panel > .widget-vbox"


@pytest.mark.parametrize("name", WIDGETS)
def test_a_control_moved_by_keyboard_shows_a_new_picture(open_notebook, name):
    notebook = open_notebook(name)
    notebook.run_all()
    panel = notebook.page.locator(PANELS).first
    panel.scroll_into_view_if_needed()
    before = panel.evaluate(ANSWERS)
    panel.locator(".noUi-handle").first.focus()
    notebook.page.keyboard.press("ArrowRight")
    for button in panel.locator("button.jupyter-button:enabled").all()[:1]:
        button.focus()
        notebook.page.keyboard.press("Enter")
    after = before
    for _ in range(120):
        after = panel.evaluate(ANSWERS)
        if "<img" in after and after != before and "working" not in after:
            break
        notebook.page.wait_for_timeout(500)
    assert "<img" in after and after != before and "✗" not in after
    notebook.close(name)


# Times of the next picture that differs, in milliseconds after the key; null where none came.
PRESS = """async ([key, patience]) => {
  const image = document.querySelector('img[alt^="the model"]');
  const before = image.src;
  const began = performance.now();
  const options = {key, bubbles: true, cancelable: true};
  document.activeElement.dispatchEvent(new KeyboardEvent('keydown', options));
  document.activeElement.dispatchEvent(new KeyboardEvent('keyup', options));
  while (performance.now() - began < patience) {
    if (image.src !== before) return performance.now() - began;
    await new Promise(done => setTimeout(done, 2));
  }
  return null;
}"""
MOVES = ("ArrowUp", "ArrowRight", "ArrowDown", "ArrowLeft")
PATIENCE, BOUND = 2_000, 500  # ms from a key to the new picture: waited for, allowed


def test_arrow_keys_play_the_game(open_notebook):
    notebook = open_notebook("player")
    notebook.run_all()
    page = notebook.page
    image = page.locator("img[alt^='the model']").first
    image.wait_for(timeout=30_000)
    panel = page.locator(PANELS).first
    panel.scroll_into_view_if_needed()
    scrolled = page.evaluate("() => document.querySelector('.jp-WindowedPanel-outer')?.scrollTop")
    page.locator("[aria-label^='the game tiles']").click()
    assert panel.locator("text=press arrow keys").is_visible()
    first = image.get_attribute("src")
    for number, key in enumerate(("ArrowUp", "ArrowLeft", "ArrowDown", "ArrowRight", "Space"), 1):
        page.keyboard.press(key)
        panel.locator(f"text=/step {number} .*as the true game/").wait_for(timeout=10_000)
    assert image.get_attribute("src") != first
    after = page.evaluate("() => document.querySelector('.jp-WindowedPanel-outer')?.scrollTop")
    assert after == scrolled, "the page stays where it is"
    notebook.shot("player")

    for _ in range(3):
        page.keyboard.down("ArrowLeft")
        page.wait_for_timeout(150)
    page.keyboard.up("ArrowLeft")
    sent = panel.locator("[class*='-line'] input").input_value()
    assert sent.count("again ArrowLeft") == 1, "a held key does not push other events out"
    focused = panel.locator("text=press arrow keys")
    for _ in range(2):
        panel.get_by_text("ground truth beside").click()
        assert focused.is_visible(), "a click on a setting leaves the keys with the game"
    panel.locator("select").dispatch_event("pointerdown")
    for steps in ("2", "1"):
        panel.locator("select").select_option(steps)
        assert focused.is_visible(), "the arrow keys would choose from the menu"

    times = []
    for i in range(40):
        page.wait_for_timeout(50)  # twenty keys a second
        times.append(page.evaluate(PRESS, [MOVES[i % 4], PATIENCE]))
    moved = [time for time in times if time is not None]  # a wall stops some of them
    assert len(moved) >= 5, times
    print(
        f"from a key to the new picture: median {statistics.median(moved):.0f} ms of {len(moved)}"
    )
    assert statistics.median(moved) < BOUND
    before = image.get_attribute("src")
    panel.locator("button", has_text="let the policy play").click()
    page.wait_for_timeout(1500)
    panel.locator("button", has_text="let the policy play").click()
    assert image.get_attribute("src") != before and "✗" not in panel.evaluate(ANSWERS)
    notebook.close("player-after")
