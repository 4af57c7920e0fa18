"""MiniSora: the whole model, from a prompt to a video.

    prompt (──► upsampler) ──► tokenizer ──► text encoder ──► DiT, many times ──► decoder ──► video
    noise (B, Cz, Tz, Hz, Wz) ──────────────────────────────────┘               (B, 3, T, H, W)

Every kind of prompt is a choice of which tokens are clean already; `tasks` has a function for each.
"""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import torch
import torch.nn as nn
import torch.nn.functional as F

from minisora.checkpoints import CheckpointError, load_part, read_about, save_parts
from minisora.config import GUIDANCE_SCALE, STEPS, Preset
from minisora.device import autocast, choose_device, choose_dtype, copy_generators
from minisora.dit import DiT
from minisora.flow import add_noise, sigma_schedule
from minisora.inputs import (
    MAX_CELLS,
    Generators,
    check_cells,
    check_generators,
    check_latents,
    check_options,
    one_each,
    sentences,
    whole_number,
)
from minisora.patchify import Size, grid_of, highest_in_patches, patchify, positions_of, unpatchify
from minisora.sampling import SAMPLERS, Callback, Condition, draw_noise, guided
from minisora.text import COLUMN, PAD, TextEncoder, Tokenizer
from minisora.upsampler import PromptUpsampler
from minisora.vae import VideoVAE

SHIPPED = Path(__file__).resolve().parent.parent / "data" / "checkpoints"  # in a clone
if not SHIPPED.is_dir():
    SHIPPED = Path(__file__).resolve().parent / "shipped"  # in an installed package


class SamplingOptions(TypedDict, total=False):
    """What every task passes on to `MiniSora.denoise`."""

    negative_prompt: str | Sequence[str]
    num_inference_steps: int | None
    guidance_scale: float
    generator: Generators
    sampler: str
    callback: Callback | None


class MiniSora(nn.Module):
    """A VAE, a text encoder, a transformer and, if the preset has one, a prompt upsampler.

    Args:
        preset: sizes of the parts.
        vocabulary, rewordings: of the `Tokenizer`.
    """

    def __init__(
        self,
        preset: Preset,
        vocabulary: Sequence[str],
        rewordings: Mapping[str, str] | None = None,
    ):
        super().__init__()
        self.preset = preset
        self.dtype: torch.dtype | None = None  # of matrix products; None is this machine's choice
        self.metadata: dict = {}  # how the weights were made, as `model.json` says
        self.tokenizer = Tokenizer(vocabulary, preset.text.max_length, rewordings)
        self.vae = VideoVAE(preset.vae)
        self.text = TextEncoder(len(self.tokenizer), preset.text, self.tokenizer.word_positions)
        self.dit = DiT(preset.dit)
        self.upsampler = None
        if preset.upsampler:
            self.upsampler = PromptUpsampler(len(self.tokenizer), preset.upsampler)

    @property
    def dtype_name(self) -> str:
        """The type of matrix products, "float32" or "bfloat16"; stored with every result."""
        return str(self.dtype or choose_dtype(self.device)).removeprefix("torch.")

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    # ---------------------------------------- prompts

    def upsample(self, prompts: str | Sequence[str], generator: Generators = None) -> list[str]:
        """Make short prompts long, as training's detailed captions are.

        The positions that it adds are right for clips of the preset's size.

        Args:
            prompts: one sentence or several.
            generator: source of the draws. With a list of one for each prompt, the result is the
                same as for each prompt alone.

        Returns:
            As many sentences; unchanged where the model has no upsampler.

        Raises:
            ValueError: an unknown word, or a prompt that is too long.
        """
        prompts = sentences("prompts", prompts)
        check_generators(generator, len(prompts))
        if self.upsampler is None:
            return prompts
        if generator is None or isinstance(generator, torch.Generator):
            return self.upsampler.upsample(prompts, self.tokenizer, generator)
        upsampled: list[str] = []
        for prompt, own in zip(prompts, generator, strict=True):
            upsampled += self.upsampler.upsample([prompt], self.tokenizer, own)
        return upsampled

    def says_positions(self, prompt: str) -> bool:
        """Whether a prompt says where things are, as upsampled ones do."""
        ids = self.tokenizer([prompt])[0]
        return bool((self.text.word_kinds[ids] == COLUMN).any())

    def default_steps(self, prompts: Sequence[str], sigma: torch.Tensor) -> int:
        """How many steps a batch takes by default: the fewer, the less its condition leaves open.

        Args:
            prompts: of the clips; the one that leaves most open counts.
            sigma: (t, h, w), noise levels at which the tokens start; 0 is a conditioning token.

        Returns:
            one of STEPS.
        """
        clean = sigma == 0
        if clean.flatten(1).all(1).any():  # a whole frame shows where things are, and how they look
            return STEPS["conditioned"]
        if clean.any() or all(map(self.says_positions, prompts)):  # says where they are
            return STEPS["upsampled"]
        return STEPS["typed"]

    @torch.no_grad()
    def generate(
        self,
        prompt: str | Sequence[str],
        *,
        upsample: bool = True,
        negative_prompt: str | Sequence[str] = "",
        num_inference_steps: int | None = None,
        guidance_scale: float = GUIDANCE_SCALE,
        num_frames: int | None = None,
        height: int | None = None,
        width: int | None = None,
        generator: Generators = None,
        sampler: str = "euler",
        callback: Callback | None = None,
    ) -> torch.Tensor:
        """Text to video: no token starts clean.

        Args:
            prompt: one sentence, or a list for a batch. "" asks for anything.
            upsample: whether the prompt upsampler first adds where things are. It does so for clips
                of the preset's size only, and the noise is the same either way.
            negative_prompt: what guidance moves away from, one for all clips or one each; "" is the
                null prompt.
            num_inference_steps: 1 to 1000; None is what `default_steps` gives.
            guidance_scale: −100 to 100, as in `guided`.
            num_frames: 4k + 1; height, width: multiples of the side of a token, which is 8 pixels
                in the preset "tiny" and 16 in "base". The preset's where None.
            generator: source of the noise, one for the batch or one for each clip. The same seed
                gives the same clip; with one each, also the same alone and in a batch.
            sampler: "euler", "heun" or "ddim".
            callback: called before every step with its number, sigma, the tokens (B, N, P) and the
                guess of x_0.

        Returns:
            video (B, 3, T, H, W) in [-1, 1].

        Raises:
            ValueError: an unknown word, or an option or a size that is not allowed; each says what
                would do.
        """
        prompts = sentences("prompt", prompt)
        options: SamplingOptions = {
            "negative_prompt": negative_prompt,
            "num_inference_steps": num_inference_steps,
            "guidance_scale": guidance_scale,
            "generator": generator,
            "sampler": sampler,
            "callback": callback,
        }
        check_options(len(prompts), options, list(SAMPLERS))
        preset = self.preset
        frames = preset.num_frames if num_frames is None else num_frames
        rows = preset.height if height is None else height
        columns = preset.width if width is None else width
        B = len(prompts)
        shape = self.latent_shape(frames, rows, columns, B)
        own_size = (preset.num_frames, preset.height, preset.width)
        if upsample and (frames, rows, columns) == own_size:
            prompts = self.upsample(prompts, copy_generators(generator))
        latents = torch.zeros(B, preset.vae.latent_channels, *shape, device=self.device)
        return self.denoise(prompts, latents, torch.ones(shape), **options)

    @torch.no_grad()
    def denoise(
        self,
        prompts: Sequence[str],
        latents: torch.Tensor,
        sigma: torch.Tensor,
        *,
        negative_prompt: str | Sequence[str] = "",
        num_inference_steps: int | None = None,
        guidance_scale: float = GUIDANCE_SCALE,
        generator: Generators = None,
        sampler: str = "euler",
        callback: Callback | None = None,
    ) -> torch.Tensor:
        """Start each latent cell at its noise level, and walk all of them to clean.

        Args:
            prompts: one for each clip.
            latents: normalised, (B, Cz, Tz, Hz, Wz); where the level is 1, they do not matter.
            sigma: (Tz, Hz, Wz) in [0, 1]: 0 is clean, 1 is to be generated, between is to be
                changed. The highest in a token counts for all of it.
            others: as in `generate`.

        Returns:
            video (B, 3, T, H, W) in [-1, 1].

        Raises:
            ValueError: as `generate`; or latents or noise levels of another shape or range.
        """
        # 1. check
        check_latents(latents, sigma, self.vae.config.latent_channels)
        B = len(latents)
        prompts = one_each("prompt", prompts, B)
        negatives = one_each("negative_prompt", negative_prompt, B)
        options: SamplingOptions = {
            "num_inference_steps": num_inference_steps,
            "guidance_scale": guidance_scale,
            "generator": generator,
            "sampler": sampler,
        }
        check_options(B, options, list(SAMPLERS))
        # 2. where every token starts
        patch = self.dit.config.patch_size
        grid = grid_of(sigma.shape, patch)
        start, sigmas = self._schedule(num_inference_steps, prompts, sigma)
        if prompts == negatives:
            guidance_scale = 1.0  # nothing to move away from, so half the work
        with autocast(self.device, self.dtype):
            # 3. tokenizer and text encoder
            prompt, negative = self._conditions(prompts, negatives, grid)
            # 4. noise
            noise = patchify(draw_noise(latents.shape, generator, self.device), patch)
            tokens = add_noise(patchify(latents, patch), noise, start[..., None])
            # 5. sampler and transformer
            positions = positions_of(grid, device=self.device)
            velocity = guided(self.dit, positions, prompt, negative, guidance_scale)
            tokens = SAMPLERS[sampler](velocity, tokens, sigmas, start=start, callback=callback)
            # 6. decoder
            return self.decode(unpatchify(tokens, grid, patch))

    def _schedule(
        self, num_inference_steps: int | None, prompts: Sequence[str], sigma: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Noise levels (B, N) of the tokens at the start, and those of the sampler down to 0."""
        levels = highest_in_patches(sigma.to(self.device), self.dit.config.patch_size)  # (t, h, w)
        if num_inference_steps is None:
            num_inference_steps = self.default_steps(prompts, levels)
        sigmas = sigma_schedule(num_inference_steps, self.preset.shift, self.device)
        unused = int((sigmas >= levels.max()).sum()) - 1  # steps above every start
        start = levels.flatten().expand(len(prompts), -1)  # (B, N)
        if levels.min() == levels.max():
            start = start[:, :1]  # one level for all tokens is embedded once
        return start, sigmas[max(unused, 0) :]

    def _conditions(
        self, prompts: list[str], negatives: list[str], grid: Size
    ) -> tuple[Condition, Condition]:
        """Encode prompts and negative prompts for the transformer, padded to one length."""
        ids = self.tokenizer([*prompts, *negatives])[0].to(self.device)
        padding = -ids.shape[1] % 8  # to a multiple of 8: a compiled transformer meets few shapes
        read = self.text.read(F.pad(ids, (0, padding), value=PAD), grid)
        halves = [part.chunk(2) for part in read]
        prompt, negative = zip(*halves, strict=True)
        return prompt, negative

    @torch.no_grad()
    def velocity(self, x_t: torch.Tensor, sigma: float, ids: torch.Tensor) -> torch.Tensor:
        """Call the transformer once, without sampler and guidance, to look at its output.

        Args:
            x_t: normalised latents (B, Cz, Tz, Hz, Wz), all at one noise level.
            sigma: that level, in [0, 1].
            ids: (B, S) of the prompts, from `tokenizer`.

        Returns:
            velocity, of the shape of x_t.
        """
        patch = self.dit.config.patch_size
        grid = grid_of(x_t.shape[2:], patch)
        tokens = patchify(x_t.to(self.device), patch)
        level = torch.full(tokens.shape[:2], sigma, device=self.device)
        positions = positions_of(grid, device=self.device)
        condition = self.text.read(ids.to(self.device).long(), grid)
        velocity = self.dit(tokens, level, positions, *condition)
        return unpatchify(velocity, grid, patch)

    # ---------------------------------------- latents

    def latent_shape(self, num_frames: int, height: int, width: int, count: int = 1) -> Size:
        """Give (Tz, Hz, Wz), the size of the latents of each of `count` clips.

        Raises:
            ValueError: the frame count is not 4k + 1, a side is no multiple of a token's, or the
                batch is larger than MAX_CELLS allows.
        """
        pt, ph, pw = self.vae.config.patch_size
        _, rows, columns = self.dit.config.patch_size
        num_frames = whole_number("num_frames", num_frames, 1, MAX_CELLS * pt)
        height = whole_number("height", height, 1, MAX_CELLS * ph)
        width = whole_number("width", width, 1, MAX_CELLS * pw)
        Tz = self.vae.latent_shape(num_frames, ph, pw)[0]  # of the frames alone
        # sides in whole tokens, because a token is several latent cells high and wide
        grid = grid_of((pt, height, width), (pt, ph * rows, pw * columns))
        Hz, Wz = grid[1] * rows, grid[2] * columns
        check_cells((num_frames, height, width), Tz * Hz * Wz, count)
        return Tz, Hz, Wz

    @torch.no_grad()
    def encode(self, video: torch.Tensor) -> torch.Tensor:
        """video (B, 3, T, H, W) in [-1, 1] → normalised latents (B, Cz, Tz, Hz, Wz).

        They are the mean of the posterior, so that encoding draws nothing.
        """
        with autocast(self.device, self.dtype):
            posterior = self.vae.encode(video.to(self.device))
            return self.vae.normalise(posterior.mean)

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Normalised latents (B, Cz, Tz, Hz, Wz) → video (B, 3, T, H, W) in [-1, 1].

        Long clips are decoded in chunks, so that attention needs less memory.
        """
        with autocast(self.device, self.dtype):
            chunks = list(self.vae.decode_chunks(self.vae.denormalise(latents)))
            return torch.cat(chunks, dim=2).clamp(-1, 1)

    # ---------------------------------------- files

    def save(self, folder: str | Path, metadata: dict | None = None) -> None:
        """Write the weights (float16) and `model.json` into a folder.

        Whatever happens on the way, the folder holds the old model or the new one.

        Args:
            metadata: how the weights were made; None is what the model was loaded with.

        Raises:
            CheckpointError: weights that are not finite.
            ValueError: the folder is a link.
            OSError: it cannot be written.
        """
        about = {
            "preset": self.preset.to_dict(),
            "vocabulary": self.tokenizer.vocabulary,
            "rewordings": self.tokenizer.rewordings,
            "metadata": metadata or self.metadata,
        }
        save_parts(folder, dict(self.named_children()), about)

    @classmethod
    def load(
        cls, name: str | Path = "tiny", device: str = "auto", dtype: str | None = None
    ) -> "MiniSora":
        """Load a shipped model by its name, or any model from its folder.

        Args:
            device: as in `choose_device`.
            dtype: of matrix products, as in `choose_dtype`.

        Returns:
            The model on its device, in evaluation mode.

        Raises:
            CheckpointError: not there, cut short, altered, or with parts of different trainings.
            ValueError: a device or a dtype that this machine does not have.
        """
        place = choose_device(device)
        folder = _find(name)
        about = read_about(folder)
        try:
            model = cls(about["preset"], about["vocabulary"], about["rewordings"])
            model.latent_shape(model.preset.num_frames, model.preset.height, model.preset.width)
        except (ValueError, TypeError, RuntimeError) as error:
            raise CheckpointError(
                f"{folder / 'model.json'} speaks of a model that cannot be built ({error})"
            ) from None
        model.metadata = about["metadata"]
        for part, module in model.named_children():
            load_part(folder, part, about, module)
        model.dtype = choose_dtype(place, dtype)
        return model.eval().to(place)


def _find(name: str | Path) -> Path:
    """The folder of a model, named by itself or by a shipped model's name."""
    for folder in (Path(name), SHIPPED / str(name)):
        with contextlib.suppress(OSError):  # a name that is too long for a file
            if (folder / "model.json").is_file():
                return folder
    shipped = sorted(path.parent.name for path in SHIPPED.glob("*/model.json"))
    raise CheckpointError(
        f"there is no model {str(name)!r:.200}; shipped: {', '.join(shipped) or 'none'}; "
        "or name a folder with a model.json"
    )
