"""Learning a voice beside the engine: precision and stream."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from backend.engines.chatterbox.device.background import (
    background_stream,
    exact_matmuls,
    use_priority_stream,
)
from backend.engines.chatterbox.voices.recording import compute_conditioning, read_recording
from tests.support.chatterbox.recordings import recording
from tests.support.chatterbox.tiny import on_cuda, tiny

LINEAR = torch.nn.Linear(4, 4)
PRODUCTS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": LINEAR,
    "matmul": lambda x: x @ x,
    "mm": lambda x: torch.mm(x, x),
    "bmm": lambda x: torch.bmm(x[None], x[None]),
    "einsum": lambda x: torch.einsum("ij,jk->ik", x, x),
    "scaled_dot_product_attention": lambda x: torch.nn.functional.scaled_dot_product_attention(
        x, x, x
    ),
}


class _PrecisionAtLaunch(TorchDispatchMode):  # type: ignore[misc]
    """Records the precision in force at each operation that reaches the device."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, str] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        self.seen[func.overloadpacket.__name__] = torch.get_float32_matmul_precision()
        return func(*args, **(kwargs or {}))


@pytest.fixture
def tf32() -> Iterator[None]:
    """The precision that the model sets on CUDA."""
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision("highest")


@pytest.mark.usefixtures("tf32")
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_are_exact_and_nothing_else_is_slowed_down(name: str) -> None:
    with torch.inference_mode(), _PrecisionAtLaunch() as spy, exact_matmuls():
        PRODUCTS[name](torch.ones(4, 4)).exp()
    assert spy.seen.pop("ones") == spy.seen.pop("exp") == "high"
    assert spy.seen[name] == "highest"
    assert torch.get_float32_matmul_precision() == "high"


@pytest.mark.usefixtures("tf32")
def test_other_threads_keep_their_precision() -> None:
    seen: list[str] = []

    def compute() -> None:
        with _PrecisionAtLaunch() as spy:
            torch.mm(torch.ones(2, 2), torch.ones(2, 2))
        seen.append(spy.seen["mm"])

    with exact_matmuls():
        thread = threading.Thread(target=compute)
        thread.start()
        thread.join()
    assert seen == ["high"]


@pytest.mark.usefixtures("tf32")
def test_precision_is_restored_after_a_failure() -> None:
    with pytest.raises(RuntimeError), exact_matmuls():
        torch.mm(torch.ones(2, 3), torch.ones(2, 3))
    assert torch.get_float32_matmul_precision() == "high"


def test_streams_change_nothing_on_a_cpu() -> None:
    use_priority_stream(torch.device("cpu"))
    with background_stream(torch.device("cpu")):
        assert torch.ones(1).item() == 1


@on_cuda
def test_learning_goes_behind_the_engine_on_the_card() -> None:
    device = torch.device("cuda")
    with background_stream(device):
        stream = torch.cuda.current_stream()
        assert stream != torch.cuda.default_stream()
        assert stream.priority == 0
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    priorities: list[int] = []

    def be_the_engine() -> None:
        use_priority_stream(device)
        priorities.append(torch.cuda.current_stream().priority)

    thread = threading.Thread(target=be_the_engine)
    thread.start()
    thread.join()
    assert priorities == [-1]
    assert torch.cuda.current_stream() == torch.cuda.default_stream()


@on_cuda
@pytest.mark.usefixtures("tf32")
def test_products_on_the_card_equal_those_of_full_precision() -> None:
    torch.manual_seed(0)
    x = torch.randn(512, 512, device="cuda")
    torch.set_float32_matmul_precision("highest")
    expected = x @ x
    torch.set_float32_matmul_precision("high")
    assert not torch.equal(x @ x, expected)
    with background_stream(x.device), exact_matmuls():
        assert torch.equal(x @ x, expected)


@pytest.mark.usefixtures("tf32")
def test_learning_is_exact(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = _PrecisionAtLaunch()
    samples = read_recording(recording(tmp_path / "voice.wav"))
    monkeypatch.setattr(
        "backend.engines.chatterbox.voices.recording.background_stream", lambda device: spy
    )
    compute_conditioning(tiny(turbo=False), samples)
    assert spy.seen["linear"] == "highest"
