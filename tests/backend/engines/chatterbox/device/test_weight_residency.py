"""Weights off the device and back."""

from __future__ import annotations

import copy
import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backend.config import ChatterboxSettings
from backend.engines.base import Chunk, Engine, Release, UnloadableModel, Utterance
from backend.engines.chatterbox.device import weight_residency
from backend.engines.chatterbox.device.weight_residency import WeightResidency
from backend.engines.chatterbox.model import ChatterboxModel
from tests.support.chatterbox.recordings import recording
from tests.support.chatterbox.tiny import TinyS3Gen, on_cuda, tiny, tiny_t3

both = pytest.mark.parametrize("turbo", [False, True], ids=["standard", "turbo"])


class Places:
    """A stand-in for a device: `float64` weights are on it, `float32` ones on the host."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(weight_residency, "_to_host", lambda tensor: tensor.float())
        monkeypatch.setattr(WeightResidency, "_to_device", lambda _, tensor: tensor.double())

    @staticmethod
    def is_on_device(*modules: Any) -> bool:
        places = {each.dtype for module in modules for each in module.parameters()}
        assert len(places) == 1, "partly moved"
        return places == {torch.float64}


def create_modules() -> tuple[torch.nn.Module, torch.nn.Module]:
    norm = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv1d(2, 2, 3))
    return torch.nn.Sequential(norm, torch.nn.BatchNorm1d(2)).double(), torch.nn.LSTM(2, 2).double()


def test_released_weights_are_off_the_device_and_the_same_objects_return(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places, modules = Places(monkeypatch), create_modules()
    objects = [each for module in modules for each in module.parameters()]
    residency = WeightResidency(modules)
    held_bytes = residency.device_bytes
    assert held_bytes > 0
    residency.release()
    assert not places.is_on_device(*modules)
    assert residency.device_bytes == 0
    for _ in range(2):  # the second finds them there
        residency.restore()
        assert places.is_on_device(*modules)
    assert residency.device_bytes == held_bytes
    assert objects == [each for module in modules for each in module.parameters()]


def test_learning_borrows_released_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    places, modules = Places(monkeypatch), create_modules()
    residency = WeightResidency(modules)
    residency.release()
    with residency.on_device():
        assert places.is_on_device(*modules)
    assert not places.is_on_device(*modules)


def test_weights_wanted_while_they_are_borrowed_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    places, modules = Places(monkeypatch), create_modules()
    residency = WeightResidency(modules)
    residency.release()
    moves: list[bool] = []
    with residency.on_device():
        speaking = threading.Thread(target=residency.restore)
        speaking.start()
        while not residency._is_wanted:
            pass
        move = WeightResidency._move

        def count_move(*args: Any) -> None:
            moves.append(True)
            move(*args)

        monkeypatch.setattr(WeightResidency, "_move", count_move)
    speaking.join()
    assert places.is_on_device(*modules)
    assert not moves


def test_weights_do_not_leave_while_they_are_borrowed(monkeypatch: pytest.MonkeyPatch) -> None:
    places, modules = Places(monkeypatch), create_modules()
    residency = WeightResidency(modules)
    with residency.on_device():
        releasing = threading.Thread(target=residency.release)
        releasing.start()
        while residency._is_wanted:
            pass
        assert places.is_on_device(*modules)
    releasing.join()
    assert not places.is_on_device(*modules)


def test_a_release_that_fails_half_way_is_undone_by_restoring(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places, modules = Places(monkeypatch), create_modules()
    residency = WeightResidency(modules)
    to_host = weight_residency._to_host
    left = iter(range(3))

    def fail_at_third(tensor: torch.Tensor) -> torch.Tensor:
        if next(left, None) is None:
            raise MemoryError
        return to_host(tensor)

    monkeypatch.setattr(weight_residency, "_to_host", fail_at_third)
    with pytest.raises(MemoryError):
        residency.release()
    residency.restore()
    assert places.is_on_device(*modules)


def test_a_return_that_does_not_fit_leaves_nothing_on_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places, modules = Places(monkeypatch), create_modules()
    residency = WeightResidency(modules)
    residency.release()
    left = iter(range(3))

    def fail_at_third(_: WeightResidency, tensor: torch.Tensor) -> torch.Tensor:
        if next(left, None) is None:
            raise torch.OutOfMemoryError
        return tensor.double()

    with monkeypatch.context() as patched:
        patched.setattr(WeightResidency, "_to_device", fail_at_third)
        with pytest.raises(torch.OutOfMemoryError):
            residency.restore()
    assert not places.is_on_device(*modules)
    residency.restore()
    assert places.is_on_device(*modules)


# --- the model ------------------------------------------------------------------------------------


def speak(engine: Engine) -> Any:
    engine.begin(Utterance("a", "default", seed=3))
    engine.extend("a", Release("Good day.", 9, final=True))
    chunks: list[Chunk] = []
    while not (chunks and chunks[-1].caught_up):
        for each in engine.step(["a"]):
            assert isinstance(each, Chunk), each
            chunks.append(each)
    return np.concatenate([chunk.pcm for chunk in chunks])


def create_model(folder: Path, *, turbo: bool, device: str) -> tuple[Any, ChatterboxModel]:
    """A model with weights of its own."""
    upstream = copy.copy(tiny(turbo=turbo))
    upstream.t3 = tiny_t3(turbo=turbo).to(device)
    upstream.s3gen = TinyS3Gen(meanflow=turbo).eval().requires_grad_(requires_grad=False).to(device)
    upstream.ve, upstream.device = copy.deepcopy(upstream.ve).to(device), device
    return upstream, ChatterboxModel(
        upstream, ChatterboxSettings(watermark=False), folder / "voices"
    )


def test_nothing_of_a_dropped_engine_stays_after_the_release(tmp_path: Path) -> None:
    _, model = create_model(tmp_path, turbo=True, device="cpu")
    engine = model.create_engine()
    renderer = engine._parts.renderer
    parts = [engine, engine._parts.decoder, renderer.flow, renderer.vocoder]
    alive = [weakref.ref(part) for part in parts]
    del engine, renderer, parts
    model.release()
    gc.collect()
    assert [part() for part in alive if part() is not None] == []


@both
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=on_cuda)])
def test_speech_after_a_return_equals_speech_before(
    turbo: bool, device: str, tmp_path: Path
) -> None:
    upstream, model = create_model(tmp_path, turbo=turbo, device=device)
    assert isinstance(model, UnloadableModel)
    before = speak(model.create_engine())
    model.release()
    assert {each.device.type for each in upstream.t3.parameters()} == {"cpu"}
    model.learn("anna", recording(tmp_path / "anna.wav"))
    assert {each.device.type for each in upstream.t3.parameters()} == {"cpu"}
    model.restore()
    assert np.array_equal(speak(model.create_engine()), before)
