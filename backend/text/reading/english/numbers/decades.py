"""Reads decades, ordinals, and numbers behind a prefix: "'90s", "1st-3rd", "mid-1980s". Pure."""

from __future__ import annotations

import re

from backend.text.reading.english.numbers.figure import Figure, normalise_dashes
from backend.text.reading.english.numbers.mixed_tokens import read_mixed
from backend.text.reading.english.numbers.number_forms import say_number, say_ordinal
from backend.text.reading.english.numbers.number_words import cardinal, say_plural, year
from backend.text.reading.english.word_sets import word_set
from backend.text.reading.language import Reading
from backend.text.reading.written_words import WordCursor

_PREFIXED = re.compile(
    r"(mid|pre|post|early|late|under|over|sub|non|re|top|ex|inter|circa|pro|anti|all)-(['’‘]?\d.*)",
    re.IGNORECASE,
)
_POWER = re.compile(r"(1(?:0{1,3}|,000|0,000|00,000))s")
_DECADE_CUES = word_set("the early late mid his her their my our your in low high upper lower")
_DECADES = re.compile(r"\d*0s")
_DECADE = re.compile(r"(\d{2}|\d{4})['’]?s")
_FRACTION = re.compile(r"(\d{1,2}/\d{1,3})(?:rds?|ths?|nds?|st)")
_ORDINAL = re.compile(
    r"(\d[\d,]*(?:st|nd|rd|th))(?:[-/](\d[\d,]*(?:st|nd|rd|th)|[a-z]+(?:-[a-z]+)*))?", re.IGNORECASE
)


def read_decade(cursor: WordCursor) -> Reading | None:
    """Reads "1980s", "'90s", "80's", "1980s-90s"."""
    parts = normalise_dashes(cursor.word.core).split("-")
    matches = [_DECADE.fullmatch(part.lstrip("'’‘")) for part in parts]
    decades = [match[1] for match in matches if match and match[1][-1] == "0"]
    if len(decades) != len(parts) or len(parts) > 2:
        return None
    return Reading(" to ".join(map(_say_decade, decades)))


def read_powers(cursor: WordCursor) -> Reading | None:
    """Reads "100s of", "1,000s of"."""
    match = _POWER.fullmatch(cursor.word.core)
    if not match or cursor.peek().core != "of":
        return None
    number = int(match[1].replace(",", ""))
    return Reading(say_plural(cardinal(number).removeprefix("one ")))


def _say_decade(digits: str) -> str:
    if len(digits) == 2 and digits != "00":
        head, last = "", cardinal(int(digits))
    elif digits == "00":
        head, last = "", "two thousand"
    else:
        *before, last = year(int(digits)).split()
        head = " ".join(before) + " "
    return head + say_plural(last)


def read_prefixed(cursor: WordCursor) -> Reading | None:
    """Reads "mid-1980s", "pre-1914", "top-10"."""
    match = _PREFIXED.fullmatch(normalise_dashes(cursor.word.core))
    if not match:
        return None
    rest = match[2].lstrip("'’‘")
    if decade := _DECADE.fullmatch(rest):
        said: str | None = _say_decade(decade[1])
    elif re.fullmatch(r"[12]\d{3}", rest):
        said = year(int(rest))
    else:
        said = say_ordinal(rest) or (say_number(rest) if rest.isdigit() else read_mixed(rest))
    return Reading(f"{match[1]} {said}")


def read_ordinal(cursor: WordCursor) -> Reading | None:
    """Reads "2nd", "1st-3rd", "19th-century"."""
    core = normalise_dashes(cursor.word.core)
    if fraction := _FRACTION.fullmatch(core):
        return Reading(say_number(fraction[1]) or "")
    match = _ORDINAL.fullmatch(core)
    first = say_ordinal(match[1]) if match else None
    if not match or not first:
        return None
    if not match[2]:
        return Reading(first)
    last = say_ordinal(match[2])
    if "/" in core and last:
        return Reading(f"{first}, {last}")
    return Reading(f"{first} to {last}" if last else f"{first} {match[2].replace('-', ' ')}")


def is_decade(figure: Figure) -> bool:
    """Whether "80s" is a decade rather than seconds."""
    digits, before = figure.amount.low, figure.cursor.previous().core.lower()
    if len(digits) == 4 and digits.isdigit():
        return True
    is_listed = any(_DECADES.fullmatch(figure.cursor.previous(back).core) for back in (1, 2))
    is_cued = (
        is_listed
        or before in _DECADE_CUES
        or before.endswith(("'s", "’s"))
        or figure.cursor.word.lead != ""
    )
    return len(digits) == 2 and is_cued
