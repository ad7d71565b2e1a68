"""pipecat's services that tell when each word is said, on one of our servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pipecat.services.cartesia.tts import CartesiaTTSService
from pipecat.services.elevenlabs.tts import ElevenLabsTTSService
from pipecat.services.tts_service import TTSService

from tests.interop.listening import STORY, Ear
from tests.interop.live_servers import Server
from tests.interop.pipecat_turn import Listener, hear, response
from tests.interop.timing import expect_timed, onset_s

Speaker = Callable[..., Any]

# Voices of the vendors: an application brings such ids along.
KATIE = "f786b574-daa5-4673-aa0c-cbe3e8534c02"
RACHEL = "21m00Tcm4TlvDq8ikWAM"
SENTENCES = [sentence.rstrip(".") + ". " for sentence in STORY.split(". ")]


def cartesia(server: Server, **options: Any) -> CartesiaTTSService:
    manner = CartesiaTTSService.Settings(voice=KATIE)
    options = {"api_key": server.key or "any", "settings": manner, **options}
    return CartesiaTTSService(url=f"{server.ws}/tts/websocket", **options)


def elevenlabs(server: Server, **options: Any) -> ElevenLabsTTSService:
    manner = ElevenLabsTTSService.Settings(voice=RACHEL)
    options = {"api_key": server.key or "any", "settings": manner, **options}
    return ElevenLabsTTSService(url=server.ws, **options)


def expect(ear: Ear, listener: Listener, text: str) -> None:
    """The text, with its words where they are said to be. pipecat counts from the first audio,
    but by a clock of its own: the first word is taken to begin with the first sound.
    """
    ear.expect(listener.sound, text)
    origin_s = listener.words[0][1] - onset_s(listener.sound)
    expect_timed(ear, listener.sound, text, listener.words, origin_s)


async def expect_two_turns_on_one_socket(service: TTSService, ear: Ear) -> None:
    """One turn after the other, over one connection."""
    connections: list[int] = []
    service.add_event_handler("on_connected", lambda _: connections.append(1))
    listener = await hear(service, [*response(SENTENCES[:1]), *response(SENTENCES[1:])])
    ear.expect(listener.sound, STORY)
    assert (listener.turns, len(connections)) == (2, 1)
