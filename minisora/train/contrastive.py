"""Contrastive pre-training of the text encoder, beside a video encoder that is thrown away.

    latents (B, Cz, Tz, Hz, Wz), captions (B, S) ── TextVideoPair ──► loss, accuracy

A caption and its clip learn to have similar vectors, and all other pairs do not (as CLIP,
arXiv:2103.00020, section 2.3 and figure 3).
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from minisora.layers import Block, rotary_angles
from minisora.patchify import grid_of, patchify, positions_of
from minisora.text import TextEncoder

VIDEO_PATCH = (1, 2, 2)  # latent frames, rows, columns of a token


class TextVideoPair(nn.Module):
    """Two encoders that learn to give a caption and its clip similar vectors.

    Only the text encoder is kept after the language stage (`train_language`).

    Args:
        text: the encoder of captions.
        latent_channels: Cz of the clips.
        hidden_size, depth, num_heads: of the video encoder; both give vectors of `hidden_size`.
    """

    def __init__(
        self,
        text: TextEncoder,
        latent_channels: int,
        hidden_size: int = 128,
        depth: int = 2,
        num_heads: int = 4,
    ):
        super().__init__()
        self.text = text
        self.num_heads = num_heads
        token_size = latent_channels * math.prod(VIDEO_PATCH)
        self.embed = nn.Linear(token_size, hidden_size)
        blocks = [Block(hidden_size, num_heads) for _ in range(depth)]
        self.blocks = nn.ModuleList(blocks)
        self.video_out = nn.Linear(hidden_size, hidden_size, bias=False)
        text_size = text.config.hidden_size
        self.text_out = nn.Linear(text_size, hidden_size, bias=False)
        # CLIP's learned temperature: scores are multiplied by its exponential, at most by 100
        self.logit_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    def encode_video(self, latents: torch.Tensor) -> torch.Tensor:
        """latents (B, Cz, Tz, Hz, Wz) → unit vectors (B, D), the mean over the patches."""
        grid = grid_of(latents.shape[2:], VIDEO_PATCH)
        positions = positions_of(grid, device=latents.device)
        x = self.embed(patchify(latents, VIDEO_PATCH))  # (B, N, D)
        head_size = x.shape[-1] // self.num_heads
        rotary = rotary_angles(positions, head_size)
        for block in self.blocks:
            x = block(x, rotary=rotary)
        vectors = self.video_out(x.mean(1))
        return F.normalize(vectors.float(), dim=-1)

    def encode_text(self, ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """ids, attention_mask (B, S) → unit vectors (B, D), the mean over the words."""
        x = self.text(ids, attention_mask)  # (B, S, D_text)
        weight = attention_mask[..., None].float()
        mean = (x * weight).sum(1) / weight.sum(1)
        vectors = self.text_out(mean)
        return F.normalize(vectors.float(), dim=-1)

    def forward(
        self, latents: torch.Tensor, ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Score every clip of a batch with every caption; its own should score highest.

        Args:
            latents: (B, Cz, Tz, Hz, Wz).
            ids, attention_mask: (B, S), caption i of clip i.

        Returns:
            The contrastive loss (figure 3 of arXiv:2103.00020), a scalar in nats: the mean of
            clip → caption and caption → clip. And the fraction of clips, in [0, 1], whose own
            caption scores highest.
        """
        video = self.encode_video(latents)  # (B, D)
        text = self.encode_text(ids, attention_mask)  # (B, D)
        scale = self.logit_scale.exp().clamp(max=100)
        scores = scale * video @ text.T  # (B, B)
        own = torch.arange(len(scores), device=scores.device)
        of_clips = F.cross_entropy(scores, own)  # clip → caption
        of_captions = F.cross_entropy(scores.T, own)
        loss = (of_clips + of_captions) / 2
        is_right = scores.argmax(1) == own
        return loss, is_right.float().mean()
