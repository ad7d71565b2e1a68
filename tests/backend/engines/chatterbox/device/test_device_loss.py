"""A lost device raises `EngineDead`; an error of a single call does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from backend.config import ChatterboxSettings
from backend.engines.base import Chunk, Failure, Release, Utterance
from backend.engines.chatterbox import model as model_module
from backend.engines.chatterbox.device.device_loss import detect_device_loss
from backend.engines.chatterbox.engine import ChatterboxEngine
from backend.engines.chatterbox.model import ChatterboxModel
from backend.errors import ConfigError, EngineDead
from tests.support.chatterbox.tiny import tiny

GONE = torch.AcceleratorError(
    "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be reported "
)
FULL = torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be reported")
TEXT = "Hello there, my dear friend."


def fail(error: Exception) -> Any:
    def failing(*_: Any, **__: Any) -> Any:
        raise error

    return failing


@pytest.fixture
def chatterbox(tmp_path: Path) -> ChatterboxModel:
    settings = ChatterboxSettings(slots=2, watermark=False)
    return ChatterboxModel(tiny(turbo=True), settings, tmp_path / "voices")


# Where the device is lost during a step.
FAILING_CALLS = [
    "decoder.join",
    "decoder.advance",
    "renderer.flow.render",
    "renderer.vocoder.synthesize",
]


@pytest.mark.parametrize("where", FAILING_CALLS)
def test_lost_device_raises_engine_dead(
    chatterbox: ChatterboxModel, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = chatterbox.create_engine()
    part: Any = engine._parts
    *path, method = where.split(".")
    for name in path:
        part = getattr(part, name)
    monkeypatch.setattr(part, method, fail(GONE))
    engine.begin(Utterance("a", "default"))
    engine.extend("a", Release(TEXT, len(TEXT), final=True))
    with pytest.raises(EngineDead, match=r"illegal memory access .*new process") as raised:
        all_results(engine, "a")
    assert "\n" not in raised.value.message


def all_results(engine: ChatterboxEngine, id_: str) -> list[Chunk | Failure]:
    return [result for _ in range(50) for result in engine.step([id_])]


def test_abort_detects_a_lost_device(
    chatterbox: ChatterboxModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = chatterbox.create_engine()
    engine.begin(Utterance("a", "default"))
    engine.extend("a", Release(TEXT, len(TEXT), final=True))
    engine.step(["a"])
    monkeypatch.setattr(engine._parts.decoder, "leave", fail(GONE))
    with pytest.raises(EngineDead):
        engine.abort("a")


def test_out_of_memory_is_not_device_loss(
    chatterbox: ChatterboxModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = chatterbox.create_engine()
    engine.begin(Utterance("a", "default"))
    engine.extend("a", Release(TEXT, len(TEXT), final=True))
    with monkeypatch.context() as patched:
        patched.setattr(engine._parts.renderer.flow, "render", fail(FULL))
        (failure,) = all_results(engine, "a")
    assert isinstance(failure, Failure)
    assert "memory" in failure.error.message
    assert failure.error.code == "engine_failed"


def test_device_loss_while_learning_a_voice_or_creating_an_engine(
    chatterbox: ChatterboxModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_module, "read_recording", lambda path: None)
    monkeypatch.setattr(model_module, "compute_conditioning", fail(GONE))
    with pytest.raises(EngineDead):
        chatterbox.learn("anna", Path("anna.wav"))
    assert [voice.name for voice in chatterbox.voices()] == ["default"]
    for error, kind in ((GONE, EngineDead), (FULL, ConfigError)):
        monkeypatch.setattr(chatterbox, "_create_parts", fail(error))
        with pytest.raises(kind):
            chatterbox.create_engine()


@pytest.mark.parametrize(
    "error", [GONE, RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED")], ids=str
)
def test_error_of_a_single_call_is_not_device_loss(
    error: RuntimeError, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    with pytest.raises(RuntimeError) as raised, detect_device_loss(card):
        raise error
    assert raised.value is error
    monkeypatch.setattr(torch.cuda, "synchronize", fail(GONE))
    with pytest.raises(EngineDead), detect_device_loss(card):
        raise error


def test_other_errors_are_reraised_unchanged() -> None:
    with (
        pytest.raises(RuntimeError, match="size mismatch"),
        detect_device_loss(torch.device("cpu")),
    ):
        raise RuntimeError("size mismatch")
    with pytest.raises(KeyError), detect_device_loss(torch.device("cuda")):
        raise KeyError("a")
