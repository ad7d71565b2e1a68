"""livekit-agents with its openai plugin."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from livekit.agents import APIConnectOptions, APIStatusError, tts
from livekit.plugins import openai

from tests.interop.conftest import WRONG_KEY
from tests.interop.listening import HELLO, STORY, SpeechChecker
from tests.interop.live_servers import RunningServer
from tests.interop.livekit_speech import push_and_read, read_stream


@pytest.fixture
async def voice(server: RunningServer) -> AsyncIterator[openai.TTS]:
    created = openai.TTS(base_url=f"{server.http}/v1", api_key="any", voice="ash")
    yield created
    await created.aclose()


async def test_synthesize_speaks_the_text(voice: openai.TTS, checker: SpeechChecker) -> None:
    checker.expect_speech((await read_stream(voice.synthesize(STORY))).clip, STORY)


@pytest.mark.parametrize("response_format", ["pcm", "opus", "flac", "aac", "wav"])
@pytest.mark.parametrize("model", ["tts-1", "gpt-4o-mini-tts"])  # raw audio, SSE
async def test_each_format_is_decoded(
    server: RunningServer, checker: SpeechChecker, model: str, response_format: str
) -> None:
    voice = openai.TTS(
        base_url=f"{server.http}/v1",
        api_key="any",
        model=model,
        response_format=response_format,
    )
    checker.expect_speech((await read_stream(voice.synthesize(HELLO))).clip, HELLO)
    await voice.aclose()


async def test_token_stream_is_heard_before_it_ends(
    voice: openai.TTS, checker: SpeechChecker
) -> None:
    words = [word + " " for word in STORY.split()]
    frames = await push_and_read(tts.StreamAdapter(tts=voice).stream(), words, period_s=0.08)
    assert frames.recording.first_s < frames.last_text_s
    checker.expect_speech(frames.clip, STORY)


async def test_closing_during_speech_frees_the_server(
    voice: openai.TTS, checker: SpeechChecker
) -> None:
    for _ in range(3):
        stream = voice.synthesize("word " * 800)
        await anext(aiter(stream))
        await stream.aclose()
    started_s = time.perf_counter()
    checker.expect_speech((await read_stream(voice.synthesize(HELLO))).clip, HELLO)
    assert time.perf_counter() - started_s < 5


async def test_wrong_key_is_refused(keyed_server: RunningServer) -> None:
    voice = openai.TTS(base_url=f"{keyed_server.http}/v1", api_key=WRONG_KEY)
    with pytest.raises(APIStatusError) as refused:
        await read_stream(voice.synthesize(HELLO, conn_options=APIConnectOptions(max_retry=0)))
    assert refused.value.status_code == 401
    await voice.aclose()
