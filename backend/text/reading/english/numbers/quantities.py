"""Reads numbers with units, glued or as the next words; primes; percent. Pure."""

from __future__ import annotations

import re

from backend.text.reading.english.numbers.decades import is_decade
from backend.text.reading.english.numbers.figure import Figure
from backend.text.reading.english.numbers.nouns import is_attribute
from backend.text.reading.english.numbers.number_forms import (
    is_singular,
    number_value,
    say_number,
)
from backend.text.reading.english.numbers.number_words import cardinal
from backend.text.reading.english.numbers.units import Unit, find_unit
from backend.text.reading.english.word_sets import word_set
from backend.text.reading.language import Reading
from backend.text.reading.written_words import NO_WORD, WordCursor, WrittenWord

_LETTERED = word_set(
    """
    seat gate room apt apartment unit suite row platform section class grade size figure fig step
    table exhibit flat block building terminal iphone type model appendix chapter article
    """
)
# Glued letters that are said as letters: 10K, 5G, 3D.
_LETTERS = word_set("K G M B D H T X P b d k p x c G Gs Ms EB")
# Words, when a space is before them.
_WORDS = word_set("in d us em ins rem PS Da ct ac MP AU at doz ha. a H Cal Pa. mad")
_COUNTED_IN_MILLIONS = word_set(
    """
    people users views followers subscribers downloads copies jobs
    """
)
_MEASURED = word_set("tall long wide deep high thick by x × of")
_JEWELS = word_set("gold diamond diamonds ring necklace stone")
_AREAS = {"sq": "square", "cu": "cubic", "fl": "fluid", "Sq": "square", "square": "square"}
_RATE = re.compile(r"([a-z]{3,})/([a-z]{2,})")
_PAIR = re.compile(r"([^\W\d]{1,4}|°[CF])/(\d+(?:[.,]\d+)?)([^\W\d]{1,4}|°[CF])")
_DURATION = re.compile(r"(?:\d+(?:d|h|hr|hrs|m|min|mins|s|sec)){2,}")
SINCE = word_set("present today now date")
"""What stands for the end of a range: "1990-present"."""

_DOTTED = {"c": Unit("cup", "cups"), "pt": Unit("pint", "pints"), "st": Unit("stone", "stone")}
_MINUTES = {"m": "minute", "d": "day", "h": "hour", "s": "second"}


def read_quantity(figure: Figure) -> Reading | None:
    """A figure and its unit."""
    suffix = figure.amount.suffix
    if not suffix:
        return _read_spaced(figure)
    if _DURATION.fullmatch(figure.cursor.word.core):
        return _read_duration(figure.cursor.word.core)
    if match := _PAIR.fullmatch(suffix):
        return _read_pair(figure, match[1], match[2], match[3])
    if suffix[0] == "-" and ("—" in figure.cursor.word.core or suffix[1:] in SINCE):
        return None
    if suffix[0] == "-":
        return _read_hyphenated(figure, suffix[1:].split("-"))
    plus = " plus" if suffix[-1] == "+" else ""
    symbol = suffix.rstrip("+")
    if symbol in _LETTERS or (symbol.isupper() and _is_lettered(figure)):
        return None
    unit = _find_glued(figure, symbol)
    if unit is None:
        return None
    count = figure.count
    if symbol.endswith("/100") and not figure.last.trail:
        return None
    is_one = _is_one(figure, count)
    trail = trail_of_unit(figure.cursor, count, symbol)
    return Reading(_say(figure, unit, is_one=is_one) + plus, count, trail)


def _read_pair(figure: Figure, first: str, number: str, second: str) -> Reading | None:
    """Reads "32GB/512GB"."""
    units = find_unit(first), find_unit(second)
    if not units[0] or not units[1] or first in _LETTERS:
        return None
    low = _say(figure, units[0], is_one=is_singular(figure.amount.low))
    high = f"{say_number(number)} {units[1].one if number == '1' else units[1].many}"
    return Reading(f"{low}, {high}", figure.count)


def _find_glued(figure: Figure, symbol: str) -> Unit | None:
    amount, cursor = figure.amount, figure.cursor
    if symbol == "m":
        if re.fullmatch(r"\d+(?:h|hrs?)", cursor.previous().core):
            return Unit("minute", "minutes")
        following = figure.next()
        if following.core.lower() in _COUNTED_IN_MILLIONS:
            return Unit("million", "million")
        if re.fullmatch(r"\d+s", following.core):
            return Unit("minute", "minutes")
    if symbol == "s" and (_is_lettered(figure) or (amount.low[-1:] == "0" and is_decade(figure))):
        return None
    return find_unit(symbol)


def read_unit_alone(cursor: WordCursor) -> Reading | None:
    """Reads "km/h" without a number."""
    core = cursor.word.core
    above, slash, below = core.partition("/")
    if not slash or (not core.islower() and len(core) < 4) or above == "min":
        return None
    unit = find_unit(core) if find_unit(above) and find_unit(below) else None
    return Reading(unit.many) if unit else None


def _is_lettered(figure: Figure) -> bool:
    return figure.cursor.previous().core.lower() in _LETTERED


def _read_duration(core: str) -> Reading:
    parts = re.findall(r"(\d+)([a-z]+)", core)
    said = []
    for number, symbol in parts:
        unit = find_unit(symbol)
        name = _MINUTES.get(symbol) or (unit.one if unit else symbol)
        said.append(f"{say_number(number)} {name}{'' if number == '1' else 's'}")
    return Reading(" ".join(said))


def _read_hyphenated(figure: Figure, parts: list[str]) -> Reading | None:
    """Reads "5-kg", "10-year-old", "256-bit"."""
    if not all(part.replace("'", "").isalpha() or part.rstrip("²³").isalpha() for part in parts):
        return None
    symbol = parts[0]
    is_symbol = (len(parts) == 1 or parts[1] != "1") and symbol not in _LETTERS
    unit = find_unit(symbol) if is_symbol and symbol not in ("a", "in") else None
    if symbol == "in" and len(parts) == 1:
        unit = find_unit("in")
    words = [unit.one if unit else symbol, *parts[1:]]
    trail = trail_of_unit(figure.cursor, figure.count, symbol) if unit else None
    return Reading(f"{_say_number(figure)} {' '.join(words)}", figure.count, trail)


def _read_spaced(figure: Figure) -> Reading | None:
    if figure.count > 1 and "/" in figure.amount.low and figure.last.trail[:1] in ('"', "″"):
        return Reading(f"{_say_number(figure)} inches", figure.count, figure.last.trail[1:])
    following = figure.next()
    if following.lead or not following.core:
        return None
    symbol, count = following.core, figure.count + 1
    if _is_no_unit(figure, following):
        return None
    if symbol in _AREAS and following.trail in ("", "."):
        return _read_area(figure, symbol, count)
    if symbol.endswith("/100") and (unit := find_unit(symbol[:-4])):
        below = find_unit(figure.cursor.peek(count).core)
        if below:
            said = f"{unit.many} per one hundred {below.many}"
            return Reading(f"{_say_number(figure)} {said}", count + 1)
    if symbol in ("°", "º") and (degree := find_unit(f"°{figure.cursor.peek(count).core}")):
        return Reading(f"{_say_number(figure)} {degree.many}", count + 1)
    is_dotted = following.trail.startswith(".")
    unit = _DOTTED.get(symbol) if is_dotted else None
    unit = unit or find_unit(symbol)
    if unit is None and (match := _RATE.fullmatch(symbol)):
        return Reading(f"{_say_number(figure)} {match[1]} per {match[2]}", count)
    if unit is None:
        return None
    is_one = _is_one(figure, count)
    return Reading(
        _say(figure, unit, is_one=is_one), count, trail_of_unit(figure.cursor, count, symbol)
    )


def _is_no_unit(figure: Figure, word: WrittenWord) -> bool:
    symbol, cursor = word.core, figure.cursor
    if len(symbol) == 1 and word.trail[:1] == ")":  # "a) 5 b) 6"
        return not any("(" in cursor.previous(back).lead for back in (0, 1, 2, 3))
    if symbol == "in":
        if word.trail.startswith("."):
            return False
        is_measured = cursor.previous().core in ("ft", "feet", "foot", "x", "×", "by")
        return not is_measured and cursor.peek(figure.count + 1).core.lower() not in _MEASURED
    if symbol == "K" and (number_value(figure.amount.low) or 0) < 100:
        return True
    if symbol == "ct" and figure.cursor.peek(figure.count + 1).core.lower() in _JEWELS:
        return False
    if symbol == "Mt" or (len(symbol) == 1 and symbol.isupper() and _is_lettered(figure)):
        return True
    return symbol in _WORDS


def _read_area(figure: Figure, symbol: str, count: int) -> Reading | None:
    unit = find_unit(figure.cursor.peek(count).core)
    if unit is None:
        return None
    name = _AREAS[symbol]
    is_one = _is_one(figure, count + 1)
    area = Unit(f"{name} {unit.one}", f"{name} {unit.many}")
    trail = trail_of_unit(figure.cursor, count + 1, "")
    return Reading(_say(figure, area, is_one=is_one), count + 1, trail)


def trail_of_unit(cursor: WordCursor, count: int, symbol: str) -> str | None:
    """The trail of the last of `count` words, without the dot of an abbreviation."""
    trail = cursor.peek(count - 1).trail
    if not trail.startswith(".") or symbol in ("%", "°C", "°F", "°"):
        return None
    following = cursor.peek(count)
    if following is NO_WORD or following.core[:1].isupper() or following.lead:
        return trail
    return trail[1:]


def _is_one(figure: Figure, count: int) -> bool:
    amount = figure.amount
    if not amount.high and is_singular(amount.low):
        return True
    return is_attribute(figure.cursor, count)


def _say_number(figure: Figure) -> str:
    return figure.amount.say_leads() + figure.amount.say_numbers()


def _say(figure: Figure, unit: Unit, *, is_one: bool) -> str:
    amount = figure.amount
    name = unit.one if is_one else unit.many
    low_unit = find_unit(amount.low_suffix)
    if amount.high and low_unit:
        low = f"{say_number(amount.low)} {low_unit.many}"
        if low_unit == unit:
            low = f"{say_number(amount.low)}"
        sign = "minus " if amount.high.startswith("-") else ""
        high = say_number(amount.high.lstrip("-"))
        return f"{amount.say_leads()}{low} to {sign}{high} {name}"
    if not amount.high and amount.low.isdigit() and len(amount.low) <= 15 and amount.low[0] != "0":
        return f"{amount.say_leads()}{cardinal(int(amount.low))} {name}"
    return f"{_say_number(figure)} {name}"
