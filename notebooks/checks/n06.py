"""Notebook 06, A diffusion transformer, block by block."""

import math
from numbers import Number

import torch

from minisora.config import DiTConfig
from minisora.dit import DiT, DiTBlock
from minisora.layers import attention, rotary_angles, rotate

from .common import called, same, say


def _close(yours, other: torch.Tensor) -> bool:
    return (
        isinstance(yours, torch.Tensor)
        and yours.shape == other.shape
        and torch.allclose(yours.double(), other, atol=1e-6)
    )


def _run(function, *arguments) -> tuple[bool, object]:
    """Whether a reader's function gave something back, and what."""
    answer = called(function, *arguments)
    return answer is not None, answer


# ------------------------------------------------------------------------------------------------------------------ 1 attention


def check_attention(my_attention) -> bool:
    """Notebook 06, exercise 1: attention from queries, keys and values, with a mask."""
    generator = torch.Generator().manual_seed(0)
    rand = lambda *shape: torch.randn(*shape, dtype=torch.float64, generator=generator)
    for B, heads, N, M, d in ((1, 1, 4, 4, 5), (2, 3, 5, 7, 8), (1, 2, 6, 1, 3)):
        query, key, value = rand(B, heads, N, d), rand(B, heads, M, d), rand(B, heads, M, d)
        some = rand(B, 1, N, M) > 0
        some[..., 0] = True  # everyone may look somewhere
        for mask in (None, some):
            where = f"{N} queries, {M} keys, {'no mask' if mask is None else 'a mask'}"
            right = attention(query, key, value, mask)[0]
            ran, yours = _run(my_attention, query, key, value, mask)
            if isinstance(yours, tuple):
                return say("my_attention should give back the values read, without the map")
            if (
                isinstance(yours, torch.Tensor)
                and yours.shape == right.shape
                and not _close(yours, right)
            ):
                hint = _attention_fault(yours, query, key, value, mask)
                miss = float((yours.double() - right).abs().max())
                return say(
                    f"my_attention is off by up to {miss:.3g} for {where}{': ' if hint else ''}{hint}"
                )
            if not ran or not same(yours, right, "my_attention", where):
                return False
    return say(
        "right for square and oblong maps, one key, several heads, with and without a mask", True
    )


def _attention_fault(yours: torch.Tensor, query, key, value, mask) -> str:
    """What a plausible mistake would have given, if that is what was given."""
    scores, d = query @ key.mT, query.shape[-1]
    far = lambda s, m=mask: s if m is None else s.masked_fill(~m, -1e4)
    faults = {
        "the scores are not divided by anything yet; long vectors have large products": far(
            scores
        ).softmax(-1)
        @ value,
        "the scores are divided by d, where its root is enough": far(scores / d).softmax(-1)
        @ value,
        "the scores are multiplied by the root of d": far(scores * math.sqrt(d)).softmax(-1)
        @ value,
        "the softmax runs over the queries: shares should sum to one over the keys that a query can choose from": far(
            scores / math.sqrt(d)
        ).softmax(-2)
        @ value,
        "the scores are read as shares as they are; a softmax is missing": far(
            scores / math.sqrt(d)
        )
        @ value,
    }
    scores = scores / math.sqrt(d)
    if mask is not None:
        faults |= {
            "the mask is the wrong way round: True is where a query may look": far(
                scores, ~mask
            ).softmax(-1)
            @ value,
            "the mask comes after the softmax, so a query's shares no longer sum to one": (
                scores.softmax(-1) * mask
            )
            @ value,
            "a masked score of 0 still gets a share: exp(0) is 1": (scores * mask).softmax(-1)
            @ value,
            "the mask is not used": scores.softmax(-1) @ value,
        }
    return next((fault for fault, other in faults.items() if _close(yours, other)), "")


# ---------------------------------------------------------------------------------------------------------------- 2 adaLN-Zero


def _half(
    x,
    shift,
    scale,
    gate,
    norm,
    layer,
    one=1.0,
    gate_one=0.0,
    normed=True,
    shift_first=False,
    outside=False,
    residual=1.0,
):
    """Half a block, with a switch for every plausible mistake."""
    h = norm(x) if normed else x
    h = (h + shift) * (one + scale) if shift_first else h * (one + scale) + shift
    if outside:
        return (gate_one + gate) * (x + layer(h))
    return residual * x + (gate_one + gate) * layer(h)


ADALN_FAULTS = {
    "the gate should be able to shut a layer wholly: at 0 nothing of it is added": {
        "gate_one": 1.0
    },
    "the gate belongs on what a layer adds, not on the sum": {"outside": True},
    "what came in is not added again": {"residual": 0.0},
    "scale 0 should leave the normalised tokens as they are, not wipe them out": {"one": 0.0},
    "the tokens are not normalised before they are modulated": {"normed": False},
    "the shift should come after the scale": {"shift_first": True},
}


def check_adaln_zero(adaln_zero_block) -> bool:
    """Notebook 06, exercise 2: a block modulated and gated by hand, which starts as the identity."""
    for B, N, D in ((1, 1, 8), (2, 5, 12)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(N)
            block = (
                DiTBlock(DiTConfig(hidden_size=D, num_heads=2, text_size=4))
                .double()
                .requires_grad_(False)
            )
            for norm in (block.norm1, block.norm3):
                norm.weight.normal_()
            block.cross_attention.to_out.weight.zero_()
            block.cross_attention.to_out.bias.zero_()
            x, six = (
                torch.randn(B, N, D, dtype=torch.float64),
                torch.randn(B, N, 6 * D, dtype=torch.float64),
            )
        prompt, mask = (
            torch.zeros(B, 1, 4, dtype=torch.float64),
            torch.ones(B, 1, 1, 1, dtype=torch.bool),
        )
        layers = (block.norm1, block.attention, block.norm3, block.mlp)
        shut = six.clone()
        shut[..., 2 * D : 3 * D] = shut[..., 5 * D :] = 0
        for values, state in (
            (six, "random shifts, scales and gates"),
            (shut, "gates at zero"),
            (six * 0, "all six at zero"),
        ):
            right = block(x, values, prompt, None, mask, None)
            ran, yours = _run(adaln_zero_block, x, values, *layers)
            where = f"{tuple(x.shape)}, {state}"
            if (
                isinstance(yours, torch.Tensor)
                and yours.shape == right.shape
                and not _close(yours, right)
            ):
                return say(
                    f"adaln_zero_block is off by up to {float((yours - right).abs().max()):.3g} for {where}{_adaln_fault(yours, x, values, layers)}"
                )
            if not ran or not same(yours, right, "adaln_zero_block", where):
                return False
    return say("right, and the identity wherever its gates are shut", True)


def _adaln_fault(yours: torch.Tensor, x: torch.Tensor, six: torch.Tensor, layers: tuple) -> str:
    """What a plausible mistake would have given, if that is what was given."""
    norm1, attend, norm2, mlp = layers
    a, b, c, d, e, f = six.chunk(6, dim=-1)
    both = lambda p, q, **fault: _half(
        _half(x, *p, norm1, attend, **fault), *q, norm2, mlp, **fault
    )
    if _close(yours, x):
        return ": it hands its input on; that is how a block starts, not where it stays"
    if _close(yours, _half(x, a, b, c, norm1, attend)):
        return ": the MLP's half is missing"
    if _close(yours, _half(x, d, e, f, norm2, mlp)):
        return ": the attention's half is missing"
    if _close(yours, _half(x, a, b, c, norm1, attend) + _half(x, d, e, f, norm2, mlp) - x):
        return ": the MLP should read what attention has written, not the block's input"
    for order, one, two in (
        ("shift and scale change places", (b, a, c), (e, d, f)),
        ("the six are for attention first, then for the MLP", (a, c, e), (b, d, f)),
        ("the first three are attention's, the last three the MLP's", (d, e, f), (a, b, c)),
    ):
        if _close(yours, both(one, two)):
            return (
                f": {order}; the order is shift, scale, gate" if "change" in order else f": {order}"
            )
    return next(
        (
            f": {fault}"
            for fault, switch in ADALN_FAULTS.items()
            if _close(yours, both((a, b, c), (d, e, f), **switch))
        ),
        "",
    )


# ------------------------------------------------------------------------------------------------------------ 3 count parameters


def _parts(c: DiTConfig) -> dict[str, int]:
    """Parameters of every part, in closed form."""
    D, E, H, L, d = (
        c.hidden_size,
        c.text_size,
        int(c.hidden_size * c.mlp_ratio),
        c.depth,
        c.hidden_size // c.num_heads,
    )
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


def check_count_parameters(count_parameters) -> bool:
    """Notebook 06, exercise 3: the parameters of a DiT from its config."""
    configs = (
        DiTConfig(),
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
    for i, config in enumerate(configs):
        with torch.device("meta"):
            right = sum(p.numel() for p in DiT(config).parameters())
        ran, yours = _run(count_parameters, config)
        if not ran:
            return False
        if not isinstance(yours, Number):
            return say(f"count_parameters should give back a number, not {type(yours).__name__}")
        if yours != right:
            before = (
                ""
                if i == 0
                else " The configs before were right, so some number stands where a field should: "
            )
            where = f"depth {config.depth}, hidden_size {config.hidden_size}, mlp_ratio {config.mlp_ratio:g}"
            return say(
                f"count_parameters is off by {yours - right:+.6g} for {where}.{before or ' '}{_count_fault(yours - right, config)}"
            )
    return say(f"right for {len(configs)} configs", True)


def _count_fault(miss: float, c: DiTConfig) -> str:
    """Which part is missing or too much, if one alone explains the difference."""
    D, L, E = c.hidden_size, c.depth, c.text_size
    known = {  # misses that have a reason of their own
        6 * D * D * (L - 1)
        + 6
        * D
        * (L - 1): "the modulation's matrix is shared by all blocks; a block has only its table",
        6 * D * D * L
        + 6 * D * L: "the modulation's matrix is shared by all blocks; a block has only its table",
        L
        * 2
        * D
        * (
            D - E
        ): "cross-attention makes its keys and values from words, which have text_size numbers",
        L * 3 * D: "in one kind of attention, q, k and v have no bias",
        L * 6 * D: "queries, keys and values have no bias, in either kind of attention",
        L
        * 4
        * (
            D - D // c.num_heads
        ): "queries and keys are normalised head by head, so their norms have head_size numbers",
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


# -------------------------------------------------------------------------------------------------------- 4 differences alone


def _turned(q, k, positions, for_q=1, for_k=1):
    cos, sin = rotary_angles(positions, q.shape[-1])
    return rotate(q, cos, for_q * sin) @ rotate(k, cos, for_k * sin).mT


def _added(q, k, positions, direction=(1.0, 1.0, 1.0), rate=0.7):
    """Scores with something added that knows where the key is, along one direction."""
    place = (positions.double() @ torch.tensor(direction, dtype=torch.float64)).to(q.dtype)
    return _turned(q, k, positions) + 2 * torch.sin(rate * place)


ABSOLUTE = {  # scores that know places, and what a test needs to find them out
    "rotations of the queries alone": (
        (lambda q, k, p: rotate(q, *rotary_angles(p, q.shape[-1])) @ k.mT),
        "do you compare the scores before and after?",
    ),
    "keys turned the wrong way round": (
        (lambda q, k, p: _turned(q, k, p, for_k=-1)),
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
    "rotary scores, the package's own": lambda q, k, p: _turned(q, k, p),
    "scores without any positions": lambda q, k, p: q @ k.mT,
    "rotations by three times the angle": lambda q, k, p: _turned(q, k, 3 * p),
}


def check_relative(depends_on_differences) -> bool:
    """Notebook 06, exercise 4: a test that tells scores of differences from scores that know places."""
    for name, scores in RELATIVE.items():
        ran, verdict = _run(depends_on_differences, scores)
        if not ran:
            return False
        if verdict is None:
            return say("depends_on_differences should give back True or False, not None")
        if not bool(verdict):
            return say(
                f"your test turns away {name}, which depend on differences alone; is it too strict about rounding, or does it move only some tokens?"
            )
    for name, (scores, hint) in ABSOLUTE.items():
        ran, verdict = _run(depends_on_differences, scores)
        if not ran:
            return False
        if verdict is None:
            return say("depends_on_differences should give back True or False, not None")
        if bool(verdict):
            return say(f"your test lets {name} pass: {hint}")
    return say(
        f"it lets {len(RELATIVE)} kinds of relative scores pass and finds out {len(ABSOLUTE)} absolute ones",
        True,
    )
