"""A world that is played: each next frame from the frames before it and a player's action.

    clean frames (B, T, 3, H, W), actions ──► PlayModel.begin ──► Session
    action ── Session.step ──► the next frame (B, 3, H, W), clean from then on

It is the same transformer as everywhere. The tokens of the past are clean, those of the next frame
are noise, and the action is added to the embedding of their noise level. The network predicts x_0
instead of the velocity, because a single step from pure noise then gives the frame at once. Keys
and values of the past are kept (`KeyValueCache`), so that a step costs the same after an hour.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn as nn

from minisora.checkpoints import CheckpointError, load_tensors, save_tensors
from minisora.config import PlayPreset
from minisora.device import autocast, choose_device, choose_dtype
from minisora.dit import DiT
from minisora.flow import sigma_schedule
from minisora.inputs import Generators, shown
from minisora.layers import KeyValueCache
from minisora.masks import causal_mask
from minisora.patchify import grid_of, patchify, positions_of, unpatchify
from minisora.pipeline import SHIPPED
from minisora.sampling import draw_noise
from minisora.world.game import Game, game_of

FILE = "play.safetensors"
BRIGHTEST = 16.0  # in a noisy frame of [-1, 1]; what is more counts from 0 to 255
OnStep = Callable[[int, float, torch.Tensor], None]  # step, sigma, the guess of the frame


class PlayModel(nn.Module):
    """A transformer that has learned a game.

    Args:
        preset: sizes, and the game.
    """

    def __init__(self, preset: PlayPreset):
        super().__init__()
        self.preset = preset
        self.game: Game = game_of(preset.game)
        if preset.dit.num_actions != len(self.game.actions):
            raise ValueError(
                f"dit.num_actions={preset.dit.num_actions} should be {len(self.game.actions)}: "
                f"the actions of {preset.game} are {', '.join(self.game.actions)}"
            )
        self.dtype: torch.dtype | None = None  # of matrix products; None is this machine's choice
        self.metadata: dict = {}  # how the weights were made
        self.dit = DiT(preset.dit)
        shape = (1, self.game.height, self.game.width)
        self.grid = grid_of(shape, preset.dit.patch_size)  # tokens of a frame

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def tokens_per_frame(self) -> int:
        return self.grid[1] * self.grid[2]

    def to_tokens(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames (B, T, 3, H, W) in [-1, 1] → tokens (B, T·n, P), n = `tokens_per_frame`."""
        return patchify(frames.transpose(1, 2), self.preset.dit.patch_size)

    def to_frames(self, tokens: torch.Tensor) -> torch.Tensor:
        """Undo `to_tokens`."""
        count = tokens.shape[1] // self.tokens_per_frame
        grid = (count, *self.grid[1:])
        return unpatchify(tokens, grid, self.preset.dit.patch_size).transpose(1, 2)

    def positions(self, frames: torch.Tensor) -> torch.Tensor:
        """Positions of all tokens of frames with these numbers: (T,) → (T·n, 3)."""
        of_one = positions_of(self.grid, device=frames.device)  # (n, 3)
        positions = of_one.repeat(len(frames), 1)
        positions[:, 0] = frames.float().repeat_interleave(len(of_one))
        return positions

    def begin(
        self,
        frames: torch.Tensor,
        actions: torch.Tensor | Sequence[int] = (),
        *,
        num_inference_steps: int = 1,
        context: int | None = None,
        cached: bool = True,
        generator: Generators = None,
    ) -> "Session":
        """Begin to play where some frames end.

        Args:
            frames: (B, T, 3, H, W) or (T, 3, H, W) in [-1, 1], one or more; the last
                `preset.context` of them count.
            actions: (B, T − 1) or (T − 1,), numbers of `game.actions`: what led from each of these
                frames to the next one. None of them at all is "none".
            num_inference_steps: from noise to a frame.
            context: clean frames that a new frame is made from; None is the preset's. With more
                than that, the network is asked for what it never practised.
            cached: False computes the whole past in every step; it is there to be compared.
            generator: source of the noise.

        Raises:
            ValueError: another shape, an action that the game does not have, or a context below 1.
        """
        if frames.ndim == 4:
            frames = frames[None]
        if not frames.is_floating_point() or (frames.numel() and frames.abs().max() > BRIGHTEST):
            raise ValueError(
                "frames should be numbers in [-1, 1]; those of a game are "
                "minisora.world.game.frames_of(game, states)"
            )
        size = (3, self.game.height, self.game.width)
        if frames.ndim != 5 or frames.shape[2:] != size or frames.shape[1] < 1:
            raise ValueError(
                f"frames have the shape {tuple(frames.shape)}; they should be "
                f"(B, T, 3, {size[1]}, {size[2]}), at least one"
            )
        B, T = frames.shape[:2]
        taken = self.check_actions(actions)
        if taken.numel() == 0:
            taken = torch.zeros(B, T - 1, dtype=torch.long)
        taken = taken.expand(B, -1) if taken.ndim == 1 else taken
        if taken.shape != (B, T - 1):
            raise ValueError(
                f"actions have the shape {tuple(taken.shape)}; {T} frames have {T - 1} actions "
                f"between them, so they should be {(B, T - 1)}"
            )
        context = self.preset.context if context is None else context
        if context < 1:
            raise ValueError(f"context={context} should be 1 or more frames")
        first = torch.zeros(B, 1, dtype=torch.long)  # what led to the first frame is not known
        led_to = torch.cat([first, taken], dim=1)  # (B, T)
        session = Session(self, num_inference_steps, context, generator, cached)
        session.prefill(frames.to(self.device), led_to.to(self.device))
        return session

    def check_actions(self, actions: Any) -> torch.Tensor:
        """Actions as a tensor of whole numbers; ValueError where the game has no such action."""
        known = len(self.game.actions)
        try:
            numbers = torch.as_tensor(actions)
        except (TypeError, ValueError, RuntimeError):
            numbers = torch.tensor(math.nan)
        whole = numbers.numel() == 0 or not numbers.is_floating_point()
        if whole and bool(((numbers >= 0) & (numbers < known)).all()):
            return numbers.long()
        raise ValueError(
            f"actions={shown(actions)} are not possible; in {self.preset.game} they go from 0 to "
            f"{known - 1}: {', '.join(self.game.actions)}"
        )

    # ---------------------------------------- files

    def save(self, folder: str | Path, metadata: dict | None = None) -> None:
        """Write weights (float16) and preset into one file of a folder.

        Args:
            metadata: how the weights were made; None is what the model was loaded with.
        """
        tensors = {name: tensor.half() for name, tensor in self.dit.state_dict().items()}
        note = {"preset": self.preset.to_dict(), "metadata": metadata or self.metadata}
        save_tensors(Path(folder) / FILE, tensors, note)

    @classmethod
    def load(
        cls, name: str | Path = "play-tiles", device: str = "auto", dtype: str | None = None
    ) -> "PlayModel":
        """Load a shipped model by its name, or any model from its folder.

        Raises:
            CheckpointError: not there, cut short or altered.
            ValueError: a device or a dtype that this machine does not have.
        """
        place = choose_device(device)
        tensors, note = load_tensors(_find(name))
        try:
            model = cls(PlayPreset.from_dict(note["preset"]))
            model.dit.load_state_dict({key: tensor.float() for key, tensor in tensors.items()})
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise CheckpointError(f"{name} holds no model that can be played ({reason})") from None
        model.metadata = note.get("metadata", {})
        model.dtype = choose_dtype(place, dtype)
        return model.eval().to(place)


def shipped_play_models() -> list[str]:
    """Names of the models that can be played and come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob(f"*/{FILE}"))


def _find(name: str | Path) -> Path:
    for folder in (Path(name), Path(name) / "model", SHIPPED / str(name)):
        if (folder / FILE).is_file():
            return folder / FILE
    raise CheckpointError(
        f"there is no model to play at {str(name)!r:.200}; "
        f"shipped: {', '.join(shipped_play_models()) or 'none'}; or name a folder with a {FILE}"
    )


# ------------------------------------------------------------------------------------------ playing


@dataclass(frozen=True)
class Snapshot:
    """Where a session stands. Nothing in it is ever changed, so it can be kept and gone back to."""

    number: int  # of the newest frame, counted from 0
    tokens: torch.Tensor  # (B, T·n, P), clean: the newest frame; without a cache, the past as well
    led_to: torch.Tensor  # (B, T), the actions that led to these frames
    kept: tuple[torch.Tensor | None, ...]  # keys and values of the frames before, block by block


class Session:
    """One game that a model plays, or B of them side by side. `PlayModel.begin` makes it.

    The newest clean frame has not been through the network yet: it goes along with the next noisy
    one, so that a frame with one sampling step is a single call.
    """

    now: Snapshot

    def __init__(
        self,
        model: PlayModel,
        num_inference_steps: int,
        context: int,
        generator: Generators,
        cached: bool,
    ):
        self.model = model
        self.sigmas = sigma_schedule(num_inference_steps, model.preset.shift).tolist()
        self.context = context
        self.generator = generator
        self.cached = cached
        self.caches = [KeyValueCache() for _ in model.dit.blocks]

    @property
    def frame(self) -> torch.Tensor:
        """The newest frame (B, 3, H, W) in [-1, 1]."""
        newest = self.now.tokens[:, -self.model.tokens_per_frame :]
        return self.model.to_frames(newest)[:, 0]

    @torch.no_grad()
    def prefill(self, frames: torch.Tensor, led_to: torch.Tensor) -> None:
        """Take in the past: frames (B, T, 3, H, W), and the actions (B, T) that led to them."""
        frames = frames[:, -self.context :]
        led_to = led_to[:, -self.context :]
        tokens = self.model.to_tokens(frames)
        last = frames.shape[1] - 1
        if self.cached and last:
            n = self.model.tokens_per_frame
            past = torch.arange(last, device=frames.device)
            clean = torch.ones_like(past, dtype=torch.bool)
            for cache in self.caches:
                cache.keep = last * n
            with autocast(self.model.device, self.model.dtype):
                self._call(tokens[:, :-n], past, clean, led_to[:, :-1], 0.0)
        self._stand(last, tokens, led_to)

    @torch.no_grad()
    def step(
        self, action: int | Sequence[int] | torch.Tensor, on_step: OnStep | None = None
    ) -> torch.Tensor:
        """Play one action: the next frame (B, 3, H, W) in [-1, 1].

        Args:
            action: a number of `game.actions`, or one for each of B games.
            on_step: called after every sampling step with its number, the noise level that it
                began at, and the guess of the frame (B, 3, H, W).

        Raises:
            ValueError: an action that the game does not have.
        """
        model, now = self.model, self.now
        self.go_back(now)  # a step that was broken off may have left something in the caches
        chosen = model.check_actions(action).to(model.device)
        if chosen.ndim > 1 or chosen.numel() not in (1, len(now.tokens)):
            raise ValueError(
                f"{chosen.numel()} actions for {len(now.tokens)} games; "
                "give one for all of them, or one for each"
            )
        chosen = chosen.expand(len(now.tokens))[:, None]  # (B, 1)
        shape = (len(now.tokens), model.tokens_per_frame, now.tokens.shape[2])
        x_t = draw_noise(shape, self.generator, model.device)
        with autocast(model.device, model.dtype):
            for step, (sigma, after) in enumerate(itertools.pairwise(self.sigmas)):
                x_0 = self._guess(x_t, chosen, sigma, first=step == 0)
                if on_step:
                    on_step(step, sigma, model.to_frames(x_0)[:, 0])
                x_t = x_0 + after / sigma * (x_t - x_0)  # Euler's step
        tokens = torch.cat([now.tokens, x_t.clamp(-1, 1)], dim=1)
        self._stand(now.number + 1, tokens, torch.cat([now.led_to, chosen], dim=1))
        return self.frame

    def go_back(self, snapshot: Snapshot) -> None:
        """Stand where the session stood when its `now` was this snapshot."""
        self.now = snapshot
        for cache, kept in zip(self.caches, snapshot.kept, strict=True):
            cache.kept = kept

    def _stand(self, number: int, tokens: torch.Tensor, led_to: torch.Tensor) -> None:
        """Stand at frame `number`, and forget what no later frame is made from."""
        n = self.model.tokens_per_frame
        frames = 1 if self.cached else self.context * len(self.caches)
        for cache in self.caches:
            if cache.kept is not None:
                before = max(cache.kept.shape[3] - (self.context - 1) * n, 0)
                cache.kept = cache.kept[:, :, :, before:]
        kept = tuple(cache.kept for cache in self.caches)
        self.now = Snapshot(number, tokens[:, -frames * n :], led_to[:, -frames:], kept)

    def _guess(
        self, x_t: torch.Tensor, action: torch.Tensor, sigma: float, first: bool
    ) -> torch.Tensor:
        """What the network takes for the clean tokens (B, n, P) of the next frame."""
        past, led_to = self.now.tokens, self.now.led_to
        if self.cached and not first:  # keys and values of the newest frame are kept by now
            past, led_to = past[:, :0], led_to[:, :0]
        for cache in self.caches:
            cache.keep = past.shape[1]
        count = led_to.shape[1]
        numbers = torch.arange(count + 1, device=x_t.device)
        frames = numbers + self.now.number + 1 - count
        tokens = torch.cat([past, x_t], dim=1)
        actions = torch.cat([led_to, action], dim=1)
        return self._call(tokens, frames, numbers < count, actions, sigma)[:, past.shape[1] :]

    def _call(
        self,
        tokens: torch.Tensor,
        frames: torch.Tensor,
        clean: torch.Tensor,
        actions: torch.Tensor,
        sigma: float,
    ) -> torch.Tensor:
        """Call the network: tokens (B, T·n, P) of frames with these numbers (T,), clean or at σ."""
        model = self.model
        n = model.tokens_per_frame
        held = self.caches[0].kept
        earlier = held.shape[3] // n if held is not None else 0  # frames in the cache
        before = frames[0] - earlier + torch.arange(earlier, device=frames.device)
        all_frames = torch.cat([before, frames]).repeat_interleave(n)
        all_clean = torch.cat([torch.ones_like(before).bool(), clean]).repeat_interleave(n)
        mask = causal_mask(all_frames, all_clean, self.context)[earlier * n :]
        levels = (~clean * sigma).repeat_interleave(n)
        B = len(tokens)
        return model.dit(
            tokens,
            levels.expand(B, -1),
            model.positions(frames),
            self_mask=mask.expand(B, -1, -1),
            actions=actions.repeat_interleave(n, dim=1),
            caches=self.caches if self.cached else None,
        )
