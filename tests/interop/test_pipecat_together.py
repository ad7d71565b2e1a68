"""pipecat with its Together service."""

from __future__ import annotations

import pytest
from pipecat.frames.frames import InterruptionFrame
from pipecat.services.together.tts import TogetherTTSService
from pipecat.tests.utils import SleepFrame

from tests.interop.conftest import WRONG_KEY
from tests.interop.listening import HELLO, STORY, SpeechChecker, decode
from tests.interop.live_servers import RunningServer
from tests.interop.pipecat_speakers import SENTENCES, expect_two_turns_on_one_socket
from tests.interop.pipecat_turn import llm_response, run_turn


def service(server: RunningServer, key: str = "any") -> TogetherTTSService:
    return TogetherTTSService(url=f"{server.ws}/v1/audio/speech/websocket", api_key=key)


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


async def test_a_long_turn_is_spoken_to_its_end(
    server: RunningServer, checker: SpeechChecker
) -> None:
    """More sentences than a connection has contexts."""
    listener = await run_turn(service(server), llm_response(SENTENCES * 5))
    checker.expect_speech(listener.clip, " ".join([STORY] * 5))


async def test_only_the_next_turn_is_heard_after_an_interruption(
    server: RunningServer, checker: SpeechChecker
) -> None:
    interruption = [SleepFrame(0.5), InterruptionFrame(), SleepFrame(1.5)]
    turns = [*llm_response(SENTENCES * 30), *interruption, *llm_response([HELLO])]
    listener = await run_turn(service(server), turns)
    assert listener.interrupted_at_s is not None
    later = listener.recording.data_after(listener.interrupted_at_s + 1)
    checker.expect_speech(decode(later, "s16le", 24000), HELLO)
    assert listener.clip.duration_s < 200, "the first turn had already ended"


async def test_two_turns_share_one_socket(server: RunningServer, checker: SpeechChecker) -> None:
    await expect_two_turns_on_one_socket(service(server), checker)


async def test_wrong_key_is_a_pipeline_error_with_the_reason(keyed_server: RunningServer) -> None:
    with pytest.raises(AssertionError, match="HTTP 401"):
        await run_turn(service(keyed_server, WRONG_KEY), llm_response(SENTENCES[:1]))
