"""English from scenes.

    Scene ── caption ──► "a large red circle is bouncing on a navy grid"

Captions vary in length, wording and order, and may leave things out; what is left out is free.
A *complete* caption adds in words what its plain one left open, and a *detailed* one where every
object is, in cells of a grid over the frame: "…, from x6 y24 early x9 y24 midway x12 y24 late
x15 y24 to x18 y24". (Sora was trained on long captions that a model wrote, as the picture model
DALL-E 3 was.)
"""

import random
from dataclasses import dataclass, field

from minisora.world import game_words, phrases
from minisora.world.scene import (
    COLORS,
    DIRECTIONS,
    FPS,
    SHAPES,
    Scene,
    SceneObject,
    simulate,
)
from minisora.world.story import path_of, tell

OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
GRID_CELLS = 32  # columns x0 … x31 from left to right, rows y0 … y31 from top to bottom
WHEN = ("from", "early", "midway", "late", "to")  # first and last frame, and three evenly between
FAST_FROM = 0.72  # half-widths in the whole clip, from which a motion is fast


# ------------------------------------------------------------------------------------- vocabulary

FILLERS = (
    "a",
    "an",
    "the",
    "and",
    "is",
    "are",
    "it",
    "on",
    "that",
    "there",
    "both",
    "with",
    "of",
    "in",
    "at",
    "starting",
    "first",
    "second",
    "third",
    "then",
    "behind",
    "wall",
    "camera",
    "over",
    "while",
    "cut",
    "to",
    "turns",
    "turning",
    "up",
    "lights",
    "when",
    "touches",
    "takes",
    "bite",
    "out",
    "bites",
    "paints",
    "passes",
    "line",
    "hits",
    "bumps",
    "into",
    "by",
    "hit",
)
X_WORDS = tuple(f"x{i}" for i in range(GRID_CELLS))
Y_WORDS = tuple(f"y{i}" for i in range(GRID_CELLS))
POSITION_WORDS = (*WHEN, "at", *X_WORDS, *Y_WORDS)


def _vocabulary() -> tuple[str, ...]:
    """Every word that a caption may have."""
    words = {*FILLERS, *POSITION_WORDS, *phrases.ORDINALS, *phrases.SHADE_WORDS}
    words |= game_words.GAME_VOCABULARY
    words |= {*phrases.PLACE_ROWS, *phrases.PLACE_COLUMNS}
    simple = (
        phrases.SIZE_WORDS,
        phrases.COLOR_WORDS,
        phrases.SHAPE_WORDS,
        phrases.COUNT_WORDS,
        phrases.SPEED_WORDS,
        phrases.SPEED_ADJECTIVES,
        phrases.TURNING_WORDS,
        phrases.RELATION_WORDS,
        phrases.TEXTURE_WORDS,
        phrases.BACKGROUND_WORDS,
    )
    for table in simple:
        for several in table.values():
            words.update(" ".join(several).split())
    for verbs in (phrases.MOTION_WORDS, phrases.CAMERA_WORDS):
        for forms in verbs.values():
            for participle, finite in forms:
                words.update(f"{participle} {finite}".split())
    for participle, finite in phrases.FALLS_ONTO:
        words.update(f"{participle} {finite}".split())
    others = (*phrases.POLITE, *phrases.AWAY_WORDS, *phrases.AND_BOUNCES)
    words.update(" ".join(others).split())
    for shape in SHAPES:
        words.update(map(plural, phrases.SHAPE_WORDS[shape]))
    return tuple(sorted(words))


def plural(word: str) -> str:
    """More than one: "circles", "boxes"."""
    return phrases.PLURALS.get(word, f"{word}s")


VOCABULARY = _vocabulary()


# ------------------------------------------------------------------------------------- what is true


def speed_of(thing: SceneObject, duration: float) -> str | None:
    """ "slow" or "fast" of an object that moves straight, else None."""
    if thing.motion not in (*DIRECTIONS, "diagonal"):
        return None
    travel = max(abs(thing.vx), abs(thing.vy)) * duration
    return "fast" if travel >= FAST_FROM else "slow"


def turning_of(thing: SceneObject) -> str | None:
    """ "clockwise" or "counterclockwise" of an object that spins or circles, else None."""
    rate = thing.spin or thing.angular_velocity
    if not rate:
        return None
    return "clockwise" if rate > 0 else "counterclockwise"


def place_of(x: float, y: float, frame: tuple[float, float]) -> str:
    """One of nine places on the screen: "at the top left", "in the middle"."""
    column = phrases.PLACE_COLUMNS[_third(x / frame[0])]
    row = phrases.PLACE_ROWS[_third(y / frame[1])]
    if row == column == "middle":
        return "in the middle"
    words = [word for word in (row, column) if word != "middle"]
    return f"at the {' '.join(words)}"


def _third(part: float) -> int:
    """0, 1 or 2: the lower, middle or upper third of -0.75 … 0.75, where centres usually are."""
    if part < -0.25:
        return 0
    return 1 if part <= 0.25 else 2


def background_words(color: str, texture: str) -> str:
    """A background in its usual words: "a navy grid", "navy hills"."""
    word = phrases.TEXTURE_WORDS[texture][0]
    return f"{color} {word}" if word in ("hills", "stripes") else f"a {color} {word}"


# ---------------------------------------------------------------------------------------- captions


@dataclass
class Caption:
    """A sentence under construction: it knows what it has said."""

    scene: Scene
    rng: random.Random
    full: bool  # articles, sizes and backgrounds are said; a short one leaves out some
    duration: float
    named: list[SceneObject] = field(default_factory=list)  # in the order in which it names them
    said: set[tuple[int, str]] = field(default_factory=set)  # (index of the object, attribute)

    def choose(self, options: tuple[str, ...]) -> str:
        """The first, usual phrase half of the time, else any."""
        return options[0] if self.rng.random() < 0.5 else self.rng.choice(options)

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def name(self, thing: SceneObject, sized: float, article: bool = True) -> str:
        """Size (with a probability), colour and shape of an object."""
        self.named.append(thing)
        words = [self.choose(phrases.SHAPE_WORDS[thing.shape])]
        if thing.color != "off" and not self.chance(0.04):
            words.insert(0, self.choose(phrases.COLOR_WORDS[thing.color]))
            self.say(thing, "color")
        if thing.shape in SHAPES and self.chance(sized):
            words.insert(0, self.choose(phrases.SIZE_WORDS[thing.size]))
            self.say(thing, "size")
        speed = speed_of(thing, self.duration)
        if speed and self.scene.verb is None and self.chance(0.05):
            words.insert(0, self.choose(phrases.SPEED_ADJECTIVES[speed]))
            self.say(thing, "speed")
        return self.article(" ".join(words)) if article else " ".join(words)

    def article(self, words: str) -> str:
        if not self.full:
            return words
        if self.chance(0.02):
            return f"one {words}"
        return f"an {words}" if words[0] in "aeiou" else f"a {words}"

    def say(self, thing: SceneObject, attribute: str) -> None:
        self.said.add((self.index(thing), attribute))

    def index(self, thing: SceneObject) -> int:
        return next(i for i, other in enumerate(self.scene.objects) if other is thing)

    def moves(self, thing: SceneObject, finite: bool, detail: float = 0.25) -> str:
        """The motion, and now and then its speed or which way round."""
        forms = phrases.MOTION_WORDS[thing.motion]
        if thing.motion in (*DIRECTIONS, "diagonal") and self.chance(0.04):
            forms = phrases.MOTION_WORDS["moving"]
        else:
            self.say(thing, "motion")
        form = forms[0] if self.chance(0.5) else self.rng.choice(forms)
        return form[finite] + self.manner(thing, detail)

    def manner(self, thing: SceneObject, probability: float) -> str:
        speed, turning = speed_of(thing, self.duration), turning_of(thing)
        told = (self.index(thing), "speed") in self.said
        if speed and not told and self.chance(probability):
            self.say(thing, "speed")
            return f" {self.choose(phrases.SPEED_WORDS[speed])}"
        if turning and self.chance(probability):
            self.say(thing, "turning")
            return f" {self.choose(phrases.TURNING_WORDS[turning])}"
        return ""

    def where(self) -> str:
        """ " on a navy grid", or nothing in some short captions."""
        if not self.full and self.chance(0.6):
            return ""
        self.said.add((-1, "background"))
        return f" on {self.background(self.scene.background, self.scene.texture)}"

    def background(self, color: str, texture: str) -> str:
        """ "a navy grid", "white hills"."""
        shades = [shade for shade, colors in phrases.SHADE_WORDS.items() if color in colors]
        name = self.choose(phrases.BACKGROUND_WORDS[color])
        if shades and self.chance(0.07):
            name = shades[0]
        words = self.choose(phrases.TEXTURE_WORDS[texture])
        if words in ("hills", "stripes"):
            return f"{name} {words}"
        if words.startswith(("plain", "striped", "landscape")):
            first, rest = words.split(" ", 1)
            words = f"{first} {name} {rest}" if first != "landscape" else f"{name} {words}"
            return f"a {words}"
        return f"a {name} {words}"


def caption(
    scene: Scene,
    rng: random.Random,
    style: str | None = None,
    *,
    num_frames: int = 17,
    fps: float = FPS,
) -> str:
    """Describe a scene in one of many ways.

    Args:
        rng: chooses the words.
        style: "descriptive" (everything said, but not all sizes of two objects), "short" (some of
            it), or None for either.
        num_frames, fps: of the clip, by whose length slow and fast are told apart.
    """
    return _caption(scene, rng, style, num_frames, fps)[0]


def _caption(
    scene: Scene, rng: random.Random, style: str | None, num_frames: int, fps: float
) -> tuple[str, Caption]:
    """A sentence, and what it has said."""
    style = style or rng.choice(("descriptive", "descriptive", "short"))
    duration = max(num_frames - 1, 1) / fps
    words = Caption(scene, rng, style == "descriptive", duration)
    sentence = SENTENCES[scene.family](words)
    if words.chance(0.08):
        sentence = f"{rng.choice(phrases.POLITE)} {sentence}"
    return sentence, words


# One function for each family. The order of the calls is the order of the words.


def _solo(words: Caption) -> str:
    (thing,) = words.scene.objects
    if not words.full:
        name = words.name(thing, 0.5)
        if words.chance(0.15):  # nothing is said of its motion
            return f"{name}{words.where()}"
        moves = words.moves(thing, False)
        where = words.where()
        return f"{name} {moves}{where}" if words.chance(0.7) else f"{moves} {name}{where}"
    where = words.where()
    kind = words.rng.randrange(7)
    if kind == 5:
        size, color = phrases.SIZE_WORDS[thing.size], phrases.COLOR_WORDS[thing.color]
        words.say(thing, "size")
        words.say(thing, "color")
        words.named.append(thing)
        looks = f"{words.choose(size)} and {words.choose(color)}"
        shape = words.article(words.choose(phrases.SHAPE_WORDS[thing.shape]))
        return f"{shape} that is {looks} is {words.moves(thing, False)}{where}"
    name = words.name(thing, 0.7)
    if kind == 0:
        return f"{name} is {words.moves(thing, False)}{where}"
    if kind == 1:
        return f"{words.moves(thing, False)}{where}, {name}"
    if kind == 6:
        return f"{name} that {words.moves(thing, True)}{where}"
    if kind == 2:
        return f"{where.strip()}, {name} {words.moves(thing, True)}"
    return f"{name} {words.moves(thing, kind == 3)}{where}"


def _order(words: Caption) -> str:
    (thing,) = words.scene.objects
    assert thing.then is not None
    name = words.name(thing, 0.5 if words.full else 0.2)
    finite = words.chance(0.5)
    before = words.moves(thing, finite, 0.1)
    if thing.then in COLORS:
        color = words.choose(phrases.COLOR_WORDS[thing.then])
        after = f"turns {color}" if finite else f"turning {color}"
    else:
        forms = phrases.MOTION_WORDS[thing.then]
        after = words.rng.choice(forms[:3])[finite]
    words.say(thing, "then")
    first = "first " if words.chance(0.5) else ""
    link = ", then " if first or words.chance(0.6) else " and then "
    return f"{name} {first}{before}{link}{after}{words.where()}"


def _wall(words: Caption) -> str:
    (thing,) = words.scene.objects
    name = words.name(thing, 0.3)
    kind = words.rng.randrange(3)
    if kind == 0:
        return f"{name} {words.moves(thing, False, 0)} behind a wall{words.where()}"
    words.say(thing, "motion")
    way = {"left": "from right to left", "right": "from left to right"}[thing.motion]
    if kind == 1:
        return f"{name} passes behind a wall {way}{words.where()}"
    return f"{name} moves {way} behind a wall{words.where()}"


def _camera(words: Caption) -> str:
    (thing,) = words.scene.objects
    kind = words.scene.camera.kind
    forms = phrases.CAMERA_WORDS[kind]
    participle, finite = forms[0] if words.chance(0.6) else words.rng.choice(forms)
    if words.chance(0.3):
        finite = f"is {participle}"
    if kind.startswith("looks") and words.chance(0.3):
        finite = words.rng.choice(phrases.AWAY_WORDS)
    name = words.name(thing, 0.4)
    still = thing.motion == "still" and words.chance(0.6)
    moves = "" if still else f" {words.moves(thing, False, 0.1)}"
    sentence = f"{name}{moves}{words.where()}"
    style = words.rng.randrange(3)
    if style == 0:
        link = words.rng.choice((", ", " over "))
        return f"the camera {finite}{link}{sentence}"
    if style == 1:
        return f"{sentence}, the camera {finite}"
    return f"{sentence} while the camera {finite}"


def _shots(words: Caption) -> str:
    scene = words.scene
    assert scene.cut is not None
    (thing,) = scene.objects
    name = words.name(thing, 0.4)
    words.said.add((-1, "background"))
    before = words.background(scene.background, scene.texture)
    after = words.background(scene.cut.background, scene.cut.texture)
    return f"{name} {words.moves(thing, False, 0.1)} on {before}, cut to {after}"


def _pair(words: Caption) -> str:
    scene = words.scene
    a, b = scene.objects
    assert scene.relation is not None, "two objects always have a relation"
    relation = scene.relation
    if words.chance(0.4):
        a, b = b, a
        relation = OPPOSITE[relation]
    if words.chance(0.15):  # nothing is said of the side
        first = words.name(a, 0.2)
        moves = f" {words.moves(a, False, 0.1)}" if words.chance(0.5) else ""
        second = words.name(b, 0.2)
        then = f" {words.moves(b, False, 0.1)}" if moves else ""
        return f"{first}{moves} and {second}{then}{words.where()}"
    side = words.rng.choice(phrases.RELATION_WORDS[relation][:2])
    name_a = words.name(a, 0.2)
    if a.motion == b.motion and words.chance(0.7):
        name_b = words.name(b, 0.2)
        moves = words.moves(a, False, 0)
        if (words.index(a), "motion") in words.said:
            words.say(b, "motion")
        return f"{name_a} {side} {name_b}, both {moves}{words.where()}"
    moves_a = words.moves(a, False, 0.1)
    if (words.index(a), "motion") not in words.said:  # not "moving left of"
        side = phrases.RELATION_WORDS[relation][0]
    name_b = words.name(b, 0.2)
    return f"{name_a} {moves_a} {side} {name_b} {words.moves(b, False, 0.1)}{words.where()}"


def _collision(words: Caption) -> str:
    a, b = words.scene.objects
    side = _side(words, 0.75)
    if words.chance(0.7):
        verb = words.choose(("hits", "bumps into"))
        first, second = words.name(a, 0.6), words.name(b, 0.6)
        return f"{first} {verb} {second}{side}{words.where()}"
    first, second = words.name(b, 0.6), words.name(a, 0.6)
    return f"{first} is hit by {second}{side}{words.where()}"


def _fall(words: Caption) -> str:
    a, b = words.scene.objects
    forms = phrases.FALLS_ONTO
    participle, falls = forms[0] if words.chance(0.5) else words.rng.choice(forms)
    if words.chance(0.4):
        falls = f"is {participle}" if words.full else participle
    first, second = words.name(a, 0.6), words.name(b, 0.6)
    words.said.add((-1, "relation"))  # what falls comes from above
    bounces = f" {words.choose(phrases.AND_BOUNCES)}" if words.chance(0.15) else ""
    return f"{first} {falls} {second}{bounces}{words.where()}"


def _side(words: Caption, probability: float) -> str:
    """ " from the left", or nothing."""
    relation = words.scene.relation
    assert relation is not None
    if not words.chance(probability):
        return ""
    words.said.add((-1, "relation"))
    return f" {phrases.RELATION_WORDS[relation][2]}"


def _number(words: Caption) -> str:
    thing = words.scene.objects[0]
    name = words.name(thing, 0.3, article=False)
    *adjectives, noun = name.split()
    several = " ".join([*adjectives, plural(noun)])
    count = phrases.COUNT_WORDS[len(words.scene.objects)][0]
    moves = words.moves(thing, False, 0.1)
    for _, attribute in sorted(words.said):
        for other in words.scene.objects:
            words.say(other, attribute)
    words.named = list(words.scene.objects)
    there = "there are " if words.full and words.chance(0.2) else ""
    return f"{there}{count} {several} {moves}{words.where()}"


def _paint(words: Caption) -> str:
    (brush,) = words.scene.objects
    name = words.name(brush, 0)
    if words.chance(0.5):
        return f"{name} paints a line {words.moves(brush, False, 0)}{words.where()}"
    return f"{name} {words.moves(brush, False, 0)} paints a line{words.where()}"


def _bite(words: Caption) -> str:
    chomper, target = words.scene.objects
    name = words.name(chomper, 0)
    verb = words.choose(("takes a bite out of", "bites"))
    target_name = words.name(target, 0.4)
    return f"{name} {verb} {target_name}{_side(words, 0.6)}{words.where()}"


def _lamp(words: Caption) -> str:
    thing, lamp = words.scene.objects
    name = words.name(thing, 0.4)
    lamp_name = words.name(lamp, 0)
    kind = words.rng.randrange(4)
    side = _side(words, 0.6)
    if kind == 0:
        return f"{name} touches {lamp_name}{side} and it lights up{words.where()}"
    if kind == 1:
        return f"{name} lights {lamp_name}{side}{words.where()}"
    if kind == 2:
        words.named.reverse()  # the lamp is named first
        return f"{lamp_name} lights up when {name} touches it{side}{words.where()}"
    return f"{name} touches {lamp_name}{side}{words.where()}"


def _game(words: Caption) -> str:
    return game_words.sentence(tell(words.scene.boards), words.rng, words.full)


SENTENCES = {
    "solo": _solo,
    "return": _solo,
    "order": _order,
    "wall": _wall,
    "camera": _camera,
    "away": _camera,
    "shots": _shots,
    "pair": _pair,
    "collision": _collision,
    "fall": _fall,
    "number": _number,
    "paint": _paint,
    "bite": _bite,
    "lamp": _lamp,
    "game": _game,
}


# ------------------------------------------------------------------------ what was left open


def complete_caption(
    scene: Scene,
    rng: random.Random,
    *,
    num_frames: int = 17,
    height: int = 32,
    width: int = 32,
    fps: float = FPS,
) -> str:
    """What `caption` says with the same `rng`, and then in words what that left open.

    "a red circle moving left, large, slowly, starting at the right, on a navy grid"
    """
    text, words = _caption(scene, rng, None, num_frames, fps)
    if scene.boards:
        return f"{text}, {game_words.rest(tell(scene.boards))}"
    unit = min(height, width)
    frame = (width / unit, height / unit)
    tracks = simulate(scene, 1, fps, frame[1])
    positions, _ = tracks.on_screen()
    parts = []
    named = words.named
    for i, thing in enumerate(named):
        own = _left_open(words, thing)
        x, y = positions[0, scene.objects.index(thing)].tolist()
        own.append(f"starting {place_of(x, y, frame)}")
        who = f"the {phrases.ORDINALS[i]} " if len(named) > 1 else ""
        parts.append(who + ", ".join(own))
    if (-1, "relation") not in words.said and scene.verb and scene.relation:
        parts.append(phrases.RELATION_WORDS[scene.relation][2])
    if (-1, "background") not in words.said:
        parts.append(f"on {background_words(scene.background, scene.texture)}")
    return f"{text}, {', '.join(parts)}"


def _left_open(words: Caption, thing: SceneObject) -> list[str]:
    """Size, motion, speed and sense of rotation of an object, where the sentence said nothing."""
    index = words.index(thing)
    parts = []
    if (index, "color") not in words.said and thing.color != "off":
        parts.append(thing.color)
    if (index, "size") not in words.said and thing.shape in SHAPES:
        parts.append(thing.size)
    free = (index, "motion") not in words.said
    if free and words.scene.verb is None:
        parts.append(phrases.MOTION_WORDS[thing.motion][0][0])
    speed, turning = speed_of(thing, words.duration), turning_of(thing)
    if speed and (index, "speed") not in words.said:
        parts.append(phrases.SPEED_WORDS[speed][0])
    if turning and (index, "turning") not in words.said:
        parts.append(turning)
    return parts


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
    text, words = _caption(scene, rng, None, num_frames, fps)
    if scene.boards:
        places = path_of(tell(scene.boards), moments(num_frames))
        return f"{text}, {_path_words([f'x{x} y{y}' for x, y in places])}"
    unit = min(height, width)
    tracks = simulate(scene, num_frames, fps, height / unit)
    positions = tracks.on_screen()[0][moments(num_frames)]
    paths = []
    for thing in words.named:
        own = positions[:, scene.objects.index(thing)].tolist()  # (5, 2)
        cells = [f"x{_cell(x, width / unit)} y{_cell(y, height / unit)}" for x, y in own]
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
