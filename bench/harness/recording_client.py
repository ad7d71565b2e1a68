"""A listener who writes down what arrives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from bench.harness.hearing import Hearing, Pcm, decode_pcm
from duplex_tts import Audio, Cancelled, Context, Done, Error, Session, SpeechFailed

RETRIES, RETRY_AFTER_S = 50, 0.2

Spoken = TypeVar("Spoken")


class ServerError(Exception):
    """The server answered a benchmark's context with an error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)  # by which it can be sent between processes
        self.code = code

    def __str__(self) -> str:
        return ": ".join(self.args)


@dataclass(slots=True)
class Recording:
    """The audio messages of one context of the format `pcm_s16le`, and how they were heard, by
    `time.perf_counter`.
    """

    hearing: Hearing
    audio: list[Audio] = field(default_factory=list)

    def add(self, audio: Audio) -> None:
        """A message came just now."""
        self.hearing.hear(decode_pcm(audio.data), time.perf_counter())
        self.audio.append(audio)

    @property
    def pcm(self) -> Pcm:
        """All of it."""
        return decode_pcm(b"".join(event.data for event in self.audio))


@dataclass(frozen=True, slots=True)
class FirstSound:
    """When speech begins, by `time.perf_counter`.

    `message_s`: the first message with audio came. `audible_message_s`: the first in which
    something is audible, `audio`. `sound_s`: that is heard.
    """

    audio: Audio
    message_s: float
    audible_message_s: float
    sound_s: float


async def send_paced(context: Context, pieces: Sequence[str], period_s: float) -> None:
    """Push a piece every `period_s`, the first one at once; then end the context."""
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    for number, piece in enumerate(pieces):
        await asyncio.sleep(started_s + number * period_s - loop.time())
        await context.push(piece)
    await context.end()


async def first_sound(context: Context, rate_hz: int) -> FirstSound:
    """Wait for the first message with an audible sample. Raises `ServerError` when none will come.

    `rate_hz`: of the context, whose format is `pcm_s16le`.
    """
    hearing = Hearing(rate_hz)
    async for event in context:
        if isinstance(event, Error):
            raise ServerError(event.code, event.message)
        if isinstance(event, Audio):
            now_s = time.perf_counter()
            hearing.hear(decode_pcm(event.data), now_s)
            if hearing.first_sound_s is not None and hearing.first_message_s is not None:
                return FirstSound(event, hearing.first_message_s, now_s, hearing.first_sound_s)
    raise ServerError("silent", "the context ended without a sound")


async def silence(context: Context) -> None:
    """Cancel the context and wait until the server says that nothing follows."""
    await context.cancel()
    async for event in context:
        if isinstance(event, Cancelled | Done):
            return


async def record(context: Context, rate_hz: int) -> Recording:
    """Collect a context to its `Done`. Raises `ServerError`."""
    recording = Recording(Hearing(rate_hz))
    async for event in context:
        if isinstance(event, Error):
            raise ServerError(event.code, event.message)
        if isinstance(event, Audio):
            recording.add(event)
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
        return await record(context, session.ready.sample_rate)
    finally:
        sender.cancel()
        await asyncio.wait([sender])


async def speak_whole(session: Session, text: str, seed: int) -> Recording:
    """Speak a text that is known as a whole: each sentence in one go."""
    context = await session.start(seed=seed, mode="batch")
    await context.push(text)
    await context.end()
    return await record(context, session.ready.sample_rate)
