"""pipecat with its ElevenLabs services: what theirs alone can do, and HTTP."""

from __future__ import annotations

import aiohttp
import pytest
from pipecat.services.elevenlabs.tts import ElevenLabsHttpTTSService, ElevenLabsTTSService
from pipecat.transcriptions.language import Language

from tests.interop.listening import STORY, Ear
from tests.interop.live_servers import Server
from tests.interop.pipecat_speakers import RACHEL, SENTENCES, elevenlabs, expect
from tests.interop.pipecat_turn import hear, response


async def test_voice_settings_are_heard(server: Server) -> None:
    seconds = []
    for speed in (1.0, 1.2):
        manner = ElevenLabsTTSService.Settings(
            voice=RACHEL, speed=speed, stability=0.4, language=Language.EN
        )
        listener = await hear(elevenlabs(server, settings=manner), response(SENTENCES))
        seconds.append(listener.sound.duration_s)
    assert seconds[0] / seconds[1] == pytest.approx(1.2, rel=0.07)


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
