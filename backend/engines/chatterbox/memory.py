"""The card's memory: how many utterances have room, what is taken, what a full one says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import structlog
import torch

from backend.engines.base import Device
from backend.errors import ConfigError

log = structlog.get_logger(__name__)

T = TypeVar("T")

# Of what is free once the weights are loaded. The other half is for what grows with the listeners,
# too: renders (0.15 GB for 4 s of speech, 0.6 GB for 20 s, and up to 16 at a time), the CUDA graphs
# that keep what they worked in, and voices.
_SHARE = 0.5
_CPU_SLOTS = 4  # slower than real time with one already; each takes 150 to 750 MB
_REMEDY = (
    "end what else uses it (nvidia-smi lists that), or take a smaller engine: "
    "--engine chatterbox-turbo, or --engine hibari, which needs no card"
)


def slot_bytes(t3: Any, positions: int) -> int:
    """What one utterance takes in the decoder of this upstream `T3`: the keys and values of its
    rows. What else it has there is less than a thousandth of that.
    """
    config = t3.tfmr.config
    size = getattr(config, "head_dim", config.hidden_size // config.num_attention_heads)
    rows = 1 if t3.is_gpt else 2  # guidance has an unconditional one
    cached = 2 * config.num_hidden_layers * config.num_attention_heads * size * positions
    return int(rows * cached * t3.speech_head.weight.element_size())


def slots_on(device: torch.device, asked: int, each_bytes: int) -> int:
    """How many utterances to advance at a time on this device, its weights being loaded: at most
    those asked for. Raises `ConfigError` when the card has no room for one.
    """
    if device.type != "cuda":
        return min(asked, _CPU_SLOTS)
    return slots_in(free_bytes(device), asked, each_bytes)


def slots_in(room_bytes: int, asked: int, each_bytes: int) -> int:
    """How many slots of `each_bytes` to make in so much free memory, `asked` at most. The log says
    when it is fewer. Raises `ConfigError` when not even one fits.
    """
    count = int(_SHARE * room_bytes / each_bytes)
    told = f"{each_bytes / 1e6:.0f} MB each in half of the {room_bytes / 1e9:.1f} GB that are free"
    if not count:
        raise ConfigError(f"the card has no room for an utterance ({told}); {_REMEDY}")
    if count < asked:
        log.info("slots.fewer", slots=count, asked=asked, why=told)
    return min(count, asked)


def free_bytes(device: torch.device) -> int:
    """What is free on the card, for this process and others. Blocks shortly: what loading has left
    in torch's hands is given back first.
    """
    torch.cuda.empty_cache()
    return int(torch.cuda.mem_get_info(device)[0])


def device_at(device: torch.device) -> Device | None:
    """The card, and what torch has taken of it for this process: all but the driver's own part.
    Does not ask the device, so it may be called from any thread.
    """
    if device.type != "cuda":
        return None
    known = torch.cuda.get_device_properties(device)
    return Device(known.name, torch.cuda.memory_reserved(device), known.total_memory)


@contextmanager
def saying_what_to_do() -> Iterator[None]:
    """A card that is full while the block runs becomes a `ConfigError` with the remedy."""
    try:
        yield
    except Exception as error:
        if not ran_out(error):
            raise
        raise ConfigError(f"the card's memory is full; {_REMEDY}") from error


def fits(compute: Callable[[], T]) -> T | None:
    """What is computed; None when the card's memory runs out."""
    try:
        return compute()
    except Exception as error:
        if not ran_out(error):
            raise
        log.warning("memory.ran_out", why=(str(error).splitlines() or [""])[0])
    torch.cuda.empty_cache()  # now that the error is gone, which holds what was computed
    return None


def ran_out(error: Exception) -> bool:
    """Whether an error says that the card's memory is full: torch has a class for it, its driver
    and the libraries beside it (cuBLAS, cuDNN, cuFFT) have words.
    """
    words = str(error).lower()
    return (
        isinstance(error, torch.OutOfMemoryError)
        or "out of memory" in words
        or "alloc_failed" in words
    )
