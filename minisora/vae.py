"""The time-space compressor: a causal video VAE.

    video (B, 3, T, H, W) in [-1, 1] ── encode ──► latents (B, Cz, Tz, Hz, Wz) ── decode ──► video
    with cells of 4×4×4 (`VAEConfig.patch_size`): T = 4k + 1, Tz = k + 1, Hz = H / 4, Wz = W / 4

Pixels are cut into cells. The encoder sees each cell alone, so that a latent stands for
its own pixels and for nothing else. The decoder lets cells attend to each other: to those of the
same latent frame and of the few before it. So what comes later never changes what came earlier
(causal, as in MAGVIT-v2, arXiv:2310.05737, section 3.2, which also has 4k + 1 frames; it has
convolutions where this VAE has attention, which learns faster on two cores: data/LOG.md has the
numbers). The first frame has cells of its own, so an image is a video of one frame.

The encoder gives each latent a mean and a standard deviation (the posterior q, a normal
distribution), and training decodes a random draw from it. The loss is that of Eq. (3) in
arXiv:1312.6114, with a weight as in β-VAE: squared error + kl_weight · KL. The KL says how far q is
from pure noise N(0, 1). train/stages.py adds them up.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn as nn

from minisora.config import VAEConfig
from minisora.layers import MLP, Attention, Block, RMSNorm, rotary_angles
from minisora.patchify import Size, grid_of, patchify, positions_of, unpatchify


@dataclass(frozen=True)
class Posterior:
    """The normal distribution q(latents | video), one for every number of the latents."""

    mean: torch.Tensor  # (B, Cz, Tz, Hz, Wz)
    logvar: torch.Tensor  # log of the variance, same shape

    def sample(self, generator: torch.Generator | None = None) -> torch.Tensor:
        """Draw latents (B, Cz, Tz, Hz, Wz)."""
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device)
        return self.at(noise)

    def at(self, noise: torch.Tensor) -> torch.Tensor:
        """mean + std · noise: a draw that passes gradients to both (reparameterisation)."""
        return self.mean + (0.5 * self.logvar).exp() * noise

    def kl(self) -> torch.Tensor:
        """KL(q ‖ N(0, 1)) in nats, summed over each clip: (B,). Appendix B of arXiv:1312.6114."""
        twice = self.mean**2 + self.logvar.exp() - 1 - self.logvar
        return 0.5 * twice.flatten(1).sum(1)


class Encoder(nn.Module):
    """Linear, residual MLPs, norm, linear: cells (B, N, P) → mean and logvar (B, N, 2·Cz).

    Args:
        cell_size: P, numbers in a cell of pixels: three colours of each.
    """

    def __init__(self, config: VAEConfig, cell_size: int):
        super().__init__()
        D = config.hidden_size
        self.embed = nn.Linear(cell_size, D)
        self.blocks = nn.ModuleList(
            nn.Sequential(RMSNorm(D), MLP(D)) for _ in range(config.encoder_depth)
        )
        self.norm = RMSNorm(D)
        self.out = nn.Linear(D, 2 * config.latent_channels)

    def forward(self, cells: torch.Tensor) -> torch.Tensor:
        x = self.embed(cells)  # (B, N, D)
        for block in self.blocks:
            x = x + block(x)
        return self.out(self.norm(x))  # (B, N, 2·Cz)


class Decoder(nn.Module):
    """Linear, causal transformer blocks, norm, linear: latent cells (B, N, Cz) → (B, N, P).

    Args:
        cell_size: P, as in `Encoder`.
    """

    def __init__(self, config: VAEConfig, cell_size: int):
        super().__init__()
        D = config.hidden_size
        self.window = config.window
        self.head_size = D // config.num_heads
        self.embed = nn.Linear(config.latent_channels, D)
        self.blocks = nn.ModuleList(Block(D, config.num_heads) for _ in range(config.depth))
        self.norm = RMSNorm(D)
        self.out = nn.Linear(D, cell_size)

    def forward(self, cells: torch.Tensor, grid: Size) -> torch.Tensor:
        positions = positions_of(grid, device=cells.device)  # (N, 3)
        frame = positions[:, 0]
        frames_ago = frame[:, None] - frame[None, :]  # (N, N)
        mask = (frames_ago >= 0) & (frames_ago < self.window)  # row attends to column
        rotary = rotary_angles(positions, self.head_size)
        x = self.embed(cells)  # (B, N, D)
        for block in self.blocks:
            x = block(x, mask, rotary)
        return self.out(self.norm(x))  # (B, N, P)


class VideoVAE(nn.Module):
    """Encoder and decoder, and the statistics by which latents are normalised."""

    latents_mean: torch.Tensor
    latents_std: torch.Tensor

    def __init__(self, config: VAEConfig = VAEConfig()):  # noqa: B008
        super().__init__()
        self.config = config
        cell_size = 3 * math.prod(config.patch_size)  # 3 colours
        self.encoder = Encoder(config, cell_size)
        self.decoder = Decoder(config, cell_size)
        # of each latent channel over the training clips, set once the VAE is trained
        self.register_buffer("latents_mean", torch.zeros(config.latent_channels))
        self.register_buffer("latents_std", torch.ones(config.latent_channels))
        self.initialise()

    def initialise(self) -> None:
        """Set every weight to its initial value.

        | weights              | initial value         | why                                  |
        | -------------------- | --------------------- | ------------------------------------ |
        | linear               | normal, std 1/√inputs | keeps the size of the values         |
        | last of attention    | zero                  | a deep stack starts as a shallow one |
        | last of MLP          | zero                  | the same                             |
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, Attention):
                nn.init.zeros_(module.to_out.weight)
            if isinstance(module, MLP):
                nn.init.zeros_(module.down.weight)

    def latent_shape(self, num_frames: int, height: int, width: int) -> Size:
        """Give the size of a clip's latents: (Tz, Hz, Wz).

        Raises:
            ValueError: a frame count that is not 4k + 1 (4 is `patch_size[0]`), or a side that a
                cell does not divide.
        """
        pt, ph, pw = self.config.patch_size
        if num_frames < 1 or (num_frames - 1) % pt:
            below = max(num_frames - 1, 0) // pt * pt + 1
            raise ValueError(
                f"num_frames={num_frames} is not {pt}k + 1; {below} or {below + pt} would be"
            )
        return grid_of((num_frames + pt - 1, height, width), self.config.patch_size)

    def encode(self, video: torch.Tensor) -> Posterior:
        """Compress video (B, 3, T, H, W) in [-1, 1] to a posterior (B, Cz, Tz, Hz, Wz).

        Raises:
            ValueError: as `latent_shape`.
        """
        B, C, T, H, W = video.shape
        patch = self.config.patch_size
        grid = self.latent_shape(T, H, W)  # (Tz, Hz, Wz)
        # repeat the first frame, so that it fills a cell of its own
        repeats = video[:, :, :1].repeat_interleave(patch[0] - 1, dim=2)
        padded = torch.cat([repeats, video], dim=2)  # (B, 3, 4·Tz, H, W)
        cells = self.encoder(patchify(padded, patch))  # (B, N, 2·Cz)
        both = unpatchify(cells, grid, (1, 1, 1)).float()  # (B, 2·Cz, Tz, Hz, Wz)
        mean, logvar = both.chunk(2, dim=1)
        # bounds, so that the variance stays finite and above 0
        return Posterior(mean, logvar.clamp(-20, 10))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Expand latents (B, Cz, Tz, Hz, Wz), not normalised, to video (B, 3, T, H, W).

        The values are not clamped: nearly all are in [-1, 1].
        """
        B, C, Tz, Hz, Wz = latents.shape
        patch = self.config.patch_size
        grid = (Tz, Hz, Wz)
        cells = patchify(latents, (1, 1, 1))  # (B, N, Cz)
        pixels = self.decoder(cells, grid)  # (B, N, P)
        video = unpatchify(pixels, grid, patch).float()  # (B, 3, 4·Tz, H, W)
        return video[:, :, patch[0] - 1 :]  # without the repeats of the first frame

    def forward(
        self, video: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode a video, draw latents with this noise, and decode them: what training does.

        Args:
            video: (B, 3, T, H, W) in [-1, 1].
            noise: (B, Cz, Tz, Hz, Wz).

        Returns:
            The reconstruction (B, 3, T, H, W), and the posterior's KL in nats (B,).
        """
        posterior = self.encode(video)
        return self.decode(posterior.at(noise)), posterior.kl()

    def decode_chunks(self, latents: torch.Tensor, size: int = 16) -> Iterator[torch.Tensor]:
        """Decode a long clip in chunks of `size` latent frames; joined, they equal `decode`.

        A chunk is decoded together with the latent frames that can change it: with `depth` blocks
        that each attend `window` - 1 frames back, these are the last depth · (window - 1). `decode`
        computes a score for every two cells of the clip; here memory does not grow with the clip.

        Yields:
            video (B, 3, t, H, W), one chunk after the other.
        """
        patch = self.config.patch_size[0]
        # at least one, because the first latent frame that is decoded gives only one frame
        reach = max(self.config.depth * (self.config.window - 1), 1)
        for start in range(0, latents.shape[2], size):
            first = max(start - reach, 0)
            video = self.decode(latents[:, :, first : start + size])
            # frames before the chunk: one of the first latent frame, `patch` of each other
            context_frames = max(patch * (start - first - 1) + 1, 0)
            yield video[:, :, context_frames:]

    def normalise(self, latents: torch.Tensor) -> torch.Tensor:
        """Scale each latent channel to mean 0 and standard deviation 1 over the training clips."""
        mean = self.latents_mean[:, None, None, None]
        std = self.latents_std[:, None, None, None]
        return (latents - mean) / std

    def denormalise(self, latents: torch.Tensor) -> torch.Tensor:
        """Undo `normalise`, for `decode`."""
        mean = self.latents_mean[:, None, None, None]
        std = self.latents_std[:, None, None, None]
        return latents * std + mean
