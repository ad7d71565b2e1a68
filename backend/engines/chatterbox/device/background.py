"""Computing beside the engine: on a stream of low priority, and in full precision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_LOW, _HIGH = 0, -1  # CUDA's default priority, and the one that goes before it
# In inference mode the composite ones arrive whole. Upstream's encoders use linear, matmul and mm.
_MATMULS = frozenset(
    getattr(torch.ops.aten, name)
    for name in (
        *("linear", "matmul", "einsum", "scaled_dot_product_attention"),
        *("mm", "addmm", "bmm", "baddbmm", "mv", "addmv"),
    )
)


def use_priority_stream(device: torch.device) -> None:
    """From now on run what this thread computes before other threads' work. No effect on a CPU."""
    if device.type == "cuda":
        stream = _priority_stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))  # the weights are being converted
        torch.cuda.set_stream(stream)


@cache
def _priority_stream(device: torch.device) -> Any:
    """One for all engines of a process, of which there is one at a time: see below."""
    return torch.cuda.Stream(device, priority=_HIGH)


@contextmanager
def background_stream(device: torch.device) -> Iterator[None]:
    """Run the block's work on a stream of its own with low priority, so that neither waits for the
    engine's queue. No effect on a CPU.
    """
    if device.type != "cuda":
        yield
        return
    stream = _background_stream(device)
    stream.wait_stream(torch.cuda.default_stream(device))  # on which the weights were loaded
    with torch.cuda.stream(stream):
        yield
        stream.synchronize()


@cache
def _background_stream(device: torch.device) -> Any:
    """One for all: torch caches memory for each stream."""
    return torch.cuda.Stream(device, priority=_LOW)


def exact_matmuls() -> AbstractContextManager[object]:
    """A context in which this thread multiplies fp32 matrices in fp32 where the process uses TF32
    (`set_precision`).

    Torch's switch is process-wide, and reads at each launch. So it is thrown only while this thread
    launches a product, for some microseconds each: what the engine's thread launches just then is
    exact too, which costs it little; captured graphs keep what they were captured with.
    """
    low = torch.get_float32_matmul_precision() != "highest"
    return _ExactMatmuls() if low else nullcontext()


class _ExactMatmuls(TorchDispatchMode):  # type: ignore[misc]
    """Dispatch modes belong to a thread."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Called by torch for each operation of the thread."""
        if func.overloadpacket not in _MATMULS:
            return func(*args, **(kwargs or {}))
        usual = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            return func(*args, **(kwargs or {}))
        finally:
            torch.set_float32_matmul_precision(usual)
