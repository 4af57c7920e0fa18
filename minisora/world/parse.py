"""What a prompt asks for.

    prompt ── parse ──► PromptSpec
    prompt, model ── understand ──► PromptSpec, and the model knows all of it

`parse` reads every caption back exactly, so that a judge can hold a clip against any prompt in this
language; what a prompt leaves out is free. Nothing is guessed and no word is without effect: an
unknown word is an error that names its nearest neighbours, and what is denied, said twice in
different ways, or cannot be shown is an error with one sentence that says so.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from minisora.inputs import reword
from minisora.pipeline import MiniSora
from minisora.text import words_of
from minisora.world import game_words, phrases
from minisora.world.captions import (
    OPPOSITE,
    POSITION_WORDS,
    WHEN,
    background_words,
    plural,
    speed_of,
    turning_of,
)
from minisora.world.families import LOOKS, PANS_AND_ZOOMS, SHOWS_PAN, SHOWS_ZOOM, SIMPLE_MOTIONS
from minisora.world.game_words import GameSpec
from minisora.world.rewordings import GAME_REWORDINGS, OF_SEVERAL, REWORDINGS
from minisora.world.scene import (
    COLORS,
    DIRECTIONS,
    MOST_OBJECTS,
    ROUND,
    SHAPES,
    TO_ANOTHER,
    TOOLS,
    Scene,
)
from minisora.world.story import in_order, tell
from minisora.world.unknown import explain, mended

CELL = r"x(\d+) y(\d+)"
PATH = re.compile(  # where an object is at the five moments, or all the time
    rf"\b{' '.join(f'{word} {CELL}' for word in WHEN)}\b|\bat {CELL}\b"
)
SYMBOLS = ("S", "Co", "Cn")  # categories of Unicode; the last two are signs that it does not know
QUOTES = "`´"  # are symbols for Unicode
STRAIGHT = (*DIRECTIONS, "diagonal")  # what "moving" alone may mean
ANY_STRAIGHT = {"moving", *STRAIGHT}
ADJECTIVES = ("size", "color", "speed")  # kinds of phrases that may stand before a noun
SCENERY = ("background", "shade", "texture", "pattern", "background word")  # kinds, too
CAMERA_SPEED = (
    "gives the camera a speed, and it has only one: say 'the camera pans left' alone, or 'slowly' "
    "or 'fast' right after what an object does"
)
ON = (
    "says 'on' of no background, as in 'on a black grid'; what is over another object is 'above' "
    "it or 'falls onto' it, and a lamp is off until something touches it"
)
PATTERN = (
    "says of an object what only a background is; say for example 'on a striped navy background' "
    "or 'on a plain white background'"
)
COLOR_SPEED = (
    "gives a change of colour a speed, and it comes at once: say 'a red circle turns blue'"
)
CUT = "does not say which background a cut leads to, as in 'cut to a white background'"
OTHER_SHAPE = "asks for an object that becomes another; only its colour changes: 'turns blue'"
SIZE_ALONE = (
    "has a size without an object, as in 'a little'; what moves, moves slowly or fast: say for "
    "example 'a red circle moving left slowly'"
)
COUNT_ALONE = (
    "has a number without a noun; name every object, as in 'a red circle and a blue circle'"
)


@dataclass(frozen=True)
class ObjectSpec:
    """What a prompt asks of one object; None is free."""

    shape: str | None = None
    color: str | None = None
    size: str | None = None
    motion: str | None = None
    speed: str | None = None  # "slow" or "fast"
    turning: str | None = None  # "clockwise" or "counterclockwise"
    then: str | None = None  # what it does next, see `SceneObject.then`
    place: str | None = None  # where it is at first, see `captions.place_of`
    path: tuple[tuple[int, int], ...] | None = None  # its cells (column, row) at the five moments


@dataclass(frozen=True)
class PromptSpec:
    """What a prompt asks for. Where a verb joins two objects, the first does it to the second."""

    objects: tuple[ObjectSpec, ...] = ()
    background: tuple[str, ...] | None = None  # one of these colours
    texture: str | None = None
    relation: str | None = None  # where objects[0] is, seen from objects[1]
    verb: str | None = None  # one of `scene.VERBS`
    camera: tuple[str, ...] | None = None  # one of these of `scene.CAMERAS`
    wall: bool = False
    cut: tuple[tuple[str, ...], str] | None = None  # colours and texture after the cut
    game: GameSpec | None = None  # of a clip of the game, which has nothing of the above


# ----------------------------------------------------------------------------------------- lexicon


Meaning = tuple[str, str]  # what kind of thing a phrase says, and what it says
VERB_PHRASES = {
    "hits": "hits",
    "pushes": "hits",
    "pushing": "hits",
    "bumps into": "hits",
    "is hit by": "hit by",
    "paints a line": "paints",
    "takes a bite out of": "bites",
    "bites": "bites",
    "touches": "lights",
    "lights": "lights",
    "lights up": "lights",
    "lights up when": "lit when",
    "and it lights up": "lights up",
    "touches it": "lights",
    "and bounces off": "bounces off",
    "and bounces off it": "bounces off",
}
OTHER_PHRASES: dict[str, Meaning] = {
    "behind a wall": ("wall", "wall"),
    "behind a gray wall": ("wall", "wall"),
    "behind the wall": ("wall", "wall"),
    "passes behind a wall": ("wall", "wall"),
    "from left to right": ("motion", "right"),
    "from right to left": ("motion", "left"),
    "cut to": ("cut", "cut"),
    "the camera": ("camera", "camera"),
    "camera": ("camera", "camera"),
    "while the camera": ("camera", "camera"),
    "then": ("then", "then"),
    "and then": ("then", "then"),
    "turns": ("turns", "turns"),
    "turning": ("turns", "turns"),
    "both": ("both", "both"),
    "that": ("filler", "that"),
    "that is": ("filler", "that"),
    "are": ("plural", "are"),
    "that are": ("plural", "are"),
    "starting": ("filler", "starting"),
    "there are": ("filler", "there"),
    "there is": ("filler", "there"),
}
FILLERS = ("a", "an", "the", "and", "is", "on", "first", "while", "when", "with")


def _lexicon() -> dict[tuple[str, ...], Meaning]:
    """Every phrase, word by word, with what it means."""
    found: dict[str, Meaning] = {word: ("filler", word) for word in FILLERS}
    tables: dict[str, dict[str, tuple[str, ...]]] = {
        "size": phrases.SIZE_WORDS,
        "color": phrases.COLOR_WORDS,
        "shape": phrases.SHAPE_WORDS,
        "adverb": phrases.SPEED_WORDS,
        "turning": phrases.TURNING_WORDS,
        "relation": phrases.RELATION_WORDS,
        "background": phrases.BACKGROUND_WORDS,
        "texture": phrases.TEXTURE_WORDS,
    }
    for kind, table in tables.items():
        for value, several in table.items():
            found |= {phrase: (kind, value) for phrase in several}
    for shape in SHAPES:
        for word in phrases.SHAPE_WORDS[shape]:
            found[plural(word)] = ("shapes", shape)
    for count, several in phrases.COUNT_WORDS.items():
        found |= {word: ("count", str(count)) for word in several}
    for value, forms in phrases.MOTION_WORDS.items():
        for participle, finite in forms:
            found |= dict.fromkeys((participle, finite), ("motion", value))
            if finite.startswith("is "):
                found[finite.removeprefix("is ")] = ("motion", value)
    for speed, several in phrases.SPEED_ADJECTIVES.items():
        found |= {word: ("speed", speed) for word in several}
    found |= {shade: ("shade", shade) for shade in phrases.SHADE_WORDS}
    found |= {word: ("polite", word) for word in phrases.POLITE}
    found |= {phrase: ("verb", verb) for phrase, verb in VERB_PHRASES.items()}
    for forms in (phrases.MOTION_WORDS["falling"], phrases.MOTION_WORDS["bouncing"]):
        for form in (form for both in forms for form in both):
            found |= dict.fromkeys((f"{form} on", f"{form} onto"), ("verb", "falls onto"))
    for both in phrases.FALLS_ONTO:
        found |= dict.fromkeys(both, ("verb", "falls onto"))
    found |= {f"the {word}": ("ordinal", str(i)) for i, word in enumerate(phrases.ORDINALS)}
    for texture in ("plain", "striped"):
        value = {"plain": "plain", "striped": "stripes"}[texture]
        found[texture] = ("pattern", value)
    found["landscape"] = ("texture", "hills")
    found["with hills"] = ("texture", "hills")
    found["background"] = ("background word", "background")
    found |= _places()
    found |= OTHER_PHRASES
    return {tuple(phrase.split()): meaning for phrase, meaning in found.items()}


def _places() -> dict[str, Meaning]:
    """ "at the top left" and all others."""
    places = {"in the middle": ("place", "in the middle")}
    for row in phrases.PLACE_ROWS:
        for column in phrases.PLACE_COLUMNS:
            words = [word for word in (row, column) if word != "middle"]
            if words:
                phrase = f"at the {' '.join(words)}"
                places[phrase] = ("place", phrase)
    return places


def _camera_lexicon() -> dict[tuple[str, ...], str]:
    """What may follow "the camera"."""
    found = {}
    for kind, forms in phrases.CAMERA_WORDS.items():
        for participle, finite in forms:
            found[tuple(participle.split())] = kind
            found[tuple(f"is {participle}".split())] = kind
            found[tuple(finite.split())] = kind
    for phrase in phrases.AWAY_WORDS:
        found[tuple(phrase.split())] = "looks away"
    return found


LEXICON = _lexicon()
CAMERA_LEXICON = _camera_lexicon()
CAMERA_VERBS = {phrase[0] for phrase in CAMERA_LEXICON}
LONGEST = max(map(len, LEXICON))  # words
SPEEDS = {phrase[0] for phrase, (kind, _) in LEXICON.items() if kind in ("speed", "adverb")}
NOUNS = {phrase[0] for phrase, (kind, _) in LEXICON.items() if kind in ("shape", "shapes")}
KNOWN = {*POSITION_WORDS, *" ".join(REWORDINGS).split()}
KNOWN |= {word for phrase in (*LEXICON, *CAMERA_LEXICON) for word in phrase}
GAME_KNOWN = {*game_words.GAME_WORDS, *POSITION_WORDS, *" ".join(GAME_REWORDINGS).split()}


# ------------------------------------------------------------------------------------------ parse


def parse(prompt: str) -> PromptSpec:
    """Turn a prompt into what it asks for.

    Raises:
        ValueError: an unknown word (the nearest known ones are named), no shape or more than three,
            something denied or said twice in different ways, something that pixels cannot show, a
            symbol, or positions that are not one path for every object.
    """
    _look_for_symbols(prompt)
    typed = words_of(prompt)
    _look_for_typos(prompt, typed)
    if game_words.is_about_game(typed):
        return _of_game(prompt, typed)
    if sum(word not in KNOWN for word in typed) > len(typed) / 2:
        raise ValueError(
            f"{prompt!r} is not understood; say for example 'a red circle moving left'"
        )
    text = " ".join(reword(typed, OF_SEVERAL))
    paths = [_path(match) for match in PATH.finditer(text)]
    words = PATH.sub("", text).split()
    sentence = _Sentence(prompt)
    meanings = list(_phrases(words, prompt))
    for i, (kind, value) in enumerate(meanings):
        sentence.take(kind, value, meanings[i + 1 :])
    spec = sentence.finish()
    if words and not spec.objects:
        raise ValueError(f"{prompt!r} names no shape; name one of {', '.join(SHAPES)}")
    if paths:
        if len(paths) != len(spec.objects):
            raise ValueError(
                f"{prompt!r} gives {len(paths)} positions for {len(spec.objects)} objects; "
                "give each its own, joined by 'and', or none"
            )
        pairs = zip(spec.objects, paths, strict=True)
        spec = replace(spec, objects=tuple(replace(own, path=path) for own, path in pairs))
    return _in_order(spec, sentence.passive)


def _of_game(prompt: str, typed: list[str]) -> PromptSpec:
    """What a sentence about the game asks for."""
    text = " ".join(reword(typed, REWORDINGS))
    paths = [_path(match) for match in PATH.finditer(text)]
    asked = game_words.understand(PATH.sub("", text).split(), prompt)
    if len(paths) > 1:
        raise ValueError(f"{prompt!r} gives {len(paths)} positions for one player")
    return PromptSpec(game=replace(asked, path=paths[0] if paths else None))


def _look_for_symbols(prompt: str) -> None:
    """Refuse signs that mean something, which `words_of` would leave out: emoji, arrows, "+"."""
    for sign in prompt:
        if unicodedata.category(sign).startswith(SYMBOLS) and sign not in QUOTES:
            raise ValueError(
                f"{sign!r} in {prompt!r} is a symbol, and only words are read; "
                "say it in words, for example 'a red circle moving left'"
            )


def _look_for_typos(prompt: str, words: list[str]) -> None:
    """Say what was perhaps meant, if that would be understood."""
    of_game = game_words.is_about_game(words)
    known = GAME_KNOWN if of_game else KNOWN
    meant = mended(words, known)
    if meant is None or meant == " ".join(words):
        return
    try:
        parse(meant)
    except ValueError:
        return
    wrong = [word for word in words if word not in known]
    raise ValueError(f"unknown in {prompt!r}: {', '.join(wrong)}; did you mean {meant!r}?")


def _what_follows(meanings: list[Meaning], over: Collection[str] = ADJECTIVES) -> str:
    """The kind of the next phrase that is none of some kinds."""
    return next((kind for kind, _ in meanings if kind not in over), "")


def _path(match: re.Match[str]) -> tuple[tuple[int, int], ...]:
    """Five cells (column, row) of one match of PATH."""
    numbers = [int(number) for number in match.groups() if number]
    cells = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    return cells * (len(WHEN) // len(cells))


def _in_order(spec: PromptSpec, passive: bool) -> PromptSpec:
    """Who does something comes first: "a circle is hit by a square" is turned round."""
    if not passive:
        return spec
    return replace(spec, objects=spec.objects[::-1])


def _phrases(words: list[str], prompt: str) -> Iterator[Meaning]:
    """The longest known phrases in turn."""
    start = 0
    while start < len(words):
        for length in range(LONGEST, 0, -1):
            phrase = tuple(words[start : start + length])
            if phrase in LEXICON and not _goes_on(phrase, words[start + length :]):
                break
        else:
            raise ValueError(explain(words, start, NOUNS, prompt))
        kind, value = LEXICON[phrase]
        start += len(phrase)
        if kind != "camera":
            yield kind, value
            continue
        for length in range(min(LONGEST, len(words) - start), 0, -1):
            phrase = tuple(words[start : start + length])
            if phrase in CAMERA_LEXICON:
                yield "camera", CAMERA_LEXICON[phrase]
                start += len(phrase)
                on = words[start : start + 1] == ["on"] and _begins_with_a_noun(words[start + 1 :])
                start += on or words[start : start + 1] == ["over"]
                break
        else:
            raise ValueError(f"{prompt!r} {_wrong_with_camera(words[start:])}")


def _wrong_with_camera(after: list[str]) -> str:
    """What cannot be read in the words after "the camera"."""
    speaks_of_it = not {*SPEEDS, *CAMERA_VERBS}.isdisjoint(after[:1])
    if speaks_of_it and not SPEEDS.isdisjoint(after[:5]):  # "pans to the left fast"
        return CAMERA_SPEED
    return (
        "does not say what the camera does; it pans left, right, up or down, "
        "zooms in or out, or looks away and back"
    )


def _goes_on(phrase: tuple[str, ...], after: list[str]) -> bool:
    """Whether a phrase means something else, because of the words after it.

    "moving left of a square" says a side, and "falls on a grid" where.
    """
    if phrase[-1] in ("left", "right") and LEXICON[phrase][0] == "motion":
        return after[:1] == ["of"]
    if phrase[-1] == "on" and LEXICON[phrase] == ("verb", "falls onto"):
        return not _begins_with_a_noun(after)
    return False


def _begins_with_a_noun(words: list[str]) -> bool:
    """Whether an object is named next: "a large blue square"."""
    for word in words:
        if word in NOUNS:
            return True
        kind, _ = LEXICON.get((word,), ("", ""))
        if kind not in ("filler", "size", "color", "speed", "count"):
            return False
    return False


@dataclass
class _Sentence:
    """What has been understood of a prompt so far."""

    prompt: str
    objects: list[dict[str, str]] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)  # relation, verb, camera, wall
    background: dict[str, str] = field(default_factory=dict)
    after_cut: dict[str, str] | None = None
    waiting: dict[str, str] = field(default_factory=dict)  # what is said of a noun yet to come
    count: int = 1  # of the nouns yet to come
    previous: str = ""  # the kind of the phrase before
    article: str = ""  # the phrase before, if it begins what the next noun ends
    definite: bool = False  # the next noun may be one that was named: "the"
    before_noun: bool = False  # what is said belongs to the next noun
    focus: int = 0  # index of the object of which something is said
    all_of_them: bool = False  # … or to all nouns: after "both", "are", and after a plural
    plural: bool = False  # after "are": a motion is said of all that have none yet
    named: int | None = None  # index of the object that the last noun spoke of again
    doer: int = 0  # index of the object that the verb is about
    furthest: int = 0  # index of the last object that an ordinal speaks of
    passive: bool = False
    next_event: bool = False  # after "then"
    color_next: bool = False  # after "turns"

    def take(self, kind: str, value: str, after: list[Meaning]) -> None:
        """Add one phrase. after: the phrases that follow."""
        self.before_noun = _what_follows(after) in ("shape", "shapes")
        self._check_company(kind, value, after)
        getattr(self, f"_{kind.replace(' ', '_')}")(value)
        self.previous = kind
        self.article = value if value in ("a", "an", "the", "and") else ""
        if value in ("a", "an", "the"):
            self.definite = value == "the"
        elif kind not in ("filler", "size", "color"):
            self.definite = False

    def _check_company(self, kind: str, value: str, after: list[Meaning]) -> None:
        """Refuse a phrase that says something only beside others than it has."""
        follows = _what_follows(after)
        colored = kind == "color" and not self.color_next
        if colored and follows in ("background word", "texture"):
            problem = (
                f"asks for a {value} background; backgrounds are "
                f"{', '.join(phrases.BACKGROUND_WORDS)}"
            )
        elif kind == "pattern" and self.before_noun:
            problem = PATTERN
        elif kind == "color" and self.color_next and self.before_noun:
            problem = OTHER_SHAPE
        elif kind in ("background", "shade") and self.before_noun:
            problem = (
                f"asks for an object in a colour of backgrounds; objects are {', '.join(COLORS)}, "
                f"each in one shade; say 'on a {value} background' of what is behind them"
            )
        elif kind in ("speed", "adverb") and self._is_of_camera(kind, after):
            problem = CAMERA_SPEED
        elif kind == "adverb" and follows == "turns" and self.previous != "motion":
            problem = COLOR_SPEED
        elif kind == "cut" and _what_follows(after, (*ADJECTIVES, "filler")) not in SCENERY:
            problem = CUT
        elif value == "on" and _what_follows(after, (*ADJECTIVES, "filler")) not in SCENERY:
            problem = ON
        elif kind == "size" and self.article == "a" and not self.before_noun:
            problem = SIZE_ALONE
        elif kind == "count" and self.objects and not self.before_noun:
            problem = COUNT_ALONE
        else:
            return
        raise ValueError(f"{self.prompt!r} {problem}")

    def _is_of_camera(self, kind: str, after: list[Meaning]) -> bool:
        """Whether a speed is the camera's: "slowly zooms in", "a fast camera"."""
        if after[:1] == [("filler", "starting")]:  # "…, slowly, starting at the left"
            return False
        if self.previous == "camera":
            return kind == "adverb" or not self.before_noun  # not "zooms in, fast circle"
        return _what_follows(after) == "camera" and self.previous != "motion"

    def finish(self) -> PromptSpec:
        """Give what still waits to the last object ("moving left, a circle"), and check."""
        for name, value in self.waiting.items():
            if self.objects:
                self._say(self.objects[-1], name, value)
        if len(self.objects) > MOST_OBJECTS:
            raise ValueError(
                f"{self.prompt!r} names {len(self.objects)} objects; the world has at most three"
            )
        for thing in self.objects:
            if thing.get("motion") == "spinning" and thing["shape"] in ROUND:
                raise ValueError(
                    f"a spinning {thing['shape']} looks like a still one; "
                    "spin a square, triangle, star or heart"
                )
        if self.doer and len(self.objects) == 2:
            self.objects.reverse()  # "a square and a circle, the circle hits the square"
        self._check_manners()
        self._check_verb()
        self._check_events()
        self._check_ends()
        colors, texture = _background_of(self.background)
        camera = self.about.get("camera")
        return PromptSpec(
            tuple(_object_spec(thing) for thing in self.objects),
            colors,
            texture,
            self.about.get("relation"),
            self.about.get("verb"),
            (LOOKS if camera == "looks away" else (camera,)) if camera else None,
            "wall" in self.about,
            _cut_of(self.after_cut),
        )

    def _check_verb(self) -> None:
        verb = self.about.get("verb")
        if verb == "lights" and len(self.objects) < 2:
            raise ValueError(
                f"{self.prompt!r} does not say what touches the lamp, which lights it: name a "
                "second object, as in 'a red circle touches a lamp'"
            )
        if verb == "falls onto":
            self._check_fall()
        if verb in TO_ANOTHER and len(self.objects) != 2:
            raise ValueError(f"{self.prompt!r} does not say what is touched: name a second object")
        if self.objects:
            self._check_tool(verb)
        if "relation" in self.about and len(self.objects) != 2:
            raise ValueError(
                f"{self.prompt!r} says {self.about['relation']!r} but names "
                f"{len(self.objects) or 'no'} object(s)"
            )

    def _check_tool(self, verb: str | None) -> None:
        """Only a brush paints, only a chomper bites, and only a lamp is lit."""
        for thing in self.objects:
            if thing["shape"] in TOOLS and "size" in thing:
                raise ValueError(
                    f"{self.prompt!r} asks for a {thing['size']} {thing['shape']}; "
                    "that has one size in this world, so leave the size out"
                )
        doer, *others = [thing["shape"] for thing in self.objects]
        if self.passive:
            doer, others = others[-1], [doer]
        if verb == "hits" and {doer, *others} & {*TOOLS}:
            raise ValueError(
                f"{self.prompt!r} lets something hit a tool, or a tool hit something; in this "
                "world a chomper bites, a brush paints a line, and a lamp is touched"
            )
        if verb == "paints" and doer != "brush":
            raise ValueError(f"{self.prompt!r} lets a {doer} paint; only a brush does")
        if verb == "bites" and doer != "chomper":
            raise ValueError(f"{self.prompt!r} lets a {doer} bite; only a chomper does")
        if verb == "lights" and others != ["lamp"]:
            raise ValueError(
                f"{self.prompt!r} lets a {doer} touch a {others[0]}; only a lamp is touched, and "
                "lights up: say 'a red circle touches a lamp', or 'a red circle hits a blue square'"
            )

    def _check_fall(self) -> None:
        """Take what goes without saying from the two objects of a fall, and refuse the rest."""
        if len(self.objects) != 2:
            raise ValueError(
                f"{self.prompt!r} names {len(self.objects)} object(s), but one falls onto another: "
                "say for example 'a red circle falls onto a blue square'"
            )
        first, second = self.objects
        motions = first.pop("motion", "falling"), second.pop("motion", "still")
        more = "then" in {*first, *second} or self.about.setdefault("relation", "above") != "above"
        if more or motions != ("falling", "still"):
            raise ValueError(
                f"{self.prompt!r} asks for more than a fall: what falls onto another object comes "
                "from above and bounces off, and the other stays where it is"
            )

    def _check_manners(self) -> None:
        """What is slow or fast moves straight, and what goes one way round turns."""
        for thing in self.objects:
            motion = thing.get("motion", self.about.get("verb", "moving"))
            if "speed" in thing and motion not in ANY_STRAIGHT:
                raise ValueError(
                    f"{self.prompt!r} asks for something {thing['speed']} that does not move "
                    "straight; only what moves left, right, up, down or diagonally is slow or fast"
                )

            motion = thing.get("motion", self.about.get("verb", "spinning"))
            if "turning" in thing and motion not in ("spinning", "circling"):
                raise ValueError(
                    f"{self.prompt!r} asks for something {thing['turning']} that does not turn; "
                    "only what spins or circles goes one way round or the other"
                )

    def _check_events(self) -> None:
        """What comes then is another way, a stop or another colour; before a way comes a way."""
        ways = ("stops", *DIRECTIONS)
        for thing in self.objects:
            motion, then = thing.get("motion", "moving"), thing.get("then")
            shown = motion != "stops" and then in (None, *ways, *COLORS)
            if then in ways and motion not in ("moving", *DIRECTIONS):
                shown = False
            if then and self.about.get("verb") in TO_ANOTHER:
                shown = False
            if then and then in (thing.get("motion"), thing.get("color")):
                shown = False
            if not shown:
                raise ValueError(
                    f"{self.prompt!r} asks for events that the world does not show; something "
                    "moves left, right, up or down, and then another way, or stops, or turns to "
                    "another colour, as in 'a red circle moving left, then stopping'"
                )

    def _check_ends(self) -> None:
        """What was begun must have been said."""
        if self.color_next:
            raise ValueError(
                f"{self.prompt!r} does not say which colour it turns; they are {', '.join(COLORS)}"
            )
        if self.next_event:
            raise ValueError(f"{self.prompt!r} does not say what happens then")
        if self.count > 1:
            raise ValueError(f"{self.prompt!r} does not say what there are {self.count} of")
        if self.objects and self.furthest >= len(self.objects):
            raise ValueError(
                f"{self.prompt!r} speaks of the {phrases.ORDINALS[self.furthest]} object, but "
                f"names {len(self.objects)}"
            )

    # one method for each kind of phrase

    def _filler(self, word: str) -> None:
        pass

    def _polite(self, word: str) -> None:
        pass

    def _both(self, word: str) -> None:
        self.all_of_them = True
        self.plural = False

    def _plural(self, word: str) -> None:
        """ "a star and a ring are falling", and "a star and a ring fall"."""
        self.all_of_them = self.plural = True

    def _ordinal(self, index: str) -> None:
        """ "the second small": what follows is about that object, in the order of naming."""
        self.furthest = max(self.furthest, int(index))
        if int(index) < len(self.objects):
            self.focus = int(index)
            self.all_of_them = False

    def _count(self, number: str) -> None:
        self.count = int(number)

    def _shape(self, shape: str) -> None:
        self._noun(shape, self.count)

    def _shapes(self, shape: str) -> None:
        self._noun(shape, max(self.count, 2))

    def _named_before(self, shape: str) -> int | None:
        """Which object "the red circle" is; None where none, or more than one, is such."""
        if not self.definite or self.count > 1:
            return None
        asked = {"shape": shape, **self.waiting}
        fitting = [k for k, thing in enumerate(self.objects) if asked.items() <= thing.items()]
        return fitting[0] if len(fitting) == 1 else None

    def _noun(self, shape: str, count: int) -> None:
        self.plural = False
        self.named = self._named_before(shape)
        if self.named is not None:
            self.focus = self.named
            self.all_of_them = False
            self.waiting = {}
            return
        if self.next_event:
            raise ValueError(
                f"{self.prompt!r} says what another object does then; "
                "in this world one object does two things, one after the other"
            )
        if shape == "lamp":
            if "color" in self.waiting:
                raise ValueError(
                    f"{self.prompt!r} asks for a lamp in a colour; in this world a lamp is off "
                    "until something touches it"
                )
            self.waiting["color"] = "off"
        for _ in range(count):
            self.objects.append({"shape": shape, **self.waiting})
        self.all_of_them = count > 1
        self.waiting = {}
        self.count = 1
        self.focus = len(self.objects) - 1

    def _size(self, value: str) -> None:
        self._adjective("size", value)

    def _color(self, value: str) -> None:
        if self.color_next:
            self.color_next = self.next_event = False
            self._event(value)
        else:
            self._adjective("color", value)

    def _adjective(self, name: str, value: str) -> None:
        if self.before_noun or not self.objects:
            self._say(self.waiting, name, value)
        else:
            for thing in self._meant():
                self._say(thing, name, value)

    def _motion(self, value: str) -> None:
        falls = self.about.get("verb") == "falls onto"
        if falls and value == "bouncing" and not self.before_noun:
            self.next_event = False  # "and bounces", as everything does that falls onto another
        elif self.next_event:
            self.next_event = False
            self._event("stops" if value == "still" else value)
        elif self.before_noun and self.article:  # "and a falling square"
            self._say(self.waiting, "motion", value)
        else:
            self._of_objects("motion", value)

    def _event(self, value: str) -> None:
        for thing in self._meant():
            self._say(thing, "then", value)

    def _speed(self, value: str) -> None:
        """ "moving fast" looks back, "a fast circle" forward."""
        if self.before_noun:
            self._say(self.waiting, "speed", value)
        else:
            self._of_objects("speed", value)

    def _adverb(self, value: str) -> None:
        self._speed(value)

    def _turning(self, value: str) -> None:
        self._of_objects("turning", value)

    def _place(self, value: str) -> None:
        self._of_objects("place", value)

    def _of_objects(self, name: str, value: str) -> None:
        if not self.objects:
            self._say(self.waiting, name, value)
        meant = self._meant()
        if self.plural and name == "motion":  # "a star grows, and a ring and a heart move up"
            meant = [thing for thing in meant if name not in thing] or meant
        for thing in meant:
            self._say(thing, name, value)

    def _meant(self) -> list[dict[str, str]]:
        """The objects of which something is said."""
        if not self.objects:
            return []
        return self.objects if self.all_of_them else [self.objects[self.focus]]

    def _then(self, word: str) -> None:
        self.next_event = True

    def _turns(self, word: str) -> None:
        self.color_next = True

    def _relation(self, value: str) -> None:
        self._say(self.about, "relation", value)

    def _verb(self, value: str) -> None:
        if value == "hit by":
            self.passive = True
            value = "hits"
        if value == "lit when":
            self.passive = True
            value = "lights"
        if value == "lights up":
            value = "lights"
        if value == "bounces off":
            if self.about.get("verb") != "falls onto":
                raise ValueError(
                    f"{self.prompt!r} does not say what falls; only what falls onto another object "
                    "bounces off it, as in 'a red circle falls onto a blue square'"
                )
            value = "falls onto"
        self.doer = self.named or 0
        self._say(self.about, "verb", value)

    def _camera(self, value: str) -> None:
        self._say(self.about, "camera", value)

    def _wall(self, value: str) -> None:
        self._say(self.about, "wall", value)

    def _cut(self, word: str) -> None:
        self.after_cut = {}

    def _background(self, value: str) -> None:
        self._say(self._scenery(), "color", value)

    def _shade(self, value: str) -> None:
        self._say(self._scenery(), "color", value)

    def _texture(self, value: str) -> None:
        self._say(self._scenery(), "texture", value)

    def _pattern(self, value: str) -> None:
        self._texture(value)

    def _background_word(self, word: str) -> None:
        self._scenery().setdefault("texture", "plain")

    def _scenery(self) -> dict[str, str]:
        return self.background if self.after_cut is None else self.after_cut

    def _say(self, of: dict[str, str], attribute: str, value: str) -> None:
        said = of.setdefault(attribute, value)
        if attribute == "motion" and "moving" in (said, value) and {said, value} <= ANY_STRAIGHT:
            of[attribute] = value if said == "moving" else said  # the one that says more
        elif said != value:
            raise ValueError(
                f"{self.prompt!r} says two things at once: {attribute} {said!r} and {value!r}"
            )


def _object_spec(said: dict[str, str]) -> ObjectSpec:
    return replace(ObjectSpec(), **said)  # type: ignore[arg-type]


def _background_of(said: dict[str, str]) -> tuple[tuple[str, ...] | None, str | None]:
    """Colours and texture; a background whose texture is not said is plain."""
    color = said.get("color")
    if color is None:
        return None, said.get("texture")
    return phrases.SHADE_WORDS.get(color, (color,)), said.get("texture", "plain")


def _cut_of(said: dict[str, str] | None) -> tuple[tuple[str, ...], str] | None:
    if said is None:
        return None
    colors, texture = _background_of(said)
    return (colors or tuple(phrases.BACKGROUND_WORDS), texture or "plain")


def understand(prompt: str, model: MiniSora) -> PromptSpec | None:
    """What a prompt asks of a model, before anything is generated.

    Returns:
        None where the model learned someone's own clips, and not the toy world: any of its words
        are right.

    Raises:
        ValueError: as `parse` and `check_known`.
    """
    if not model.tokenizer.rewordings:
        return None
    asked = parse(prompt)
    check_known(asked, model.preset.world, model.tokenizer.vocabulary)
    return asked


BY_PLAY = "minisora play makes a clip of the same sentence, with a model that knows the game"


def check_known(spec: PromptSpec, world: str, vocabulary: Collection[str] | None = None) -> None:
    """Refuse what the clips from which a model learned never showed.

    Args:
        world: one of `dataset.WORLDS`. vocabulary: the words that the model learned; all of them
            where None. What came into the world after a model has words that it never met.

    Raises:
        ValueError: what it is, and which model knows it.
    """
    _check_together(spec)
    if world == "whole":
        if spec.game and vocabulary is not None and not set(game_words.NAMES) <= set(vocabulary):
            raise ValueError(
                "this model was trained before there was a game in this world, so it never saw "
                f"that; {BY_PLAY}"
            )
        if spec.verb and vocabulary is not None and not set(spec.verb.split()) <= set(vocabulary):
            raise ValueError(
                f"this model was trained before one object {spec.verb} another in this world, so "
                "it never saw that; train it anew, or say 'a red circle hits a blue square'"
            )
        return
    if spec.game:
        raise ValueError(f"this model never saw the game; {BY_PLAY}")
    motions = [str(thing.motion) for thing in spec.objects]
    asked = {
        "camera motion": spec.camera not in (None, ("still",)),
        "walls": spec.wall,
        "cuts": spec.cut is not None,
        "objects that fall onto others": spec.verb == "falls onto",
        "brushes, chompers and lamps": any(thing.shape in TOOLS for thing in spec.objects),
        "a second event": any(thing.then for thing in spec.objects),
        "objects that leave and come back": any(map(_leaves, motions)),
        "three objects": len(spec.objects) > 2,
        "two objects of which the same is said": _alike(spec),
    }
    for name, wanted in asked.items():
        if wanted:
            raise ValueError(f"this model never saw {name}; ask for --model base")


MOTIONS_WITH = {  # with what → the motions that clips show
    "several objects": ("still", *DIRECTIONS),
    "a line that is painted": tuple(DIRECTIONS),
    "a wall": ("left", "right"),
    "a camera that pans or zooms": ("still", "spinning", *DIRECTIONS),
    "a camera that looks away": SIMPLE_MOTIONS,
    "a cut": SIMPLE_MOTIONS,
    "a second event": ("still", *DIRECTIONS),
}


def _check_together(spec: PromptSpec) -> None:
    """Refuse what no clip of any world shows together; see `families`.

    Sizes, and tools that do nothing, are left to the model: it has learned each of them elsewhere.
    """
    motions = [str(thing.motion) for thing in spec.objects]
    kinds = set(spec.camera or ("still",))
    asked = {
        "several objects": len(spec.objects) > 1,
        "a line that is painted": spec.verb == "paints",
        "a wall": spec.wall,
        "a camera that pans or zooms": bool(kinds & {*PANS_AND_ZOOMS}),
        "a camera that looks away": bool(kinds & {*LOOKS}),
        "a cut": spec.cut is not None,
        "a second event": any(thing.then for thing in spec.objects),
        "an object that leaves and comes back": any(map(_leaves, motions)),
    }
    found = [name for name, wanted in asked.items() if wanted]
    if len(found) > 1:
        raise ValueError(
            f"no clip of this world shows {found[0]} and {found[1]}; ask for one of them"
        )
    for name in found:
        _check_motions(name, motions)
    if spec.wall and any(thing.size == "large" for thing in spec.objects):
        raise ValueError("a large object does not fit behind the wall of this world; say 'small'")
    _check_background(spec.background, spec.texture, kinds - {"still"})
    looks = {replace(thing, place=None, path=None) for thing in spec.objects}
    if len(spec.objects) > 2 and len(looks) > 1:
        raise ValueError(
            "three objects of this world look alike and do the same, as in 'three red circles "
            "moving left'; name at most two that differ"
        )


BEFORE = {
    "plain": "a plain background",
    "gradient": "a gradient",
    "grid": "a grid",
    "stripes": "stripes",
}


def _check_motions(name: str, motions: Sequence[str]) -> None:
    """Refuse a motion that no clip shows together with what is named."""
    shown = MOTIONS_WITH.get(name)
    if shown is None:
        return
    for motion in motions:
        if motion not in ("None", "moving", *shown):
            asked, *can = [phrases.MOTION_WORDS[own][0][0] for own in (motion, *shown)]
            raise ValueError(
                f"with {name}, nothing in this world is {asked} by itself; "
                f"ask for something {', '.join(can[:-1])} or {can[-1]}"
            )


def _check_background(
    background: tuple[str, ...] | None,
    texture: str | None,
    cameras: Collection[str],
) -> None:
    """Refuse a background before which nobody would see a camera move."""
    if texture is None or not cameras:
        return
    shown: set[str] = set()
    for camera in cameras:
        move, way = camera.split(maxsplit=1)
        shown.update(("hills",) if move == "looks" else SHOWS_PAN.get(way, SHOWS_ZOOM))
    if texture not in shown:
        color = background[0] if background else "navy"
        raise ValueError(
            f"before {BEFORE[texture]} one does not see this camera move; "
            f"say for example 'on {background_words(color, 'hills')}'"
        )


def _leaves(motion: str) -> bool:
    return motion.startswith("leaving")


def _alike(spec: PromptSpec) -> bool:
    """Whether it is one noun for two, as in "two red circles", which no pair's caption has."""
    joined = spec.relation or spec.verb
    return len(spec.objects) == 2 and len(set(spec.objects)) == 1 and not joined


# ------------------------------------------------------------------------------ prompts and scenes


def spec_of(scene: Scene, duration: float = 2.0) -> PromptSpec:
    """What a caption that says everything but places and paths would ask for."""
    if scene.boards:
        return PromptSpec(game=game_words.everything(tell(scene.boards)))
    specs = []
    for thing in scene.objects:
        motion = None if scene.verb in TO_ANOTHER else thing.motion
        specs.append(
            ObjectSpec(
                thing.shape,
                thing.color,
                thing.size,
                motion,
                speed_of(thing, duration),
                turning_of(thing),
                thing.then,
            )
        )
    return PromptSpec(
        tuple(specs),
        (scene.background,),
        scene.texture,
        scene.relation,
        scene.verb,
        (scene.camera.kind,),
        bool(scene.wall),
        ((scene.cut.background,), scene.cut.texture) if scene.cut else None,
    )


def agrees(asked: PromptSpec, scene: Scene, duration: float = 2.0) -> bool:
    """Whether everything that was asked but places and paths holds in a scene.

    Two objects may be named either way round where no verb joins them.
    """
    if asked.game or scene.boards:
        return _agrees_with_game(asked, scene)
    truth = spec_of(scene, duration)
    if _agrees(asked, truth):
        return True
    if truth.relation is None or truth.verb:
        return False
    relation = OPPOSITE[truth.relation]
    return _agrees(asked, replace(truth, objects=truth.objects[::-1], relation=relation))


def _agrees_with_game(asked: PromptSpec, scene: Scene) -> bool:
    """Whether both are of the game, and all that was asked but a path happens."""
    if asked.game is None or not scene.boards:
        return False
    story = tell(scene.boards)
    return all(in_order(clause, story) for clause in asked.game.clauses)


def _agrees(asked: PromptSpec, truth: PromptSpec) -> bool:
    if len(asked.objects) != len(truth.objects):
        return False
    names = ("shape", "color", "size", "motion", "speed", "turning", "then")
    for a, b in zip(asked.objects, truth.objects, strict=True):
        if a.motion == "moving" and b.motion in STRAIGHT:
            a = replace(a, motion=b.motion)
        if not all(getattr(a, name) in (None, getattr(b, name)) for name in names):
            return False
    for name in ("texture", "relation", "verb"):
        if getattr(asked, name) not in (None, getattr(truth, name)):
            return False
    if asked.background and truth.background and truth.background[0] not in asked.background:
        return False
    if asked.camera and truth.camera and truth.camera[0] not in asked.camera:
        return False
    if asked.wall and not truth.wall:
        return False
    if (asked.cut is None) != (truth.cut is None):
        return False
    if asked.cut and truth.cut:
        return truth.cut[0][0] in asked.cut[0] and truth.cut[1] == asked.cut[1]
    return True
