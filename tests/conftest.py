"""Small models and clips that tests share."""

import os
import re
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from minisora.cli.main import main
from minisora.config import (
    PLAY_PRESETS,
    DiTConfig,
    PlayPreset,
    Preset,
    TextConfig,
    TrainConfig,
    VAEConfig,
)
from minisora.pipeline import SHIPPED, MiniSora
from minisora.play.model import PlayModel
from minisora.world.captions import VOCABULARY
from minisora.world.dataset import ToyWorld

ROOT = Path(__file__).resolve().parent.parent
SMALL = Preset(
    vae=VAEConfig(hidden_size=32, depth=2, num_heads=2),
    text=TextConfig(hidden_size=32, depth=1, num_heads=2),
    dit=DiTConfig(hidden_size=48, depth=2, num_heads=2, text_size=32),
    upsampler=TextConfig(hidden_size=32, depth=1, num_heads=2),
    vae_clips=16,
    cached_clips=16,
    captions_per_clip=2,
    curriculum_steps=0,
    train_vae=TrainConfig(steps=2, batch_size=2),
    train_language=TrainConfig(steps=10, batch_size=4),
    train_upsampler=TrainConfig(steps=2, batch_size=4),
    train_dit=TrainConfig(steps=10, batch_size=4),
)

if "PYTEST_XDIST_WORKER" in os.environ:  # as many workers as cores: one thread for each
    torch.set_num_threads(1)
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # workers start after this
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # begun in the background of a script
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--count", type=int, default=3, help="tries of every campaign")


@pytest.fixture
def count(request: pytest.FixtureRequest) -> int:
    """How often a campaign tries; `--count 1000` for a long one."""
    return request.config.getoption("--count")


@pytest.fixture
def preset() -> Preset:
    return replace(SMALL)


@pytest.fixture
def model(preset) -> MiniSora:
    """A small untrained model whose transformer is not silent."""
    torch.manual_seed(0)
    model = MiniSora(preset, VOCABULARY).eval()
    wake(model.dit)
    return model


@pytest.fixture
def run_command(monkeypatch, capsys):
    """Run a command of `minisora` and return what it printed; SystemExit where it is refused."""

    def run(*words) -> str:
        monkeypatch.setattr(sys, "argv", ["minisora", *map(str, words)])
        try:
            main()
        except SystemExit as stop:
            if stop.code:
                raise
        return capsys.readouterr().out

    return run


@pytest.fixture
def checks(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "notebooks"))
    for name in [m for m in sys.modules if m.split(".")[0] == "checks"]:
        del sys.modules[name]
    import checks

    return checks


def wake(module: torch.nn.Module) -> None:
    """Give zero-initialised weights a value, so that everything has a say."""
    with torch.no_grad():
        for p in module.parameters():
            if p.abs().max() == 0:
                p.normal_(std=0.05)


def small_play_preset(name: str = "play-tiles", **changes) -> PlayPreset:
    """A preset of a game for a small model and a few short games."""
    preset = PLAY_PRESETS[name]
    dit = replace(preset.dit, hidden_size=32, depth=2, num_heads=2)
    return replace(preset, dit=dit, games=6, game_steps=30, **changes)


def small_play_model(name: str = "play-tiles", **changes) -> PlayModel:
    """A small untrained model of a game: every part of it has a say."""
    torch.manual_seed(0)
    model = PlayModel(small_play_preset(name, **changes)).eval()
    wake(model)
    model.dtype = torch.float32
    return model


@pytest.fixture(scope="session")
def shipped() -> MiniSora:
    if not (SHIPPED / "tiny" / "model.json").is_file():
        pytest.fail("the shipped model data/checkpoints/tiny is missing")
    return MiniSora.load("tiny", "cpu")


@pytest.fixture(scope="session")
def batch():
    return ToyWorld().batch(0, 8)


def unwritten(*_, **__):
    """An exercise that the reader has not begun."""
    raise NotImplementedError


def rejected(check, wrong, fault: str, capsys) -> None:
    """A wrong answer (a tuple is several) is refused, and the message names its fault (a regex)."""
    capsys.readouterr()
    assert not check(*wrong if isinstance(wrong, tuple) else (wrong,)), fault
    said = capsys.readouterr().out
    assert "✗" in said and re.search(fault, said), (fault, said)
