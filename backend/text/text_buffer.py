"""A context's text: what came in, what of it may be spoken, what has been. Plain and synchronous.

Every character has one place on the way `taken in -> released -> spoken`; the three offsets only
grow, but for a retraction, which shortens what is not yet released.

Text is taken in at once, but finding its sentences is dear: it is read a slice at a time, and no
further than to the end of the next sentence. What a client does reads one slice; the rest is for
whoever speaks, with turns of the event loop between the slices.
"""

from __future__ import annotations

from collections import deque
from itertools import takewhile

from backend.errors import ContextEnded, TextLimit
from backend.text.pacer import PendingSentence, Speak
from backend.text.segmenter import Segmenter, Sentence
from backend.text.words import speakable, word_ends
from backend.text.writing_speed import WritingSpeed

_SLICE = 32  # characters; the dearest take about a millisecond
_LONGEST_LATE = 4000  # characters; an utterance whose ends come too late is ended after so many


class TextBuffer:
    """One context's text. Offsets are code points from the start of the context."""

    def __init__(self, limit: int) -> None:
        """`limit`: characters that may wait unspoken."""
        self._limit = limit
        self._segmenter = Segmenter()
        self._complete: deque[Sentence] = deque()  # not yet closed, in order
        self._unread = ""  # the end of the text, which the segmenter does not have yet
        self._flushes: deque[int] = deque()  # offsets to be read up to before they are carried out
        self._end_is_due = False  # once everything is read
        self._start = 0  # of the utterance at hand
        self._read = ""  # the utterance's text as released: what follows "#" cannot change it now
        self._flush_to = 0  # flush and end ask to speak up to here at once
        self._last_input_s = 0.0
        self._speed = WritingSpeed()
        self.length = 0
        self.released = 0
        self.spoken = 0
        self.ended = False

    # --- what the client does ---------------------------------------------------------------------

    def push(self, text: str, now_s: float) -> None:
        """Take text in. Raises `ContextEnded`, `TextLimit`; then nothing of it was taken."""
        self._refuse_after_end()
        waiting = self.length - self.spoken
        if waiting + len(text) > self._limit:
            raise TextLimit(
                f"{waiting} characters wait unspoken and {len(text)} more exceed the limit of "
                f"{self._limit}; send them again when more has been spoken"
            )
        self._unread += text
        self.length += len(text)
        self._last_input_s = now_s
        self._speed.push(len(text), now_s)
        self.read()

    def retract(self, to: int, now_s: float) -> int:
        """Take back the text from `to` on, as far as it is not released. Returns the new length."""
        read_to = self.length - len(self._unread)
        self.length = min(max(to, self.released), self.length)
        if self.length < read_to:
            self._unread = self._segmenter.retract(self.length)
        else:
            self._unread = self._unread[: self.length - read_to]
        while self._complete and self._complete[-1].end > self.length:
            self._complete.pop()
        self._flush_to = min(self._flush_to, self.length)
        self._flushes = deque(min(each, self.length) for each in self._flushes)
        self._end_is_due = self.ended
        self._last_input_s = now_s
        self.read()
        return self.length

    def flush(self) -> None:
        """Let all that is known be spoken. Raises `ContextEnded`."""
        self._refuse_after_end()
        if not self._flushes or self._flushes[-1] < self.length:
            self._flushes.append(self.length)
        self._flush_to = self.length
        self.read()

    def end(self) -> None:
        """No more text comes. Raises `ContextEnded` the second time."""
        self._refuse_after_end()
        self._flush_to = self.length
        self.ended = self._end_is_due = True
        self.read()

    def _refuse_after_end(self) -> None:
        if self.ended:
            raise ContextEnded("the context has had its `end`; use a new context id")

    # --- reading ----------------------------------------------------------------------------------

    @property
    def behind(self) -> bool:
        """Whether `read` has to go on before `pending_sentence` can tell the sentence at hand."""
        if self._complete and self._complete[-1].end >= self.released:
            return False
        return bool(self._unread or self._flushes or self._end_is_due)

    def read(self) -> None:
        """Read one slice on, if `behind`."""
        if not self.behind:
            return
        stop = self._flushes[0] if self._flushes else self.length
        size = min(_SLICE, stop - (self.length - len(self._unread)))
        part, self._unread = self._unread[:size], self._unread[size:]
        self._complete.extend(self._segmenter.push(part))
        if self.length - len(self._unread) == stop:
            self._close_read()

    def _close_read(self) -> None:
        """Carry out the flush or the end up to which everything is read."""
        if self._flushes:
            self._flushes.popleft()
            self._complete.extend(self._segmenter.flush())
        elif self._end_is_due:
            self._end_is_due = False
            self._complete.extend(self._segmenter.end())

    # --- what is spoken of it ---------------------------------------------------------------------

    @property
    def finished(self) -> bool:
        """All of the text is spoken and no more comes."""
        done = self.spoken == self.length and not self._complete
        return self.ended and done and not self.behind

    @property
    def utterance_start(self) -> int:
        """Where the utterance at hand begins."""
        return self._start

    def pending_sentence(self) -> PendingSentence:
        """The sentence at hand, in offsets of its utterance; its text may be empty. While `behind`
        it ends where reading has come to.

        An end that is found in what is already released ("5 p.m. Sh", spoken as far as it was
        typed, becomes "She") is found too late: the sentence goes on.
        """
        late = list(takewhile(lambda sentence: sentence.end < self.released, self._complete))
        complete = len(late) < len(self._complete)
        parts = [*late, self._complete[len(late)] if complete else self._segmenter.open]
        text = speakable("".join(part.text for part in parts))[self._start - parts[0].start :]
        text = self._read + text[len(self._read) :]
        if late and len(self._read) >= _LONGEST_LATE:
            text, complete = self._read, True
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

    def release(self, pending_sentence: PendingSentence, choice: Speak) -> None:
        """Count what the pacer chose as released: from now on it cannot be retracted."""
        self.released = self._start + choice.to
        self._read = pending_sentence.text[: choice.to]

    def speak_to(self, end: int) -> tuple[int, int]:
        """The utterance was rendered to `end` (its own offset). Returns the context's span that was
        spoken just now.
        """
        start, self.spoken = self.spoken, self._start + end
        return start, self.spoken

    def close(self) -> None:
        """The utterance is over, and all that was released with it: on to what follows."""
        self._start, self._read = self.released, ""
        while self._complete and self._complete[0].end <= self._start:
            self._complete.popleft()
        self._segmenter.settle(self._start)

    def restart(self) -> tuple[int, int]:
        """The utterance failed: what was released of it counts as spoken (silently), the rest of
        its sentence becomes an utterance of its own. Returns the span that stays silent.
        """
        silent, self.spoken = (self.spoken, self.released), self.released
        self.close()
        return silent
