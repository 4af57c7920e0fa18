"""The benchmark measures every stage, says what decides a time, and leaves nothing running."""

import json
import os
import time

import pytest
import torch

from minisora.measure.speed import (
    BUSY,
    _running,
    forward_flops,
    matrix_product_rate,
    processor_name,
    step_flops,
)


def test_the_precision_is_the_one_that_was_chosen(model, monkeypatch):
    for name in ("float32", "bfloat16"):
        monkeypatch.setenv("MINISORA_DTYPE", name)
        assert model.dtype_name == name
    assert processor_name()


def test_operations_grow_with_tokens(model):
    linear, attention = (b / a for a, b in zip(forward_flops(80), forward_flops(160), strict=True))
    assert linear == pytest.approx(2) and attention == pytest.approx(4)
    once, longer = (step_flops(model.dit, tokens, 20) for tokens in (80, 160))
    assert 2 < longer / once < 4
    assert matrix_product_rate(torch.device("cpu"), repeats=1) > 0


def alive(path) -> bool:
    """Whether a program that counts into a file still counts."""
    before = path.read_text()
    time.sleep(0.3)
    return path.read_text() != before


def test_programs_run_beside_and_end_with_the_context(tmp_path):
    path = tmp_path / "count"
    source = (
        "import sys, time\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1\n"
        "    open(sys.argv[1], 'w').write(str(n))\n"
        "    time.sleep(0.01)"
    )
    with _running([source], str(path), warm_up=1.5):
        assert alive(path)
    assert not alive(path)
    ends = _running(["import sys; sys.exit(3)"], warm_up=1.5)
    with pytest.raises(RuntimeError, match="code 3"), ends:
        pass


def test_every_program_that_runs_beside_is_python():
    for name, programs in BUSY.items():
        for source in programs:
            compile(source, name, "exec")


@pytest.mark.slow
def test_the_command_measures_every_stage(model, tmp_path, run_command):
    model.save(tmp_path / "model")
    out = tmp_path / "speed.json"
    run_command("benchmark", "--quick", "--model", tmp_path / "model", "--json", out)
    result = json.loads(out.read_text())
    assert all(value > 0 for value in result.values() if isinstance(value, float))
    assert result["threads"] <= (os.cpu_count() or 1) and result["dtype"] and result["processor"]
    assert result["seconds for 4 s of video"] > 0
    peaks = [result[f"MiB at the peak of {seconds} s of video"] for seconds in (2, 4)]
    assert peaks[1] < 1.1 * peaks[0], "memory does not grow with the clip"
