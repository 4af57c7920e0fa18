"""The parts of every transformer here: norm, attention, MLP, rotary positions, and embedders.

    x (B, N, D) ── Attention, MLP ──► (B, N, D)        N tokens: patches, latent cells or words

Sources: attention, Eq. (1) of arXiv:1706.03762; RMSNorm, Eq. (4) of arXiv:1910.07467; normalised
queries and keys, arXiv:2302.05442; rotary positions, Eq. (34) of arXiv:2104.09864, here along three
axes, and with channels i and i + d/2 as a pair where the paper has neighbours.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from einops import rearrange

Rotary = tuple[torch.Tensor, torch.Tensor]  # cos and sin, as from `rotary_angles`


class RMSNorm(nn.Module):
    """Scale every token to a root mean square of one, then each channel by a learned factor.

    As `torch.nn.RMSNorm`, which warns about every bfloat16 input because its weight stays float32.
    """

    def __init__(self, hidden_size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, x.shape[-1:], self.weight.to(x.dtype), eps=1e-6)


def attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Average the values, each weighted by how well its key fits the query: softmax(Q Kᵀ / √d) V.

    It is written out, because in bfloat16 on a CPU this is several times faster than torch's own
    function, and because a reader may want to see the map.

    Args:
        query: (B, heads, N, d).
        key, value: (B, heads, M, d).
        mask: True where a query may attend to a key, broadcast to (B, heads, N, M).

    Returns:
        The averages (B, heads, N, d), and the attention map (B, heads, N, M), whose rows sum to
        one.
    """
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    if mask is not None:
        # far below every score; −inf would give NaN in a row that may attend to nothing
        scores = scores.masked_fill(~mask, -1e4)
    attention_map = scores.softmax(dim=-1).to(value.dtype)
    return attention_map @ value, attention_map


class DotProductAttention(nn.Module):
    """`attention` as a module, so that a forward hook can see the map.

    On a GPU, where no hook asks for the map, torch's fused function computes the same averages.
    """

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not query.is_cuda or self._forward_hooks:
            return attention(query, key, value, mask)
        if mask is not None:
            # as in `attention`: a bool mask would give NaN in a row that may attend to nothing
            mask = (~mask).to(query.dtype) * -1e4
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return out, out.new_empty(0)  # the fused function makes no map; an empty one stands for it


class KeyValueCache:
    """Keys and values of earlier tokens, so that an attention layer need not compute them again."""

    def __init__(self) -> None:
        self.keep = 0  # how many of the next call's first tokens stay
        self.kept: torch.Tensor | None = None  # (2, B, heads, M, d), keys and values

    def join(self, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Put what is kept before k and v (B, heads, N, d): (B, heads, M + N, d) each."""
        both = torch.stack([k, v])
        if self.kept is not None:
            both = torch.cat([self.kept, both], dim=3)
        leave = k.shape[2] - self.keep
        self.kept = both[:, :, :, : both.shape[3] - leave]
        joined_k, joined_v = both
        return joined_k, joined_v


class Attention(nn.Module):
    """Multi-head attention: self-attention, or cross-attention to another sequence."""

    def __init__(self, hidden_size: int, num_heads: int, context_size: int | None = None):
        super().__init__()
        if hidden_size % num_heads:
            raise ValueError(
                f"hidden_size={hidden_size} does not divide into num_heads={num_heads}"
            )
        self.num_heads = num_heads
        head_size = hidden_size // num_heads
        self.to_q = nn.Linear(hidden_size, hidden_size, bias=False)
        self.to_kv = nn.Linear(context_size or hidden_size, 2 * hidden_size, bias=False)
        self.q_norm = RMSNorm(head_size)
        self.k_norm = RMSNorm(head_size)
        self.attention = DotProductAttention()
        self.to_out = nn.Linear(hidden_size, hidden_size)

    def forward(
        self,
        x: torch.Tensor,
        context: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        rotary: Rotary | None = None,
        context_rotary: Rotary | None = None,
        cache: KeyValueCache | None = None,
    ) -> torch.Tensor:
        """Let the tokens x attend to each other, or to a context.

        If the context has positions, its values are rotated by them, as its keys are, and the
        average that a token receives is rotated back by the token's own position. So what a value
        brings depends on how far away it is, and in which direction (arXiv:2310.10375, section 3).

        Args:
            x: (B, N, D).
            context: (B, M, C); None is x itself.
            mask: as in `attention`.
            rotary, context_rotary: angles of the positions of x and of the context; without a
                context, `rotary` is for both queries and keys, and values are not rotated.
            cache: earlier tokens of the same sequence, to which x attends as well.

        Returns:
            (B, N, D).
        """
        source = x if context is None else context
        q = rearrange(self.to_q(x), "b n (h d) -> b h n d", h=self.num_heads)
        kv = self.to_kv(source)
        k, v = rearrange(kv, "b m (two h d) -> two b h m d", two=2, h=self.num_heads)
        q = self.q_norm(q)  # (B, heads, N, d)
        k = self.k_norm(k)  # (B, heads, M, d)
        if rotary is not None:
            q = rotate(q, *rotary)
            k = rotate(k, *(context_rotary or rotary))
        if context_rotary is not None:
            v = rotate(v, *context_rotary)
        if cache is not None:
            k, v = cache.join(k, v)
        out, _ = self.attention(q, k, v, mask)  # (B, heads, N, d)
        if rotary is not None and context_rotary is not None:
            cos, sin = rotary
            out = rotate(out, cos, -sin)  # the opposite angle: back
        return self.to_out(rearrange(out, "b h n d -> b n (h d)"))


class MLP(nn.Module):
    """Two linear layers with a nonlinearity (GELU) between them, for each token on its own."""

    def __init__(self, hidden_size: int, mlp_ratio: float = 4.0):
        super().__init__()
        inner_size = int(hidden_size * mlp_ratio)
        self.up = nn.Linear(hidden_size, inner_size)
        self.down = nn.Linear(inner_size, hidden_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class Block(nn.Module):
    """A pre-norm transformer block: attention, then an MLP, each added to its input."""

    def __init__(self, hidden_size: int, num_heads: int):
        super().__init__()
        self.norm1 = RMSNorm(hidden_size)
        self.attention = Attention(hidden_size, num_heads)
        self.norm2 = RMSNorm(hidden_size)
        self.mlp = MLP(hidden_size)

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor | None = None, rotary: Rotary | None = None
    ) -> torch.Tensor:
        """x (B, N, D), mask and rotary as in `Attention` → (B, N, D)."""
        x = x + self.attention(self.norm1(x), mask=mask, rotary=rotary)
        return x + self.mlp(self.norm2(x))


def rotary_angles(
    positions: torch.Tensor, head_size: int, theta: float = 16.0, fraction: float = 1.0
) -> Rotary:
    """Turn positions into angles by which channel pairs are rotated: position × frequency.

    The pairs are divided among the axes. Along each axis the frequencies fall from a quarter turn
    per token to nearly 1/theta of that. Scores of attention then depend on differences of positions
    alone, so nothing is tied to a frame size.

    Args:
        positions: (..., N, axes) in tokens; any real numbers.
        head_size: d, even.
        theta: the highest frequency over the lowest, which is just not reached.
        fraction: of the pairs that are rotated, in [0, 1]; the others keep the angle 0.

    Returns:
        cos and sin, each (..., N, d / 2).
    """
    axes = positions.shape[-1]
    pairs = int(head_size // 2 * fraction)
    angles = []
    for axis, count in enumerate(_pairs_of_axes(pairs, axes)):
        falling = torch.arange(count, device=positions.device) / max(count, 1)  # from 0 to below 1
        frequencies = math.pi / 2 * theta**-falling
        angles.append(positions[..., axis, None].float() * frequencies)  # (..., N, count)
    unrotated = head_size // 2 - pairs
    all_angles = F.pad(torch.cat(angles, dim=-1), (0, unrotated))  # (..., N, d / 2)
    return all_angles.cos(), all_angles.sin()


def _pairs_of_axes(pairs: int, axes: int) -> list[int]:
    """How many channel pairs each axis has. Of frame, row and column, the frame has a quarter."""
    if axes == 3:
        frame = pairs // 4
        first = [frame, (pairs - frame) // 2]
    else:
        first = [pairs // axes] * (axes - 1)
    return [*first, pairs - sum(first)]


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotate the channel pairs (i, i + d/2) of x by their angles.

    Args:
        x: (B, heads, N, d).
        cos, sin: (N, d / 2) or (B, N, d / 2), as from `rotary_angles`.

    Returns:
        (B, heads, N, d).
    """
    if cos.ndim == 3:  # a batch of positions, the same for all heads
        cos = cos[:, None]
        sin = sin[:, None]
    cos = cos.to(x.dtype)
    sin = sin.to(x.dtype)
    a, b = x.chunk(2, dim=-1)
    rotated_a = a * cos - b * sin
    rotated_b = b * cos + a * sin
    return torch.cat([rotated_a, rotated_b], dim=-1)


class NoiseEmbedder(nn.Module):
    """Noise levels → vectors: sines and cosines of 1000 σ at many frequencies, then a small MLP.

    DiT calls it `t_embedder`, because its noise level is one of 1000 timesteps t.

    Args:
        hidden_size: D.
        frequency_size: how many cosines and sines, even.
    """

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
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1)
        return self.mlp(waves)


class PositionEmbedder(nn.Module):
    """Positions → vectors: sines and cosines at several frequencies, then a linear layer.

    Rotary positions say how far apart two tokens are. This one says where a token is, which matters
    in a small frame: at the floor, at the border, in the first latent frame.

    Args:
        hidden_size: D.
        axes: numbers in a position.
        frequencies: how many; the highest is a quarter turn per token, each next one is half of it.
    """

    frequencies: torch.Tensor

    def __init__(self, hidden_size: int, axes: int = 3, frequencies: int = 6):
        super().__init__()
        halving = math.pi / 2 * 0.5 ** torch.arange(frequencies)
        self.register_buffer("frequencies", halving, persistent=False)
        self.linear = nn.Linear(2 * axes * frequencies, hidden_size)

    def forward(self, positions: torch.Tensor) -> torch.Tensor:
        """positions (..., N, axes), any real numbers → (..., N, D)."""
        angles = positions[..., None].float() * self.frequencies  # (..., N, axes, frequencies)
        angles = angles.flatten(-2)  # (..., N, axes · frequencies)
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1)
        return self.linear(waves)
