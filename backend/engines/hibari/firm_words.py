"""Where a growing text may be cut: whether later words can change the reading of those before.

"$3.2" is another number before "billion", "the 5" a date before "January", "St." a saint before a
name.
"""

from __future__ import annotations

import re

from hibari.g2p.normalize import (
    ABBREV,
    CURRENCY_WORDS,
    MONTH_NAMES,
    MONTHS,
    ROMAN_CARDINAL,
    ROMAN_ORDINAL,
    TITLES,
)

from backend.engines.hibari.phonemes import TracedText, normalise

_WORD = re.compile(r"\S+")
_CONTINUATIONS = tuple(
    f" {word}" for word in ("billion", "2024", "a.m.", "km", "- 10", "of May", "May", "IV", "Lee")
)
_REACH_WORDS = 3  # words behind a boundary after which later text cannot change what is before it
_REACH_CHARACTERS = 100  # the same in characters; also the context before a boundary
_PLAIN_WORD = re.compile(r"[A-Za-z][a-z]*(?:'[a-z]{1,2})?[,;]?")
_TABLES = (ABBREV, CURRENCY_WORDS, MONTH_NAMES, MONTHS, ROMAN_CARDINAL, ROMAN_ORDINAL, TITLES)
# Words that the package may read together with the next: "Part IV", "Mar 5", "Rs 20".
_LEADING_WORDS = frozenset(
    word.rstrip(".").lower() for table in _TABLES for name in table for word in name.split()
)


def is_firm(text: str, boundary: int) -> bool:
    """Whether no text that may follow `text` changes the reading of what is before `boundary`.

    Tests continuations known to change it.
    """
    behind = text[boundary:].split()
    if len(behind) >= _REACH_WORDS or sum(map(len, behind)) >= _REACH_CHARACTERS:
        return True
    text = text[: boundary + 2 * _REACH_CHARACTERS]
    furthest = max(0, boundary - _REACH_CHARACTERS)
    start = max(furthest, text.rfind(" ", furthest, max(0, boundary - 24)) + 1)
    text, boundary = text[start:], boundary - start
    words = list(_WORD.finditer(text, 0, boundary))
    if not words or all(map(_is_plain, text.split())):
        return True
    before = _read_prefix(normalise(text + " so it is"), words[-1].end())
    return all(
        _read_prefix(normalise(text + more), words[-1].end()) == before for more in _CONTINUATIONS
    )


def _is_plain(word: str) -> bool:
    """Whether it stays as it is, whatever follows; most words do."""
    return bool(_PLAIN_WORD.fullmatch(word)) and word.rstrip(",;").lower() not in _LEADING_WORDS


def _read_prefix(line: TracedText, end: int) -> str | None:
    """The part of `line` that comes from the source before `end`; None if a word crosses `end`."""
    parts = []
    for m in _WORD.finditer(line):
        a, b = line.source(*m.span())
        if a >= end:
            break
        if b > end:
            return None
        parts.append(m.group())
    return " ".join(parts)
