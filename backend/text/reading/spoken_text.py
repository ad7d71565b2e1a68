"""An utterance as an engine reads it: spoken words in a row, mapped to what was written. Pure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Container, Iterator, Sequence
from itertools import groupby
from string import whitespace

from backend.events import Word
from backend.text.reading.spoken_word import SpokenWord
from backend.text.reading.written_words import FILLER
from backend.text.spaceless import CJK

Span = tuple[int, int]

TIE = "\u00a0"
"""Between the words that are said for one written word: speech is not cut there."""
_SPACELESS = re.compile(rf"[{CJK}][^\w\s]*$")  # Thai words get spaces, like all others
BLANK = whitespace + TIE + FILLER
"""Characters of a masked text that say nothing."""


class SpokenText:
    """What is said for `words`, the reading of the beginning of `written`. A written word without
    sound adds nothing; it is spoken together with what is before it.
    """

    def __init__(
        self, words: Sequence[SpokenWord], written: str, sounds: Container[str] = ()
    ) -> None:
        """`sounds`: those that the engine can make; others are silent."""
        self._words, self._written = words, written
        self._word_ends = [word.end for word in words]
        parts: list[str] = []
        self._ends: list[int] = []  # of each word in `text`, the space behind it included
        size = 0
        self.pronunciations: dict[int, str] = {}
        """IPA of words, by their offsets in `text`."""
        for word in words:
            said = word.spoken.replace(" ", TIE)
            if word.sound in sounds:
                said = f"[{word.sound}]"
            if word.phonemes and said:
                self.pronunciations[size] = word.phonemes
            # Also behind the last one: where a word ends must not depend on the next.
            is_apart = said.isascii() or not _SPACELESS.search(said)
            if said and (is_apart or written[word.end - 1 : word.end].isspace()):
                said += " "
            parts.append(said)
            size += len(said)
            self._ends.append(size)
        self.text = "".join(parts)
        """What is said, the words separated by spaces."""

    @property
    def plain(self) -> str:
        """`text` with plain spaces, also at its ends none."""
        return self.text.replace(TIE, " ").strip()

    def to_spoken(self, written: int) -> int:
        """Where the text that was written before offset `written` ends in `text`."""
        count = bisect_right(self._word_ends, written)
        return self._ends[count - 1] if count else 0

    def is_silent(self, start: int, end: int) -> bool:
        """Whether nothing is said for what was written between two offsets."""
        return self.to_spoken(start) >= self.to_spoken(end)

    def to_written(self, spoken: int, limit: int) -> int:
        """Offset up to which all that was written is said once `text[:spoken]` is: `limit` at most,
        and `limit` as soon as all that is said before it is.
        """
        if spoken >= self.to_spoken(limit):
            return limit
        count = bisect_right(self._ends, spoken)
        reached = self._words[count - 1].end if count else 0
        return self._find_part_end(count, spoken) or reached

    def _find_part_end(self, at: int, spoken: int) -> int:
        """Where `spoken`, inside a word that is said as it is written, is written; else 0."""
        said_start = self._ends[at - 1] if at else 0
        start, end = self._find_span(self._words[at])
        is_plain = self._written[start:end] == self.text[said_start : said_start + end - start]
        return start + spoken - said_start if is_plain and spoken > said_start else 0

    def group_words(self, heard: Sequence[Word]) -> Iterator[Word]:
        """The written words of spoken ones, without the spaces around them. An engine may say a
        word in several chunks: each has its share of what was written.
        """
        for at, group in groupby(heard, lambda word: bisect_right(self._ends, word.start)):
            words = list(group)
            start, end = self._find_share(at, words[0].start, words[-1].end)
            if start < end:
                yield Word(start, end, words[0].start_ms, words[-1].end_ms)

    def _find_share(self, at: int, start: int, end: int) -> Span:
        """Where the part `text[start:end]` of a word is written."""
        written_start, written_end = self._find_span(self._words[at])
        said_start = self._ends[at - 1] if at else 0
        said, size = self._ends[at] - said_start - 1, written_end - written_start
        first, last = (
            written_start + min(size, size * (offset - said_start) // max(1, said))
            for offset in (start, end)
        )
        is_end = not any(map(str.isalnum, self.text[end : self._ends[at]]))  # marks at most
        return first, written_end if is_end else last

    def list_words(self) -> Iterator[tuple[Span, int, SpokenWord]]:
        """The written words that have sound: where they are written, without the spaces around
        them, where they are in `text`, and what is said.
        """
        starts = [0, *self._ends]
        for word, start, end in zip(self._words, starts, self._ends, strict=False):
            if start < end:
                yield self._find_span(word), start, word

    def _find_span(self, word: SpokenWord) -> Span:
        written = self._written[word.start : word.end]
        start = word.start + len(written) - len(written.lstrip(BLANK))
        return start, word.start + len(written.rstrip(BLANK))
