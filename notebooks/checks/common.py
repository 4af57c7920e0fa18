"""What all checkers share."""

import torch


def say(message: str, right: bool = False) -> bool:
    """Print the verdict, and give it back."""
    print(("✓ " if right else "✗ ") + message)
    return right


def called(function, *arguments, **options):
    """What a reader's function gives back, or None after saying what it raised."""
    try:
        return function(*arguments, **options)
    except NotImplementedError:
        say(f"{function.__name__} is still to be written")
    except Exception as error:
        say(f"{function.__name__} raised {type(error).__name__}: {error}")
    return None


def same(yours, right: torch.Tensor, name: str, where: str = "", tolerance: float = 1e-9) -> bool:
    """Whether a reader's tensor has the right shape and values; says what is off and by how much where it has not."""
    where = f" for {where}" if where else ""
    if not isinstance(yours, torch.Tensor):
        return say(f"{name} should give back a tensor{where}, not {type(yours).__name__}")
    if yours.shape != right.shape:
        return say(
            f"{name} has the shape {tuple(yours.shape)}{where}; it should be {tuple(right.shape)}"
        )
    miss = float((yours.double() - right.double()).abs().max()) if right.numel() else 0.0
    if not miss <= tolerance:  # also where it is not a number
        return say(f"{name} is off by up to {miss:.3g}{where}")
    return True
