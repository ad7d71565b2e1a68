"""Splits a growing text into sentences.

`sentencex` decides where a sentence ends; this module decides when to ask. Of 96 texts (plain
sentences and traps, in 12 languages) it cut 83 as a reader would, `pysbd` 80, `syntok` 74,
`blingfire` 72, and it is the fastest by far: 5 us for 100 characters (`pysbd` 421, `syntok` 169),
4 ms to import (18, 34). No dependencies, MIT.

The library's answer may change with more text, so it is asked once or twice about each boundary, at
points that depend on the text alone: when the first character of the next word is known, which
decides "there. H", and, if it saw no end then, when that word is complete ("the U.S. The",
"there.Second"). It is given the text up to that point, and its answer is final. So the result does
not depend on the pieces in which the text arrives. The language's table of abbreviations, the one
that the reading uses, is asked about each end that the library sees, and may say no.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from re import compile as pattern
from unicodedata import category

import sentencex

from backend.text.reading.languages import find_language
from backend.text.sentence_bounds import (
    LONGEST_GAP,
    ends_long_phrases,
    find_full_stops,
    find_plain_ends,
    hide_plain_words,
    is_after_ideograph,
    is_in_name,
    move_between_words,
    words_before,
)

_LONGEST = 4000  # characters; longer sentences are cut at a word, to bound the memory
_CONTEXT = 120  # characters before a boundary given to the library, to bound the time
_PATIENCE = 80  # characters after which a word counts as complete, for the same reason
_NEWLINES = "\n\x0b\x0c\x85\u2028\u2029"
_SPACE = pattern(r"\s")  # sentencex 1.0.32 panics at "A", a no-break space, "."
_NEXT_WORD = " X"  # a neutral next word: after "Dr." it begins no sentence


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, trailing white space included; `start`: code point offset in the context."""

    start: int
    text: str

    @property
    def end(self) -> int:
        """Offset behind the last character."""
        return self.start + len(self.text)


class Segmenter:
    """Splits a growing text into sentences that tile it.

    A sentence ends where the library says so, at a newline, and at 4,000 characters. It has a
    letter (unless a newline ends it): "1." and "..." belong to what follows. Does not block.
    """

    def __init__(self, language: str = "en", guess: Callable[[str], str] | None = None) -> None:
        """`language`: whose abbreviations are known; full stops of all scripts are. `guess`: the
        language of a sentence, if it depends on its text.
        """
        self._guess = guess
        self._language = find_language(language)
        self._closed: deque[Sentence] = deque()  # returned, but may still be retracted
        self._settled = 0
        self._restart(0, "")

    @property
    def open_sentence(self) -> Sentence:
        """The incomplete sentence, possibly empty."""
        return Sentence(self._start, self._text)

    def push_text(self, text: str) -> list[Sentence]:
        """Append `text`; return the sentences that it completes, in order."""
        self._text += text
        return self._close_complete()

    def flush_text(self) -> list[Sentence]:
        """Treat the text as if it ended here; close only what ends like a sentence."""
        sentences = self._close_rechecked()
        if self._ends_like_a_sentence():
            sentences.append(self._close(len(self._text)))
        return sentences

    def end_text(self) -> list[Sentence]:
        """Close the open sentence: no more text follows."""
        sentences = self._close_rechecked()
        if self._text:
            sentences.append(self._close(len(self._text)))
        return sentences

    def retract_to(self, to: int) -> str:
        """Drop the text from offset `to` on and reopen a returned sentence that contains `to`.

        A sentence that ends at `to` stays closed. Returns the kept beginning of the open sentence,
        which the caller must push again. Raises ValueError if text behind `to` is settled.
        """
        if to < self._settled:
            raise ValueError(f"cannot retract to {to}: the text before {self._settled} is settled")
        while to < self._start and self._closed:
            last = self._closed.pop()
            self._restart(last.start, last.text)
        if to >= self.open_sentence.end:
            return ""
        kept = self._text[: to - self._start]
        self._restart(self._start, "")
        return kept

    def settle(self, upto: int) -> None:
        """Forbid retracting to before `upto`, and drop what only that needs."""
        self._settled = max(self._settled, upto)
        while self._closed and self._closed[0].end <= self._settled:
            self._closed.popleft()

    # --- the open sentence ------------------------------------------------------------------------

    def _restart(self, start: int, text: str) -> None:
        self._start = start
        self._text = text
        self._read = 0  # characters of it that were read
        self._is_blank = True  # only white space was read
        self._first_letter: int | None = None  # offset of its first letter
        self._word_end = 0  # end of its last word, marks not included
        self._recheck_from: int | None = (
            None  # ask again from here once the current word is complete
        )

    def _close(self, cut: int) -> Sentence:
        sentence = Sentence(self._start, self._text[:cut])
        self._closed.append(sentence)
        self._restart(sentence.end, self._text[cut:])
        return sentence

    def _close_complete(self) -> list[Sentence]:
        sentences = []
        while cut := self._next_cut():
            sentences.append(self._close(cut))
        return sentences

    def _close_rechecked(self) -> list[Sentence]:
        sentences = []
        while self._recheck_from is not None and (
            cut := self._find_end(self._recheck_from, len(self._text), is_complete=True)
        ):
            sentences += [self._close(cut), *self._close_complete()]
        return sentences

    def _ends_like_a_sentence(self) -> bool:
        """Whether the library would end the sentence here if a new word followed."""
        if self._first_letter is None:
            return False
        size = len(self._text)
        self._guess_language(size)
        if not self._may_end_before(size, _NEXT_WORD[1:], is_complete=False):
            return False
        ends = self._possible_ends(self._word_end, size, _NEXT_WORD)
        return any(self._word_end <= end <= size + 1 for end in ends)

    # --- sentence boundaries ----------------------------------------------------------------------

    def _next_cut(self) -> int:
        while self._read < len(self._text):
            at = self._read
            self._read += 1
            if cut := self._read_character(at):
                return cut
        return 0

    def _read_character(self, at: int) -> int:
        """Read the character `at`; return where the sentence ends, 0 if it does not yet."""
        character = self._text[at]
        self._is_blank = self._is_blank and character.isspace()
        cut = 0
        if self._recheck_from is not None and (
            character.isspace() or at - self._recheck_from >= _PATIENCE
        ):
            cut = self._find_end(self._recheck_from, at, is_complete=True)
            self._recheck_from = None
        if not cut and character.isalnum():
            cut = self._begin_word(at)
        if not cut and character in _NEWLINES and not self._is_blank:
            cut = at + 1
        if not cut and at + 1 >= _LONGEST:
            cut = self._text.rfind(" ", _LONGEST // 2, at) + 1 or at + 1
        return cut

    def _begin_word(self, at: int) -> int:
        """Ask about the marks between the last word and the one that begins at `at`.

        A word without a space after the full stop (an address?) or after a number (a month?) is
        asked about once it is complete.
        """
        gap, gap_start = self._text[self._word_end : at], self._word_end
        self._word_end = at + 1
        if self._first_letter is None and self._text[at].isalpha():
            self._first_letter = at
        if not gap:
            return 0
        if ends_long_phrases(self._text, at):
            return at
        marks = [character for character in gap if category(character)[0] == "P"]
        if not marks:
            return 0
        if self._recheck_from is None:
            self._recheck_from = gap_start
        glued = not any(map(str.isspace, gap)) and not is_after_ideograph(self._text, gap_start)
        if all(map(str.isascii, marks)) and (
            glued or self._text[gap_start - 1 : gap_start].isdigit()
        ):
            return 0
        return self._find_end(gap_start, at + 1)

    def _find_end(self, low: int, high: int, *, is_complete: bool = False) -> int:
        """The first sentence end from `low` on, given the text up to `high`, or 0. `is_complete`:
        the last word before `high` is.
        """
        if self._first_letter is None:
            return 0
        self._guess_language(high)
        for end in self._possible_ends(low, high, is_complete=is_complete):
            if low <= end < high:
                cut = move_between_words(self._text, end, high)
                if not self._first_letter < cut < high or is_in_name(self._text, cut, high):
                    continue
                behind = self._text[cut:high].split(None, 1)
                is_whole = is_complete or len(behind) > 1
                if not behind or self._may_end_before(cut, behind[0], is_complete=is_whole):
                    return cut
        return 0

    def _guess_language(self, end: int) -> None:
        if self._guess is not None:
            self._language = find_language(self._guess(self._text[:end]))

    def _may_end_before(self, cut: int, behind: str, *, is_complete: bool) -> bool:
        """Whether the language lets a sentence end at `cut`: see `EndRule`."""
        before = words_before(self._text, cut, self._language.words_before)
        return self._language.may_end_sentence(before, behind, is_complete)

    def _possible_ends(
        self, low: int, high: int, following: str = "", *, is_complete: bool = False
    ) -> list[int]:
        ends = self._library_ends(low, high, following, is_complete=is_complete)
        own = find_full_stops(self._text, low, high)
        if self._language.code != "en":
            own += find_plain_ends(self._text, low, high)
        return sorted({*ends, *own}) if own else ends

    def _library_ends(
        self, low: int, high: int, following: str = "", *, is_complete: bool = False
    ) -> list[int]:
        """The library's sentence ends in the spoken text from before `low` to `high`."""
        start = max(0, low - _CONTEXT)
        if start:
            start = self._text.find(" ", start, low) + 1 or start
        gap = low + LONGEST_GAP // 2
        left_out = max(0, high - low - LONGEST_GAP)
        shown = self._text[start : min(gap, high)] + self._text[gap + left_out : high]
        spoken = _SPACE.sub(" ", shown) + following
        if self._language.code == "en":
            spoken = hide_plain_words(spoken, is_complete=is_complete)
        boundaries = sentencex.get_sentence_boundaries(self._language.code, spoken)
        ends = [start + boundary["end_index"] for boundary in boundaries]
        return [end if end <= gap else end + left_out for end in ends]
