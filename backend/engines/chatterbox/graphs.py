"""CUDA graphs: a step that is launched as one, because its hundreds of kernels cost more to launch
than to run. On other devices the step just runs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog
import torch
from torch import Tensor

log = structlog.get_logger(__name__)

_KEPT = 256  # graphs; beyond, the one that was not used for longest goes
_REPEATS = 2  # a shape is captured when it comes again so often: many come once
_WARM_UPS = 2  # cuBLAS and others allocate at their first calls, which a capture must not see

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
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._captured: OrderedDict[Hashable, _Captured | None] = OrderedDict()  # None: cannot be
        self._seen: dict[Hashable, int] = {}
        self._pool: object | None = None

    def padded(self, rows: Sequence[Row]) -> list[Row]:
        """The rows of a batch, the last repeated up to a power of two: few shapes, so that graphs
        are used again. Where there are no graphs the rows as they are.
        """
        count = len(rows)
        size = 1 << (count - 1).bit_length() if self._device.type == "cuda" else count
        return [*rows, *[rows[-1]] * (size - count)]

    def run(self, shape: Hashable, step: Step, *inputs: Tensor) -> Tensor:
        """The result of `step(*inputs)`, which the next run of this shape overwrites. `shape` tells
        apart all that must not be the same graph: the step itself and its inputs' shapes.
        """
        if self._device.type != "cuda":
            return step(*inputs)
        if shape not in self._captured:
            self._seen[shape] = self._seen.get(shape, 0) + 1
            if self._seen[shape] <= _REPEATS:
                return step(*inputs)
            self._captured[shape] = self._try(shape, step, inputs)
            if len(self._captured) > _KEPT:
                self._captured.popitem(last=False)
        self._captured.move_to_end(shape)
        captured = self._captured[shape]
        if captured is None:
            return step(*inputs)
        for mine, given in zip(captured.inputs, inputs, strict=True):
            mine.copy_(given)
        captured.graph.replay()
        return captured.result

    def _try(self, shape: Hashable, step: Step, inputs: tuple[Tensor, ...]) -> _Captured | None:
        try:
            return self._capture(step, tuple(each.clone() for each in inputs))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # slower, and right all the same
            log.warning("graph.not_captured", shape=str(shape), why=str(error).splitlines()[0])
            return None

    def _capture(self, step: Step, inputs: tuple[Tensor, ...]) -> _Captured:
        side = torch.cuda.Stream(self._device)
        side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                step(*inputs)
        torch.cuda.current_stream(self._device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        # Other threads (a voice being learned) may allocate while this one captures.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            result = step(*inputs)
        return _Captured(graph, inputs, result)
