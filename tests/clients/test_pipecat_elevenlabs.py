"""pipecat with its ElevenLabs services."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from pipecat.frames.frames import InterruptionFrame
from pipecat.services.elevenlabs.tts import ElevenLabsHttpTTSService, ElevenLabsTTSService
from pipecat.services.tts_service import TextAggregationMode
from pipecat.tests.utils import SleepFrame
from pipecat.transcriptions.language import Language

from tests.clients.conftest import WRONG_KEY
from tests.clients.listening import HELLO, SENTENCE, STORY, Ear, decode
from tests.clients.live_servers import Server
from tests.clients.pipecat_turn import Listener, hear, response
from tests.clients.timing import expect_timed, onset_s

RACHEL = "21m00Tcm4TlvDq8ikWAM"  # one of the vendor's: an application brings such ids along
SENTENCES = [sentence.rstrip(".") + ". " for sentence in STORY.split(". ")]
TOKENS = {"text_aggregation_mode": TextAggregationMode.TOKEN}


def service(server: Server, **options: Any) -> ElevenLabsTTSService:
    manner = ElevenLabsTTSService.Settings(voice=RACHEL)
    options = {"api_key": server.key or "any", "settings": manner, **options}
    return ElevenLabsTTSService(url=server.ws, **options)


def words(text: str) -> list[str]:
    return [f"{word} " for word in text.split()]


def expect(ear: Ear, listener: Listener, text: str) -> None:
    """The text, with its words where they are said to be. pipecat counts from the first audio,
    but by a clock of its own: the first word is taken to begin with the first sound.
    """
    ear.expect(listener.sound, text)
    origin_s = listener.words[0][1] - onset_s(listener.sound)
    expect_timed(ear, listener.sound, text, listener.words, origin_s)


async def test_a_turn_is_said_sentence_by_sentence(server: Server, ear: Ear) -> None:
    listener = await hear(service(server), response(SENTENCES))
    expect(ear, listener, STORY)
    assert listener.turns == 1


async def test_a_turn_of_tokens_is_said_without_a_break(server: Server, ear: Ear) -> None:
    tokens = [STORY[n : n + 4] for n in range(0, len(STORY), 4)]
    expect(ear, await hear(service(server, **TOKENS), response(tokens, period_s=0.01)), STORY)


async def test_tokens_are_heard_before_their_sentence_ends(server: Server, ear: Ear) -> None:
    listener = await hear(service(server, **TOKENS), response(words(SENTENCE), period_s=0.06))
    assert listener.spoke_while_written
    ear.expect(listener.sound, SENTENCE)


async def test_two_turns_follow_each_other_on_one_socket(server: Server, ear: Ear) -> None:
    speaker, connections = service(server), []
    speaker.add_event_handler("on_connected", lambda _: connections.append(1))
    turns = [*response(SENTENCES[:1]), *response(SENTENCES[1:])]
    listener = await hear(speaker, turns)
    ear.expect(listener.sound, STORY)
    assert (listener.turns, len(connections)) == (2, 1)


async def test_after_an_interruption_only_the_next_turn_is_heard(server: Server, ear: Ear) -> None:
    interruption = [SleepFrame(0.3), InterruptionFrame(), SleepFrame(0.5)]
    turns = [*response(SENTENCES * 30), *interruption, *response([HELLO])]
    listener = await hear(service(server), turns)
    assert listener.interrupted_at_s is not None
    later = listener.recording.after(listener.interrupted_at_s)
    ear.expect(decode(later, "s16le", 24000), HELLO)
    assert listener.sound.duration_s < 200, "the first turn was over before"


async def test_voice_settings_are_heard(server: Server) -> None:
    seconds = []
    for speed in (1.0, 1.2):
        manner = ElevenLabsTTSService.Settings(
            voice=RACHEL, speed=speed, stability=0.4, language=Language.EN
        )
        listener = await hear(service(server, settings=manner), response(SENTENCES))
        seconds.append(listener.sound.duration_s)
    assert seconds[0] / seconds[1] == pytest.approx(1.2, rel=0.07)


@pytest.mark.parametrize("rate_hz", [8000, 48000])
async def test_at_other_rates(server: Server, ear: Ear, rate_hz: int) -> None:
    listener = await hear(service(server), response(SENTENCES), sample_rate_hz=rate_hz)
    assert listener.sample_rate_hz == rate_hz
    ear.expect(listener.sound, STORY)


@pytest.mark.parametrize("rate_hz", [24000, 48000])
async def test_over_http_a_turn_is_said(server: Server, ear: Ear, rate_hz: int) -> None:
    async with aiohttp.ClientSession() as session:
        voice = ElevenLabsHttpTTSService(
            api_key="any",
            aiohttp_session=session,
            base_url=server.http,
            settings=ElevenLabsHttpTTSService.Settings(voice=RACHEL, stability=0.5),
        )
        listener = await hear(voice, response(SENTENCES), sample_rate_hz=rate_hz)
    expect(ear, listener, STORY)


async def test_over_http_nothing_is_heard_after_an_interruption(server: Server) -> None:
    async with aiohttp.ClientSession() as session:
        voice = ElevenLabsHttpTTSService(
            api_key="any",
            aiohttp_session=session,
            base_url=server.http,
            settings=ElevenLabsHttpTTSService.Settings(voice=RACHEL),
        )
        listener = await hear(voice, response(SENTENCES * 4), interrupt_after_s=0.5)
    assert listener.interrupted_at_s is not None
    assert not listener.recording.after(listener.interrupted_at_s + 0.1)
    assert listener.sound.duration_s < 4


async def test_a_wrong_key_is_an_error_of_the_pipeline(guarded: Server) -> None:
    with pytest.raises(AssertionError, match="401"):
        await hear(service(guarded, api_key=WRONG_KEY), response(SENTENCES[:1]))


async def test_the_right_key_is_heard(guarded: Server, ear: Ear) -> None:
    ear.expect((await hear(service(guarded), response([HELLO]))).sound, HELLO)
