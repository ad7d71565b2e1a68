"""Voices of several engines behind one list."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from backend.audio.loudness import TARGET_LUFS, measure_lufs
from backend.config import EngineSettings
from backend.engines.base import Engine, Parameter, Release
from backend.engines.piper.engine import PiperModel
from backend.errors import EngineDead, EngineFailed, UnknownVoice, Unsupported, VoiceExists
from backend.events import Start, Voice
from backend.monitoring.metrics import Metrics
from backend.tts_manager import TTSManager
from tests.support.engines.cloning_model import CloningModel
from tests.support.engines.dying_engine import DEADLY_WORD, MESSAGE, DyingModel
from tests.support.engines.fake_engine import (
    CHARACTER_SAMPLES,
    FakeModel,
    decode_pcm,
    encode_pcm,
)
from tests.support.engines.hibari_model import shared_model
from tests.support.live_server import live_server
from tests.support.piper.piper_model import JOE, joe_path


class OtherModel(FakeModel):
    """Another engine, with another rate; the name of one of its voices is taken."""

    default_voice = "joe"

    def __init__(self, name: str = "other", *, max_batch: int = 1) -> None:
        super().__init__(max_batch=max_batch)
        self.info = replace(
            self.info,
            name=name,
            sample_rate_hz=22_050,
            languages=("de-DE", "ar", "pt-PT", "pt-BR"),
            parameters={"temperature": Parameter(0.0, 1.0, 0.5)},
        )
        self.loaded: list[str] = []

    def voices(self) -> tuple[Voice, ...]:
        names = {"joe": "de-DE", "heart": "ar", "ana": "pt-PT", "rui": "pt-BR"}
        return tuple(Voice(name, language, "", True) for name, language in names.items())

    def load_voice(self, name: str) -> None:
        self.loaded.append(name)


def manager(*others: FakeModel, main: FakeModel | None = None, **engine: object) -> TTSManager:
    tts = TTSManager(main or FakeModel(), EngineSettings.model_validate(engine), Metrics(), 2)
    for other in others:
        tts.add_engine(other)
    return tts


async def speak(tts: TTSManager, voice: str, text: str = "Hello") -> str:
    await tts.load_voice(voice)
    async with tts.open_utterance(tts.resolve_params(Start("a", voice=voice)), 0) as handle:
        handle.extend(Release(text, len(text), final=True), 0.0)
        return decode_pcm((await handle.next_chunk()).pcm)


# --- the list -------------------------------------------------------------------------------------


def test_an_equal_name_is_the_first_engines_and_the_other_has_its_engines_name() -> None:
    tts = manager(OtherModel())
    names = [(voice.name, voice.engine) for voice in tts.voices()]
    assert names[:2] == [("heart", "fake"), ("second", "fake")]
    assert names[4:6] == [("joe", "other"), ("other/heart", "other")]


@pytest.mark.parametrize(
    ("asked", "listed", "engine"),
    [
        ("heart", "heart", "fake"),
        ("fake/heart", "heart", "fake"),
        ("other/heart", "other/heart", "other"),
        ("other:heart", "other/heart", "other"),
        ("other/joe", "joe", "other"),
        (None, "heart", "fake"),
    ],
)
def test_a_voice_names_its_engine(asked: str | None, listed: str, engine: str) -> None:
    tts = manager(OtherModel())
    assert tts.resolve_params(Start("a", voice=asked)).voice == listed
    assert tts.engine_of(listed).info.name == engine


@pytest.mark.parametrize("name", ["other/second", "/heart", "other/", "third/heart"])
def test_a_voice_that_no_engine_has_is_unknown(name: str) -> None:
    with pytest.raises(UnknownVoice, match="voices: heart, second"):
        manager(OtherModel()).resolve_params(Start("a", voice=name))


def test_parameters_are_those_of_the_voices_engine() -> None:
    tts = manager(OtherModel())
    assert tts.resolve_params(Start("a", voice="joe", temperature=0.5)).parameters
    with pytest.raises(Unsupported, match="fake does not have it"):
        tts.resolve_params(Start("a", temperature=0.5))


def test_a_new_voice_may_not_have_the_name_of_another_engines(tmp_path: Path) -> None:
    tts = manager(CloningModel())
    assert tts.clones
    with pytest.raises(VoiceExists, match="second"):
        asyncio.run(tts.add_voice("second", tmp_path / "recording"))


# --- languages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "voice"),
    [
        ("en", "heart"),  # the default voice speaks it
        ("de", "joe"),
        ("de-AT", "joe"),
        ("ar", "other/heart"),
        ("pt", "ana"),
        ("pt-BR", "rui"),
        ("PT-br", "rui"),
    ],
)
def test_a_language_chooses_a_voice_that_speaks_it(language: str, voice: str) -> None:
    assert manager(OtherModel()).resolve_params(Start("a", language=language)).voice == voice


def test_a_named_voice_must_speak_the_language() -> None:
    tts = manager(OtherModel())
    with pytest.raises(Unsupported, match="heart does not speak it; joe does"):
        tts.resolve_params(Start("a", voice="heart", language="de"))
    with pytest.raises(Unsupported, match="languages: qaa, en, de-DE, ar, pt-PT, pt-BR"):
        tts.resolve_params(Start("a", language="tlh"))
    assert tts.listed_voice("rui").languages[0] == "pt-BR", "read in the voice's language"


# --- engines --------------------------------------------------------------------------------------


async def test_each_voice_is_rendered_by_its_engine_on_the_same_threads() -> None:
    main, other = FakeModel(), OtherModel()
    async with manager(other, main=main) as tts:
        assert (other.loaded, other.engines) == ([], []), "nothing until it is used"
        assert await speak(tts, "joe") == await speak(tts, "heart") == "Hello"
        assert await speak(tts, "other/heart", "Again") == "Again"
        assert other.loaded == ["joe", "heart"]
        assert tts.engine_of("joe").scheduler is tts.main.scheduler
    assert main.open_utterances == other.open_utterances == 0


async def test_an_engine_that_batches_has_a_thread_of_its_own_started_at_its_first_use() -> None:
    batching = OtherModel(max_batch=8)
    async with manager(batching) as tts:
        scheduler = tts.engine_of("joe").scheduler
        assert not scheduler.is_started
        spoken = await asyncio.gather(*(speak(tts, "joe", text) for text in ("One", "Two")))
        assert spoken == ["One", "Two"]
        assert (scheduler.thread_count, tts.threads) == (1, 2)
        assert len(batching.engines) == 1


async def test_an_evicted_voice_is_loaded_again_before_it_speaks() -> None:
    class SmallModel(OtherModel):
        def is_voice_loaded(self, name: str) -> bool:
            return self.loaded[-1:] == [name]

    small = SmallModel()
    async with manager(small) as tts:
        for voice in ("joe", "joe", "ana", "joe"):
            await speak(tts, voice)
    assert small.loaded == ["joe", "ana", "joe"]


async def test_a_voice_evicted_between_two_sentences_is_loaded_again() -> None:
    class SmallModel(OtherModel):
        def is_voice_loaded(self, name: str) -> bool:
            return name in self.loaded[evicted:]

    small, evicted = SmallModel(), 0
    async with live_server(FakeModel(), [small]) as live, live.connect() as client:
        await client.send("start", context="a", voice="joe", format="pcm_f32le")
        await client.send("text", context="a", text="One. ")
        await client.send("flush", context="a")
        await client.receive_until("audio", "a")
        assert small.loaded == ["joe"]
        evicted = 1
        await client.send("text", context="a", text="Two.")
        await client.send("end", context="a")
        await client.receive_until("done", "a")
    assert small.loaded == ["joe", "joe"]


async def test_those_who_wait_for_a_new_voice_measure_its_loudness_once() -> None:
    other = OtherModel()
    other.info = replace(other.info, lufs=None)
    async with manager(other) as tts:
        gains = await asyncio.gather(*(tts.load_voice("joe") for _ in range(20)))
        steps = sum(len(engine.steps) for engine in other.engines)
        assert len(set(gains)) == 1
        assert await tts.load_voice("ana") == pytest.approx(gains[0], rel=0.1)
        assert sum(len(engine.steps) for engine in other.engines) == 2 * steps


async def test_a_broken_engine_fails_its_own_voices_only() -> None:
    class BrokenModel(OtherModel):
        def create_engine(self) -> Engine:
            raise OSError("no such device")

    async with manager(BrokenModel()) as tts:
        with pytest.raises(EngineFailed):
            await speak(tts, "joe")
        assert await speak(tts, "heart") == "Hello"


async def test_a_dead_engine_refuses_its_own_voices_and_the_others_speak_on() -> None:
    class Dying(DyingModel):
        def __init__(self) -> None:
            super().__init__()
            self.info = replace(self.info, name="card")

    stopped: list[EngineDead] = []
    async with manager(OtherModel(), Dying()) as tts:
        tts.on_dead = stopped.append
        assert await speak(tts, "card/second") == "Hello"
        with pytest.raises(EngineDead):
            await speak(tts, "card/second", f"{DEADLY_WORD} now")
        for refused in (tts.check_capacity, tts.resolve_params):
            with pytest.raises(EngineDead, match="GPU is lost"):
                refused(Start("a", voice="card/second"))
        assert await speak(tts, "heart") == await speak(tts, "joe") == "Hello"
        tts.check_capacity()
        health = [(await engine.check_health()).problem for engine in tts.engines]
        assert health == [None, None, MESSAGE]
        assert (stopped, tts.fatal_error) == ([], None)


# --- the server -----------------------------------------------------------------------------------


async def test_a_client_hears_each_engine_at_its_own_rate_and_loudness() -> None:
    other = OtherModel()
    other.info = replace(other.info, lufs=TARGET_LUFS - 6)
    async with live_server(FakeModel(), [other]) as live, live.connect() as client:
        assert await client.speak_text("a", "Hello.", voice="heart") == "Hello."
        levels = []
        for context, rate_hz in (("b", 22_050), ("c", 24_000)):
            start = {"format": "pcm_f32le", "voice": "joe", "sample_rate": rate_hz}
            await client.send("start", context=context, **start)
            await client.send("text", context=context, text="Hello there.")
            await client.send("end", context=context)
            messages = await client.receive_until("done", context)
            pcm = np.frombuffer(b"".join(m.get("data", b"") for m in messages), "<f4")
            seconds = CHARACTER_SAMPLES * len("Hellothere.") / 22_050
            assert len(pcm) == pytest.approx(seconds * rate_hz, abs=2)
            assert messages[-1]["audio_ms"] == pytest.approx(1000 * seconds, abs=1)
            levels.append(float(np.median(pcm)))
        louder = 10 ** (6 / 20)
        assert levels[0] == pytest.approx(louder * np.median(encode_pcm("Hellothere.")), rel=0.01)
        assert levels[1] == pytest.approx(levels[0], rel=0.01)


async def test_the_server_says_which_engines_there_are_and_what_they_lack() -> None:
    async with (
        live_server(FakeModel(), [OtherModel()]) as live,
        httpx.AsyncClient(base_url=live.http) as http,
    ):
        tts = live.app.state.services.tts
        voices = (await http.get("/v1/voices")).json()["voices"]
        assert ("joe", "other") in {(voice["name"], voice["engine"]) for voice in voices}
        models = (await http.get("/v1/models")).json()["data"]
        assert [model["id"] for model in models][:2] == ["fake", "other"]
        status = (await http.get("/v1/status")).json()
        assert [each["name"] for each in status["other_engines"]] == ["other"]
        tts._set_fatal_error(tts.engines[1].model, EngineDead("it is lost"))
        ready = await http.get("/readyz")
        assert ready.status_code == 200, "the main engine speaks"
        assert ready.json()["others"]["other"]["problem"] == "it is lost"
        status = (await http.get("/v1/status")).json()
        assert status["other_engines"][0]["problem"] == "it is lost"
        assert 'duplex_tts_engine_up{engine="other"} 0.0' in (await http.get("/metrics")).text
        for voice, code in (("joe", 503), ("heart", 200)):
            answer = await http.post("/v1/speech", json={"text": "Hi.", "voice": voice})
            assert answer.status_code == code
        tts._set_fatal_error(tts.main.model, EngineDead("the main one is lost"))
        assert (await http.get("/readyz")).status_code == 503


@pytest.mark.slow
async def test_the_embedded_voice_and_pipers_speak_at_the_same_time() -> None:
    joe = PiperModel(joe_path().parent)
    async with live_server(shared_model(), [joe], engine={"threads": 2}) as live:
        assert joe.loaded_voices() == [], "costs nothing until it is used"

        words = ["The", "rain", "came", "down", "all", "night.", "It", "is", "late", "now."]

        async def listen(voice: str) -> tuple[float, float | None]:
            async with live.connect() as client:
                await client.send("start", context="a", voice=voice, format="pcm_f32le")
                for word in words:
                    await client.send("text", context="a", text=f"{word} ")
                    await asyncio.sleep(0.03)
                await client.send("end", context="a")
                messages = await client.receive_until("done", "a")
                pcm = np.frombuffer(b"".join(m.get("data", b"") for m in messages), "<f4")
                assert messages[-1]["characters"] == 46
                return len(pcm) / 24_000, measure_lufs(pcm, 24_000)

        heard = await asyncio.gather(*(listen(voice) for voice in ("heart", JOE, "heart", JOE)))
    for seconds, lufs in heard:
        assert 2 < seconds < 6
        assert lufs == pytest.approx(TARGET_LUFS, abs=2.5)
    assert joe.loaded_voices() == [JOE]
