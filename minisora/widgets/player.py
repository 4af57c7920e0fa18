"""The player (notebook 14): a model's world under the reader's arrow keys, the true game beside it.

key ──► action ── Play.step ──┬─► the model's next frame
                              └─► the true next state ──► what differs

`Play` is a game without controls, `render_player` draws it, and `Player` adds keys and buttons. A
page cannot send keys to the kernel by itself: the element over the picture writes them into a
hidden line of text, which ipywidgets brings to the kernel.
"""

import asyncio
import html
import time
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from minisora.flow import sigma_schedule
from minisora.measure.play import NEAR, known_ground
from minisora.play.model import PlayModel, Snapshot
from minisora.sampling import draw_noise
from minisora.show.clip import to_frames
from minisora.show.media import encode_pictures
from minisora.widgets.common import (
    Html,
    error_html,
    menu,
    page,
    picture,
    side_by_side,
    tip,
)
from minisora.world.game import SIGNS, Game, State, frames_of
from minisora.world.platform import MISSING_PLAYER
from minisora.world.policies import Explore, play
from minisora.world.tiles import TILE

HISTORY = 200  # steps that can be undone
SEEDS = 30_000  # levels that neither training nor measurements draw
SLOW_STEPS = 8  # sampling steps in slow motion
MOST_RATE = 20  # steps of the clock in a second
MOST_SECONDS = 600.0  # after which the clock stops
SCALE, MAP_SCALE, STRIP_SCALE = 8, 5, 2  # pixels of the page for one of a frame
MODEL_COLOR, TRUE_COLOR = (213, 94, 0), (0, 114, 178)  # Okabe–Ito's vermillion and blue


# -------------------------------------------------------------------------- a game without controls


@dataclass(frozen=True)
class Differences:
    """What a model's frame shows otherwise than the true one.

    Args:
        tiles: (rows, columns) bool, tiles whose kind differs; those of new ground do not count.
        player: x and y of the player in the model's frame, in pixels; None where there is none,
            and in games whose player is a tile.
        true_player: the same in the true frame.
        unknown: number of tiles of new ground, which no model can know.
    """

    tiles: np.ndarray
    player: tuple[int, int] | None = None
    true_player: tuple[int, int] | None = None
    unknown: int = 0

    @property
    def distance(self) -> int | None:
        """Pixels between the two players, the larger of both directions; None: no player seen."""
        if self.true_player is None:
            return 0
        if self.player is None:
            return None
        return max(abs(a - b) for a, b in zip(self.player, self.true_player, strict=True))

    @property
    def apart(self) -> bool:
        """Whether the player is missing, or more than a pixel away."""
        return self.distance is None or self.distance > NEAR

    @property
    def any(self) -> bool:
        """Whether a tile differs, or the players stand apart."""
        return bool(self.tiles.any()) or self.apart

    def words(self) -> str:
        """How much differs."""
        count, total = int(self.tiles.sum()), self.tiles.size - self.unknown
        which = "known tiles" if self.unknown else "tiles"
        tiles = f"{count} of {total} {which} differ{'s' if count == 1 else ''}"
        if count == 0:
            tiles = f"all {total} {which} agree"
        if self.true_player is None:
            return tiles
        if self.distance is None:
            return f"{tiles}, the player is missing"
        if self.distance == 0:
            return f"{tiles}, the player is in its place"
        unit = "pixel" if self.distance == 1 else "pixels"
        return f"{tiles}, the player is {self.distance} {unit} away"


def differences(
    game: Game, frame: np.ndarray, true_frame: np.ndarray, known: np.ndarray
) -> Differences:
    """Read a model's frame and the true one (H, W, 3) uint8, and say what differs.

    Tiles that the player or a moving platform hides in one of them do not count.

    Args:
        known: (columns,) bool, a row of `known_ground`; tiles of other columns do not count.
    """
    both = torch.from_numpy(np.stack([frame, true_frame])).movedim(3, 1)
    reading = game.read(both)
    if isinstance(reading, np.ndarray):
        return Differences(reading[0] != reading[1])
    seen, true = reading.player.tolist()
    covered = reading.covered.any(axis=0)
    tiles = (reading.tiles[0] != reading.tiles[1]) & ~covered & known
    found = reading.error[0] < MISSING_PLAYER
    unknown = len(tiles) * int((~known).sum())
    return Differences(tiles, tuple(seen) if found else None, tuple(true), unknown)


@dataclass(frozen=True)
class Moment:
    """Where both worlds stand after so many steps; it can be gone back to."""

    number: int
    snapshot: Snapshot
    state: State
    differences: Differences
    left_at: int | None = None  # the first step whose frame differed
    new_at: int | None = None  # the first step with ground in view that no model can know


@dataclass(frozen=True)
class Guess:
    """One sampling step on the way to a frame."""

    sigma: float  # noise level at which it begins
    noisy: np.ndarray  # (H, W, 3) uint8, what the network sees
    clean: np.ndarray  # (H, W, 3) uint8, what it takes for the frame


@dataclass
class Play:
    """A game in a model's world and in the true one, with the same actions in both.

    `now` is where they stand, `frame` and `true_frame` are pictures (H, W, 3) uint8, `guesses` are
    the sampling steps of the last frame, where `slow` is set, and `seconds` its time.

    Args:
        seed: chooses the level, and the noise.
        num_inference_steps: from noise to a frame.
        slow: keep the sampling steps of a frame, and take `SLOW_STEPS` of them.
        history: steps that can be undone.
    """

    model: PlayModel
    seed: int = 0
    num_inference_steps: int = 1
    slow: bool = False
    history: int = HISTORY
    seconds: float = 0.0
    guesses: list[Guess] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.new_game(self.seed)

    @property
    def game(self) -> Game:
        return self.model.game

    def new_game(self, seed: int) -> None:
        """Begin on another level.

        A model that needs several frames is shown that many of a policy's play.
        """
        self.seed = seed
        self.seconds = 0.0
        self.guesses = []
        self.rng = np.random.default_rng((SEEDS, seed))
        self.policy = Explore(self.game)
        self.generator = torch.Generator().manual_seed(seed)
        start = self.game.new_game(self.rng)
        states, actions = play(
            self.game, self.policy, start, self.model.preset.context - 1, self.rng
        )
        self.session = self.model.begin(
            frames_of(self.game, states),
            actions,
            num_inference_steps=self.num_inference_steps,
            generator=self.generator,
        )
        self.given = states
        self.past: deque[Moment] = deque(maxlen=self.history)
        self.now = self._moment(0, states[-1])

    def step(self, action: int) -> None:
        """Play one action in both worlds.

        Raises:
            ValueError: an action that the game does not have; then nothing has changed.
        """
        state = self.game.step(self.now.state, action)
        model, session = self.model, self.session
        steps = SLOW_STEPS if self.slow else self.num_inference_steps
        session.sigmas = sigma_schedule(steps, model.preset.shift).tolist()
        guesses: list[Guess] = []
        on_step = self._watch(guesses) if self.slow else None
        began = time.perf_counter()
        session.step(action, on_step)
        self.seconds = time.perf_counter() - began
        self.guesses = guesses
        self.past.append(self.now)
        self.now = self._moment(self.now.number + 1, state, self.now.left_at, self.now.new_at)

    def undo(self) -> bool:
        """Go back a step in both worlds; False where there is none to go back to."""
        if not self.past:
            return False
        self.now = self.past.pop()
        self.session.go_back(self.now.snapshot)
        self.guesses = []
        return True

    def policy_action(self) -> int:
        """What `Explore` does next. It looks at the true game, not at the model's."""
        return self.policy.act(self.now.state, self.rng)

    @property
    def frame(self) -> np.ndarray:
        return pixels(self.session.frame)

    @property
    def true_frame(self) -> np.ndarray:
        return self.game.render([self.now.state])[0].movedim(0, -1).numpy()

    def agreement(self) -> str:
        """Whether the model's world has been the true one so far."""
        if self.now.left_at is None:
            return "as the true game"
        return f"left the ground truth at step {self.now.left_at}"

    def words(self) -> str:
        """The state of both worlds in a line."""
        parts = [f"step {self.now.number}"]
        if self.seconds:
            rate = 1 / self.seconds
            digits = 0 if rate >= 10 else 1  # a slow machine makes less than one a second
            parts.append(
                f"last frame in {1000 * self.seconds:.0f} ms ({rate:.{digits}f} frames a second)"
            )
        parts.append(self.agreement())
        if self.now.new_at is not None:
            parts.append(f"new ground since step {self.now.new_at}, which no model can know")
        if self.now.left_at is not None or self.now.differences.true_player:
            parts.append(f"now {self.now.differences.words()}")
        return " · ".join(parts)

    def _moment(
        self, number: int, state: State, left_at: int | None = None, new_at: int | None = None
    ) -> Moment:
        """Where both worlds stand now; tensors are copied, because a part keeps its whole alive."""
        now = self.session.now
        kept = tuple(None if part is None else part.clone() for part in now.kept)
        self.session.go_back(
            replace(now, tokens=now.tokens.clone(), led_to=now.led_to.clone(), kept=kept)
        )
        true_frame = self.game.render([state])[0].movedim(0, -1).numpy()
        known = known_ground(self.given, [state])[0]
        found = differences(self.game, self.frame, true_frame, known)
        if found.any and left_at is None:
            left_at = number
        if new_at is None and not known.all():
            new_at = number
        return Moment(number, self.session.now, state, found, left_at, new_at)

    def _watch(self, guesses: list[Guess]) -> Any:
        """A callback of `Session.step` that keeps every guess beside what it was made from."""
        model, sigmas = self.model, self.session.sigmas
        twin = torch.Generator()  # draws the noise that the session is about to draw
        twin.set_state(self.generator.get_state())
        shape = (1, model.tokens_per_frame, self.session.now.tokens.shape[2])
        x_t = model.to_frames(draw_noise(shape, twin, model.device))[:, 0]

        def keep(step: int, sigma: float, x_0: torch.Tensor) -> None:
            nonlocal x_t
            guesses.append(Guess(sigma, pixels(x_t), pixels(x_0)))
            x_t = x_0 + sigmas[step + 1] / sigma * (x_t - x_0)

        return keep


def pixels(frame: torch.Tensor) -> np.ndarray:
    """A frame (1, 3, H, W) in [-1, 1] as a picture (H, W, 3) uint8."""
    return to_frames(frame.movedim(0, 1))[0]


# ----------------------------------------------------------------------------------------- pictures


def draw_map(frame: np.ndarray, found: Differences, scale: int = MAP_SCALE) -> np.ndarray:
    """The model's frame in pale grey; tiles that differ are framed, and players that stand apart.

    The model's player is framed in the colour of the tiles, the true one in blue.
    """
    grey = frame.astype(np.float32).mean(axis=2, keepdims=True)
    pale = (160 + grey * 0.36).astype(np.uint8).repeat(3, axis=2)
    canvas = pale.repeat(scale, axis=0).repeat(scale, axis=1)
    canvas[:: TILE * scale] = canvas[:, :: TILE * scale] = 225
    for row, column in np.argwhere(found.tiles):
        _outline(canvas, column * TILE * scale, row * TILE * scale, TILE * scale, MODEL_COLOR)
    if found.apart:
        for position, color in ((found.true_player, TRUE_COLOR), (found.player, MODEL_COLOR)):
            if position:
                x, y = position
                _outline(canvas, x * scale, y * scale, TILE * scale, color)
    return canvas


def _outline(
    canvas: np.ndarray, x: int, y: int, size: int, color: tuple[int, int, int], width: int = 3
) -> None:
    """Draw a square's edge."""
    inside = canvas[y + width : y + size - width, x + width : x + size - width].copy()
    canvas[y : y + size, x : x + size] = color
    canvas[y + width : y + size - width, x + width : x + size - width] = inside


def strip_html(guesses: Sequence[Guess]) -> str:
    """The sampling steps of a frame, side by side: noisy above, the network's guess below."""
    names = ("what the network sees", "its guess of the frame")
    label = "width:84px;height:67px;font-size:12px;line-height:1.3;display:flex;align-items:center"
    cells = ["<div>" + "".join(f'<div style="{label}">{name}</div>' for name in names) + "</div>"]
    for number, guess in enumerate(guesses, start=1):
        which = f"sampling step {number} of {len(guesses)}, σ = {guess.sigma:.2f}"
        size = STRIP_SCALE * len(guess.clean)
        noisy = picture(guess.noisy, f"{which}: what the network sees", size)
        clean = picture(guess.clean, f"{which}: its guess of the clean frame", size)
        label = f'<div style="font-size:11px">σ = {guess.sigma:.2f}</div>'
        style = "display:flex;flex-direction:column;gap:3px;align-items:center"
        cells.append(f'<div style="{style}">{noisy}{clean}{label}</div>')
    return f'<div style="display:flex;gap:4px;background:#fff;color:#000">{"".join(cells)}</div>'


def _figure(image: str, label: str) -> str:
    return f'<div>{image}<div style="font-size:13px">{html.escape(label)}</div></div>'


def alt_words(now: Play) -> tuple[str, str, str]:
    """What the three pictures of a game show: the model's frame, the true one, and the map."""
    name = now.game.name
    return (
        f"the model's world: a frame of the game {name}",
        f"the true game {name} after the same actions",
        f"map of what differs: {now.now.differences.words()}",
    )


def render_player(now: Play) -> Html:
    """The model's frame, the true one, what differs, and the sampling steps if they were kept."""
    own, true, difference = alt_words(now)
    height = len(now.frame)
    chart = draw_map(now.frame, now.now.differences)
    parts = side_by_side(
        _figure(picture(now.frame, own, SCALE * height), "generated: the model's world"),
        _figure(picture(now.true_frame, true, SCALE * height), "ground truth: the true game"),
        _figure(picture(chart, difference, len(chart)), now.now.differences.words()),
    )
    words = now.words()
    strip = strip_html(now.guesses) if now.guesses else ""
    return Html(page(parts, f"<p>{html.escape(words)}</p>", strip), words)


# --------------------------------------------------------------------------------------------- keys


def keys_of(game: Game) -> dict[str, str]:
    """Keys of the browser, and what each of them stands for in a game."""
    jumps = "jump" in game.actions
    return {
        "ArrowLeft": "left",
        "ArrowRight": "right",
        "ArrowUp": "jump" if jumps else "up",
        "ArrowDown": "none" if jumps else "down",
        "Space": "jump" if jumps else "none",
    }


def action_of(game: Game, held: Sequence[str]) -> int:
    """The action of keys that are held, the last one pressed at the end; others do not count.

    Where a game has a jump, it goes together with left or right.
    """
    names = keys_of(game)
    words = [names[key] for key in held if key in names]
    name = words[-1] if words else "none"
    if "jump" in words:
        ways = [word for word in words if word in ("left", "right")]
        name = " ".join(["jump", *ways[-1:]])
    return game.actions.index(name)


@dataclass(frozen=True)
class KeyEvent:
    """What happened to a key: "down", "again" while it is held, "up"; "blur" ends all keys."""

    kind: str
    key: str
    number: int  # grows with every event


def read_keys(message: str, after: int) -> list[KeyEvent]:
    """Read a message such as "down ArrowUp 17,up ArrowUp 18"; what is not in this form is left out.

    Args:
        after: number of the last event that is known; those up to it come again.
    """
    events = []
    for part in message.split(","):
        words = part.split()
        if len(words) != 3 or not words[2].isdecimal():
            continue
        event = KeyEvent(words[0], words[1], int(words[2]))
        if event.number > after and event.kind in ("down", "again", "up", "blur"):
            events.append(event)
    return events


# ipywidgets sends only the newest value of a line while the kernel is busy, so that a value holds
# the last 40 events. Of a held key it holds only the newest "again", so that a key's "up" is not
# pushed out meanwhile. NAME is the class of this player's elements.
SEND = """
  const line = document.querySelector('.NAME-line input');
  this.number = Math.max((this.number || 0) + 1, Date.now());
  const again = (old) => kind === 'again' && old.startsWith('again ' + key);
  const earlier = (this.recent || []).filter((old) => !again(old));
  this.recent = [...earlier, kind + ' ' + key + ' ' + this.number].slice(-40);
  const setter = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set;
  setter.call(line, this.recent.join(','));
  line.dispatchEvent(new Event('input', {bubbles: true}));
  line.dispatchEvent(new Event('change', {bubbles: true}));
"""
ON_KEY = """
  const key = event.key === ' ' ? 'Space' : event.key;
  if (!'KEYS'.split(' ').includes(key) || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  event.stopPropagation();
"""
ON_KEY_DOWN = """
  const kind = event.repeat ? 'again' : 'down';
  if (event.repeat && Date.now() - this.sent < 120) return;
  this.sent = Date.now();
"""
ON_BLUR = "const kind = 'blur', key = 'all';"
ON_SHOWN = """
  const root = this.closest('.NAME');
  if (!root || root.dataset.ready) return;
  root.dataset.ready = 'yes';
  for (const [name, text] of Object.entries(ALTS)) {
    const image = root.querySelector('.NAME-' + name);
    if (image) image.alt = text;
  }
  root.addEventListener('click', (event) => {
    if (event.detail && event.target.closest('button')) this.focus();
  });
  let byMouse = false;
  root.addEventListener('pointerdown', () => { byMouse = true; }, true);
  root.addEventListener('keydown', () => { byMouse = false; }, true);
  root.addEventListener('change', (event) => {
    if (byMouse && event.target.closest('select, label')) this.focus();
  });
"""
STYLE = """<style>
  .NAME-screen { position: relative !important; overflow: visible !important; }
  .NAME-keys { position: absolute !important; left: 0; top: 0; margin: 0 !important; }
  .NAME-model, .NAME-true, .NAME-map { image-rendering: pixelated; background: #fff; }
  .NAME-focus { width: 256px; height: 280px; margin: 2px; cursor: pointer; outline: none;
    position: relative; user-select: none; animation: NAME-shown 0.2s 0.3s; }
  .NAME-focus div { position: absolute; bottom: 0; width: 100%; height: 21px; line-height: 21px;
    font-size: 13px; text-align: center; white-space: nowrap; background: #fff; color: #000; }
  .NAME-focus:focus { box-shadow: 0 0 0 3px #0072B2; }
  .NAME-focus .NAME-on, .NAME-focus:focus .NAME-off { display: none; }
  .NAME-focus:focus .NAME-on { display: block; background: #0072B2; color: #fff; }
  @keyframes NAME-shown { from { opacity: 0.99; } to { opacity: 1; } }
</style>"""


def keys_html(name: str, game: Game, alts: dict[str, str]) -> str:
    """The element over the picture that takes the keys; it never changes, and so keeps the focus.

    Args:
        name: the class of a player's elements.
        alts: for each of its pictures, words for those who do not see it.
    """
    keys = " ".join(keys_of(game))
    quoted = "{" + ", ".join(f"'{key}': {_quoted(text)}" for key, text in alts.items()) + "}"
    handlers = {
        "onkeydown": ON_KEY + ON_KEY_DOWN + SEND,
        "onkeyup": ON_KEY + "const kind = 'up';" + SEND,
        "onblur": ON_BLUR + SEND,
        "onclick": "this.focus();",
        "onanimationstart": ON_SHOWN,
    }
    attributes = " ".join(f'{key}="{html.escape(code)}"' for key, code in handlers.items())
    label = f"the game {game.name}: click here, then use the arrow keys"
    text = (
        f'{STYLE}<div class="NAME-focus" tabindex="0" role="application" aria-label="{label}" '
        f'title="Click here, then use the arrow keys" data-lm-suppress-shortcuts="true" '
        f"{attributes}>"
        '<div class="NAME-off">the model\'s world: click to play</div>'
        '<div class="NAME-on">the model\'s world: press arrow keys</div></div>'
    )
    return text.replace("KEYS", keys).replace("ALTS", html.escape(quoted)).replace("NAME", name)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


# ------------------------------------------------------------------------------------ with controls


class Player:
    """Play in a model's world with the arrow keys; the true game goes beside it.

    `play` is the game, `box` the widget, `controls` what it is set with, `pad` a button for each
    action. `press(action)` makes a step, `tick()` what the clock does in one.

    A turn-by-turn game makes a step for each key. The platform game has a clock as well ("run"),
    which takes the key that is held. The clock is a task of the kernel's event loop, and cells can
    be run while it goes.

    Args:
        seed: chooses the level, and the noise.
        steps: sampling steps for a frame.
    """

    def __init__(self, model: PlayModel, seed: int = 0, steps: int = 1):
        self.play = Play(model, seed, steps)
        self.game = model.game
        self.held: list[str] = []  # keys that are down, the last one pressed at the end
        self.tapped: list[str] = []  # keys that went down since the last tick
        self.wish: int | None = None  # an action that was chosen with a button since then
        self.newest = 0  # number of the last key event
        self.clock: asyncio.Future | None = None
        self.name = f"minisora-player-{uuid.uuid4().hex[:12]}"
        self._make_pictures()
        self._make_controls(steps)
        self._make_box()
        self.show()

    # ---------------------------------------- what is on the page

    def _make_pictures(self) -> None:
        """Pictures are images of their own, which the browser replaces without a gap."""
        import ipywidgets as w

        sides = {"model": SCALE, "true": SCALE, "map": MAP_SCALE}
        self.images = {}
        for key, scale in sides.items():
            width, height = scale * self.game.width, scale * self.game.height
            layout = w.Layout(width=f"{width}px", height=f"{height}px", margin="2px")
            self.images[key] = w.Image(format="png", layout=layout)
            self.images[key].add_class(f"{self.name}-{key}")
        alts = dict(zip(sides, alt_words(self.play), strict=True))
        alts["map"] = "map of what differs, in words under it"
        keys = w.HTML(keys_html(self.name, self.game, alts))
        keys.add_class(f"{self.name}-keys")
        room = w.Layout(height="288px", margin="0 10px 0 0")
        self.screen = w.VBox([self.images["model"], keys], layout=room)
        self.screen.add_class(f"{self.name}-screen")
        self.line = w.Text(continuous_update=True, layout=w.Layout(display="none"))
        self.line.add_class(f"{self.name}-line")
        self.line.observe(lambda change: self.on_keys(change["new"]), "value")
        self.words = w.HTML(layout=w.Layout(width="720px", height="48px", overflow="auto"))
        self.legend = w.HTML()
        self.strip = w.HTML(layout=w.Layout(height="164px", overflow="auto", display="none"))

    def _make_controls(self, steps: int) -> None:
        import ipywidgets as w

        def button(kind: str, words: str, about: str, width: str = "150px") -> Any:
            layout = w.Layout(width=width)
            return tip(getattr(w, kind)(description=words, layout=layout), about)

        self.pad = {}
        for number, name in enumerate(self.game.actions):
            words = f"{_sign(self.game, name)} {'wait' if name == 'none' else name.split()[0]}"
            self.pad[name] = button("Button", words, f"One step: {name}", "82px")
            self.pad[name].on_click(lambda _, number=number: self.press(number))
        counts = sorted({1, 2, 4, steps})

        def check(value: bool, words: str, about: str, width: str) -> Any:
            layout = w.Layout(width=width)
            return tip(w.Checkbox(value, description=words, indent=False, layout=layout), about)

        policy = "A small program plays, until you press a key; it looks at the true game"
        slow = f"Make frames in {SLOW_STEPS} sampling steps, and show each of them"
        beside = (
            "Show the ground truth: the true game, played with the same actions, and what differs"
        )
        self.controls = {
            "run": button(
                "ToggleButton", "▶ run", "A clock goes on with the held key, until you press again"
            ),
            "policy": button("ToggleButton", "let the policy play", policy),
            "undo": button("Button", "⟲ undo", f"Back by a step, at most {HISTORY} of them"),
            "new": button("Button", "new game", "Another level: the next seed"),
            "steps": menu("sampling steps", counts, steps, "From noise to a frame", "175px"),
            "true": check(True, "ground truth beside", beside, "165px"),
            "slow": check(False, "slow motion", slow, "120px"),
        }
        self.controls["undo"].on_click(lambda _: self.undo())
        self.controls["new"].on_click(lambda _: self.new_game())
        for key in ("run", "policy"):
            self.controls[key].observe(self._on_toggle, "value")
        for key in ("steps", "slow", "true"):
            self.controls[key].observe(lambda _: self._set(), "value")

    def _make_box(self) -> None:
        import ipywidgets as w

        style = "font-size:13px;line-height:21px;text-align:center"
        caption = w.HTML(f'<div style="{style}">ground truth: the true game</div>')
        apart = w.Layout(margin="0 10px 0 0")
        self.ground_truth = [
            w.VBox([self.images["true"], caption], layout=apart),
            w.VBox([self.images["map"], self.legend]),
        ]
        self.legend.layout.width = f"{MAP_SCALE * self.game.width}px"
        rows = [["up"], ["left", "none", "right"], ["down"]]
        if "jump" in self.game.actions:
            rows = [["jump left", "jump", "jump right"], ["left", "none", "right"]]
        center = w.Layout(justify_content="center", width="264px")
        pad = w.VBox([w.HBox([self.pad[name] for name in row], layout=center) for row in rows])
        rows = [["run", "policy"], ["undo", "new"], ["steps", "true", "slow"]]
        if "jump" not in self.game.actions:  # turn by turn: there is no clock to run
            rows[0].remove("run")
        settings = w.VBox([w.HBox([self.controls[key] for key in row]) for row in rows])
        pictures = w.HBox(
            [self.screen, *self.ground_truth], layout=w.Layout(height="296px", padding="4px")
        )
        below = w.HBox([pad, settings], layout=w.Layout(height="104px"))
        self.box = w.VBox([pictures, self.words, below, self.strip, self.line])
        self.box.add_class(self.name)

    def show(self) -> None:
        """Draw where the game stands."""
        found = self.play.now.differences
        self.images["model"].value = _png(self.play.frame)
        if self.controls["true"].value:
            self.images["true"].value = _png(self.play.true_frame)
            self.images["map"].value = _png(draw_map(self.play.frame, found))
            words = html.escape(found.words())
            if found.apart:
                words += "<br>blue: the true player"
            self.legend.value = (
                f'<div style="font-size:13px;line-height:1.3"><b>what differs</b><br>{words}</div>'
            )
        if self.play.guesses or self.controls["slow"].value:
            self.strip.value = strip_html(self.play.guesses) if self.play.guesses else HINT
        style = "font-weight:bold;line-height:1.4"  # two lines have room
        self.words.value = f'<div style="{style}">{html.escape(self.play.words())}</div>'
        self.controls["undo"].disabled = not self.play.past

    # ---------------------------------------- what the reader does

    def on_keys(self, message: str) -> None:
        """Take in a message of the page: see `read_keys`."""
        for event in read_keys(message, self.newest):
            self.newest = event.number
            self._on_key(event)

    def _on_key(self, event: KeyEvent) -> None:
        known = event.key in keys_of(self.game)
        if event.kind == "blur":
            self.held.clear()
        elif event.kind == "up" and event.key in self.held:
            self.held.remove(event.key)
        elif event.kind in ("down", "again") and known:
            if event.key not in self.held:
                self.held.append(event.key)
            self.controls["policy"].value = False  # who presses a key takes the game back
            if not self.is_running:
                self.press(action_of(self.game, self.held))
            elif event.kind == "down":
                self.tapped.append(event.key)

    def press(self, action: int) -> None:
        """Play an action now, or with the next tick where the clock runs; errors are shown."""
        self.controls["policy"].value = False
        if self.is_running:
            self.wish = action
        else:
            self._step(action)

    def tick(self) -> None:
        """Make one step of the clock: the policy's, or that of the keys that are held."""
        keys = [*self.held, *(key for key in self.tapped if key not in self.held)]
        action = self.wish if self.wish is not None else action_of(self.game, keys)
        self.tapped.clear()
        self.wish = None
        if self.controls["policy"].value:
            action = self.play.policy_action()
        self._step(action)

    def undo(self) -> None:
        """Go back a step in both worlds; the clock stops."""
        self.stop()
        self.play.undo()
        self.show()

    def new_game(self) -> None:
        """Begin on the next level."""
        self.play.new_game(self.play.seed + 1)
        self.show()

    def stop(self) -> None:
        """Stop the clock and the policy."""
        self.controls["run"].value = False
        self.controls["policy"].value = False

    def _step(self, action: int) -> None:
        try:
            self.play.step(action)
            self.show()
        except Exception as error:  # in a task of the event loop it would vanish
            self.stop()
            self.words.value = error_html(error)

    def _set(self) -> None:
        """Take over what the controls say about sampling and pictures."""
        self.play.num_inference_steps = self.controls["steps"].value
        self.play.slow = self.controls["slow"].value
        self.controls["steps"].disabled = self.play.slow
        self.strip.layout.display = None if self.play.slow else "none"
        for part in self.ground_truth:
            part.layout.display = None if self.controls["true"].value else "none"
        self.show()

    # ---------------------------------------- the clock

    @property
    def is_running(self) -> bool:
        """Whether steps are made by the clock."""
        return self.controls["run"].value or self.controls["policy"].value

    def _on_toggle(self, change: Any) -> None:
        """Show in colour that a toggle is on, and start the clock."""
        change["owner"].button_style = "primary" if change["new"] else ""
        self._start_clock()

    def _start_clock(self) -> None:
        """Begin to tick where there is an event loop; elsewhere `tick` is called by hand."""
        if not self.is_running or (self.clock and not self.clock.done()):
            return
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        self.clock = asyncio.ensure_future(self._run_clock())

    async def _run_clock(self) -> None:
        """Tick at the game's rate; between two ticks the kernel is free."""
        pause = 1 / min(self.game.fps, MOST_RATE)
        began = following = time.monotonic()
        while self.is_running:
            self.tick()
            following = max(following + pause, time.monotonic() + 0.005)
            if following - began > MOST_SECONDS:
                self.stop()
                self.words.value = (
                    f"stopped after {MOST_SECONDS / 60:.0f} minutes: press the button again"
                )
            await asyncio.sleep(following - time.monotonic())

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.box)


HINT = '<div style="font-size:13px">make a step to see the frame come out of the noise</div>'


def _png(frame: np.ndarray) -> bytes:
    return encode_pictures([Image.fromarray(frame)], "PNG")


def _sign(game: Game, name: str) -> str:
    """How an action is written as one sign."""
    return "·" if name == "none" else SIGNS[game.name][name][0]
