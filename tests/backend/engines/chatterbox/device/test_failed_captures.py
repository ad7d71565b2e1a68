"""A failed capture releases the memory, and steps run without graphs."""

from __future__ import annotations

import itertools
import weakref
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from backend.engines.chatterbox.device.graphs import GraphCache


class FakeAllocator:
    """Torch's allocator as of torch 2.13: the pools that captures record into, and how many graphs
    hold each. Ending a broken capture raises before the allocator is notified.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.recording: list[int] = []
        self.held: Counter[int] = Counter()
        self.broken = False  # whether ending a capture raises
        self.captures = 0
        self._pools = itertools.count(1)
        for name, stand_in in {
            "Stream": lambda device, priority: "a stream",
            "stream": lambda stream: nullcontext(),
            "synchronize": lambda device: None,
            "current_device": lambda: 0,
            "graph_pool_handle": lambda: next(self._pools),
            "CUDAGraph": lambda: FakeGraph(self),
        }.items():
            monkeypatch.setattr(torch.cuda, name, stand_in)
        monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", self.end)
        monkeypatch.setattr(torch._C, "_cuda_releasePool", self.release)

    def end(self, device: int, pool: int) -> None:
        if pool not in self.recording:
            raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
        self.recording.remove(pool)

    def release(self, device: int, pool: int) -> None:
        self.held[pool] -= 1
        assert self.held[pool] >= 0


class FakeGraph:
    def __init__(self, allocator: FakeAllocator) -> None:
        self._allocator = allocator

    def capture_begin(self, pool: int, capture_error_mode: str) -> None:
        self._allocator.captures += 1
        self._allocator.recording.append(pool)
        self._allocator.held[pool] += 1
        self._pool = pool

    def capture_end(self) -> None:
        if self._allocator.broken:
            raise torch.AcceleratorError("CUDA error: operation failed due to a previous error")
        self._allocator.end(0, self._pool)
        weakref.finalize(self, self._allocator.release, 0, self._pool)

    def replay(self) -> None:
        """Leave the result as captured."""


@pytest.fixture
def allocator(monkeypatch: pytest.MonkeyPatch) -> FakeAllocator:
    return FakeAllocator(monkeypatch)


def run_repeatedly(graphs: GraphCache, shape: str, step: Callable[[Tensor], Tensor]) -> None:
    """Run a step often enough to be captured, and check every result."""
    for _ in range(5):
        x = torch.ones(2)
        assert torch.equal(graphs.run(shape, step, x), x * 2)


def test_failed_capture_restores_the_allocator_and_disables_captures(
    allocator: FakeAllocator,
) -> None:
    graphs = GraphCache(torch.device("cuda"))
    run_repeatedly(graphs, "before", lambda x: x * 2)
    assert (allocator.captures, dict(allocator.held)) == (1, {1: 1})

    def step(x: Tensor) -> Tensor:
        if allocator.recording:
            allocator.broken = True
            raise torch.AcceleratorError("CUDA error: operation not permitted while capturing")
        return x * 2

    run_repeatedly(graphs, "fails", step)
    allocator.broken = False
    assert allocator.recording == [], "otherwise no more memory is released"
    assert allocator.held == {1: 1}, "the existing graph keeps its pool"
    run_repeatedly(graphs, "after", lambda x: x * 2)
    run_repeatedly(graphs, "before", lambda x: x * 2)
    assert allocator.captures == 2
    other = GraphCache(torch.device("cuda"))
    run_repeatedly(other, "another part's", lambda x: x * 2)
    assert allocator.captures == 3


def test_capture_that_cannot_begin_restores_the_allocator(
    allocator: FakeAllocator, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = FakeGraph.capture_begin

    def refuse(graph: FakeGraph, *args: Any, **options: Any) -> None:
        begin(graph, *args, **options)
        raise torch.AcceleratorError("CUDA error: operation not permitted")

    monkeypatch.setattr(FakeGraph, "capture_begin", refuse)
    run_repeatedly(GraphCache(torch.device("cuda")), "x", lambda x: x * 2)
    assert (allocator.captures, allocator.recording, allocator.held.total()) == (1, [], 0)


def test_capture_out_of_memory_disables_only_its_shape(allocator: FakeAllocator) -> None:
    graphs = GraphCache(torch.device("cuda"))

    def step(x: Tensor) -> Tensor:
        if allocator.recording:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x * 2

    run_repeatedly(graphs, "large", step)
    assert allocator.recording == []
    run_repeatedly(graphs, "small", lambda x: x * 2)
    assert allocator.captures == 2
    assert allocator.held == {1: 0, 2: 1}, "a released pool is not reused"
