"""pipecat with its OpenAI service."""

from __future__ import annotations

import pytest
from pipecat.services.openai.tts import OpenAITTSService

from tests.interop.conftest import WRONG_KEY
from tests.interop.listening import STORY, SpeechChecker
from tests.interop.live_servers import RunningServer
from tests.interop.pipecat_speakers import SENTENCES
from tests.interop.pipecat_turn import llm_response, run_turn


def service(server: RunningServer, key: str = "any") -> OpenAITTSService:
    return OpenAITTSService(
        base_url=f"{server.http}/v1",
        api_key=key,
        settings=OpenAITTSService.Settings(voice="nova"),
    )


async def test_turn_is_spoken_by_sentences(server: RunningServer, checker: SpeechChecker) -> None:
    listener = await run_turn(service(server), llm_response(SENTENCES))
    checker.expect_speech(listener.clip, STORY)


async def test_turn_written_by_words_is_heard_before_it_ends(
    server: RunningServer, checker: SpeechChecker
) -> None:
    words = [word + " " for word in STORY.split()]
    listener = await run_turn(service(server), llm_response(words, period_s=0.08))
    assert listener.spoke_while_written
    checker.expect_speech(listener.clip, STORY)


async def test_interruption_stops_audio(server: RunningServer) -> None:
    listener = await run_turn(service(server), llm_response(SENTENCES * 4), interrupt_after_s=0.5)
    assert listener.interrupted_at_s is not None
    assert not listener.recording.data_after(listener.interrupted_at_s + 0.1)
    assert listener.clip.duration_s < 2


async def test_wrong_key_is_a_pipeline_error(keyed_server: RunningServer) -> None:
    with pytest.raises(AssertionError, match="401"):
        await run_turn(service(keyed_server, WRONG_KEY), llm_response(SENTENCES[:1]))
