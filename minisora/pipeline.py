"""MiniSora: every part in a row, and every kind of prompt as a choice of which tokens are clean already.

prompt (──► upsampler) ──► tokenizer ──► text encoder ──► DiT, many times, over noise levels ──► VAE decoder ──► video (B, 3, T, H, W)
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F

from minisora.checkpoints import (
    CheckpointError,
    load_tensors,
    part_path,
    save_tensors,
    upgrade_note,
    upgrade_tensors,
    write_text,
)
from minisora.config import GUIDANCE_SCALE, Preset
from minisora.device import autocast, choose_device
from minisora.dit import DiT
from minisora.flow import sigma_schedule
from minisora.patchify import grid_of, patchify, positions_of, unpatchify
from minisora.sampling import SAMPLERS, Callback, guided
from minisora.text import PAD, TextEncoder, Tokenizer
from minisora.upsampler import PromptUpsampler
from minisora.vae import VideoVAE

SHIPPED = Path(__file__).resolve().parent.parent / "data" / "checkpoints"  # in a clone
if not SHIPPED.is_dir():
    SHIPPED = Path(__file__).resolve().parent / "shipped"  # in an installed package


class MiniSora(nn.Module):
    """A compressor, a text encoder, a diffusion transformer and, if the preset has one, an upsampler that belong together."""

    def __init__(self, preset: Preset, vocabulary: Sequence[str]):
        super().__init__()
        self.preset, self.metadata = (
            preset,
            {},
        )  # metadata: what `model.json` tells of how the weights were made
        self.tokenizer = Tokenizer(vocabulary, preset.text.max_length)
        self.vae = VideoVAE(preset.vae)
        self.text = TextEncoder(len(self.tokenizer), preset.text, self.tokenizer.word_positions)
        self.dit = DiT(preset.dit)
        self.upsampler = (
            PromptUpsampler(len(self.tokenizer), preset.upsampler) if preset.upsampler else None
        )

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    # ------------------------------------------------------------------------------------------------------- prompts

    def upsample(
        self, prompts: str | Sequence[str], generator: torch.Generator | None = None
    ) -> list[str]:
        """Make short prompts long, for clips of the preset's size: see `PromptUpsampler.upsample`. A model without an upsampler gives them back as they are."""
        prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        return (
            self.upsampler.upsample(prompts, self.tokenizer, generator)
            if self.upsampler
            else prompts
        )

    @torch.no_grad()
    def generate(
        self,
        prompt: str | Sequence[str],
        *,
        negative_prompt: str = "",
        num_inference_steps: int = 20,
        guidance_scale: float = GUIDANCE_SCALE,
        num_frames: int | None = None,
        height: int | None = None,
        width: int | None = None,
        generator: torch.Generator | None = None,
        sampler: str = "euler",
        callback: Callback | None = None,
    ) -> torch.Tensor:
        """Text to video: no token starts clean.

        Args:
            prompt: one sentence, or a list for a batch, taken as they are (`upsample` makes them longer). "" asks for anything.
            negative_prompt: what guidance moves away from; "" is the null prompt.
            num_frames: 4k + 1; height, width: multiples of 8. The preset's where None.
            generator: source of the noise; the same seed gives the same clip.
            callback: (step, sigma, tokens, guess of x_0), called before every step.

        Returns:
            video (B, 3, T, H, W) in [-1, 1].

        Raises:
            ValueError: an unknown word, sampler or size, each with what would do.
        """
        preset = self.preset
        asked = zip(
            (num_frames, height, width),
            (preset.num_frames, preset.height, preset.width),
            strict=True,
        )
        shape = self.latent_shape(*(usual if n is None else n for n, usual in asked))
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        latents = torch.zeros(len(prompts), preset.vae.latent_channels, *shape, device=self.device)
        sigma = torch.ones(shape, device=self.device)
        return self.denoise(
            prompts,
            latents,
            sigma,
            negative_prompt=negative_prompt,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            generator=generator,
            sampler=sampler,
            callback=callback,
        )

    @torch.no_grad()
    def denoise(
        self,
        prompts: list[str],
        latents: torch.Tensor,
        sigma: torch.Tensor,
        *,
        negative_prompt: str = "",
        num_inference_steps: int = 20,
        guidance_scale: float = GUIDANCE_SCALE,
        generator: torch.Generator | None = None,
        sampler: str = "euler",
        callback: Callback | None = None,
    ) -> torch.Tensor:
        """The function under every method: start each latent cell at its level, and walk all of them to clean.

        Args:
            latents: normalised latents (B, Cz, Tz, Hz, Wz); only what has a level below 1 shows through.
            sigma: (Tz, Hz, Wz) in [0, 1]: 0 is clean, 1 is to be generated, between is to be changed. The highest in a patch counts.
        """
        if sampler not in SAMPLERS:
            raise ValueError(
                f"sampler={sampler!r} is not known; it is one of {', '.join(SAMPLERS)}"
            )
        patch = self.dit.config.patch_size
        grid = grid_of(latents.shape[2:], patch)
        sigmas = sigma_schedule(num_inference_steps, self.preset.shift, self.device)
        positions = positions_of(grid, device=self.device)
        ids = self.tokenizer([*prompts, *[negative_prompt] * len(prompts)])[0].to(self.device)
        ids = F.pad(
            ids, (0, -ids.shape[1] % 8), value=PAD
        )  # few widths, so that a compiled transformer meets few shapes
        if all(prompt == negative_prompt for prompt in prompts):
            guidance_scale = 1.0  # nothing to move away from, so half the work
        with autocast(self.device):
            prompt, negative = zip(
                *(part.chunk(2) for part in self.text.read(ids, grid)), strict=True
            )
            velocity = guided(self.dit, positions, prompt, negative, guidance_scale)
            noise = torch.randn(
                latents.shape,
                generator=generator,
                device=generator.device if generator else self.device,
            ).to(self.device)
            start = patchify(sigma[None, None], patch).amax(-1).expand(len(prompts), -1)  # (B, N)
            start = (
                start[:, :1] if (start == start[:, :1]).all() else start
            )  # (B, 1): one level for all tokens is embedded once
            sigmas = sigmas[
                max(int((sigmas >= start.max()).sum()) - 1, 0) :
            ]  # levels above every start would move nothing
            x_0, noise = patchify(latents, patch), patchify(noise, patch)
            tokens = (1 - start[..., None]) * x_0 + start[..., None] * noise
            tokens = SAMPLERS[sampler](velocity, tokens, sigmas, start=start, callback=callback)
            return self.decode(unpatchify(tokens, grid, patch))

    @torch.no_grad()
    def velocity(self, x_t: torch.Tensor, sigma: float, ids: torch.Tensor) -> torch.Tensor:
        """Ask the transformer once, to look at what it says: latents x_t, all at noise level sigma → velocity of the same shape.

        Args:
            x_t: (B, Cz, Tz, Hz, Wz), normalised. ids: (B, S) of the prompts, from `tokenizer` or `training.Latents`.
        """
        patch = self.dit.config.patch_size
        grid, tokens = grid_of(x_t.shape[2:], patch), patchify(x_t.to(self.device), patch)
        level = torch.full(tokens.shape[:2], float(sigma), device=self.device)
        prompt = self.text.read(ids.to(self.device).long(), grid)
        return unpatchify(
            self.dit(tokens, level, positions_of(grid, device=self.device), *prompt), grid, patch
        )

    # -------------------------------------------------------------------------------------------------------- latents

    def latent_shape(self, num_frames: int, height: int, width: int) -> tuple[int, int, int]:
        """(Tz, Hz, Wz) of a clip; ValueError where the frame count is not 4k + 1 or a side is no multiple of a token's."""
        cell, patch = self.vae.config.patch_size, self.dit.config.patch_size
        shape = self.vae.latent_shape(num_frames, cell[1], cell[2])
        rows, columns = grid_of(
            (cell[0], height, width), (cell[0], cell[1] * patch[1], cell[2] * patch[2])
        )[1:]
        return shape[0], rows * patch[1], columns * patch[2]

    @torch.no_grad()
    def encode(self, video: torch.Tensor) -> torch.Tensor:
        """video (B, 3, T, H, W) in [-1, 1] → normalised latents (B, Cz, Tz, Hz, Wz)."""
        with autocast(self.device):
            return self.vae.normalise(self.vae.encode(video.to(self.device)).mean)

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Normalised latents (B, Cz, Tz, Hz, Wz) → video (B, 3, T, H, W) in [-1, 1]."""
        with autocast(self.device):
            return self.vae.decode(self.vae.denormalise(latents)).clamp(-1, 1)

    # ---------------------------------------------------------------------------------------------------------- files

    def save(self, folder: str | Path, metadata: dict | None = None) -> None:
        """Write the weights (float16) and `model.json` (preset, vocabulary, checksums, your metadata) into a folder."""
        folder = Path(folder)
        checksums = {}
        for name, part in self.named_children():  # vae, text, dit, upsampler
            tensors = {k: v.half() for k, v in part.state_dict().items()}
            save_tensors(folder / f"{name}.safetensors", tensors, {"part": name})
            checksums[name] = hashlib.sha256(
                (folder / f"{name}.safetensors").read_bytes()
            ).hexdigest()
        model = {
            "preset": self.preset.to_dict(),
            "vocabulary": self.tokenizer.vocabulary,
            "sha256": checksums,
            "metadata": metadata or self.metadata,
        }
        write_text(folder / "model.json", json.dumps(model, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, name: str | Path = "tiny", device: str = "auto") -> "MiniSora":
        """Load a shipped model by its name, or any model from its folder.

        Raises:
            CheckpointError: not there, cut short, altered, or with parts of different trainings.
        """
        folder = Path(name) if (Path(name) / "model.json").is_file() else SHIPPED / str(name)
        if not (folder / "model.json").is_file():
            shipped = (
                ", ".join(sorted(p.parent.name for p in SHIPPED.glob("*/model.json"))) or "none"
            )
            raise CheckpointError(
                f"there is no model {str(name)!r}; shipped: {shipped}; or name a folder with a model.json"
            )
        try:
            note = upgrade_note(json.loads((folder / "model.json").read_text(encoding="utf-8")))
            model = cls(Preset.from_dict(note["preset"]), note["vocabulary"])
            model.metadata = note.get("metadata", {})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{folder / 'model.json'} cannot be read ({error}); restore it from a copy"
            ) from None
        for part, module in model.named_children():
            path = part_path(folder, part)
            tensors = upgrade_tensors(load_tensors(path)[0])
            if hashlib.sha256(path.read_bytes()).hexdigest() != note.get("sha256", {}).get(part):
                raise CheckpointError(
                    f"{path} is not the file that {folder / 'model.json'} speaks of; restore both from one copy"
                )
            try:
                module.load_state_dict({k: v.float() for k, v in tensors.items()})
            except RuntimeError as error:
                raise CheckpointError(
                    f"{path} does not fit the preset ({str(error).splitlines()[-1].strip()})"
                ) from None
        return model.eval().to(choose_device(device))
