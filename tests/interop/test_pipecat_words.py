"""pipecat with its services that tell when each word is said: what holds for all of them."""

from __future__ import annotations

import pytest
from pipecat.frames.frames import InterruptionFrame
from pipecat.services.tts_service import TextAggregationMode
from pipecat.tests.utils import SleepFrame

from tests.interop.conftest import WRONG_KEY
from tests.interop.listening import HELLO, SENTENCE, STORY, Ear, decode
from tests.interop.live_servers import Server
from tests.interop.pipecat_speakers import (
    SENTENCES,
    Speaker,
    cartesia,
    elevenlabs,
    expect,
    expect_two_turns_on_one_socket,
)
from tests.interop.pipecat_turn import hear, response

TOKENS = {"text_aggregation_mode": TextAggregationMode.TOKEN}


@pytest.fixture(params=[cartesia, elevenlabs], ids=lambda speaker: speaker.__name__)
def speaker(request: pytest.FixtureRequest) -> Speaker:
    chosen: Speaker = request.param
    return chosen


async def test_a_turn_is_said_sentence_by_sentence(
    speaker: Speaker, server: Server, ear: Ear
) -> None:
    listener = await hear(speaker(server), response(SENTENCES))
    expect(ear, listener, STORY)
    assert listener.turns == 1


async def test_a_turn_of_tokens_is_said_without_a_break(
    speaker: Speaker, server: Server, ear: Ear
) -> None:
    tokens = [STORY[n : n + 4] for n in range(0, len(STORY), 4)]
    expect(ear, await hear(speaker(server, **TOKENS), response(tokens, period_s=0.01)), STORY)


async def test_tokens_are_heard_before_their_sentence_ends(
    speaker: Speaker, server: Server, ear: Ear
) -> None:
    words = [f"{word} " for word in SENTENCE.split()]
    listener = await hear(speaker(server, **TOKENS), response(words, period_s=0.06))
    assert listener.spoke_while_written
    ear.expect(listener.sound, SENTENCE)


async def test_two_turns_follow_each_other_on_one_socket(
    speaker: Speaker, server: Server, ear: Ear
) -> None:
    await expect_two_turns_on_one_socket(speaker(server), ear)


async def test_after_an_interruption_only_the_next_turn_is_heard(
    speaker: Speaker, server: Server, ear: Ear
) -> None:
    interruption = [SleepFrame(0.3), InterruptionFrame(), SleepFrame(0.5)]
    turns = [*response(SENTENCES * 30), *interruption, *response([HELLO])]
    listener = await hear(speaker(server), turns)
    assert listener.interrupted_at_s is not None
    later = listener.recording.after(listener.interrupted_at_s)
    ear.expect(decode(later, "s16le", 24000), HELLO)
    assert listener.sound.duration_s < 200, "the first turn was over before"


@pytest.mark.parametrize("rate_hz", [8000, 48000])
async def test_at_other_rates(speaker: Speaker, server: Server, ear: Ear, rate_hz: int) -> None:
    listener = await hear(speaker(server), response(SENTENCES), sample_rate_hz=rate_hz)
    assert listener.sample_rate_hz == rate_hz
    ear.expect(listener.sound, STORY)


async def test_a_wrong_key_is_an_error_of_the_pipeline(speaker: Speaker, guarded: Server) -> None:
    with pytest.raises(AssertionError, match=r"401|no audio"):
        await hear(speaker(guarded, api_key=WRONG_KEY), response(SENTENCES[:1]))


async def test_the_right_key_is_heard(speaker: Speaker, guarded: Server, ear: Ear) -> None:
    ear.expect((await hear(speaker(guarded), response([HELLO]))).sound, HELLO)
