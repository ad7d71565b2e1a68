"""Splits a growing text into written words, and lets rules look ahead of the one they read. Pure.

A rule never sees a word that may still grow: looking at one raises `MoreTextNeeded`. So what a rule
says depends on the text alone, never on the pieces in which it arrives.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from unicodedata import normalize

from backend.text.reading.compatibility import expand
from backend.text.spaceless import (
    FIRST_SPACELESS,
    SPACELESS,
    SPACELESS_WORD,
    find_run,
    split_run,
)

FILLER = "\u2060"
"""Stands in a masked text for a character that is not there: a soft hyphen, the rest of an entity.
A masked text is as long as its source, so that offsets hold."""

LONGEST_WORD = 100  # characters; longer runs are cut here
# Fillers do not count.
_WORD = re.compile(rf"{SPACELESS_WORD}|(?:[^\s{SPACELESS}]{FILLER}*){{1,{LONGEST_WORD}}}")
_MARKS = re.compile(r"[^\w\s]*")
_LOOSE_ACCENT = re.compile("[\u0300-\u036f]")  # "s\u0336t\u0336": struck out
_OPENING = "\"'‘’“”„‚«»‹›([{¿¡「『（《〈【"
_CLOSING = "\"'‘’“”„‚«»‹›)]}.,;:!?…،؛؟۔。、，；：！？」』）》〉】।॥።፣፤፥፧։·၊။។៕៖"


@dataclass(frozen=True, slots=True)
class WrittenWord:
    """`text[start:end]`, a run of characters without spaces inside; the next one's `start` is
    `behind`, one space further.

    Without fillers it is `lead + core + trail`: opening marks, the word, closing marks. A run of
    marks alone is all `core`. `is_glued`: no space was before it (it was cut from a long run,
    or its script has none).
    """

    start: int
    end: int
    behind: int
    lead: str
    core: str
    trail: str
    is_glued: bool = False

    @property
    def text(self) -> str:
        """The whole word."""
        return self.lead + self.core + self.trail


NO_WORD = WrittenWord(0, 0, 0, "", "", "")
"""What is behind the last word."""


class MoreTextNeeded(Exception):
    """A rule looked at a word that is not complete yet."""


def split_words(text: str, start: int = 0, *, final: bool) -> list[WrittenWord]:
    """The complete words of `text` from `start` on: those that are followed by a space or another
    word, and the last one if the text is `final`. The first space behind a word belongs to it,
    further ones to the next.
    """
    words: list[WrittenWord] = []
    done = start
    for match in _WORD.finditer(text, start):
        first, end = match.span()
        if first < done:  # a part of a run
            continue
        if text[first] >= FIRST_SPACELESS and (run_end := find_run(text, first)) > first:
            done = first
            for word_start, done in _split_run(text, first, run_end, final=final):
                begin = words[-1].behind if words else start
                words.append(_create_word(text, word_start, done, begin))
            if done < run_end:
                break
            continue
        if end == len(text) and not final:
            break
        words.append(_create_word(text, first, end, words[-1].behind if words else start))
    return words


def _split_run(text: str, first: int, run_end: int, *, final: bool) -> Iterator[tuple[int, int]]:
    """The decided words of a run without spaces; the marks behind it belong to the last."""
    start = first
    for size in split_run(text[start:run_end], final=final or run_end < len(text)):
        end = start + size
        if end == run_end and (marks := _MARKS.match(text, end)):
            end = marks.end()
            if end == len(text) and not final:
                return
        yield first, end
        first = end


def _create_word(text: str, first: int, end: int, begin: int) -> WrittenWord:
    """The word `text[first:end]`; the one before is left at `begin`."""
    offsets = begin, end, end + text[end : end + 1].isspace()
    is_glued = first > 0 and not text[first - 1].isspace()
    word = text[first:end].replace(FILLER, "")
    if not word.isascii():  # macOS sends an accented letter as two code points
        word = expand(_LOOSE_ACCENT.sub("", normalize("NFC", word)))
    core = word.lstrip(_OPENING)
    lead = word[: len(word) - len(core)]
    bare = core.rstrip(_CLOSING)
    if not bare:
        return WrittenWord(*offsets, "", word, "", is_glued)
    return WrittenWord(*offsets, lead, bare, core[len(bare) :], is_glued)


class WordCursor:
    """Looks at the words from the one to be read on."""

    def __init__(self, words: Sequence[WrittenWord], at: int, *, final: bool) -> None:
        self._words = words
        self._at = at
        self._final = final
        is_last = at + 1 == len(words)
        self.seen_to = sys.maxsize if final and is_last else words[at].behind
        """Offset up to which text was looked at; text behind it has no influence. An end of the
        text that was looked at counts as further than any text.
        """

    @property
    def word(self) -> WrittenWord:
        """The word to be read."""
        return self._words[self._at]

    def peek(self, ahead: int = 1) -> WrittenWord:
        """The word `ahead` of it; `NO_WORD` behind the end of a final text. Raises
        `MoreTextNeeded` if it is not complete.
        """
        at = self._at + ahead
        if at < len(self._words):
            self.seen_to = max(self.seen_to, self._words[at].behind)
            return self._words[at]
        if not self._final:
            raise MoreTextNeeded
        self.seen_to = sys.maxsize
        return NO_WORD

    def previous(self, back: int = 1) -> WrittenWord:
        """The word `back` before it; `NO_WORD` if there is none."""
        at = self._at - back
        return self._words[at] if at >= 0 else NO_WORD

    def take(self, count: int) -> Iterator[WrittenWord]:
        """The word to be read and those behind it, `count` in all."""
        return iter(self._words[self._at : self._at + count])
