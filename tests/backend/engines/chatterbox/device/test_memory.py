"""Slots by GPU memory, and out-of-memory errors; needs no GPU."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import structlog
import torch
from structlog.testing import capture_logs

from backend.engines.base import Device
from backend.engines.chatterbox.device import memory
from backend.engines.chatterbox.device.memory import (
    compute_or_none,
    describe_device,
    explain_out_of_memory,
    slot_bytes,
    slots_for_device,
    slots_in_memory,
)
from backend.engines.chatterbox.speech_tokens.decoder import SpeechTokenDecoder
from backend.errors import ConfigError
from tests.support.chatterbox.tiny import tiny_t3

GB = 10**9
TURBO, STANDARD = 151_000_000, 377_000_000  # bytes of a slot at full size

both = pytest.mark.parametrize("turbo", [False, True], ids=["standard", "turbo"])


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_slot_bytes_equals_the_decoder_allocation(turbo: bool, dtype: torch.dtype) -> None:
    t3 = tiny_t3(turbo=turbo).to(dtype)
    cache = SpeechTokenDecoder(t3, 3, 40)._cache
    assert cache.keys.nbytes + cache.values.nbytes == 3 * slot_bytes(t3, 40)


@pytest.mark.parametrize(
    ("room_gb", "each_bytes", "slots"),
    [
        (76, STANDARD, 64),  # of a card of 80 GB
        (76, TURBO, 64),
        (21, STANDARD, 27),  # of 24 GB
        (21, TURBO, 64),
        (9, STANDARD, 11),  # of 12 GB
        (9, TURBO, 29),
        (0.4, TURBO, 1),
    ],
)
def test_slots_use_half_of_free_memory_up_to_the_requested_number(
    room_gb: float, each_bytes: int, slots: int
) -> None:
    assert slots_in_memory(int(room_gb * GB), 64, each_bytes) == slots


def test_reduced_slots_are_logged_with_reason() -> None:
    structlog.reset_defaults()
    with capture_logs() as logs:
        slots_in_memory(9 * GB, 64, TURBO)
        slots_in_memory(9 * GB, 29, TURBO)
    (line,) = logs
    assert (line["slots"], line["asked"]) == (29, 64)
    assert line["why"] == "151 MB each in half of the 9.0 GB free"


def test_no_room_for_one_slot_raises_with_remedy() -> None:
    with pytest.raises(ConfigError, match=r"0\.3 GB .*nvidia-smi.* --engine chatterbox-turbo"):
        slots_in_memory(300_000_000, 64, TURBO)


def test_slots_depend_on_free_memory_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2 * GB)
    assert slots_for_device(torch.device("cuda"), 64, GB // 5) == 5
    assert slots_for_device(torch.device("cpu"), 64, GB // 5) == 4
    assert slots_for_device(torch.device("cpu"), 2, GB // 5) == 2


def test_describe_device_reports_reserved_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    known = SimpleNamespace(name="a card", total_memory=24 * GB)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: known)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 5 * GB)
    assert describe_device(torch.device("cuda")) == Device("a card", 5 * GB, 24 * GB)
    assert describe_device(torch.device("cpu")) is None


FULL = pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        torch.OutOfMemoryError("no memory"),
        torch.AcceleratorError("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation'"),
        RuntimeError("CUDA error: out of memory"),  # not even the driver's part fits
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        ValueError("Out of memory"),
    ],
    ids=str,
)


@FULL
def test_out_of_memory_raises_config_error_with_remedy(error: Exception) -> None:
    with pytest.raises(ConfigError, match="full; end other processes"), explain_out_of_memory():
        raise error


@FULL
def test_compute_or_none_returns_none_out_of_memory(error: Exception) -> None:
    def compute() -> int:
        raise error

    assert compute_or_none(compute) is None
    assert compute_or_none(lambda: 7) == 7


def test_other_errors_pass_through() -> None:
    def compute() -> int:
        raise RuntimeError("size mismatch for weight")

    with pytest.raises(RuntimeError, match="size mismatch"), explain_out_of_memory():
        compute()
    with pytest.raises(RuntimeError, match="size mismatch"):
        compute_or_none(compute)


def test_graph_pools_are_measured_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    segments = [
        {"device": 0, "segment_pool_id": (0, 0), "total_size": 1},  # torch's own
        {"device": 0, "segment_pool_id": (1, 0), "total_size": 2},
        {"device": 0, "segment_pool_id": (2, 0), "total_size": 4},
        {"device": 1, "segment_pool_id": (2, 0), "total_size": 8},
    ]
    monkeypatch.setattr(torch.cuda, "memory_snapshot", lambda: segments)
    now_s = 100.0
    pools = memory.GraphPools(torch.device("cuda"), lambda: now_s)
    assert pools.measure() == 6
    segments.pop(1)
    now_s += 59
    assert pools.measure() == 6
    now_s += 1
    assert pools.measure() == 4
    assert memory.GraphPools(torch.device("cpu")).measure() is None
