"""A card that is lost: how that is noticed, and what it becomes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from backend.engines.chatterbox.memory import ran_out
from backend.errors import EngineDead

_REMEDY = (
    "only a new process can use it again. If that does not help, `nvidia-smi` and the kernel's log "
    "(`dmesg`, Xid) say more"
)


@contextmanager
def noticing_loss(device: torch.device) -> Iterator[None]:
    """An error after which the device computes nothing more, while the block runs, becomes an
    `EngineDead`: illegal accesses and faults of the hardware stay with a process until it ends.
    """
    try:
        yield
    except RuntimeError as error:  # torch's own, and those of the libraries beside it
        if ran_out(error) or not _lost(device, error):
            raise
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise EngineDead(f"the card computes no more ({why}); {_REMEDY}") from error


def _lost(device: torch.device, error: RuntimeError) -> bool:
    """CUDA answers whatever it is asked next with the error that stays; an error of one call alone
    it has forgotten. For other devices the class of the error must do.
    """
    if device.type != "cuda":
        return isinstance(error, torch.AcceleratorError)
    try:
        torch.cuda.synchronize(device)
    except RuntimeError:
        return True
    return False
