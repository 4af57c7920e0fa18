"""The time-space compressor: a causal video VAE.

    video (B, 3, T, H, W) in [-1, 1], T = 4k + 1 ── encode ──► latents (B, Cz, Tz, Hz, Wz) ── decode ──► video

Pixels are cut into cells of 4×4×4. The encoder looks at each cell on its own, so a latent stands for its own pixels and for nothing
else. The decoder lets cells talk, a frame only to itself and to the few before it: what comes later can never change what came
earlier (causal, as in MAGVIT-v2, arXiv:2310.05737, section 3.3, whose 4k + 1 frames we keep; but with attention where it has
convolutions, because on two cores that learns faster: data/LOG.md has the numbers). The first frame is a cell of its own, so an
image is a video of one frame. The encoder gives each latent a mean and a spread (the posterior q, a normal distribution), and training
decodes a random draw from it. Loss: squared error + kl_weight · KL, how far q is from pure noise N(0, 1). Eq. (3) of arXiv:1312.6114.
"""

from dataclasses import dataclass

import torch
import torch.nn as nn

from minisora.config import VAEConfig
from minisora.layers import MLP, Attention, Block, RMSNorm, rotary_angles
from minisora.patchify import grid_of, patchify, positions_of, unpatchify


@dataclass(frozen=True)
class Posterior:
    """The normal distribution q(latents | video): what the encoder believes, cell by cell."""

    mean: torch.Tensor  # (B, Cz, Tz, Hz, Wz)
    logvar: torch.Tensor

    def sample(self, generator: torch.Generator | None = None) -> torch.Tensor:
        """Draw latents as mean + std · noise, so that gradients reach mean and std (the reparameterisation)."""
        return self.at(torch.randn(self.mean.shape, generator=generator, device=self.mean.device))

    def at(self, noise: torch.Tensor) -> torch.Tensor:
        return self.mean + (0.5 * self.logvar).exp() * noise

    def kl(self) -> torch.Tensor:
        """KL(q ‖ N(0, 1)) in nats, summed over each clip: (B,). Appendix B of arXiv:1312.6114."""
        return 0.5 * (self.mean**2 + self.logvar.exp() - 1 - self.logvar).flatten(1).sum(1)


class Encoder(nn.Module):
    """Cells (B, N, pixels) → mean and log variance (B, N, 2·Cz): linear, residual MLPs, norm, linear."""

    def __init__(self, config: VAEConfig, pixels: int):
        super().__init__()
        D = config.hidden_size
        self.embed = nn.Linear(pixels, D)
        self.blocks = nn.ModuleList(
            nn.Sequential(RMSNorm(D), MLP(D)) for _ in range(config.encoder_depth)
        )
        self.norm, self.out = RMSNorm(D), nn.Linear(D, 2 * config.latent_channels)

    def forward(self, cells: torch.Tensor) -> torch.Tensor:
        x = self.embed(cells)  # (B, N, hidden)
        for block in self.blocks:
            x = x + block(x)
        return self.out(self.norm(x))


class Decoder(nn.Module):
    """Latent cells (B, N, Cz) → pixels (B, N, pixels): linear, transformer blocks with causal attention in time, norm, linear."""

    def __init__(self, config: VAEConfig, pixels: int):
        super().__init__()
        D, self.window, self.head_size = (
            config.hidden_size,
            config.window,
            config.hidden_size // config.num_heads,
        )
        self.embed = nn.Linear(config.latent_channels, D)
        self.blocks = nn.ModuleList(Block(D, config.num_heads) for _ in range(config.depth))
        self.norm, self.out = RMSNorm(D), nn.Linear(D, pixels)

    def forward(self, cells: torch.Tensor, grid: tuple[int, int, int]) -> torch.Tensor:
        positions = positions_of(grid, device=cells.device)  # (N, 3)
        past = positions[:, None, 0] - positions[None, :, 0]  # (N, N): how many latent frames ago
        mask = (past >= 0) & (past < self.window)
        rotary = rotary_angles(positions, self.head_size)
        x = self.embed(cells)  # (B, N, hidden)
        for block in self.blocks:
            x = block(x, mask, rotary)
        return self.out(self.norm(x))


class VideoVAE(nn.Module):
    def __init__(self, config: VAEConfig = VAEConfig()):  # noqa: B008
        super().__init__()
        self.config = config
        pixels = 3 * config.patch_size[0] * config.patch_size[1] * config.patch_size[2]
        self.encoder, self.decoder = Encoder(config, pixels), Decoder(config, pixels)
        # per-channel statistics of the latents over the training clips, set once the VAE is trained
        self.register_buffer("latents_mean", torch.zeros(config.latent_channels))
        self.register_buffer("latents_std", torch.ones(config.latent_channels))
        self.initialise()

    def initialise(self) -> None:
        """
        | weights                         | initial value                       | why                                   |
        | ------------------------------- | ----------------------------------- | ------------------------------------- |
        | linear                          | normal, std 1/√(numbers that go in) | keeps the size of what passes through |
        | last linear of attention, MLP   | zero                                | a deep stack starts as a shallow one  |
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

    def latent_shape(self, num_frames: int, height: int, width: int) -> tuple[int, int, int]:
        """(Tz, Hz, Wz) of a clip; ValueError where the frame count is not 4k + 1 or a side does not divide."""
        pt, ph, pw = self.config.patch_size
        if num_frames < 1 or (num_frames - 1) % pt:
            below = max(num_frames - 1, 0) // pt * pt + 1
            raise ValueError(
                f"num_frames={num_frames} is not {pt}k + 1; {below} or {below + pt} would be"
            )
        return grid_of((num_frames + pt - 1, height, width), self.config.patch_size)

    def encode(self, video: torch.Tensor) -> Posterior:
        """Compress video (B, 3, T, H, W) in [-1, 1] to a posterior over latents (B, Cz, Tz, Hz, Wz)."""
        B, C, T, H, W = video.shape
        grid = self.latent_shape(T, H, W)
        first = video[:, :, :1].expand(-1, -1, self.config.patch_size[0] - 1, -1, -1)
        video = torch.cat(
            [first, video], dim=2
        )  # (B, 3, T + 3, H, W): the first frame fills a cell of its own
        cells = self.encoder(patchify(video, self.config.patch_size))  # (B, N, 2·Cz)
        mean, logvar = unpatchify(cells, grid, (1, 1, 1)).float().chunk(2, dim=1)
        return Posterior(mean, logvar.clamp(-20, 10))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Expand latents (B, Cz, Tz, Hz, Wz) to video (B, 3, 4·Tz - 3, 4·Hz, 4·Wz), about [-1, 1]."""
        grid = tuple(latents.shape[2:])
        cells = self.decoder(patchify(latents, (1, 1, 1)), grid)  # (B, N, pixels of a cell)
        return unpatchify(cells, grid, self.config.patch_size)[
            :, :, self.config.patch_size[0] - 1 :
        ].float()

    def forward(
        self, video: torch.Tensor, noise: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What training does: encode video (B, 3, T, H, W), move each latent by its own uncertainty × noise (B, Cz, Tz, Hz, Wz), decode.

        Returns:
            The reconstruction (B, 3, T, H, W), and the posterior's KL in nats (B,).
        """
        posterior = self.encode(video)
        return self.decode(posterior.at(noise)), posterior.kl()

    def decode_chunks(self, latents: torch.Tensor, size: int = 4):
        """Decode a long clip a few latent frames at a time, each time with all that they depend on: the videos together equal `decode`."""
        reach, patch = self.config.depth * (self.config.window - 1), self.config.patch_size[0]
        for start in range(0, latents.shape[2], size):
            before = min(start, reach)
            video = self.decode(latents[:, :, start - before : start + size])
            yield video[
                :, :, patch * before - (patch - 1) * bool(before) :
            ]  # the first latent frame looked back on gave one frame, not four

    def normalise(self, latents: torch.Tensor) -> torch.Tensor:
        """Scale each latent channel to mean 0 and standard deviation 1 over the training clips."""
        return (latents - self.latents_mean[:, None, None, None]) / self.latents_std[
            :, None, None, None
        ]

    def denormalise(self, latents: torch.Tensor) -> torch.Tensor:
        return (
            latents * self.latents_std[:, None, None, None] + self.latents_mean[:, None, None, None]
        )
