"""Speaks with livekit-agents as in a call: text pushed in pieces, frames read as they arrive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from livekit.agents.types import USERDATA_TIMED_TRANSCRIPT

from tests.interop.listening import AudioClip, TimedRecording


class ReceivedFrames:
    """The frames of a livekit stream, with arrival times."""

    def __init__(self) -> None:
        self.recording = TimedRecording()
        self.sample_rate_hz = 0
        self.words: list[tuple[str, float]] = []
        """The timed words of the frames, with start times in seconds."""
        self.last_text_s = 0.0
        """When the last piece of text was pushed."""

    def add_frame(self, frame: Any) -> None:
        """Record a `livekit.rtc.AudioFrame`."""
        self.sample_rate_hz = frame.sample_rate
        self.recording.add_piece(bytes(frame.data))
        timed = frame.userdata.get(USERDATA_TIMED_TRANSCRIPT, [])
        self.words += [(str(word), word.start_time) for word in timed]

    @property
    def clip(self) -> AudioClip:
        """All audio."""
        return self.recording.clip("s16le", self.sample_rate_hz)


async def read_stream(
    stream: AsyncIterator[Any], frames: ReceivedFrames | None = None
) -> ReceivedFrames:
    """Read a stream (of `synthesize` or `stream`) to its end."""
    frames = frames or ReceivedFrames()
    async for event in stream:
        frames.add_frame(event.frame)
    return frames


async def push_and_read(
    stream: Any, pieces: Sequence[str], period_s: float = 0.0
) -> ReceivedFrames:
    """Push the pieces into a `stream()`, one every `period_s`, and read its frames."""
    frames = ReceivedFrames()

    async def push_pieces() -> None:
        for piece in pieces:
            stream.push_text(piece)
            frames.last_text_s = time.perf_counter()
            await asyncio.sleep(period_s)
        stream.end_input()

    async with stream:
        await asyncio.gather(push_pieces(), read_stream(stream, frames))
    return frames
