"""A context's text: how much was received, released and spoken. Pure.

Every character is received, then released, then spoken; the three offsets only grow, except that
a retraction shortens what is not yet released.

Finding sentences is expensive, so text is segmented in slices, and no further than the end of the
next sentence. Each client call reads one slice; the context's task reads the rest, yielding to the
event loop between slices.
"""

from __future__ import annotations

from collections import deque
from itertools import takewhile

from backend.errors import ContextEnded, TextLimit
from backend.text.pacer import PendingSentence, Speak
from backend.text.segmenter import Segmenter, Sentence
from backend.text.words import speakable, word_ends
from backend.text.writing_speed import WritingSpeed

_SLICE = 32  # characters; the most expensive take about a millisecond
_LONGEST_LATE = 4000  # characters; then an utterance without a usable sentence end is ended


class TextBuffer:
    """One context's text. Offsets are code points from the start of the context."""

    def __init__(self, limit: int) -> None:
        """`limit`: maximum characters not yet spoken."""
        self._limit = limit
        self._segmenter = Segmenter()
        self._complete: deque[Sentence] = deque()  # not yet closed, in order
        self._unread = ""  # the end of the text, not yet given to the segmenter
        self._flushes: deque[int] = deque()  # offsets to read up to before each flush
        self._end_is_due = False  # once everything is read
        self._start = 0  # of the current utterance
        self._released_text = (
            ""  # the utterance's text as released: later text must not change its masking
        )
        self._flush_to = 0  # flush and end require speech up to here at once
        self._last_input_s = 0.0
        self._speed = WritingSpeed()
        self.length = 0
        self.released = 0
        self.spoken = 0
        self.ended = False

    # --- input ------------------------------------------------------------------------------------

    def push_text(self, text: str, now_s: float) -> None:
        """Append text. Raises `ContextEnded`, `TextLimit`; then none of it is appended."""
        self._refuse_after_end()
        waiting = self.length - self.spoken
        if waiting + len(text) > self._limit:
            raise TextLimit(
                f"{waiting} characters are not yet spoken, and {len(text)} more exceed the limit "
                f"of {self._limit}; send them again when more has been spoken"
            )
        self._unread += text
        self.length += len(text)
        self._last_input_s = now_s
        self._speed.add_arrival(len(text), now_s)
        self.read_slice()

    def retract_to(self, to: int, now_s: float) -> int:
        """Remove the text from `to` on, unless it is released. Returns the new length."""
        read_to = self.length - len(self._unread)
        self.length = min(max(to, self.released), self.length)
        if self.length < read_to:
            self._unread = self._segmenter.retract_to(self.length)
        else:
            self._unread = self._unread[: self.length - read_to]
        while self._complete and self._complete[-1].end > self.length:
            self._complete.pop()
        self._flush_to = min(self._flush_to, self.length)
        self._flushes = deque(min(offset, self.length) for offset in self._flushes)
        self._end_is_due = self.ended
        self._last_input_s = now_s
        self.read_slice()
        return self.length

    def flush_text(self) -> None:
        """Require everything received to be spoken at once. Raises `ContextEnded`."""
        self._refuse_after_end()
        if not self._flushes or self._flushes[-1] < self.length:
            self._flushes.append(self.length)
        self._flush_to = self.length
        self.read_slice()

    def end_text(self) -> None:
        """Mark the text as complete. Raises `ContextEnded` the second time."""
        self._refuse_after_end()
        self._flush_to = self.length
        self.ended = self._end_is_due = True
        self.read_slice()

    def _refuse_after_end(self) -> None:
        if self.ended:
            raise ContextEnded("the context has already received `end`; use a new context id")

    # --- reading ----------------------------------------------------------------------------------

    @property
    def is_behind(self) -> bool:
        """Whether `read` must continue before `pending_sentence` is complete or up to date."""
        if self._complete and self._complete[-1].end >= self.released:
            return False
        return bool(self._unread or self._flushes or self._end_is_due)

    def read_slice(self) -> None:
        """Segment the next slice, if `behind`."""
        if not self.is_behind:
            return
        stop = self._flushes[0] if self._flushes else self.length
        size = min(_SLICE, stop - (self.length - len(self._unread)))
        part, self._unread = self._unread[:size], self._unread[size:]
        self._complete.extend(self._segmenter.push_text(part))
        if self.length - len(self._unread) == stop:
            self._close_read()

    def _close_read(self) -> None:
        """Carry out the flush or end that all text before it was read for."""
        if self._flushes:
            self._flushes.popleft()
            self._complete.extend(self._segmenter.flush_text())
        elif self._end_is_due:
            self._end_is_due = False
            self._complete.extend(self._segmenter.end_text())

    # --- output -----------------------------------------------------------------------------------

    @property
    def is_finished(self) -> bool:
        """Whether all text is spoken and no more comes."""
        done = self.spoken == self.length and not self._complete
        return self.ended and done and not self.is_behind

    @property
    def utterance_start(self) -> int:
        """Offset where the current utterance begins."""
        return self._start

    def pending_sentence(self) -> PendingSentence:
        """The current sentence, in offsets of its utterance; its text may be empty. While `behind`
        it ends where reading stopped.

        A sentence end found inside released text ("5 p.m. Sh", spoken as far as typed, becomes
        "She") is too late: the sentence goes on.
        """
        late = list(takewhile(lambda sentence: sentence.end < self.released, self._complete))
        complete = len(late) < len(self._complete)
        parts = [*late, self._complete[len(late)] if complete else self._segmenter.open_sentence]
        text = speakable("".join(part.text for part in parts))[self._start - parts[0].start :]
        text = self._released_text + text[len(self._released_text) :]
        if late and len(self._released_text) >= _LONGEST_LATE:
            text, complete = self._released_text, True
        return PendingSentence(
            text=text,
            words=word_ends(text),
            released=self.released - self._start,
            spoken=self.spoken - self._start,
            complete=complete,
            flush_to=min(max(0, self._flush_to - self._start), len(text)),
            last_input_s=self._last_input_s,
            first=self.spoken == 0,
            speed=self._speed.characters_per_s,
            usual_gap_s=self._speed.usual_gap_s,
        )

    def mark_released(self, pending_sentence: PendingSentence, choice: Speak) -> None:
        """Mark the pacer's choice as released: it can no longer be retracted."""
        self.released = self._start + choice.to
        self._released_text = pending_sentence.text[: choice.to]

    def mark_spoken(self, end: int) -> tuple[int, int]:
        """Mark the utterance as rendered up to its offset `end`. Returns the span of the context
        that this adds.
        """
        start, self.spoken = self.spoken, self._start + end
        return start, self.spoken

    def close_utterance(self) -> None:
        """End the utterance with all that was released, and go on with the next."""
        self._start, self._released_text = self.released, ""
        while self._complete and self._complete[0].end <= self._start:
            self._complete.popleft()
        self._segmenter.settle(self._start)

    def restart_utterance(self) -> tuple[int, int]:
        """End a failed utterance: what was released counts as spoken (silently), the rest of its
        sentence becomes the next utterance. Returns the silent span.
        """
        silent, self.spoken = (self.spoken, self.released), self.released
        self.close_utterance()
        return silent
