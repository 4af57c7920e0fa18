"""Where tensors live and how precise products are, chosen by one argument and by what the hardware does."""

import contextlib
import copy
import shutil
import time
from functools import cache

import torch


def choose_device(name: str = "auto") -> torch.device:
    """ "auto" takes a GPU, then an Apple device, then the CPU; any name that torch knows is taken as it is.

    Raises:
        ValueError: a device that this machine does not have.
    """
    if name == "auto":
        name = (
            "cuda"
            if torch.cuda.is_available()
            else "mps"
            if torch.backends.mps.is_available()
            else "cpu"
        )
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device={name!r} cannot be used here ({str(error).splitlines()[0]}); 'auto' or 'cpu' always can"
        ) from None
    return device


@cache
def has_fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 products are the faster ones. A processor that has the instructions is tried: they are two to four times as fast as float32
    on some, and half as fast on others."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type == "cpu":
        checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        return any(getattr(torch.cpu, check, lambda: False)() for check in checks) and _seconds(
            torch.bfloat16
        ) < 0.8 * _seconds(torch.float32)
    return False


def _seconds(dtype: torch.dtype, size: int = 512) -> float:
    """The shortest of several times that one square matrix product takes on the CPU."""
    a, times = torch.ones(size, size, dtype=dtype), []
    for _ in range(10):
        began = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - began)
    return min(times)


def autocast(device: torch.device | str):
    """A context in which matrix products run in bfloat16 where `has_fast_bf16`, in float32 elsewhere."""
    device = torch.device(device)
    return (
        torch.autocast(device.type, torch.bfloat16)
        if has_fast_bf16(device)
        else contextlib.nullcontext()
    )


def can_compile() -> bool:
    """Whether this machine has the C++ compiler that `torch.compile` needs on a CPU."""
    return any(shutil.which(name) for name in ("c++", "g++", "clang++", "cl"))


def compiled(module: torch.nn.Module, wanted: bool) -> torch.nn.Module:
    """The module itself, or a twin on the same weights whose `blocks` are machine code with their small operations fused: a training step takes half
    to two thirds of the time. Blocks are the same code over and over, which is translated once, for every shape of its input."""
    if not wanted:
        return module
    twin, fast = (
        copy.copy(module),
        lambda blocks: torch.nn.ModuleList(torch.compile(block, dynamic=False) for block in blocks),
    )
    twin._modules = {
        name: fast(child) if name == "blocks" else compiled(child, True)
        for name, child in module._modules.items()
    }
    return twin
