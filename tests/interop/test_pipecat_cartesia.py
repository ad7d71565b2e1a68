"""pipecat with its Cartesia services: what theirs alone can do, and HTTP."""

from __future__ import annotations

import pytest
from pipecat.services.cartesia.tts import (
    CartesiaHttpTTSService,
    CartesiaTTSService,
    GenerationConfig,
)

from tests.interop.listening import STORY, Ear
from tests.interop.live_servers import Server
from tests.interop.pipecat_speakers import KATIE, SENTENCES, cartesia
from tests.interop.pipecat_turn import hear, response


def http_service(server: Server) -> CartesiaHttpTTSService:
    manner = CartesiaHttpTTSService.Settings(voice=KATIE)
    return CartesiaHttpTTSService(api_key="any", base_url=server.http, settings=manner)


async def test_speed_is_heard(server: Server) -> None:
    seconds = []
    for speed in (1.0, 1.4):
        config = GenerationConfig(speed=speed, emotion="excited")
        manner = CartesiaTTSService.Settings(voice=KATIE, generation_config=config)
        listener = await hear(cartesia(server, settings=manner), response(SENTENCES))
        seconds.append(listener.sound.duration_s)
    assert seconds[0] / seconds[1] == pytest.approx(1.4, rel=0.07)


async def test_over_http_a_turn_is_said(server: Server, ear: Ear) -> None:
    ear.expect((await hear(http_service(server), response(SENTENCES))).sound, STORY)


async def test_over_http_nothing_is_heard_after_an_interruption(server: Server) -> None:
    listener = await hear(http_service(server), response(SENTENCES * 4), interrupt_after_s=0.5)
    assert listener.interrupted_at_s is not None
    assert not listener.recording.after(listener.interrupted_at_s + 0.1)
    assert listener.sound.duration_s < 4
