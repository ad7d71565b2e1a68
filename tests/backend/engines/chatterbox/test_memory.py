"""Slots by the card's memory, told in numbers: no card is needed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import structlog
import torch
from structlog.testing import capture_logs

from backend.engines.base import Device
from backend.engines.chatterbox import memory
from backend.engines.chatterbox.decoder import SpeechTokenDecoder
from backend.engines.chatterbox.memory import (
    device_at,
    fits,
    saying_what_to_do,
    slot_bytes,
    slots_in,
    slots_on,
)
from backend.errors import ConfigError
from tests.support.chatterbox.tiny import tiny_t3

GB = 10**9
TURBO, STANDARD = 151_000_000, 377_000_000  # bytes of a slot at full size

both = pytest.mark.parametrize("turbo", [False, True], ids=["standard", "turbo"])


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_slot_takes_what_the_decoder_allocates_for_it(turbo: bool, dtype: torch.dtype) -> None:
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
def test_slots_have_half_of_what_is_free_and_are_never_more_than_asked_for(
    room_gb: float, each_bytes: int, slots: int
) -> None:
    assert slots_in(int(room_gb * GB), 64, each_bytes) == slots


def test_the_log_says_how_many_and_why_when_they_are_fewer() -> None:
    structlog.reset_defaults()
    with capture_logs() as logs:
        slots_in(9 * GB, 64, TURBO)
        slots_in(9 * GB, 29, TURBO)
    (line,) = logs
    assert (line["slots"], line["asked"]) == (29, 64)
    assert line["why"] == "151 MB each in half of the 9.0 GB that are free"


def test_a_card_without_room_for_one_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"0\.3 GB .*nvidia-smi.* --engine chatterbox-turbo"):
        slots_in(300_000_000, 64, TURBO)


def test_on_a_card_what_is_free_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2 * GB)
    assert slots_on(torch.device("cuda"), 64, GB // 5) == 5
    assert slots_on(torch.device("cpu"), 64, GB // 5) == 4
    assert slots_on(torch.device("cpu"), 2, GB // 5) == 2


def test_a_card_tells_what_torch_has_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    known = SimpleNamespace(name="a card", total_memory=24 * GB)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: known)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 5 * GB)
    assert device_at(torch.device("cuda")) == Device("a card", 5 * GB, 24 * GB)
    assert device_at(torch.device("cpu")) is None


FULL = pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        torch.OutOfMemoryError("no memory"),
        torch.AcceleratorError("CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation'"),
        RuntimeError("CUDA error: out of memory"),  # when not even the driver's part fits
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        ValueError("Out of memory"),
    ],
    ids=str,
)


@FULL
def test_a_full_card_says_what_to_do(error: Exception) -> None:
    with pytest.raises(ConfigError, match="full; end what else uses it"), saying_what_to_do():
        raise error


@FULL
def test_what_does_not_fit_is_none(error: Exception) -> None:
    def compute() -> int:
        raise error

    assert fits(compute) is None
    assert fits(lambda: 7) == 7


def test_what_is_no_lack_of_memory_stays_what_it_is() -> None:
    def compute() -> int:
        raise RuntimeError("size mismatch for weight")

    with pytest.raises(RuntimeError, match="size mismatch"), saying_what_to_do():
        compute()
    with pytest.raises(RuntimeError, match="size mismatch"):
        fits(compute)
