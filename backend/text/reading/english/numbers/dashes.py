"""Reads a dash that is a word of its own between numbers, units or letters. Pure."""

from __future__ import annotations

import re

from backend.text.reading.english.numbers.figure import HOURS_CUES
from backend.text.reading.english.numbers.number_forms import number_value
from backend.text.reading.language import Reading
from backend.text.reading.written_words import WordCursor, WrittenWord

DASHES = frozenset("-‐‑‒–—")
RESULTS = frozenset(("is", "=", "equals", "are", "gives", "makes", "=="))
"""Words behind the second number that show that the first two are calculated with."""

_VALUE = re.compile(r"[$€£~]?(\d[\d.,]*)[%€]?")
_NUMERIC = re.compile(r"[-+−–$€£~<>≈]*[$€£]?[.\d]")


def is_numeric(word: WrittenWord) -> bool:
    """Whether a word begins with a number, its signs aside."""
    return bool(_NUMERIC.match(word.core))


def read_dash(cursor: WordCursor) -> Reading | None:
    """A dash between numbers: minus or to; None elsewhere."""
    before = cursor.previous()
    if len(before.core) == 1 and before.core.isalpha() and not before.trail:
        return _read_dash_of_letters(cursor)
    is_behind_unit = any(c.isdigit() for c in cursor.previous(2).core) and before.core.isalpha()
    is_number = any(c.isdigit() for c in before.core) or (is_behind_unit and len(before.core) < 5)
    if not is_number or before.trail not in ("", ")", ".", '"', "'"):
        return None
    following = cursor.peek()
    if not is_numeric(following):
        return Reading("to") if _is_month(following) else None
    if following.core[:1] in tuple("-−–"):
        return Reading("minus")
    low, high = _find_value(before), _find_value(following)
    if low is None or high is None:
        is_product = not following.trail and cursor.peek(2).core in RESULTS
        return Reading("minus" if is_product and not is_behind_unit else "to")
    if cursor.previous(2).core.lower() in HOURS_CUES:
        return Reading("to")
    if before.core.startswith("0") or low >= high:
        return Reading("minus")
    is_minus = not following.trail and cursor.peek(2).core in RESULTS - {"are"}
    return Reading("minus" if is_minus else "to")


def _read_dash_of_letters(cursor: WordCursor) -> Reading | None:
    """Reads "minus" in "a - b = c"."""
    following = cursor.peek()
    if following.lead or following.trail or not re.fullmatch(r"[A-Za-z]|[\d.]+", following.core):
        return None
    return Reading("minus") if cursor.peek(2).core in ("=", "==", "+", "*", "×") else None


def _find_value(word: WrittenWord) -> float | None:
    """The value of a number between a sign and a percent sign."""
    match = _VALUE.fullmatch(word.core)
    return number_value(match[1]) if match else None


def _is_month(word: WrittenWord) -> bool:
    return word.core[:3] in [
        "Jan",
        "Feb",
        "Mar",
        "Apr",
        "May",
        "Jun",
        "Jul",
        "Aug",
        "Sep",
        "Oct",
        "Nov",
        "Dec",
    ]
