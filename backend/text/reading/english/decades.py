"""Reads decades, ordinals, and numbers behind a prefix: "'90s", "1st-3rd", "mid-1980s". Pure."""

from __future__ import annotations

import re

from backend.text.reading.english.figure import normalise_dashes
from backend.text.reading.english.mixed_tokens import read_mixed
from backend.text.reading.english.number_forms import say_number, say_ordinal
from backend.text.reading.english.number_words import cardinal, year
from backend.text.reading.language import Reading
from backend.text.reading.written_words import WordCursor

_PREFIXED = re.compile(
    r"(mid|pre|post|early|late|under|over|sub|non|re|top|ex|inter|circa|pro|anti|all)-(\d.*)",
    re.IGNORECASE,
)
_DECADE = re.compile(r"(\d{2}|\d{4})['’]?s")
_ORDINAL = re.compile(
    r"(\d[\d,]*(?:st|nd|rd|th))(?:-(\d[\d,]*(?:st|nd|rd|th)|[a-z]+(?:-[a-z]+)*))?", re.IGNORECASE
)


def read_decade(cursor: WordCursor) -> Reading | None:
    """Reads "1980s", "'90s", "80's"."""
    match = _DECADE.fullmatch(cursor.word.core)
    return Reading(_say_decade(match[1])) if match and match[1][-1] == "0" else None


def _say_decade(digits: str) -> str:
    if len(digits) == 2 and digits != "00":
        head, last = "", cardinal(int(digits))
    elif digits == "00":
        head, last = "", "two thousand"
    else:
        *before, last = year(int(digits)).split()
        head = " ".join(before) + " "
    return head + (last[:-1] + "ies" if last.endswith("y") else last + "s")


def read_prefixed(cursor: WordCursor) -> Reading | None:
    """Reads "mid-1980s", "pre-1914", "top-10"."""
    match = _PREFIXED.fullmatch(normalise_dashes(cursor.word.core))
    if not match:
        return None
    rest = match[2]
    if decade := _DECADE.fullmatch(rest):
        said: str | None = _say_decade(decade[1])
    elif re.fullmatch(r"[12]\d{3}", rest):
        said = year(int(rest))
    else:
        said = say_ordinal(rest) or (say_number(rest) if rest.isdigit() else read_mixed(rest))
    return Reading(f"{match[1]} {said}")


def read_ordinal(cursor: WordCursor) -> Reading | None:
    """Reads "2nd", "1st-3rd", "19th-century"."""
    match = _ORDINAL.fullmatch(normalise_dashes(cursor.word.core))
    first = say_ordinal(match[1]) if match else None
    if not match or not first:
        return None
    if not match[2]:
        return Reading(first)
    last = say_ordinal(match[2])
    return Reading(f"{first} to {last}" if last else f"{first} {match[2].replace('-', ' ')}")
