"""pipecat with its word-timestamp services: behaviour common to all."""

from __future__ import annotations

import pytest
from pipecat.frames.frames import InterruptionFrame
from pipecat.services.tts_service import TextAggregationMode
from pipecat.tests.utils import SleepFrame

from tests.interop.conftest import WRONG_KEY
from tests.interop.listening import HELLO, SENTENCE, STORY, SpeechChecker, decode
from tests.interop.live_servers import RunningServer
from tests.interop.pipecat_speakers import (
    SENTENCES,
    ServiceFactory,
    cartesia_service,
    elevenlabs_service,
    expect_timed_speech,
    expect_two_turns_on_one_socket,
)
from tests.interop.pipecat_turn import llm_response, run_turn

TOKENS = {"text_aggregation_mode": TextAggregationMode.TOKEN}


@pytest.fixture(
    params=[cartesia_service, elevenlabs_service],
    ids=lambda create_service: create_service.__name__,
)
def create_service(request: pytest.FixtureRequest) -> ServiceFactory:
    factory: ServiceFactory = request.param
    return factory


async def test_turn_is_spoken_by_sentences(
    create_service: ServiceFactory, server: RunningServer, checker: SpeechChecker
) -> None:
    listener = await run_turn(create_service(server), llm_response(SENTENCES))
    expect_timed_speech(checker, listener, STORY)
    assert listener.turns == 1


async def test_turn_of_tokens_is_spoken_without_gaps(
    create_service: ServiceFactory, server: RunningServer, checker: SpeechChecker
) -> None:
    tokens = [STORY[n : n + 4] for n in range(0, len(STORY), 4)]
    expect_timed_speech(
        checker,
        await run_turn(create_service(server, **TOKENS), llm_response(tokens, period_s=0.01)),
        STORY,
    )


async def test_tokens_are_heard_before_the_sentence_ends(
    create_service: ServiceFactory, server: RunningServer, checker: SpeechChecker
) -> None:
    words = [f"{word} " for word in SENTENCE.split()]
    listener = await run_turn(create_service(server, **TOKENS), llm_response(words, period_s=0.06))
    assert listener.spoke_while_written
    checker.expect_speech(listener.clip, SENTENCE)


async def test_two_turns_share_one_socket(
    create_service: ServiceFactory, server: RunningServer, checker: SpeechChecker
) -> None:
    await expect_two_turns_on_one_socket(create_service(server), checker)


async def test_only_the_next_turn_is_heard_after_an_interruption(
    create_service: ServiceFactory, server: RunningServer, checker: SpeechChecker
) -> None:
    interruption = [SleepFrame(0.3), InterruptionFrame(), SleepFrame(0.5)]
    turns = [*llm_response(SENTENCES * 30), *interruption, *llm_response([HELLO])]
    listener = await run_turn(create_service(server), turns)
    assert listener.interrupted_at_s is not None
    later = listener.recording.data_after(listener.interrupted_at_s)
    checker.expect_speech(decode(later, "s16le", 24000), HELLO)
    assert listener.clip.duration_s < 200, "the first turn had already ended"


@pytest.mark.parametrize("rate_hz", [8000, 48000])
async def test_turn_is_spoken_at_other_sample_rates(
    create_service: ServiceFactory, server: RunningServer, checker: SpeechChecker, rate_hz: int
) -> None:
    listener = await run_turn(
        create_service(server), llm_response(SENTENCES), sample_rate_hz=rate_hz
    )
    assert listener.sample_rate_hz == rate_hz
    checker.expect_speech(listener.clip, STORY)


async def test_wrong_key_is_a_pipeline_error(
    create_service: ServiceFactory, keyed_server: RunningServer
) -> None:
    with pytest.raises(AssertionError, match=r"401|no audio"):
        await run_turn(create_service(keyed_server, api_key=WRONG_KEY), llm_response(SENTENCES[:1]))


async def test_right_key_is_accepted(
    create_service: ServiceFactory, keyed_server: RunningServer, checker: SpeechChecker
) -> None:
    checker.expect_speech(
        (await run_turn(create_service(keyed_server), llm_response([HELLO]))).clip, HELLO
    )
