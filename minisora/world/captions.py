"""English from scenes, and what a prompt asks for.

    Scene ── caption ──► "a large red circle is bouncing on a navy grid" ── parse ──► PromptSpec

Captions vary in length, wording and order, and may leave things out; what is left out is free. `parse` reads every caption back
exactly, so that a judge can hold a clip against any prompt in this language. The language is small on purpose: an unknown word is
an error that names its nearest neighbours, not a guess. A *detailed* caption also says where every object is (Sora was trained on
long captions that a model wrote, as in the picture model DALL-E 3): "…, from x6 y24 early x9 y24 midway x12 y24 late x15 y24 to x18 y24", squares of a board.
"""

import difflib
import random
import re
from dataclasses import dataclass, replace

from minisora.text import words_of
from minisora.world.scene import (
    BACKGROUND_COLORS,
    COLORS,
    FPS,
    ROUND,
    SHAPES,
    Scene,
    SceneObject,
    simulate,
)

# canonical value → the phrases that mean it; the first is the usual one
PHRASES: dict[str, dict[str, tuple[str, ...]]] = {
    "size": {"small": ("small", "little"), "large": ("large", "big")},
    "color": {name: (name,) for name in COLORS}
    | {"cyan": ("cyan", "sky-blue"), "pink": ("pink", "rose")},
    "shape": {name: (name,) for name in SHAPES}
    | {"circle": ("circle", "disc"), "square": ("square", "box"), "ring": ("ring", "hoop")},
    "motion": {
        "still": ("standing still", "not moving"),
        "left": ("moving left", "going to the left"),
        "right": ("moving right", "going to the right"),
        "up": ("moving up", "rising"),
        "down": ("moving down", "sinking"),
        "diagonal": ("moving diagonally", "going diagonally"),
        "falling": ("falling", "falling down"),
        "thrown": ("thrown", "flying in an arc"),
        "bouncing": ("bouncing", "bouncing up and down"),
        "circling": ("circling", "going round and round"),
        "spinning": ("spinning", "rotating"),
        "growing": ("growing", "getting bigger"),
        "shrinking": ("shrinking", "getting smaller"),
        "hits": ("hits", "bumps into"),
        "hit": ("is hit by",),
    },
    "relation": {
        "left of": ("to the left of", "left of", "from the left"),
        "right of": ("to the right of", "right of", "from the right"),
        "above": ("above", "over", "from above"),
        "below": ("below", "under", "from below"),
    },
    "background": {name: (name,) for name in BACKGROUND_COLORS},
    "texture": {"plain": ("plain",), "gradient": ("gradient",), "grid": ("grid",)},
}
FILLERS = ("a", "an", "is", "on", "that", "and", "both", "background")
GRID_CELLS = 32  # columns x0 … x31 from left to right and rows y0 … y31 from top to bottom, over the whole frame
WHEN = (
    "from",
    "early",
    "midway",
    "late",
    "to",
)  # five moments of a clip: the first and the last frame, and three evenly between
SQUARE = r"x(\d+) y(\d+)"
PATH = re.compile(
    rf"\b{' '.join(f'{word} {SQUARE}' for word in WHEN)}\b|\bat {SQUARE}\b"
)  # where an object is at these moments
POSITION_WORDS = (*WHEN, "at", *(f"{axis}{i}" for axis in "xy" for i in range(GRID_CELLS)))
MEANINGS = {
    tuple(phrase.split()): (attribute, value)
    for attribute, values in PHRASES.items()
    for value, phrases in values.items()
    for phrase in phrases
}
LONGEST = max(map(len, MEANINGS))
VOCABULARY = tuple(
    sorted({word for phrase in MEANINGS for word in phrase} | set(FILLERS) | set(POSITION_WORDS))
)
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


@dataclass(frozen=True)
class ObjectSpec:
    """What a prompt asks of one object; None is free."""

    shape: str | None = None
    color: str | None = None
    size: str | None = None
    motion: str | None = None
    path: tuple[tuple[int, int], ...] | None = None  # its squares (column, row) at the five moments


@dataclass(frozen=True)
class PromptSpec:
    """What a prompt asks for. In a collision the first object is the one that runs into the other."""

    objects: tuple[ObjectSpec, ...] = ()
    background: str | None = None
    texture: str | None = None
    relation: str | None = None  # where objects[0] is, seen from objects[1]


# ---------------------------------------------------------------------------------------------------- scene → English


def caption(scene: Scene, rng: random.Random, style: str | None = None) -> str:
    """Describe a scene in one of many ways.

    Args:
        rng: chooses the words. style: "descriptive" (everything said, but not all sizes of two objects), "short" (some of it), or None for either.
    """
    return _caption(scene, rng, style)[0]


def detailed_caption(
    scene: Scene,
    rng: random.Random,
    *,
    num_frames: int = 17,
    height: int = 32,
    width: int = 32,
    fps: float = FPS,
) -> str:
    """What `caption` says with the same `rng`, and the squares of all objects, in the order of their names, in a clip of this size."""
    text, named = _caption(scene, rng)
    unit, paths = min(height, width), []
    tracks = simulate(scene, num_frames, fps, height / unit).positions[
        moments(num_frames)
    ]  # (5, K, 2)
    for thing in named:
        places = tracks[:, scene.objects.index(thing)].tolist()
        squares = [
            " ".join(
                f"{axis}{_square(v, half)}"
                for axis, v, half in zip("xy", p, (width / unit, height / unit), strict=True)
            )
            for p in places
        ]
        path = zip(WHEN, squares, strict=True) if len(set(squares)) > 1 else [("at", squares[0])]
        paths.append(" ".join(f"{when} {square}" for when, square in path))
    return f"{text}, {' and '.join(paths)}"


def moments(num_frames: int) -> list[int]:
    """The frames of the five moments."""
    return [(num_frames - 1) * quarter // 4 for quarter in range(5)]


def _square(place: float, half: float) -> int:
    """A coordinate in half-widths, -half … half, as a column or row of the board."""
    return min(max(int((place / half + 1) / 2 * GRID_CELLS), 0), GRID_CELLS - 1)


def _caption(
    scene: Scene, rng: random.Random, style: str | None = None
) -> tuple[str, list[SceneObject]]:
    """A sentence, and its objects in the order in which it names them."""
    style = style or rng.choice(("descriptive", "descriptive", "short"))
    full = style == "descriptive"
    say = lambda attribute, value, last=None: rng.choice(PHRASES[attribute][value][:last])
    stage = scene.background if scene.texture == "plain" else f"{scene.background} {scene.texture}"
    if scene.texture == "plain" and rng.random() < 0.3:
        stage = f"plain {stage}"
    if scene.texture == "plain" or rng.random() < 0.5:
        stage += " background"
    place = f" on a {stage}" if full or rng.random() < 0.4 else ""
    article = (
        (lambda words: ("an " if words[0] in "aeiou" else "a ") + words)
        if full
        else (lambda words: words)
    )

    def noun(thing: SceneObject, sized: float) -> str:
        size = say("size", thing.size) + " " if rng.random() < sized else ""
        return article(f"{size}{say('color', thing.color)} {say('shape', thing.shape)}")

    if scene.family == "solo":
        (thing,) = scene.objects
        moves = say("motion", thing.motion)
        if not full:
            name = noun(thing, 0.5)
            return rng.choice((f"{name} {moves}{place}", f"{moves} {name}{place}")), [thing]
        name = noun(thing, 1.0)
        orders = [f"{name} {moves}{place}", f"{name} is {moves}{place}", f"{moves}{place}, {name}"]
        if place:
            orders.append(f"{place.strip()}, {name} is {moves}")
        looks = f"{say('size', thing.size)} and {say('color', thing.color)}"
        orders.append(f"{article(say('shape', thing.shape))} that is {looks} is {moves}{place}")
        return rng.choice(orders), [thing]

    a, b = scene.objects
    sized = 0.6 if scene.collides else 0.2
    if scene.collides:
        side = PHRASES["relation"][scene.relation][2]
        if rng.random() < 0.7:
            return f"{noun(a, sized)} {say('motion', 'hits')} {noun(b, sized)} {side}{place}", [
                a,
                b,
            ]
        return f"{noun(b, sized)} {say('motion', 'hit')} {noun(a, sized)} {side}{place}", [b, a]
    relation = scene.relation
    if rng.random() < 0.4:
        a, b, relation = b, a, OPPOSITE[relation]
    where = say("relation", relation, 2)
    if a.motion == b.motion:
        return (
            f"{noun(a, sized)} {where} {noun(b, sized)}, both {say('motion', a.motion)}{place}",
            [a, b],
        )
    return (
        f"{noun(a, sized)} {say('motion', a.motion)} {where} {noun(b, sized)} {say('motion', b.motion)}{place}",
        [a, b],
    )


# ---------------------------------------------------------------------------------------------------- English → request


def parse(prompt: str) -> PromptSpec:
    """Turn a prompt into what it asks for.

    Raises:
        ValueError: an unknown word (the nearest known ones are named), no shape or more than two, something said twice in
            different ways, something that pixels cannot show, or places that are not one path for every object.
    """
    words = words_of(prompt)
    for word in words:
        if word not in VOCABULARY:
            near = difflib.get_close_matches(word, VOCABULARY, n=3, cutoff=0.5) or [
                w for w in VOCABULARY if w not in POSITION_WORDS
            ]
            raise ValueError(
                f"unknown word {word!r}; the nearest known words are: {', '.join(near)}"
            )
    text = " ".join(words)
    paths = [
        tuple(zip(numbers[::2], numbers[1::2], strict=True))
        for numbers in ([int(n) for n in m.groups() if n] for m in PATH.finditer(text))
    ]
    words = PATH.sub("", text).split()
    stray = next(
        (word for word in words if word in POSITION_WORDS and word not in ("from", "to")), None
    )
    if stray:
        raise ValueError(
            f"{stray!r} is not part of a whole place in {prompt!r}; say 'at x16 y18' or 'from x6 y24 early x9 y24 midway x12 y24 late x15 y24 to x18 y24'"
        )
    objects: list[dict] = []
    waiting: dict[str, str] = {}  # adjectives and motions whose noun has yet to come
    request: dict[str, str] = {}
    looking_back = both = False
    i = 0
    while i < len(words):
        length = next((n for n in range(LONGEST, 0, -1) if tuple(words[i : i + n]) in MEANINGS), 0)
        word = words[i]
        attribute, value = MEANINGS[tuple(words[i : i + length])] if length else ("filler", word)
        i += max(length, 1)
        if attribute == "filler":
            if word in ("a", "an"):
                looking_back = False
            looking_back |= word == "that"
            both |= word == "both"
        elif attribute in ("background", "texture", "relation"):
            _say(request, attribute, value, prompt)
        elif attribute == "shape":
            objects.append(waiting)
            _say(objects[-1], "shape", value, prompt)
            waiting = {}
        elif attribute == "motion" and objects:
            for thing in objects if both else objects[-1:]:
                _say(thing, "motion", value, prompt)
            if value in ("hits", "hit"):
                waiting["motion"] = "hit" if value == "hits" else "hits"
        else:
            _say(objects[-1] if looking_back and objects else waiting, attribute, value, prompt)
    if objects:
        for attribute, value in waiting.items():  # "circle, red"
            if value in ("hit", "hits"):
                raise ValueError(f"{prompt!r} does not say what is hit: name a second object")
            _say(objects[-1], attribute, value, prompt)
    elif words:
        raise ValueError(f"{prompt!r} names no shape; name one of {', '.join(SHAPES)}")
    if len(objects) > 2:
        raise ValueError(f"{prompt!r} names {len(objects)} objects; the toy world has one or two")
    for thing in objects:
        if thing.get("motion") == "spinning" and thing["shape"] in ROUND:
            raise ValueError(
                f"a spinning {thing['shape']} looks like a still one; spin a square, triangle, star or heart"
            )
    if paths and len(paths) != len(objects):
        raise ValueError(
            f"{prompt!r} gives {len(paths)} places for {len(objects)} objects; give each its own, joined by 'and', or none"
        )
    for thing, path in zip(objects, paths, strict=False):
        thing["path"] = path * (len(WHEN) // len(path))
    if objects and objects[0].get("motion") == "hit":
        objects.reverse()
    if "background" in request:
        request.setdefault("texture", "plain")  # captions name every other texture
    if "relation" in request and len(objects) < 2:
        raise ValueError(f"{prompt!r} says {request['relation']!r} but names only one object")
    return PromptSpec(tuple(ObjectSpec(**thing) for thing in objects), **request)


def _say(of: dict[str, str], attribute: str, value: str, prompt: str) -> None:
    if of.get(attribute, value) != value:
        raise ValueError(
            f"{prompt!r} says two things at once: {attribute} {of[attribute]!r} and {value!r}"
        )
    of[attribute] = value


def spec_of(scene: Scene) -> PromptSpec:
    """What a caption that says everything but places would ask for."""
    asks = tuple(ObjectSpec(o.shape, o.color, o.size, o.motion) for o in scene.objects)
    return PromptSpec(asks, scene.background, scene.texture, scene.relation)


def agrees(asked: PromptSpec, scene: Scene) -> bool:
    """Whether everything that was asked but places holds in a scene, whichever way round its two objects are named."""
    truth = spec_of(scene)
    ways = [truth]
    if len(truth.objects) == 2:
        ways.append(replace(truth, objects=truth.objects[::-1], relation=OPPOSITE[truth.relation]))
    return any(_free_or_equal(asked, way) for way in ways)


def _free_or_equal(asked: PromptSpec, truth: PromptSpec) -> bool:
    if len(asked.objects) != len(truth.objects):
        return False
    pairs = [(asked, truth, ("background", "texture", "relation"))]
    pairs += [
        (a, b, ("shape", "color", "size", "motion"))
        for a, b in zip(asked.objects, truth.objects, strict=True)
    ]
    return all(
        getattr(a, name) in (None, getattr(b, name)) for a, b, names in pairs for name in names
    )
