"""Something that is being said: text goes up, its speech comes down."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable

from duplex_tts.channel.context import PIECE_LENGTH, REFUSALS, Arrival, Context, Parameters
from duplex_tts.errors import ClientError, SpeechFailed
from duplex_tts.events import Audio, Cancelled, Done, Error, Restarted, Word

UNREAD_LIMIT_MS = 30_000.0
"""Audio that waits to be iterated before no more text is taken."""


class Utterance:
    """Speech to come; `Session.speak` makes it. Iterate it, in one task, for its `Audio`.

    Audio that nobody iterates is kept. So that it cannot be too much, no more text is taken while
    more than `UNREAD_LIMIT_MS` of it wait; `done` lifts that limit. Other utterances go on either
    way.

    `words`: those received so far, with their times. `audio_ms`: how much has been received.
    `ttfa_ms`: from its first text to its first sound. `restarts`: where it went on after the server
    had lost it.
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
        self._joined = (0, "")  # how many of them, together
        self._first_text_s: float | None = None
        self._context: Context | None = None
        self._unread: deque[Audio] = deque()
        self._unread_ms = 0.0
        self._wanted = False  # all of it: somebody waits for the end
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._aside = asyncio.Event()
        self._end: Done | Cancelled | Exception | None = None
        self._over = asyncio.Event()

    # --- for who listens --------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """What was sent so far; a word of `words` is `text[word.start:word.end]`."""
        # Put together once: players ask at every tick, also of a book. Other threads ask, too.
        count, text = self._joined
        if more := self._texts[count:]:
            text += "".join(more)
            self._joined = (count + len(more), text)
        return text

    @property
    def finished(self) -> bool:
        """Whether nothing more will come: it is done, cancelled, or failed."""
        return self._end is not None

    def __aiter__(self) -> AsyncIterator[Audio]:
        return self

    async def __anext__(self) -> Audio:
        """The next audio; waits for it. Raises at the end what `done` raises. Cancel-safe."""
        while not self._unread:
            if self.cancelled:
                raise StopAsyncIteration
            if self._end is not None:
                self._result()
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        audio = self._unread.popleft()
        self._unread_ms -= audio.duration_ms
        self._room.set()
        return audio

    async def done(self) -> Done | Cancelled:
        """Wait until all of it has been received, whether or not it is iterated.

        What arrived is what the server says it sent. Raises `SpeechFailed` when something could not
        be spoken, `ConnectionLost` when the session was lost for good, `ProtocolError` when the
        sums differ, and whatever the text's iterator raised.
        """
        self._wanted = True
        self._room.set()
        await self._over.wait()
        return self._result()

    def cancel(self) -> None:
        """Be silent: what is not iterated yet is dropped, and the iteration ends now.

        Does not wait; `done` will say how far it was spoken. Harmless after the end.
        """
        self.cancelled = True
        self._unread.clear()
        self._unread_ms = 0.0
        self._wake()
        if self._end is not None:
            return
        if self._context is not None:
            self._context.cancel_now()
        else:
            self.end(Cancelled(self.id, 0, 0.0))

    def flush(self) -> None:
        """Ask to speak all that was sent so far; more text may follow. Does not wait."""
        if self._end is None and self._context is not None:
            self._context.flush_now()

    def played(self, ms: float) -> None:
        """Report how much of it was really heard: the server paces itself by it. Does not wait."""
        if self._end is None and self._context is not None:
            self._context.played_now(ms)

    def _result(self) -> Done | Cancelled:
        if isinstance(self._end, Exception):
            raise self._end
        assert self._end is not None, "asked for the result before the end"
        if self.errors and not self.cancelled:
            first = self.errors[0]
            raise SpeechFailed(f"not all was spoken: {first.message} ({first.code})", self.errors)
        return self._end

    # --- for the session --------------------------------------------------------------------------

    async def speak(self, context: Context, text: AsyncIterator[str]) -> None:
        """Send the text as it comes, never too far ahead. Returns when all of it is sent."""
        self._context = context
        async for arrived in text:
            for start in range(0, len(arrived), PIECE_LENGTH):
                await self._heard_enough()
                if self.cancelled:
                    return
                await self._push(context, arrived[start : start + PIECE_LENGTH])
        await context.end()

    async def out_of_the_way(self) -> None:
        """Wait until the next one need not wait for it: it is over, or held up by its listener."""
        await self._aside.wait()

    async def over(self) -> None:
        """Wait until nothing more will come. Cancel-safe."""
        await self._over.wait()

    def end(self, how: Done | Cancelled | Exception) -> None:
        """Nothing more will come."""
        if self._end is None:
            self._end = how
            self._over.set()
            self._aside.set()
            self._wake()

    def take(self, arrival: Arrival) -> None:
        """What came from the server."""
        match arrival:
            case Audio():
                self._hear(arrival)
            case Done() | Cancelled():
                self.end(arrival)
            case Restarted():
                self.restarts.append(arrival)
            case Error():
                self.errors.append(arrival)
                if arrival.code in REFUSALS:
                    self.end(SpeechFailed(f"{arrival.message} ({arrival.code})", [arrival]))
            case ClientError():
                self.end(arrival)

    async def _heard_enough(self) -> None:
        while self._unread_ms > UNREAD_LIMIT_MS and not self._wanted:
            self._aside.set()
            self._room.clear()
            await self._room.wait()

    async def _push(self, context: Context, piece: str) -> None:
        if self._first_text_s is None:
            self._first_text_s = self._clock()
        self._texts.append(piece)
        await context.push(piece)

    def _hear(self, audio: Audio) -> None:
        self.words.extend(audio.words)
        self.audio_ms += audio.duration_ms
        if audio.data and self.ttfa_ms is None and self._first_text_s is not None:
            self.ttfa_ms = (self._clock() - self._first_text_s) * 1000
        if not self.cancelled:
            self._unread.append(audio)
            self._unread_ms += audio.duration_ms
            self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._room.set()
