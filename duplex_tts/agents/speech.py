"""One answer of a voice agent: text goes in while audio with timed text comes out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

from duplex_tts.channel.context import REFUSALS, Context
from duplex_tts.errors import ClientError, SpeechFailed
from duplex_tts.events import Audio, Cancelled, Done, Error, Retracted, Word
from duplex_tts.heard import Heard, cut_text

ROUNDING_MS = 10.0  # of the durations that a framework adds up


@dataclass(frozen=True, slots=True)
class TimedText:
    """A word with the spaces and marks after it, and when it sounds, from the speech's start."""

    text: str
    start_ms: float
    end_ms: float


class Speech:
    """One context of a session. Iterate it, in one task, for its audio.

    `text`: the text sent, without what was taken back. `audio_ms`: duration of the audio received.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._words: list[Word] = []
        self._errors: list[Error] = []
        self._editing = asyncio.Lock()
        self._retracted: asyncio.Future[None] | None = None
        self._is_done = False
        self._is_received = False  # the iteration has ended
        self.text = ""
        self.audio_ms = 0.0

    @property
    def id(self) -> str:
        """Its id in the session and in the server's logs."""
        return self._context.id

    # --- text -------------------------------------------------------------------------------------

    async def push(self, text: str) -> None:
        """Send more text. Waits while too much is unspoken, and for the answer to `retract`.

        A lone surrogate, as of half an emoji, becomes U+FFFD: it must not end an answer.
        """
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        async with self._editing:
            self.text += text
            await self._context.push(text)

    async def flush(self) -> None:
        """Speak all text sent so far; more may follow."""
        await self._context.flush()

    async def end(self) -> None:
        """End the text: the iteration ends when all of it was received."""
        async with self._editing:
            await self._context.end()

    async def retract(self, to: int) -> str:
        """Take back the text from offset `to` on, as far as it is not being spoken.

        Waits for the server's answer, which the iteration receives. Returns the text that stays.
        No effect after the iteration.
        """
        async with self._editing:
            if not (self._context.over or self._is_received):
                self._retracted = asyncio.get_running_loop().create_future()
                await self._context.retract(to)
                await self._retracted
            return self.text

    # --- audio ------------------------------------------------------------------------------------

    async def __aiter__(self) -> AsyncIterator[Audio]:
        """Yield the audio as it arrives.

        Ends after `end` or `cancel`. Raises `SpeechFailed` if the server refused the speech, or at
        the end if a part could not be spoken, and `ConnectionLost`.
        """
        try:
            async for event in self._context:
                match event:
                    case Audio():
                        self._words.extend(event.words)
                        self.audio_ms += event.duration_ms
                        yield event
                    case Retracted():
                        self.text = self.text[: event.to]
                        self._answer_retraction()
                    case Error():
                        self._errors.append(event)
                        if event.code in REFUSALS:
                            break
                    case Done():
                        self._is_done = True
                    case Cancelled():
                        return
        finally:
            self._is_received = True
            self._answer_retraction()
        if self._errors:
            first = self._errors[0]
            raise SpeechFailed(f"{first.message} ({first.code})", self._errors)

    def cancel(self) -> None:
        """Stop the speech; does not wait. No effect after its end."""
        with suppress(ClientError):
            if not self._context.over:
                self._context.cancel_now()

    def _answer_retraction(self) -> None:
        if self._retracted is not None and not self._retracted.done():
            self._retracted.set_result(None)

    # --- the listener -----------------------------------------------------------------------------

    def timed_text(self, audio: Audio) -> list[TimedText]:
        """Split the text of `audio` into its words. Together they are that text, without a gap."""
        begin, end = audio.text
        if not audio.words:
            text = self.text[begin:end]
            return [TimedText(text, audio.start_ms, audio.start_ms + audio.duration_ms)] * bool(
                text
            )
        limits = [begin, *(word.start for word in audio.words[1:]), end]
        return [
            TimedText(self.text[limits[n] : limits[n + 1]], word.start_ms, word.end_ms)
            for n, word in enumerate(audio.words)
        ]

    def played(self, ms: float) -> None:
        """Report to the server how much was heard, for its pacing. No effect after the end."""
        with suppress(ClientError):
            if not self._context.over:
                self._context.played_now(min(ms, self.audio_ms))

    def heard(self, ms: float) -> Heard:
        """What was heard if the playback stopped after `ms` of the audio."""
        complete = self._is_done and not self._errors and ms >= self.audio_ms - ROUNDING_MS
        text = self.text if complete else cut_text(self.text, self._words, ms)
        return Heard(text, min(ms, self.audio_ms), complete)
