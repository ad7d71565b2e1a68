"""Detect a CUDA device that is lost, and report it as `EngineDead`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from backend.engines.chatterbox.device.memory import is_out_of_memory
from backend.errors import EngineDead

_REMEDY = (
    "restart the server: only a new process can use it again. If that does not help, see "
    "`nvidia-smi` and the kernel's log (`dmesg`, Xid)"
)


@contextmanager
def detect_device_loss(device: torch.device) -> Iterator[None]:
    """Raise `EngineDead` for an error in the block after which the device is unusable: illegal
    accesses and hardware faults persist until the process ends.
    """
    try:
        yield
    except RuntimeError as error:  # from torch or a CUDA library
        if is_out_of_memory(error) or not _is_lost(device, error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise EngineDead(f"the CUDA device has failed ({reason}); {_REMEDY}") from error


def _is_lost(device: torch.device, error: RuntimeError) -> bool:
    """CUDA repeats a persistent error on the next call; an error of a single call is cleared. On
    other devices the error's class decides.
    """
    if device.type != "cuda":
        return isinstance(error, torch.AcceleratorError)
    try:
        torch.cuda.synchronize(device)
    except RuntimeError:
        return True
    return False
