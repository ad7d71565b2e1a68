"""Where a model's weights are: on its device or, while it is idle, in the host's memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class WeightResidency:
    """Moves modules, which stay the same objects. Thread-safe: moving waits for blocks in
    `on_device`, and they for it.
    """

    def __init__(self, modules: Sequence[Any]) -> None:
        self._modules = modules
        self.device: torch.device = next(modules[0].parameters()).device
        self._lock = threading.Lock()
        self._is_wanted = self._is_loaded = True
        tensors = [each for module in modules for each in _tensors(module)]
        self._size_bytes = sum(each.nbytes for each in tensors)

    @property
    def device_bytes(self) -> int:
        """What the weights occupy on the device now. Does not block."""
        return self._size_bytes if self._is_loaded else 0

    def release(self) -> None:
        """Move the modules to the host. Blocks (a second)."""
        self._is_wanted = False
        with self._lock:
            self._unload()

    def restore(self) -> None:
        """Move the modules to the device; at once if they are there. Blocks (a second)."""
        self._is_wanted = True
        with self._lock:
            self._load()

    @contextmanager
    def on_device(self) -> Iterator[None]:
        """Have the modules on the device during the block. Blocks while another thread does."""
        with self._lock:
            self._load()
            try:
                yield
            finally:
                if not self._is_wanted:
                    self._unload()

    def _load(self) -> None:
        if not self._is_loaded:
            try:
                self._move(self._to_device)
            except Exception:
                self._move(_to_host)  # what fitted; others may need the memory
                raise
            self._is_loaded = True

    def _unload(self) -> None:
        if self._is_loaded:
            self._is_loaded = False  # even if it fails half way: then all is moved back
            self._move(_to_host)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def _to_device(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device)

    def _move(self, move: Any) -> None:
        with torch.inference_mode(mode=False):
            for module in self._modules:
                module._apply(move)  # as `Module.to` does, but with pinned memory


def _tensors(module: Any) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _to_host(tensor: Tensor) -> Tensor:
    """A copy in pinned memory, which comes back at twice the speed; else in any memory."""
    if tensor.device.type != "cuda":
        return tensor
    try:
        host = torch.empty_like(tensor, device="cpu", pin_memory=True)
    except RuntimeError:  # the system allows no more
        host = torch.empty_like(tensor, device="cpu")
    return host.copy_(tensor)
