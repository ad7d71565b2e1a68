"""Steps under CUDA graphs: the same results as without."""

from __future__ import annotations

import torch
from torch import Tensor

from backend.engines.chatterbox.graphs import Graphs
from tests.chatterbox.tiny import on_cuda


def test_elsewhere_a_step_just_runs() -> None:
    graphs = Graphs(torch.device("cpu"))
    calls: list[Tensor] = []

    def step(x: Tensor) -> Tensor:
        calls.append(x)
        return x + 1

    for n in range(5):
        assert torch.equal(graphs.run("step", step, torch.tensor([n])), torch.tensor([n + 1]))
    assert len(calls) == 5


@on_cuda
def test_a_shape_that_comes_again_is_replayed() -> None:
    device = torch.device("cuda")
    graphs, weight = Graphs(device), torch.randn(64, 64, device=device)
    calls: list[Tensor] = []

    def step(x: Tensor) -> Tensor:
        calls.append(x)
        return (x @ weight).relu()

    for seed in range(8):
        x = torch.full((3, 64), float(seed), device=device)
        torch.testing.assert_close(graphs.run(3, step, x), (x @ weight).relu())
    called = len(calls)
    graphs.run(3, step, torch.ones(3, 64, device=device))
    assert len(calls) == called


@on_cuda
def test_a_step_that_cannot_be_captured_runs_all_the_same() -> None:
    device = torch.device("cuda")
    graphs = Graphs(device)

    def step(x: Tensor) -> Tensor:
        return x + float(x.sum().item())

    for _ in range(5):
        x = torch.ones(2, device=device)
        torch.testing.assert_close(graphs.run("waits", step, x), x + 2)
