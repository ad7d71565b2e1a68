"""Speak text as it arrives: what `duplex-tts say` does between its arguments and its exit code."""

from __future__ import annotations

import asyncio
import codecs
import math
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from duplex_tts.context import Context, Parameters
from duplex_tts.errors import ClientError
from duplex_tts.events import Audio, Done, Error
from duplex_tts.session import Session
from duplex_tts.sinks import Sink

UNSPOKEN_LIMIT = 5_000
"""Characters sent ahead of speech: well under what a server keeps, enough that it never waits."""

PIECE_LENGTH = 1_000
READ_BYTES = 65_536
AUDIBLE_GAP_S = 0.02


class SpeechFailed(ClientError):
    """The server refused the text, or could not speak all of it."""


@dataclass(slots=True)
class Report:
    """What was heard; filled while speaking, so that an interruption can be reported too."""

    clock: Callable[[], float] = time.perf_counter
    ttfa_s: float | None = None
    audio_s: float = 0.0
    characters: int = 0
    words: int = 0
    gaps: int = 0
    gaps_s: float = 0.0
    _first_text_s: float = field(default=math.nan, repr=False)
    _dry_at_s: float = field(default=0.0, repr=False)

    def pushed(self) -> None:
        """Text went out."""
        if math.isnan(self._first_text_s):
            self._first_text_s = self.clock()

    def received(self, audio: Audio) -> None:
        """Speech came in. A gap: the listener, who began at once, had heard all before it."""
        now_s = self.clock()
        self.characters = audio.text[1]
        self.words += len(audio.words)
        if not audio.data:
            return
        if self.ttfa_s is None:
            self.ttfa_s = now_s - self._first_text_s
            self._dry_at_s = now_s
        elif now_s - self._dry_at_s > AUDIBLE_GAP_S:
            self.gaps += 1
            self.gaps_s += now_s - self._dry_at_s
        self._dry_at_s = max(self._dry_at_s, now_s) + audio.duration_ms / 1000
        self.audio_s += audio.duration_ms / 1000


@dataclass(frozen=True, slots=True)
class Errand:
    """What to say, and where to: `open_sink` is called with the sample rate once it is known."""

    text: AsyncIterator[str]
    open_sink: Callable[[int], Awaitable[Sink]]
    parameters: Parameters = field(default_factory=lambda: Parameters())


async def say(url: str, errand: Errand, report: Report) -> None:
    """Speak all of the text. Raises `ClientError` when that was not possible.

    Cancel-safe: the sink keeps what it has.
    """
    async with (
        Session.connect(url) as session,
        await errand.open_sink(session.ready.sample_rate) as sink,
    ):
        parameters = errand.parameters.copy()
        # Nobody waits for the sound of a file: whole sentences give the best speech, each as soon
        # as its text is there. Whoever listens wants the first word instead.
        parameters["mode"] = "live" if sink.audible else "batch"
        context = await session.start(**parameters)
        writer = _Writer(context, report)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(writer.write(errand.text))
                skipped = await _listen(context, sink, writer)
        except ExceptionGroup as group:  # both sides fail for the same reason
            raise group.exceptions[0] from None
    if skipped:
        raise SpeechFailed(f"not all was spoken: {skipped[0].message} ({skipped[0].code})")


async def _listen(context: Context, sink: Sink, writer: _Writer) -> list[Error]:
    """Write the speech out until its end. Returns the errors on the way."""
    errors: list[Error] = []
    ended = False
    async for event in context:
        if isinstance(event, Audio):
            writer.spoken(event)
            await sink.write(event.data)
        elif isinstance(event, Error):
            errors.append(event)
        ended = isinstance(event, Done)
    if not ended:
        raise SpeechFailed(f"{errors[-1].message} ({errors[-1].code})")
    return errors


class _Writer:
    """Sends the text, never too far ahead of the speech."""

    def __init__(self, context: Context, report: Report) -> None:
        self._context = context
        self._report = report
        self._sent = 0
        self._progress = asyncio.Event()

    def spoken(self, audio: Audio) -> None:
        self._report.received(audio)
        self._progress.set()

    async def write(self, text: AsyncIterator[str]) -> None:
        async for arrived in text:
            for start in range(0, len(arrived), PIECE_LENGTH):
                await self._push(arrived[start : start + PIECE_LENGTH])
        await self._context.end()

    async def _push(self, piece: str) -> None:
        while self._sent - self._report.characters > UNSPOKEN_LIMIT:
            self._progress.clear()
            await self._progress.wait()
        self._report.pushed()
        self._sent += len(piece)
        await self._context.push(piece)


async def given(text: str) -> AsyncIterator[str]:
    """Text that is there already. Bytes of an argument that are no UTF-8 become U+FFFD."""
    yield os.fsencode(text).decode(errors="replace")


async def arriving(descriptor: int) -> AsyncIterator[str]:
    """Text from a file descriptor, as it arrives: no line, no word and no buffer is waited for.

    Bytes that are no UTF-8 become U+FFFD.
    """
    # A thread, and a daemon: files are not pollable, and a read that waits for a person must not
    # hold up the end of the program.
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes] = asyncio.Queue(maxsize=1)

    def read() -> None:
        while True:
            try:
                chunk = os.read(descriptor, READ_BYTES)
            except OSError:  # closed, or its terminal is gone: no more text comes
                chunk = b""
            asyncio.run_coroutine_threadsafe(chunks.put(chunk), loop).result()
            if not chunk:
                return

    threading.Thread(target=read, name="stdin", daemon=True).start()
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    while chunk := await chunks.get():
        if text := decoder.decode(chunk):
            yield text
    if text := decoder.decode(b"", final=True):
        yield text
