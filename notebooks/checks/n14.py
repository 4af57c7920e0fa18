"""Notebook 14, A world you can play."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch

from minisora.layers import attention
from minisora.masks import causal_mask

from .common import Function, called, same, say

# ------------------------------------------------------------------------------------- 1 the leak


def check_leaky_frames(leaky_frames: Function) -> bool:
    """Exercise 1: leaky_frames(mask (N, N), frames (N,), clean (N,), depth) → frame numbers."""
    for words, mask, frames, clean in _masks():
        for depth in (1, 2, 3):
            answer = called(leaky_frames, mask.clone(), frames.clone(), clean.clone(), depth)
            if answer is None:
                return False
            found = _numbers(answer)
            if found is None:
                got = type(answer).__name__
                return say(f"leaky_frames should give back frame numbers, not {got}")
            right = _leaks(mask, frames, clean, depth)
            if found == right:
                continue
            layers = "1 layer" if depth == 1 else f"{depth} layers"
            hint = _leak_hint(found, mask, frames, clean, depth)
            return say(f"wrong for {words}, {layers}{hint}")
    return say("right: no leak in the package's mask, and leaks of one and of two layers", True)


def _masks() -> Iterator[tuple[str, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Words, a mask, and the frames and cleanness of its tokens."""
    for T, n, context in ((3, 2, 2), (6, 1, 1), (6, 2, 3)):
        numbers = torch.cat([torch.arange(T - 1), torch.arange(1, T)]).repeat_interleave(n)
        clean = torch.arange(2 * (T - 1)).repeat_interleave(n) < T - 1
        age = numbers[:, None] - numbers
        mask = causal_mask(numbers, clean, context)
        yield f"the package's mask of {T} frames", mask, numbers, clean
        noisy = ~clean[:, None] & clean
        yield f"a mask off by one, {T} frames", mask | (noisy & (age == 0)), numbers, clean
        one = mask | (noisy & (age == 0) & (numbers[:, None] == T - 2))
        yield f"a mask with one wrong row, {T} frames", one, numbers, clean
        ahead = mask | (clean[:, None] & clean & (age == -1))
        yield f"clean frames that see the next clean one, {T} frames", ahead, numbers, clean
        later = mask | (noisy & (age == -1))
        yield f"noisy frames that see the clean frame after them, {T} frames", later, numbers, clean


def _leaks(
    mask: torch.Tensor,
    frames: torch.Tensor,
    clean: torch.Tensor,
    depth: int,
    secret: Callable[[torch.Tensor], torch.Tensor] = lambda age: age <= 0,
    noisy_only: bool = True,
) -> set[int]:
    steps = mask.double()
    reached = steps
    for _ in range(depth - 1):
        reached = reached @ steps + reached
    age = frames[:, None] - frames
    bad = (reached > 0) & clean & secret(age)
    if noisy_only:
        bad = bad & ~clean[:, None]
    return set(frames[bad.any(1)].tolist())


def _leak_hint(
    found: set[int], mask: torch.Tensor, frames: torch.Tensor, clean: torch.Tensor, depth: int
) -> str:
    wrong = {
        "this is what one layer leaks; a second layer reads what the first one brought": (
            _leaks(mask, frames, clean, 1)
        ),
        "this is what many layers would leak; only `depth` of them are there": (
            _leaks(mask, frames, clean, 20)
        ),
        "a later clean frame gives the answer away, too": (
            _leaks(mask, frames, clean, depth, lambda age: age == 0)
        ),
        "a noisy frame may see the clean frames before it; that is no leak": (
            _leaks(mask, frames, clean, depth, lambda age: age == age)
        ),
        "a clean token sees itself, and nothing is to be predicted there: look at noisy rows": (
            _leaks(mask, frames, clean, depth, noisy_only=False)
        ),
        "rows are the tokens that attend, and columns what they attend to": (
            _leaks(mask.T, frames, clean, depth)
        ),
    }
    for words, answer in wrong.items():
        if found == answer:
            return f": {words}"
    if found > set(frames.tolist()):
        return ": these are numbers of tokens; give back the numbers of their frames"
    right = _leaks(mask, frames, clean, depth)
    if not right:
        return ": nothing leaks there"
    return f": {len(right)} frames leak there, and you have {len(found)}"


def _numbers(answer: object) -> set[int] | None:
    """The numbers in a list, set, tensor or array; None where it is something else."""
    if isinstance(answer, torch.Tensor | np.ndarray):
        answer = answer.reshape(-1).tolist()
    if isinstance(answer, str | dict) or not isinstance(answer, Iterable):
        return None
    try:
        return {int(value) for value in answer}
    except (TypeError, ValueError):
        return None


# ------------------------------------------------------------------------------------ 2 the cache


def check_cache(attend: Function) -> bool:
    """Exercise 2: attend(query, key, value, kept, most) → average and (keys, values) to keep."""
    generator = torch.Generator().manual_seed(0)
    for B, heads, n, d, most in ((1, 1, 1, 4, 3), (2, 3, 2, 8, 4), (1, 2, 4, 5, 12)):
        shape = (3, 7, B, heads, n, d)
        queries, keys, values = torch.randn(shape, dtype=torch.float64, generator=generator)
        kept = None
        for step in range(7):
            now = queries[step], keys[step], values[step]
            answer = called(attend, *(x.clone() for x in now), kept, most)
            if answer is None:
                return False
            if not isinstance(answer, tuple | list) or len(answer) != 2:
                return say("attend should give back two things: the average, and what is kept")
            average, kept = answer
            where = f"call {step + 1}, {n} tokens a call, most={most}"
            begin = max(step * n - most, 0)  # the first token that is still kept
            mistakes = _cache_mistakes(queries, keys, values, step, n, most)
            right = _window(queries, keys, values, step, begin)
            if not same(average, right, "the average", where, mistakes, 1e-9):
                return False
            if not _is_kept(kept, keys, step, n, most, where):
                return False
    return say("equal to attention over the whole past, and it never grows above `most`", True)


def _row(x: torch.Tensor, step: int, begin: int) -> torch.Tensor:
    """Tokens of the calls up to `step`, from the token `begin` on: (B, heads, M, d)."""
    return torch.cat(list(x[: step + 1]), dim=2)[:, :, begin:]


def _window(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, step: int, begin: int
) -> torch.Tensor:
    return attention(queries[step], _row(keys, step, begin), _row(values, step, begin))[0]


def _cache_mistakes(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, step: int, n: int, most: int
) -> dict[str, torch.Tensor]:
    first = _row(keys, step, 0), _row(values, step, 0)
    past_k, past_v = (x[:, :, : step * n] for x in first)
    oldest = [
        torch.cat([past[:, :, :most], x[step]], dim=2)
        for past, x in ((past_k, keys), (past_v, values))
    ]
    begin = max((step + 1) * n - most, 0)
    mistakes = {
        "it does not see what was kept": attention(queries[step], keys[step], values[step])[0],
        "it sees all the past, also what is older than `most`": (
            _window(queries, keys, values, step, 0)
        ),
        "the oldest tokens are kept; keep the newest": attention(queries[step], *oldest)[0],
        "the past is cut before the query has seen it; cut what is kept for the next call": (
            _window(queries, keys, values, step, begin)
        ),
    }
    if past_k.shape[2]:
        mistakes["a token attends to itself, too: join what is new to what was kept first"] = (
            attention(queries[step], past_k[:, :, -most:], past_v[:, :, -most:])[0]
        )
    return mistakes


def _is_kept(kept: object, keys: torch.Tensor, step: int, n: int, most: int, where: str) -> bool:
    parts = kept if isinstance(kept, tuple | list) else ()
    if len(parts) != 2 or not all(isinstance(part, torch.Tensor) for part in parts):
        return say(f"what is kept should be a pair (keys, values), not {type(kept).__name__}")
    count = min((step + 1) * n, most)
    if any(part.ndim != 4 or part.shape[2] != count for part in parts):
        shapes = " and ".join(str(tuple(part.shape)) for part in parts)
        return say(f"after {where} there should be {count} tokens kept; the shapes are {shapes}")
    right = _row(keys, step, (step + 1) * n - count)
    return same(parts[0], right, "what is kept of the keys", where)


# ----------------------------------------------------------------------------------- 3 the memory


def check_memory(with_memory: Function) -> bool:
    """Exercise 3: with_memory(tiles (8, 8), covered (8, 8), columns, memory) → tiles (8, 8)."""
    for seed in range(3):
        memory: dict = {}
        other: dict[str, dict] = {}
        for step, (tiles, covered, columns) in enumerate(_walk(seed)):
            right, mistakes = _memory_cases(tiles, covered, columns, other)
            answer = called(with_memory, tiles.copy(), covered.copy(), columns, memory)
            if answer is None:
                return False
            got = torch.as_tensor(answer) if isinstance(answer, np.ndarray | list) else answer
            if not isinstance(got, torch.Tensor) or got.shape != (8, 8):
                shape = tuple(got.shape) if isinstance(got, torch.Tensor) else type(got).__name__
                return say(f"with_memory should give back tiles (8, 8), not {shape}")
            seen = torch.from_numpy(~covered)
            shown = {words: wrong[seen] for words, wrong in mistakes.items()}
            name = f"frame {step}, columns {columns[0]} to {columns[-1]}"
            if not same(got[seen], right[seen], "what nobody covers", name, shown, 0):
                return False
    return say("right: every tile stays what it was when it was first seen", True)


def _walk(seed: int) -> Iterator[tuple[np.ndarray, np.ndarray, range]]:
    """Readings of a walk away and back, by a model that forgets what left the screen."""
    rng = np.random.default_rng(seed)
    level = rng.integers(0, 8, (8, 32)).astype(np.int8)
    believed = level.copy()
    begins = (0, 0, 4, 8, 12, 12, 8, 4, 0, 0, 4, 8)
    positions = {begin: int(rng.integers(0, 7)) for begin in begins}  # where the player stands
    before = range(0, 8)
    for begin in begins:
        columns = range(begin, begin + 8)
        for column in set(columns) - set(before):
            if rng.random() < 0.7:  # it comes back as another one
                believed[:, column] = rng.integers(0, 8, 8)
        covered = np.zeros((8, 8), dtype=bool)
        row, position = int(rng.integers(0, 7)), positions[begin]
        covered[row : row + 2, position : position + 2] = True
        tiles = believed[:, begin : begin + 8].copy()
        tiles[covered] = rng.integers(0, 8, 4)  # what a reading says there is chance
        yield tiles, covered, columns
        before = columns


def _memory_cases(
    tiles: np.ndarray, covered: np.ndarray, columns: range, other: dict[str, dict]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The right tiles, and those of plausible mistakes; `other` is the memory of each of them."""
    believes_covered = "it remembers tiles that the player covered: there a reading is chance"
    by_position = (
        "it remembers positions on the screen; the same position shows other columns later"
    )
    by_column = "a column is remembered only when it was seen whole, so a covered one is lost"
    newest = "it remembers what was seen last; what came back wrong then replaces the ground truth"
    cases = {
        "": _painted(tiles, covered, columns, other.setdefault("", {})),
        believes_covered: _painted(
            tiles, np.zeros_like(covered), columns, other.setdefault(believes_covered, {})
        ),
        by_position: _painted(tiles, covered, range(8), other.setdefault(by_position, {})),
        by_column: _painted_whole(tiles, covered, columns, other.setdefault(by_column, {})),
        f"the tiles are those of the reading, and nothing is remembered (or {newest})": tiles,
    }
    tensors = {words: torch.from_numpy(case.copy()) for words, case in cases.items()}
    return tensors.pop(""), tensors


def _painted(tiles: np.ndarray, covered: np.ndarray, columns: range, memory: dict) -> np.ndarray:
    fixed = tiles.copy()
    for position, column in enumerate(columns):
        for row in np.flatnonzero(~covered[:, position]):
            fixed[row, position] = memory.setdefault((int(row), column), tiles[row, position])
    return fixed


def _painted_whole(
    tiles: np.ndarray, covered: np.ndarray, columns: range, memory: dict
) -> np.ndarray:
    fixed = tiles.copy()
    for position, column in enumerate(columns):
        if not covered[:, position].any():
            memory.setdefault(column, tiles[:, position].copy())
        fixed[:, position] = memory.get(column, fixed[:, position])
    return fixed
