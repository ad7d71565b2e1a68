"""pipecat with its Cartesia services: their own features, and HTTP."""

from __future__ import annotations

import pytest
from pipecat.services.cartesia.tts import (
    CartesiaHttpTTSService,
    CartesiaTTSService,
    GenerationConfig,
)

from tests.interop.listening import STORY, SpeechChecker
from tests.interop.live_servers import RunningServer
from tests.interop.pipecat_speakers import KATIE, SENTENCES, cartesia_service
from tests.interop.pipecat_turn import llm_response, run_turn


def http_service(server: RunningServer) -> CartesiaHttpTTSService:
    settings = CartesiaHttpTTSService.Settings(voice=KATIE)
    return CartesiaHttpTTSService(api_key="any", base_url=server.http, settings=settings)


async def test_speed_changes_the_duration(server: RunningServer) -> None:
    seconds = []
    for speed in (1.0, 1.4):
        config = GenerationConfig(speed=speed, emotion="excited")
        settings = CartesiaTTSService.Settings(voice=KATIE, generation_config=config)
        listener = await run_turn(
            cartesia_service(server, settings=settings), llm_response(SENTENCES)
        )
        seconds.append(listener.clip.duration_s)
    assert seconds[0] / seconds[1] == pytest.approx(1.4, rel=0.07)


async def test_turn_is_spoken_over_http(server: RunningServer, checker: SpeechChecker) -> None:
    checker.expect_speech(
        (await run_turn(http_service(server), llm_response(SENTENCES))).clip, STORY
    )


async def test_interruption_stops_audio_over_http(server: RunningServer) -> None:
    listener = await run_turn(
        http_service(server), llm_response(SENTENCES * 4), interrupt_after_s=0.5
    )
    assert listener.interrupted_at_s is not None
    assert not listener.recording.data_after(listener.interrupted_at_s + 0.1)
    assert listener.clip.duration_s < 4
