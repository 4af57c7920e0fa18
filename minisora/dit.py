"""The diffusion transformer: noisy tokens in, the velocity from data to noise out.

    tokens (B, N, P), sigma (B, N), positions (N, 3), prompt_embeds (B, S, D_text)
        ──► velocity (B, N, P)

A DiT (arXiv:2212.09748, figure 3) with three changes that video models made since:

- The noise level belongs to a token, not to a clip (arXiv:2407.01392).
- Positions are explicit: rotary in attention, and embedded and added to the tokens.
- One matrix computes the modulation of all blocks, and each block adds a small table of its own
  (adaLN-single, arXiv:2310.00426, section 2.3; the video model Wan does the same). Modulation is
  how the noise level takes part: it decides how the input of a layer is shifted and scaled, and by
  how much its output is multiplied (the gate).

The prompt enters through cross-attention, in which words that say where something is have positions
as patches do. Frame count, height and width appear nowhere: a video is a sequence of tokens with
positions.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn as nn

from minisora.config import DiTConfig
from minisora.layers import (
    MLP,
    Attention,
    KeyValueCache,
    NoiseEmbedder,
    PositionEmbedder,
    RMSNorm,
    Rotary,
    rotary_angles,
)

# of frame, row and column in cross-attention: words say positions more finely than a patch is wide,
# so rows and columns are counted in quarters of a patch
CROSS_SCALE = (1.0, 4.0, 4.0)


def modulate(x: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Scale and shift: x · (1 + scale) + shift."""
    return x * (1 + scale) + shift


class DiTBlock(nn.Module):
    """Self-attention among tokens, cross-attention to the prompt, MLP.

    The noise level shifts, scales and gates self-attention and MLP, but not cross-attention.
    """

    def __init__(self, config: DiTConfig):
        super().__init__()
        D = config.hidden_size
        self.norm1 = RMSNorm(D)
        self.attention = Attention(D, config.num_heads)
        self.norm2 = RMSNorm(D)
        self.cross_attention = None
        if config.text_size:
            self.cross_attention = Attention(D, config.num_heads, context_size=config.text_size)
        self.norm3 = RMSNorm(D)
        self.mlp = MLP(D, config.mlp_ratio)
        self.scale_shift_table = nn.Parameter(torch.zeros(6 * D))

    def forward(
        self,
        x: torch.Tensor,
        modulation: torch.Tensor,
        prompt_embeds: torch.Tensor | None,
        self_mask: torch.Tensor | None,
        cross_mask: torch.Tensor | None,
        rotary: Rotary | None,
        cross_rotary: Rotary | None = None,
        word_rotary: Rotary | None = None,
        cache: KeyValueCache | None = None,
    ) -> torch.Tensor:
        """x (B, N, D) → (B, N, D).

        Args:
            modulation: (B, N, 6·D), or (B, 1, 6·D) where all tokens of a clip have one level.
            prompt_embeds: (B, S, D_text); not used where `config.text_size` is 0.
            self_mask, cross_mask: as `mask` in `attention`, with N and with S keys.
            rotary: angles of the tokens' positions, for self-attention.
            cross_rotary, word_rotary: angles of the tokens and of the words, for cross-attention.
            cache: of self-attention.
        """
        table = self.scale_shift_table.to(modulation.dtype)
        # (B, N, D) each, or (B, 1, D)
        shift1, scale1, gate1, shift2, scale2, gate2 = (modulation + table).chunk(6, dim=-1)
        h = modulate(self.norm1(x), shift1, scale1)
        x = x + gate1 * self.attention(h, mask=self_mask, rotary=rotary, cache=cache)
        if self.cross_attention is not None:
            h = self.norm2(x)
            x = x + self.cross_attention(h, prompt_embeds, cross_mask, cross_rotary, word_rotary)
        h = modulate(self.norm3(x), shift2, scale2)
        return x + gate2 * self.mlp(h)


class FinalLayer(nn.Module):
    """Norm, modulation, and a linear layer back to the size of a token."""

    def __init__(self, config: DiTConfig, token_size: int):
        super().__init__()
        D = config.hidden_size
        self.norm = RMSNorm(D)
        self.linear = nn.Linear(D, token_size)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(D, 2 * D))

    def forward(self, x: torch.Tensor, noise_embeds: torch.Tensor) -> torch.Tensor:
        """x (B, N, D), noise_embeds (B, N, D) or (B, 1, D) → (B, N, P)."""
        shift, scale = self.modulation(noise_embeds).chunk(2, dim=-1)
        return self.linear(modulate(self.norm(x), shift, scale))


class DiT(nn.Module):
    """The whole transformer: embedders, blocks and the final layer."""

    cross_scale: torch.Tensor

    def __init__(self, config: DiTConfig = DiTConfig()):  # noqa: B008
        super().__init__()
        self.config = config
        D = config.hidden_size
        self.head_size = D // config.num_heads
        token_size = config.latent_channels * math.prod(config.patch_size)
        self.x_embedder = nn.Linear(token_size, D)
        self.position_embedder = PositionEmbedder(D)
        self.t_embedder = NoiseEmbedder(D)
        if config.num_actions:
            self.action_embedder = nn.Embedding(config.num_actions, D)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(D, 6 * D))
        self.blocks = nn.ModuleList(DiTBlock(config) for _ in range(config.depth))
        self.final_layer = FinalLayer(config, token_size)
        self.register_buffer("cross_scale", torch.tensor(CROSS_SCALE), persistent=False)
        self.initialise()

    def initialise(self) -> None:
        """Set every weight to its initial value.

        | weights                        | initial value          | why                            |
        | ------------------------------ | ---------------------- | ------------------------------ |
        | linear                         | Xavier uniform, bias 0 | keeps the size of the values   |
        | t_embedder                     | normal, std 0.02       | as DiT                         |
        | modulation, scale_shift_table  | zero                   | a block starts as the identity |
        | last of cross-attention        | zero                   | the same                       |
        | final layer                    | zero                   | the first velocity is zero     |

        Zero modulation is DiT's adaLN-Zero.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.t_embedder.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
        zero = [*self.modulation.parameters(), *self.final_layer.modulation.parameters()]
        zero += self.final_layer.linear.parameters()
        for module in self.modules():
            if isinstance(module, DiTBlock) and module.cross_attention is not None:
                zero += module.cross_attention.to_out.parameters()
        for weight in zero:
            nn.init.zeros_(weight)

    def forward(
        self,
        tokens: torch.Tensor,
        sigma: torch.Tensor,
        positions: torch.Tensor,
        prompt_embeds: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        prompt_positions: torch.Tensor | None = None,
        self_mask: torch.Tensor | None = None,
        actions: torch.Tensor | None = None,
        caches: Sequence[KeyValueCache] | None = None,
    ) -> torch.Tensor:
        """Predict the velocity of every token: noise − x_0, where x_0 is the clean token.

        Args:
            tokens: (B, N, P), each at its noise level.
            sigma: (B, N) in [0, 1]; 0 marks a conditioning token. (B, 1) where all tokens of a clip
                have one level.
            positions: (N, 3) or (B, N, 3) as frame, row, column, in tokens; any real numbers.
            prompt_embeds: (B, S, D_text); None for a network without prompts.
            attention_mask: (B, S), True for words and EOS; or (B, N, S), True where a token (row)
                may attend to a word (column). It comes with prompt_embeds.
            prompt_positions: (B, S, 3), of the words, as from `TextEncoder.positions`; None is zero
                for all.
            self_mask: (B, N, N), True where a token (row) may attend to another (column); None is
                True for all. With caches, (B, N, M + N).
            actions: (B, N) whole numbers, what a player did before each token's frame. None for a
                network without actions.
            caches: one for each block, with M earlier tokens.

        Returns:
            velocity (B, N, P).

        Raises:
            ValueError: no prompts for a network with prompts, or prompts for one without.
        """
        rotary = rotary_angles(positions, self.head_size)
        if self_mask is not None:
            self_mask = self_mask[:, None]  # (B, 1, N, N)
        cross_mask, cross_rotary, word_rotary = self.prepare_prompt(
            positions, prompt_embeds, attention_mask, prompt_positions
        )

        noise_embeds = self.t_embedder(sigma)  # (B, N, D), or (B, 1, D)
        if actions is not None:
            noise_embeds = noise_embeds + self.action_embedder(actions)
        modulation = self.modulation(noise_embeds)  # (B, N, 6·D), or (B, 1, 6·D)
        x = self.x_embedder(tokens) + self.position_embedder(positions)  # (B, N, D)
        for i, block in enumerate(self.blocks):
            x = block(
                x,
                modulation,
                prompt_embeds,
                self_mask,
                cross_mask,
                rotary,
                cross_rotary,
                word_rotary,
                caches[i] if caches else None,
            )
        return self.final_layer(x, noise_embeds).float()  # (B, N, P)

    def prepare_prompt(
        self,
        positions: torch.Tensor,
        prompt_embeds: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
        prompt_positions: torch.Tensor | None,
    ) -> tuple[torch.Tensor | None, Rotary | None, Rotary | None]:
        """Prepare cross-attention; arguments and errors are those of `forward`.

        Returns:
            mask (B, 1, 1 or N, S), and the angles of the tokens and of the words; None for each
            where there are no prompts.
        """
        text_size = self.config.text_size
        if prompt_embeds is None and text_size:
            raise ValueError(
                "prompt_embeds=None, but this network has prompts; give it those of a text encoder "
                "(TextEncoder.read, also of an empty prompt), or build it with text_size=0"
            )
        if prompt_embeds is not None and not text_size:
            raise ValueError(
                "this network has no prompts (text_size=0); leave out prompt_embeds, or build it "
                f"with text_size={prompt_embeds.shape[-1]}"
            )
        if prompt_embeds is None or attention_mask is None:
            return None, None, None
        B, S, _ = prompt_embeds.shape
        if prompt_positions is None:
            prompt_positions = prompt_embeds.new_zeros(B, S, 3)
        mask = attention_mask.view(B, 1, -1, S)
        # half of each head's channel pairs compare positions; the other half is not rotated
        tokens = rotary_angles(positions * self.cross_scale, self.head_size, fraction=0.5)
        words = rotary_angles(prompt_positions * self.cross_scale, self.head_size, fraction=0.5)
        return mask, tokens, words
