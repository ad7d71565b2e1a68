"""Steps under CUDA graphs: the same results as without."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from backend.engines.base import Release, Utterance
from backend.engines.chatterbox import model as model_module
from backend.engines.chatterbox.decoder import SpeechTokenDecoder
from backend.engines.chatterbox.engine import ChatterboxEngine
from backend.engines.chatterbox.flow import Flow
from backend.engines.chatterbox.graphs import Graphs
from backend.engines.chatterbox.model import ChatterboxModel
from backend.engines.chatterbox.vocoder import Vocoder
from backend.settings import ChatterboxSettings
from tests.chatterbox.tiny import TinyS3Gen, on_cuda, tiny, tiny_t3


def test_elsewhere_a_step_just_runs() -> None:
    graphs = Graphs(torch.device("cpu"))
    calls: list[Tensor] = []

    def step(x: Tensor) -> Tensor:
        calls.append(x)
        return x + 1

    for n in range(5):
        assert torch.equal(graphs.run("step", step, torch.tensor([n])), torch.tensor([n + 1]))
    assert len(calls) == 5


class Held(TorchDispatchMode):  # type: ignore[misc]
    """What a graph can hold: operations of one device. Nothing waits for a value, nothing comes
    from elsewhere. (A tensor of the `meta` device has no values to wait for.)
    """

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = operation(*args, **(kwargs or {}))
        tensors = [each for each in tree_leaves((args, kwargs, result)) if isinstance(each, Tensor)]
        assert all(each.device.type == "meta" for each in tensors), operation
        return result


def spoken(engine: ChatterboxEngine) -> Any:
    text = "Hello there, my dear friend."
    engine.begin(Utterance("a", "default", seed=3))
    engine.extend("a", Release(text, len(text), final=True))
    chunks: list[Any] = []
    for _ in range(100):
        chunks += engine.step(["a"])
        if chunks and chunks[-1].caught_up:
            return np.concatenate([chunk.pcm for chunk in chunks])
    raise AssertionError("it never caught up")


def captured(
    name: str, turbo: bool, device: str
) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
    """What the engine captures under this name, and inputs for it."""

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, device=device)

    if name == "step":
        t3 = copy.deepcopy(tiny_t3(turbo=turbo)).to(torch.bfloat16).to(device)
        return SpeechTokenDecoder(t3, 4, 256)._step(2, 128), ()
    s3gen = TinyS3Gen(meanflow=turbo).eval().requires_grad_(requires_grad=False).to(device)
    if name == "vocoder":
        inputs = zeros(2, 80, 40), zeros(2, 1, 40 * 480)
        return Vocoder(s3gen.mel2wav).hift.decode, inputs
    flow, lengths = Flow(s3gen, block_causal=name.endswith("blocks")), zeros(2).long() + 90
    if name.startswith("encoded"):
        return flow._encoded, (zeros(2, 96).long(), lengths)
    x, times = zeros(2, 80, 192), flow._times
    return flow._moved, (x, lengths, x, zeros(2, 80), x, times[0], times[1])


CAPTURED = pytest.mark.parametrize(
    "name", ["step", "encoded", "encoded in blocks", "moved", "moved in blocks", "vocoder"]
)


@pytest.mark.parametrize("turbo", [False, True], ids=["standard", "turbo"])
@CAPTURED
def test_a_graph_could_hold_what_is_captured(name: str, turbo: bool) -> None:
    step, inputs = captured(name, turbo, "meta")
    with torch.inference_mode():
        step(*inputs)  # tables are made at the first call, before any capture
        with Held():
            step(*inputs)


def test_what_waits_or_comes_from_elsewhere_is_noticed() -> None:
    x = torch.zeros(2, device="meta")
    with Held(), pytest.raises(RuntimeError, match="item"):
        x.sum().item()
    with Held(), pytest.raises(AssertionError):
        torch.ones(2).to("meta")


@pytest.mark.parametrize("turbo", [False, True], ids=["standard", "turbo"])
def test_what_was_warmed_up_is_not_captured_while_somebody_listens_and_sounds_the_same(
    turbo: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = ChatterboxSettings(slots=3, watermark=False)
    model = ChatterboxModel(tiny(turbo=turbo), chosen, tmp_path)
    expected = spoken(model.create_engine())
    shapes: set[object] = set()
    run = Graphs.run

    def noted(graphs: Graphs, shape: object, step: Any, *inputs: Tensor) -> Tensor:
        shapes.add((id(graphs), shape))
        return run(graphs, shape, step, *inputs)

    monkeypatch.setattr(Graphs, "run", noted)
    monkeypatch.setattr(Graphs, "warm_ups", 1)
    monkeypatch.setattr(model_module, "_POSITIONS", 512)
    engine = model.create_engine()
    warm = len(shapes)
    assert np.array_equal(spoken(engine), expected)
    final = 4  # encoder, Euler step and vocoder for the last chunk, whose length is its own
    assert len(shapes) <= warm + final


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
        assert torch.cuda.current_stream() == torch.cuda.default_stream()


@on_cuda
@pytest.mark.parametrize("turbo", [False, True], ids=["standard", "turbo"])
@CAPTURED
def test_all_that_is_captured_can_be(name: str, turbo: bool) -> None:
    step, inputs = captured(name, turbo, "cuda")
    graphs = Graphs(torch.device("cuda"))
    with torch.inference_mode():
        expected = step(*inputs).clone()
        for _ in range(4):
            mine = graphs.run(name, step, *inputs)
    assert graphs._captured[name] is not None
    torch.testing.assert_close(mine, expected, atol=1e-3, rtol=1e-3)
