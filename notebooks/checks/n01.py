"""Notebook 01, A toy world."""

import random
from dataclasses import replace

import torch

from minisora.world.captions import OPPOSITE, parse, spec_of
from minisora.world.dataset import TEST_SEEDS, ToyWorld, sample_scene
from minisora.world.render import background_image, pixel_grid, render
from minisora.world.scene import (
    BACKGROUND_COLORS,
    COLORS,
    MOTIONS,
    TEXTURES,
    Scene,
    SceneObject,
    simulate,
)

from .common import called, same, say


def check_thrown(thrown) -> bool:
    """Notebook 01, exercise 1: the track of an object thrown from the floor."""
    cases = (
        (17, 8.0, 1.0, 1.0, 0.5, -0.9),
        (1, 8.0, 1.0, 1.0, 0.5, -0.9),
        (40, 24.0, 1.0, 2.0, -0.3, -1.0),
        (33, 8.0, 1.5, 1.0, -0.4, -0.8),
    )
    for num_frames, fps, bottom, gravity, vx, vy in cases:
        thing = SceneObject(
            "circle",
            "red",
            "small",
            "thrown",
            0.3,
            -0.2,
            bottom - 0.3,
            vx,
            vy,
            gravity=gravity,
            restitution=0.0,
        )
        right = simulate(Scene((thing,)), num_frames, fps, bottom).positions[:, 0]
        times = torch.arange(num_frames, dtype=torch.float64) / fps
        yours = called(thrown, thing.x, thing.y, vx, vy, gravity, times)
        if yours is None:
            return False
        where = f"{num_frames} frames at {fps:g} a second, gravity {gravity:g}"
        if isinstance(yours, torch.Tensor) and yours.shape == right.shape:
            hint = _thrown_fault(yours.double(), thing, times, right)
            if hint:
                return say(
                    f"thrown is off by up to {float((yours.double() - right).abs().max()):.3g} for {where}: {hint}"
                )
        if not same(yours, right, "thrown", where):
            return False
    return say(
        "right in the air, on landing and after it, for two gravities, four lengths and a high frame",
        True,
    )


def _thrown_fault(
    yours: torch.Tensor, thing: SceneObject, times: torch.Tensor, right: torch.Tensor
) -> str:
    """What a plausible mistake would have given, if that is what was given."""
    close = lambda a, b: bool(torch.allclose(a, b, atol=1e-6))
    x, y = yours.T
    clocks = [
        times,
        *(times.clamp(max=-2 * thing.vy / g) for g in (thing.gravity, 1.0)),
    ]  # one that never stops, two that stop

    def flies(up: float, half: float, gravity: float) -> bool:
        heights = [
            thing.y + up * (thing.vy * clock + half * gravity * clock**2) for clock in clocks
        ]
        return any(close(y, height) or close(y, height.clamp(max=thing.y)) for height in heights)

    if close(yours, right):
        return (
            ""
            if float((yours - right).abs().max()) <= 1e-9
            else "only rounding is left; keep the precision of `times`, float64"
        )
    if close(yours, right.flip(-1)):
        return "x and y are the wrong way round"
    if close(y, thing.y + thing.vy * times + 0.5 * thing.gravity * times**2):
        return "it goes through the floor; when does it land?"
    if close(x, thing.x + thing.vx * times) and close(y, right[:, 1]):
        return "it slides on after landing; x should stop when it lands"
    if flies(-1, 0.5, thing.gravity):
        return "y points down, so gravity is positive, and vy < 0 goes up already"
    if flies(1, 1.0, thing.gravity):
        return "a fall covers half of gravity times time squared"
    if thing.gravity != 1 and flies(1, 0.5, 1.0):
        return "gravity is an argument, and may have another value here"
    wrong = "x" if close(y, right[:, 1]) else "y" if close(x, right[:, 0]) else "x and y"
    landed = (right == right[-1]).all(1)
    before, after = (
        (yours - right)[part].abs().amax() if part.any() else 0.0 for part in (~landed, landed)
    )
    return f"{wrong} should be looked at, " + (
        "in the air" if before > 1e-6 else "after landing" if after > 1e-6 else "at the start"
    )


def check_describe(describe) -> bool:
    """Notebook 01, exercise 2: a caption that leaves nothing free."""
    stages = [(background, texture) for background in BACKGROUND_COLORS for texture in TEXTURES]
    for i, motion in enumerate(MOTIONS * 2):
        background, texture = stages[i % len(stages)]
        scene = sample_scene(i, motion=motion, background=background, texture=texture)
        text = called(describe, scene)
        if text is None:
            return False
        if not isinstance(text, str):
            return say(f"describe should give back a sentence, not {type(text).__name__}")
        try:
            asked = parse(text)
        except ValueError as error:
            return say(f"the parser refuses {text!r}: {error}")
        truth = spec_of(scene)
        if len(asked.objects) != 1:
            return say(f"{text!r} names {len(asked.objects)} objects; the scene has one")
        told = {**vars(asked.objects[0]), "background": asked.background, "texture": asked.texture}
        true = {**vars(truth.objects[0]), "background": truth.background, "texture": truth.texture}
        for name, value in true.items():
            if value is None:  # where it is, which a description may leave open
                continue
            if told[name] is None:
                used = (
                    f"; {value!r} is the value, not the words for it: see PHRASES"
                    if name == "motion" and value in text
                    else ""
                )
                return say(f"{text!r} leaves the {name} free{used}")
            if told[name] != value:
                return say(f"{text!r} says {name} {told[name]!r}; in the scene it is {value!r}")
    return say(
        f"{len(MOTIONS) * 2} scenes described, and every sentence reads back to all of its scene",
        True,
    )


def check_find(find, tolerance: float = 0.15) -> bool:
    """Notebook 01, exercise 3: the centre of an object from pixels."""
    worst = 0.0
    for seed, (T, H, W) in enumerate(
        ((17, 32, 32), (17, 24, 40), (1, 40, 24), (17, 32, 32), (17, 40, 24), (17, 32, 32))
    ):
        scene = sample_scene(100 + seed, num_frames=T, height=H, width=W)
        unit = min(H, W) / 2
        video = render([scene], T, H, W)[0]
        truth = simulate(scene, T, bottom=H / min(H, W)).positions[:, 0]
        stage = background_image(scene.background, scene.texture, H, W) * 2 - 1
        color = torch.tensor(COLORS[scene.objects[0].color]) / 127.5 - 1
        for frame in sorted({0, T // 3, T - 1}):
            yours = called(find, video[:, frame], stage, color)
            if yours is None:
                return False
            if not isinstance(yours, torch.Tensor) or yours.shape != (2,):
                got = (
                    f"shape {tuple(yours.shape)}"
                    if isinstance(yours, torch.Tensor)
                    else type(yours).__name__
                )
                return say(f"find should give back a tensor of shape (2,) with x and y, not {got}")
            miss = float((yours.double() - truth[frame]).norm()) * unit
            if not miss <= tolerance:
                hint = _find_fault(yours.double(), truth[frame], video[:, frame], stage, unit)
                return say(
                    f"in a frame of {H}×{W} it is {miss:.2f} pixels off (at most {tolerance} allowed){hint}"
                )
            worst = max(worst, miss)
    return say(
        f"never more than {worst:.2f} pixels from the truth, in square and oblong frames", True
    )


def _find_fault(
    yours: torch.Tensor, truth: torch.Tensor, frame: torch.Tensor, stage: torch.Tensor, unit: float
) -> str:
    """The likely fault behind a wrong centre."""
    _, H, W = frame.shape
    near = lambda guess: float((yours - guess).norm()) * unit < 0.2
    size = torch.tensor([W, H], dtype=torch.float64)
    index = (truth * 2 * unit + size - 1) / 2  # columns and rows
    x, y = pixel_grid(H, W)
    touched = ((frame - stage).abs().sum(0) > 0.02).double()
    mean = torch.stack([(touched * x).sum(), (touched * y).sum()]) / touched.sum()
    faults = (
        (truth.flip(0), "x comes first, then y"),
        (index, "these are columns and rows; half-widths are asked for"),
        (index.flip(0), "these are rows and columns; half-widths are asked for, x first"),
        (truth * torch.tensor([1.0, -1.0]), "y points down"),
        (truth - 1 / (2 * unit), "places are half a pixel off: a pixel's place is its middle"),
        (truth + 1 / (2 * unit), "places are half a pixel off: a pixel's place is its middle"),
        (truth * 2 * unit / size, "both x and y are in halves of the *shorter* side"),
        (mean, "every touched pixel seems to count alike; weigh each by its coverage"),
    )
    for guess, fault in faults:
        if near(guess):
            return f"; {fault}"
    if not torch.isfinite(yours).all():
        return "; it is not a number: what is divided by zero?"
    near_miss = float((yours - truth).norm()) * unit < 1.0
    return (
        "; near, but are edge pixels weighed by their coverage?"
        if near_miss
        else "; is the coverage 0 where only the stage is seen?"
    )


def check_leaked(leaked) -> bool:
    """Notebook 01, exercise 4: test scenes whose clip is in training."""
    training = [ToyWorld(pair_fraction=0.5).scene(i) for i in range(40)]
    pairs = [s for s in training if s.family == "pair" and not s.collides]
    solos = [s for s in training if s.family == "solo"]
    turned = lambda s: replace(
        s, objects=s.objects[::-1], relation=OPPOSITE[s.relation], seed=TEST_SEEDS + 77
    )
    fresh = ToyWorld(first_seed=TEST_SEEDS)
    kinds = [("fresh", fresh.scene(i)) for i in range(12)]
    kinds += [
        ("near", replace(s, objects=(replace(s.objects[0], x=s.objects[0].x * 0.5 + 0.1),)))
        for s in solos[:3]
    ]  # same words, other clip
    kinds += [("exact", solos[3]), ("exact", pairs[0])]
    kinds += [
        ("reseeded", replace(s, seed=TEST_SEEDS + 500 + i))
        for i, s in enumerate((solos[4], solos[5], pairs[1]))
    ]
    kinds += [("turned", turned(pairs[2])), ("turned", turned(pairs[3]))]
    random.Random(1).shuffle(kinds)
    test = [scene for _, scene in kinds]
    yours = called(leaked, list(training), list(test))
    if yours is None:
        return False
    if not isinstance(yours, (list, tuple, set)) or not all(
        type(i) is int and 0 <= i < len(test) for i in yours
    ):
        return say(f"leaked should give back a list of indices between 0 and {len(test) - 1}")
    right = {i for i, (kind, _) in enumerate(kinds) if kind in ("exact", "reseeded", "turned")}
    missed, extra = right - set(yours), set(yours) - right
    if extra:
        first = min(extra)
        hint = (
            "the same words, but another place, so another clip"
            if kinds[first][0] == "near"
            else "its clip is new"
        )
        return say(f"{len(extra)} too many, such as test scene {first}: {hint}")
    if missed:
        kinds_missed = {kinds[i][0] for i in missed}
        hints = {
            "exact": "some are equal to a training scene in every field",
            "reseeded": "a scene's seed says where it came from and does not reach the pixels",
            "turned": "a pair makes the same clip whichever object is named first",
        }
        return say(
            f"{len(missed)} of {len(right)} leaks missed: "
            + next(hint for kind, hint in hints.items() if kind in kinds_missed)
        )
    if list(yours) != sorted(right):
        return say("the right indices, but give them back as a sorted list without repeats")
    return say(
        f"all {len(right)} leaks found among {len(test)} test scenes, and nothing else", True
    )
