"""Notebook 06, A diffusion transformer, block by block."""

import math
from collections.abc import Callable
from numbers import Number
from typing import Any

import torch

from minisora.config import PRESETS, DiTConfig
from minisora.dit import DiT, DiTBlock
from minisora.layers import attention, rotary_angles, rotate

from .common import Function, called, same, say

TOLERANCE = 1e-6

# ------------------------------------------------------------------------------------ 1 attention


def check_attention(my_attention: Function) -> bool:
    """Exercise 1: attention from queries, keys and values, with a mask."""
    generator = torch.Generator().manual_seed(0)

    def rand(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    for B, heads, N, M, d in ((1, 1, 4, 4, 5), (2, 3, 5, 7, 8), (1, 2, 6, 1, 3)):
        query, key, value = rand(B, heads, N, d), rand(B, heads, M, d), rand(B, heads, M, d)
        some = rand(B, 1, N, M) > 0
        some[..., 0] = True  # every query may attend to something
        for mask in (None, some):
            answer = called(my_attention, query, key, value, mask)
            if answer is None:
                return False
            if isinstance(answer, tuple):
                return say("my_attention should give back the values read, without the map")
            where = f"{N} queries, {M} keys, {'no mask' if mask is None else 'a mask'}"
            right = attention(query, key, value, mask)[0]
            mistakes = _attention_mistakes(query, key, value, mask)
            if not same(answer, right, "my_attention", where, mistakes, TOLERANCE):
                return False
    return say(
        "right for square and oblong maps, one key, several heads, with and without mask", True
    )


def _attention_mistakes(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None
) -> dict[str, torch.Tensor]:
    """What plausible mistakes would give."""
    products, root = query @ key.mT, math.sqrt(query.shape[-1])
    scores = products / root

    def hidden(scores: torch.Tensor, mask: torch.Tensor | None = mask) -> torch.Tensor:
        return scores if mask is None else scores.masked_fill(~mask, -1e4)

    weights = {
        "the scores are not divided by anything yet; long vectors have large products": (
            hidden(products).softmax(-1)
        ),
        "the scores are divided by d, where its root is enough": (
            hidden(products / root**2).softmax(-1)
        ),
        "the scores are multiplied by the root of d": hidden(products * root).softmax(-1),
        "the softmax runs over the queries: weights should sum to one over the keys": (
            hidden(scores).softmax(-2)
        ),
        "the scores are used as weights as they are; a softmax is missing": hidden(scores),
    }
    if mask is not None:
        weights |= {
            "the mask is the wrong way round: True is where a query may attend": (
                hidden(scores, ~mask).softmax(-1)
            ),
            "the mask comes after the softmax, so a query's weights no longer sum to one": (
                scores.softmax(-1) * mask
            ),
            "a masked score of 0 still gets a weight: exp(0) is 1": (scores * mask).softmax(-1),
            "the mask is not used": scores.softmax(-1),
        }
    return {words: attended @ value for words, attended in weights.items()}


# ----------------------------------------------------------------------------------- 2 adaLN-Zero


def _half(
    x: torch.Tensor,
    shift: torch.Tensor,
    scale: torch.Tensor,
    gate: torch.Tensor,
    norm: Callable[[torch.Tensor], torch.Tensor],
    layer: Callable[[torch.Tensor], torch.Tensor],
    one: float = 1.0,
    gate_one: float = 0.0,
    normed: bool = True,
    shift_first: bool = False,
    outside: bool = False,
    residual: float = 1.0,
) -> torch.Tensor:
    """Half a block, with a switch for every plausible mistake."""
    h = norm(x) if normed else x
    h = (h + shift) * (one + scale) if shift_first else h * (one + scale) + shift
    if outside:
        return (gate_one + gate) * (x + layer(h))
    return residual * x + (gate_one + gate) * layer(h)


ADALN_SWITCHES: dict[str, dict[str, Any]] = {
    "the gate should be able to shut a layer wholly: at 0 nothing of it is added": {
        "gate_one": 1.0
    },
    "the gate belongs on what a layer adds, not on the sum": {"outside": True},
    "what came in is not added again": {"residual": 0.0},
    "scale 0 should leave the normalised tokens as they are, not wipe them out": {"one": 0.0},
    "the tokens are not normalised before they are modulated": {"normed": False},
    "the shift should come after the scale": {"shift_first": True},
}


def check_adaln_zero(adaln_zero_block: Function) -> bool:
    """Exercise 2: a block modulated and gated by hand, which starts as the identity."""
    for B, N, D in ((1, 1, 8), (2, 5, 12)):
        block, x, six = _a_block(B, N, D)
        prompt = torch.zeros(B, 1, 4, dtype=torch.float64)
        mask = torch.ones(B, 1, 1, 1, dtype=torch.bool)
        layers = (block.norm1, block.attention, block.norm3, block.mlp)
        shut = six.clone()
        shut[..., 2 * D : 3 * D] = 0
        shut[..., 5 * D :] = 0
        for values, state in (
            (six, "random shifts, scales and gates"),
            (shut, "gates at zero"),
            (six * 0, "all six at zero"),
        ):
            right = block(x, values, prompt, None, mask, None)
            answer = called(adaln_zero_block, x, values, *layers)
            if answer is None:
                return False
            where = f"{tuple(x.shape)}, {state}"
            mistakes = _adaln_mistakes(x, values, layers)
            if not same(answer, right, "adaln_zero_block", where, mistakes, TOLERANCE):
                return False
    return say("right, and the identity wherever its gates are shut", True)


def _a_block(B: int, N: int, D: int) -> tuple[DiTBlock, torch.Tensor, torch.Tensor]:
    """A block whose cross-attention is silent, its input, and its six vectors."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(N)
        block = DiTBlock(DiTConfig(hidden_size=D, num_heads=2, text_size=4))
        block.double().requires_grad_(False)
        block.norm1.weight.normal_()
        block.norm3.weight.normal_()
        block.cross_attention.to_out.weight.zero_()
        block.cross_attention.to_out.bias.zero_()
        x = torch.randn(B, N, D, dtype=torch.float64)
        return block, x, torch.randn(B, N, 6 * D, dtype=torch.float64)


def _adaln_mistakes(
    x: torch.Tensor, six: torch.Tensor, layers: tuple[Any, ...]
) -> dict[str, torch.Tensor]:
    """What plausible mistakes would give."""
    norm1, attend, norm2, mlp = layers
    a, b, c, d, e, f = six.chunk(6, dim=-1)

    def both(first: tuple, second: tuple, **switch: Any) -> torch.Tensor:
        half = _half(x, *first, norm1, attend, **switch)
        return _half(half, *second, norm2, mlp, **switch)

    attention_half = _half(x, a, b, c, norm1, attend)
    mlp_half = _half(x, d, e, f, norm2, mlp)
    mistakes = {
        "it hands its input on; that is how a block starts, not where it stays": x,
        "the MLP's half is missing": attention_half,
        "the attention's half is missing": mlp_half,
        "the MLP should read what attention has written, not the block's input": (
            attention_half + mlp_half - x
        ),
        "shift and scale change places; the order is shift, scale, gate": (
            both((b, a, c), (e, d, f))
        ),
        "the six are for attention first, then for the MLP": both((a, c, e), (b, d, f)),
        "the first three are attention's, the last three the MLP's": both((d, e, f), (a, b, c)),
    }
    for words, switch in ADALN_SWITCHES.items():
        mistakes[words] = both((a, b, c), (d, e, f), **switch)
    return mistakes


# ----------------------------------------------------------------------------- 3 count parameters


def _parts(c: DiTConfig) -> dict[str, int]:
    """Parameters of every part, in closed form."""
    D, E, L = c.hidden_size, c.text_size, c.depth
    H, d = int(c.hidden_size * c.mlp_ratio), c.hidden_size // c.num_heads
    P = c.latent_channels * math.prod(c.patch_size)
    return {
        "x_embedder": P * D + D,
        "position_embedder": 36 * D + D,
        "t_embedder": 128 * D + D + D * D + D,
        "shared modulation": 6 * D * D + 6 * D,
        "self-attentions": L * (4 * D * D + D),
        "norms of queries and keys": L * 4 * d,
        "cross-attentions": L * (2 * D * D + 2 * E * D + D),
        "MLPs": L * (2 * D * H + H + D),
        "three norms of every block": 3 * L * D,
        "tables": 6 * L * D,
        "final layer": D + 2 * D * D + 2 * D + D * P + P,
        "final layer's modulation": 2 * D * D + 2 * D,
        "final layer's norm": D,
    }


CONFIGS = (
    PRESETS["tiny"].dit,  # the shipped one
    DiTConfig(
        hidden_size=96,
        depth=3,
        num_heads=6,
        text_size=40,
        latent_channels=5,
        patch_size=(2, 1, 3),
        mlp_ratio=2.5,
    ),
    DiTConfig(
        hidden_size=48, depth=1, num_heads=2, text_size=24, latent_channels=16, mlp_ratio=3.3
    ),
)


def check_count_parameters(count_parameters: Function) -> bool:
    """Exercise 3: the parameters of a DiT from its config."""
    for i, config in enumerate(CONFIGS):
        with torch.device("meta"):
            right = sum(p.numel() for p in DiT(config).parameters())
        answer = called(count_parameters, config)
        if answer is None:
            return False
        if not isinstance(answer, Number):
            return say(f"count_parameters should give back a number, not {type(answer).__name__}")
        if answer != right:
            before = "The configs before were right, so some number stands where a field should: "
            where = (
                f"depth {config.depth}, hidden_size {config.hidden_size}, "
                f"mlp_ratio {config.mlp_ratio:g}"
            )
            return say(
                f"count_parameters is off by {answer - right:+,.6g} for {where}. "
                f"{before if i else ''}{_count_hint(answer - right, config)}"
            )
    return say(f"right for {len(CONFIGS)} configs, the shipped model's first", True)


def _count_hint(miss: float, c: DiTConfig) -> str:
    """Which part is missing or too much, if one alone explains the difference."""
    D, L, E = c.hidden_size, c.depth, c.text_size
    modulation = 6 * D * D + 6 * D
    shared = "the modulation's matrix is shared by all blocks; a block has only its table"
    known = {  # differences that have a reason of their own
        modulation * (L - 1): shared,
        modulation * L: shared,
        2 * L * D * (D - E): (
            "cross-attention makes its keys and values from words, which have text_size numbers"
        ),
        3 * L * D: "in one kind of attention, q, k and v have no bias",
        6 * L * D: "queries, keys and values have no bias, in either kind of attention",
        4 * L * (D - D // c.num_heads): (
            "queries and keys are normalised head by head, so their norms have head_size numbers"
        ),
    }
    if miss in known:
        return known[miss]
    for name, count in _parts(c).items():
        if miss in (-count, count):
            return f"that is what the {name} alone would add up to"
        if miss == -(count - count // L) and L > 1 and count % L == 0:
            return f"the {name} are there once for every block"
    if 0 < miss <= L * (2 * D + 1) and D * c.mlp_ratio % 1:
        return "the MLP's inner size is rounded down to a whole number"
    return "count one part at a time, and compare with what the notebook printed"


# -------------------------------------------------------------------------- 4 differences alone


def _rotated(
    q: torch.Tensor,
    k: torch.Tensor,
    positions: torch.Tensor,
    for_q: float = 1,
    for_k: float = 1,
) -> torch.Tensor:
    """Scores of queries and keys that are rotated by their positions."""
    cos, sin = rotary_angles(positions, q.shape[-1])
    return rotate(q, cos, for_q * sin) @ rotate(k, cos, for_k * sin).mT


def _added(
    q: torch.Tensor,
    k: torch.Tensor,
    positions: torch.Tensor,
    direction: tuple[float, float, float] = (1.0, 1.0, 1.0),
    rate: float = 0.7,
) -> torch.Tensor:
    """Scores with something added that knows where the key is, along one direction."""
    along = (positions.double() @ torch.tensor(direction, dtype=torch.float64)).to(q.dtype)
    return _rotated(q, k, positions) + 2 * torch.sin(rate * along)


ABSOLUTE = {  # scores that know positions, and what a test needs to find them out
    "rotations of the queries alone": (
        (lambda q, k, p: rotate(q, *rotary_angles(p, q.shape[-1])) @ k.mT),
        "do you compare the scores before and after?",
    ),
    "keys rotated the wrong way round": (
        (lambda q, k, p: _rotated(q, k, p, for_k=-1)),
        "do you compare the scores before and after?",
    ),
    "scores that know the frame": (
        (lambda q, k, p: _added(q, k, p, (1.0, 0.0, 0.0))),
        "move the frames too",
    ),
    "scores that know the row": (
        (lambda q, k, p: _added(q, k, p, (0.0, 1.0, 0.0))),
        "move the rows too",
    ),
    "scores that know the column": (
        (lambda q, k, p: _added(q, k, p, (0.0, 0.0, 1.0))),
        "move the columns too",
    ),
    "scores that know row minus column": (
        (lambda q, k, p: _added(q, k, p, (0.0, 1.0, -1.0))),
        "move each axis by another amount",
    ),
    "scores that know frame minus row": (
        (lambda q, k, p: _added(q, k, p, (1.0, -1.0, 0.0))),
        "move each axis by another amount",
    ),
    "scores that repeat every token": (
        (lambda q, k, p: _added(q, k, p, (1.0, 1.0, 1.0), 2 * math.pi)),
        "positions are real numbers; a move need not be a whole one",
    ),
}
RELATIVE = {
    "rotary scores, the package's own": _rotated,
    "scores without any positions": lambda q, k, p: q @ k.mT,
    "rotations by three times the angle": lambda q, k, p: _rotated(q, k, 3 * p),
}


def check_relative(depends_on_differences: Function) -> bool:
    """Exercise 4: a test that tells scores of differences from scores that know positions."""
    for name, scores in RELATIVE.items():
        verdict = called(depends_on_differences, scores)
        if verdict is None:
            return say("depends_on_differences should give back True or False")
        if not bool(verdict):
            return say(
                f"your test turns away {name}, which depend on differences alone; is it too strict "
                "about rounding, or does it move only some tokens?"
            )
    for name, (scores, hint) in ABSOLUTE.items():
        verdict = called(depends_on_differences, scores)
        if verdict is None:
            return say("depends_on_differences should give back True or False")
        if bool(verdict):
            return say(f"your test lets {name} pass: {hint}")
    return say(
        f"it lets {len(RELATIVE)} kinds of relative scores pass and finds out "
        f"{len(ABSOLUTE)} absolute ones",
        True,
    )
