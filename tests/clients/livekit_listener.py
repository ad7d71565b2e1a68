"""A LiveKit agent's ear: collects what a stream of its plugins brings."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from livekit.agents import APIConnectOptions
from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT

from tests.clients.listening import Recording, Sound, decode

ONCE = APIConnectOptions(max_retry=0, timeout=10)
"""Failures are seen, not tried again."""


@dataclass
class Heard:
    """What came: the audio, and the words with the seconds at which they begin."""

    rate_hz: int = 24000
    recording: Recording = field(default_factory=Recording)
    words: list[tuple[str, float]] = field(default_factory=list)

    @property
    def sound(self) -> Sound:
        """All of the audio."""
        return decode(self.recording.data, "s16le", self.rate_hz)


async def listen(stream: AsyncIterator[Any]) -> Heard:
    """Until the stream ends."""
    heard = Heard()
    async for event in stream:
        heard.rate_hz = event.frame.sample_rate
        heard.recording.add(bytes(event.frame.data))
        timed = event.frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])
        heard.words += [(str(word), word.start_time) for word in timed]
    return heard


async def speak(tts: Any, text: str, word_s: float = 0.0) -> tuple[Heard, float]:
    """Push the text word by word, as an agent does; returns what came, and when the text ended."""
    ended_s = 0.0

    async def write(stream: Any) -> None:
        nonlocal ended_s
        for word in text.split(" "):
            stream.push_text(word + " ")
            await asyncio.sleep(word_s)
        stream.end_input()
        ended_s = time.perf_counter()

    async with tts.stream(conn_options=ONCE) as stream:
        writing = asyncio.create_task(write(stream))
        heard = await listen(stream)
        await writing
    return heard, ended_s
