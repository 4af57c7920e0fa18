"""The diffusion transformer: noisy tokens in, the velocity from data to noise out.

    tokens (B, N, P), sigma (B, N), positions (N, 3), prompt_embeds (B, S, D_text) ──► velocity (B, N, P)

A DiT (arXiv:2212.09748, figure 3) with three changes that video systems made since: the noise level belongs to a **token**, not to
a clip (arXiv:2407.01392); positions are explicit, rotary and added; and the modulation (adaLN, adaptive layer norm: the noise level decides
by how much what enters a layer is scaled and shifted, and what leaves it is let through) has one big matrix for all blocks, each with a small
table of its own (adaLN-single, arXiv:2310.00426, section 2.3; the video model Wan does the same). Words come in through cross-attention,
where those that say where something is have positions as patches do. Frame count, height and width appear nowhere: a video is a bag of tokens.
"""

import torch
import torch.nn as nn

from minisora.config import DiTConfig
from minisora.layers import MLP, Attention, NoiseEmbedder, PositionEmbedder, RMSNorm, rotary_angles


def modulate(x: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return x * (1 + scale) + shift


class DiTBlock(nn.Module):
    """Self-attention among tokens, cross-attention to the prompt, MLP; the first and the last are shifted, scaled and gated by the noise level."""

    def __init__(self, config: DiTConfig):
        super().__init__()
        D = config.hidden_size
        self.norm1, self.attention = RMSNorm(D), Attention(D, config.num_heads)
        self.norm2, self.cross_attention = (
            RMSNorm(D),
            Attention(D, config.num_heads, context_size=config.text_size),
        )
        self.norm3, self.mlp = RMSNorm(D), MLP(D, config.mlp_ratio)
        self.scale_shift_table = nn.Parameter(torch.zeros(6 * D))

    def forward(
        self, x, modulation, prompt_embeds, self_mask, cross_mask, rotary, cross_rotary=(None, None)
    ):
        shift1, scale1, gate1, shift2, scale2, gate2 = (
            modulation + self.scale_shift_table.to(modulation.dtype)
        ).chunk(6, dim=-1)  # (B, N, D) each
        x = x + gate1 * self.attention(
            modulate(self.norm1(x), shift1, scale1), mask=self_mask, rotary=rotary
        )
        x = x + self.cross_attention(self.norm2(x), prompt_embeds, cross_mask, *cross_rotary)
        return x + gate2 * self.mlp(modulate(self.norm3(x), shift2, scale2))


class FinalLayer(nn.Module):
    """Norm, modulation, and a linear layer back to the size of a token."""

    def __init__(self, config: DiTConfig, token_size: int):
        super().__init__()
        D = config.hidden_size
        self.norm, self.linear = RMSNorm(D), nn.Linear(D, token_size)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(D, 2 * D))

    def forward(self, x: torch.Tensor, noise_embeds: torch.Tensor) -> torch.Tensor:
        shift, scale = self.modulation(noise_embeds).chunk(2, dim=-1)
        return self.linear(modulate(self.norm(x), shift, scale))


class DiT(nn.Module):
    def __init__(self, config: DiTConfig = DiTConfig()):  # noqa: B008
        super().__init__()
        self.config = config
        D = config.hidden_size
        token_size = (
            config.latent_channels
            * config.patch_size[0]
            * config.patch_size[1]
            * config.patch_size[2]
        )
        self.x_embedder = nn.Linear(token_size, D)
        self.position_embedder = PositionEmbedder(D)
        self.t_embedder = NoiseEmbedder(D)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(D, 6 * D))
        self.blocks = nn.ModuleList(DiTBlock(config) for _ in range(config.depth))
        self.final_layer = FinalLayer(config, token_size)
        self.initialise()

    def initialise(self) -> None:
        """
        | weights                                   | initial value           | why                                             |
        | ----------------------------------------- | ----------------------- | ----------------------------------------------- |
        | linear                                    | Xavier uniform, bias 0  | as DiT; the size of what passes stays the same  |
        | t_embedder                                | normal, std 0.02        | as DiT                                          |
        | modulation, cross-attention's last linear | zero                    | every block starts as the identity (adaLN-Zero) |
        | final layer                               | zero                    | the first velocity is zero                      |
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for layer in (self.t_embedder.mlp[0], self.t_embedder.mlp[2]):
            nn.init.normal_(layer.weight, std=0.02)
        silent = [self.modulation[1], self.final_layer.modulation[1], self.final_layer.linear]
        for layer in silent + [block.cross_attention.to_out for block in self.blocks]:
            nn.init.zeros_(layer.weight)

    def forward(
        self,
        tokens: torch.Tensor,
        sigma: torch.Tensor,
        positions: torch.Tensor,
        prompt_embeds: torch.Tensor,
        attention_mask: torch.Tensor,
        prompt_positions: torch.Tensor | None = None,
        self_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Predict the velocity of every token.

        Args:
            tokens: (B, N, P) at noise level sigma: (B, N) in [0, 1]; 0 marks a token that is given. (B, 1) where a row has one level.
            positions: (N, 3) or (B, N, 3) as frame, row, column; any real numbers.
            prompt_embeds: (B, S, D_text). attention_mask: (B, S), or (B, N, S) where tokens of a row have prompts of their own.
            prompt_positions: (B, S, 3), where the words are; None is zero for all, which is right for words that have no place.
            self_mask: (B, N, N), True where a token may look at another; None lets all look at all.

        Returns:
            velocity (B, N, P) = noise - x_0, the clean tokens.
        """
        head_size = self.config.hidden_size // self.config.num_heads
        rotary = rotary_angles(positions, head_size)
        words = (
            prompt_embeds.new_zeros(*prompt_embeds.shape[:2], 3)
            if prompt_positions is None
            else prompt_positions
        )
        finer = positions.new_tensor([1.0, 4.0, 4.0])  # words point to parts of a patch
        cross_rotary = [
            rotary_angles(p * finer, head_size, fraction=0.5) for p in (positions, words)
        ]  # half of a head's pairs, for where; the rest for what
        cross_mask = (
            attention_mask[:, None, None] if attention_mask.ndim == 2 else attention_mask[:, None]
        )
        self_mask = None if self_mask is None else self_mask[:, None]
        noise_embeds = self.t_embedder(sigma)  # (B, N, D), or (B, 1, D)
        modulation = self.modulation(noise_embeds)  # (B, N, 6·D)
        x = self.x_embedder(tokens) + self.position_embedder(positions)  # (B, N, D)
        for block in self.blocks:
            x = block(x, modulation, prompt_embeds, self_mask, cross_mask, rotary, cross_rotary)
        return self.final_layer(x, noise_embeds).float()  # (B, N, P)
