"""A listener who writes down what arrives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from duplex_tts import Audio, Cancelled, Context, Done, Error, Session, SpeechFailed

RETRIES, RETRY_AFTER_S = 50, 0.2

Spoken = TypeVar("Spoken")


class ServerError(Exception):
    """The server answered a benchmark's context with an error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


@dataclass(slots=True)
class Recording:
    """The audio messages of one context; `first_sound_s` by `time.perf_counter`, None when none."""

    audio: list[Audio] = field(default_factory=list)
    first_sound_s: float | None = None

    @property
    def pcm(self) -> NDArray[np.float32]:
        """All of it as mono float32, for a context of the format `pcm_s16le`."""
        samples = np.frombuffer(b"".join(event.data for event in self.audio), dtype="<i2")
        return samples.astype(np.float32) / 32768.0


async def send_paced(context: Context, pieces: Sequence[str], period_s: float) -> None:
    """Push a piece every `period_s`, the first one at once; then end the context."""
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    for number, piece in enumerate(pieces):
        await asyncio.sleep(started_s + number * period_s - loop.time())
        await context.push(piece)
    await context.end()


async def first_sound(context: Context) -> Audio:
    """Wait for the first message that has audio. Raises `ServerError` when none will come."""
    async for event in context:
        if isinstance(event, Audio) and event.data:
            return event
        if isinstance(event, Error):
            raise ServerError(event.code, event.message)
    raise ServerError("silent", "the context ended without a sound")


async def silence(context: Context) -> None:
    """Cancel the context and wait until the server says that nothing follows."""
    await context.cancel()
    async for event in context:
        if isinstance(event, Cancelled | Done):
            return


async def record(context: Context) -> Recording:
    """Collect a context to its `Done`. Raises `ServerError`."""
    recording = Recording()
    async for event in context:
        if isinstance(event, Error):
            raise ServerError(event.code, event.message)
        if isinstance(event, Audio):
            if event.data and recording.first_sound_s is None:
                recording.first_sound_s = time.perf_counter()
            recording.audio.append(event)
    return recording


async def patiently(speak: Callable[[], Awaitable[Spoken]]) -> Spoken:
    """Speak, and again after a moment where the server is too busy to take one more."""
    for _ in range(RETRIES):
        try:
            return await speak()
        except (ServerError, SpeechFailed) as error:
            if not _is_busy(error):
                raise
        await asyncio.sleep(RETRY_AFTER_S)
    return await speak()


def _is_busy(error: ServerError | SpeechFailed) -> bool:
    codes = (
        [each.code for each in error.errors] if isinstance(error, SpeechFailed) else [error.code]
    )
    return "overloaded" in codes


async def stream(session: Session, pieces: Sequence[str], period_s: float, seed: int) -> Recording:
    """Speak a text that arrives in `pieces`, one every `period_s`."""
    context = await session.start(seed=seed)
    sender = asyncio.create_task(send_paced(context, pieces, period_s))
    try:
        return await record(context)
    finally:
        sender.cancel()
        await asyncio.wait([sender])


async def speak_whole(session: Session, text: str, seed: int) -> Recording:
    """Speak a text that is known as a whole: each sentence in one go."""
    context = await session.start(seed=seed, mode="batch")
    await context.push(text)
    await context.end()
    return await record(context)
