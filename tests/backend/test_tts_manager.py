"""`TTSManager` with real engine threads."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from backend.config import EngineSettings
from backend.engines.base import SPEED, Engine, Parameter, Release
from backend.errors import (
    BadMessage,
    DuplexError,
    EngineFailed,
    UnknownVoice,
    UnreadableText,
    Unsupported,
    VoiceUnavailable,
)
from backend.events import Start
from backend.monitoring.metrics import Metrics
from backend.tts_manager import TTSManager, VoiceParams
from tests.support.engines.fake_engine import FakeModel, decode_pcm
from tests.support.engines.inline_tts import InlineTTS


def manager(model: FakeModel | None = None, **engine: object) -> TTSManager:
    return TTSManager(model or FakeModel(), EngineSettings.model_validate(engine), Metrics(), 1)


def engine_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("engine-")]


# --- voice parameters -----------------------------------------------------------------------------


def test_unset_parameters_come_from_the_settings() -> None:
    params = manager(voice="second", speed=1.25).resolve_params(Start("a"))
    assert (params.voice, params.speed, params.language) == ("second", 1.25, None)
    assert 0 <= params.seed < 2**31


def test_contexts_get_different_seeds() -> None:
    tts = manager()
    assert len({tts.resolve_params(Start("a")).seed for _ in range(20)}) > 1


def test_requested_parameters_are_used() -> None:
    start = Start("a", voice="second", speed=0.5, seed=0, language="EN-us")
    assert manager().resolve_params(start) == VoiceParams("second", 0.5, 0, "en")


@pytest.mark.parametrize("language", ["ja", "JA-jp", None])
def test_a_language_that_lacks_something_is_refused_with_the_remedy(language: str | None) -> None:
    model = FakeModel()
    model.info = replace(
        model.info, languages=("ja", "en"), missing_languages={"ja": "run: pip install it"}
    )
    tts = manager(model)
    with pytest.raises(Unsupported, match="run: pip install it") as caught:
        tts.resolve_params(Start("a", language=language))
    assert (caught.value.context, caught.value.code) == ("a", "unsupported")
    assert tts.resolve_params(Start("a", language="en")).language == "en"


def test_text_in_a_script_of_another_language_is_unreadable() -> None:
    model = FakeModel()
    model.info = replace(model.info, languages=("en", "ru"))
    tts = manager(model)
    tts.check_readable("\u043c\u0438\u0440", Start("a", language="ru-RU"))
    tts.check_readable("peace", Start("a", language="en"))
    for language in (None, "en"):
        with pytest.raises(UnreadableText, match=r"language en; its languages: en, ru"):
            tts.check_readable("\u043c\u0438\u0440", Start("a", language=language))


@pytest.mark.parametrize(
    ("start", "error", "named"),
    [
        (Start("a", voice="nobody"), UnknownVoice, "heart, second"),
        (Start("a", voice="x" * 5000), UnknownVoice, "heart, second"),
        (Start("a", language="tlh"), Unsupported, "en"),
        (Start("a", speed=0.49), BadMessage, "0.5 to 2.0"),
        (Start("a", speed=2.01), BadMessage, "0.5 to 2.0"),
        (Start("a", speed=float("nan")), BadMessage, "0.5 to 2.0"),
        (Start("a", seed=-1), BadMessage, "0 to"),
        (Start("a", seed=2**31), BadMessage, "0 to"),
    ],
)
def test_invalid_parameters_are_refused_with_the_remedy(
    start: Start, error: type[DuplexError], named: str
) -> None:
    with pytest.raises(error) as caught:
        manager().resolve_params(start)
    assert named in caught.value.message
    assert len(caught.value.message) < 200
    assert caught.value.context == "a"


# --- lifecycle ------------------------------------------------------------------------------------


async def test_speaks_after_start_and_stops_its_threads() -> None:
    model = FakeModel()
    async with manager(model) as tts:
        assert len(model.engines[0].steps) == 1, "warm"
        async with tts.open_utterance(tts.resolve_params(Start("a")), chunk_characters=0) as speech:
            speech.extend(Release("Hello", 5, final=True), 0.0)
            assert decode_pcm((await speech.next_chunk()).pcm) == "Hello"
        assert engine_threads() == ["engine-0"]
    assert engine_threads() == []
    assert model.open_utterances == 0


async def test_a_missing_default_voice_stops_the_start() -> None:
    with pytest.raises(UnknownVoice):
        async with manager(voice="nobody"):
            pass
    with pytest.raises(VoiceUnavailable):
        async with manager(voice="remote"):
            pass
    assert engine_threads() == []


class FarModel(FakeModel):
    """Its second voice downloads slowly."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived = threading.Event()

    def load_voice(self, name: str) -> None:
        if name == "second":
            assert self.arrived.wait(10)
        super().load_voice(name)


async def test_a_voice_download_does_not_block_other_voices() -> None:
    model = FarModel()
    async with manager(model) as tts:
        waiting = [asyncio.create_task(tts.load_voice("second")) for _ in range(50)]
        async with asyncio.timeout(2):
            await tts.load_voice("heart")
            await asyncio.to_thread(int)
        assert not any(task.done() for task in waiting)
        model.arrived.set()
        await asyncio.gather(*waiting)


class UselessModel(FakeModel):
    def create_engine(self) -> Engine:
        raise OSError("no such device")


async def test_a_failing_engine_stops_the_start_and_its_threads() -> None:
    with pytest.raises(EngineFailed):
        async with manager(UselessModel()):
            pass
    assert engine_threads() == []


async def test_engine_parameters_are_passed_and_others_refused() -> None:
    model = FakeModel()
    model.info = replace(
        model.info, parameters={"temperature": Parameter(0.05, 2.0, 0.8), "speed": SPEED}
    )
    tts = InlineTTS(model)
    params = tts.resolve_params(Start("a", temperature=0.5, speed=1.5))
    assert (params.parameters, params.speed) == ({"temperature": 0.5}, 1.5)
    tts.open_utterance(params, 0)
    assert tts.utterances[0].parameters == {"temperature": 0.5}
    with pytest.raises(BadMessage, match=r"temperature: expected 0.05 to 2.0, got 3"):
        tts.resolve_params(Start("a", temperature=3))
    with pytest.raises(Unsupported, match="it has: temperature, speed"):
        tts.resolve_params(Start("a", exaggeration=0.5))


def test_speed_1_is_accepted_by_every_engine() -> None:
    model = FakeModel()
    model.info = replace(model.info, parameters={})
    tts = InlineTTS(model)
    assert tts.resolve_params(Start("a", speed=1.0)).speed == 1.0
    with pytest.raises(Unsupported, match="speed"):
        tts.resolve_params(Start("a", speed=1.1))
