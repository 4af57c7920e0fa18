"""English from scenes, and what a prompt asks for.

    Scene ── caption ──► "a large red circle is bouncing on a navy grid" ── parse ──► PromptSpec

Captions vary in length, wording and order, and may leave things out; what is left out is free.
`parse` reads every caption back exactly, so that a judge can hold a clip against any prompt in this
language. The language is small on purpose: an unknown word is an error that names its nearest
neighbours, not a guess. A *detailed* caption also says where every object is, in cells of a grid
over the frame: "…, from x6 y24 early x9 y24 midway x12 y24 late x15 y24 to x18 y24". (Sora was
trained on long captions that a model wrote, as the picture model DALL-E 3 was.)
"""

import difflib
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

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
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}

GRID_CELLS = 32  # columns x0 … x31 from left to right, rows y0 … y31 from top to bottom
WHEN = ("from", "early", "midway", "late", "to")  # first and last frame, and three evenly between
CELL = r"x(\d+) y(\d+)"
PATH = re.compile(  # where an object is at the five moments, or all the time
    rf"\b{' '.join(f'{word} {CELL}' for word in WHEN)}\b|\bat {CELL}\b"
)
X_WORDS = tuple(f"x{i}" for i in range(GRID_CELLS))
Y_WORDS = tuple(f"y{i}" for i in range(GRID_CELLS))
POSITION_WORDS = (*WHEN, "at", *X_WORDS, *Y_WORDS)


def _meanings() -> dict[tuple[str, ...], tuple[str, str]]:
    """Every phrase, word by word, with the attribute and the value that it means."""
    meanings = {}
    for attribute, values in PHRASES.items():
        for value, phrases in values.items():
            for phrase in phrases:
                meanings[tuple(phrase.split())] = (attribute, value)
    return meanings


MEANINGS = _meanings()
LONGEST = max(map(len, MEANINGS))  # words
VOCABULARY = tuple(sorted({*FILLERS, *POSITION_WORDS}.union(*MEANINGS)))


@dataclass(frozen=True)
class ObjectSpec:
    """What a prompt asks of one object; None is free."""

    shape: str | None = None
    color: str | None = None
    size: str | None = None
    motion: str | None = None
    path: tuple[tuple[int, int], ...] | None = None  # its cells (column, row) at the five moments


@dataclass(frozen=True)
class PromptSpec:
    """What a prompt asks for. In a collision the first object runs into the second."""

    objects: tuple[ObjectSpec, ...] = ()
    background: str | None = None
    texture: str | None = None
    relation: str | None = None  # where objects[0] is, seen from objects[1]


# ---------------------------------------------------------------------------- scene → English


def caption(scene: Scene, rng: random.Random, style: str | None = None) -> str:
    """Describe a scene in one of many ways.

    Args:
        rng: chooses the words.
        style: "descriptive" (everything said, but not all sizes of two objects), "short" (some of
            it), or None for either.
    """
    text, _ = _caption(scene, rng, style)
    return text


def detailed_caption(
    scene: Scene,
    rng: random.Random,
    *,
    num_frames: int = 17,
    height: int = 32,
    width: int = 32,
    fps: float = FPS,
) -> str:
    """What `caption` says with the same `rng`, and where every object is in a clip of this size.

    The paths come in the order in which the caption names the objects.
    """
    text, named = _caption(scene, rng)
    unit = min(height, width)
    tracks = simulate(scene, num_frames, fps, height / unit).positions[moments(num_frames)]
    paths = []
    for thing in named:
        positions = tracks[:, scene.objects.index(thing)].tolist()  # (5, 2)
        cells = [f"x{_cell(x, width / unit)} y{_cell(y, height / unit)}" for x, y in positions]
        paths.append(_path_words(cells))
    return f"{text}, {' and '.join(paths)}"


def moments(num_frames: int) -> list[int]:
    """The frames of the five moments."""
    return [(num_frames - 1) * quarter // 4 for quarter in range(5)]


def _cell(position: float, half_extent: float) -> int:
    """A coordinate between -half_extent and half_extent, as a column or row of the grid."""
    cell = int((position / half_extent + 1) / 2 * GRID_CELLS)
    return min(max(cell, 0), GRID_CELLS - 1)


def _path_words(cells: list[str]) -> str:
    if len(set(cells)) == 1:
        return f"at {cells[0]}"
    return " ".join(f"{when} {cell}" for when, cell in zip(WHEN, cells, strict=True))


def _caption(
    scene: Scene, rng: random.Random, style: str | None = None
) -> tuple[str, list[SceneObject]]:
    """A sentence, and its objects in the order in which it names them."""
    style = style or rng.choice(("descriptive", "descriptive", "short"))
    words = _Words(rng, full=style == "descriptive")
    where = _on_background(scene, words)
    if scene.family == "pair":
        return _collision(scene, words, where) if scene.collides else _pair(scene, words, where)
    (thing,) = scene.objects
    if words.full:
        return _full_solo(thing, words, where), [thing]
    return _short_solo(thing, words, where), [thing]


@dataclass(frozen=True)
class _Words:
    """Chooses words. A full sentence has articles, a short one has none."""

    rng: random.Random
    full: bool

    def say(self, attribute: str, value: str, first: int | None = None) -> str:
        """One of the (first few) phrases for a value."""
        return self.rng.choice(PHRASES[attribute][value][:first])

    def article(self, words: str) -> str:
        if not self.full:
            return words
        return f"an {words}" if words[0] in "aeiou" else f"a {words}"

    def noun(self, thing: SceneObject, sized: float) -> str:
        """Colour and shape, with the probability `sized` the size before them."""
        size = self.say("size", thing.size) + " " if self.rng.random() < sized else ""
        color = self.say("color", thing.color)
        return self.article(f"{size}{color} {self.say('shape', thing.shape)}")


def _on_background(scene: Scene, words: _Words) -> str:
    """ " on a navy grid", or nothing."""
    plain = scene.texture == "plain"
    name = scene.background if plain else f"{scene.background} {scene.texture}"
    if plain and words.rng.random() < 0.3:
        name = f"plain {name}"
    if plain or words.rng.random() < 0.5:
        name = f"{name} background"
    return f" on a {name}" if words.full or words.rng.random() < 0.4 else ""


def _short_solo(thing: SceneObject, words: _Words, where: str) -> str:
    moves = words.say("motion", thing.motion)
    name = words.noun(thing, 0.5)
    return words.rng.choice((f"{name} {moves}{where}", f"{moves} {name}{where}"))


def _full_solo(thing: SceneObject, words: _Words, where: str) -> str:
    moves = words.say("motion", thing.motion)
    name = words.noun(thing, 1.0)
    size = words.say("size", thing.size)
    color = words.say("color", thing.color)
    shape = words.article(words.say("shape", thing.shape))
    orders = (
        f"{name} {moves}{where}",
        f"{name} is {moves}{where}",
        f"{moves}{where}, {name}",
        f"{where.strip()}, {name} is {moves}",
        f"{shape} that is {size} and {color} is {moves}{where}",
    )
    return words.rng.choice(orders)


def _collision(scene: Scene, words: _Words, where: str) -> tuple[str, list[SceneObject]]:
    a, b = scene.objects
    assert scene.relation is not None, "two objects always have a relation"
    side = PHRASES["relation"][scene.relation][2]
    if words.rng.random() < 0.7:
        first, verb, second = a, "hits", b
    else:
        first, verb, second = b, "hit", a
    subject = words.noun(first, 0.6)
    predicate = words.say("motion", verb)
    return f"{subject} {predicate} {words.noun(second, 0.6)} {side}{where}", [first, second]


def _pair(scene: Scene, words: _Words, where: str) -> tuple[str, list[SceneObject]]:
    a, b = scene.objects
    assert scene.relation is not None, "two objects always have a relation"
    relation = scene.relation
    if words.rng.random() < 0.4:
        a, b = b, a
        relation = OPPOSITE[relation]
    side = words.say("relation", relation, first=2)
    name_a = words.noun(a, 0.2)
    if a.motion == b.motion:
        name_b = words.noun(b, 0.2)
        moves = words.say("motion", a.motion)
        return f"{name_a} {side} {name_b}, both {moves}{where}", [a, b]
    moves_a = words.say("motion", a.motion)
    name_b = words.noun(b, 0.2)
    moves_b = words.say("motion", b.motion)
    return f"{name_a} {moves_a} {side} {name_b} {moves_b}{where}", [a, b]


# -------------------------------------------------------------------------- English → request


def parse(prompt: str) -> PromptSpec:
    """Turn a prompt into what it asks for.

    Raises:
        ValueError: an unknown word (the nearest known ones are named), no shape or more than two,
            something said twice in different ways, something that pixels cannot show, or positions
            that are not one path for every object.
    """
    words = words_of(prompt)
    _check_words(words)
    text = " ".join(words)
    paths = [_path(match) for match in PATH.finditer(text)]
    words = PATH.sub("", text).split()
    _check_no_position(words, prompt)

    sentence = _Sentence(prompt)
    for attribute, value in _phrases(words):
        sentence.take(attribute, value)
    objects = sentence.finish()
    if words and not objects:
        raise ValueError(f"{prompt!r} names no shape; name one of {', '.join(SHAPES)}")
    _check_objects(objects, paths, prompt)

    specs = [
        ObjectSpec(o["shape"], o.get("color"), o.get("size"), o.get("motion")) for o in objects
    ]
    if paths:
        specs = [replace(spec, path=path) for spec, path in zip(specs, paths, strict=True)]
    if specs and specs[0].motion == "hit":
        specs.reverse()
    about = sentence.about_all
    if "background" in about:
        about.setdefault("texture", "plain")  # captions name every other texture
    if "relation" in about and len(specs) < 2:
        raise ValueError(f"{prompt!r} says {about['relation']!r} but names only one object")
    return PromptSpec(tuple(specs), **about)


def _check_words(words: list[str]) -> None:
    for word in words:
        if word in VOCABULARY:
            continue
        near = difflib.get_close_matches(word, VOCABULARY, n=3, cutoff=0.5)
        near = near or [w for w in VOCABULARY if w not in POSITION_WORDS]
        raise ValueError(f"unknown word {word!r}; the nearest known words are: {', '.join(near)}")


def _path(match: re.Match[str]) -> tuple[tuple[int, int], ...]:
    """Five cells (column, row) of one match of PATH."""
    numbers = [int(number) for number in match.groups() if number]
    cells = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    return cells * (len(WHEN) // len(cells))


def _check_no_position(words: list[str], prompt: str) -> None:
    for word in words:
        if word in POSITION_WORDS and word not in ("from", "to"):  # "from the left", "to the left"
            raise ValueError(
                f"{word!r} is not part of a whole position in {prompt!r}; say 'at x16 y18' or "
                "'from x6 y24 early x9 y24 midway x12 y24 late x15 y24 to x18 y24'"
            )


def _phrases(words: list[str]) -> Iterator[tuple[str, str]]:
    """The longest known phrases in turn as (attribute, value), other words as ("filler", word)."""
    start = 0
    while start < len(words):
        for length in range(LONGEST, 0, -1):
            phrase = tuple(words[start : start + length])
            if phrase in MEANINGS:
                yield MEANINGS[phrase]
                start += len(phrase)
                break
        else:
            yield "filler", words[start]
            start += 1


@dataclass
class _Sentence:
    """What has been understood of a prompt so far."""

    prompt: str
    objects: list[dict[str, str]] = field(default_factory=list)
    about_all: dict[str, str] = field(default_factory=dict)  # background, texture, relation
    waiting: dict[str, str] = field(default_factory=dict)  # what is said of a noun yet to come
    looking_back: bool = False  # after "that": what is said belongs to the last noun
    both: bool = False

    def take(self, attribute: str, value: str) -> None:
        """Add one phrase."""
        if attribute == "filler":
            self._filler(value)
        elif attribute in ("background", "texture", "relation"):
            self._say(self.about_all, attribute, value)
        elif attribute == "shape":
            self.objects.append(self.waiting)
            self.waiting = {}
            self._say(self.objects[-1], "shape", value)
        elif attribute == "motion" and self.objects:
            for thing in self.objects if self.both else self.objects[-1:]:
                self._say(thing, "motion", value)
            if value in ("hits", "hit"):
                self.waiting["motion"] = "hit" if value == "hits" else "hits"
        elif self.looking_back and self.objects:
            self._say(self.objects[-1], attribute, value)
        else:
            self._say(self.waiting, attribute, value)

    def finish(self) -> list[dict[str, str]]:
        """Give what still waits to the last object ("circle, red"), and return all objects."""
        for attribute, value in self.waiting.items():
            if not self.objects:
                break
            if value in ("hit", "hits"):
                raise ValueError(f"{self.prompt!r} does not say what is hit: name a second object")
            self._say(self.objects[-1], attribute, value)
        return self.objects

    def _filler(self, word: str) -> None:
        if word in ("a", "an"):
            self.looking_back = False
        elif word == "that":
            self.looking_back = True
        elif word == "both":
            self.both = True

    def _say(self, of: dict[str, str], attribute: str, value: str) -> None:
        said = of.setdefault(attribute, value)
        if said != value:
            raise ValueError(
                f"{self.prompt!r} says two things at once: {attribute} {said!r} and {value!r}"
            )


def _check_objects(
    objects: list[dict[str, str]], paths: list[tuple[tuple[int, int], ...]], prompt: str
) -> None:
    if len(objects) > 2:
        raise ValueError(f"{prompt!r} names {len(objects)} objects; the toy world has one or two")
    for thing in objects:
        if thing.get("motion") == "spinning" and thing["shape"] in ROUND:
            raise ValueError(
                f"a spinning {thing['shape']} looks like a still one; "
                "spin a square, triangle, star or heart"
            )
    if paths and len(paths) != len(objects):
        raise ValueError(
            f"{prompt!r} gives {len(paths)} positions for {len(objects)} objects; "
            "give each its own, joined by 'and', or none"
        )


def spec_of(scene: Scene) -> PromptSpec:
    """What a caption that says everything but positions would ask for."""
    specs = tuple(ObjectSpec(o.shape, o.color, o.size, o.motion) for o in scene.objects)
    return PromptSpec(specs, scene.background, scene.texture, scene.relation)


def agrees(asked: PromptSpec, scene: Scene) -> bool:
    """Whether everything that was asked but positions holds in a scene.

    Two objects may be named either way round.
    """
    truth = spec_of(scene)
    if _agrees(asked, truth):
        return True
    if truth.relation is None:
        return False
    relation = OPPOSITE[truth.relation]
    return _agrees(asked, replace(truth, objects=truth.objects[::-1], relation=relation))


def _agrees(asked: PromptSpec, truth: PromptSpec) -> bool:
    if len(asked.objects) != len(truth.objects):
        return False
    for a, b in zip(asked.objects, truth.objects, strict=True):
        if not _same_or_free(a, b, ("shape", "color", "size", "motion")):
            return False
    return _same_or_free(asked, truth, ("background", "texture", "relation"))


def _same_or_free(
    asked: ObjectSpec | PromptSpec, truth: ObjectSpec | PromptSpec, names: tuple[str, ...]
) -> bool:
    return all(getattr(asked, name) in (None, getattr(truth, name)) for name in names)
