"""Splits text into passages that fit the model, and estimates their length."""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_CHARACTERS = 300  # of a passage: about 20 s of speech
TOKENS_PER_S = 25
_CHARACTERS_PER_S = 14.0  # of English read aloud
_MAX_CHARACTERS_PER_S = 20.0  # fast speech
_PAUSE_S = 0.3  # per passage
_BREAKS = (r"[.!?;:\u2026\u2014]\s+", r",\s+", r"\s+", r"")  # where to cut a long text, best first
_CLAUSE_END = re.compile(r"[.!?;:,\u2026\u2014]\s+$")


def split_passages(text: str, start: int, end: int, taken: int = 0) -> Iterator[tuple[int, int]]:
    """Cut `text[start:end]` into spans of at most `MAX_CHARACTERS`, at clause ends if possible. The
    first span ends at `taken` or later; `taken` is within `MAX_CHARACTERS`.
    """
    while end - start > MAX_CHARACTERS:
        cut = _last_break(text, start, max(taken, start + MAX_CHARACTERS // 2))
        yield start, cut
        start = cut
    if start < end:
        yield start, end


def _last_break(text: str, start: int, earliest: int) -> int:
    """Where to cut a passage that starts at `start`, not before `earliest`."""
    limit = start + MAX_CHARACTERS
    for pattern in _BREAKS:
        cuts = [start + match.end() for match in re.finditer(pattern, text[start:limit])]
        if cuts and cuts[-1] >= earliest:
            return cuts[-1]
    return limit


def ends_long_clause(text: str) -> bool:
    """Whether an open passage should be closed here: it is long and a clause ends."""
    return len(text) > MAX_CHARACTERS // 2 and bool(_CLAUSE_END.search(text))


def has_words(text: str) -> bool:
    """Whether the text has anything to speak."""
    return any(map(str.isalnum, text))


def expected_tokens(text: str) -> int:
    """Estimated number of speech tokens."""
    return round(TOKENS_PER_S * (_PAUSE_S + len(text.strip()) / _CHARACTERS_PER_S))


def min_tokens(text: str) -> int:
    """Lower bound of speech tokens: with fewer the text is not fully spoken."""
    return int(TOKENS_PER_S * len(text.strip()) / _MAX_CHARACTERS_PER_S)


def max_tokens(text: str) -> int:
    """Upper bound of plausible speech tokens: 2 s plus three times the estimate."""
    return 2 * TOKENS_PER_S + 3 * expected_tokens(text)
