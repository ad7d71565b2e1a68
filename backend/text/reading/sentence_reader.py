"""Reads a growing sentence: a list of spoken words that tile it. Pure.

A word is read once no text that may follow can change its reading; from then on it never changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backend.text.reading.language import Language, Reading
from backend.text.reading.spoken_word import SpokenWord
from backend.text.reading.written_words import (
    MoreTextNeeded,
    WordCursor,
    WrittenWord,
    split_words,
)

_LONGEST_READING = 24  # spoken words; longer readings are split
_LEFT_WORDS = 3  # read words that rules may look back at


class SentenceReader:
    """The reading of one sentence, in offsets of its masked text."""

    def __init__(self, language: Language) -> None:
        self._language = language
        self._text = ""
        self._left: list[WrittenWord] = []  # the last words read
        self.words: list[SpokenWord] = []
        """What is read; it tiles the text up to `read_to`."""

    @property
    def read_to(self) -> int:
        """Offset up to which the reading is certain."""
        return self.words[-1].end if self.words else 0

    def push_text(self, text: str) -> None:
        """Append `text` and read what it makes certain."""
        self._text += text
        self._read_on(final=False)

    def end_text(self) -> None:
        """Read all of the text, as if nothing more followed. More text may follow: it is read by
        itself, however it continues the last word.
        """
        self._read_on(final=True)
        if self.read_to < len(self._text):  # spaces only
            self.words.append(SpokenWord(self.read_to, len(self._text), ""))

    def read_rest(self) -> list[SpokenWord]:
        """The words behind `read_to` as they are read if nothing more follows."""
        guess = SentenceReader(self._language)
        guess._text, guess._left = self._text, list(self._left)
        guess.words = self.words[-1:]
        guess.end_text()
        return guess.words[len(self.words[-1:]) :]

    def _read_on(self, *, final: bool) -> None:
        written = split_words(self._text, self.read_to, final=final)
        at = 0
        all_words = [*self._left, *written]
        while at < len(written):
            cursor = WordCursor(all_words, len(self._left) + at, final=final)
            try:
                reading = self._ask_rules(cursor)
            except MoreTextNeeded:
                break
            words = written[at : at + reading.count]
            self.words += _create_spoken(words, reading)
            at += len(words)
        self._left = all_words[: len(self._left) + at][-_LEFT_WORDS:]

    def _ask_rules(self, cursor: WordCursor) -> Reading:
        for rule in self._language.rules:
            if (reading := rule(cursor)) is not None:
                return reading
        return Reading(cursor.word.core)


def _create_spoken(words: Sequence[WrittenWord], reading: Reading) -> Iterator[SpokenWord]:
    first, last = words[0], words[-1]
    trail = last.trail if reading.trail is None else reading.trail
    spoken = reading.spoken.split()
    # An engine renders a word in one step: a number of 100 digits becomes several.
    parts = max(1, min(-(-len(spoken) // _LONGEST_READING), last.end - first.start))
    size = -(-len(spoken) // parts) if spoken else 1
    for part in range(parts):
        start = first.start + (last.end - first.start) * part // parts
        end = first.start + (last.end - first.start) * (part + 1) // parts
        said = " ".join(spoken[part * size : (part + 1) * size])
        is_last = part + 1 == parts
        yield SpokenWord(
            start,
            last.behind if is_last else end,
            (first.lead if part == 0 else "") + said + (trail if is_last else ""),
            reading.phonemes if parts == 1 else None,
        )
