"""Words joined by hyphens, dashes, slashes, or by marks without a space. Pure."""

from __future__ import annotations

import re
from functools import lru_cache

from backend.text.reading.english.word_sets import word_set
from backend.text.reading.english.words.calendar_table import CALENDAR
from backend.text.reading.english.words.capitals import read_mixed, say_capitals, spell
from backend.text.reading.english.words.casual import RESPELLED, shorten_letters
from backend.text.reading.english.words.identifiers import read_identifier, say_letters_and_digits

_HYPHENS = re.compile(r"[-‐‑]")
_DOTTED = re.compile(r"(?:[A-Z]\.)+[A-Z]?")
_RANGE = re.compile(r"[-‐‑–—]")
_BEFORE_DATES = word_set("early late mid non post pre")
_GLUE = re.compile(r"(-{2,}|[—―–]|\.{2,}|…|[,;:!?]+|(?<=[a-z]{2})\.(?=[A-Z][a-z]))")
_ODD = re.compile(r"[^\w'-]+")
_OR = word_set(
    """he/she she/he his/her her/his him/her her/him he/him yes/no no/yes true/false on/off
    s/he  win/lose pass/fail man/woman men/women boys/girls"""
)
_ALIKE = word_set("either/or and/or he/him she/her they/them him/his")
_DAY_NAMES = {name.lower(): name for name in CALENDAR.values()} | CALENDAR


@lru_cache(2048)
def say_part(part: str) -> str:
    """A part of a compound, out of context."""
    if (said := RESPELLED.get(part.lower())) is not None:
        return said
    if len(part) == 1:
        return part.upper() if part.isalpha() else say_letters_and_digits(part)
    if _DOTTED.fullmatch(part):
        return spell(part.replace(".", ""))
    if part.isalpha() and part.isascii() and part.isupper():
        return say_capitals(part)
    if any(map(str.isdecimal, part)):
        return read_identifier(part) or say_letters_and_digits(part)
    if part[1:].islower():
        return shorten_letters(part) or part
    return read_mixed(part) or part


def read_compound(core: str) -> str | None:
    """What is said for a word of several parts; None if it is to be said as it is."""
    if core.lower() == "wi-fi":
        return "Wi-Fi"
    if (days := _read_days(core)) is not None:
        return days
    if (glued := _read_glued(core)) is not None:
        return glued
    if "/" in core:
        return _read_slashed(core)
    if "-" in core or "‐" in core or "‑" in core:
        return _read_hyphened(core)
    if _ODD.search(core):
        return " ".join(say_part(part) for part in _ODD.split(core) if part) or None
    said = say_part(core)
    return None if said == core else said


def _read_days(core: str) -> str | None:
    """As in "Mon-Fri", "Jan–Mar": from one to the other."""
    ends = _RANGE.split(core)
    if len(ends) != 2 or not all(end.istitle() and end.lower() in _DAY_NAMES for end in ends):
        return None
    return " to ".join(_DAY_NAMES[end.lower()] for end in ends)


def _read_glued(core: str) -> str | None:
    """Says "Hello—world", "Yes,ok": with the pause that the mark makes."""
    pieces = _GLUE.split(core)
    if len(pieces) == 1:
        return None
    said = ""
    for text, mark in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
        said += _read_side(text) + _say_glue(mark, core)
    return said.strip()


def _read_side(text: str) -> str:
    return (read_compound(text) or text) if any(map(str.isalnum, text)) else ""


def _say_glue(mark: str, core: str) -> str:
    if mark == "–" and (core.istitle() or core.isupper()):
        return " "
    if mark[:1] in "-—―–" and mark:
        return "— "
    return f"{mark[:1] if mark[:1] != '.' or len(mark) == 1 else '…'} " if mark else ""


def _read_slashed(core: str) -> str | None:
    parts = [part for part in core.split("/") if part]
    if len(parts) < 2:
        return say_part(parts[0]) if parts and parts[0] != core else None
    said = [_read_side(part) for part in parts]
    key = core.lower()
    if key in _OR:
        return " or ".join(said)
    if key in _ALIKE or all(len(part) == 1 or not part[1:].islower() for part in parts):
        return " ".join(said)
    return " slash ".join(said)


def _read_hyphened(core: str) -> str | None:
    parts = [part for part in _HYPHENS.split(core) if part]
    if not parts:
        return None
    said = [part if part == "a" else say_part(part) for part in parts]
    if len(parts) == 2 and parts[0].lower() in _BEFORE_DATES and parts[1].istitle():
        said[1] = _DAY_NAMES.get(parts[1].lower(), said[1])
    return None if said == parts and len(parts) > 1 else " ".join(said)
