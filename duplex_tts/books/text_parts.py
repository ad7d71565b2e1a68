"""Cuts the text of a chapter into parts that are spoken one by one."""

from __future__ import annotations

import re
from collections.abc import Iterator

PART_LENGTH = 3_000
"""Characters of a part, about three minutes of speech: at most so much is lost by a kill."""

_PARAGRAPHS = re.compile(r"\n[ \t]*\n")
_SENTENCES = re.compile(r"(?<=[.!?…])[\"'”’»)]*\s+|(?<=[。！？])")
_WORDS = re.compile(r"\s+")
_FENCE = re.compile(r"^ {0,3}(?:```|~~~)", re.M)


def split_parts(text: str, length: int = PART_LENGTH) -> list[str]:
    """Cut between paragraphs; within one only if it is longer than a part: between sentences, or
    else words. Code in Markdown fences stays whole.
    """
    parts: list[str] = []
    for piece in _split_long(text, [_PARAGRAPHS, _SENTENCES, _WORDS], length):
        in_code = bool(parts) and len(_FENCE.findall(parts[-1])) % 2 == 1
        if parts and (in_code or len(parts[-1]) + len(piece) <= length):
            parts[-1] += piece
        else:
            parts.append(piece)
    return [part.strip() for part in parts if part.strip()]


def _split_long(text: str, separators: list[re.Pattern[str]], length: int) -> Iterator[str]:
    """Cut a text that is too long at the first of the separators, its pieces at the next."""
    if len(text) <= length:
        yield text
    elif not separators:
        yield from (text[start : start + length] for start in range(0, len(text), length))
    else:
        start = 0
        for end in [*(match.end() for match in separators[0].finditer(text)), len(text)]:
            yield from _split_long(text[start:end], separators[1:], length)
            start = end
