"""A sentence, said again as captions usually say it.

    "the circle is red and the square is blue and they both go down" ── parse ──► PromptSpec
    ── retell ──► "a red circle moving down and a blue square moving down"

People say in many ways what captions say in few, and a model knows captions. So what was understood
is said again in the usual words. Sora has a language model for this; here the parser understands,
and one rule for each part of a sentence writes. What has no usual words is left as it was typed.
"""

from collections.abc import Sequence

from minisora.pipeline import MiniSora
from minisora.world import phrases
from minisora.world.captions import background_words, plural
from minisora.world.families import LOOKS
from minisora.world.parse import ObjectSpec, PromptSpec, parse, understand

VERB_WORDS = {
    "hits": "hits",
    "falls onto": "falls onto",
    "bites": "takes a bite out of",
    "lights": "touches",
}


def read_again(prompt: str, model: MiniSora) -> str:
    """What a model is told in place of a prompt; the prompt itself where there is nothing better.

    Raises:
        ValueError: as `understand`.
    """
    asked = understand(prompt, model)
    if asked is None:
        return prompt
    told = retell(prompt, asked)
    knows = model.tokenizer.ids.keys() >= set(model.tokenizer.words(told))
    return told if knows else prompt


def retell(prompt: str, asked: PromptSpec) -> str:
    """The usual sentence for what a prompt asks, if it asks exactly the same."""
    try:
        told = usual_sentence(asked)
        same = parse(told) == asked
    except ValueError:
        return prompt
    return told if same else prompt


def usual_sentence(asked: PromptSpec) -> str:
    """Say what is asked as captions do.

    Raises:
        ValueError: no caption says such a thing.
    """
    if asked.game or not asked.objects or any(thing.path or thing.place for thing in asked.objects):
        raise ValueError("said in other words, it would not be the same")
    sentence = _what_happens(asked)
    where = _where(asked)
    if asked.cut:
        colors, texture = asked.cut
        return f"{sentence}{where}, cut to {background_words(_shade(colors), texture)}"
    if asked.camera:
        return f"{sentence}{where}, the camera {_camera(asked.camera)}"
    return f"{sentence}{where}"


def _what_happens(asked: PromptSpec) -> str:
    """Objects, and what they do."""
    first, *others = asked.objects
    if asked.verb == "paints":
        return f"{_name(first)} paints a line{_moves(first)}"
    if asked.verb:
        side = ""
        if asked.relation and asked.verb != "falls onto":
            side = f" {phrases.RELATION_WORDS[asked.relation][2]}"
        return f"{_name(first)} {VERB_WORDS[asked.verb]} {_name(others[0])}{side}"
    if asked.wall:
        way = _moves(first)
        return (
            f"{_name(first)}{way} behind a wall" if way else f"{_name(first)} passes behind a wall"
        )
    if not others:
        return f"{_name(first)}{_moves(first)}{_then(first)}"
    if asked.relation:
        side = phrases.RELATION_WORDS[asked.relation][0]
        return f"{_name(first)}{_moves(first)} {side} {_name(others[0])}{_moves(others[0])}"
    if all(other == first for other in others):
        count = phrases.COUNT_WORDS[len(asked.objects)][0]
        return f"{count} {plural(_adjectives_and_noun(first))}{_moves(first)}"
    return " and ".join(f"{_name(thing)}{_moves(thing)}" for thing in asked.objects)


def _name(thing: ObjectSpec) -> str:
    """ "a small red circle"."""
    words = _adjectives_and_noun(thing)
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def _adjectives_and_noun(thing: ObjectSpec) -> str:
    assert thing.shape is not None  # every object that is parsed has one
    color = None if thing.color == "off" else thing.color
    size = phrases.SIZE_WORDS[thing.size][0] if thing.size else None
    speed = None
    if thing.speed and thing.motion is None:
        speed = phrases.SPEED_ADJECTIVES[thing.speed][0]
    parts = (speed, size, phrases.COLOR_WORDS[color][0] if color else None)
    return " ".join([*(part for part in parts if part), phrases.SHAPE_WORDS[thing.shape][0]])


def _moves(thing: ObjectSpec) -> str:
    """ " moving left slowly", or nothing."""
    if thing.motion is None:
        return ""
    words = phrases.MOTION_WORDS[thing.motion][0][0]
    if thing.speed:
        words += f" {phrases.SPEED_WORDS[thing.speed][0]}"
    if thing.turning:
        words += f" {phrases.TURNING_WORDS[thing.turning][0]}"
    return f" {words}"


def _then(thing: ObjectSpec) -> str:
    """ ", then moving up", or nothing."""
    if thing.then is None:
        return ""
    if thing.motion is None:
        raise ValueError("a caption says what comes first")
    if thing.then in phrases.COLOR_WORDS:
        return f", then turning {phrases.COLOR_WORDS[thing.then][0]}"
    return f", then {phrases.MOTION_WORDS[thing.then][0][0]}"


def _where(asked: PromptSpec) -> str:
    """ " on a navy grid", or nothing."""
    if asked.background is None and asked.texture is None:
        return ""
    if asked.background is None or asked.texture is None:
        raise ValueError("a caption says colour and texture of a background")
    return f" on {background_words(_shade(asked.background), asked.texture)}"


def _shade(colors: tuple[str, ...]) -> str:
    """ "navy", or "dark" where it may be any of several."""
    for shade, own in phrases.SHADE_WORDS.items():
        if colors == own and len(colors) > 1:
            return shade
    return _one(colors)


def _camera(kinds: tuple[str, ...]) -> str:
    """ "pans left", "looks away and back"."""
    if kinds == LOOKS:
        return phrases.AWAY_WORDS[0]
    _, finite = phrases.CAMERA_WORDS[_one(kinds)][0]
    return finite


def _one(values: Sequence[str]) -> str:
    """The only one of several values.

    Raises:
        ValueError: there are others.
    """
    if len(values) != 1:
        raise ValueError("a caption says one")
    return values[0]
