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
from tests.interop.listening import HELLO, SENTENCE, STORY, SpeechChecker
from tests.interop.live_servers import RunningServer
from tests.interop.livekit_speech import push_and_read, read_stream
from tests.interop.timing import expect_timed

ONCE = APIConnectOptions(max_retry=0)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as created:
        yield created


def plugin(server: RunningServer, session: aiohttp.ClientSession, **options: Any) -> elevenlabs.TTS:
    options = {"api_key": server.key or "any", **options}
    return elevenlabs.TTS(base_url=f"{server.http}/v1", http_session=session, **options)


@pytest.fixture
async def voice(
    server: RunningServer, session: aiohttp.ClientSession
) -> AsyncIterator[elevenlabs.TTS]:
    created = plugin(server, session)
    yield created
    await created.aclose()


def words(text: str) -> list[str]:
    return [f"{word} " for word in text.split()]


async def test_synthesize_speaks_the_text(voice: elevenlabs.TTS, checker: SpeechChecker) -> None:
    checker.expect_speech((await read_stream(voice.synthesize(STORY))).clip, STORY)


@pytest.mark.parametrize(
    "encoding", ["mp3_22050_32", "mp3_44100_128", "pcm_24000", "opus_48000_64"]
)
async def test_stream_speaks_the_text_with_word_times(
    server: RunningServer, session: aiohttp.ClientSession, checker: SpeechChecker, encoding: Any
) -> None:
    voice = plugin(server, session, encoding=encoding)
    frames = await push_and_read(voice.stream(), words(STORY))
    checker.expect_speech(frames.clip, STORY)
    expect_timed(checker, frames.clip, STORY, frames.words)
    await voice.aclose()


async def test_first_sentence_is_heard_before_the_text_ends(
    voice: elevenlabs.TTS, checker: SpeechChecker
) -> None:
    frames = await push_and_read(voice.stream(), words(STORY), period_s=0.06)
    assert frames.recording.first_s < frames.last_text_s
    checker.expect_speech(frames.clip, STORY)


async def test_words_are_heard_before_the_sentence_ends_without_auto_mode(
    server: RunningServer, session: aiohttp.ClientSession, checker: SpeechChecker
) -> None:
    voice = plugin(server, session, auto_mode=False, encoding="pcm_24000")
    frames = await push_and_read(voice.stream(), words(SENTENCE), period_s=0.06)
    assert frames.recording.first_s < frames.last_text_s
    checker.expect_speech(frames.clip, SENTENCE)
    expect_timed(checker, frames.clip, SENTENCE, frames.words)
    await voice.aclose()


async def test_two_utterances_share_one_socket(
    voice: elevenlabs.TTS, checker: SpeechChecker
) -> None:
    reused = []
    voice.on("metrics_collected", lambda metrics: reused.append(metrics.connection_reused))
    for text in (STORY, HELLO):
        checker.expect_speech((await push_and_read(voice.stream(), words(text))).clip, text)
    assert reused == [False, True]


async def test_closing_during_speech_leaves_only_the_next_text(
    voice: elevenlabs.TTS, checker: SpeechChecker
) -> None:
    for _ in range(3):
        stream = voice.stream(conn_options=ONCE)
        stream.push_text(f"{STORY} " * 10)
        stream.end_input()
        await anext(aiter(stream))
        await stream.aclose()
    async with asyncio.timeout(5):
        frames = await push_and_read(voice.stream(), words(HELLO))
    checker.expect_speech(frames.clip, HELLO)


async def test_voice_settings_in_the_first_message_are_applied(
    server: RunningServer, session: aiohttp.ClientSession
) -> None:
    seconds = []
    for speed in (1.0, 1.2):
        settings = elevenlabs.VoiceSettings(stability=0.5, similarity_boost=0.7, speed=speed)
        voice = plugin(server, session, voice_settings=settings, encoding="pcm_24000")
        seconds.append((await push_and_read(voice.stream(), words(STORY))).clip.duration_s)
        await voice.aclose()
    assert seconds[0] / seconds[1] == pytest.approx(1.2, rel=0.07)


async def test_voices_are_listed(voice: elevenlabs.TTS) -> None:
    assert "heart" in {voice_info.id for voice_info in await voice.list_voices()}


async def test_wrong_key_is_refused(
    keyed_server: RunningServer, session: aiohttp.ClientSession
) -> None:
    voice = plugin(keyed_server, session, api_key=WRONG_KEY)
    with pytest.raises(APIStatusError) as refused:
        await read_stream(voice.synthesize(HELLO, conn_options=ONCE))
    assert refused.value.status_code == 401
    with pytest.raises(APIError):
        async with asyncio.timeout(10):
            await push_and_read(voice.stream(conn_options=ONCE), [HELLO])
    await voice.aclose()


async def test_right_key_is_accepted(
    keyed_server: RunningServer, session: aiohttp.ClientSession, checker: SpeechChecker
) -> None:
    voice = plugin(keyed_server, session)
    checker.expect_speech((await push_and_read(voice.stream(), words(HELLO))).clip, HELLO)
    await voice.aclose()


async def test_unknown_voice_raises_an_error_and_is_logged(
    server: RunningServer, session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    voice = plugin(server, session, voice_id="haert")
    with pytest.raises(APIError):
        async with asyncio.timeout(10):
            await push_and_read(voice.stream(conn_options=ONCE), [HELLO])
    errors = [getattr(record, "error", None) for record in caplog.records]
    assert "voice_id_does_not_exist" in errors
    await voice.aclose()
