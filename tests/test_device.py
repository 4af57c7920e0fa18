"""Device, precision and threads are chosen by what is said of them, never by a stopwatch."""

import os
import subprocess
import sys

import pytest
import torch

from minisora import device

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def forget(monkeypatch):
    monkeypatch.delenv("MINISORA_DTYPE", raising=False)
    for choice in (device.has_fast_bf16, device.can_compile):
        choice.cache_clear()
    yield
    for choice in (device.has_fast_bf16, device.can_compile):
        choice.cache_clear()


@pytest.mark.parametrize("bf16", [True, False])
@pytest.mark.parametrize("amx", [True, False])
def test_bfloat16_follows_the_instruction_flags(monkeypatch, bf16, amx):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    expected = torch.bfloat16 if bf16 or amx else torch.float32
    with device.autocast(CPU):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == device.choose_dtype("cpu") == expected


def test_no_clock_is_asked(monkeypatch):
    def clock():
        raise AssertionError("a stopwatch decides differently on a busy machine")

    for name in ("time", "perf_counter", "monotonic", "process_time"):
        monkeypatch.setattr(f"time.{name}", clock)
    choices = []
    for _ in range(3):
        device.has_fast_bf16.cache_clear()
        choices.append(device.choose_dtype("cpu"))
    assert choices == choices[:1] * 3


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_an_argument_and_the_environment_fix_the_dtype(monkeypatch, model, tmp_path, name):
    assert device.choose_dtype("cpu", name) == device.DTYPES[name]
    other = "bfloat16" if name == "float32" else "float32"
    model.save(tmp_path / "m")
    monkeypatch.setenv("MINISORA_DTYPE", other)
    assert type(model).load(tmp_path / "m", "cpu").dtype_name == other
    assert type(model).load(tmp_path / "m", "cpu", dtype=name).dtype_name == name


def test_unknown_dtypes_say_the_way_out(monkeypatch):
    with pytest.raises(ValueError, match="float32 or bfloat16"):
        device.choose_dtype("cpu", "float8")
    monkeypatch.setenv("MINISORA_DTYPE", "half")
    with pytest.raises(ValueError, match="float32 or bfloat16"):
        device.choose_dtype("cpu")


@pytest.mark.parametrize("name", ["nowhere", "", "cuda:99", "cpu:x"])
def test_a_device_that_is_not_there(name):
    with pytest.raises(ValueError, match=r"device=.* cannot be used here .*'cpu' always can"):
        device.choose_device(name)


COMPILE_TWICE = """
import warnings
import torch
from minisora import device
network = torch.nn.ModuleDict({"blocks": torch.nn.ModuleList([torch.nn.Linear(2, 2)])})
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        print(device.compiled(network) is network)
print(sum("not compiled, because torch.compile fails here" in str(w.message) for w in caught))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="writes a shell script as a compiler")
def test_a_broken_compiler_is_told_once_and_does_without(tmp_path):
    """In a process of its own: what was compiled in this one before needs no compiler again."""
    for name in ("c++", "g++", "clang++", "cl"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    env = {key: value for key, value in os.environ.items() if key != "CXX"}
    env |= {"PATH": str(tmp_path), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", COMPILE_TWICE]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "1"]


def threads(code: str, **env: str) -> list[str]:
    """What a fresh process prints, whose environment says nothing of threads but `env`."""
    from minisora.threads import NUMBER, WAITING

    clean = {k: v for k, v in os.environ.items() if k not in (*NUMBER, *WAITING)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**clean, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


CHOOSE = """
import os, torch
{before}
from minisora.threads import choose_threads
print(choose_threads("sampling"), torch.get_num_threads())
"""


@pytest.mark.slow
def test_sampling_takes_one_thread_where_nobody_said_another_number():
    assert threads(CHOOSE.format(before="")) == ["1", "1"]
    own = CHOOSE.format(before="torch.set_num_threads(3 + (os.cpu_count() or 1))")
    expected = str(3 + (os.cpu_count() or 1))
    assert threads(own) == [expected, expected]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_a_number_in_the_environment_stays(name):
    code = "import torch; print(torch.get_num_threads())" + CHOOSE.format(before="")
    before, *after = threads(code, **{name: "2"})
    assert after == [before, before]


@pytest.mark.slow
def test_training_takes_all_threads_again():
    code = """
import torch
from minisora.threads import choose_threads
before = torch.get_num_threads()
choose_threads("sampling")
print(choose_threads("training") == before)
"""
    assert threads(code) == ["True"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "first", "expected"),
    [
        ({}, "", "PASSIVE 1000"),
        ({}, "import torch", "None None"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "", "ACTIVE None"),
        ({"GOMP_SPINCOUNT": "30000"}, "", "None 30000"),
        ({"KMP_BLOCKTIME": "1"}, "", "None None"),
    ],
)
def test_threads_wait_passively_unless_a_user_chose(env, first, expected):
    code = f"""
import os
{first}
import minisora
print(os.environ.get("OMP_WAIT_POLICY"), os.environ.get("GOMP_SPINCOUNT"))
"""
    assert threads(code, **env) == expected.split()


def test_an_unknown_use_is_refused():
    from minisora.threads import choose_threads

    with pytest.raises(ValueError, match="sampling or training"):
        choose_threads("sleeping")
