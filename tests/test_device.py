import pytest
import torch

from minisora import device

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def forget():
    device.has_fast_bf16.cache_clear()
    yield
    device.has_fast_bf16.cache_clear()


@pytest.mark.parametrize(
    ("listed", "bf16", "float32", "fast"),
    [(True, 1.0, 4.0, True), (True, 2.0, 1.0, False), (False, 1.0, 4.0, False)],
)
def test_bfloat16_is_used_where_it_is_faster_not_where_it_is_listed(
    monkeypatch, listed, bf16, float32, fast
):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: listed)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(
        device, "_seconds", lambda kind: bf16 if kind == torch.bfloat16 else float32
    )
    assert device.has_fast_bf16(CPU) is fast
    with device.autocast(CPU):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if fast else torch.float32)


def test_a_product_takes_time():
    assert 0 < device._seconds(torch.float32, 64) < 1


def test_a_device_that_is_not_there():
    with pytest.raises(
        ValueError, match=r"device='nowhere' cannot be used here .*'cpu' always can"
    ):
        device.choose_device("nowhere")
