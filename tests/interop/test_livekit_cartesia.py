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
from tests.interop.listening import HELLO, STORY, Ear
from tests.interop.live_servers import Server
from tests.interop.livekit_speech import listen, talk
from tests.interop.timing import expect_timed

ONCE = APIConnectOptions(max_retry=0)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


def plugin(server: Server, session: aiohttp.ClientSession, **options: Any) -> cartesia.TTS:
    options = {"api_key": server.key or "any", **options}
    return cartesia.TTS(base_url=server.http, http_session=session, **options)


@pytest.fixture
async def voice(server: Server, session: aiohttp.ClientSession) -> AsyncIterator[cartesia.TTS]:
    made = plugin(server, session)
    yield made
    await made.aclose()


def words(text: str) -> list[str]:
    return [f"{word} " for word in text.split()]


async def test_synthesize_says_the_text(voice: cartesia.TTS, ear: Ear) -> None:
    ear.expect((await listen(voice.synthesize(STORY))).sound, STORY)


async def test_a_stream_says_the_words_and_when(voice: cartesia.TTS, ear: Ear) -> None:
    frames = await talk(voice.stream(), words(STORY))
    ear.expect(frames.sound, STORY)
    expect_timed(ear, frames.sound, STORY, frames.words)


async def test_the_first_sentence_is_heard_before_the_text_ends(
    voice: cartesia.TTS, ear: Ear
) -> None:
    frames = await talk(voice.stream(), words(STORY), period_s=0.06)
    assert frames.recording.first_s < frames.last_text_s
    ear.expect(frames.sound, STORY)


async def test_two_utterances_on_one_socket(voice: cartesia.TTS, ear: Ear) -> None:
    for text in (HELLO, STORY):
        ear.expect((await talk(voice.stream(), words(text))).sound, text)
    assert voice._pool.last_connection_reused


async def test_closed_in_mid_speech_only_the_next_words_are_heard(
    voice: cartesia.TTS, ear: Ear
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


@pytest.mark.parametrize(
    "manner",
    [{"speed": 1.4}, {"speed": "fast", "model": "sonic-2-2025-03-07", "api_version": "2024-11-13"}],
)
async def test_speed_is_heard(
    server: Server, session: aiohttp.ClientSession, manner: dict[str, Any]
) -> None:
    seconds = []
    for options in ({}, manner):
        voice = plugin(server, session, **options)
        seconds.append((await talk(voice.stream(), words(STORY))).sound.duration_s)
        await voice.aclose()
    assert seconds[0] / seconds[1] > 1.1


async def test_a_wrong_key_is_refused(guarded: Server, session: aiohttp.ClientSession) -> None:
    voice = plugin(guarded, session, api_key=WRONG_KEY)
    for attempt in (
        listen(voice.synthesize(HELLO, conn_options=ONCE)),
        talk(voice.stream(conn_options=ONCE), [HELLO]),
    ):
        with pytest.raises(APIStatusError) as refused:
            await attempt
        assert refused.value.status_code == 401
    await voice.aclose()


async def test_the_right_key_is_heard(
    guarded: Server, session: aiohttp.ClientSession, ear: Ear
) -> None:
    voice = plugin(guarded, session)
    ear.expect((await talk(voice.stream(), words(HELLO))).sound, HELLO)
    await voice.aclose()


async def test_an_unknown_voice_is_an_error_that_says_so(
    server: Server, session: aiohttp.ClientSession
) -> None:
    voice = plugin(server, session, voice="haert")
    with pytest.raises(APIError, match="unknown_voice"):
        async with asyncio.timeout(10):
            await talk(voice.stream(conn_options=ONCE), [HELLO])
    await voice.aclose()


async def test_a_mark_that_the_tokenizer_tears_apart_is_not_read_aloud(
    voice: cartesia.TTS, ear: Ear
) -> None:
    text = 'Hello there, <break time="1.5 s"/>how are you doing today?'
    ear.expect((await talk(voice.stream(), list(text))).sound, HELLO)
