"""CUDA graphs: launch a step as one, because its hundreds of kernels cost more to launch than to
run. On other devices steps run directly.
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

from backend.engines.chatterbox.device.memory import is_out_of_memory

log = structlog.get_logger(__name__)

_MAX_GRAPHS = 256  # least recently used dropped beyond this limit
# Runs before a shape is captured: many shapes occur once, and libraries allocate in their first
# call, which a capture must not include.
_UNCAPTURED_RUNS = 1
_PRIORITY = -1  # before voices that are being learned (`background`)
BATCH_SIZES = (1, 2, 4, 6, 8, 12, 16)

Step = Callable[..., Any]  # its result: a tensor or a tuple of tensors
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class _Captured:
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    results: tuple[Tensor, ...]
    is_tuple: bool


class GraphCache:
    """Captured steps by shape.

    A step is a function of its inputs and of tensors with fixed addresses; it must not synchronise
    with the device. Not thread-safe; other threads may use the device meanwhile.

    All graphs share one memory pool, so a replay may overwrite another graph's result: no tensor of
    the pool leaves this class.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._captured: OrderedDict[Hashable, _Captured | None] = OrderedDict()  # None: failed
        self._run_counts: dict[Hashable, int] = {}
        self._stream: torch.cuda.Stream | None = None  # shared: memory is cached per stream
        self._pool: Any = None
        self._can_capture = True

    @property
    def warm_ups(self) -> int:
        """Runs of a step until it is captured; 0 without CUDA."""
        return _UNCAPTURED_RUNS + 1 if self._device.type == "cuda" else 0

    def pad_rows(self, rows: Sequence[Row]) -> list[Row]:
        """Pad a batch to one of `BATCH_SIZES` by repeating its last row, so that graphs are reused.
        Without CUDA the rows are unchanged.
        """
        count = len(rows)
        size = next((n for n in BATCH_SIZES if n >= count), count)
        return [*rows, *[rows[-1]] * (size - count if self._device.type == "cuda" else 0)]

    def run(self, shape: Hashable, step: Step, *inputs: Tensor) -> Any:
        """The result of `step(*inputs)`, owned by the caller. `shape` identifies the graph: it must
        differ for different steps and input shapes.
        """
        if self._device.type != "cuda":
            return step(*inputs)
        if shape not in self._captured and self._should_capture(shape):
            self._captured[shape] = self._try_capture(shape, step, inputs)
            if len(self._captured) > _MAX_GRAPHS:
                self._captured.popitem(last=False)
        captured = self._captured.get(shape)
        if captured is None:
            return step(*inputs)
        self._captured.move_to_end(shape)
        for static, given in zip(captured.inputs, inputs, strict=True):
            static.copy_(given)
        captured.graph.replay()
        results = tuple(result.clone() for result in captured.results)
        return results if captured.is_tuple else results[0]

    def _should_capture(self, shape: Hashable) -> bool:
        """Count a run of this shape; returns whether to capture it."""
        self._run_counts[shape] = self._run_counts.get(shape, 0) + 1
        return self._can_capture and self._run_counts[shape] > _UNCAPTURED_RUNS

    def _try_capture(
        self, shape: Hashable, step: Step, inputs: tuple[Tensor, ...]
    ) -> _Captured | None:
        try:
            return self._capture(step, tuple(each.clone() for each in inputs))
        except RuntimeError as error:  # the step still runs, uncaptured
            # A smaller shape may fit in memory. After any other error no capture is tried again.
            self._can_capture = is_out_of_memory(error)
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            log.warning(
                "graph.not_captured", shape=str(shape), why=reason, others_go_on=self._can_capture
            )
        torch.cuda.empty_cache()  # release what the attempt allocated
        return None

    def _capture(self, step: Step, inputs: tuple[Tensor, ...]) -> _Captured:
        """Capture a step. Not with `torch.cuda.graph`: it releases all cached memory at every
        capture and stays on its stream when one fails.
        """
        if self._stream is None:
            # Replays have the priority of their capture: that of the engine's thread.
            self._stream = torch.cuda.Stream(self._device, priority=_PRIORITY)
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize(self._device)
        with torch.cuda.stream(self._stream):
            try:
                # Other threads (learning a voice) may allocate during the capture.
                graph.capture_begin(self._pool, capture_error_mode="thread_local")
                try:
                    result = step(*inputs)
                finally:
                    graph.capture_end()
            except RuntimeError:
                self._abandon_pool()
                raise
        is_tuple = isinstance(result, tuple)
        return _Captured(graph, inputs, result if is_tuple else (result,), is_tuple)

    def _abandon_pool(self) -> None:
        """Detach the allocator from the pool of a failed capture. If `capture_end` failed too
        (torch raises before finishing it), the allocator would record into the pool for ever and
        release no more memory. Existing graphs keep the pool; later ones get a new one.
        """
        with suppress(RuntimeError):  # the capture had ended: the graph releases the pool
            device = torch.cuda.current_device()
            torch._C._cuda_endAllocateToPool(device, self._pool)
            torch._C._cuda_releasePool(device, self._pool)
        self._pool = torch.cuda.graph_pool_handle()
