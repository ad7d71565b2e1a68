"""Splits text into passages that fit the model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from backend.engines.chatterbox.text.speech_length import (
    LONGEST_S,
    TOKENS_PER_S,
    expected_tokens,
    longest_end,
)
from backend.text.reading.spoken_text import TIE

_SPACE = rf"[^\S{TIE}]+"
_WIDE_ENDS = "\u3002\uff01\uff1f\uff1b\uff1a"  # no space follows these
_ENDS = ".!?;:\u2026\u2014\u061b\u061f\u06d4\u0964"
# Where to cut a long text, best first.
_BREAKS = (
    rf"[{_ENDS}]{_SPACE}|[{_WIDE_ENDS}]\s*",
    rf"[,\u060c]{_SPACE}|[\u3001\uff0c]\s*",
    _SPACE,
    r"",
)
_CLAUSE_END = re.compile(rf"[{_ENDS},\u060c]\s+$|[{_WIDE_ENDS}\u3001\uff0c]\s*$")
_LONG_TOKENS = TOKENS_PER_S * LONGEST_S / 2
_SHORT = 25  # characters: a passage of fewer is spoken badly


def split_passages(
    text: str, start: int, end: int, taken: int = 0, language: str = "en"
) -> Iterator[tuple[int, int]]:
    """Cut `text[start:end]` into spans that fit into a passage, at clause ends if possible. The
    first span ends at `taken` or later; `taken` fits into the first passage.
    """
    while (limit := max(taken, longest_end(text, start, language))) < end:
        middle = (start + limit) // 2
        if taken <= end - _SHORT:  # the rest is not to be a lone word
            limit = max(taken, middle, min(limit, end - _SHORT))
        cut = _last_break(text, start, max(taken, middle), limit)
        yield start, cut
        start = cut
    if start < end:
        yield start, end


def _last_break(text: str, start: int, earliest: int, limit: int) -> int:
    """Where to cut a passage that starts at `start`: from `earliest` to `limit`."""
    for pattern in _BREAKS:
        cuts = [start + match.end() for match in re.finditer(pattern, text[start:limit])]
        if cuts and cuts[-1] >= earliest:
            return _before_marks(text, max(start + 1, earliest), cuts[-1])
    return limit


def _before_marks(text: str, earliest: int, cut: int) -> int:
    """`cut`, moved out of a letter with combining marks."""
    while cut > earliest and cut < len(text) and unicodedata.category(text[cut])[0] == "M":
        cut -= 1
    return cut


def ends_long_clause(text: str, language: str = "en") -> bool:
    """Whether an open passage should be closed here: it is long and a clause ends."""
    return bool(_CLAUSE_END.search(text)) and expected_tokens(text, language) > _LONG_TOKENS


def has_words(text: str) -> bool:
    """Whether the text has anything to speak."""
    return any(map(str.isalnum, text))
