"""pipecat with its ElevenLabs services: their own features, and HTTP."""

from __future__ import annotations

import aiohttp
import pytest
from pipecat.services.elevenlabs.tts import ElevenLabsHttpTTSService, ElevenLabsTTSService
from pipecat.transcriptions.language import Language

from tests.interop.listening import STORY, SpeechChecker
from tests.interop.live_servers import RunningServer
from tests.interop.pipecat_speakers import (
    RACHEL,
    SENTENCES,
    elevenlabs_service,
    expect_timed_speech,
)
from tests.interop.pipecat_turn import llm_response, run_turn


async def test_voice_settings_are_applied(server: RunningServer) -> None:
    seconds = []
    for speed in (1.0, 1.2):
        settings = ElevenLabsTTSService.Settings(
            voice=RACHEL, speed=speed, stability=0.4, language=Language.EN
        )
        listener = await run_turn(
            elevenlabs_service(server, settings=settings), llm_response(SENTENCES)
        )
        seconds.append(listener.clip.duration_s)
    assert seconds[0] / seconds[1] == pytest.approx(1.2, rel=0.07)


@pytest.mark.parametrize("rate_hz", [24000, 48000])
async def test_turn_is_spoken_over_http(
    server: RunningServer, checker: SpeechChecker, rate_hz: int
) -> None:
    async with aiohttp.ClientSession() as session:
        voice = ElevenLabsHttpTTSService(
            api_key="any",
            aiohttp_session=session,
            base_url=server.http,
            settings=ElevenLabsHttpTTSService.Settings(voice=RACHEL, stability=0.5),
        )
        listener = await run_turn(voice, llm_response(SENTENCES), sample_rate_hz=rate_hz)
    expect_timed_speech(checker, listener, STORY)


async def test_interruption_stops_audio_over_http(server: RunningServer) -> None:
    async with aiohttp.ClientSession() as session:
        voice = ElevenLabsHttpTTSService(
            api_key="any",
            aiohttp_session=session,
            base_url=server.http,
            settings=ElevenLabsHttpTTSService.Settings(voice=RACHEL),
        )
        listener = await run_turn(voice, llm_response(SENTENCES * 4), interrupt_after_s=0.5)
    assert listener.interrupted_at_s is not None
    assert not listener.recording.data_after(listener.interrupted_at_s + 0.1)
    assert listener.clip.duration_s < 4
