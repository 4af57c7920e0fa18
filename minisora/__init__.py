"""minisora: a complete Sora, small enough to read, train and take apart on a CPU.

Text, images or clips go in, and a video comes out: `MiniSora.load()` loads the shipped model, its
method `generate` makes clips from sentences, and the functions in `tasks` use images and clips as
prompts. What a notebook needs can be imported from here; notebooks/glossary.md explains the words.
"""

import minisora.threads  # noqa: F401 (before torch is loaded)
from minisora import tasks
from minisora.config import PRESETS, Preset
from minisora.measure.judge import judge, read, verdict
from minisora.pipeline import MiniSora
from minisora.show.clip import Clip, gallery
from minisora.world.captions import caption
from minisora.world.dataset import ToyWorld, sample_scene
from minisora.world.parse import parse
from minisora.world.render import render
from minisora.world.scene import Scene, SceneObject, simulate

__version__ = "0.1.0"
__all__ = [
    "PRESETS",
    "Clip",
    "MiniSora",
    "Preset",
    "Scene",
    "SceneObject",
    "ToyWorld",
    "caption",
    "gallery",
    "judge",
    "parse",
    "read",
    "render",
    "sample_scene",
    "simulate",
    "tasks",
    "verdict",
]
