"""Clips without end: a seed makes a scene, a scene makes pixels and English.

    seed ──► sample_scene ──► Scene ──► render, caption ──► Batch

A Batch holds videos (B, 3, T, H, W), captions and scenes. Six of the 42 shape–colour pairs are held
out: no training clip ever shows one.
"""

import math
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from minisora.world.captions import caption, complete_caption, detailed_caption
from minisora.world.families import (
    FAMILIES,
    HELD_OUT,
    NOT_ROUND,
    SHAPE_COLOR_PAIRS,
    SOLO_MOTIONS,
    Clip,
    pairs_of,
)
from minisora.world.render import BOARD_SIZES, Drawing, draw, fits_board, prepare, render
from minisora.world.scene import (
    BACKGROUND_COLORS,
    COLORS,
    EXTENT,
    FPS,
    RELATIONS,
    ROUND,
    SHAPES,
    SIZES,
    TEXTURES,
    Scene,
    check_choice,
    simulate,
)

TRIES = 1000  # draws of a scene before giving up
MAX_SECONDS = 600
TOLERANCE = 1e-6
SURROUNDINGS = {"background": BACKGROUND_COLORS, "texture": TEXTURES}
ATTRIBUTES: dict[str, Collection[str]] = {  # of a scene of one object, and their values
    "shape": SHAPES,
    "color": COLORS,
    "size": SIZES,
    "motion": SOLO_MOTIONS,
    **SURROUNDINGS,
}


def is_held_out(shape: str, color: str) -> bool:
    """Whether this shape in this colour is kept out of all training, in every motion and family."""
    return (shape, color) in HELD_OUT


# ------------------------------------------------------------------------------ one scene


def sample_scene(
    seed: int,
    family: str = "solo",
    split: str = "seen",
    *,
    num_frames: int = 17,
    height: int = 32,
    width: int = 32,
    fps: float = FPS,
    **fixed: str,
) -> Scene:
    """Make the scene that belongs to this seed.

    Objects stay wholly inside the frame, but for those that leave it on purpose.

    Args:
        family: a key of `families.FAMILIES`.
        split: "seen" (no held-out pair of shape and colour) or "held_out" (every object is one).
        num_frames, height, width, fps: the clip in which the objects stay inside.
        fixed: attributes to hold, of `shape, color, size, motion` for a solo and
            `background, texture` for all but the game.

    Raises:
        ValueError: an unknown family, split or attribute, a size that no clip has, or a combination
            that the world does not make.
    """
    _check(family, split, num_frames, height, width, fps, fixed)
    if family == "game" and not can_show(family, num_frames, height, width):
        raise ValueError(
            f"{num_frames} frame(s) of {height}×{width} do not show the game; {BOARD_SIZES}, "
            "and more than one frame"
        )
    rng = random.Random(seed)
    unit = min(height, width)
    frame = (width / unit, height / unit)  # half-extents in half-widths
    duration = max((num_frames - 1) / fps, 1 / fps)
    clip = Clip(frame, duration, split, fixed, num_frames)
    for _ in range(TRIES):
        scene = replace(FAMILIES[family](rng, clip), seed=seed)
        if scene.boards or _inside(scene, num_frames, fps, frame):
            return scene
    wishes = ", ".join(f"{name}={value!r}" for name, value in {"split": split, **fixed}.items())
    raise ValueError(
        f"no {family} scene with {wishes} fits into {num_frames} frames of {height}×{width} "
        f"at {fps:g} frames per second"
    )


def _check(
    family: str,
    split: str,
    num_frames: int,
    height: int,
    width: int,
    fps: float,
    fixed: Mapping[str, str],
) -> None:
    """Refuse what no scene can be, before any is drawn."""
    check_choice("family", family, FAMILIES)
    check_choice("split", split, SHAPE_COLOR_PAIRS)
    for name, number in (("num_frames", num_frames), ("height", height), ("width", width)):
        if number != int(number) or number < 1:
            raise ValueError(f"{name}={number} is not a whole number of at least 1")
    if not 0 < fps < math.inf:
        raise ValueError(f"fps={fps} is not a positive number of frames per second")
    if num_frames / fps > MAX_SECONDS:
        raise ValueError(
            f"num_frames={num_frames} at fps={fps:g} last {num_frames / fps:g} seconds; "
            f"a scene lasts at most {MAX_SECONDS}"
        )
    if family == "game" and fixed:
        raise ValueError(f"the game has nothing to fix, and so no {', '.join(fixed)}")
    allowed = ATTRIBUTES if family == "solo" else SURROUNDINGS
    for name, value in fixed.items():
        check_choice("attribute", name, allowed)
        check_choice(name, value, allowed[name])
    spins = fixed.get("motion") == "spinning"
    if spins and fixed.get("shape") in ROUND:
        raise ValueError(
            f"a spinning {fixed['shape']} looks like a still one, so the world has none; "
            f"spin a {', '.join(NOT_ROUND[:-1])} or {NOT_ROUND[-1]}"
        )
    if not _exists(split, fixed):
        asked = f"{fixed.get('color', 'any')} {fixed.get('shape', 'shape')}"
        asked = f"spinning {asked}" if spins else asked
        raise ValueError(f"{asked} is not in the split {split!r}; held out are {sorted(HELD_OUT)}")


def _exists(split: str, fixed: Mapping[str, str]) -> bool:
    """Whether a shape and a colour of the split are left by what is fixed."""
    pairs = pairs_of(split, fixed.get("shape"), fixed.get("color"))
    if fixed.get("motion") == "spinning":
        pairs = [pair for pair in pairs if pair[0] not in ROUND]
    return bool(pairs)


def _inside(scene: Scene, num_frames: int, fps: float, frame: tuple[float, float]) -> bool:
    """Whether everything stays in view, apart, and in the stated relation, for the whole clip.

    What leaves the frame on purpose must be in view at the beginning and at the end.
    """
    tracks = simulate(scene, num_frames, fps, frame[1])
    shown = slice(None)
    if scene.family in ("away", "return"):
        shown = slice(None, None, max(num_frames - 1, 1))
    positions, radii = tracks.on_screen()
    for k, thing in enumerate(scene.objects):
        side, top, bottom = (1.2,) * 3 if thing.motion == "spinning" else EXTENT[thing.shape]
        x, y = positions[shown, k].unbind(1)
        r = radii[shown, k]
        if (x.abs() + r * side).max() > frame[0] + TOLERANCE:
            return False
        if (r * top - y).max() > frame[1] + TOLERANCE or (r * bottom + y).max() > frame[
            1
        ] + TOLERANCE:
            return False
    if scene.relation is None:
        return True
    gap = positions[:, 0] - positions[:, 1]  # (T, 2)
    dx, dy = RELATIONS[scene.relation]
    axis = 0 if dx else 1
    along = gap[:, axis] * (dx or dy)
    # more to the left than above (or so), all the time
    clear = bool((along > gap[:, 1 - axis].abs() + 0.1).all())
    if scene.verb:
        return clear
    return clear and bool((gap.norm(dim=1) > 1.2 * radii.sum(dim=1)).all())


# -------------------------------------------------------------------------------- batches


@dataclass(frozen=True)
class Batch:
    """Clips with everything that is true of them."""

    videos: torch.Tensor  # (B, 3, T, H, W) in [-1, 1]
    captions: list[str]
    scenes: list[Scene]


TEST_SEEDS = 1_000_000_000  # training seeds stay below, test seeds start here
MOTION_WEIGHTS = {  # times as often as the others: what was learned last (data/LOG.md)
    "spinning": 5,
    "circling": 4,
    "diagonal": 4,
    "thrown": 2,
    "shrinking": 2,
}
WORLDS = {  # name → family → how often it comes
    "tiny": {"solo": 0.75, "pair": 0.175, "collision": 0.075},
    "whole": {
        "solo": 0.2,
        "pair": 0.12,
        "collision": 0.08,
        "fall": 0.04,
        "number": 0.08,
        "order": 0.1,
        "return": 0.04,
        "wall": 0.06,
        "camera": 0.1,
        "away": 0.06,
        "shots": 0.04,
        "paint": 0.04,
        "bite": 0.04,
        "lamp": 0.04,
        "game": 0.1,
    },
}
ADDED_LATER = {  # family → words that no model knows that was trained before there was one
    "fall": {"onto"},
    "game": {"game", "player"},
}
IN_IMAGES = ("solo", "pair", "number")  # families that a single frame can show


def can_show(family: str, num_frames: int, height: int, width: int) -> bool:
    """Whether clips of this size are made of a family's scenes."""
    if num_frames == 1:
        return family in IN_IMAGES
    return family != "game" or fits_board(height, width)


class ToyWorld:
    """Endless clips of the toy world to learn from; clip i is the same on every machine.

    Families and motions come as often as `WORLDS` and `MOTION_WEIGHTS` say.

    Args:
        split: "seen" or "held_out". first_seed: seed of clip 0; use `TEST_SEEDS` for clips that no
            training sees.
        world: a key of `WORLDS`: which families there are.
        only: values of `shape, color, size, motion, background, texture` to keep to; a world that
            keeps to some has clips of one object.
    """

    def __init__(
        self,
        split: str = "seen",
        first_seed: int = 0,
        world: str = "tiny",
        *,
        only: Mapping[str, Sequence[str]] | None = None,
        num_frames: int = 17,
        height: int = 32,
        width: int = 32,
        fps: float = FPS,
    ) -> None:
        check_choice("split", split, SHAPE_COLOR_PAIRS)
        check_choice("world", world, WORLDS)
        self.split = split
        self.first_seed = first_seed
        self.families = WORLDS[world]
        self.only = {name: list(values) for name, values in (only or {}).items()}
        for name, values in self.only.items():
            check_choice("attribute", name, ATTRIBUTES)
            if not values:
                raise ValueError(f"only={name!r} keeps to no value; leave it out where all may be")
            for value in values:
                check_choice(name, value, ATTRIBUTES[name])
        if self.only:
            self.families = {"solo": 1.0}
        size = (num_frames, height, width)
        self.families = {name: w for name, w in self.families.items() if can_show(name, *size)}
        self.shape: dict[str, Any] = {
            "num_frames": num_frames,
            "height": height,
            "width": width,
            "fps": fps,
        }
        self.rate: dict[str, Any] = {"num_frames": num_frames, "fps": fps}

    def scene(self, index: int) -> Scene:
        """The scene of one clip."""
        seed = self.first_seed + index
        rng = random.Random(f"family {seed}")
        family = rng.choices(list(self.families), list(self.families.values()))[0]
        if family != "solo":
            return sample_scene(seed, family, self.split, **self.shape)
        return sample_scene(seed, "solo", self.split, **self.shape, **self._fixed(rng))

    def _fixed(self, rng: random.Random) -> dict[str, Any]:
        """A motion and values that the world is to keep to, of which there is a scene if any is."""
        weights = [MOTION_WEIGHTS.get(motion, 1) for motion in SOLO_MOTIONS]
        for _ in range(TRIES):
            fixed = {name: rng.choice(own) for name, own in self.only.items()}
            if "motion" not in fixed:
                fixed["motion"] = rng.choices(SOLO_MOTIONS, weights)[0]
            if _exists(self.split, fixed):
                break
        return fixed

    def captions(self, scene: Scene, count: int) -> list[str]:
        """Sentences about a scene in pairs: one, and the same one with what it left open.

        That is said in words in the first of three pairs, and with positions in the other two, and
        in the last one of all.
        """
        captions = []
        for k in range(0, count, 2):
            seed = f"{k} {scene.seed}"
            captions.append(caption(scene, random.Random(seed), **self.rate))
            in_words = k % 6 == 0 and k + 2 < count
            longer = complete_caption if in_words else detailed_caption
            captions.append(longer(scene, random.Random(seed), **self.shape))
        return captions

    def prepare(self, scenes: Sequence[Scene]) -> Drawing:
        """Everything about clips of this size but their pixels."""
        return prepare(scenes, **self.shape)

    def draw(self, drawing: Drawing, device: torch.device | str = "cpu") -> torch.Tensor:
        """The pixels: videos (B, 3, T, H, W) in [-1, 1]."""
        return draw(drawing, self.shape["height"], self.shape["width"], device)

    def batch(self, start: int, size: int) -> Batch:
        """Clips start … start + size - 1, with one caption each."""
        scenes = [self.scene(i) for i in range(start, start + size)]
        captions = [caption(s, random.Random(f"caption {s.seed}"), **self.rate) for s in scenes]
        return Batch(render(scenes, **self.shape), captions, scenes)
