"""pipecat's services with word timestamps, connected to a local server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipecat.services.cartesia.tts import CartesiaTTSService
from pipecat.services.elevenlabs.tts import ElevenLabsTTSService
from pipecat.services.tts_service import TTSService

from tests.interop.listening import STORY, SpeechChecker
from tests.interop.live_servers import RunningServer
from tests.interop.pipecat_turn import AudioListener, llm_response, run_turn
from tests.interop.timing import expect_timed, find_onset_s

ServiceFactory = Callable[..., Any]

# The vendors' voice ids, as an unchanged application sends them.
KATIE = "f786b574-daa5-4673-aa0c-cbe3e8534c02"
RACHEL = "21m00Tcm4TlvDq8ikWAM"
SENTENCES = [sentence.rstrip(".") + ". " for sentence in STORY.split(". ")]


def cartesia_service(server: RunningServer, **options: Any) -> CartesiaTTSService:
    settings = CartesiaTTSService.Settings(voice=KATIE)
    options = {"api_key": server.key or "any", "settings": settings, **options}
    return CartesiaTTSService(url=f"{server.ws}/tts/websocket", **options)


def elevenlabs_service(server: RunningServer, **options: Any) -> ElevenLabsTTSService:
    settings = ElevenLabsTTSService.Settings(voice=RACHEL)
    options = {"api_key": server.key or "any", "settings": settings, **options}
    return ElevenLabsTTSService(url=server.ws, **options)


def expect_timed_speech(checker: SpeechChecker, listener: AudioListener, text: str) -> None:
    """Fail unless the text was spoken with correct word times. pipecat uses its own clock, so the
    first word is taken to start at the first audible sound.
    """
    checker.expect_speech(listener.clip, text)
    origin_s = listener.words[0][1] - find_onset_s(listener.clip)
    expect_timed(checker, listener.clip, text, listener.words, origin_s)


async def expect_two_turns_on_one_socket(service: TTSService, checker: SpeechChecker) -> None:
    """Speak two turns and check that they share one connection."""
    connections: list[int] = []
    service.add_event_handler("on_connected", lambda _: connections.append(1))
    listener = await run_turn(service, [*llm_response(SENTENCES[:1]), *llm_response(SENTENCES[1:])])
    checker.expect_speech(listener.clip, STORY)
    assert (listener.turns, len(connections)) == (2, 1)
