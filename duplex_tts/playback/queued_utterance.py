"""An utterance in the queue of a `Player`: feeds its audio to the mixer, follows what is heard."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

from duplex_tts.events import Audio, Word
from duplex_tts.playback.devices import Device
from duplex_tts.playback.mixer import Mixer

OnWord = Callable[[Word, str], None]
"""Called with a word and its text when it begins to be heard."""

AHEAD_MS = 10_000  # audio beyond this stays in the utterance, which is bounded
# Audio is due when this much text is unspoken, or is unspoken for this long: then the server needs
# no lookahead any more. Silence before that is the writer's pause.
OWED_CHARACTERS = 40
OWED_AFTER_S = 1.0


class Playable(Protocol):
    """What a `Player` can play, such as an `Utterance`."""

    @property
    def parameters(self) -> Mapping[str, object]:
        """Its parameters; None or omitted: the server's defaults."""

    @property
    def text(self) -> str:
        """The text sent so far."""

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled."""

    def cancel(self) -> None:
        """Stop the speech."""

    def played(self, ms: float) -> None:
        """Report how much of the audio was heard."""

    def __aiter__(self) -> AsyncIterator[Audio]:
        """Its audio; raises at the end if something failed."""


class QueuedUtterance:
    """An utterance in the queue of a `Player`; returned by its `play`."""

    def __init__(
        self, speech: Playable, mixer: Mixer, device: Device, on_word: OnWord | None
    ) -> None:
        self._error_reported = False
        self._speech = speech
        self._mixer = mixer
        self._device = device
        self._on_word = on_word
        self._clock = asyncio.get_running_loop().time
        self._track = mixer.add_track()
        self._words: deque[Word] = deque()  # not heard yet
        self._heard_to = 0
        self._spoken_to = 0
        self._sent = (0, self._clock())  # length of the text, and since when
        self._reported_ms = -1.0
        self._has_room = asyncio.Event()
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.feed_task = asyncio.create_task(self._feed_mixer(), name="duplex-tts-playback")

    # --- state ------------------------------------------------------------------------------------

    @property
    def heard_ms(self) -> float:
        """Duration of the audio heard."""
        return self._mixer.heard_ms(self._track, self._clock())

    @property
    def buffered_ms(self) -> float:
        """Duration of the audio received and not heard yet."""
        return self._mixer.buffered_ms(self._track, self._clock())

    @property
    def heard_text(self) -> str:
        """The text up to the last word that was heard, or is being heard."""
        return self._speech.text[: self._heard_to]

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled before its end."""
        return self._track.cancelled

    @property
    def finished(self) -> bool:
        """Whether everything was heard, or it was cancelled or failed."""
        return self._end.done()

    @property
    def error_unreported(self) -> bool:
        """Whether it failed and `done` was not called."""
        return self.finished and not self._error_reported and self._end.exception() is not None

    async def done(self) -> None:
        """Wait until everything was heard or it was cancelled.

        Raises what the utterance raises, after the received audio was heard, and `DeviceFailed`.
        """
        self._error_reported = True
        await asyncio.shield(self._end)

    async def wait_ended(self) -> None:
        """Wait like `done`, without raising its error."""
        await asyncio.wait([self._end])

    # --- actions ----------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Stop at once; later audio is dropped. No effect after the end."""
        if self.finished:
            return
        needs_drop = self._device.needs_drop
        was_playing = self._mixer.cancel_track(self._track, self._clock(), ramp=not needs_drop)
        if was_playing and needs_drop:
            self._device.drop()
        self._has_room.set()
        self._speech.cancel()

    def fail(self, error: BaseException) -> None:
        """Cancel it, and let `done` raise `error`. No effect after the end."""
        if not self.finished:
            self.cancel()
            self._set_end(error)

    def advance(self, *, report: bool) -> None:
        """Call `on_word` for words heard by now; with `report` also report to the server."""
        if self.finished:
            return
        now_s = self._clock()
        self._update_owed(now_s)
        heard_ms = self._mixer.heard_ms(self._track, now_s)
        while self._words and self._words[0].start_ms < heard_ms and not self.cancelled:
            self._call_on_word(self._words.popleft())
        if self.buffered_ms <= AHEAD_MS or self._speech.cancelled:
            self._has_room.set()
        if report and not self.feed_task.done():
            self._report_heard(heard_ms)
        if self.feed_task.done() and self._mixer.is_played_out(self._track, now_s):
            self._finish_played()

    # --- internals --------------------------------------------------------------------------------

    async def _feed_mixer(self) -> None:
        try:
            async for audio in self._speech:
                now_s = self._clock()
                self._update_owed(now_s)
                self._words.extend(audio.words)
                self._mixer.push_audio(self._track, audio.data, now_s)
                self._spoken_to = audio.text[1]
                self._update_owed(now_s)
                if self.buffered_ms > AHEAD_MS:
                    self._has_room.clear()
                    await self._has_room.wait()
        finally:
            self._mixer.end_track(self._track)
            if self._speech.cancelled:
                self.cancel()

    def _update_owed(self, now_s: float) -> None:
        """Update since when audio is due."""
        length = len(self._speech.text)
        if length != self._sent[0]:
            self._sent = (length, now_s)
        unspoken = length - self._spoken_to
        if unspoken >= OWED_CHARACTERS or (unspoken and now_s - self._sent[1] >= OWED_AFTER_S):
            if self._track.owed_since_s is None:
                self._track.owed_since_s = now_s
        else:
            self._track.owed_since_s = None

    def _call_on_word(self, word: Word) -> None:
        self._heard_to = word.end
        if self._on_word:
            self._on_word(word, self._speech.text[word.start : word.end])

    def _report_heard(self, heard_ms: float) -> None:
        """Report what a listener without a jitter buffer would have heard: otherwise the server's
        own reserve would be added to this buffer.
        """
        received_ms = self._mixer.received_ms(self._track)
        ms = min(heard_ms + self._mixer.held_ms(self._track), received_ms)
        if received_ms and (ms != self._reported_ms or ms < received_ms):
            self._reported_ms = ms
            self._speech.played(ms)

    def _finish_played(self) -> None:
        error = None if self.feed_task.cancelled() else self.feed_task.exception()
        self._set_end(None if self.cancelled else error)

    def _set_end(self, error: BaseException | None) -> None:
        if error is None:
            self._end.set_result(None)
        else:
            self._end.set_exception(error)
            self._end.exception()  # mark as retrieved: `Player.finish` raises it if `done` does not
