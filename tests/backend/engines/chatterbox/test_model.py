"""The model: voices, parameters, what it tells of itself."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from backend.config import ChatterboxSettings, EngineSettings
from backend.engines.base import CloningModel, Device, Release, Utterance
from backend.engines.chatterbox import memory
from backend.engines.chatterbox.model import ChatterboxModel, as_served
from backend.engines.chatterbox.sampling import Sampling
from backend.errors import BadMessage, ConfigError, UnknownVoice, Unsupported
from backend.events import Start
from backend.tts_manager import TTSManager
from tests.backend.engines.chatterbox.recordings import recording
from tests.backend.engines.chatterbox.tiny import tiny

both = pytest.mark.parametrize("turbo", [False, True], ids=["standard", "turbo"])


def model(voices: Path, *, turbo: bool = True, **settings: Any) -> ChatterboxModel:
    return ChatterboxModel(tiny(turbo=turbo), ChatterboxSettings(**settings), voices)


def names(made: ChatterboxModel) -> list[str]:
    return [voice.name for voice in made.voices()]


@both
def test_a_learned_voice_outlives_the_model(turbo: bool, tmp_path: Path) -> None:
    made = model(tmp_path / "voices", turbo=turbo)
    assert isinstance(made, CloningModel)
    assert names(made) == ["default"]
    learned = made.learn("anna", recording(tmp_path / "anna.wav"))
    assert (learned.name, learned.ready) == ("anna", True)
    again = model(tmp_path / "voices", turbo=turbo)
    assert names(made) == names(again) == ["default", "anna"]
    kept, fresh = again.conditioning("anna"), made.conditioning("anna")
    assert torch.equal(kept.prompt_tokens, fresh.prompt_tokens)
    assert torch.equal(kept.speaker, fresh.speaker)
    assert (made.default_voice, made.info.clones) == ("default", True)


def test_a_forgotten_voice_is_gone_also_from_the_disk(tmp_path: Path) -> None:
    made = model(tmp_path)
    made.learn("anna", recording(tmp_path / "anna.wav"))
    made.forget("anna")
    assert names(made) == names(model(tmp_path)) == ["default"]
    with pytest.raises(UnknownVoice, match="default"):
        made.load_voice("anna")
    with pytest.raises(UnknownVoice):
        made.forget("anna")
    with pytest.raises(UnknownVoice):
        made.forget("../anna")


def test_what_cannot_be_learned_leaves_nothing_behind(tmp_path: Path) -> None:
    made, good = model(tmp_path / "voices"), recording(tmp_path / "good.wav")
    short = recording(tmp_path / "short.wav", 1.0)
    for name, audio, error in (
        ("anna", short, BadMessage),
        ("../anna", good, BadMessage),
        ("default", good, Unsupported),
    ):
        with pytest.raises(error):
            made.learn(name, audio)
    with pytest.raises(Unsupported):
        made.forget("default")
    assert names(made) == ["default"]
    assert not (tmp_path / "voices").exists()


def test_learning_again_replaces_the_voice(tmp_path: Path) -> None:
    made = model(tmp_path / "voices")
    made.learn("anna", recording(tmp_path / "a.wav", seed=1))
    before = made.conditioning("anna")
    made.learn("anna", recording(tmp_path / "b.wav", seed=3))
    assert not torch.equal(made.conditioning("anna").speaker, before.speaker)
    assert names(made) == ["default", "anna"]


def test_without_a_built_in_voice_the_first_learned_one_is_the_default(tmp_path: Path) -> None:
    upstream = tiny(turbo=True)
    upstream.conds = None
    made = ChatterboxModel(upstream, ChatterboxSettings(), tmp_path)
    assert made.voices() == ()
    with pytest.raises(UnknownVoice, match="voices add"):
        made.load_voice(made.default_voice)
    made.learn("anna", recording(tmp_path / "anna.wav"))
    assert made.default_voice == "anna"


@both
def test_what_an_utterance_leaves_open_is_upstreams_default(turbo: bool, tmp_path: Path) -> None:
    made = model(tmp_path, turbo=turbo)
    manner = made.manner(Utterance("a", "default"))
    if turbo:
        assert manner.sampling == Sampling(top_p=0.95)
    else:
        assert (manner.exaggeration, manner.sampling) == (0.5, Sampling())
    chosen = made.manner(Utterance("a", "default", parameters={"temperature": 0.1}))
    assert chosen.sampling.temperature == 0.1


@pytest.mark.parametrize(
    ("turbo", "wish", "error", "told"),
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
def test_parameters_have_ranges_and_each_model_its_own(
    turbo: bool, wish: dict[str, float], error: type[Exception], told: str, tmp_path: Path
) -> None:
    from backend.monitoring.metrics import Metrics

    tts = TTSManager(model(tmp_path, turbo=turbo), EngineSettings(), Metrics(), 1)
    with pytest.raises(error, match=told):
        tts.resolve_params(Start("c", **wish))  # type: ignore[arg-type]


def test_on_a_cpu_few_slots_are_enough(tmp_path: Path) -> None:
    assert model(tmp_path, slots=64).create_engine()._parts.decoder.free == 4
    assert model(tmp_path, slots=2).create_engine()._parts.decoder.free == 2


@both
def test_on_a_card_slots_follow_from_its_memory(
    turbo: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = tiny(turbo=turbo)
    upstream.device = "cuda"  # so it says; the weights are where they were
    each_bytes = memory.slot_bytes(upstream.t3, 1536)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 10 * each_bytes)
    made = ChatterboxModel(upstream, ChatterboxSettings(), tmp_path)
    assert made.create_engine()._parts.decoder.free == 5
    assert made.info.max_batch == 20
    monkeypatch.setattr(memory, "free_bytes", lambda device: each_bytes)
    with pytest.raises(ConfigError, match="no room"):
        ChatterboxModel(upstream, ChatterboxSettings(), tmp_path)


def test_a_card_that_is_filled_before_the_engine_is_made_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    made = model(tmp_path)
    monkeypatch.setattr("backend.engines.chatterbox.model.SpeechTokenDecoder", full)
    with pytest.raises(ConfigError, match="nvidia-smi"):
        made.create_engine()


def test_the_card_told_is_that_of_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = tiny(turbo=True)
    made = ChatterboxModel(upstream, ChatterboxSettings(), tmp_path)
    assert made.device is None
    upstream.device = "cuda:1"
    told = "backend.engines.chatterbox.model.device_at"
    monkeypatch.setattr(told, lambda device: Device(str(device), 1, 2))
    assert made.device == Device("cuda:1", 1, 2)


@pytest.mark.parametrize(
    ("device", "speaks_in", "said"),
    [("cpu", torch.float32, []), ("cuda", torch.bfloat16, ["high", "no plans: True"])],
)
def test_only_on_a_card_is_precision_given_up_and_never_where_tokens_are_floats(
    device: str, speaks_in: torch.dtype, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(torch, "set_float32_matmul_precision", asked.append)
    monkeypatch.setattr(
        torch.backends.cuda,
        "enable_cudnn_sdp",
        lambda enabled: asked.append(f"no plans: {not enabled}"),
    )
    parts = {name: torch.nn.Linear(2, 2) for name in ("t3", "s3gen", "ve")}
    served = as_served(SimpleNamespace(device=device, **parts))
    assert served.t3.weight.dtype == speaks_in
    assert served.s3gen.weight.dtype == served.ve.weight.dtype == torch.float32
    assert not any(part.weight.requires_grad for part in parts.values())
    assert asked == said


@both
def test_in_half_precision_it_speaks_and_its_positions_are_what_they_were(
    turbo: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "set_float32_matmul_precision", lambda _: None)
    upstream = copy.copy(tiny(turbo=turbo))
    upstream.t3, upstream.device = copy.deepcopy(upstream.t3), "cuda"  # so it says
    as_served(upstream).device = "cpu"
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
