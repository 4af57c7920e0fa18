"""One helpful sentence about a word that the language does not have."""

import difflib
from collections.abc import Collection, Sequence

from minisora.world import phrases
from minisora.world.captions import X_WORDS, Y_WORDS
from minisora.world.scene import BACKGROUND_COLORS, COLORS, DIRECTIONS, SHAPES, TOOLS

DENIALS = ("not", "no", "without", "never", "isn", "doesn", "don", "aren", "nothing", "none")
ARTICLES = ("a", "an", "the", "one", "two", "three", "and")
MOST = "the world shows one, two or three objects"
HITS = "say which of the two moves, for example 'a red circle hits a blue square'"
SIDE = "say on which side: 'to the left of', 'to the right of', 'above' or 'below'"
CUT = "say for example 'a red circle on black hills, cut to a white background'"
PAINTS = "say for example 'a red brush paints a line moving left'"
OFF = (
    "a wall hides what passes behind it, and only what falls onto another object bounces off it: "
    "say 'a red circle falls onto a blue square'"
)
WALL = "a wall is gray and hides what passes behind it: say 'a red circle passes behind a wall'"
SPEED = "what moves straight is slow or fast, and no more: say 'a red circle moving left slowly'"
VERY = "only a size or a speed is very much so: say for example 'very small' or 'very fast'"
OR = "choose one, for example 'a red circle'"
CAMERA = "the camera does one thing: say for example 'the camera zooms in'"
LEAVES = "say to which side: 'a red circle leaves to the left and comes back'"
WHERE_TO = (
    "say for example 'moving to the left', 'at the top left' or 'to the left of a blue square'"
)
TURNS = "say for example 'a red circle turns blue'"
AFTER = "one object does two things: say for example 'first moving up, then moving left'"
PLACE = "say where something begins, for example 'at the top left' or 'in the middle'"
TOPICS = (  # words that are often typed, and what to say instead
    ("zero four five six seven eight nine ten many several some", MOST),
    ("4 5 6 7 8 9 10 100 multiple lots group dozens", MOST),
    ("collide collides collision crash bump hit each meet touch", HITS),
    ("beside next near between around", SIDE),
    ("scene changes switches shot cut cuts", CUT),
    ("paint paints painting draws drawing line", PAINTS),
    ("off", OFF),
    ("wall fence behind pass passes passing hides", WALL),
    ("bit slightly somewhat quite rather", SPEED),
    ("very really so", VERY),
    ("or either", OR),
    ("leave leaves leaving exits comes returns back", LEAVES),
    ("pan pans panning zoom zooms zooming", CAMERA),
    ("to", WHERE_TO),
    ("until before after later", AFTER),
    ("from", TURNS),
    ("in", PLACE),
)
HINTS = {word: hint for words, hint in TOPICS for word in words.split()}
MOVES = (
    "move left, right, up, down or diagonally, fall, bounce, are thrown, circle, spin, grow, "
    "shrink, stand still, hit or fall onto each other, or pass behind a wall"
)
WAYS = ("upwards", "downwards", "leftwards", "rightwards", "sideways", "forward", "backwards")
OTHER_COLORS = ("purple", "violet", "brown", "magenta", "gold", "silver", "beige", "lime", "teal")
CLOSE = 0.65  # how alike a misspelt word and a known one are, from 0 to 1


def mended(words: Sequence[str], known: Collection[str]) -> str | None:
    """The words with the nearest known one for each unknown one; None where one has none.

    What is denied, joined by a hyphen, or a word of TOPICS is no slip of a known word.
    """
    found = []
    for word in words:
        near = [word]
        if word not in known:
            if word in DENIALS or word in HINTS or "-" in word or word.startswith("non"):
                return None
            near = difflib.get_close_matches(word, sorted(known), n=1, cutoff=CLOSE)
        if not near or (len(word) < 3 and word not in known):
            return None
        found += near
    return " ".join(found)


def explain(words: Sequence[str], start: int, nouns: Collection[str], prompt: str) -> str:
    """What is wrong with the word at `start`, and what the world can show instead.

    Args:
        nouns: words that name an object.
    """
    word = words[start]
    if not {*DENIALS}.isdisjoint(words[start : start + 2]):  # "no", or "does not"
        return (
            f"{word!r} in {prompt!r} denies something, which the world cannot show; "
            "say what there should be instead"
        )
    if not {*X_WORDS, *Y_WORDS}.isdisjoint(words[start : start + 2]):  # "x3", or "at x3"
        return (
            f"{word!r} is not part of a whole position in {prompt!r}; say 'at x16 y18' or "
            "'from x6 y24 early x9 y24 midway x12 y24 late x15 y24 to x18 y24'"
        )
    if word in DIRECTIONS or word in WAYS:
        return (
            f"{word!r} in {prompt!r} has no verb of its own, or is a second way for one motion; "
            "say for example 'moving up', or 'first moving up, then moving down'"
        )
    if word in HINTS:
        return f"{word!r} in {prompt!r} has no meaning in this world; {HINTS[word]}"
    if word in OTHER_COLORS or word in BACKGROUND_COLORS:
        return (
            f"{prompt!r} asks for something {word}; objects are {_or(list(COLORS))}, "
            f"backgrounds {_or(list(BACKGROUND_COLORS))}"
        )
    before = words[:start]
    looks = {*COLORS, *_flat(phrases.SIZE_WORDS), *_flat(phrases.SPEED_ADJECTIVES)}
    after = [later for later in words[start + 1 :] if later not in looks]
    if after and after[0] in nouns:
        return (
            f"{word!r} says nothing of an object in this world; "
            f"they are {_or(list(COLORS))}, each in one shade, small or large, and slow or fast"
        )
    names_a_thing = not before or before[-1] in (*ARTICLES, *looks, "of")
    if names_a_thing or set(before).isdisjoint(nouns):
        near = difflib.get_close_matches(word, sorted(nouns), n=1, cutoff=CLOSE)
        if near:
            return f"the world has no {word!r}; did you mean {near[0]!r}?"
        shapes = _or([*SHAPES, *TOOLS])
        return f"the world has no {word!r}; its shapes are {shapes}"
    return f"objects of this world do nothing that is called {word!r}: they {MOVES}"


def _or(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _flat(table: dict[str, tuple[str, ...]]) -> list[str]:
    return [word for several in table.values() for word in several]
