"""livekit-agents with its openai plugin."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from livekit.agents import APIConnectOptions, APIStatusError, tts
from livekit.plugins import openai

from tests.interop.conftest import WRONG_KEY
from tests.interop.listening import HELLO, STORY, Ear
from tests.interop.live_servers import Server
from tests.interop.livekit_speech import listen, talk


@pytest.fixture
async def voice(server: Server) -> AsyncIterator[openai.TTS]:
    made = openai.TTS(base_url=f"{server.http}/v1", api_key="any", voice="ash")
    yield made
    await made.aclose()


async def test_synthesize_says_the_text(voice: openai.TTS, ear: Ear) -> None:
    ear.expect((await listen(voice.synthesize(STORY))).sound, STORY)


@pytest.mark.parametrize("response_format", ["pcm", "opus", "flac", "aac", "wav"])
@pytest.mark.parametrize("model", ["tts-1", "gpt-4o-mini-tts"])  # bare audio, events
async def test_each_format_is_decoded(
    server: Server, ear: Ear, model: str, response_format: str
) -> None:
    voice = openai.TTS(
        base_url=f"{server.http}/v1",
        api_key="any",
        model=model,
        response_format=response_format,
    )
    ear.expect((await listen(voice.synthesize(HELLO))).sound, HELLO)
    await voice.aclose()


async def test_a_stream_of_tokens_is_heard_before_it_ends(voice: openai.TTS, ear: Ear) -> None:
    words = [word + " " for word in STORY.split()]
    frames = await talk(tts.StreamAdapter(tts=voice).stream(), words, period_s=0.08)
    assert frames.recording.first_s < frames.last_text_s
    ear.expect(frames.sound, STORY)


async def test_closed_in_mid_speech_it_leaves_the_server_free(voice: openai.TTS, ear: Ear) -> None:
    for _ in range(3):
        stream = voice.synthesize("word " * 800)
        await anext(aiter(stream))
        await stream.aclose()
    asked_s = time.perf_counter()
    ear.expect((await listen(voice.synthesize(HELLO))).sound, HELLO)
    assert time.perf_counter() - asked_s < 5


async def test_a_wrong_key_is_refused(guarded: Server) -> None:
    voice = openai.TTS(base_url=f"{guarded.http}/v1", api_key=WRONG_KEY)
    with pytest.raises(APIStatusError) as refused:
        await listen(voice.synthesize(HELLO, conn_options=APIConnectOptions(max_retry=0)))
    assert refused.value.status_code == 401
    await voice.aclose()
