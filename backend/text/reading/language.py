"""What a language's folder provides. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backend.text.reading.written_words import WordCursor


@dataclass(frozen=True, slots=True)
class Reading:
    """What a rule says for the next `count` written words: `spoken`, without the marks around them.
    `trail`: the marks behind; None: those of the last word (a rule that reads the dot of an
    abbreviation removes it). `phonemes`: IPA that says all of it instead, on engines that read IPA.
    """

    spoken: str
    count: int = 1
    trail: str | None = None
    phonemes: str | None = None


Rule = Callable[[WordCursor], Reading | None]
"""Reads the words at the cursor; None if the rule is not for them. It looks ahead with `peek`
alone, and only as far as what it has seen so far demands: each look delays speech by a word."""


EndRule = Callable[[str, str, bool], bool]
"""Whether a sentence may end between two written words: the one before (`words_before` of them),
with its marks, as much of the one behind as is known, and whether that is all of it. An answer "no"
to a part may become "yes" once the word is complete."""


def _may_always_end(before: str, behind: str, is_complete: bool) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Language:
    """`rules`: asked in order; the first that answers wins. A word that none reads says itself.
    `may_end_sentence` knows the abbreviations, whose full stops end few sentences; it is given
    `words_before` words before the possible end.
    """

    code: str
    rules: Sequence[Rule]
    may_end_sentence: EndRule = _may_always_end
    words_before: int = 1
