"""How livekit-agents speaks in a call: text pushed piece by piece, frames as they are played."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT

from tests.interop.listening import Recording, Sound


class Frames:
    """What a livekit stream gave, with the times of arrival."""

    def __init__(self) -> None:
        self.recording = Recording()
        self.sample_rate_hz = 0
        self.words: list[tuple[str, float]] = []
        """The words that the frames name, with the seconds at which they begin."""
        self.last_text_s = 0.0
        """When the last piece of text was pushed."""

    def add(self, frame: Any) -> None:
        """A `livekit.rtc.AudioFrame`."""
        self.sample_rate_hz = frame.sample_rate
        self.recording.add(bytes(frame.data))
        timed = frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])
        self.words += [(str(word), word.start_time) for word in timed]

    @property
    def sound(self) -> Sound:
        """All of it."""
        return self.recording.sound("s16le", self.sample_rate_hz)


async def listen(stream: AsyncIterator[Any], frames: Frames | None = None) -> Frames:
    """Read a stream (of `synthesize` or `stream`) to its end."""
    frames = frames or Frames()
    async for event in stream:
        frames.add(event.frame)
    return frames


async def talk(stream: Any, pieces: Sequence[str], period_s: float = 0.0) -> Frames:
    """Push the pieces as an LLM writes them, one each `period_s`, and listen to a `stream()`."""
    frames = Frames()

    async def write() -> None:
        for piece in pieces:
            stream.push_text(piece)
            frames.last_text_s = time.perf_counter()
            await asyncio.sleep(period_s)
        stream.end_input()

    async with stream:
        await asyncio.gather(write(), listen(stream, frames))
    return frames
