"""Speak texts over the client library and record the audio with its arrival times."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from bench.harness.simulated_listener import Pcm, SimulatedListener, decode_pcm
from duplex_tts import Audio, Cancelled, Context, Done, Error, Session, SpeechFailed

RETRIES, RETRY_AFTER_S = 50, 0.2

Spoken = TypeVar("Spoken")


class ServerError(Exception):
    """The server answered a benchmark's context with an error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)  # args: needed for pickling
        self.code = code

    def __str__(self) -> str:
        return ": ".join(self.args)


@dataclass(slots=True)
class RecordedContext:
    """The audio messages of one `pcm_s16le` context, and their playback by `time.perf_counter`."""

    hearing: SimulatedListener
    audio: list[Audio] = field(default_factory=list)

    def add_audio(self, audio: Audio) -> None:
        """Record a message that has just arrived."""
        self.hearing.play_audio(decode_pcm(audio.data), time.perf_counter())
        self.audio.append(audio)

    @property
    def pcm(self) -> Pcm:
        """All samples."""
        return decode_pcm(b"".join(event.data for event in self.audio))


@dataclass(frozen=True, slots=True)
class FirstSound:
    """When speech begins, by `time.perf_counter`.

    `message_s`: arrival of the first audio. `audible_message_s`: arrival of `audio`, the first
    audible message. `sound_s`: playback of its first audible sample.
    """

    audio: Audio
    message_s: float
    audible_message_s: float
    sound_s: float


async def send_paced(context: Context, pieces: Sequence[str], period_s: float) -> None:
    """Push a piece every `period_s`, the first immediately; then end the context."""
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    for number, piece in enumerate(pieces):
        await asyncio.sleep(started_s + number * period_s - loop.time())
        await context.push(piece)
    await context.end()


async def wait_for_first_sound(context: Context, rate_hz: int) -> FirstSound:
    """Wait for the first message with an audible sample. Raises `ServerError` if the context fails
    or ends without one. `rate_hz`: of the context, whose format is `pcm_s16le`.
    """
    hearing = SimulatedListener(rate_hz)
    async for event in context:
        if isinstance(event, Error):
            raise ServerError(event.code, event.message)
        if isinstance(event, Audio):
            now_s = time.perf_counter()
            hearing.play_audio(decode_pcm(event.data), now_s)
            if hearing.first_sound_s is not None and hearing.first_message_s is not None:
                return FirstSound(event, hearing.first_message_s, now_s, hearing.first_sound_s)
    raise ServerError("silent", "the context ended without a sound")


async def cancel_and_wait(context: Context) -> None:
    """Cancel the context and wait for the server's confirmation."""
    await context.cancel()
    async for event in context:
        if isinstance(event, Cancelled | Done):
            return


async def record_context(context: Context, rate_hz: int) -> RecordedContext:
    """Record a context until `Done`. Raises `ServerError`."""
    recording = RecordedContext(SimulatedListener(rate_hz))
    async for event in context:
        if isinstance(event, Error):
            raise ServerError(event.code, event.message)
        if isinstance(event, Audio):
            recording.add_audio(event)
    return recording


async def retry_while_busy(speak: Callable[[], Awaitable[Spoken]]) -> Spoken:
    """Call `speak`; retries after a delay while the server is overloaded."""
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
        [cause.code for cause in error.errors] if isinstance(error, SpeechFailed) else [error.code]
    )
    return "overloaded" in codes


async def speak_streamed(
    session: Session, pieces: Sequence[str], period_s: float, seed: int
) -> RecordedContext:
    """Speak a text streamed in `pieces`, one every `period_s`."""
    context = await session.start(seed=seed)
    sender = asyncio.create_task(send_paced(context, pieces, period_s))
    try:
        return await record_context(context, session.ready.sample_rate)
    finally:
        sender.cancel()
        await asyncio.wait([sender])


async def speak_whole(session: Session, text: str, seed: int) -> RecordedContext:
    """Speak a whole text in batch mode."""
    context = await session.start(seed=seed, mode="batch")
    await context.push(text)
    await context.end()
    return await record_context(context, session.ready.sample_rate)
