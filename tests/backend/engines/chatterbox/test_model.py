"""The Chatterbox model: voices, parameters, slots, device and precision."""

from __future__ import annotations

import copy
import gc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from backend.config import ChatterboxSettings, EngineSettings
from backend.engines.base import (
    CloningModel,
    Device,
    MeasuredModel,
    Release,
    SharingModel,
    Utterance,
)
from backend.engines.chatterbox.device import memory
from backend.engines.chatterbox.model import ChatterboxModel
from backend.engines.chatterbox.speech_tokens.sampling import Sampling
from backend.engines.chatterbox.upstream import set_precision
from backend.errors import BadMessage, ConfigError, DuplexError, UnknownVoice, Unsupported
from backend.events import Start
from backend.tts_manager import TTSManager
from tests.support.chatterbox.recordings import recording
from tests.support.chatterbox.tiny import tiny

both = pytest.mark.parametrize("turbo", [False, True], ids=["standard", "turbo"])


def create_model(voices: Path, *, turbo: bool = True, **settings: Any) -> ChatterboxModel:
    return ChatterboxModel(tiny(turbo=turbo), ChatterboxSettings(**settings), voices)


def names(model: ChatterboxModel) -> list[str]:
    return [voice.name for voice in model.voices()]


@both
def test_learned_voice_is_loaded_by_a_new_model(turbo: bool, tmp_path: Path) -> None:
    model = create_model(tmp_path / "voices", turbo=turbo)
    assert isinstance(model, CloningModel)
    assert names(model) == ["default"]
    learned = model.learn("anna", recording(tmp_path / "anna.wav"))
    assert (learned.name, learned.ready) == ("anna", True)
    again = create_model(tmp_path / "voices", turbo=turbo)
    assert names(model) == names(again) == ["default", "anna"]
    kept, fresh = again.conditioning("anna"), model.conditioning("anna")
    assert torch.equal(kept.prompt_tokens, fresh.prompt_tokens)
    assert torch.equal(kept.speaker, fresh.speaker)
    assert (model.default_voice, model.info.clones) == ("default", True)


def test_forgotten_voice_is_deleted_from_disk(tmp_path: Path) -> None:
    model = create_model(tmp_path)
    model.learn("anna", recording(tmp_path / "anna.wav"))
    model.forget("anna")
    assert names(model) == names(create_model(tmp_path)) == ["default"]
    with pytest.raises(UnknownVoice, match="default"):
        model.load_voice("anna")
    with pytest.raises(UnknownVoice):
        model.forget("anna")
    with pytest.raises(UnknownVoice):
        model.forget("../anna")


def test_an_exported_voice_is_the_same_on_another_server_and_not_on_its_disk(
    tmp_path: Path,
) -> None:
    model, other = create_model(tmp_path / "one"), create_model(tmp_path / "other")
    assert isinstance(model, SharingModel)
    model.learn("anna", recording(tmp_path / "anna.wav"))
    exported = model.export_voice("anna")
    other.import_voice("anna", exported)
    assert names(other) == ["default", "anna"]
    assert other.export_voice("anna") == exported
    assert torch.equal(other.conditioning("anna").speaker, model.conditioning("anna").speaker)
    assert names(create_model(tmp_path / "other")) == ["default"]
    other.forget("anna")
    assert names(other) == ["default"]


@pytest.mark.parametrize(
    ("name", "damage", "error"),
    [
        ("anna", 10, BadMessage),
        ("anna", 0, BadMessage),
        ("../anna", None, BadMessage),
        ("default", None, Unsupported),
    ],
)
def test_what_is_no_exported_voice_is_not_imported(
    name: str, damage: int | None, error: type[DuplexError], tmp_path: Path
) -> None:
    model = create_model(tmp_path)
    model.learn("bob", recording(tmp_path / "bob.wav"))
    with pytest.raises(error):
        model.import_voice(name, model.export_voice("bob")[:damage])
    assert names(model) == ["default", "bob"]


def test_failed_learning_leaves_no_files(tmp_path: Path) -> None:
    model, good = create_model(tmp_path / "voices"), recording(tmp_path / "good.wav")
    short = recording(tmp_path / "short.wav", 1.0)
    for name, audio, error in (
        ("anna", short, BadMessage),
        ("../anna", good, BadMessage),
        ("default", good, Unsupported),
    ):
        with pytest.raises(error):
            model.learn(name, audio)
    with pytest.raises(Unsupported):
        model.forget("default")
    assert names(model) == ["default"]
    assert not (tmp_path / "voices").exists()


def test_learning_again_replaces_the_voice(tmp_path: Path) -> None:
    model = create_model(tmp_path / "voices")
    model.learn("anna", recording(tmp_path / "a.wav", seed=1))
    before = model.conditioning("anna")
    model.learn("anna", recording(tmp_path / "b.wav", seed=3))
    assert not torch.equal(model.conditioning("anna").speaker, before.speaker)
    assert names(model) == ["default", "anna"]


def test_first_learned_voice_is_default_without_a_built_in_one(tmp_path: Path) -> None:
    upstream = tiny(turbo=True)
    upstream.conds = None
    model = ChatterboxModel(upstream, ChatterboxSettings(), tmp_path)
    assert model.voices() == ()
    with pytest.raises(UnknownVoice, match="voices add"):
        model.load_voice(model.default_voice)
    model.learn("anna", recording(tmp_path / "anna.wav"))
    assert model.default_voice == "anna"


@both
def test_unset_parameters_are_upstream_defaults(turbo: bool, tmp_path: Path) -> None:
    model = create_model(tmp_path, turbo=turbo)
    params = model.params_for(Utterance("a", "default"))
    if turbo:
        assert params.sampling == Sampling(top_p=0.95)
    else:
        assert (params.exaggeration, params.sampling) == (0.5, Sampling())
    chosen = model.params_for(Utterance("a", "default", parameters={"temperature": 0.1}))
    assert chosen.sampling.temperature == 0.1


@pytest.mark.parametrize(
    ("turbo", "fields", "error", "message"),
    [
        (False, {"exaggeration": 9.0}, BadMessage, "0.25 to 2.0"),
        (False, {"cfg_weight": -0.1}, BadMessage, "0.0 to 1.0"),
        (False, {"speed": 1.5}, Unsupported, "it has: exaggeration, cfg_weight"),
        (True, {"temperature": 0.0}, BadMessage, "0.05 to 5.0"),
        (True, {"repetition_penalty": 0.5}, BadMessage, "1.0 to 2.0"),
        (True, {"cfg_weight": 0.5}, Unsupported, "it has: top_p"),
        (True, {"min_p": 0.5}, Unsupported, "chatterbox-turbo"),
    ],
)
def test_parameters_are_validated_per_model(
    turbo: bool, fields: dict[str, float], error: type[Exception], message: str, tmp_path: Path
) -> None:
    from backend.monitoring.metrics import Metrics

    tts = TTSManager(create_model(tmp_path, turbo=turbo), EngineSettings(), Metrics(), 1)
    with pytest.raises(error, match=message):
        tts.resolve_params(Start("c", **fields))  # type: ignore[arg-type]


def test_slots_are_limited_on_cpu(tmp_path: Path) -> None:
    assert create_model(tmp_path, slots=64).create_engine()._parts.decoder.free_slots == 4
    assert create_model(tmp_path, slots=2).create_engine()._parts.decoder.free_slots == 2


@both
def test_slots_follow_from_gpu_memory(
    turbo: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = tiny(turbo=turbo)
    upstream.device = "cuda"  # only the attribute; the weights stay on the CPU
    each_bytes = memory.slot_bytes(upstream.t3, 1536)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 10 * each_bytes)
    model = ChatterboxModel(upstream, ChatterboxSettings(), tmp_path)
    assert model.create_engine()._parts.decoder.free_slots == 5
    assert model.info.max_batch == 20
    monkeypatch.setattr(memory, "free_bytes", lambda device: each_bytes)
    with pytest.raises(ConfigError, match="no memory for an utterance"):
        ChatterboxModel(upstream, ChatterboxSettings(), tmp_path)


@both
def test_memory_is_told_by_use(turbo: bool, tmp_path: Path) -> None:
    model = create_model(tmp_path, turbo=turbo, slots=2)
    assert isinstance(model, MeasuredModel)
    before = model.measure_memory()
    weights = [model._upstream.t3, model._upstream.s3gen, model._upstream.ve]
    assert before.weights_bytes == sum(
        each.nbytes for part in weights for each in (*part.parameters(), *part.buffers())
    )
    assert (before.slots_bytes, before.slots_used, before.slots_total) == (0, 0, 2)
    assert (before.graphs_bytes, before.free_bytes) == (None, None)
    engine = model.create_engine()
    cache = engine._parts.decoder._cache
    during = model.measure_memory()
    assert during.slots_bytes == pytest.approx(cache.keys.nbytes + cache.values.nbytes, rel=0.02)
    engine.begin(Utterance("a", "default"))
    engine.extend("a", Release("Good day.", 9, final=True))
    engine.step(["a"])
    assert model.measure_memory().slots_used == 1
    engine.abort("a")
    assert model.measure_memory().slots_used == 0
    model.release()
    del engine, cache
    gc.collect()
    after = model.measure_memory()
    assert (after.weights_bytes, after.slots_bytes) == (0, 0)


def test_gpu_filled_before_engine_creation_raises_with_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    model = create_model(tmp_path)
    monkeypatch.setattr("backend.engines.chatterbox.model.SpeechTokenDecoder", full)
    with pytest.raises(ConfigError, match="nvidia-smi"):
        model.create_engine()


def test_reported_device_is_that_of_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = tiny(turbo=True)
    model = ChatterboxModel(upstream, ChatterboxSettings(), tmp_path)
    assert model.device is None
    upstream.device = "cuda:1"
    function = "backend.engines.chatterbox.model.describe_device"
    monkeypatch.setattr(function, lambda device: Device(str(device), 1, 2))
    assert model.device == Device("cuda:1", 1, 2)


@pytest.mark.parametrize(
    ("device", "dtype", "expected"),
    [("cpu", torch.float32, []), ("cuda", torch.bfloat16, ["high", "no plans: True"])],
)
def test_only_cuda_language_model_uses_reduced_precision(
    device: str, dtype: torch.dtype, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(torch, "set_float32_matmul_precision", calls.append)
    monkeypatch.setattr(
        torch.backends.cuda,
        "enable_cudnn_sdp",
        lambda enabled: calls.append(f"no plans: {not enabled}"),
    )
    parts = {name: torch.nn.Linear(2, 2) for name in ("t3", "s3gen", "ve")}
    served = set_precision(SimpleNamespace(device=device, **parts))
    assert served.t3.weight.dtype == dtype
    assert served.s3gen.weight.dtype == served.ve.weight.dtype == torch.float32
    assert not any(part.weight.requires_grad for part in parts.values())
    assert calls == expected


@both
def test_bfloat16_model_speaks_and_keeps_exact_positions(
    turbo: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "set_float32_matmul_precision", lambda _: None)
    upstream = copy.copy(tiny(turbo=turbo))
    upstream.t3, upstream.device = copy.deepcopy(upstream.t3), "cuda"  # only the attribute
    set_precision(upstream).device = "cpu"
    if not turbo:
        assert upstream.t3.tfmr.rotary_emb.inv_freq.dtype == torch.float32
    engine = ChatterboxModel(upstream, ChatterboxSettings(), tmp_path).create_engine()
    assert engine._parts.decoder._cache.keys.dtype == torch.bfloat16
    engine.begin(Utterance("a", "default"))
    engine.extend("a", Release("Good day.", 9, final=True))
    chunks: list[Any] = []
    for _ in range(100):
        chunks += engine.step(["a"])
        if chunks and chunks[-1].caught_up:
            break
    pcm = np.concatenate([chunk.pcm for chunk in chunks])
    assert chunks[-1].end == 9
    assert len(pcm) > 12_000
    assert np.isfinite(pcm).all()
