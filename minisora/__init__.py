"""minisora: a whole Sora, small enough to read. What a notebook needs, on one screen."""

from minisora.config import PRESETS, Preset
from minisora.judge import judge, read, verdict
from minisora.pipeline import MiniSora
from minisora.viz import Clip, gallery
from minisora.world.captions import caption, parse
from minisora.world.dataset import ToyWorld, sample_scene
from minisora.world.render import render
from minisora.world.scene import Scene, Thing, simulate

__version__ = "0.1.0"
__all__ = [
    "PRESETS", "Clip", "MiniSora", "Preset", "Scene", "Thing", "ToyWorld", "caption", "gallery", "judge", "parse", "read", "render",
    "sample_scene", "simulate", "verdict",
]  # fmt: skip
