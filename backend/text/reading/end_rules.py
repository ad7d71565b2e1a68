"""Where sentences of languages without rules of their own may end: abbreviations, ordinals. Pure.

`sentencex` knows the commonest; here is what it misses. Where to look for the words of a language:
`abbreviation_table`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from backend.text.reading.abbreviation_table import (
    ABBREVIATIONS,
    DETERMINERS,
    GOING_ON,
    ORDINAL_LANGUAGES,
    SAYING,
    TITLES,
)
from backend.text.reading.language import EndRule

_CONTROLS = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2060"
_OPENING = "\"'‘’“”„‚«»‹›([{¿¡「『（《〈【" + _CONTROLS
_PAUSES = frozenset("၊、，،؛,;:፣፤፥·")  # end no sentence, whatever the library says
_QUESTION_MARKS = {"el": ";"}
_QUOTE_END = re.compile("[?!.…。！？؟;।]?[\"'’”“»«›‹」』）)]+[\\s\u2013\u2014-]*$")
_ELISION = re.compile("^[a-z]{1,4}['’]")  # "l'art."
_DOTTED = re.compile(r"(?:\w{1,3}\.){2,}$")  # "d.w.z."
_ORDINAL = re.compile(r"(?:\d{1,3}|[IVX]{1,5})\.")
_DOTS_IN_WORDS = frozenset({"th", "lo"})  # whose sentences end without one
_SHORT = 5  # letters of a Thai or Lao abbreviation, its dot included


@dataclass(frozen=True, slots=True)
class _EndRule:
    """An `EndRule` of two words; its fields are those of `abbreviation_table`, for one language."""

    titles: frozenset[str]
    abbreviations: frozenset[str]
    determiners: frozenset[str]
    saying: tuple[str, ...]
    going_on: tuple[str, ...]
    pauses: frozenset[str]
    has_ordinals: bool
    ends_with_dots: bool

    def __call__(self, before: str, behind: str, is_complete: bool) -> bool:
        last = before.rpartition(" ")[2].rstrip(_CONTROLS)
        if last[-1:] in self.pauses:
            return False
        following = behind.lstrip(_OPENING)
        if _QUOTE_END.search(before):
            goes_on = _begins(following, self.saying, is_complete=is_complete)
            return not (following[:1].islower() or goes_on)
        if _begins(following, self.going_on, is_complete=is_complete):
            return False
        return not last.endswith(".") or self._dot_ends(before, following)

    def _dot_ends(self, before: str, following: str) -> bool:
        """Whether the full stop behind `before` can end a sentence."""
        earlier, _, last = before.rstrip(_CONTROLS).rpartition(" ")
        last = last.lstrip(_OPENING)
        word = _ELISION.sub("", last[:-1].lower())
        if word in self.titles or (not self.ends_with_dots and len(last) <= _SHORT):
            return False
        goes_on = following[:1].islower()
        if self.has_ordinals and _ORDINAL.fullmatch(last):
            return not goes_on and earlier.lower() not in self.determiners
        is_abbreviation = word in self.abbreviations or _DOTTED.match(last) is not None
        return not (is_abbreviation and (goes_on or following[:1].isdecimal()))


@lru_cache(64)
def find_end_rule(code: str) -> EndRule:
    """The rule of a language; it is given two words before the possible end."""
    return _EndRule(
        titles=frozenset(TITLES.get(code, "").split()),
        abbreviations=frozenset(ABBREVIATIONS.get(code, "").split() + ABBREVIATIONS["*"].split()),
        determiners=frozenset(DETERMINERS.get(code, "").split()),
        saying=tuple(SAYING.get(code, "").split()),
        going_on=tuple(GOING_ON.get(code, "").split()),
        pauses=_PAUSES - set(_QUESTION_MARKS.get(code, "")),
        has_ordinals=code in ORDINAL_LANGUAGES,
        ends_with_dots=code not in _DOTS_IN_WORDS,
    )


def _begins(behind: str, words: tuple[str, ...], *, is_complete: bool) -> bool:
    """Whether `behind` begins with one of the words, or may when it is complete."""
    if behind.startswith(words):
        return True
    return not is_complete and any(word.startswith(behind) for word in words)
