"""pipecat with its Deepgram services."""

from __future__ import annotations

import aiohttp
import pytest
from pipecat.frames.frames import InterruptionFrame
from pipecat.services.deepgram.tts import DeepgramHttpTTSService, DeepgramTTSService
from pipecat.tests.utils import SleepFrame

from tests.interop.conftest import WRONG_KEY
from tests.interop.listening import HELLO, STORY, Ear, decode
from tests.interop.live_servers import Server
from tests.interop.pipecat_speakers import SENTENCES, expect_two_turns_on_one_socket
from tests.interop.pipecat_turn import hear, response


def service(server: Server, key: str = "any") -> DeepgramTTSService:
    return DeepgramTTSService(base_url=server.ws, api_key=key)


async def test_a_turn_is_said_sentence_by_sentence(server: Server, ear: Ear) -> None:
    listener = await hear(service(server), response(SENTENCES))
    ear.expect(listener.sound, STORY)


async def test_two_turns_follow_each_other_on_one_socket(server: Server, ear: Ear) -> None:
    await expect_two_turns_on_one_socket(service(server), ear)


async def test_a_turn_written_word_by_word_is_heard_before_it_ends(
    server: Server, ear: Ear
) -> None:
    words = [word + " " for word in STORY.split()]
    listener = await hear(service(server), response(words, period_s=0.08))
    assert listener.spoke_while_written
    ear.expect(listener.sound, STORY)


async def test_after_an_interruption_only_the_next_turn_is_heard(server: Server, ear: Ear) -> None:
    interruption = [SleepFrame(0.5), InterruptionFrame(), SleepFrame(0.5)]
    turns = [*response(SENTENCES * 30), *interruption, *response([HELLO])]
    listener = await hear(service(server), turns)
    assert listener.interrupted_at_s is not None
    before = listener.recording.first_s < listener.interrupted_at_s
    assert before, "nothing was heard that could be interrupted"
    later = listener.recording.after(listener.interrupted_at_s)
    ear.expect(decode(later, "s16le", 24000), HELLO)
    assert listener.sound.duration_s < 200, "the first turn was over before"


async def test_at_the_telephones_rate(server: Server, ear: Ear) -> None:
    listener = await hear(service(server), response(SENTENCES), sample_rate_hz=8000)
    assert listener.sample_rate_hz == 8000
    ear.expect(listener.sound, STORY)


async def test_over_http_a_turn_is_said(server: Server, ear: Ear) -> None:
    async with aiohttp.ClientSession() as session:
        voice = DeepgramHttpTTSService(api_key="any", aiohttp_session=session, base_url=server.http)
        ear.expect((await hear(voice, response(SENTENCES))).sound, STORY)


async def test_over_http_nothing_is_heard_after_an_interruption(server: Server) -> None:
    async with aiohttp.ClientSession() as session:
        voice = DeepgramHttpTTSService(api_key="any", aiohttp_session=session, base_url=server.http)
        listener = await hear(voice, response(SENTENCES * 4), interrupt_after_s=0.5)
    assert listener.interrupted_at_s is not None
    assert not listener.recording.after(listener.interrupted_at_s + 0.1)
    assert listener.sound.duration_s < 4


async def test_a_wrong_key_is_an_error_of_the_pipeline_that_says_why(guarded: Server) -> None:
    with pytest.raises(AssertionError, match=r"HTTP 401.*API key"):
        await hear(service(guarded, WRONG_KEY), response(SENTENCES[:1]))
    async with aiohttp.ClientSession() as session:
        voice = DeepgramHttpTTSService(
            api_key=WRONG_KEY, aiohttp_session=session, base_url=guarded.http
        )
        with pytest.raises(AssertionError, match="INVALID_AUTH"):
            await hear(voice, response(SENTENCES[:1]))
