"""The GPU's memory: slots that fit, memory in use, and errors when it is full."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import structlog
import torch

from backend.engines.base import Device
from backend.errors import ConfigError

log = structlog.get_logger(__name__)

T = TypeVar("T")

# Of the memory free after loading the weights. The other half is for renders (0.15 GB for 4 s of
# speech, 0.6 GB for 20 s, up to 16 at a time), the pools of the CUDA graphs, and voices.
_FREE_SHARE = 0.5
_REMEASURE_S = 60.0
_CPU_SLOTS = 4  # one is already slower than real time; each takes 150 to 750 MB
_REMEDY = (
    "end other processes that use it (nvidia-smi lists them), or use a smaller engine: "
    "--engine chatterbox-turbo, or --engine hibari, which needs no GPU"
)


def slot_bytes(t3: Any, positions: int) -> int:
    """Memory of one slot in the decoder of this upstream `T3`: the keys and values of its rows. The
    rest is less than a thousandth of that.
    """
    config = t3.tfmr.config
    size = getattr(config, "head_dim", config.hidden_size // config.num_attention_heads)
    rows = 1 if t3.is_gpt else 2  # guidance adds an unconditional row
    cached = 2 * config.num_hidden_layers * config.num_attention_heads * size * positions
    return int(rows * cached * t3.speech_head.weight.element_size())


def slots_for_device(device: torch.device, asked: int, each_bytes: int) -> int:
    """How many slots to create on this device, at most `asked`; call after loading the weights.
    Raises `ConfigError` if not even one fits.
    """
    if device.type != "cuda":
        return min(asked, _CPU_SLOTS)
    return slots_in_memory(free_bytes(device), asked, each_bytes)


def slots_in_memory(room_bytes: int, asked: int, each_bytes: int) -> int:
    """How many slots of `each_bytes` to create in this much free memory, at most `asked`; logs if
    fewer. Raises `ConfigError` if not even one fits.
    """
    count = int(_FREE_SHARE * room_bytes / each_bytes)
    detail = f"{each_bytes / 1e6:.0f} MB each in half of the {room_bytes / 1e9:.1f} GB free"
    if not count:
        raise ConfigError(f"the GPU has no memory for an utterance ({detail}); {_REMEDY}")
    if count < asked:
        log.info("slots.fewer", slots=count, asked=asked, why=detail)
    return min(count, asked)


def free_bytes(device: torch.device) -> int:
    """Free memory of the card. Blocks briefly: releases torch's cached blocks first."""
    torch.cuda.empty_cache()
    return int(torch.cuda.mem_get_info(device)[0])


def describe_device(device: torch.device) -> Device | None:
    """The card and the memory that torch reserves on it, without the driver's part; None without
    CUDA. Does not query the device: may be called from any thread.
    """
    if device.type != "cuda":
        return None
    properties = torch.cuda.get_device_properties(device)
    return Device(properties.name, torch.cuda.memory_reserved(device), properties.total_memory)


class GraphPools:
    """The size of the pools of CUDA graphs, measured once a minute at most: torch lists every block
    for it, which takes some milliseconds of all threads.
    """

    def __init__(self, device: torch.device, clock: Callable[[], float] = time.monotonic) -> None:
        self._device = device
        self._clock = clock
        self._measured_at_s = -math.inf
        self._size_bytes: int | None = None

    def measure(self) -> int | None:
        """Their bytes; None without CUDA."""
        if self._device.type == "cuda" and self._clock() - self._measured_at_s >= _REMEASURE_S:
            self._measured_at_s = self._clock()
            self._size_bytes = sum(
                segment["total_size"]
                for segment in torch.cuda.memory_snapshot()
                if segment["device"] == (self._device.index or 0)
                and tuple(segment["segment_pool_id"]) != (0, 0)
            )
        return self._size_bytes


def measure_free(device: torch.device) -> int | None:
    """The card's free memory, without releasing what torch caches; None without CUDA."""
    return int(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else None


@contextmanager
def explain_out_of_memory() -> Iterator[None]:
    """Raise `ConfigError` with the remedy if the card's memory runs out in the block."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise ConfigError(f"the GPU's memory is full; {_REMEDY}") from error


def compute_or_none(compute: Callable[[], T]) -> T | None:
    """The result of `compute`; None if the card's memory runs out."""
    try:
        return compute()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        log.warning("memory.ran_out", why=(str(error).splitlines() or [""])[0])
    torch.cuda.empty_cache()  # after the handler: the error references what was computed
    return None


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error means that the card's memory is full: torch has a class for it, the driver
    and its libraries (cuBLAS, cuDNN, cuFFT) only a message.
    """
    message = str(error).lower()
    return (
        isinstance(error, torch.OutOfMemoryError)
        or "out of memory" in message
        or "alloc_failed" in message
    )
