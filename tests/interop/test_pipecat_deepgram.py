"""pipecat with its Deepgram services."""

from __future__ import annotations

import aiohttp
import pytest
from pipecat.frames.frames import InterruptionFrame
from pipecat.services.deepgram.tts import DeepgramHttpTTSService, DeepgramTTSService
from pipecat.tests.utils import SleepFrame

from tests.interop.conftest import WRONG_KEY
from tests.interop.listening import HELLO, STORY, SpeechChecker, decode
from tests.interop.live_servers import RunningServer
from tests.interop.pipecat_speakers import SENTENCES, expect_two_turns_on_one_socket
from tests.interop.pipecat_turn import llm_response, run_turn


def service(server: RunningServer, key: str = "any") -> DeepgramTTSService:
    return DeepgramTTSService(base_url=server.ws, api_key=key)


async def test_turn_is_spoken_by_sentences(server: RunningServer, checker: SpeechChecker) -> None:
    listener = await run_turn(service(server), llm_response(SENTENCES))
    checker.expect_speech(listener.clip, STORY)


async def test_two_turns_share_one_socket(server: RunningServer, checker: SpeechChecker) -> None:
    await expect_two_turns_on_one_socket(service(server), checker)


async def test_turn_written_by_words_is_heard_before_it_ends(
    server: RunningServer, checker: SpeechChecker
) -> None:
    words = [word + " " for word in STORY.split()]
    listener = await run_turn(service(server), llm_response(words, period_s=0.08))
    assert listener.spoke_while_written
    checker.expect_speech(listener.clip, STORY)


async def test_only_the_next_turn_is_heard_after_an_interruption(
    server: RunningServer, checker: SpeechChecker
) -> None:
    interruption = [SleepFrame(0.5), InterruptionFrame(), SleepFrame(0.5)]
    turns = [*llm_response(SENTENCES * 30), *interruption, *llm_response([HELLO])]
    listener = await run_turn(service(server), turns)
    assert listener.interrupted_at_s is not None
    before = listener.recording.first_s < listener.interrupted_at_s
    assert before, "no audio before the interruption"
    later = listener.recording.data_after(listener.interrupted_at_s)
    checker.expect_speech(decode(later, "s16le", 24000), HELLO)
    assert listener.clip.duration_s < 200, "the first turn had already ended"


async def test_turn_is_spoken_at_8_khz(server: RunningServer, checker: SpeechChecker) -> None:
    listener = await run_turn(service(server), llm_response(SENTENCES), sample_rate_hz=8000)
    assert listener.sample_rate_hz == 8000
    checker.expect_speech(listener.clip, STORY)


async def test_turn_is_spoken_over_http(server: RunningServer, checker: SpeechChecker) -> None:
    async with aiohttp.ClientSession() as session:
        voice = DeepgramHttpTTSService(api_key="any", aiohttp_session=session, base_url=server.http)
        checker.expect_speech((await run_turn(voice, llm_response(SENTENCES))).clip, STORY)


async def test_interruption_stops_audio_over_http(server: RunningServer) -> None:
    async with aiohttp.ClientSession() as session:
        voice = DeepgramHttpTTSService(api_key="any", aiohttp_session=session, base_url=server.http)
        listener = await run_turn(voice, llm_response(SENTENCES * 4), interrupt_after_s=0.5)
    assert listener.interrupted_at_s is not None
    assert not listener.recording.data_after(listener.interrupted_at_s + 0.1)
    assert listener.clip.duration_s < 4


async def test_wrong_key_is_a_pipeline_error_with_the_reason(
    keyed_server: RunningServer,
) -> None:
    with pytest.raises(AssertionError, match=r"HTTP 401.*API key"):
        await run_turn(service(keyed_server, WRONG_KEY), llm_response(SENTENCES[:1]))
    async with aiohttp.ClientSession() as session:
        voice = DeepgramHttpTTSService(
            api_key=WRONG_KEY, aiohttp_session=session, base_url=keyed_server.http
        )
        with pytest.raises(AssertionError, match="INVALID_AUTH"):
            await run_turn(voice, llm_response(SENTENCES[:1]))
