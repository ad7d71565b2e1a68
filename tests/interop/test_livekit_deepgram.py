"""livekit-agents with its deepgram plugin."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
from livekit.agents import APIConnectOptions, APIError, APIStatusError
from livekit.plugins import deepgram

from tests.interop.conftest import WRONG_KEY
from tests.interop.listening import HELLO, STORY, SpeechChecker
from tests.interop.live_servers import RunningServer
from tests.interop.livekit_speech import push_and_read, read_stream

ONCE = APIConnectOptions(max_retry=0)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as created:
        yield created


@pytest.fixture
async def voice(
    server: RunningServer, session: aiohttp.ClientSession
) -> AsyncIterator[deepgram.TTS]:
    created = deepgram.TTS(base_url=f"{server.http}/v1/speak", api_key="any", http_session=session)
    yield created
    await created.aclose()


def words(text: str) -> list[str]:
    return [f"{word} " for word in text.split()]


async def test_synthesize_speaks_the_text(voice: deepgram.TTS, checker: SpeechChecker) -> None:
    checker.expect_speech((await read_stream(voice.synthesize(STORY))).clip, STORY)


async def test_token_stream_is_heard_before_it_ends(
    voice: deepgram.TTS, checker: SpeechChecker
) -> None:
    frames = await push_and_read(voice.stream(), words(STORY), period_s=0.08)
    assert frames.recording.first_s < frames.last_text_s
    checker.expect_speech(frames.clip, STORY)


async def test_two_utterances_share_one_socket(voice: deepgram.TTS, checker: SpeechChecker) -> None:
    for text in (HELLO, STORY):
        checker.expect_speech((await push_and_read(voice.stream(), words(text))).clip, text)
    assert voice._pool.last_connection_reused


async def test_sample_rate_and_speed_are_applied(
    server: RunningServer, session: aiohttp.ClientSession, checker: SpeechChecker
) -> None:
    voice = deepgram.TTS(
        base_url=f"{server.http}/v1/speak",
        api_key="any",
        sample_rate=16000,
        speed=1.2,
        http_session=session,
    )
    frames = await push_and_read(voice.stream(), words(STORY))
    assert frames.sample_rate_hz == 16000
    checker.expect_speech(frames.clip, STORY, speed=1.2)
    await voice.aclose()


async def test_closing_during_speech_frees_the_server(
    voice: deepgram.TTS, checker: SpeechChecker
) -> None:
    for _ in range(3):
        stream = voice.stream()
        stream.push_text(f"{STORY} " * 10)
        stream.end_input()
        await anext(aiter(stream))
        await stream.aclose()
    started_s = time.perf_counter()
    checker.expect_speech((await push_and_read(voice.stream(), words(HELLO))).clip, HELLO)
    assert time.perf_counter() - started_s < 5


async def test_wrong_key_is_refused(
    keyed_server: RunningServer, session: aiohttp.ClientSession
) -> None:
    voice = deepgram.TTS(
        base_url=f"{keyed_server.http}/v1/speak", api_key=WRONG_KEY, http_session=session
    )
    with pytest.raises(APIStatusError) as refused:
        await read_stream(voice.synthesize(HELLO, conn_options=ONCE))
    assert refused.value.status_code == 401
    stream = voice.stream(conn_options=ONCE)
    stream.push_text(HELLO)
    stream.end_input()
    with pytest.raises(APIError):
        async with asyncio.timeout(10):
            await read_stream(stream)
    await stream.aclose()
    await voice.aclose()
