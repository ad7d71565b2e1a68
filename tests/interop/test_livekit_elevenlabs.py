"""livekit-agents with its elevenlabs plugin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from livekit.agents import APIConnectOptions, APIError, APIStatusError
from livekit.plugins import elevenlabs

from tests.interop.conftest import WRONG_KEY
from tests.interop.listening import HELLO, SENTENCE, STORY, Ear
from tests.interop.live_servers import Server
from tests.interop.livekit_speech import listen, talk
from tests.interop.timing import expect_timed

ONCE = APIConnectOptions(max_retry=0)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


def plugin(server: Server, session: aiohttp.ClientSession, **options: Any) -> elevenlabs.TTS:
    options = {"api_key": server.key or "any", **options}
    return elevenlabs.TTS(base_url=f"{server.http}/v1", http_session=session, **options)


@pytest.fixture
async def voice(server: Server, session: aiohttp.ClientSession) -> AsyncIterator[elevenlabs.TTS]:
    made = plugin(server, session)
    yield made
    await made.aclose()


def words(text: str) -> list[str]:
    return [f"{word} " for word in text.split()]


async def test_synthesize_says_the_text(voice: elevenlabs.TTS, ear: Ear) -> None:
    ear.expect((await listen(voice.synthesize(STORY))).sound, STORY)


@pytest.mark.parametrize(
    "encoding", ["mp3_22050_32", "mp3_44100_128", "pcm_24000", "opus_48000_64"]
)
async def test_a_stream_says_the_words_and_when(
    server: Server, session: aiohttp.ClientSession, ear: Ear, encoding: Any
) -> None:
    voice = plugin(server, session, encoding=encoding)
    frames = await talk(voice.stream(), words(STORY))
    ear.expect(frames.sound, STORY)
    expect_timed(ear, frames.sound, STORY, frames.words)
    await voice.aclose()


async def test_the_first_sentence_is_heard_before_the_text_ends(
    voice: elevenlabs.TTS, ear: Ear
) -> None:
    frames = await talk(voice.stream(), words(STORY), period_s=0.06)
    assert frames.recording.first_s < frames.last_text_s
    ear.expect(frames.sound, STORY)


async def test_without_auto_mode_words_are_heard_before_their_sentence_ends(
    server: Server, session: aiohttp.ClientSession, ear: Ear
) -> None:
    voice = plugin(server, session, auto_mode=False, encoding="pcm_24000")
    frames = await talk(voice.stream(), words(SENTENCE), period_s=0.06)
    assert frames.recording.first_s < frames.last_text_s
    ear.expect(frames.sound, SENTENCE)
    expect_timed(ear, frames.sound, SENTENCE, frames.words)
    await voice.aclose()


async def test_two_utterances_on_one_socket(voice: elevenlabs.TTS, ear: Ear) -> None:
    reused = []
    voice.on("metrics_collected", lambda metrics: reused.append(metrics.connection_reused))
    for text in (STORY, HELLO):
        ear.expect((await talk(voice.stream(), words(text))).sound, text)
    assert reused == [False, True]


async def test_closed_in_mid_speech_only_the_next_words_are_heard(
    voice: elevenlabs.TTS, ear: Ear
) -> None:
    for _ in range(3):
        stream = voice.stream(conn_options=ONCE)
        stream.push_text(f"{STORY} " * 10)
        stream.end_input()
        await anext(aiter(stream))
        await stream.aclose()
    async with asyncio.timeout(5):
        frames = await talk(voice.stream(), words(HELLO))
    ear.expect(frames.sound, HELLO)


async def test_settings_travel_with_the_first_message(
    server: Server, session: aiohttp.ClientSession
) -> None:
    seconds = []
    for speed in (1.0, 1.2):
        settings = elevenlabs.VoiceSettings(stability=0.5, similarity_boost=0.7, speed=speed)
        voice = plugin(server, session, voice_settings=settings, encoding="pcm_24000")
        seconds.append((await talk(voice.stream(), words(STORY))).sound.duration_s)
        await voice.aclose()
    assert seconds[0] / seconds[1] == pytest.approx(1.2, rel=0.07)


async def test_voices_are_listed(voice: elevenlabs.TTS) -> None:
    assert "heart" in {each.id for each in await voice.list_voices()}


async def test_a_wrong_key_is_refused(guarded: Server, session: aiohttp.ClientSession) -> None:
    voice = plugin(guarded, session, api_key=WRONG_KEY)
    with pytest.raises(APIStatusError) as refused:
        await listen(voice.synthesize(HELLO, conn_options=ONCE))
    assert refused.value.status_code == 401
    with pytest.raises(APIError):
        async with asyncio.timeout(10):
            await talk(voice.stream(conn_options=ONCE), [HELLO])
    await voice.aclose()


async def test_the_right_key_is_heard(
    guarded: Server, session: aiohttp.ClientSession, ear: Ear
) -> None:
    voice = plugin(guarded, session)
    ear.expect((await talk(voice.stream(), words(HELLO))).sound, HELLO)
    await voice.aclose()


async def test_an_unknown_voice_is_an_error_that_is_logged(
    server: Server, session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    voice = plugin(server, session, voice_id="haert")
    with pytest.raises(APIError):
        async with asyncio.timeout(10):
            await talk(voice.stream(conn_options=ONCE), [HELLO])
    errors = [getattr(record, "error", None) for record in caplog.records]
    assert "voice_id_does_not_exist" in errors
    await voice.aclose()
