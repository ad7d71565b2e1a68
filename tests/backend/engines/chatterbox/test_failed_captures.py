"""A capture that fails: the card's memory is as it was, and all runs on without graphs."""

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

from backend.engines.chatterbox.graphs import Graphs


class Card:
    """What torch's allocator knows of graphs: the pools that a capture records into now, and how
    many graphs hold each. In the order in which torch 2.13 does it: the end of a capture that went
    wrong raises before the allocator hears of it.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.recording: list[int] = []
        self.held: Counter[int] = Counter()
        self.broken = False  # a capture that went on now could not be ended
        self.captures = 0
        self._pools = itertools.count(1)
        for name, stand_in in {
            "Stream": lambda device: "a stream",
            "stream": lambda stream: nullcontext(),
            "synchronize": lambda device: None,
            "current_device": lambda: 0,
            "graph_pool_handle": lambda: next(self._pools),
            "CUDAGraph": lambda: CardGraph(self),
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


class CardGraph:
    def __init__(self, card: Card) -> None:
        self._card = card

    def capture_begin(self, pool: int, capture_error_mode: str) -> None:
        self._card.captures += 1
        self._card.recording.append(pool)
        self._card.held[pool] += 1
        self._pool = pool

    def capture_end(self) -> None:
        if self._card.broken:
            raise torch.AcceleratorError("CUDA error: operation failed due to a previous error")
        self._card.end(0, self._pool)
        weakref.finalize(self, self._card.release, 0, self._pool)

    def replay(self) -> None:
        """The result stays as it was at the capture."""


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    return Card(monkeypatch)


def repeated(graphs: Graphs, shape: str, step: Callable[[Tensor], Tensor]) -> None:
    """Often enough to be captured; right every time."""
    for _ in range(5):
        x = torch.ones(2)
        assert torch.equal(graphs.run(shape, step, x), x * 2)


def test_a_capture_that_fails_leaves_the_allocator_as_it_was_and_is_the_last(card: Card) -> None:
    graphs = Graphs(torch.device("cuda"))
    repeated(graphs, "before", lambda x: x * 2)
    assert (card.captures, dict(card.held)) == (1, {1: 1})

    def step(x: Tensor) -> Tensor:
        if card.recording:
            card.broken = True
            raise torch.AcceleratorError("CUDA error: operation not permitted while capturing")
        return x * 2

    repeated(graphs, "fails", step)
    card.broken = False
    assert card.recording == [], "else nothing is given back to the card any more"
    assert card.held == {1: 1}, "the graph that there is keeps its pool"
    repeated(graphs, "after", lambda x: x * 2)
    repeated(graphs, "before", lambda x: x * 2)
    assert card.captures == 2
    other = Graphs(torch.device("cuda"))
    repeated(other, "another part's", lambda x: x * 2)
    assert card.captures == 3


def test_a_capture_that_cannot_begin_leaves_the_allocator_as_it_was(
    card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = CardGraph.capture_begin

    def refuse(graph: CardGraph, *args: Any, **options: Any) -> None:
        begin(graph, *args, **options)
        raise torch.AcceleratorError("CUDA error: operation not permitted")

    monkeypatch.setattr(CardGraph, "capture_begin", refuse)
    repeated(Graphs(torch.device("cuda")), "x", lambda x: x * 2)
    assert (card.captures, card.recording, card.held.total()) == (1, [], 0)


def test_a_capture_without_memory_is_the_last_of_its_shape_alone(card: Card) -> None:
    graphs = Graphs(torch.device("cuda"))

    def step(x: Tensor) -> Tensor:
        if card.recording:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x * 2

    repeated(graphs, "large", step)
    assert card.recording == []
    repeated(graphs, "small", lambda x: x * 2)
    assert card.captures == 2
    assert card.held == {1: 0, 2: 1}, "a pool that its last graph gave up is not used again"
