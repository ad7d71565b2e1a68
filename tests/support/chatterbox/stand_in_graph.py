"""Graphs on a machine without a card."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from backend.engines.chatterbox.graphs import Graphs, _Captured


class StandIn:
    """A graph without a card. It computes at a replay only, and into the same tensor; what the
    others of its pool have left there is lost, as it may be where they share memory.
    """

    def __init__(
        self, step: Callable[..., Tensor], inputs: tuple[Tensor, ...], pool: list[StandIn]
    ) -> None:
        self._step, self._inputs, self._pool = step, inputs, pool
        self.result = torch.zeros_like(step(*inputs))
        pool.append(self)

    def replay(self) -> None:
        for each in self._pool:
            each.result.fill_(torch.nan if each.result.is_floating_point() else -1)
        self.result.copy_(self._step(*self._inputs))


def stand_in(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """From now on there are graphs on the CPU. The list gets an entry for each that is captured."""
    captured: list[int] = []
    init, pools = Graphs.__init__, defaultdict[Graphs, list[StandIn]](list)

    def on_a_card(graphs: Graphs, _: torch.device) -> None:
        init(graphs, torch.device("cuda"))

    def capture(graphs: Graphs, step: Any, inputs: tuple[Tensor, ...]) -> Any:
        graph: Any = StandIn(step, inputs, pools[graphs])
        captured.append(1)
        return _Captured(graph, inputs, graph.result)

    monkeypatch.setattr(Graphs, "__init__", on_a_card)
    monkeypatch.setattr(Graphs, "_capture", capture)
    return captured
