"""Finds the ends of words."""

from __future__ import annotations

import re

# Scripts without spaces between words: Thai to Lao, Myanmar, Khmer, kana, Han.
_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff"
)
_LONGEST_WORD = 60
_WORD = re.compile(rf"\s*(?:[{_SPACELESS}][^\w\s]*|[^\s{_SPACELESS}]{{1,{_LONGEST_WORD}}})\s*|\s+")


def word_ends(text: str) -> list[int]:
    """The ends of the words of `text`, spaces included; the last is `len(text)`.

    A character of a script without spaces is a word, and so is every 60 characters of a run
    without spaces. The last word may be unfinished.
    """
    return [word.end() for word in _WORD.finditer(text)]
