"""Notebook 01, A toy world."""

import random
from dataclasses import replace

import torch

from minisora.world.captions import OPPOSITE
from minisora.world.dataset import TEST_SEEDS, ToyWorld, sample_scene
from minisora.world.families import SOLO_MOTIONS
from minisora.world.parse import ObjectSpec, PromptSpec, parse, spec_of
from minisora.world.render import background_image, pixel_grid, render
from minisora.world.scene import (
    BACKGROUND_COLORS,
    COLORS,
    TEXTURES,
    Scene,
    SceneObject,
    simulate,
)

from .common import Function, called, is_close, same, say

# ---------------------------------------------------------------------------------- 1 a motion


def check_thrown(thrown: Function) -> bool:
    """Exercise 1: the track of an object thrown from the floor."""
    cases = (
        (17, 8.0, 1.0, 1.0, 0.5, -0.9),
        (1, 8.0, 1.0, 1.0, 0.5, -0.9),
        (40, 24.0, 1.0, 2.0, -0.3, -1.0),
        (33, 8.0, 1.5, 1.0, -0.4, -0.8),
    )
    for num_frames, fps, bottom, gravity, vx, vy in cases:
        obj = SceneObject(
            "circle",
            "red",
            "small",
            "thrown",
            radius=0.3,
            x=-0.2,
            y=bottom - 0.3,
            vx=vx,
            vy=vy,
            gravity=gravity,
            restitution=0.0,
        )
        right = simulate(Scene((obj,)), num_frames, fps, bottom).positions[:, 0]
        times = torch.arange(num_frames, dtype=torch.float64) / fps
        answer = called(thrown, obj.x, obj.y, vx, vy, gravity, times)
        if answer is None:
            return False
        where = f"{num_frames} frames at {fps:g} a second, gravity {gravity:g}"
        hint = ""
        if isinstance(answer, torch.Tensor) and answer.shape == right.shape:
            hint = _thrown_mistake(answer.double(), right, obj, times)
        if not same(answer, right, "thrown", where, otherwise=hint):
            return False
    return say("right in the air, on landing and after it, for every gravity and length", True)


def _thrown_mistake(
    answer: torch.Tensor, right: torch.Tensor, obj: SceneObject, times: torch.Tensor
) -> str:
    """The plausible mistake that gives this track, or where it goes wrong."""
    x, y = answer.T
    straight_on = obj.x + obj.vx * times
    parabola = obj.y + obj.vy * times + 0.5 * obj.gravity * times**2
    if is_close(answer, right, 1e-6):
        return "only rounding is left; keep the precision of `times`, float64"
    if is_close(answer, right.flip(-1)):
        return "x and y are the wrong way round"
    if is_close(y, parabola, 1e-6):
        return "it goes through the floor; when does it land?"
    if is_close(x, straight_on, 1e-6) and is_close(y, right[:, 1], 1e-6):
        return "it slides on after landing; x should stop when it lands"
    if _is_flight(y, obj, times, up=-1.0, half=0.5, gravity=obj.gravity):
        return "y points down, so gravity is positive, and vy < 0 goes up already"
    if _is_flight(y, obj, times, up=1.0, half=1.0, gravity=obj.gravity):
        return "a fall covers half of gravity times time squared"
    if obj.gravity != 1 and _is_flight(y, obj, times, up=1.0, half=0.5, gravity=1.0):
        return "gravity is an argument, and may have another value here"
    return f"{_wrong_axis(answer, right)} is wrong {_wrong_time(answer, right)}"


def _is_flight(
    y: torch.Tensor, obj: SceneObject, times: torch.Tensor, up: float, half: float, gravity: float
) -> bool:
    """Whether y is a flight by these rules, with a clock that stops at landing or never."""
    for stop in (float("inf"), -2 * obj.vy / obj.gravity, -2 * obj.vy):
        clock = times.clamp(max=stop)
        height = obj.y + up * (obj.vy * clock + half * gravity * clock**2)
        if is_close(y, height, 1e-6) or is_close(y, height.clamp(max=obj.y), 1e-6):
            return True
    return False


def _wrong_axis(answer: torch.Tensor, right: torch.Tensor) -> str:
    if is_close(answer[:, 1], right[:, 1], 1e-6):
        return "x"
    if is_close(answer[:, 0], right[:, 0], 1e-6):
        return "y"
    return "x and y"


def _wrong_time(answer: torch.Tensor, right: torch.Tensor) -> str:
    miss = (answer - right).abs().amax(1)
    landed = (right == right[-1]).all(1)
    if bool((miss[~landed] > 1e-6).any()):
        return "in the air"
    return "after landing" if bool((miss > 1e-6).any()) else "at the start"


# --------------------------------------------------------------------------------- 2 a caption


def check_describe(describe: Function) -> bool:
    """Exercise 2: a caption that leaves nothing open."""
    backgrounds = [(color, texture) for color in BACKGROUND_COLORS for texture in TEXTURES]
    for i, motion in enumerate(SOLO_MOTIONS * 2):
        background, texture = backgrounds[i % len(backgrounds)]
        scene = sample_scene(i, motion=motion, background=background, texture=texture)
        text = called(describe, scene)
        if text is None:
            return False
        if not isinstance(text, str):
            return say(f"describe should give back a sentence, not {type(text).__name__}")
        try:
            spec = parse(text)
        except ValueError as error:
            return say(f"the parser refuses {text!r}: {error}")
        if len(spec.objects) != 1:
            return say(f"{text!r} names {len(spec.objects)} objects; the scene has one")
        fault = _caption_mistake(_values(spec), _values(spec_of(scene)))
        if fault:
            return say(f"{text!r} {fault}")
    count = 2 * len(SOLO_MOTIONS)
    return say(f"{count} scenes described, and every caption says all of its scene", True)


def _values(spec: PromptSpec) -> dict[str, str | None]:
    """What a caption should say; speed, sense of rotation and position it may leave open."""
    obj: ObjectSpec = spec.objects[0]
    return {
        "shape": obj.shape,
        "color": obj.color,
        "size": obj.size,
        "motion": obj.motion,
        "background": " or ".join(spec.background) if spec.background else None,
        "texture": spec.texture,
    }


def _caption_mistake(told: dict[str, str | None], true: dict[str, str | None]) -> str:
    """What a caption leaves open or says wrongly."""
    for name, value in true.items():
        if told[name] == value:
            continue
        if told[name] is not None:
            return f"says {name} {told[name]!r}; in the scene it is {value!r}"
        return f"leaves the {name} open"
    return ""


# ----------------------------------------------------------------------------------- 3 a judge


def check_find(find: Function, tolerance: float = 0.15) -> bool:
    """Exercise 3: the centre of an object from pixels."""
    sizes = ((17, 32, 32), (17, 24, 40), (1, 40, 24), (17, 32, 32), (17, 40, 24), (17, 32, 32))
    worst = 0.0
    for seed, (T, H, W) in enumerate(sizes):
        scene = sample_scene(100 + seed, num_frames=T, height=H, width=W)
        half_side = min(H, W) / 2
        video = render([scene], T, H, W)[0]
        truth = simulate(scene, T, bottom=H / min(H, W)).positions[:, 0]
        background = background_image(scene.background, scene.texture, H, W) * 2 - 1
        color = torch.tensor(COLORS[scene.objects[0].color]) / 127.5 - 1
        for frame in sorted({0, T // 3, T - 1}):
            answer = called(find, video[:, frame], background, color)
            if answer is None:
                return False
            if not isinstance(answer, torch.Tensor) or answer.shape != (2,):
                return same(answer, truth[frame], "find", "a frame")
            miss = float((answer.double() - truth[frame]).norm()) * half_side
            if not miss <= tolerance:  # also where it is not a number
                hint = _find_mistake(answer.double(), truth[frame], video[:, frame], background)
                return say(
                    f"in a frame of {H}×{W} it is {miss:.2f} pixels off"
                    f" (at most {tolerance} allowed): {hint}"
                )
            worst = max(worst, miss)
    return say(f"never more than {worst:.2f} pixels off, in square and oblong frames", True)


def _find_mistake(
    answer: torch.Tensor, truth: torch.Tensor, frame: torch.Tensor, background: torch.Tensor
) -> str:
    """The likely mistake behind a wrong centre."""
    if not torch.isfinite(answer).all():
        return "it is not a number: what is divided by zero?"
    _, H, W = frame.shape
    half_side = min(H, W) / 2
    size = torch.tensor([W, H], dtype=torch.float64)
    from_index, from_flipped = (  # half-widths, if these are column and row
        (2 * index + 1 - size) / min(H, W) for index in (answer, answer.flip(0))
    )
    half_pixel = 1 / min(H, W)
    x, y = pixel_grid(H, W)
    touched = ((frame - background).abs().sum(0) > 0.02).double()
    mean = torch.stack([(touched * x).sum(), (touched * y).sum()]) / touched.sum()
    moved = "it is half a pixel off: the position of a pixel is its middle"
    mistakes = (
        (answer, truth.flip(0), "x comes first, then y"),
        (from_index, truth, "these are column and row; half-widths are asked for"),
        (from_flipped, truth, "these are row and column; half-widths are asked for, x first"),
        (answer, truth * torch.tensor([1.0, -1.0]), "y points down"),
        (answer, truth - half_pixel, moved),
        (answer, truth + half_pixel, moved),
        (answer, truth * min(H, W) / size, "x and y are both in halves of the *shorter* side"),
        (answer, mean, "every touched pixel counts alike; weigh each by its coverage"),
    )
    for ours, wrong, hint in mistakes:
        if float((ours - wrong).norm()) * half_side < 0.2:
            return hint
    if float((answer - truth).norm()) * half_side < 1.0:
        return "near, but are edge pixels weighed by their coverage?"
    return "is the coverage 0 where only the background is seen?"


# ------------------------------------------------------------------------------------ 4 a leak


LEAKS = {
    "equal": "some are equal to a training scene in every field",
    "reseeded": "a scene's seed says where it came from and does not reach the pixels",
    "swapped": "a pair makes the same clip whichever object is named first",
}


def _swapped(scene: Scene) -> Scene:
    """The same clip, with the other object named first."""
    return replace(
        scene,
        objects=scene.objects[::-1],
        relation=OPPOSITE[scene.relation],
        seed=TEST_SEEDS + 77,
    )


def _near(scene: Scene) -> Scene:
    """The same words, another clip."""
    obj = scene.objects[0]
    return replace(scene, objects=(replace(obj, x=obj.x * 0.5 + 0.1),))


def _test_scenes(training: list[Scene]) -> list[tuple[str, Scene]]:
    """Test scenes by kind, some of whose clips are among the training clips, shuffled."""
    pairs = [s for s in training if s.family == "pair"]
    solos = [s for s in training if s.family == "solo"]
    fresh = ToyWorld(first_seed=TEST_SEEDS)
    scenes = [("fresh", fresh.scene(i)) for i in range(12)]
    scenes += [("near", _near(scene)) for scene in solos[:3]]
    scenes += [("equal", solos[3]), ("equal", pairs[0])]
    for i, scene in enumerate((solos[4], solos[5], pairs[1])):
        scenes.append(("reseeded", replace(scene, seed=TEST_SEEDS + 500 + i)))
    scenes += [("swapped", _swapped(pairs[2])), ("swapped", _swapped(pairs[3]))]
    random.Random(1).shuffle(scenes)
    return scenes


def check_leaked(leaked: Function) -> bool:
    """Exercise 4: test scenes whose clip is a training clip."""
    world = ToyWorld()
    training = [world.scene(i) for i in range(40)]
    kinds, test = zip(*_test_scenes(training), strict=True)
    answer = called(leaked, list(training), list(test))
    if answer is None:
        return False
    is_list = isinstance(answer, list | tuple | set)
    if not is_list or not all(type(i) is int and 0 <= i < len(test) for i in answer):
        return say(f"leaked should give back a list of indices between 0 and {len(test) - 1}")
    right = {i for i, kind in enumerate(kinds) if kind in LEAKS}
    missed = right - set(answer)
    extra = set(answer) - right
    if extra:
        first = min(extra)
        hint = "its clip is new"
        if kinds[first] == "near":
            hint = "the same words, but another position, so another clip"
        return say(f"{len(extra)} too many, such as test scene {first}: {hint}")
    for kind, hint in LEAKS.items():
        if any(kinds[i] == kind for i in missed):
            return say(f"{len(missed)} of {len(right)} leaks missed: {hint}")
    if list(answer) != sorted(right):
        return say("the right indices, but give them back as a sorted list without repeats")
    return say(f"all {len(right)} leaks found among {len(test)} test scenes, nothing else", True)
