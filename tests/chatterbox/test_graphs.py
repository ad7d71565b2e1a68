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

from backend.engines.base import Chunk, Release, Utterance
from backend.engines.chatterbox import graphs as graphs_module
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


def spoken(engine: ChatterboxEngine) -> dict[str, Any]:
    """What some utterances sound like, more than there is room for."""
    texts = {f"u{n}": "Hello there, my dear friend. It goes on."[: 12 + 7 * n] for n in range(3)}
    heard: dict[str, list[Any]] = {id_: [] for id_ in texts}
    for n, (id_, text) in enumerate(texts.items()):
        engine.begin(Utterance(id_, "default", seed=n))
        engine.extend(id_, Release(text, len(text), final=True))
    waiting = list(texts)
    for _ in range(300):
        for chunk in engine.step(waiting):
            assert isinstance(chunk, Chunk)
            heard[chunk.utterance_id].append(chunk.pcm)
            if chunk.caught_up:
                waiting.remove(chunk.utterance_id)
                engine.abort(chunk.utterance_id)
        if not waiting:
            return {id_: np.concatenate(pcm) for id_, pcm in heard.items()}
    raise AssertionError("they never caught up")


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
    return flow._euler_step, (x, lengths, x, zeros(2, 80), x, times[0], times[1])


CAPTURED = pytest.mark.parametrize(
    "name",
    ["step", "encoded", "encoded in blocks", "euler step", "euler step in blocks", "vocoder"],
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


class StandIn:
    """A graph without a card: it computes at a replay only, and into the same tensor."""

    def __init__(self, step: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> None:
        self._step, self._inputs = step, inputs
        self.result = torch.zeros_like(step(*inputs))

    def replay(self) -> None:
        self.result.copy_(self._step(*self._inputs))


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Graphs on the CPU; one more entry for each that is captured."""
    captured: list[int] = []
    init = Graphs.__init__

    def on_a_card(graphs: Graphs, _: torch.device) -> None:
        init(graphs, torch.device("cuda"))

    def capture(_: Graphs, step: Any, inputs: tuple[Tensor, ...]) -> Any:
        graph: Any = StandIn(step, inputs)
        captured.append(1)
        return graphs_module._Captured(graph, inputs, graph.result)

    monkeypatch.setattr(Graphs, "__init__", on_a_card)
    monkeypatch.setattr(Graphs, "_capture", capture)
    return captured


@pytest.mark.parametrize("turbo", [False, True], ids=["standard", "turbo"])
def test_with_graphs_all_sounds_the_same_and_none_is_captured_while_somebody_listens(
    turbo: bool, captures: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.engines.chatterbox.model._POSITIONS", 512)
    monkeypatch.setattr(graphs_module, "_BEFORE", 0)  # at the first time
    chosen = ChatterboxSettings(slots=2, watermark=False)
    model = ChatterboxModel(tiny(turbo=turbo), chosen, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Graphs, "run", lambda _, shape, step, *inputs: step(*inputs))
        patched.setattr(Graphs, "padded", lambda _, rows: [*rows])
        patched.setattr(Graphs, "warm_ups", 0)
        expected = spoken(model.create_engine())
    assert not captures
    engine = model.create_engine()
    before = len(captures)
    assert before > 0
    for _ in range(2):
        for id_, pcm in spoken(engine).items():
            np.testing.assert_allclose(pcm, expected[id_], atol=1e-5)
    assert len(captures) == before


def test_a_shape_is_captured_at_the_third_time_and_the_one_unused_for_longest_goes(
    captures: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs_module, "_KEPT", 2)
    graphs = Graphs(torch.device("cpu"))

    def run(shape: str) -> int:
        x = torch.ones(2)
        assert torch.equal(graphs.run(shape, lambda given: given + 1, x), x + 1)
        return len(captures)

    assert [run("a") for _ in range(4)] == [0, 0, 1, 1]
    assert [run("b") for _ in range(3)] == [1, 1, 2]
    assert [run("a"), *(run("c") for _ in range(3))] == [2, 2, 2, 3]
    assert run("a") == 3
    assert run("b") == 4, "it had to go"


def test_what_cannot_be_captured_runs_as_it_is(
    captures: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Graphs, "_capture", refuse)
    graphs = Graphs(torch.device("cpu"))
    for n in range(5):
        assert graphs.run("x", lambda given: given * 2, torch.tensor(n)).item() == 2 * n


def test_batches_have_few_sizes(captures: list[int]) -> None:
    graphs = Graphs(torch.device("cpu"))
    assert [len(graphs.padded(range(n))) for n in (1, 3, 5, 9, 16)] == [1, 4, 6, 12, 16]
    assert graphs.padded([1, 2, 3]) == [1, 2, 3, 3]


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
