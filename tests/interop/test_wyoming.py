"""wyoming's client, used as Home Assistant's integration does."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.info import Describe, Info
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)

from tests.interop.listening import HELLO, STORY, AudioClip, SpeechChecker, TimedRecording
from tests.interop.live_servers import running_server


@dataclass
class HeardResponse:
    """One response."""

    recording: TimedRecording = field(default_factory=TimedRecording)
    rate_hz: int = 0

    @property
    def clip(self) -> AudioClip:
        return self.recording.clip("s16le", self.rate_hz)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The Wyoming port of a running server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free: int = listener.getsockname()[1]
    with running_server("--set", f"wyoming.port={free}"):
        yield free


async def describe(port: int) -> Info:
    """Describe, as Home Assistant does during setup."""
    async with AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(Describe().event())
        while True:
            event = await client.read_event()
            assert event is not None
            if Info.is_type(event.type):
                return Info.from_event(event)


async def get_tts_audio(
    port: int, text: str, voice: SynthesizeVoice | None = None
) -> HeardResponse:
    """Speak a whole text, as `async_get_tts_audio` does."""
    received = HeardResponse()
    async with AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(Synthesize(text=text, voice=voice).event())
        while True:
            event = await client.read_event()
            assert event is not None, "connection lost"
            if AudioStop.is_type(event.type):
                return received
            if AudioChunk.is_type(event.type):
                chunk = AudioChunk.from_event(event)
                assert (chunk.width, chunk.channels) == (2, 1)
                received.rate_hz = chunk.rate
                received.recording.add_piece(chunk.audio)


async def write_message(client: AsyncTcpClient, pieces: Sequence[str], period_s: float) -> float:
    """Write as `_write_tts_message` does; returns the time of the last piece."""
    await client.write_event(SynthesizeStart().event())
    message, last_s = "", 0.0
    for piece in pieces:
        message += piece
        await client.write_event(SynthesizeChunk(text=piece).event())
        last_s = time.perf_counter()
        await asyncio.sleep(period_s)
    await client.write_event(Synthesize(text=message).event())
    await client.write_event(SynthesizeStop().event())
    return last_s


async def read_response(client: AsyncTcpClient) -> HeardResponse:
    """Read as `_read_tts_audio` does."""
    received = HeardResponse()
    while event := await client.read_event():
        if received.rate_hz and AudioChunk.is_type(event.type):
            received.recording.add_piece(AudioChunk.from_event(event).audio)
        elif not received.rate_hz and AudioStart.is_type(event.type):
            received.rate_hz = AudioStart.from_event(event).rate
        elif SynthesizeStopped.is_type(event.type):
            return received
    raise AssertionError("closed before synthesize-stopped")


@pytest.fixture
async def client(port: int) -> AsyncIterator[AsyncTcpClient]:
    async with AsyncTcpClient("127.0.0.1", port) as created:
        yield created


async def test_home_assistant_finds_a_voice_and_streams(port: int) -> None:
    info = await describe(port)
    (program,) = [program for program in info.tts if program.installed]
    assert program.supports_synthesize_streaming
    installed = [voice for voice in program.voices if voice.installed]
    assert "heart" in [voice.name for voice in installed]
    assert all(voice.languages for voice in installed)


async def test_whole_text_is_spoken(port: int, checker: SpeechChecker) -> None:
    received = await get_tts_audio(port, STORY, SynthesizeVoice(name="heart"))
    checker.expect_speech(received.clip, STORY)


async def test_response_is_heard_while_written_and_only_once(
    client: AsyncTcpClient, checker: SpeechChecker
) -> None:
    words = [word + " " for word in STORY.split()]
    written_s, received = await asyncio.gather(
        write_message(client, words, 0.08), read_response(client)
    )
    assert received.recording.first_s < written_s
    checker.expect_speech(received.clip, STORY)


async def test_response_without_words_ends(client: AsyncTcpClient) -> None:
    async with asyncio.timeout(5):
        _, received = await asyncio.gather(write_message(client, ["🙂"], 0), read_response(client))
    assert received.clip.duration_s < 0.5


async def test_closing_during_speech_frees_the_server(port: int, checker: SpeechChecker) -> None:
    for _ in range(3):
        async with AsyncTcpClient("127.0.0.1", port) as client:
            await write_message(client, [STORY] * 10, 0)
            while event := await client.read_event():
                if AudioChunk.is_type(event.type):
                    break
    started_s = time.perf_counter()
    checker.expect_speech((await get_tts_audio(port, HELLO)).clip, HELLO)
    assert time.perf_counter() - started_s < 5
