"""livekit-agents with its cartesia plugin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from livekit.agents import APIConnectOptions, APIError, APIStatusError
from livekit.plugins import cartesia

from tests.interop.conftest import WRONG_KEY
from tests.interop.listening import HELLO, STORY, SpeechChecker
from tests.interop.live_servers import RunningServer
from tests.interop.livekit_speech import push_and_read, read_stream
from tests.interop.timing import expect_timed

ONCE = APIConnectOptions(max_retry=0)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as created:
        yield created


def plugin(server: RunningServer, session: aiohttp.ClientSession, **options: Any) -> cartesia.TTS:
    options = {"api_key": server.key or "any", **options}
    return cartesia.TTS(base_url=server.http, http_session=session, **options)


@pytest.fixture
async def voice(
    server: RunningServer, session: aiohttp.ClientSession
) -> AsyncIterator[cartesia.TTS]:
    created = plugin(server, session)
    yield created
    await created.aclose()


def words(text: str) -> list[str]:
    return [f"{word} " for word in text.split()]


async def test_synthesize_speaks_the_text(voice: cartesia.TTS, checker: SpeechChecker) -> None:
    checker.expect_speech((await read_stream(voice.synthesize(STORY))).clip, STORY)


async def test_stream_speaks_the_text_with_word_times(
    voice: cartesia.TTS, checker: SpeechChecker
) -> None:
    frames = await push_and_read(voice.stream(), words(STORY))
    checker.expect_speech(frames.clip, STORY)
    expect_timed(checker, frames.clip, STORY, frames.words)


async def test_first_sentence_is_heard_before_the_text_ends(
    voice: cartesia.TTS, checker: SpeechChecker
) -> None:
    frames = await push_and_read(voice.stream(), words(STORY), period_s=0.06)
    assert frames.recording.first_s < frames.last_text_s
    checker.expect_speech(frames.clip, STORY)


async def test_two_utterances_share_one_socket(voice: cartesia.TTS, checker: SpeechChecker) -> None:
    for text in (HELLO, STORY):
        checker.expect_speech((await push_and_read(voice.stream(), words(text))).clip, text)
    assert voice._pool.last_connection_reused


async def test_closing_during_speech_leaves_only_the_next_text(
    voice: cartesia.TTS, checker: SpeechChecker
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


@pytest.mark.parametrize(
    "settings",
    [{"speed": 1.4}, {"speed": "fast", "model": "sonic-2-2025-03-07", "api_version": "2024-11-13"}],
)
async def test_speed_changes_the_duration(
    server: RunningServer, session: aiohttp.ClientSession, settings: dict[str, Any]
) -> None:
    seconds = []
    for options in ({}, settings):
        voice = plugin(server, session, **options)
        seconds.append((await push_and_read(voice.stream(), words(STORY))).clip.duration_s)
        await voice.aclose()
    assert seconds[0] / seconds[1] > 1.1


async def test_wrong_key_is_refused(
    keyed_server: RunningServer, session: aiohttp.ClientSession
) -> None:
    voice = plugin(keyed_server, session, api_key=WRONG_KEY)
    for attempt in (
        read_stream(voice.synthesize(HELLO, conn_options=ONCE)),
        push_and_read(voice.stream(conn_options=ONCE), [HELLO]),
    ):
        with pytest.raises(APIStatusError) as refused:
            await attempt
        assert refused.value.status_code == 401
    await voice.aclose()


async def test_right_key_is_accepted(
    keyed_server: RunningServer, session: aiohttp.ClientSession, checker: SpeechChecker
) -> None:
    voice = plugin(keyed_server, session)
    checker.expect_speech((await push_and_read(voice.stream(), words(HELLO))).clip, HELLO)
    await voice.aclose()


async def test_unknown_voice_raises_an_error_with_its_code(
    server: RunningServer, session: aiohttp.ClientSession
) -> None:
    voice = plugin(server, session, voice="haert")
    with pytest.raises(APIError, match="unknown_voice"):
        async with asyncio.timeout(10):
            await push_and_read(voice.stream(conn_options=ONCE), [HELLO])
    await voice.aclose()


async def test_tag_split_by_the_tokenizer_is_silence(
    voice: cartesia.TTS, checker: SpeechChecker
) -> None:
    text = 'Hello there, <break time="1.5 s"/>how are you doing today?'
    clip = (await push_and_read(voice.stream(), list(text))).clip
    checker.expect_speech(clip, HELLO, pause_s=1.5)
