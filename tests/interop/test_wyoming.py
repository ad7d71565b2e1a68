"""wyoming's client in the order of Home Assistant's integration: what its satellite would play."""

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

from tests.interop.listening import HELLO, STORY, Ear, Recording, Sound
from tests.interop.live_servers import running_server


@dataclass
class Heard:
    """One answer."""

    recording: Recording = field(default_factory=Recording)
    rate_hz: int = 0

    @property
    def sound(self) -> Sound:
        return self.recording.sound("s16le", self.rate_hz)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of a server that speaks Wyoming."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free: int = listener.getsockname()[1]
    with running_server("--set", f"wyoming.port={free}"):
        yield free


async def describe(port: int) -> Info:
    """What Home Assistant does when the integration is set up."""
    async with AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(Describe().event())
        while True:
            event = await client.read_event()
            assert event is not None
            if Info.is_type(event.type):
                return Info.from_event(event)


async def get_tts_audio(port: int, text: str, voice: SynthesizeVoice | None = None) -> Heard:
    """A whole text, as in `async_get_tts_audio`."""
    heard = Heard()
    async with AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(Synthesize(text=text, voice=voice).event())
        while True:
            event = await client.read_event()
            assert event is not None, "connection lost"
            if AudioStop.is_type(event.type):
                return heard
            if AudioChunk.is_type(event.type):
                chunk = AudioChunk.from_event(event)
                assert (chunk.width, chunk.channels) == (2, 1)
                heard.rate_hz = chunk.rate
                heard.recording.add(chunk.audio)


async def write(client: AsyncTcpClient, pieces: Sequence[str], period_s: float) -> float:
    """As in `_write_tts_message`; returns when the last piece was written."""
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


async def read(client: AsyncTcpClient) -> Heard:
    """As in `_read_tts_audio`."""
    heard = Heard()
    while event := await client.read_event():
        if heard.rate_hz and AudioChunk.is_type(event.type):
            heard.recording.add(AudioChunk.from_event(event).audio)
        elif not heard.rate_hz and AudioStart.is_type(event.type):
            heard.rate_hz = AudioStart.from_event(event).rate
        elif SynthesizeStopped.is_type(event.type):
            return heard
    raise AssertionError("hung up before synthesize-stopped")


@pytest.fixture
async def client(port: int) -> AsyncIterator[AsyncTcpClient]:
    async with AsyncTcpClient("127.0.0.1", port) as made:
        yield made


async def test_home_assistant_finds_a_voice_and_streams(port: int) -> None:
    info = await describe(port)
    (program,) = [program for program in info.tts if program.installed]
    assert program.supports_synthesize_streaming
    installed = [voice for voice in program.voices if voice.installed]
    assert "heart" in [voice.name for voice in installed]
    assert all(voice.languages for voice in installed)


async def test_a_whole_text_is_said(port: int, ear: Ear) -> None:
    heard = await get_tts_audio(port, STORY, SynthesizeVoice(name="heart"))
    ear.expect(heard.sound, STORY)


async def test_an_answer_is_heard_while_it_is_written_and_only_once(
    client: AsyncTcpClient, ear: Ear
) -> None:
    words = [word + " " for word in STORY.split()]
    written_s, heard = await asyncio.gather(write(client, words, 0.08), read(client))
    assert heard.recording.first_s < written_s
    ear.expect(heard.sound, STORY)


async def test_an_answer_without_words_ends(client: AsyncTcpClient) -> None:
    async with asyncio.timeout(5):
        _, heard = await asyncio.gather(write(client, ["🙂"], 0), read(client))
    assert heard.sound.duration_s < 0.5


async def test_closed_in_mid_speech_it_leaves_the_server_free(port: int, ear: Ear) -> None:
    for _ in range(3):
        async with AsyncTcpClient("127.0.0.1", port) as client:
            await write(client, [STORY] * 10, 0)
            while event := await client.read_event():
                if AudioChunk.is_type(event.type):
                    break
    asked_s = time.perf_counter()
    ear.expect((await get_tts_audio(port, HELLO)).sound, HELLO)
    assert time.perf_counter() - asked_s < 5
