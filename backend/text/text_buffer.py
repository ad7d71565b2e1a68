"""A context's text: how much was received, released and spoken. Pure.

Every character is received, then released, then spoken; the three offsets only grow, except that
a retraction shortens what is not yet released.

Finding sentences is expensive, so text is segmented in slices, and no further than the end of the
next sentence. Each client call reads one slice; the context's task reads the rest, yielding to the
event loop between slices.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container
from itertools import takewhile
from typing import Protocol

from backend.errors import ContextEnded, TextLimit
from backend.text.markup.marks import Change
from backend.text.markup.reader import MarkupOptions
from backend.text.masked_text import MaskedText
from backend.text.pacer import PendingSentence, Speak
from backend.text.reading.english import ENGLISH
from backend.text.reading.language import Language
from backend.text.reading.marked_word import read_mark
from backend.text.reading.sentence_reader import SentenceReader
from backend.text.reading.spoken_text import BLANK, SpokenText
from backend.text.segmenter import Segmenter, Sentence
from backend.text.writing_speed import WritingSpeed

_SLICE = 32  # characters; the most expensive take about a millisecond
_LONGEST_MARK = 1000  # characters
_LONGEST_LATE = 4000  # characters; then an utterance without a usable sentence end is ended


class LanguageChoice(Protocol):
    """Chooses the language of sentences from their text; what is chosen of a text is chosen of each
    longer one.
    """

    def choose(self, text: str, *, is_complete: bool) -> bool:
        """Choose that of the next sentence, which begins with `text`; False: more is needed."""

    def keep(self) -> None:
        """What was chosen was spoken."""

    def guess(self, text: str) -> str:
        """That of any sentence that begins with `text`, as far as it tells."""


class TextBuffer:
    """One context's text. Offsets are code points from the start of the context."""

    def __init__(
        self,
        limit: int,
        language: Callable[[], Language] = lambda: ENGLISH,
        markup: MarkupOptions | None = None,
        sounds: Container[str] = (),
        choice: LanguageChoice | None = None,
    ) -> None:
        """`limit`: maximum characters not yet spoken. `language`: how the next sentence is read.
        `sounds`: those that the engine can make. `choice`: chooses each sentence's language.
        """
        self._sounds = sounds
        self._limit = limit
        self._language = language
        self._masked = MaskedText(markup or MarkupOptions())
        self._choice = choice
        self._is_undecided = choice is not None  # the language of the current utterance
        self._reader = SentenceReader(language())  # of the current utterance
        guess = choice.guess if choice else None
        self._segmenter = Segmenter(self._reader.language.code, guess)
        self._complete: deque[Sentence] = deque()  # not yet closed, in order
        self._reopened = ""  # masked text to be given to the segmenter again, after a retraction
        self._unread = ""  # the end of the text; its markup is not read
        self._flushes: deque[int] = deque()  # offsets to read up to before each flush
        self._flushed: deque[int] = deque()  # where no word continues: behind each flush
        self._end_is_due = False  # once everything is read
        self._start = 0  # of the current utterance
        self._flush_to = 0  # flush and end require speech up to here at once
        self._last_input_s = 0.0
        self._speed = WritingSpeed()
        self.length = 0
        self.released = 0
        self.spoken = 0
        self.ended = False

    # --- input ------------------------------------------------------------------------------------

    def push_text(self, text: str, now_s: float, *, is_awaited: bool = True) -> None:
        """Append text; unless it `is_awaited`, it is read later. Raises `ContextEnded`,
        `TextLimit`; then none of it is appended.
        """
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
        if is_awaited:
            self.read_slice()

    def retract_to(self, to: int, now_s: float) -> int:
        """Remove the text from `to` on, unless it is released. Returns the new length."""
        self.length = min(max(to, self.released), self.length)
        if self.length < self._masked.length:
            self._retract_read()
        self._unread = self._unread[: self.length - self._masked.length]
        self._flush_to = min(self._flush_to, self.length)
        self._flushes = deque(min(offset, self.length) for offset in self._flushes)
        self._flushed = deque(offset for offset in self._flushed if offset <= self.length)
        self._end_is_due = self.ended
        self._last_input_s = now_s
        self.read_slice()
        return self.length

    def _retract_read(self) -> None:
        """Retract text whose markup was read."""
        self._masked.retract_to(self.length)
        if self._masked.masked_to < self.released:  # held back again, but it is spoken
            self._masked.end_text()
        to = self._masked.masked_to
        self._reopened = self._segmenter.retract_to(min(to, self._segmenter.open_sentence.end))
        while self._complete and self._complete[-1].end > to:
            self._complete.pop()
        self._reader.retract_to(max(0, to - self._start), self.released - self._start)
        if self._choice and self.released <= self._start:
            self._is_undecided, self._reader = True, SentenceReader(self._language())
        self._unread = ""

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
        return bool(self._reopened or self._unread or self._flushes or self._end_is_due)

    def read_slice(self) -> None:
        """Read the markup of the next slice, segment it and read its words, if `is_behind`."""
        if not self.is_behind:
            return
        stop = self._flushes[0] if self._flushes else self.length
        if self._reopened:
            part, self._reopened = self._reopened[:_SLICE], self._reopened[_SLICE:]
            self._segment(part)
        else:
            size = min(_SLICE, stop - self._masked.length)
            part, self._unread = self._unread[:size], self._unread[size:]
            self._segment(self._masked.push_text(part))
        if self._masked.length == stop and not self._reopened:
            self._close_read()
        self._read_current()

    def _segment(self, masked: str) -> None:
        """Find sentences; a change of speed or volume ends one, too."""
        at = self._segmenter.open_sentence.end
        for mark in self._masked.find_marks(max(0, at - _LONGEST_MARK), at + len(masked)):
            if isinstance(mark, Change) and at < mark.end <= at + len(masked):
                part, masked = masked[: mark.end - at], masked[mark.end - at :]
                self._complete.extend(self._segmenter.push_text(part))
                if self._segmenter.open_sentence.text.strip(BLANK):
                    self._complete.extend(self._segmenter.end_text())
                at = mark.end
        self._complete.extend(self._segmenter.push_text(masked))

    def _close_read(self) -> None:
        """Carry out the flush or end that all text before it was read for."""
        if self._flushes:
            self._flushed.append(self._flushes.popleft())
            self._segment(self._masked.end_text())
            self._complete.extend(self._segmenter.flush_text())
        elif self._end_is_due:
            self._end_is_due = False
            self._segment(self._masked.end_text())
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

    @property
    def change(self) -> Change | None:
        """The change of speed and volume that holds for the current utterance."""
        blank = len(self._reader.text) - len(self._reader.text.lstrip(BLANK))
        return self._masked.find_change(self._start + blank)

    def pending_sentence(self) -> PendingSentence:
        """The current sentence, in offsets of its utterance; its text may be empty. While `behind`
        it ends where reading stopped.

        A sentence end found inside released text ("5 p.m. Sh", spoken as far as typed, becomes
        "She") is too late: the sentence goes on.
        """
        text, complete = self._read_current()
        words = self._reader.words
        return PendingSentence(
            text=text,
            finished=[word.end for word in words],
            stops=[(word.end, word.pause_ms) for word in words if word.pause_ms],
            released=self.released - self._start,
            spoken=self.spoken - self._start,
            complete=complete,
            flush_to=min(max(0, self._flush_to - self._start), len(text)),
            last_input_s=self._last_input_s,
            first=self.spoken == 0,
            speed=self._speed.characters_per_s,
            usual_gap_s=self._speed.usual_gap_s,
        )

    def _read_current(self) -> tuple[str, bool]:
        """Read what is new in the current utterance; returns its text, and whether that is all."""
        late = list(takewhile(lambda sentence: sentence.end < self.released, self._complete))
        complete = len(late) < len(self._complete)
        parts = [*late, self._complete[len(late)] if complete else self._segmenter.open_sentence]
        text = "".join(part.text for part in parts)[self._start - parts[0].start :]
        if late and self.released - self._start >= _LONGEST_LATE:
            text, complete = text[: self.released - self._start], True
        self._read_sentence(text, complete=complete)
        return text, complete

    def _read_sentence(self, text: str, *, complete: bool) -> None:
        """Read what is new in the current utterance's `text`."""
        if self._is_undecided and not self._choose_language(text, is_complete=complete):
            return
        reader = self._reader
        if len(text) < len(reader.text):  # the sentence ends earlier than it seemed to
            reader.retract_to(len(text), self.released - self._start)
        flushed = [offset - self._start for offset in self._flushed]
        for end in [offset for offset in flushed if len(reader.text) < offset < len(text)]:
            self._push_to_reader(text, end)
            reader.end_text()
        self._push_to_reader(text, len(text))
        if complete or len(text) in flushed:
            reader.end_text()

    def _choose_language(self, text: str, *, is_complete: bool) -> bool:
        """Choose the language of the current utterance; False while more text is needed."""
        assert self._choice is not None
        is_complete = is_complete or self._start + len(text) in self._flushed
        if self._choice.choose(text, is_complete=is_complete):
            self._is_undecided = False
            self._reader = SentenceReader(self._language())
        return not self._is_undecided

    def settle_language(self, sentence: PendingSentence) -> None:
        """Choose the language of the current utterance now, since it is about to be spoken."""
        if self._is_undecided:
            self._choose_language(sentence.text, is_complete=True)
            self._read_sentence(sentence.text, complete=sentence.complete)

    def _push_to_reader(self, text: str, end: int) -> None:
        done = len(self._reader.text)
        if done >= end:
            return
        marks = self._masked.find_marks(self._start + done, self._start + end)
        said = [
            read_mark(
                mark,
                text[mark.start - self._start : mark.end - self._start],
                self._start,
                self._reader.language,
            )
            for mark in marks
        ]
        self._reader.push_text(text[done:end], [word for word in said if word is not None])

    def is_read_to(self, end: int) -> bool:
        """Whether no further text can change the reading of the utterance up to `end`."""
        return end <= self._reader.read_to

    def mark_released(self, sentence: PendingSentence, choice: Speak) -> SpokenText:
        """Mark the pacer's choice as released: it can no longer be retracted, or be read otherwise.
        Returns what `say` does.
        """
        self.released = self._start + choice.to
        if not self.is_read_to(choice.to):
            self._reader.end_text(choice.to)
        return self.say(sentence, choice)

    def say(self, sentence: PendingSentence, choice: Speak) -> SpokenText:
        """What is said for the current utterance, so far as the choice lets it be known."""
        words = [*self._reader.words, *self._reader.read_rest()]
        known = [word for word in words if word.end <= choice.known]
        return SpokenText(known, sentence.text, self._sounds)

    def mark_spoken(self, end: int) -> tuple[int, int]:
        """Mark the utterance as rendered up to its offset `end`. Returns the span of the context
        that this adds.
        """
        start, self.spoken = self.spoken, self._start + end
        return start, self.spoken

    def close_utterance(self) -> None:
        """End the utterance with all that was released, and go on with the next."""
        if self._choice is not None:
            self._choice.keep()
            self._is_undecided = True
        self._start, self._reader = self.released, SentenceReader(self._language())
        self._masked.settle(self._start)
        while self._flushed and self._flushed[0] <= self._start:
            self._flushed.popleft()
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
