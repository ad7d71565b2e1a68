"""Looks at the characters around the possible end of a sentence. Pure."""

from __future__ import annotations

import re
from unicodedata import category

from backend.text.phrases import FULL_STOPS
from backend.text.spaceless import CJK

# Full stops that are nothing else; the library misses some, as before a digit. The markup reader
# makes ASCII of the wide ones.
_FULL_STOPS = re.compile(rf"[{FULL_STOPS}]|(?<=[{CJK}])[!?]")
_IDEOGRAPH = re.compile(f"[{CJK}]")
# Between its words Thai and Lao have no mark but the space, which ends a phrase.
_PHRASE_SPACE = re.compile(r"[\u0e01-\u0e45\u0e47-\u0e4e\u0e81-\u0ec4\u0ec8-\u0ece]\s+$")
_LONG_PHRASES = 60  # characters; then the next phrase of Thai or Lao is another sentence
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
# Units, times and amounts that it takes for abbreviations and ordinals in other languages than
# English: "5 kg. Dan".
_PLAIN_ENDS = re.compile(
    r"(?:\d\s(?:[kmc]?m|[km]?g|m?l|min|sek|[км]?г|[ксм]?м|л|мин)|\d[.,:]\d{1,9}|\bhon)\.(?=\s)"
)
_LONGEST_PLAIN_END = 12
_OPENING = "“‘「『（《〈【〔«¿¡"
_CLOSING = ("Pe", "Pf", "Po")
_NAME = re.compile(r"[@/\\_:=]|www\.|[A-Z]\.[A-Z]")


def words_before(text: str, end: int, count: int) -> str:
    """The `count` words before `end` with their marks; of long ones the last part."""
    words = text[max(0, end - LONGEST_GAP) : end].rsplit(None, count)
    return " ".join(words[-count:])


def find_full_stops(text: str, low: int, high: int) -> list[int]:
    """The ends of the marks from `low` to `high` that are nothing but full stops."""
    if text[max(0, low - 1) : high].isascii():
        return []
    return [mark.end() for mark in _FULL_STOPS.finditer(text, low, high)]


def is_after_ideograph(text: str, at: int) -> bool:
    """Whether the character before `at` is of a script that puts no space behind its marks."""
    return _IDEOGRAPH.match(text, at - 1) is not None if at else False


def find_plain_ends(text: str, low: int, high: int) -> list[int]:
    """The ends from `low` to `high` of full stops that end a sentence if a capital follows."""
    start = max(0, low - _LONGEST_PLAIN_END)
    return [end for found in _PLAIN_ENDS.finditer(text, start, high) if (end := found.end()) > low]


def ends_long_phrases(text: str, at: int) -> bool:
    """Whether a space before `at` ends a phrase of Thai or Lao that may end the sentence."""
    is_long = at >= _LONG_PHRASES and "\u0e01" <= text[at] <= "\u0ec4"
    return is_long and _PHRASE_SPACE.search(text, at - 3, at) is not None


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
            while text[cut - 2] in _OPENING and text[cut - 3 : cut - 2].isspace():
                cut -= 2  # a French space inside a quotation mark
            return cut
    while end < right and category(text[end]) in _CLOSING:
        end += 1
    while end - 1 > left and text[end - 1] in _OPENING and not text[end - 1 : right].isspace():
        end -= 1
    return end


def is_in_name(text: str, cut: int, high: int) -> bool:
    """Whether a cut at a full stop without a space is inside an address, a name or a number."""
    before = text[cut - 1]
    if before in ".,:" and text[cut - 2].isdecimal() and text[cut].isdecimal():
        return True
    if before.isspace() or not before.isascii():
        return False
    return _NAME.search(text[:high].rsplit(None, 1)[-1]) is not None
