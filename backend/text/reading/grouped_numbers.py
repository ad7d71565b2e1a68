"""Numbers whose groups of three digits are apart: "1 000,50" is one word. Pure.

An engine that is given "1" alone says "one" before it knows of the thousand.
"""

from __future__ import annotations

import re

from backend.text.reading.language import Reading
from backend.text.reading.written_words import WordCursor

_FIRST = re.compile(r"[€$£]?[1-9]\d{0,2}")
_FURTHER = re.compile(r"\d{3}(?:[.,]\d+)?%?")
_MOST = 5  # groups

LANGUAGES = frozenset(
    (
        *("be", "bg", "ca", "cs", "da", "de", "es", "et", "eu", "fi", "fr", "hr", "hu", "hy", "is"),
        *("it", "ka", "kk", "lb", "lt", "lv", "mk", "nl", "no", "pl", "pt", "ro", "ru", "sk", "sl"),
        *("sq", "sr", "sv", "uk"),
    )
)
"""Those that write numbers so, and have no rules of their own."""


def read_grouped_number(cursor: WordCursor) -> Reading | None:
    """Reads "1 000,50" as "1000,50", in one word."""
    if cursor.word.trail or not _FIRST.fullmatch(cursor.word.core):
        return None
    said, count = cursor.word.core, 1
    while count < _MOST:
        group = cursor.peek(count)
        if group.lead or group.is_glued or not _FURTHER.fullmatch(group.core):
            break
        said, count = said + group.core, count + 1
        if group.trail or not group.core.isdigit():
            break
    return Reading(said, count) if count > 1 else None
