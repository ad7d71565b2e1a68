"""CUDA graphs: which steps are captured, when, and whether they can be."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from backend.engines.chatterbox.device import graphs as graphs_module
from backend.engines.chatterbox.device.graphs import GraphCache
from backend.engines.chatterbox.sound.flow import Flow
from backend.engines.chatterbox.sound.vocoder import HiftVocoder
from backend.engines.chatterbox.speech_tokens.decoder import SpeechTokenDecoder
from tests.support.chatterbox.tiny import TinyS3Gen, on_cuda, tiny_t3

both = pytest.mark.parametrize("turbo", [False, True], ids=["standard", "turbo"])


def test_without_cuda_steps_run_directly() -> None:
    graphs = GraphCache(torch.device("cpu"))
    calls: list[Tensor] = []

    def step(x: Tensor) -> Tensor:
        calls.append(x)
        return x + 1

    for n in range(5):
        assert torch.equal(graphs.run("step", step, torch.tensor([n])), torch.tensor([n + 1]))
    assert len(calls) == 5


class OnlyCapturable(TorchDispatchMode):  # type: ignore[misc]
    """Allows only operations that a graph can hold: on one device, without synchronisation. (A
    tensor of the `meta` device has no values to wait for.)
    """

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = operation(*args, **(kwargs or {}))
        tensors = [each for each in tree_leaves((args, kwargs, result)) if isinstance(each, Tensor)]
        assert all(each.device.type == "meta" for each in tensors), operation
        return result


def captured(name: str, turbo: bool, device: str) -> tuple[Callable[..., Any], tuple[Tensor, ...]]:
    """The captured step of this name, and inputs for it."""

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, device=device)

    if name in ("burst", "watched burst", "text"):
        t3 = copy.deepcopy(tiny_t3(turbo=turbo)).to(torch.bfloat16).to(device)
        decoder = SpeechTokenDecoder(t3, 4, 256)
        if name == "watched burst":
            decoder._heads = [(0, 1), (1, 0), (1, 2)]
        if name != "text":
            return decoder._create_burst(2, None if decoder._by_row else 128, True), ()
        return decoder._create_reading(35, 32), (zeros(34).long(),)
    s3gen = TinyS3Gen(meanflow=turbo).eval().requires_grad_(requires_grad=False).to(device)
    if name == "vocoder":
        wave, harmonics = zeros(2, 40 * 480), zeros(2, 9, 1)
        noise = zeros(2, 9, 40 * 480)
        inputs = (zeros(2, 80, 40), wave, noise, harmonics.double(), harmonics, zeros(2).long())
        return HiftVocoder(s3gen.mel2wav)._synthesize_frames, inputs
    flow, lengths = Flow(s3gen, block_causal=name.endswith("blocks")), zeros(2).long() + 90
    x = zeros(2, 192, 80)
    return flow._compute_mels, (zeros(2, 96).long(), lengths, x, zeros(2, 80), x)


CAPTURED = pytest.mark.parametrize(
    "name", ["burst", "watched burst", "text", "flow", "flow in blocks", "vocoder"]
)


@both
@CAPTURED
def test_captured_steps_neither_synchronise_nor_change_device(name: str, turbo: bool) -> None:
    step, inputs = captured(name, turbo, "meta")
    with torch.inference_mode():
        step(*inputs)  # builds tables, as the runs before a capture do
        with OnlyCapturable():
            step(*inputs)


def test_synchronisation_and_device_changes_are_detected() -> None:
    x = torch.zeros(2, device="meta")
    with OnlyCapturable(), pytest.raises(RuntimeError, match="item"):
        x.sum().item()
    with OnlyCapturable(), pytest.raises(AssertionError):
        torch.ones(2).to("meta")


def test_results_are_not_overwritten_by_later_replays(captures: list[int]) -> None:
    graphs, results = GraphCache(torch.device("cpu")), []
    for n in range(12):
        shape = n % 2 + 1
        x = torch.full((shape,), float(n))
        results.append((n, graphs.run(shape, lambda given: given + 1, x)))
    assert len(captures) == 2
    for n, result in results:
        assert torch.equal(result, torch.full((n % 2 + 1,), n + 1.0))


def test_shape_is_captured_at_its_second_run_and_least_recently_used_evicted(
    captures: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphs_module, "_MAX_GRAPHS", 2)
    graphs = GraphCache(torch.device("cpu"))

    def run(shape: str) -> int:
        x = torch.ones(2)
        assert torch.equal(graphs.run(shape, lambda given: given + 1, x), x + 1)
        return len(captures)

    assert [run("a") for _ in range(3)] == [0, 1, 1]
    assert [run("b") for _ in range(2)] == [1, 2]
    assert [run("a"), *(run("c") for _ in range(2))] == [2, 2, 3]
    assert run("a") == 3
    assert run("b") == 4, "it was evicted"


def test_batches_are_padded_to_few_sizes(captures: list[int]) -> None:
    graphs = GraphCache(torch.device("cpu"))
    assert [len(graphs.pad_rows(range(n))) for n in (1, 3, 5, 9, 16)] == [1, 4, 6, 12, 16]
    assert graphs.pad_rows([1, 2, 3]) == [1, 2, 3, 3]


@on_cuda
def test_captured_shape_is_replayed() -> None:
    device = torch.device("cuda")
    graphs, weight = GraphCache(device), torch.randn(64, 64, device=device)
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
def test_uncapturable_step_still_runs_and_releases_memory() -> None:
    device = torch.device("cuda")
    graphs = GraphCache(device)

    def step(x: Tensor) -> Tensor:
        return x + float(x.sum().item())

    for _ in range(5):
        x = torch.ones(2, device=device)
        torch.testing.assert_close(graphs.run("waits", step, x), x + 2)
        assert torch.cuda.current_stream() == torch.cuda.default_stream()
    large = torch.zeros(1 << 28, dtype=torch.uint8, device=device)
    before = torch.cuda.memory_reserved()
    del large
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() <= before - (1 << 28)


@on_cuda
@both
@CAPTURED
def test_every_step_can_be_captured_on_cuda(name: str, turbo: bool) -> None:
    step, inputs = captured(name, turbo, "cuda")
    graphs = GraphCache(torch.device("cuda"))
    with torch.inference_mode():
        expected = tree_map(lambda each: each.clone(), step(*inputs))
        for _ in range(4):
            actual = graphs.run(name, step, *inputs)
    assert graphs._captured[name] is not None
    for one, other in zip(tree_leaves(actual), tree_leaves(expected), strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-3)
