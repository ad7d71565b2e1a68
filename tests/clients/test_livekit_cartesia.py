"""LiveKit agents with the cartesia plugin: what a caller hears."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from livekit.agents import APIError, APIStatusError
from livekit.plugins import cartesia

from tests.clients.conftest import WRONG_KEY
from tests.clients.listening import HELLO, RATE_HZ, STORY, Ear, Sound
from tests.clients.live_servers import Server
from tests.clients.livekit_listener import ONCE, listen, speak


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


def plugin(server: Server, session: aiohttp.ClientSession, **options: Any) -> cartesia.TTS:
    return cartesia.TTS(
        base_url=server.http, http_session=session, **{"api_key": server.key or "any", **options}
    )


@pytest.fixture
async def tts(server: Server, session: aiohttp.ClientSession) -> AsyncIterator[cartesia.TTS]:
    made = plugin(server, session)
    yield made
    await made.aclose()


async def test_a_whole_text_is_heard(tts: cartesia.TTS, ear: Ear) -> None:
    heard = await listen(tts.synthesize(STORY, conn_options=ONCE))
    ear.expect(heard.sound, STORY)


async def test_a_stream_says_the_words_and_when(tts: cartesia.TTS, ear: Ear) -> None:
    heard, _ = await speak(tts, STORY)
    ear.expect(heard.sound, STORY)
    assert "".join(word for word, _ in heard.words).split() == STORY.split()
    starts = [start for _, start in heard.words]
    assert starts == sorted(starts)
    second = next(n for n, (word, _) in enumerate(heard.words) if word.strip() == "Every")
    at = int(starts[second] * RATE_HZ)
    rate, understood = ear.word_error_rate(
        Sound(heard.sound.samples[at:]), STORY[STORY.index("Every") :]
    )
    assert rate <= 0.1, understood


async def test_the_first_sentence_is_heard_before_the_text_is_written(
    tts: cartesia.TTS, ear: Ear
) -> None:
    heard, ended_s = await speak(tts, STORY, word_s=0.06)
    assert heard.recording.first_s < ended_s
    ear.expect(heard.sound, STORY)


async def test_two_utterances_share_a_connection(tts: cartesia.TTS, ear: Ear) -> None:
    reused = []
    tts.on("metrics_collected", lambda metrics: reused.append(metrics.connection_reused))
    for text in (STORY, HELLO):
        heard, _ = await speak(tts, text)
        ear.expect(heard.sound, text)
    assert reused == [False, True]


async def test_after_an_interruption_only_the_new_words_are_heard(
    tts: cartesia.TTS, ear: Ear
) -> None:
    stream = tts.stream(conn_options=ONCE)
    stream.push_text(" ".join([STORY] * 20))
    stream.end_input()
    await anext(stream)
    await stream.aclose()
    heard, _ = await speak(tts, HELLO)
    ear.expect(heard.sound, HELLO)


@pytest.mark.parametrize(
    "manner",
    [{"speed": 1.4}, {"speed": "fast", "model": "sonic-2-2025-03-07", "api_version": "2024-11-13"}],
)
async def test_speed_is_heard(
    server: Server, session: aiohttp.ClientSession, manner: dict[str, Any]
) -> None:
    seconds = []
    for options in ({}, manner):
        tts = plugin(server, session, **options)
        heard, _ = await speak(tts, STORY)
        seconds.append(heard.sound.duration_s)
        await tts.aclose()
    assert seconds[0] / seconds[1] > 1.1


async def test_a_wrong_key_is_an_error_that_is_not_tried_again(
    guarded: Server, session: aiohttp.ClientSession, ear: Ear
) -> None:
    wrong = plugin(guarded, session, api_key=WRONG_KEY)
    for attempt in (wrong.synthesize(HELLO, conn_options=ONCE), wrong.stream(conn_options=ONCE)):
        if hasattr(attempt, "push_text"):
            attempt.push_text(HELLO)
            attempt.end_input()
        with pytest.raises(APIStatusError) as caught:
            await listen(attempt)
        assert caught.value.status_code == 401
        assert not caught.value.retryable
    right = plugin(guarded, session)
    heard, _ = await speak(right, HELLO)
    ear.expect(heard.sound, HELLO)
    await wrong.aclose()
    await right.aclose()


async def test_an_unknown_voice_is_an_error(server: Server, session: aiohttp.ClientSession) -> None:
    tts = plugin(server, session, voice="haert")
    with pytest.raises(APIError, match="unknown_voice"):
        await speak(tts, HELLO)
    await tts.aclose()
