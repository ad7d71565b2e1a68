"""Reads dimensions: "2x4", "1920x1080", "10x15 cm", "4'x8'". Pure."""

from __future__ import annotations

import re

from backend.text.reading.english.numbers.number_forms import say_number
from backend.text.reading.english.numbers.number_words import digit_pairs, say_plural
from backend.text.reading.english.numbers.units import find_unit
from backend.text.reading.language import Reading
from backend.text.reading.written_words import NO_WORD, WordCursor

_PART = r"(\d+(?:[.,]\d+)?[½¼¾]?)([^\W\d_x]{1,3}|[\"'′″])?"
_DIMENSION = re.compile(rf"{_PART}(?:[x×*]{_PART}){{1,3}}")
_PARTS = re.compile(_PART)
_PRIMES = {"'": ("foot", "feet"), "′": ("foot", "feet"), '"': ("inch", "inches")}


def read_dimension(cursor: WordCursor) -> Reading | None:
    """Numbers with "x" between, with or without units, which may follow in the next word."""
    word = cursor.word
    if ("x" not in word.core and "×" not in word.core) or not _DIMENSION.fullmatch(word.core):
        return None
    core, trail = word.core, word.trail
    if trail[:1] in ('"', "'") and core[-1].isdigit() and not word.lead:
        core, trail = core + trail[0], trail[1:]
    parts = [(match[1], match[2] or "") for match in _PARTS.finditer(core)]
    if not all(_name_unit(number, unit) is not None for number, unit in parts):
        return None
    is_plural = parts[-1][1] == "s" and not any(unit for _, unit in parts[:-1])
    if is_plural:
        parts[-1] = (parts[-1][0], "")
    said = [f"{_say(number)} {_name_unit(number, unit)}".strip() for number, unit in parts]
    is_plain = not any(unit for _, unit in parts)
    if is_plural:
        said[-1], is_plain = say_plural(said[-1]), False
    is_product = "×" in core and is_plain and all(len(number) < 3 for number, _ in parts)
    count = 1
    following = cursor.peek() if is_plain and not trail else NO_WORD
    unit = find_unit(following.core)
    if unit and not following.lead and following.core not in ("in", "C", "K"):
        said[-1], count, is_product = f"{said[-1]} {unit.many}", 2, False
    text = (" times " if is_product else " by ").join(said)
    return Reading(text, count, trail if count == 1 else None)


def _say(number: str) -> str:
    if number.isdigit() and len(number) == 4:
        return digit_pairs(number)
    return say_number(number) or ""


def _name_unit(number: str, symbol: str) -> str | None:
    """The name of a unit; empty without one, None if it is not known."""
    if not symbol:
        return ""
    names = _PRIMES.get('"' if symbol == "″" else symbol)
    if not names:
        unit = find_unit(symbol)
        names = (unit.one, unit.many) if unit else None
    return names[0 if number == "1" else 1] if names else None
