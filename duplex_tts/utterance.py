"""An utterance: sends its text as it is written, and receives its audio."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable

from duplex_tts.channel.context import PIECE_LENGTH, REFUSALS, Arrival, Context, Parameters
from duplex_tts.errors import ClientError, SpeechFailed
from duplex_tts.events import Audio, Cancelled, Done, Error, Restarted, Word

UNREAD_LIMIT_MS = 30_000.0
"""Unread audio beyond this limit pauses the sending of text."""


class Utterance:
    """One spoken text; created by `Session.speak`. Iterate it, in one task, for its `Audio`.

    Unread audio is kept. To bound it, no more text is sent while more than `UNREAD_LIMIT_MS` are
    unread; `done` lifts that limit. Other utterances are not affected.

    `words`: the words received so far, with their times. `audio_ms`: duration of the audio
    received. `ttfa_ms`: time from the first text to the first audio. `restarts`: where speech
    continued after the server had lost the context.
    """

    def __init__(
        self, id_: str, parameters: Parameters, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.id = id_
        self.parameters = parameters
        self.words: list[Word] = []
        self.restarts: list[Restarted] = []
        self.errors: list[Error] = []
        self.audio_ms = 0.0
        self.ttfa_ms: float | None = None
        self.cancelled = False
        self._clock = clock
        self._texts: list[str] = []
        self._joined = (0, "")  # how many of `_texts` are joined, and their text
        self._first_text_s: float | None = None
        self._context: Context | None = None
        self._unread: deque[Audio] = deque()
        self._unread_ms = 0.0
        self._is_unlimited = False  # `done` is awaited: receive everything
        self._changed = asyncio.Event()
        self._below_limit = asyncio.Event()
        self._slot_free = asyncio.Event()
        self._result: Done | Cancelled | Exception | None = None
        self._begun = asyncio.Event()
        self._finished = asyncio.Event()

    # --- for the application ----------------------------------------------------------------------

    @property
    def text(self) -> str:
        """The text sent so far; a word of `words` is `text[word.start:word.end]`."""
        # Cached: players read it at every tick, also a book's. Other threads read it, too.
        count, text = self._joined
        if more := self._texts[count:]:
            text += "".join(more)
            self._joined = (count + len(more), text)
        return text

    @property
    def finished(self) -> bool:
        """Whether nothing more will come: it is done, cancelled, or failed."""
        return self._result is not None

    def __aiter__(self) -> AsyncIterator[Audio]:
        return self

    async def __anext__(self) -> Audio:
        """Wait for the next audio. Raises at the end what `done` raises. Cancel-safe."""
        while not self._unread:
            if self.cancelled:
                raise StopAsyncIteration
            if self._result is not None:
                self._get_result()
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        audio = self._unread.popleft()
        self._unread_ms -= audio.duration_ms
        self._below_limit.set()
        return audio

    async def done(self) -> Done | Cancelled:
        """Wait until all audio has been received, whether or not it is iterated.

        What arrived is checked against the server's totals. Raises `SpeechFailed` when a part could
        not be spoken, `ConnectionLost` when the session was lost for good, `ProtocolError` when
        the totals differ, and what the text's iterator raised.
        """
        self._is_unlimited = True
        self._below_limit.set()
        await self._finished.wait()
        return self._get_result()

    async def wait_begun(self) -> None:
        """Wait until the first audio has arrived, or none will. Cancel-safe."""
        await self._begun.wait()

    def cancel(self) -> None:
        """Cancel: unread audio is dropped, and the iteration ends at once.

        Does not wait; `done` returns how far it was spoken. No effect after the end.
        """
        self.cancelled = True
        self._unread.clear()
        self._unread_ms = 0.0
        self._wake_waiters()
        if self._result is not None:
            return
        if self._context is not None:
            self._context.cancel_now()
        else:
            self.set_result(Cancelled(self.id, 0, 0.0))

    def flush(self) -> None:
        """Ask the server to speak all text sent so far; more may follow. Does not wait."""
        if self._result is None and self._context is not None:
            self._context.flush_now()

    def played(self, ms: float) -> None:
        """Report how much of the audio was heard, for the server's pacing. Does not wait."""
        if self._result is None and self._context is not None:
            self._context.played_now(ms)

    def _get_result(self) -> Done | Cancelled:
        if isinstance(self._result, Exception):
            raise self._result
        assert self._result is not None, "there is no result before the end"
        if self.errors and not self.cancelled:
            first = self.errors[0]
            raise SpeechFailed(f"not all was spoken: {first.message} ({first.code})", self.errors)
        return self._result

    # --- for the session --------------------------------------------------------------------------

    async def send_text(self, context: Context, text: AsyncIterator[str]) -> None:
        """Send the text as it arrives, within the limits. Returns when all of it is sent."""
        self._context = context
        async for arrived in text:
            for start in range(0, len(arrived), PIECE_LENGTH):
                await self._wait_below_limit()
                if self.cancelled:
                    return
                await self._push_piece(context, arrived[start : start + PIECE_LENGTH])
        await context.end()

    async def wait_slot_free(self) -> None:
        """Wait until the next utterance may start: this one is finished, or its reader is slow."""
        await self._slot_free.wait()

    async def wait_finished(self) -> None:
        """Wait until nothing more will arrive. Cancel-safe."""
        await self._finished.wait()

    def set_result(self, result: Done | Cancelled | Exception) -> None:
        """Finish the utterance. No effect if it is finished."""
        if self._result is None:
            self._result = result
            self._begun.set()
            self._finished.set()
            self._slot_free.set()
            self._wake_waiters()

    def process_arrival(self, arrival: Arrival) -> None:
        """Process an event of its context, or the error that ended the context."""
        match arrival:
            case Audio():
                self._add_audio(arrival)
            case Done() | Cancelled():
                self.set_result(arrival)
            case Restarted():
                self.restarts.append(arrival)
            case Error():
                self.errors.append(arrival)
                if arrival.code in REFUSALS:
                    self.set_result(SpeechFailed(f"{arrival.message} ({arrival.code})", [arrival]))
            case ClientError():
                self.set_result(arrival)

    async def _wait_below_limit(self) -> None:
        while self._unread_ms > UNREAD_LIMIT_MS and not self._is_unlimited:
            self._slot_free.set()
            self._below_limit.clear()
            await self._below_limit.wait()

    async def _push_piece(self, context: Context, piece: str) -> None:
        if self._first_text_s is None:
            self._first_text_s = self._clock()
        self._texts.append(piece)
        await context.push(piece)

    def _add_audio(self, audio: Audio) -> None:
        self.words.extend(audio.words)
        self.audio_ms += audio.duration_ms
        if audio.data and self.ttfa_ms is None and self._first_text_s is not None:
            self.ttfa_ms = (self._clock() - self._first_text_s) * 1000
            self._begun.set()
        if not self.cancelled:
            self._unread.append(audio)
            self._unread_ms += audio.duration_ms
            self._wake_waiters()

    def _wake_waiters(self) -> None:
        self._changed.set()
        self._below_limit.set()
