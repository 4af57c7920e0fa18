"""The words of the toy world: canonical value → the phrases that mean it.

Two places read these tables: `captions.py` chooses from them, and the parser looks phrases up.
"""

from minisora.world.scene import BACKGROUND_COLORS, COLORS, SHAPES

Words = dict[str, tuple[str, ...]]

SIZE_WORDS: Words = {"small": ("small", "little", "tiny"), "large": ("large", "big", "huge")}
COLOR_WORDS: Words = {name: (name,) for name in COLORS} | {
    "cyan": ("cyan", "sky-blue", "light-blue"),
    "pink": ("pink", "rose"),
}
SHAPE_WORDS: Words = {name: (name,) for name in SHAPES} | {
    "circle": ("circle", "ball", "disc"),
    "square": ("square", "box"),
    "ring": ("ring", "hoop"),
    "brush": ("brush", "paintbrush"),
    "chomper": ("chomper",),
    "lamp": ("lamp",),
}
PLURALS = {"box": "boxes"}  # else: word + s
COUNT_WORDS = {1: ("one",), 2: ("two",), 3: ("three",)}


def _straight(way: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """(moving left, moves left), (going to the left, goes to the left) and so on."""
    forms = [(f"moving {way}", f"moves {way}"), *more]
    verbs: tuple[tuple[str, str], ...] = (
        ("going", "goes"),
        ("sliding", "slides"),
        ("flying", "flies"),
        ("rolling", "rolls"),
    )
    if way in ("up", "down"):
        verbs = verbs[:1] + verbs[2:3]
    for participle, finite in (*verbs, ("moving", "moves")):
        forms.append((f"{participle} {way}", f"{finite} {way}"))
        if way in ("left", "right"):
            across = "from right to left" if way == "left" else "from left to right"
            forms.append((f"{participle} to the {way}", f"{finite} to the {way}"))
            forms.append((f"{participle} {across}", f"{finite} {across}"))
    return tuple(dict.fromkeys(forms))


MOTION_WORDS: dict[str, tuple[tuple[str, str], ...]] = {  # (moving left, moves left)
    "still": (("standing still", "stands still"), ("not moving", "does not move")),
    "left": _straight("left"),
    "right": _straight("right"),
    "up": _straight("up", ("rising", "rises"), ("moving upwards", "moves upwards")),
    "down": _straight("down", ("sinking", "sinks"), ("moving downwards", "moves downwards")),
    "moving": (("moving", "moves"),),  # any of these ways, and diagonally
    "diagonal": (
        ("moving diagonally", "moves diagonally"),
        ("going diagonally", "goes diagonally"),
    ),
    "falling": (("falling", "falls"), ("falling down", "falls down"), ("dropping", "drops")),
    "thrown": (("thrown", "is thrown"), ("flying in an arc", "flies in an arc")),
    "bouncing": (
        ("bouncing", "bounces"),
        ("bouncing up and down", "bounces up and down"),
        ("jumping", "jumps"),
    ),
    "circling": (
        ("circling", "is circling"),
        ("going round and round", "goes round and round"),
        ("moving in a circle", "moves in a circle"),
    ),
    "spinning": (("spinning", "spins"), ("rotating", "rotates")),
    "growing": (("growing", "grows"), ("getting bigger", "gets bigger")),
    "shrinking": (("shrinking", "shrinks"), ("getting smaller", "gets smaller")),
    "leaving left": (
        ("leaving to the left and coming back", "leaves to the left and comes back"),
        ("going out to the left and coming back", "goes out to the left and comes back"),
    ),
    "leaving right": (
        ("leaving to the right and coming back", "leaves to the right and comes back"),
        ("going out to the right and coming back", "goes out to the right and comes back"),
    ),
    "stops": (("stopping", "stops"),),
}
SPEED_WORDS: Words = {"slow": ("slowly",), "fast": ("fast", "quickly")}
SPEED_ADJECTIVES = {"slow": ("slow",), "fast": ("fast", "quick")}
TURNING_WORDS: Words = {
    "clockwise": ("clockwise",),
    "counterclockwise": ("counterclockwise", "anticlockwise"),
}
FALLS_ONTO = (
    ("falling onto", "falls onto"),
    ("dropping onto", "drops onto"),
    ("falling on", "falls on"),
    ("landing on", "lands on"),
    ("bouncing on", "bounces on"),
)
AND_BOUNCES = ("and bounces off", "and bounces")  # adds nothing: what falls onto another does
RELATION_WORDS: Words = {
    "left of": ("to the left of", "left of", "from the left"),
    "right of": ("to the right of", "right of", "from the right"),
    "above": ("above", "over", "from above"),
    "below": ("below", "under", "from below"),
}
CAMERA_WORDS: dict[str, tuple[tuple[str, str], ...]] = {
    "still": (("not moving", "does not move"),),
    **{
        f"pans {way}": (
            (f"panning {way}", f"pans {way}"),
            (f"moving {way}", f"moves {way}"),
        )
        for way in ("left", "right", "up", "down")
    },
    "zooms in": (("zooming in", "zooms in"), ("moving closer", "moves closer")),
    "zooms out": (("zooming out", "zooms out"), ("moving away", "moves away")),
    "looks left and back": (("looking left and back", "looks left and back"),),
    "looks right and back": (("looking right and back", "looks right and back"),),
}
AWAY_WORDS = ("looks away and back", "looks away and comes back")  # either way
TEXTURE_WORDS: Words = {
    "plain": ("background", "plain background"),
    "gradient": ("gradient", "gradient background"),
    "grid": ("grid", "grid background"),
    "stripes": ("stripes", "striped background"),
    "hills": ("hills", "landscape with hills"),
}
BACKGROUND_WORDS: Words = {name: (name,) for name in BACKGROUND_COLORS} | {"gray": ("gray", "grey")}
SHADE_WORDS = {"dark": ("black", "navy"), "light": ("white",)}  # said now and then instead
PLACE_ROWS, PLACE_COLUMNS = ("top", "middle", "bottom"), ("left", "middle", "right")
ORDINALS = ("first", "second", "third")
POLITE = (
    "a video of",
    "make a video of",
    "please make a video of",
    "create a video of",
    "a clip of",
    "show me",
    "please show",
    "please show me",
    "show",
    "draw",
    "please",
    "i want to see",
)
