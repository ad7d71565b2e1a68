"""One utterance on its way through a `Player`: fed as it arrives, followed as it is heard."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

from duplex_tts.events import Audio, Word
from duplex_tts.playback.devices import Device
from duplex_tts.playback.mixer import Mixer

OnWord = Callable[[Word, str], None]
"""Of a word and its text, when it begins to be heard."""

AHEAD_MS = 10_000  # more than that is left to wait at the utterance, which is bounded
# The server owes speech when that much text waits, or when it has waited that long: by then it
# needs no lookahead any more. Silence before that is the writer's pause.
OWED_CHARACTERS = 40
OWED_AFTER_S = 1.0


class Playable(Protocol):
    """What can be played: an `Utterance`."""

    @property
    def parameters(self) -> Mapping[str, object]:
        """What it was started with; None and what is missing: the server's defaults."""

    @property
    def text(self) -> str:
        """Sent so far."""

    @property
    def cancelled(self) -> bool:
        """Whether somebody has cancelled it."""

    def cancel(self) -> None:
        """No more of it is wanted."""

    def played(self, ms: float) -> None:
        """So much of it was heard."""

    def __aiter__(self) -> AsyncIterator[Audio]:
        """Its audio; ends when nothing more comes, raises what went wrong."""


class QueuedUtterance:
    """An utterance in the queue of a `Player`; made by its `play`."""

    def __init__(
        self, speech: Playable, mixer: Mixer, device: Device, on_word: OnWord | None
    ) -> None:
        self._told = False
        self._speech = speech
        self._mixer = mixer
        self._device = device
        self._on_word = on_word
        self._clock = asyncio.get_running_loop().time
        self._track = mixer.add()
        self._words: deque[Word] = deque()  # not heard yet
        self._heard_to = 0
        self._spoken_to = 0
        self._sent = (0, self._clock())  # how much text, since when
        self._reported_ms = -1.0
        self._room = asyncio.Event()
        self._end: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.feeding = asyncio.create_task(self._feed(), name="duplex-tts-playback")

    # --- what can be known ------------------------------------------------------------------------

    @property
    def heard_ms(self) -> float:
        """How much of it was heard."""
        return self._mixer.heard_ms(self._track, self._clock())

    @property
    def buffered_ms(self) -> float:
        """How much of it is here and not heard yet."""
        return self._mixer.buffered_ms(self._track, self._clock())

    @property
    def heard_text(self) -> str:
        """The text up to the last word that was heard, or is just being heard."""
        return self._speech.text[: self._heard_to]

    @property
    def cancelled(self) -> bool:
        """Whether it was silenced before its end."""
        return self._track.cancelled

    @property
    def finished(self) -> bool:
        """Whether all of it was heard, or will never be."""
        return self._end.done()

    @property
    def error_unreported(self) -> bool:
        """Whether it failed, and nobody was told yet."""
        return self.finished and not self._told and self._end.exception() is not None

    async def done(self) -> None:
        """Wait until all of it was heard, or it was cancelled. Raises what the utterance raises,
        after what came of it was heard, and `DeviceFailed`.
        """
        self._told = True
        await asyncio.shield(self._end)

    async def ended(self) -> None:
        """Wait like `done`, and say nothing of how it went."""
        await asyncio.wait([self._end])

    # --- what can be done -------------------------------------------------------------------------

    def cancel(self) -> None:
        """Be silent at once; nothing that still comes of it is heard. Harmless after its end."""
        if self.finished:
            return
        drops = self._device.buffers_much  # and has nothing left to fade then
        if self._mixer.cancel(self._track, self._clock(), ramp=not drops) and drops:
            self._device.drop()
        self._room.set()
        self._speech.cancel()

    def fail(self, error: BaseException) -> None:
        """It will never be heard to its end, because of `error`."""
        if not self.finished:
            self.cancel()
            self._finish(error)

    def advance(self, *, reports: bool) -> None:
        """Tell of what was heard by now; with `reports` also to the server."""
        if self.finished:
            return
        now_s = self._clock()
        self._owe(now_s)
        heard_ms = self._mixer.heard_ms(self._track, now_s)
        while self._words and self._words[0].start_ms <= heard_ms and not self.cancelled:
            self._say(self._words.popleft())
        if self.buffered_ms <= AHEAD_MS or self._speech.cancelled:
            self._room.set()
        if reports and not self.feeding.done():
            self._report(heard_ms)
        if self.feeding.done() and self._mixer.through(self._track, now_s):
            self._conclude()

    # --- inside -----------------------------------------------------------------------------------

    async def _feed(self) -> None:
        try:
            async for audio in self._speech:
                now_s = self._clock()
                self._owe(now_s)
                self._words.extend(audio.words)
                self._mixer.push(self._track, audio.data, now_s)
                self._spoken_to = audio.text[1]
                self._owe(now_s)
                if self.buffered_ms > AHEAD_MS:
                    self._room.clear()
                    await self._room.wait()
        finally:
            self._mixer.end(self._track)
            if self._speech.cancelled:
                self.cancel()

    def _owe(self, now_s: float) -> None:
        """Find out whether the server could have spoken more by now."""
        length = len(self._speech.text)
        if length != self._sent[0]:
            self._sent = (length, now_s)
        waiting = length - self._spoken_to
        if waiting >= OWED_CHARACTERS or (waiting and now_s - self._sent[1] >= OWED_AFTER_S):
            if self._track.owed_since_s is None:
                self._track.owed_since_s = now_s
        else:
            self._track.owed_since_s = None

    def _say(self, word: Word) -> None:
        self._heard_to = word.end
        if self._on_word:
            self._on_word(word, self._speech.text[word.start : word.end])

    def _report(self, heard_ms: float) -> None:
        """Tell the server what somebody who holds nothing back would have heard: what it keeps in
        hand for its own delays and what is held back here for the line's add up.
        """
        received_ms = self._mixer.received_ms(self._track)
        ms = min(heard_ms + self._mixer.held_ms(self._track), received_ms)
        if received_ms and (ms != self._reported_ms or ms < received_ms):
            self._reported_ms = ms
            self._speech.played(ms)

    def _conclude(self) -> None:
        error = None if self.feeding.cancelled() else self.feeding.exception()
        self._finish(None if self.cancelled else error)

    def _finish(self, error: BaseException | None) -> None:
        if error is None:
            self._end.set_result(None)
        else:
            self._end.set_exception(error)
            self._end.exception()  # seen: whoever is not told by `done` is told by the player
