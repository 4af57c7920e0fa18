"""How people say it → how the toy world says it.

    "2 disks travel to the left" ──► "two discs moving to the left"

Captions use few words, and a model that learned from captions knows no others. So parser and
tokenizer replace what people say by what captions say, the longest phrase first. (Sora rewrites
short prompts with a language model for the same reason.) No phrase that a caption uses is replaced
by another one.
"""

from itertools import product

from minisora.world.phrases import PLURALS, SHAPE_WORDS
from minisora.world.scene import COLORS, SHAPES

WAYS = ("left", "right", "up", "down")
SPEEDS = {
    "slowly": "slowly",
    "fast": "fast",
    "quickly": "quickly",
    "gently": "slowly",
    "rapidly": "quickly",
    "very slowly": "slowly",
    "very fast": "fast",
    "very quickly": "quickly",
}
NOUNS = {
    "dot": "circle",
    "sphere": "ball",
    "disk": "disc",
    "cube": "box",
    "block": "box",
    "donut": "ring",
    "doughnut": "ring",
}
TOOL_NOUNS = {
    "paint brush": "paintbrush",
    "bulb": "lamp",
    "light bulb": "lamp",
    "creature": "chomper",
    "monster": "chomper",
    "pacman": "chomper",
    "pac-man": "chomper",
}
ADJECTIVES = {
    "giant": "huge",
    "enormous": "huge",
    "gigantic": "huge",
    "mini": "tiny",
    "light blue": "light-blue",
    "sky blue": "sky-blue",
    "turquoise": "cyan",
    "aqua": "cyan",
    "dark blue": "navy",
    "dark gray": "gray",
    "dark grey": "grey",
    "rapidly": "quickly",
    "gently": "slowly",
    "softly": "slowly",
    "upward": "up",
    "downward": "down",
    "diagonal": "diagonally",
    "counter-clockwise": "counterclockwise",
    "counter clockwise": "counterclockwise",
    "anti-clockwise": "counterclockwise",
}
MEANS_LITTLE = ("just", "only", "thanks", "thank you")  # a clip shows what is said, and no more
VERY = {  # of two sizes and two speeds
    "large": "huge",
    "big": "huge",
    "huge": "huge",
    "small": "tiny",
    "little": "tiny",
    "tiny": "tiny",
    "slow": "slow",
    "slowly": "slowly",
    "fast": "fast",
    "quick": "quick",
    "quickly": "quickly",
}
NUMBERS = {
    "1": "one",
    "2": "two",
    "3": "three",
    "a couple of": "two",
    "a pair of": "two",
    "exactly two": "two",
    "exactly three": "three",
}
GOING = {  # verb → (participle, finite): they say a way, or what they pass
    "move": ("moving", "moves"),
    "go": ("going", "goes"),
    "fly": ("flying", "flies"),
    "slide": ("sliding", "slides"),
    "roll": ("rolling", "rolls"),
}
OTHER_GOING = {  # verb, participle and finite → the same of a verb above
    ("travel", "travels", "travelling"): "move",
    ("drift", "drifts", "drifting"): "move",
    ("float", "floats", "floating"): "move",
    ("glide", "glides", "gliding"): "slide",
    ("run", "runs", "running"): "move",
}
PLURAL_VERBS = {  # what several do, and what one is made to do
    "fall": "falling",
    "drop": "dropping",
    "rise": "rising",
    "sink": "sinking",
    "bounce": "bouncing",
    "jump": "jumping",
    "spin": "spinning",
    "rotate": "rotating",
    "grow": "growing",
    "shrink": "shrinking",
    "stop": "stopping",
    "stand still": "standing still",
    "fall down": "falling down",
    "fall from the sky": "falling down",
    "twirl": "spinning",
    "do not move": "not moving",
}
STILL = (
    "still",
    "stays still",
    "staying still",
    "stay still",
    "is still",
    "are still",
    "keeps still",
    "stays in place",
    "stays where it is",
    "does nothing",
    "doing nothing",
    "motionless",
    "at rest",
    "without moving",
    "without movement",
    "no movement",
    "no motion",
    "never moves",
    "never moving",
    "doesn t move",
    "isn t moving",
    "don t move",
    "stationary",
)
MOTIONS = {
    "twirls": "spins",
    "twirling": "spinning",
    "spins around": "spins",
    "spinning around": "spinning",
    "rotates around": "rotates",
    "climbs": "rises",
    "climbing": "rising",
    "ascends": "rises",
    "descends": "sinks",
    "drops down": "falls down",
    "dropping down": "falling down",
    "flies diagonally": "moves diagonally",
    "flying diagonally": "moving diagonally",
    "hops": "jumps",
    "hopping": "jumping",
    "bounces on the floor": "bounces",
    "bounces on the ground": "bounces",
    "bouncing on the floor": "bouncing",
    "is tossed": "is thrown",
    "tossed": "thrown",
    "is thrown into the air": "is thrown",
    "is thrown in the air": "is thrown",
    "thrown into the air": "thrown",
    "thrown in the air": "thrown",
    "moves in circles": "moves in a circle",
    "moving in circles": "moving in a circle",
    "goes in circles": "moves in a circle",
    "going in circles": "moving in a circle",
    "goes in a circle": "moves in a circle",
    "going in a circle": "moving in a circle",
    "gets larger": "gets bigger",
    "getting larger": "getting bigger",
    "becomes bigger": "gets bigger",
    "becomes larger": "gets bigger",
    "becomes smaller": "gets smaller",
    "expands": "grows",
    "expanding": "growing",
}
LEAVES = {"leaves the frame": "leaves", "exits": "leaves", "leaves": "leaves"}
LEAVES |= {"leaving the frame": "leaving", "exiting": "leaving", "leaving": "leaving"}
RETURNS = {
    "leaves": ("and returns", "and comes back"),
    "leaving": ("and returning", "and coming back"),
}
LANDS = {
    "lands onto": "lands on",
    "landing onto": "landing on",
    "bounces off of": "bounces off",
    "and it bounces": "and bounces",
    "then bounces": "and bounces",
    "and then bounces": "and bounces",
}
HITS = (
    "collides with",
    "colliding with",
    "crashes into",
    "crashing into",
    "bumping into",
    "bumps against",
    "runs into",
    "running into",
    "smashes into",
    "knocks into",
    "strikes",
    "striking",
    "pushes",
    "pushing",
    "hitting",
)
IS_HIT = ("is pushed by", "is struck by", "is bumped by", "gets hit by", "gets pushed by")
BITES = ("eats", "eating", "biting", "bites into", "bites a piece out of", "eats a piece of")
TAKES_A_BITE = ("takes a bite of", "takes a bite from", "taking a bite of", "taking a bite out of")
LAMPS = {
    "lamp is off": "lamp",
    "lamp that is off": "lamp",
    "is touched by": "lights up when",
    "is lit": "lights up",
    "is lit by": "lights up when",
    "is lit up by": "lights up when",
    "is turned on by": "lights up when",
    "is switched on by": "lights up when",
    "touching": "touches",
    "turns on": "lights up",
    "goes on": "lights up",
    "switches on": "lights up",
    "is switched on": "lights up",
    "glows": "lights up",
    "turns on when": "lights up when",
    "goes on when": "lights up when",
    "glows when": "lights up when",
    "and it turns on": "and it lights up",
    "and it glows": "and it lights up",
    "and the lamp lights up": "and it lights up",
    "and the lamp turns on": "and it lights up",
    "turns on the lamp": "lights the lamp",
    "turns on a lamp": "lights a lamp",
    "switches on the lamp": "lights the lamp",
    "switches on a lamp": "lights a lamp",
}
BEHIND = ("disappears", "vanishes", "hides", "disappearing", "passing", "pass")
COMES_OUT = (
    "and comes out",
    "and comes out again",
    "and comes out on the other side",
    "and comes out again on the other side",
    "and comes back out",
    "and appears again",
    "and reappears",
    "and reappears on the other side",
    "and appears on the other side",
)
CAMERA = {
    "camera stays still": "camera does not move",
    "no camera movement": "the camera does not move",
    "no camera motion": "the camera does not move",
    "camera stands still": "camera does not move",
    "camera doesn t move": "camera does not move",
    "camera turns away and back": "camera looks away and back",
    "camera looks away and then back": "camera looks away and back",
    "camera looks away and returns": "camera looks away and back",
}
CUTS = ("then cut to", "and then cut to", "and cut to", "cuts to", "then a cut to", "a cut to")
ORDER = {
    "after that": "then",
    "and after that": "and then",
    "afterwards": "then",
    "and afterwards": "and then",
    "it then": "then",
    "then it": "then",
    "and then it": "and then",
    "then it is": "then",
    "after that it": "then",
    "and after that it": "and then",
    "becomes": "turns",
    "becoming": "turning",
    "changes to": "turns",
    "changing to": "turning",
    "changes color to": "turns",
    "changes colour to": "turns",
    "changes its color to": "turns",
    "changes its colour to": "turns",
    "turns to": "turns",
    "they": "both",
    "they both": "both",
    "which": "that",
    "that s": "that is",
    "starts": "starting",
    "and stops": "and then stops",
    "and stopping": "and then stopping",
    "both of them": "both",
    **{f"then {way}": f"then moving {way}" for way in WAYS},
}
SIDES = {
    "on the left of": "to the left of",
    "on the right of": "to the right of",
    "on the left side of": "to the left of",
    "on the right side of": "to the right of",
    "on top of": "above",
    "underneath": "under",
    "beneath": "under",
}
CORNERS = ("top left", "top right", "bottom left", "bottom right")
PLACES = {
    "in the center": "in the middle",
    "in the centre": "in the middle",
    "at the center": "in the middle",
    "on the left": "at the left",
    "on the right": "at the right",
    "on the left side": "at the left",
    "on the right side": "at the right",
    "from the left to the right": "from left to right",
    "from the right to the left": "from right to left",
    **{
        f"{at} the {place} corner": f"at the {place}"
        for at, place in product(("in", "at"), CORNERS)
    },
    **{f"in the {place}": f"at the {place}" for place in CORNERS},
    "from the top": "starting at the top",
    "from the bottom": "starting at the bottom",
    "of the screen": "",
    "of the frame": "",
    "of the picture": "",
    "across the screen": "",
    "on the screen": "",
}
GAME = {
    "a game in which": "in a game",
    "a game where": "in a game",
    "a video game in which": "in a video game",
    "a video game where": "in a video game",
    "a video of a game in which": "in a game",
    "a video of a game where": "in a game",
    "in this game": "in the game",
    "in the computer game": "in the video game",
    "in a computer game": "in a video game",
    "unlocks the door": "opens the door",
    "unlocking the door": "opening the door",
    "opens a door": "opens the door",
    "opening a door": "opening the door",
    "goes through the door": "opens the door",
    "walks through the door": "opens the door",
}
TAKES = ("grabs", "gets", "collects", "gathers", "picks up", "fetches")
TAKING = ("grabbing", "getting", "collecting", "gathering", "picking up", "fetching")
TAKEN = {  # what the player of the game takes → how captions say it
    **{name: name for name in ("a coin", "two coins", "three coins", "coins", "the key")},
    "the coin": "a coin",
    "one coin": "a coin",
    "1 coin": "a coin",
    "2 coins": "two coins",
    "3 coins": "three coins",
    "some coins": "coins",
    "a key": "the key",
}
BACKGROUNDS = {"in front of": "on", "against": "on"}
PICTURES = (
    ("an", "image"),
    ("a", "picture"),
    ("a", "photo"),
    ("a", "photograph"),
    ("a", "drawing"),
)
POLITE = {
    "i want": "i want to see",
    "i want a video of": "i want to see",
    "i would like": "i want to see",
    "i would like to see": "i want to see",
    "i d like": "i want to see",
    "i d like to see": "i want to see",
    "can you make": "show me",
    "can you make a video of": "make a video of",
    "can you show": "show me",
    "can you show me": "show me",
    "can you draw": "draw",
    "could you make": "show me",
    "could you show me": "show me",
    "could you please show me": "please show me",
    "give me": "show me",
    "generate": "show me",
    "generate a video of": "make a video of",
    "make": "show me",
    "video of": "a video of",
    "a short video of": "a video of",
    "make a short video of": "make a video of",
    "a video where": "a video of",
    "a video in which": "a video of",
    "an animation of": "a video of",
    "animation of": "a video of",
    "a movie of": "a video of",
    **{f"{article} {word} of": "a video of" for article, word in PICTURES},
    **{f"{word} of": "a video of" for _, word in PICTURES},
}
AS_THEY_ARE = (  # phrases of captions that begin with something above
    "from left to right",
    "from right to left",
    "standing still",
    "stands still",
    "i want to see",
    "make a video of",
    "please make a video of",
    "create a video of",
    "a video of",
    "and it lights up",
    "does not move",
    "moving behind a wall",
    "moves behind a wall",
    "pushes a box",
    "pushing a box",
    "pushes the box",
    "pushing the box",
)


def _rewordings() -> dict[str, str]:
    """All of the above as one table: phrase → phrase; "" for what may be left out."""
    found: dict[str, str] = {}
    for word, known in NOUNS.items():
        found[word] = known
        found[f"{word}s"] = PLURALS.get(known, f"{known}s")
    for table in (TOOL_NOUNS, ADJECTIVES, NUMBERS, PLURAL_VERBS, MOTIONS, LAMPS, CAMERA, ORDER):
        found |= table
    for table in (SIDES, PLACES, BACKGROUNDS, POLITE, LANDS):
        found |= table
    found |= dict.fromkeys(MEANS_LITTLE, "")
    for much, (word, known) in product(("very", "really"), VERY.items()):
        found[f"{much} {word}"] = known
    found |= dict.fromkeys(STILL, "standing still")
    found |= dict.fromkeys(HITS, "hits")
    found |= dict.fromkeys(IS_HIT, "is hit by")
    found |= dict.fromkeys(BITES, "bites")
    found |= dict.fromkeys(TAKES_A_BITE, "takes a bite out of")
    found |= dict.fromkeys(COMES_OUT, "")
    found |= dict.fromkeys(CUTS, "cut to")
    found |= _circling()
    found |= _going()
    found |= _leaving()
    found |= _falling()
    found |= _camera()
    found |= _painting()
    found |= GAME_REWORDINGS
    found |= {phrase: phrase for phrase in AS_THEY_ARE}
    return found


def _circling() -> dict[str, str]:
    """ "a star circles": after a noun that is what it does."""
    found = {"that circles": "that is circling", "then circles": "then circling"}
    nouns = {word: word for shape in SHAPES for word in SHAPE_WORDS[shape]} | NOUNS
    for word, known in nouns.items():
        found[f"{word} circles"] = f"{known} is circling"
        several = PLURALS.get(known, f"{known}s")
        found[f"{PLURALS.get(word, f'{word}s')} circle"] = f"{several} circling"
    for word in ("slowly", "quickly"):
        found[f"{word} circles"] = f"is circling {word}"
    return found


def _going() -> dict[str, str]:
    """Verbs that say a way, in all of their forms, a speed before a way, and behind walls."""
    known = {form: form for forms in GOING.values() for form in forms}
    for verb, (participle, _) in GOING.items():
        known[verb] = participle
    for (verb, finite, participle), same in OTHER_GOING.items():
        known |= {verb: GOING[same][0], participle: GOING[same][0], finite: GOING[same][1]}
    known["traveling"] = "moving"
    found = {verb: form for verb, form in known.items() if verb != form}
    across = ("left", "right", "to the left", "to the right")
    for (speed, told), way in product(SPEEDS.items(), (*across, "up", "down", "diagonally")):
        found[f"{speed} {way}"] = f"{way} {told}"
        if way in across:
            found[f"{speed} {way} of"] = f"{told} {way} of"
    for verb, form in known.items():
        if form.startswith(("slid", "roll")):  # captions say these of left and right alone
            moves = "moving" if form.endswith("ing") else "moves"
            for way in ("up", "down", "diagonally"):
                found[f"{verb} {way}"] = f"{moves} {way}"
                for speed in ("slowly", "gently", "fast", "quickly"):
                    found[f"{verb} {speed} {way}"] = f"{moves} {way} {SPEEDS[speed]}"
    for way in ("up", "down"):
        for verb in ("going", "goes", "flying", "flies"):
            found[f"{verb} {way}wards"] = f"{verb} {way}"
    for verb in (*BEHIND, *known):
        for article in ("a", "the"):
            found[f"{verb} behind {article} wall"] = "passes behind a wall"
    for verb, gray in product((*BEHIND, "passes"), ("gray", "grey")):
        found[f"{verb} behind a {gray} wall"] = "passes behind a wall"
    return found


def _leaving() -> dict[str, str]:
    """ "leaves the frame to the left and returns"."""
    found = {}
    for (verb, known), way in product(LEAVES.items(), ("left", "right")):
        *_, comes_back = RETURNS[known]
        for back in RETURNS[known]:
            found[f"{verb} to the {way} {back}"] = f"{known} to the {way} {comes_back}"
    return found


def _falling() -> dict[str, str]:
    """ "falls on top of" an object, "falls on the floor", and what happens then."""
    found = {}
    for verb in ("falls", "falling", "drops", "dropping"):
        for on in ("on top of", "upon", "down onto"):
            found[f"{verb} {on}"] = f"{verb} onto"
    for verb in ("lands", "landing", "bounces", "bouncing"):
        found[f"{verb} on top of"] = f"{verb} on"
    falls = dict.fromkeys(("falls", "drops", "lands", "falls down"), "falls down")
    falls |= dict.fromkeys(("falling", "dropping", "landing", "falling down"), "falling down")
    for verb, form in falls.items():
        found[f"{verb} from the sky"] = form
        for on in ("on", "onto", "to"):
            for floor in ("floor", "ground"):
                found[f"{verb} {on} the {floor}"] = form
    for link in ("and", "then", "and then", "and it", "then it", "and then it"):
        for back in ("off", "off again", "back", "back up", "up again"):
            found[f"{link} bounces {back}"] = "and bounces off"
    return found


def _camera() -> dict[str, str]:
    """ "zoom in on", "pan left", "camera pans to the left"."""
    found = dict(CAMERA)
    for word in ("still", "static", "fixed", "steady"):
        for article in ("", "a ", "the "):
            found[f"{article}{word} camera"] = "the camera does not move"
        found[f"camera is {word}"] = "camera does not move"
    for way in ("in", "out"):
        for verb in ("zoom", "zooms", "zooming"):
            found[f"camera {verb} {way} on"] = f"camera zooms {way} over"
        found[f"zoom {way}"] = f"the camera zooms {way}"
        found[f"zoom {way} on"] = f"the camera zooms {way} over"
        found[f"camera zoom {way}"] = f"camera zooms {way}"
    for way in WAYS:
        found[f"pan {way}"] = f"the camera pans {way}"
        found[f"camera pan {way}"] = f"camera pans {way}"
        found[f"camera goes {way}"] = f"camera moves {way}"
    for way in ("left", "right"):
        found[f"pan to the {way}"] = f"the camera pans {way}"
        for verb in ("pans", "moves"):
            found[f"camera {verb} to the {way}"] = f"camera {verb} {way}"
        found[f"camera is panning to the {way}"] = f"camera is panning {way}"
    return found


def _painting() -> dict[str, str]:
    """ "a brush paints a red line": the line has the colour of its brush."""
    found = {}
    for brush in ("brush", "paintbrush"):
        found[f"{brush} draws a line"] = f"{brush} paints a line"
        for color in COLORS:
            found[f"{brush} paints a {color} line"] = f"{color} {brush} paints a line"
            found[f"{brush} draws a {color} line"] = f"{color} {brush} paints a line"
    return found


def _game() -> dict[str, str]:
    """What is said of the game: "grabs 2 coins", "walks upwards", "pushes a crate up"."""
    found = dict(GAME)
    for caption, several in (("takes", TAKES), ("taking", TAKING)):
        for thing, known in TAKEN.items():
            for verb in (caption, *several):
                if (verb, thing) != (caption, known):
                    found[f"{verb} {thing}"] = f"{caption} {known}"
    for verb, way in product(("walks", "walking"), ("up", "down")):
        found[f"{verb} {way}wards"] = f"{verb} {way}"
    articles, boxes = ("a", "the"), ("block", "crate")
    for verb, article, box in product(("pushes", "pushing"), articles, boxes):
        found[f"{verb} {article} {box}"] = f"{verb} {article} box"
    return found


def _plural() -> dict[str, str]:
    """Verbs that say by their form that several do it: "move" → "are moving"."""
    verbs = PLURAL_VERBS | {verb: participle for verb, (participle, _) in GOING.items()}
    verbs |= {verb: GOING[same][0] for (verb, _, _), same in OTHER_GOING.items()}
    return {verb: f"are {participle}" for verb, participle in verbs.items()}


GAME_REWORDINGS = _game()
REWORDINGS = _rewordings()
OF_SEVERAL = REWORDINGS | _plural()  # the same with "are", which no caption has before a verb
