"""Reads a growing sentence: a list of spoken words that tile it. Pure.

A word is read once no text that may follow can change its reading; from then on it never changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from backend.text.reading.language import Language, Reading
from backend.text.reading.spoken_word import SpokenWord
from backend.text.reading.written_words import (
    MoreTextNeeded,
    WordCursor,
    WrittenWord,
    split_words,
)
from backend.text.spaceless import count_seen

_LONGEST_READING = 24  # spoken words; longer readings are split
_LEFT_WORDS = 3  # read words that rules may look back at


@dataclass(frozen=True, slots=True)
class _ReadWords:
    """What was read at once, and how far the text was looked at for it. `is_mark`: its reading was
    given.
    """

    written: Sequence[WrittenWord]
    spoken: Sequence[SpokenWord]
    seen_to: int
    is_mark: bool = False


class SentenceReader:
    """The reading of one sentence, in offsets of its masked text."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._read: list[_ReadWords] = []
        self._marks: list[SpokenWord] = []  # not yet read, in order
        self.text = ""
        self.words: list[SpokenWord] = []
        """What is read; it tiles the text up to `read_to`."""

    @property
    def read_to(self) -> int:
        """Offset up to which the reading is certain."""
        return self.words[-1].end if self.words else 0

    def push_text(self, text: str, marks: Sequence[SpokenWord] = ()) -> None:
        """Append `text` and read what it makes certain. `marks`: parts of it whose reading is
        given, in order.
        """
        self.text += text
        self._marks += marks
        self._read_marked(len(self.text))
        self._read_written(len(self.text), final=False)

    def end_text(self, upto: int | None = None) -> None:
        """Read all of the text, or what is before `upto`, as if nothing followed. What does follow
        is read by itself, even if it continues the last word.
        """
        self._read_marked(len(self.text) if upto is None else upto)
        self._read_written(len(self.text) if upto is None else upto, final=True)

    def retract_to(self, to: int, fixed: int) -> None:
        """Forget the text from `to` on, and readings that have seen it; those of the text before
        `fixed` stay.
        """
        self.text = self.text[:to]
        kept = list(
            takewhile(lambda part: part.seen_to <= to or part.spoken[-1].end <= fixed, self._read)
        )
        marks = [word for part in self._read[len(kept) :] if part.is_mark for word in part.spoken]
        self._marks = [mark for mark in [*marks, *self._marks] if mark.end <= to]
        self._read, self.words = kept, [word for part in kept for word in part.spoken]

    def read_rest(self) -> list[SpokenWord]:
        """The words behind `read_to`, as they are read if nothing more follows."""
        guess = SentenceReader(self.language)
        guess.text, guess._marks = self.text, list(self._marks)
        guess._read, guess.words = self._read[-_LEFT_WORDS:], self.words[-1:]
        guess.end_text()
        return guess.words[len(self.words[-1:]) :]

    def _read_marked(self, end: int) -> None:
        """Read the text up to the last mark before `end`."""
        while self._marks and self._marks[0].start < end:
            mark = self._marks.pop(0)
            self._read_written(mark.start, final=True)
            self._add(_ReadWords((), [mark], mark.end, is_mark=True))

    def _read_written(self, end: int, *, final: bool) -> None:
        """Read the text up to `end`; `final`: what is behind has no influence."""
        text, start = self.text[:end], self.read_to
        written = split_words(text, start, final=final)
        left = [word for part in self._read[-_LEFT_WORDS:] for word in part.written][-_LEFT_WORDS:]
        at = 0
        while at < len(written):
            cursor = WordCursor([*left, *written], len(left) + at, final=final)
            try:
                reading = self._ask_rules(cursor)
            except MoreTextNeeded:
                return
            words = written[at : at + reading.count]
            seen_to = max(cursor.seen_to, words[-1].behind + count_seen(words[-1].core))
            self._add(_ReadWords(words, list(_create_spoken(words, reading)), seen_to))
            at += len(words)
        if final and self.read_to < end:  # spaces only
            self._add(_ReadWords((), [SpokenWord(self.read_to, end, "")], end))

    def _add(self, part: _ReadWords) -> None:
        self._read.append(part)
        self.words += part.spoken

    def _ask_rules(self, cursor: WordCursor) -> Reading:
        for rule in self.language.rules:
            if (reading := rule(cursor)) is not None:
                return reading
        return Reading(cursor.word.core)


def read_plainly(text: str, language: Language) -> str:
    """What is said for a whole text without markup."""
    reader = SentenceReader(language)
    reader.push_text(text)
    reader.end_text()
    return " ".join(word.spoken for word in reader.words if word.spoken)


def _create_spoken(words: Sequence[WrittenWord], reading: Reading) -> Iterator[SpokenWord]:
    first, last = words[0], words[-1]
    trail = last.trail if reading.trail is None else reading.trail
    spoken = reading.spoken.split()
    # An engine renders a word in one step: a number of 100 digits becomes several.
    parts = max(1, min(-(-len(spoken) // _LONGEST_READING), last.end - first.start))
    size = max(1, -(-len(spoken) // parts))
    ends = [first.start + (last.end - first.start) * part // parts for part in range(1, parts)]
    ends.append(last.behind)
    start = first.start
    for part, end in enumerate(ends):
        lead = first.lead if part == 0 else ""
        said = " ".join(spoken[part * size : (part + 1) * size])
        behind = trail if part + 1 == parts else ""
        phonemes = reading.phonemes if parts == 1 else None
        yield SpokenWord(start, end, lead + said + behind, phonemes)
        start = end
