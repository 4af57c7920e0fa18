"""The parts that every transformer here is made of: norm, attention, MLP, rotary positions, the noise-level embedding.

A token is here any vector in a row: a patch, a cell or a word. Sources: attention, Eq. (1) of arXiv:1706.03762; RMSNorm, Eq. (4) of
arXiv:1910.07467; normalised queries and keys, arXiv:2302.05442; rotary positions, Eq. (34) of arXiv:2104.09864, here along three axes.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from einops import rearrange


class RMSNorm(nn.Module):
    """Scale every token to a root mean square of one, then by a learned factor a channel."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, x.shape[-1:], self.weight.to(x.dtype), eps=1e-6)


def attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Let every query read from the values whose keys it resembles: softmax(Q Kᵀ / √d) V.

    Written out, because in bfloat16 (numbers of 16 bits) on a CPU that is several times faster than torch's own function, and because the map is worth
    seeing.

    Args:
        query: (B, heads, N, d); key, value: (B, heads, M, d). mask: True where a query may look, broadcast to (B, heads, N, M).

    Returns:
        The values read (B, heads, N, d), and the map (B, heads, N, M) whose rows sum to one.
    """
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(
            ~mask, -1e4
        )  # far below every score, and no NaN where a row may look nowhere
    attention_map = scores.softmax(dim=-1).to(value.dtype)
    return attention_map @ value, attention_map


class Attention(nn.Module):
    """Multi-head attention from tokens to tokens (self-attention, `context=None`) or to another sequence (cross-attention).

    With `keep_map = True`, the last map (B, heads, N, M) stays in `last_map` for the reader to look at.
    """

    def __init__(self, hidden_size: int, num_heads: int, context_size: int | None = None):
        super().__init__()
        if hidden_size % num_heads:
            raise ValueError(
                f"hidden_size={hidden_size} does not divide into num_heads={num_heads}"
            )
        self.num_heads, self.head_size = num_heads, hidden_size // num_heads
        self.to_q = nn.Linear(hidden_size, hidden_size, bias=False)
        self.to_kv = nn.Linear(context_size or hidden_size, 2 * hidden_size, bias=False)
        self.q_norm, self.k_norm = RMSNorm(self.head_size), RMSNorm(self.head_size)
        self.to_out = nn.Linear(hidden_size, hidden_size)
        self.keep_map, self.last_map = False, None

    def forward(self, x, context=None, mask=None, rotary=None, context_rotary=None):
        """x (B, N, D), context (B, M, C) or None, mask as in `attention`, rotary and context_rotary from `rotary_angles` → (B, N, D).

        What is read from a context with places turns with its place, and back with the reader's: it says how far away it is, and in which
        direction (arXiv:2310.10375, section 3).
        """
        source = x if context is None else context
        q = rearrange(self.to_q(x), "b n (h d) -> b h n d", h=self.num_heads)
        k, v = rearrange(
            self.to_kv(source), "b m (two h d) -> two b h m d", two=2, h=self.num_heads
        )
        q, k = self.q_norm(q), self.k_norm(k)
        if rotary is not None:
            q, k = rotate(q, *rotary), rotate(k, *(context_rotary or rotary))
        if context_rotary is not None:
            v = rotate(v, *context_rotary)
        out, attention_map = attention(q, k, v, mask)
        if context_rotary is not None:
            out = rotate(out, rotary[0], -rotary[1])
        if self.keep_map:
            self.last_map = attention_map.detach()
        return self.to_out(rearrange(out, "b h n d -> b n (h d)"))


class MLP(nn.Module):
    """Two linear layers with a bend between (GELU: negative numbers become almost zero): what a token does on its own."""

    def __init__(self, hidden_size: int, mlp_ratio: float = 4.0):
        super().__init__()
        self.up = nn.Linear(hidden_size, int(hidden_size * mlp_ratio))
        self.down = nn.Linear(int(hidden_size * mlp_ratio), hidden_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class Block(nn.Module):
    """Attention, then an MLP, each added to what is already there (pre-norm transformer block). Arguments as in `Attention`."""

    def __init__(self, hidden_size: int, num_heads: int):
        super().__init__()
        self.norm1, self.attention = RMSNorm(hidden_size), Attention(hidden_size, num_heads)
        self.norm2, self.mlp = RMSNorm(hidden_size), MLP(hidden_size)

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor | None = None, rotary=None
    ) -> torch.Tensor:
        x = x + self.attention(self.norm1(x), mask=mask, rotary=rotary)
        return x + self.mlp(self.norm2(x))


def rotary_angles(
    positions: torch.Tensor, head_size: int, theta: float = 16.0, fraction: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn explicit positions into the rotations of a head's channel pairs.

    A pair that belongs to an axis turns by position × frequency. Each axis has frequencies from a quarter turn a token down to
    1/theta of that. The scores of attention then depend on differences of positions alone, so nothing is tied to a frame size.

    Args:
        positions: (..., N, axes) in tokens; any real numbers. head_size: d, at least 2 × axes, even.
        fraction: of the pairs that turn; the rest stand still, for what has nothing to do with places.

    Returns:
        cos and sin, each (..., N, d / 2). With three axes (frame, row, column), a quarter of the pairs go to the frame, the rest to the sides.
    """
    pairs, axes = int(head_size // 2 * fraction), positions.shape[-1]
    shares = [pairs // 4, (pairs - pairs // 4) // 2] if axes == 3 else [pairs // axes] * (axes - 1)
    shares.append(pairs - sum(shares))
    angles = []
    for axis, count in enumerate(shares):
        frequencies = (
            math.pi / 2 * theta ** (-torch.arange(count, device=positions.device) / max(count, 1))
        )
        angles.append(positions[..., axis, None].float() * frequencies)
    angles = F.pad(torch.cat(angles, dim=-1), (0, head_size // 2 - pairs))
    return angles.cos(), angles.sin()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turn the pairs (i, i + d/2) of x (B, heads, N, d) by their angles; cos and sin are (N, d/2) or (B, N, d/2)."""
    if cos.ndim == 3:
        cos, sin = cos[:, None], sin[:, None]
    a, b = x.chunk(2, dim=-1)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


class NoiseEmbedder(nn.Module):
    """Noise levels → vectors: sines and cosines of 1000 σ at many frequencies, then a small MLP (`t_embedder` in DiT, which calls the level t)."""

    def __init__(self, hidden_size: int, frequency_size: int = 128):
        super().__init__()
        self.frequency_size = frequency_size
        self.mlp = nn.Sequential(
            nn.Linear(frequency_size, hidden_size), nn.SiLU(), nn.Linear(hidden_size, hidden_size)
        )

    def forward(self, sigma: torch.Tensor) -> torch.Tensor:
        """sigma (...) in [0, 1] → (..., D)."""
        half = self.frequency_size // 2
        frequencies = 10_000.0 ** (-torch.arange(half, device=sigma.device) / half)
        angles = 1000.0 * sigma[..., None].float() * frequencies
        return self.mlp(torch.cat([angles.cos(), angles.sin()], dim=-1))


class PositionEmbedder(nn.Module):
    """Places → vectors: sines and cosines of each coordinate at several frequencies, then one linear layer.

    Rotary positions tell tokens how far apart they are; this tells a token where it is, which decides much in a small frame: the floor,
    the border, the first latent frame. Any real coordinates do, so nothing is tied to a frame size.
    """

    def __init__(self, hidden_size: int, axes: int = 3, frequencies: int = 6):
        super().__init__()
        self.register_buffer(
            "frequencies", math.pi / 2 * 0.5 ** torch.arange(frequencies), persistent=False
        )
        self.linear = nn.Linear(2 * axes * frequencies, hidden_size)

    def forward(self, positions: torch.Tensor) -> torch.Tensor:
        """positions (..., N, axes) → (..., N, D)."""
        angles = (positions[..., None].float() * self.frequencies).flatten(-2)
        return self.linear(torch.cat([angles.cos(), angles.sin()], dim=-1))
