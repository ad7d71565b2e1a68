"""Finds the ends of words."""

from __future__ import annotations

import re

from backend.text.spaceless import SPACELESS, SPACELESS_WORD

_LONGEST_WORD = 60
_WORD = re.compile(rf"\s*(?:{SPACELESS_WORD}|[^\s{SPACELESS}]{{1,{_LONGEST_WORD}}})\s*|\s+")


def word_ends(text: str) -> list[int]:
    """The ends of the words of `text`, spaces included; the last is `len(text)`.

    A character of a script without spaces is a word, with its marks; and so is every 60 characters
    of a run without spaces. The last word may be unfinished.
    """
    return [word.end() for word in _WORD.finditer(text)]
