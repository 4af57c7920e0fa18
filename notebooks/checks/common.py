"""What all checkers share: they call a reader's function, compare, and say what is wrong.

A checker knows plausible mistakes: words, and what the answer would be with that mistake.
A wrong answer that equals one of them is explained by its words. No right answer is printed.
"""

import math
from collections.abc import Callable, Mapping

import torch

Function = Callable[..., object]
Tensors = Mapping[str, torch.Tensor]
Numbers = Mapping[str, float]


def say(message: str, right: bool = False) -> bool:
    """Print what was found, and give back whether it is right."""
    mark = "✓" if right else "✗"
    print(f"{mark} {message}")
    return right


def called(function: Function, *arguments: object, **options: object) -> object | None:
    """What a reader's function returns, or None after saying why there is nothing to look at."""
    name = getattr(function, "__name__", "your function")
    try:
        answer = function(*arguments, **options)
    except NotImplementedError:
        say(f"{name} is still to be written")
        return None
    except Exception as error:
        say(f"{name} raised {type(error).__name__}: {error}")
        return None
    if answer is None:
        say(f"{name} gave nothing back; is `return` missing?")
    return answer


def is_close(answer: object, other: torch.Tensor, tolerance: float = 1e-9) -> bool:
    """Whether an answer is a tensor of this shape with these values."""
    if not isinstance(answer, torch.Tensor) or answer.shape != other.shape:
        return False
    if answer.numel() == 0:
        return True
    difference = answer.detach().double() - other.detach().double()
    return bool(difference.abs().max() <= tolerance)


def hint_for(answer: object, mistakes: Tensors, tolerance: float = 1e-9) -> str:
    """The words for the mistake that gives this answer, or nothing."""
    for words, wrong in mistakes.items():
        if is_close(answer, wrong, tolerance):
            return words
    return ""


def same(
    answer: object,
    right: torch.Tensor,
    name: str,
    where: str = "",
    mistakes: Tensors | None = None,
    tolerance: float = 1e-9,
    otherwise: str = "",
) -> bool:
    """Whether a tensor has the right shape and values; says what is wrong where it has not.

    Args:
        answer: what the reader's function returned.
        right: what it should have returned.
        name: what the answer is called.
        where: for which input.
        mistakes: words for plausible mistakes and what each of them gives, in any shape.
        tolerance: largest allowed difference; 0 for answers that are equal or wrong.
        otherwise: words for an answer that no mistake explains.
    """
    if is_close(answer, right, tolerance):
        return True
    where = f" for {where}" if where else ""
    if not isinstance(answer, torch.Tensor):
        return say(f"{name} should be a tensor{where}, not {type(answer).__name__}")
    hint = hint_for(answer, mistakes or {}, tolerance) or otherwise
    hint = f": {hint}" if hint else ""
    if answer.shape != right.shape:
        shapes = f"{tuple(answer.shape)}{where}; it should be {tuple(right.shape)}"
        return say(f"{name} has the shape {shapes}{hint}")
    if tolerance == 0:
        wrong = int((answer != right).sum())
        return say(f"{name} is wrong in {wrong} of {right.numel()} entries{where}{hint}")
    miss = float((answer.detach().double() - right.detach().double()).abs().max())
    return say(f"{name} is off by up to {miss:.3g}{where}{hint}")


def number(answer: object, name: str) -> float | None:
    """The one number that a reader's function returned, or None after saying what it returned."""
    if isinstance(answer, torch.Tensor) and answer.numel() == 1:
        return float(answer)
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        return float(answer)
    got = type(answer).__name__
    if isinstance(answer, torch.Tensor):
        got = f"a tensor of shape {tuple(answer.shape)}"
    say(f"{name} should be one number, not {got}")
    return None


def is_near(a: float, b: float) -> bool:
    """Whether two numbers are equal but for rounding; two that are not a number are."""
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)


def same_number(
    answer: float,
    right: float,
    name: str,
    where: str = "",
    mistakes: Numbers | None = None,
    otherwise: str = "",
) -> bool:
    """As `same`, for one number."""
    if is_near(answer, right):
        return True
    hint = otherwise
    for words, wrong in (mistakes or {}).items():
        if is_near(answer, wrong):
            hint = words
            break
    where = f" for {where}" if where else ""
    hint = f": {hint}" if hint else ""
    return say(f"{name} is {answer:.4g}{where}, off by {abs(answer - right):.3g}{hint}")
