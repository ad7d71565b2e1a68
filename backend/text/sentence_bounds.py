"""Looks at the characters around the possible end of a sentence. Pure."""

from __future__ import annotations

import re
from unicodedata import category

LONGEST_GAP = 160  # characters between two words; of longer gaps the library gets both ends
# Words that sentencex 1.0.32 takes for abbreviations before a name: "Call me. Bob will."
_PLAIN_WORDS = re.compile(
    r"\b(?:app|arc|art|ba|con|del|ex|fed|fig|id|la|ma|may|me|med|miss|mm|no|pa|pop|re|tab|ok"
    r"|No|Ok|OK|ID|ME|NO)(?=\.(?:\s|$))"
)
# It takes any abbreviation before "I" for an initial or a number: "Plan B. I like it."
_PRONOUN = re.compile(r"\.[\"')]{0,2}\s+I(?:'(?:m|ll|ve|d))?$")
_BEFORE_PRONOUN = re.compile(r"\s?[A-Za-z.]{0,19}[A-Za-z](?=\.[\"')]{0,2}\s+I(?:'(?:m|ll|ve|d))?$)")
_LONGEST_PRONOUN = 12
_CLOSING = ("Pe", "Pf", "Po")
_NAME = re.compile(r"[@/\\_:=]|www\.|[A-Z]\.[A-Z]")


def word_before(text: str, end: int) -> str:
    """The word before `end` with its marks; of a long one the last part."""
    words = text[max(0, end - LONGEST_GAP) : end].rsplit(None, 1)
    return words[-1] if words else ""


def hide_plain_words(text: str, *, is_complete: bool) -> str:
    """English text of the same length in which words before a full stop are no abbreviations, for
    the library; the table of the language decides about them. `is_complete`: its last word is.
    """
    if is_complete and _PRONOUN.search(text, max(0, len(text) - _LONGEST_PRONOUN)):
        text = _BEFORE_PRONOUN.sub(lambda word: "x" * len(word[0]), text)
    return _PLAIN_WORDS.sub(lambda word: "x" * len(word[0]), text)


def move_between_words(text: str, end: int, high: int) -> int:
    """Move `end` behind the last space between its two words, else behind closing marks.

    The library does not see unspoken marks and may have cut among them.
    """
    left = right = end
    first, last = max(0, end - LONGEST_GAP // 2), min(high, end + LONGEST_GAP // 2)
    while left > first and not text[left - 1].isalnum():
        left -= 1
    while right < last and not text[right].isalnum():
        right += 1
    for cut in range(right, left, -1):
        if text[cut - 1].isspace():
            return cut
    while end < right and category(text[end]) in _CLOSING:
        end += 1
    return end


def is_in_name(text: str, cut: int, high: int) -> bool:
    """Whether a cut at a full stop without a space is inside an address or a name."""
    before = text[cut - 1]
    if before.isspace() or not before.isascii():
        return False
    return _NAME.search(text[:high].rsplit(None, 1)[-1]) is not None
