"""Careless spellings: repeated letters, missing apostrophes. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

from backend.text.reading.english.words.respellings import CASUAL, DOUBLED, NAMES

_LONG = re.compile(r"([a-z])\1{2,}", re.IGNORECASE)


RESPELLED = NAMES | CASUAL


@lru_cache(1024)
def shorten_letters(core: str) -> str | None:
    """Says "so" for "sooooo"; None if no letter stands three times in a row."""
    if not _LONG.search(core) or len(set(core.lower())) == 1 or "XX" in core:
        return None
    doubled = _LONG.sub(r"\1\1", core)
    return doubled if doubled.lower() in DOUBLED else _LONG.sub(r"\1", core)
