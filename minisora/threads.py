"""How many threads work on a clip, and how they wait for each other. Imported before torch.

Threads of OpenMP spin while they wait for each other, which is quick where nothing else runs, and
slow where something does. Seconds for one clip of 20 steps on two cores (median):

|                                   | quiet | 2 Python loops | torch, 2 threads | another minisora |
| --------------------------------- | ----- | -------------- | ---------------- | ---------------- |
| two threads                       | 0.34  | 3.3            | 2.8              | 1.5              |
| two threads, GOMP_SPINCOUNT=30000 | 0.35  | 1.1            | 1.0              | 1.1              |
| two threads, waiting passively    | 0.49  | 1.0            | 1.1              | 0.44             |
| one thread                        | 0.41  | 0.70           | 0.60             | 0.57             |

Clips trained a second, on another such machine (`training_speeds`):

|                                   | quiet | 1 Python loop |
| --------------------------------- | ----- | ------------- |
| two threads                       | 50    |               |
| two threads, GOMP_SPINCOUNT=30000 | 56    | 6             |
| two threads, GOMP_SPINCOUNT=1000  | 53    | 27            |
| two threads, waiting passively    | 35    | 37            |
| one thread                        | 39    | 44            |

So sampling takes one thread, training takes all, and they spin for some microseconds before they
wait passively. (Only libgomp reads how long; other libraries do not spin.) What a user has set
stays: OMP_NUM_THREADS, MKL_NUM_THREADS, `torch.set_num_threads` (unless to torch's own number,
which looks the same from here), and the variables of WAITING.
"""

import os
import sys

# environment variables of a user: how many threads, and how they wait
NUMBER = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
_numbers: list[int] = []  # numbers of threads: torch's own first, then those chosen here


def wait_passively() -> None:
    """Let waiting threads sleep soon: before torch is loaded, and where a user chose nothing."""
    if "torch" not in sys.modules and not any(name in os.environ for name in WAITING):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # libgomp, libomp and Intel's read it
        os.environ["GOMP_SPINCOUNT"] = "1000"  # libgomp alone: goes before the policy


def choose_threads(use: str) -> int:
    """Set torch's threads for "sampling" (one) or "training" (all), or leave a user's own.

    Returns:
        How many there are now.

    Raises:
        ValueError: another use.
    """
    if use not in ("sampling", "training"):
        raise ValueError(f"use={use!r} is not known; it is sampling or training")
    import torch

    present = torch.get_num_threads()
    if not _numbers and present in _usual():
        _numbers.append(present)
    if present not in _numbers or any(name in os.environ for name in NUMBER):
        return present
    number = 1 if use == "sampling" else _numbers[0]
    _numbers.append(number)
    torch.set_num_threads(number)
    return number


def _usual() -> set[int]:
    """Numbers of threads that torch takes by itself: one a core, or half where two share one."""
    cores = {os.cpu_count() or 1}
    if hasattr(os, "sched_getaffinity"):
        cores.add(len(os.sched_getaffinity(0)))
    return cores | {max(number // 2, 1) for number in cores}


wait_passively()
