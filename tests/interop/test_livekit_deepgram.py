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
from tests.interop.listening import HELLO, STORY, Ear
from tests.interop.live_servers import Server
from tests.interop.livekit_speech import listen, talk

ONCE = APIConnectOptions(max_retry=0)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


@pytest.fixture
async def voice(server: Server, session: aiohttp.ClientSession) -> AsyncIterator[deepgram.TTS]:
    made = deepgram.TTS(base_url=f"{server.http}/v1/speak", api_key="any", http_session=session)
    yield made
    await made.aclose()


def words(text: str) -> list[str]:
    return [f"{word} " for word in text.split()]


async def test_synthesize_says_the_text(voice: deepgram.TTS, ear: Ear) -> None:
    ear.expect((await listen(voice.synthesize(STORY))).sound, STORY)


async def test_a_stream_of_tokens_is_heard_before_it_ends(voice: deepgram.TTS, ear: Ear) -> None:
    frames = await talk(voice.stream(), words(STORY), period_s=0.08)
    assert frames.recording.first_s < frames.last_text_s
    ear.expect(frames.sound, STORY)


async def test_two_utterances_on_one_socket(voice: deepgram.TTS, ear: Ear) -> None:
    for text in (HELLO, STORY):
        ear.expect((await talk(voice.stream(), words(text))).sound, text)
    assert voice._pool.last_connection_reused


async def test_the_sample_rate_and_the_speed_are_theirs_to_choose(
    server: Server, session: aiohttp.ClientSession, ear: Ear
) -> None:
    voice = deepgram.TTS(
        base_url=f"{server.http}/v1/speak",
        api_key="any",
        sample_rate=16000,
        speed=1.2,
        http_session=session,
    )
    frames = await talk(voice.stream(), words(STORY))
    assert frames.sample_rate_hz == 16000
    ear.expect(frames.sound, STORY, speed=1.2)
    await voice.aclose()


async def test_closed_in_mid_speech_it_leaves_the_server_free(
    voice: deepgram.TTS, ear: Ear
) -> None:
    for _ in range(3):
        stream = voice.stream()
        stream.push_text(f"{STORY} " * 10)
        stream.end_input()
        await anext(aiter(stream))
        await stream.aclose()
    asked_s = time.perf_counter()
    ear.expect((await talk(voice.stream(), words(HELLO))).sound, HELLO)
    assert time.perf_counter() - asked_s < 5


async def test_a_wrong_key_is_refused(guarded: Server, session: aiohttp.ClientSession) -> None:
    voice = deepgram.TTS(
        base_url=f"{guarded.http}/v1/speak", api_key=WRONG_KEY, http_session=session
    )
    with pytest.raises(APIStatusError) as refused:
        await listen(voice.synthesize(HELLO, conn_options=ONCE))
    assert refused.value.status_code == 401
    stream = voice.stream(conn_options=ONCE)
    stream.push_text(HELLO)
    stream.end_input()
    with pytest.raises(APIError):
        async with asyncio.timeout(10):
            await listen(stream)
    await stream.aclose()
    await voice.aclose()
