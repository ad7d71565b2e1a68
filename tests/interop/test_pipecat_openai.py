"""pipecat with its OpenAI service."""

from __future__ import annotations

import pytest
from pipecat.services.openai.tts import OpenAITTSService

from tests.interop.conftest import WRONG_KEY
from tests.interop.listening import STORY, Ear
from tests.interop.live_servers import Server
from tests.interop.pipecat_speakers import SENTENCES
from tests.interop.pipecat_turn import hear, response


def service(server: Server, key: str = "any") -> OpenAITTSService:
    return OpenAITTSService(
        base_url=f"{server.http}/v1",
        api_key=key,
        settings=OpenAITTSService.Settings(voice="nova"),
    )


async def test_a_turn_is_said_sentence_by_sentence(server: Server, ear: Ear) -> None:
    listener = await hear(service(server), response(SENTENCES))
    ear.expect(listener.sound, STORY)


async def test_a_turn_written_word_by_word_is_heard_before_it_ends(
    server: Server, ear: Ear
) -> None:
    words = [word + " " for word in STORY.split()]
    listener = await hear(service(server), response(words, period_s=0.08))
    assert listener.spoke_while_written
    ear.expect(listener.sound, STORY)


async def test_after_an_interruption_nothing_is_heard(server: Server) -> None:
    listener = await hear(service(server), response(SENTENCES * 4), interrupt_after_s=0.5)
    assert listener.interrupted_at_s is not None
    assert not listener.recording.after(listener.interrupted_at_s + 0.1)
    assert listener.sound.duration_s < 2


async def test_a_wrong_key_is_an_error_of_the_pipeline(guarded: Server) -> None:
    with pytest.raises(AssertionError, match="401"):
        await hear(service(guarded, WRONG_KEY), response(SENTENCES[:1]))
