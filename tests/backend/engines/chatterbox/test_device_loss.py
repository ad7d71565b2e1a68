"""A card that is lost is noticed; one that only refused a call is not given up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from backend.config import ChatterboxSettings
from backend.engines.base import Chunk, Failure, Release, Utterance
from backend.engines.chatterbox import model as model_module
from backend.engines.chatterbox.device_loss import noticing_loss
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
def made(tmp_path: Path) -> ChatterboxModel:
    settings = ChatterboxSettings(slots=2, watermark=False)
    return ChatterboxModel(tiny(turbo=True), settings, tmp_path / "voices")


# Where the step of one utterance is when the card goes.
WHERE = ["decoder.join", "decoder.advance", "renderer.flow.render", "renderer.vocoder.speak"]


@pytest.mark.parametrize("where", WHERE)
def test_a_card_that_is_lost_is_a_dead_engine(
    made: ChatterboxModel, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = made.create_engine()
    part: Any = engine._parts
    *path, method = where.split(".")
    for name in path:
        part = getattr(part, name)
    monkeypatch.setattr(part, method, fail(GONE))
    engine.begin(Utterance("a", "default"))
    engine.extend("a", Release(TEXT, len(TEXT), final=True))
    with pytest.raises(EngineDead, match=r"illegal memory access .*new process") as told:
        all_results(engine, "a")
    assert "\n" not in told.value.message


def all_results(engine: ChatterboxEngine, id_: str) -> list[Chunk | Failure]:
    return [result for _ in range(50) for result in engine.step([id_])]


def test_an_utterance_that_is_left_notices_it_too(
    made: ChatterboxModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = made.create_engine()
    engine.begin(Utterance("a", "default"))
    engine.extend("a", Release(TEXT, len(TEXT), final=True))
    engine.step(["a"])
    monkeypatch.setattr(engine._parts.decoder, "leave", fail(GONE))
    with pytest.raises(EngineDead):
        engine.abort("a")


def test_a_full_card_is_not_a_lost_one(
    made: ChatterboxModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = made.create_engine()
    engine.begin(Utterance("a", "default"))
    engine.extend("a", Release(TEXT, len(TEXT), final=True))
    with monkeypatch.context() as patched:
        patched.setattr(engine._parts.renderer.flow, "render", fail(FULL))
        (failure,) = all_results(engine, "a")
    assert isinstance(failure, Failure)
    assert "memory" in failure.error.message
    assert failure.error.code == "engine_failed"


def test_a_card_that_is_lost_while_an_engine_or_a_voice_is_made(
    made: ChatterboxModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_module, "read_recording", lambda path: None)
    monkeypatch.setattr(model_module, "condition", fail(GONE))
    with pytest.raises(EngineDead):
        made.learn("anna", Path("anna.wav"))
    assert [voice.name for voice in made.voices()] == ["default"]
    for error, kind in ((GONE, EngineDead), (FULL, ConfigError)):
        monkeypatch.setattr(made, "_parts", fail(error))
        with pytest.raises(kind):
            made.create_engine()


@pytest.mark.parametrize(
    "error", [GONE, RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED")], ids=str
)
def test_a_card_that_answers_again_has_refused_one_call_only(
    error: RuntimeError, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    with pytest.raises(RuntimeError) as raised, noticing_loss(card):
        raise error
    assert raised.value is error
    monkeypatch.setattr(torch.cuda, "synchronize", fail(GONE))
    with pytest.raises(EngineDead), noticing_loss(card):
        raise error


def test_a_bug_stays_a_bug() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"), noticing_loss(torch.device("cpu")):
        raise RuntimeError("size mismatch")
    with pytest.raises(KeyError), noticing_loss(torch.device("cuda")):
        raise KeyError("a")
