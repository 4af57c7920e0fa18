"""Sentences about clips of the tile game, and what they ask for.

    Story ── sentence ──► "in the game, the player takes the key, then opens the door"
    words ── understand ──► GameSpec

A sentence has clauses, each of which is about the whole clip: the first one says what the player
does, and "first" and "overall" begin others. A clause is one group of doings or several, which
"then" puts in order; within a group the order is free.
"""

import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from minisora.world import phrases
from minisora.world.scene import DIRECTIONS
from minisora.world.story import (
    COINS,
    DOINGS,
    DOOR,
    KEY,
    PUSH,
    PUSHES,
    WALKS,
    Story,
    counted,
    in_turn,
    way_of,
)

Clause = tuple[tuple[str, ...], ...]  # groups of doings, in order


@dataclass(frozen=True)
class GameSpec:
    """What a sentence asks of a clip of the game: all of it must happen."""

    clauses: tuple[Clause, ...] = ()
    path: tuple[tuple[int, int], ...] | None = None  # the player's cells at the five moments

    def __str__(self) -> str:
        """What the player does, in words."""
        return ", ".join(", then ".join(" and ".join(own) for own in c) for c in self.clauses)


# ------------------------------------------------------------------------------------------- words

OPENINGS = ("in the game", "in a game", "in the video game", "in a video game")
PLAYERS = ("the player", "a player")
PARTICIPLES = {"takes": "taking", "opens": "opening", "pushes": "pushing"}
WALKING = {"walks": "walking", "moves": "moving", "goes": "going"}
ACROSS = ("left", "right")  # ways that one also goes "to the left"
OVERALL, FIRST, THEN = "overall", "first", "then"


def _forms() -> dict[str, tuple[tuple[str, str], ...]]:
    """Doing → (takes a coin, taking a coin), and other ways to say it."""
    forms: dict[str, tuple[tuple[str, str], ...]] = {}
    for way in DIRECTIONS:
        several = []
        for finite, participle in WALKING.items():
            several.append((f"{finite} {way}", f"{participle} {way}"))
            if way in ACROSS:
                several.append((f"{finite} to the {way}", f"{participle} to the {way}"))
        if way not in ACROSS:
            several.append((f"moves {way}wards", f"moving {way}wards"))
        forms[f"walks {way}"] = tuple(several)
    for doing in (*COINS, KEY, DOOR, PUSH, *PUSHES):
        verb, rest = doing.split(" ", 1)
        way = doing.split()[-1]
        rests = [rest]
        if way in ACROSS:
            rests.append(f"{rest.removesuffix(way)}to the {way}")
        if verb == "pushes":
            rests += [own.replace("a box", "the box") for own in rests]
        forms[doing] = tuple((f"{verb} {own}", f"{PARTICIPLES[verb]} {own}") for own in rests)
    return forms


FORMS = _forms()


def _vocabulary() -> set[str]:
    """Every word of a caption of the game."""
    words = {*" ".join((*OPENINGS, *PLAYERS, OVERALL, FIRST, THEN, "and is")).split()}
    for forms in FORMS.values():
        for both in forms:
            words.update(" ".join(both).split())
    return words


GAME_VOCABULARY = _vocabulary()


# ----------------------------------------------------------------------------- saying what happens

OFTEN = {DOOR: 4, KEY: 3, **dict.fromkeys(PUSHES, 3), **dict.fromkeys(COINS, 2)}  # where it happens


def sentence(story: Story, rng: random.Random, full: bool) -> str:
    """Say some of what happens in a clip: one thing, or, mostly in full, two or three."""
    kinds: list[Callable[[Story, random.Random], Clause]] = [_one, _together, _in_turn, _ways]
    weights = (25, 25, 30, 20) if full else (60, 15, 15, 10)
    (kind,) = rng.choices(kinds, weights)
    clause = kind(story, rng) or _one(story, rng)
    opening = OPENINGS[0] if rng.random() < 0.6 else rng.choice(OPENINGS)
    player = PLAYERS[0] if rng.random() < 0.8 else PLAYERS[1]
    goes_on = rng.random() < 0.2  # "is walking"
    first = f"{FIRST} " if len(clause) > 1 and rng.random() < 0.1 else ""
    is_it = "is " if goes_on else ""
    return f"{opening}, {player} {is_it}{first}{_said(clause, rng, goes_on)}"


def _said(clause: Clause, rng: random.Random, participle: bool = False) -> str:
    """A clause in words: "takes a coin and walks left, then opens the door"."""
    groups = []
    for group in clause:
        words = [_form(doing, rng)[participle] for doing in group]
        *before, last = words
        groups.append(f"{', '.join(before)} and {last}" if before else last)
    link = ", then " if rng.random() < 0.7 else " and then "
    return link.join(groups)


def _form(doing: str, rng: random.Random) -> tuple[str, str]:
    """The usual form of a doing, or another."""
    return FORMS[doing][0] if rng.random() < 0.6 else rng.choice(FORMS[doing])


def _happened(story: Story) -> list[str]:
    """Everything that is done but walks, once each, with the number of coins."""
    events = [doing for _, doing in story.events]
    coins = events.count("takes a coin")
    doings = list(dict.fromkeys(doing for doing in events if doing != "takes a coin"))
    return [*doings, counted(coins)] if coins else doings


def _draw(doings: Sequence[str], rng: random.Random, count: int) -> list[str]:
    """Some different doings, the rare ones more often."""
    left = list(doings)
    drawn = []
    for _ in range(min(count, len(left))):
        (doing,) = rng.choices(left, [OFTEN[own] for own in left])
        left.remove(doing)
        drawn.append(doing)
    return drawn


def _loosely(doing: str, rng: random.Random) -> str:
    """The same, or now and then with less said: "pushes a box", "takes a coin"."""
    if doing in PUSHES and rng.random() < 0.3:
        return PUSH
    if doing in COINS and rng.random() < 0.15:
        return "takes a coin"
    return doing


def _one(story: Story, rng: random.Random) -> Clause:
    """One doing: where it gets on in some direction, that or an event."""
    way, events = way_of(story), _happened(story)
    if way and (not events or rng.random() < 0.5):
        return ((f"walks {way}",),)
    (doing,) = _draw(events, rng, 1)
    return ((_loosely(doing, rng),),)


def _together(story: Story, rng: random.Random) -> Clause:
    """The way and one or two events, or two events, in any order."""
    way, events = way_of(story), _happened(story)
    count = 2 if not way or rng.random() < 0.2 else 1
    doings = list(dict.fromkeys(_loosely(own, rng) for own in _draw(events, rng, count)))
    if way:
        doings.append(f"walks {way}")
    rng.shuffle(doings)
    return (tuple(doings),) if doings else ()


def _in_turn(story: Story, rng: random.Random) -> Clause:
    """Two or three events in their order."""
    turns = in_turn(story)
    count = 3 if rng.random() < 0.25 else 2
    if len(turns) < 2:
        return ()
    rows = sorted(rng.sample(range(len(turns)), min(count, len(turns))))
    return tuple((_loosely(turns[row], rng),) for row in rows)


def _ways(story: Story, rng: random.Random) -> Clause:
    """A way, and then another way or an event; or an event, and then a way."""
    found: dict[str, set[tuple[str, str]]] = {"ways": set(), "first": set(), "then": set()}
    for turn in range(1, story.last):
        before = [doing for step, doing in story.events if step <= turn]
        after = [doing for step, doing in story.events if step > turn]
        first, then = way_of(story, 0, turn), way_of(story, turn)
        if first and then and first != then:
            found["ways"].add((f"walks {first}", f"walks {then}"))
        if first:
            found["first"] |= {(f"walks {first}", doing) for doing in after}
        if then:
            found["then"] |= {(doing, f"walks {then}") for doing in before}
    some = [sorted(pairs) for pairs in found.values() if pairs]
    if not some:
        return ()
    pair = rng.choice(rng.choice(some))
    return tuple((_loosely(doing, rng),) for doing in pair)


MOST_TURNS = 6  # of a story, that are said


def everything(story: Story) -> GameSpec:
    """The way of the player, and all that it does in order, or the first six of it."""
    way, turns = way_of(story), in_turn(story)
    clauses: list[Clause] = []
    if way:
        clauses.append(((f"walks {way}",),))
    if turns:
        clauses.append(tuple((doing,) for doing in turns[:MOST_TURNS]))
    return GameSpec(tuple(clauses))


def rest(story: Story) -> str:
    """`everything` in its usual words: "overall walks right, first takes a coin, then …"."""
    words = []
    for clause in everything(story).clauses:
        word = OVERALL if clause[0][0] in WALKS else FIRST
        words.append(f"{word} {', then '.join(group[0] for group in clause)}")
    return ", ".join(words)


# ------------------------------------------------------------------------------------ understanding

EXAMPLE = "'in the game, the player takes the key, then opens the door'"
SHOWS = (
    "in the game the player walks left, right, up or down, takes coins or the key, opens the door, "
    f"or pushes a box: say for example {EXAMPLE}"
)
MARKS = {THEN: "then", "and then": "then", FIRST: "clause", OVERALL: "clause"}
FILLERS = ("and", "it", "is", "the player", "a player", "player")


def _lexicon() -> dict[tuple[str, ...], tuple[str, str]]:
    """Phrase, word by word → what kind of thing it says, and what it says."""
    found = {phrase: ("doing", doing) for doing in DOINGS for phrase in sum(FORMS[doing], ())}
    found |= {way: ("way", f"walks {way}") for way in DIRECTIONS}
    for doing in (*COINS, KEY):  # "takes a coin and the key"
        found[doing.removeprefix("takes ")] = ("taken", doing)
    found |= {mark: (kind, mark) for mark, kind in MARKS.items()}
    found |= {word: ("filler", word) for word in FILLERS}
    return {tuple(phrase.split()): meaning for phrase, meaning in found.items()}


LEXICON = _lexicon()
LONGEST = max(map(len, LEXICON))
DENIALS = ("not", "no", "without", "never", "doesn", "isn", "nothing", "none")
NAMES = ("game", "player")  # a sentence with one of these words is about the game
GAME_WORDS = {*" ".join((*OPENINGS, *phrases.POLITE)).split(), *(w for own in LEXICON for w in own)}


def is_about_game(words: Collection[str]) -> bool:
    """Whether a sentence is about the game, and not about the objects of the toy world."""
    return not set(NAMES).isdisjoint(words)


def understand(words: Sequence[str], prompt: str) -> GameSpec:
    """Turn the words of a sentence, without positions, into what it asks for.

    Args:
        prompt: the sentence as it was typed, for messages.

    Raises:
        ValueError: something that the game does not show, or that cannot be true of one clip.
    """
    words = list(words)
    start = _after(words, 0, phrases.POLITE)
    begins = _after(words, start, OPENINGS)
    if begins == start:
        raise ValueError(f"{prompt!r} does not begin with 'in the game'; {SHOWS}")
    acts = _after(words, begins, (*PLAYERS, "player"))
    if acts == begins:
        raise ValueError(f"{prompt!r} does not go on with 'the player'; {SHOWS}")
    reading = _Reading(prompt)
    while acts < len(words):
        phrase = _longest(words, acts)
        if phrase is None:
            raise ValueError(_unknown(words[acts : acts + 3], prompt))
        reading.take(*LEXICON[phrase])
        acts += len(phrase)
    return reading.finish()


def _after(words: list[str], start: int, several: Collection[str]) -> int:
    """The place after the longest of some phrases, if one of them begins at `start`."""
    lengths = [
        len(p.split()) for p in several if words[start : start + len(p.split())] == p.split()
    ]
    return start + max(lengths, default=0)


def _longest(words: list[str], start: int) -> tuple[str, ...] | None:
    """The longest phrase of the game that begins at `start`."""
    for length in range(LONGEST, 0, -1):
        phrase = tuple(words[start : start + length])
        if phrase in LEXICON:
            return phrase
    return None


def _unknown(words: Sequence[str], prompt: str) -> str:
    """What is wrong with some words, and what the game shows."""
    if not set(DENIALS).isdisjoint(words):
        return f"{prompt!r} denies something, which no clip shows; {SHOWS}"
    return f"{' '.join(words)!r} in {prompt!r} is nothing that the game shows; {SHOWS}"


@dataclass
class _Reading:
    """What has been understood of a sentence so far."""

    prompt: str
    clauses: list[list[list[str]]] = field(default_factory=lambda: [[[]]])
    last: str = ""  # the doing before

    def take(self, kind: str, value: str) -> None:
        """Add one phrase of the lexicon."""
        clause = self.clauses[-1]
        if kind == "filler":
            return
        if kind == "then":
            self._check_said(clause)
            clause.append([])
            return
        if kind == "clause":
            if clause != [[]]:
                self._check_said(clause)
                self.clauses.append([[]])
            return
        if kind == "way" and self.last not in WALKS:
            raise ValueError(f"{self.prompt!r} does not say what goes {value[6:]}; {SHOWS}")
        if kind == "taken" and self.last not in (*COINS, KEY):
            raise ValueError(f"{self.prompt!r} does not say what is done to a thing; {SHOWS}")
        clause[-1].append(value)
        self.last = value

    def _check_said(self, clause: list[list[str]]) -> None:
        if not clause[-1]:
            raise ValueError(f"{self.prompt!r} does not say what the player does; {SHOWS}")

    def finish(self) -> GameSpec:
        """All clauses, if one clip can show them."""
        for clause in self.clauses:
            self._check_said(clause)
            self._check_clause(clause)
        whole = [doing for clause in self.clauses if len(clause) == 1 for doing in clause[0]]
        self._check_ways(whole)
        return GameSpec(tuple(tuple(map(tuple, clause)) for clause in self.clauses))

    def _check_ways(self, group: Sequence[str]) -> None:
        ways = {doing for doing in group if doing in WALKS}
        if len(ways) > 1:
            raise ValueError(
                f"{self.prompt!r} says two ways at once: {' and '.join(sorted(ways))}; one may "
                "follow the other, as in 'in the game, the player walks left, then walks up'"
            )

    def _check_clause(self, clause: list[list[str]]) -> None:
        """Refuse what is said twice in a group, and more than a board has."""
        for group in clause:
            self._check_ways(group)
            if len(set(group)) < len(group) or sum(doing in COINS for doing in group) > 1:
                raise ValueError(
                    f"{self.prompt!r} says twice what is done once; say how often, as in 'takes "
                    "two coins', or join it by 'then'"
                )
        doings = [doing for group in clause for doing in group]
        coins = sum(COINS[doing][0] for doing in doings if doing in COINS)
        if coins > COINS["takes a coin"][1]:
            raise ValueError(
                f"{self.prompt!r} asks for {coins} coins; a board of the game has five"
            )
        rows = {own: [i for i, g in enumerate(clause) if own in g] for own in (KEY, DOOR)}
        self._check_key(rows[KEY], rows[DOOR])

    def _check_key(self, key: list[int], door: list[int]) -> None:
        """There are one key and one door, which takes the key."""
        once = len(key) < 2 and len(door) < 2
        if not once or (key and door and door[0] < key[0]):
            raise ValueError(
                f"{self.prompt!r} cannot happen: a board of the game has one key and one door, "
                f"and the door opens after the key is taken; {SHOWS}"
            )
