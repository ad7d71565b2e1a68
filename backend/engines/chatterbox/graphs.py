"""CUDA graphs: a step that is launched as one, because its hundreds of kernels cost more to launch
than to run. On other devices the step just runs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
import torch
from torch import Tensor

from backend.engines.chatterbox.memory import ran_out

log = structlog.get_logger(__name__)

_KEPT = 256  # graphs; beyond, the one that was not used for longest goes
# A shape is captured when it has come so often: many come once, and libraries allocate at their
# first calls, which a capture must not see.
_BEFORE = 2
ROWS = (1, 2, 4, 6, 8, 12, 16)  # of a batch

Step = Callable[..., Tensor]
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class _Captured:
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    result: Tensor


class Graphs:
    """Captured steps by their shape.

    A step is a function of its inputs and of tensors that stay where they are; it must not wait for
    the device. One thread uses it; others may use the device meanwhile.

    All graphs work in one pool of memory, so a replay may write anywhere in it, also where another
    graph has left its result: no tensor of the pool leaves this class.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._captured: OrderedDict[Hashable, _Captured | None] = OrderedDict()  # None: cannot be
        self._seen: dict[Hashable, int] = {}
        self._stream: torch.cuda.Stream | None = None  # one for all: memory is kept by stream
        self._pool: Any = None
        self._captures = True

    @property
    def warm_ups(self) -> int:
        """How often a step has to run until it is captured; 0 where there are no graphs."""
        return _BEFORE + 1 if self._device.type == "cuda" else 0

    def padded(self, rows: Sequence[Row]) -> list[Row]:
        """The rows of a batch, the last repeated up to one of a few counts, so that graphs are used
        again. Where there are no graphs the rows as they are.
        """
        count = len(rows)
        size = next((n for n in ROWS if n >= count), count)
        return [*rows, *[rows[-1]] * (size - count if self._device.type == "cuda" else 0)]

    def run(self, shape: Hashable, step: Step, *inputs: Tensor) -> Tensor:
        """The result of `step(*inputs)`, the caller's own. `shape` tells apart all that must not be
        the same graph: the step itself and its inputs' shapes.
        """
        if self._device.type != "cuda":
            return step(*inputs)
        if shape not in self._captured and self._due(shape):
            self._captured[shape] = self._try(shape, step, inputs)
            if len(self._captured) > _KEPT:
                self._captured.popitem(last=False)
        captured = self._captured.get(shape)
        if captured is None:
            return step(*inputs)
        self._captured.move_to_end(shape)
        for mine, given in zip(captured.inputs, inputs, strict=True):
            mine.copy_(given)
        captured.graph.replay()
        return captured.result.clone()

    def _due(self, shape: Hashable) -> bool:
        """Whether a shape that has come once more is to be captured."""
        self._seen[shape] = self._seen.get(shape, 0) + 1
        return self._captures and self._seen[shape] > _BEFORE

    def _try(self, shape: Hashable, step: Step, inputs: tuple[Tensor, ...]) -> _Captured | None:
        try:
            return self._capture(step, tuple(each.clone() for each in inputs))
        except RuntimeError as error:  # slower, and right all the same
            # A smaller shape may have the memory that this one had not. After any other error this
            # driver or step is not trusted with a capture again.
            self._captures = ran_out(error)
            why = (str(error).splitlines() or [type(error).__name__])[0]
            log.warning(
                "graph.not_captured", shape=str(shape), why=why, others_go_on=self._captures
            )
        torch.cuda.empty_cache()  # what the attempt had taken
        return None

    def _capture(self, step: Step, inputs: tuple[Tensor, ...]) -> _Captured:
        """`torch.cuda.graph`, which gives back all cached memory at every capture, and stays on its
        stream when one fails, is not used.
        """
        if self._stream is None:
            self._stream = torch.cuda.Stream(self._device)
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize(self._device)
        with torch.cuda.stream(self._stream):
            try:
                # Other threads (a voice being learned) may allocate while this one captures.
                graph.capture_begin(self._pool, capture_error_mode="thread_local")
                try:
                    result = step(*inputs)
                finally:
                    graph.capture_end()
            except RuntimeError:
                self._leave_pool()
                raise
        return _Captured(graph, inputs, result)

    def _leave_pool(self) -> None:
        """After a capture that failed. Where its end failed too (torch raises before it is done
        with that), the allocator would record into the pool for ever, and give nothing back to the
        card any more. The graphs that are in the pool keep it; whatever follows has another.
        """
        with suppress(RuntimeError):  # it did end: then the graph itself gives the pool up
            device = torch.cuda.current_device()
            torch._C._cuda_endAllocateToPool(device, self._pool)
            torch._C._cuda_releasePool(device, self._pool)
        self._pool = torch.cuda.graph_pool_handle()
