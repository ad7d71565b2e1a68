"""A stand-in for CUDA graphs that runs on the CPU."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from backend.engines.chatterbox.graphs import GraphCache, _Captured


class StandInGraph:
    """A graph on the CPU. Its result appears only on replay, always in the same tensor; a replay
    overwrites the results of the other graphs of its pool, as shared memory may.
    """

    def __init__(
        self, step: Callable[..., Tensor], inputs: tuple[Tensor, ...], pool: list[StandInGraph]
    ) -> None:
        self._step, self._inputs, self._pool = step, inputs, pool
        self._first: Tensor | None = step(*inputs)  # the first replay has the same inputs
        self.result = torch.zeros_like(self._first)
        pool.append(self)

    def replay(self) -> None:
        for graph in self._pool:
            graph.result.fill_(torch.nan if graph.result.is_floating_point() else -1)
        result = self._step(*self._inputs) if self._first is None else self._first
        self._first = None
        self.result.copy_(result)


def use_stand_in_graphs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Enable graphs on the CPU. The returned list gets an entry per captured graph."""
    captured: list[int] = []
    init, pools = GraphCache.__init__, defaultdict[GraphCache, list[StandInGraph]](list)

    def pretend_cuda(graphs: GraphCache, _: torch.device) -> None:
        init(graphs, torch.device("cuda"))

    def capture(graphs: GraphCache, step: Any, inputs: tuple[Tensor, ...]) -> Any:
        graph: Any = StandInGraph(step, inputs, pools[graphs])
        captured.append(1)
        return _Captured(graph, inputs, graph.result)

    monkeypatch.setattr(GraphCache, "__init__", pretend_cuda)
    monkeypatch.setattr(GraphCache, "_capture", capture)
    return captured
