"""Careless spellings: repeated letters, missing apostrophes; one homograph. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

from backend.text.reading.english.respellings import CASUAL, DOUBLED, NAMES, PIPES
from backend.text.reading.english.word_sets import word_set
from backend.text.reading.language import Reading
from backend.text.reading.written_words import WordCursor

_LONG = re.compile(r"([a-z])\1{2,}", re.IGNORECASE)

# Behind these "lead" is no verb; only then is the word behind it looked at.
_BEFORE_METAL = word_set("a any by from heavy in into no of old on some that the this with")

RESPELLED = NAMES | CASUAL


@lru_cache(1024)
def shorten_letters(core: str) -> str | None:
    """Says "so" for "sooooo"; None if no letter stands three times in a row."""
    if not _LONG.search(core) or len(set(core.lower())) == 1 or "XX" in core:
        return None
    doubled = _LONG.sub(r"\1\1", core)
    return doubled if doubled.lower() in DOUBLED else _LONG.sub(r"\1", core)


def read_lead(cursor: WordCursor) -> Reading | None:
    """Says "led", the metal, by the word behind it."""
    if cursor.word.trail or cursor.previous().core.lower() not in _BEFORE_METAL:
        return None
    return Reading("led") if cursor.peek().core.lower() in PIPES else None
