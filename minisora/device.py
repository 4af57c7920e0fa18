"""Where tensors live, how precise matrix products are, what is compiled, and random generators.

Device and precision are chosen from what the hardware says of itself, never by a stopwatch, so that
the same command gives the same clip on the same machine; an argument or an environment variable
fixes them. Threads are chosen in threads.py.
"""

import contextlib
import copy
import itertools
import os
import shutil
import warnings
from functools import cache
from typing import TypeVar

import torch

from minisora.inputs import Generators

Module = TypeVar("Module", bound=torch.nn.Module)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
COMPILE_FROM = {"cpu": 4.0, "cuda": 1.0}  # minutes of a training stage from which compiling pays
COMPILED_SHAPES = 64  # of the inputs of a block; by itself torch compiles no more than 8


def choose_device(name: str = "auto") -> torch.device:
    """Find the device of a name; "auto" is a CUDA GPU, else an Apple GPU, else the CPU.

    Raises:
        ValueError: a device that this machine does not have.
    """
    if name == "auto":
        if torch.cuda.is_available():
            name = "cuda"
        else:
            name = "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device={name!r} cannot be used here ({reason}); 'auto' or 'cpu' always can"
        ) from None
    return device


@cache
def has_fast_bf16(device: torch.device) -> bool:
    """Whether a device has instructions for matrix products in bfloat16.

    With AVX512-BF16 or AMX these products are two to four times as fast as in float32 on most
    processors, and slower on some; MINISORA_DTYPE=float32 is for those.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type != "cpu":
        return False
    flags = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, flag, lambda: False)() for flag in flags)


def choose_dtype(device: torch.device | str, name: str | None = None) -> torch.dtype:
    """Choose the type in which matrix products run.

    Args:
        name: "float32" or "bfloat16"; None is what the environment variable MINISORA_DTYPE says,
            and else bfloat16 where the device has instructions for it.

    Raises:
        ValueError: another name.
    """
    name = name or os.environ.get("MINISORA_DTYPE")
    if not name:
        return torch.bfloat16 if has_fast_bf16(torch.device(device)) else torch.float32
    if name not in DTYPES:
        raise ValueError(f"dtype={name!r} is not known; it is float32 or bfloat16")
    return DTYPES[name]


def fast_float32(device: torch.device | str) -> None:
    """Let float32 products run in TF32 on a GPU: fractions have 10 bits instead of 23.

    Only training calls it.
    """
    if torch.device(device).type == "cuda":
        torch.set_float32_matmul_precision("high")


def autocast(
    device: torch.device | str, dtype: torch.dtype | None = None
) -> contextlib.AbstractContextManager[None]:
    """Make a context in which matrix products run in a dtype; None is `choose_dtype`'s."""
    if dtype is None:
        dtype = choose_dtype(device)
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(torch.device(device).type, dtype)


# ---------------------------------------- compiling


@cache
def can_compile(device: str = "cpu") -> bool:
    """Whether `torch.compile` works on this machine: it is tried once, where there is a compiler.

    A CPU needs a C++ compiler on the PATH; where that is there and fails, a warning is given.
    """
    if device == "cpu" and not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
        return False
    try:
        torch.compile(torch.sin)(torch.zeros(8, device=device))
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        warnings.warn(
            f"networks are not compiled, because torch.compile fails here ({reason:.200})",
            stacklevel=2,
        )
        return False
    return True


def compiled(module: Module, wanted: bool = True) -> Module:
    """Return the module itself, or a twin with the same weights whose `blocks` are compiled.

    With its small operations fused, a training step takes half to two thirds of the time. All
    blocks run the same code, which is compiled once for every shape of its input. What is around
    them is not compiled: compiling the whole module takes more than twice as long.
    """
    if not wanted or not can_compile(next(module.parameters()).device.type):
        return module
    torch._dynamo.config.cache_size_limit = COMPILED_SHAPES
    shared = {id(x): x for x in itertools.chain(module.parameters(), module.buffers())}
    twin = copy.deepcopy(module, shared)  # other modules, the same tensors
    for name, blocks in twin.named_modules():
        if name.split(".")[-1] == "blocks":
            for block in blocks.children():
                block.compile(dynamic=False)
    return twin


# ---------------------------------------- copies to a GPU


def is_gpu(device: torch.device | str) -> bool:
    """Whether a device is a CUDA GPU.

    It works through a queue, so that the program waits whenever it reads a number from it.
    """
    return torch.device(device).type == "cuda"


def to_device(x: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """Copy a tensor from the CPU; to a GPU without waiting for what is in its queue."""
    if is_gpu(device) and x.device.type == "cpu":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)


# ---------------------------------------- randomness


def host_generator(generator: torch.Generator) -> torch.Generator:
    """Return a generator on the CPU, for draws that decide what Python does next.

    Returns:
        The generator itself where it is on the CPU; else a new one with the same seed, so that
        nothing waits for the GPU.
    """
    if generator.device.type == "cpu":
        return generator
    return torch.Generator().manual_seed(generator.initial_seed())


def copy_generators(generator: Generators) -> Generators:
    """Copy generators, to the CPU, so that draws from the copies leave the originals as they are.

    None is torch's own generator; a list gives a list.
    """
    if generator is None:
        return _copy_generator(torch.default_generator)
    if isinstance(generator, torch.Generator):
        return _copy_generator(generator)
    return [_copy_generator(own) for own in generator]


def _copy_generator(generator: torch.Generator) -> torch.Generator:
    copy = generator.clone_state()
    if copy.device.type == "cpu":
        return copy
    seed = torch.randint(2**62, (1,), generator=copy, device=copy.device)
    return torch.Generator().manual_seed(int(seed))
