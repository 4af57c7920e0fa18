"""minisora play: a clip of a game that a model generates frame by frame, beside the true game."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minisora.cli.common import (
    DEVICE,
    FORCE,
    MAX_SEED,
    OUT,
    SCALE,
    free_name,
    what_the_judge_saw,
)

if TYPE_CHECKING:
    import numpy as np
    import torch

    from minisora.measure.play import Games
    from minisora.play.model import PlayModel
    from minisora.world.game import Game

MOST_STEPS = 10_000
ACTIONS = Annotated[
    str,
    typer.Argument(
        help="What the player does: arrows, letters or names, as in →→↑, rru or "
        '"right, right, up"; a file that holds them; "policy"; or a sentence: '
        '"in the game, the player takes the key".'
    ),
]


def play(
    actions: ACTIONS = "policy",
    out: OUT = None,
    seed: Annotated[
        int,
        typer.Option(
            help="Seed of the level, of the policy and of the noise.", min=0, max=MAX_SEED
        ),
    ] = 0,
    steps: Annotated[
        int | None,
        typer.Option(help="Steps of the policy (50 if left out), or of a sentence (16).", min=1),
    ] = None,
    num_inference_steps: Annotated[
        int, typer.Option(help="Steps from noise to a frame, 1 to 1000.")
    ] = 1,
    truth: Annotated[
        bool, typer.Option("--truth", help="Show the ground truth, the true game, on the right.")
    ] = False,
    scale: SCALE = 8,
    model: Annotated[
        str, typer.Option("--model", help="play-tiles, play-platform, or a folder of a training.")
    ] = "play-tiles",
    device: DEVICE = "auto",
    force: FORCE = False,
) -> None:
    """Play a game inside a model, and say at which step it left the true game."""
    from minisora.measure.play import compare_games, first_clip, known_ground, same_tiles
    from minisora.play.model import PlayModel
    from minisora.show.clip import Clip
    from minisora.show.media import can_save
    from minisora.threads import choose_threads

    out = out or free_name(force)
    choose_threads("sampling")
    player = PlayModel.load(model, device)
    game = player.game
    can_save(out, force, game.fps)
    text = _read_file(actions)
    games = _true_game(player, text, seed, steps)
    found = compare_games(player, games, seed, num_inference_steps=num_inference_steps)
    generated = first_clip(game, games, found.frames)
    video = _beside_truth(game, games, generated) if truth else generated
    taken = " ".join(game.actions[a] for a in games.led_to[0, games.shown :])
    caption = f"{game.name}: {taken}"
    what = "prompt" if is_sentence(text) else "actions"
    metadata = {"model": model, "seed": seed, what: text[:MOST_STEPS].strip()}
    Clip(video, caption[:200], game.fps).save(out, scale=scale, force=force, metadata=metadata)
    shown = f", the first {games.shown} as they were shown to it" if games.shown > 1 else ""
    typer.echo(f"{out}: {video.shape[1]} frames{shown}, {game.name}, seed {seed}")
    states = games.states[0]
    known = known_ground(states[: games.shown], states[games.shown :])
    same = same_tiles(found.readings[0], found.ground_truth[0], known)
    typer.echo(verdict(found.right[0] & same, known))
    if is_sentence(text):
        typer.echo(
            "the first frame is the true game's, and the actions were found by a search in it: "
            + taken
        )
        typer.echo(what_the_judge_saw(generated, text, game.fps))


def verdict(right: "torch.Tensor", known: "np.ndarray") -> str:
    """Whether (steps,) frames were all as in the true game, or where they were not.

    Args:
        known: (steps, columns) bool, as from `known_ground`; a second line says where new ground
            came, if it did.
    """
    wrong = (~right).nonzero().flatten().tolist()
    said = f"as the true game for all {len(right)} steps"
    if wrong:
        said = (
            f"left the ground truth at step {wrong[0] + 1}; "
            f"{len(right) - len(wrong)} of {len(right)} frames are right"
        )
    is_new = ~known.all(axis=1)  # (steps,)
    if is_new.any():
        said += (
            f"\nnew ground came into view at step {is_new.argmax() + 1}, which no model can know: "
            "its tiles are not counted, but a player who walks on it is"
        )
    return said


def _true_game(model: "PlayModel", text: str, seed: int, steps: int | None) -> "Games":
    """The true game of a sentence, of the policy, or of the actions that were typed."""
    from minisora.measure.play import draw_games, follow
    from minisora.world.game import read_actions

    game = model.game
    if is_sentence(text):
        return _as_asked(model, text, seed, steps)
    if text.strip() == "policy":
        return draw_games(game, 1, steps or 50, model.preset.context, seed)
    if steps is not None:
        raise ValueError("--steps is for a policy or a sentence; actions say how many they are")
    chosen = read_actions(game, text)
    if not 1 <= len(chosen) <= MOST_STEPS:
        raise ValueError(f"{len(chosen)} actions are not possible; 1 to {MOST_STEPS} are")
    games = draw_games(game, 1, 0, model.preset.context, seed)
    return follow(game, games, chosen)


def is_sentence(text: str) -> bool:
    """Whether a text has the word game or player, and so is no list of actions."""
    from minisora.text import words_of
    from minisora.world.game_words import is_about_game

    return is_about_game(words_of(text))


def _as_asked(model: "PlayModel", sentence: str, seed: int, steps: int | None) -> "Games":
    """A true game in which what a sentence says happens.

    Raises:
        ValueError: what the game cannot show, or another game than that of the sentences.
    """
    from minisora.measure.asked import STEPS, game_as_asked
    from minisora.world.parse import parse

    if model.game.name != "tiles":
        raise ValueError(
            "sentences are about the game of tiles; leave out --model, or give actions: →→↑"
        )
    asked = parse(sentence).game
    assert asked is not None  # because of `is_sentence`
    return game_as_asked(asked, STEPS if steps is None else steps, seed)


def _read_file(actions: str) -> str:
    """The text of a file where the argument names one, else the argument itself."""
    path = Path(actions)
    try:
        is_file = path.is_file()
    except OSError:  # a name that is too long for a file
        return actions
    if is_file:
        return path.read_text(encoding="utf-8", errors="replace")
    if path.suffix in (".txt", ".csv", ".json"):
        raise ValueError(f"there is no file {actions}")
    return actions


def _beside_truth(game: "Game", games: "Games", generated: "torch.Tensor") -> "torch.Tensor":
    """A clip (3, T, H, W), a white line, and the true game."""
    import torch

    from minisora.measure.play import draw_frames

    ground_truth = draw_frames(game, games, 0, len(games.states[0]))[0].transpose(0, 1)
    gap = generated.new_ones(*generated.shape[:3], 2)
    return torch.cat([generated, gap, ground_truth], dim=3)
