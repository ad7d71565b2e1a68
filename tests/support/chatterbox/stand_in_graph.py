"""A stand-in for CUDA graphs that runs on the CPU."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from backend.engines.chatterbox.device.graphs import GraphCache, _Captured


class StandInGraph:
    """A graph on the CPU. Its result appears only on replay, always in the same tensor; a replay
    overwrites the results of the other graphs of its pool, as shared memory may.
    """

    def __init__(
        self, step: Callable[..., Any], inputs: tuple[Tensor, ...], pool: list[StandInGraph]
    ) -> None:
        self._step, self._inputs, self._pool = step, inputs, pool
        first = step(*inputs)
        self.is_tuple = isinstance(first, tuple)
        self._first: tuple[Tensor, ...] | None = self._to_tuple(first)  # of the first replay, too
        self.results = tuple(torch.zeros_like(each) for each in self._first)
        pool.append(self)

    def _to_tuple(self, result: Any) -> tuple[Tensor, ...]:
        return result if self.is_tuple else (result,)

    def replay(self) -> None:
        for result in (each for graph in self._pool for each in graph.results):
            result.fill_(torch.nan if result.is_floating_point() else -1)
        new = self._first or self._to_tuple(self._step(*self._inputs))
        self._first = None
        for result, value in zip(self.results, new, strict=True):
            result.copy_(value)


def use_stand_in_graphs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Enable graphs on the CPU. The returned list gets an entry per captured graph."""
    captured: list[int] = []
    init, pools = GraphCache.__init__, defaultdict[GraphCache, list[StandInGraph]](list)

    def pretend_cuda(graphs: GraphCache, _: torch.device) -> None:
        init(graphs, torch.device("cuda"))

    def capture(graphs: GraphCache, step: Any, inputs: tuple[Tensor, ...]) -> Any:
        graph: Any = StandInGraph(step, inputs, pools[graphs])
        captured.append(1)
        return _Captured(graph, inputs, graph.results, graph.is_tuple)

    monkeypatch.setattr(GraphCache, "__init__", pretend_cuda)
    monkeypatch.setattr(GraphCache, "_capture", capture)
    return captured
