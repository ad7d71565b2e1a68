"""Reads dates: with the names of months, in figures, ISO 8601; years and decades. Pure."""

from __future__ import annotations

import re

from backend.text.reading.english.numbers.figure import normalise_dashes
from backend.text.reading.english.numbers.nouns import is_counted
from backend.text.reading.english.numbers.number_words import cardinal, ordinal, year
from backend.text.reading.english.numbers.times import say_clock
from backend.text.reading.english.numbers.units import find_unit
from backend.text.reading.english.word_sets import word_set
from backend.text.reading.language import Reading
from backend.text.reading.written_words import NO_WORD, WordCursor, WrittenWord

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_SHORT = {name[:3]: name for name in _MONTHS} | {"Sept": "September"}
MONTHS = _SHORT | {name: name for name in _MONTHS}
MONTHS |= {short.upper(): name for short, name in MONTHS.items()}

_DAYS = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?(?:-(\d{1,2})(?:st|nd|rd|th)?)?")
_ACROSS = re.compile(r"([1-9]|[12]\d|3[01])(?:st|nd|rd|th)?-([A-Z][A-Za-z]+)")
_YEAR = re.compile(r"[12]\d{3}")
_YEARS = re.compile(r"([12]\d{3})(?:-(\d\d|[12]\d{3}))?")
_ISO = re.compile(
    r"(\d{4})([-/.])(\d\d?)\2(\d\d?)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.\d+)?)?(Z?)(.*))?"
)
_NUMERIC = re.compile(r"(\d\d?)([-/.])(\d\d?)\2(\d{4}|\d\d)")
_MONTH_YEAR = re.compile(r"(\d\d?)/([12]\d{3})|([12]\d{3})[-/](\d\d)")
_DAY_MONTH = re.compile(r"(\d\d?)/(\d\d?)")
_DATE_CUES = word_set("on since until till before after due by dated born expires from")
_SEASON = re.compile(r"([12]\d)(\d\d)/(\d\d)")
_TWO_YEARS = re.compile(r"([12]\d{3})/([12]\d{3})")
_NAMED = re.compile(r"(\d\d?)[-/]([A-Za-z]{3,9})[-/](\d{4}|\d\d)")
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")


def read_month(cursor: WordCursor) -> Reading | None:
    """A month and the days and the year behind it; an abbreviated month alone."""
    word = cursor.word
    name = MONTHS.get(word.core)
    if not name:
        return _read_months(cursor)
    is_short = word.core not in _MONTHS and word.core.title() not in _MONTHS
    if word.trail not in ("", "."):
        is_listed = is_short and word.trail == "," and cursor.peek().core in MONTHS
        return Reading(name) if is_listed or (is_short and word.trail[0] == ".") else None
    if word.trail and not is_short:
        return None
    following = cursor.peek()
    if reading := _read_days(cursor, name, following):
        return reading
    if following.lead == "" and _YEARS.fullmatch(normalise_dashes(following.core)):
        return Reading(f"{name} {say_years(normalise_dashes(following.core))}", 2)
    if following.lead in ("'", "’", "‘") and re.fullmatch(r"\d\d", following.core):
        return Reading(f"{name} {_short_year(following.core)}", 2)
    if word.trail:
        return Reading(name, trail="" if following is not NO_WORD else ".")
    return None


def _read_months(cursor: WordCursor) -> Reading | None:
    """Reads "Jan-Mar"."""
    core = cursor.word.core
    if "-" not in (core := normalise_dashes(core)):
        return None
    first, dash, second = core.replace(".", "").partition("-")
    if first in MONTHS and re.fullmatch(r"\d\d?", second):
        return Reading(f"{MONTHS[first]} {cardinal(int(second))}")
    if dash and first in MONTHS and second in MONTHS:
        return Reading(f"{MONTHS[first]} to {MONTHS[second]}")
    return None


def _read_days(cursor: WordCursor, month: str, word: WrittenWord) -> Reading | None:
    core = normalise_dashes(word.core)
    if (across := _ACROSS.fullmatch(core)) and across[2] in MONTHS and not word.trail.strip("."):
        return _read_across(cursor, f"{month} {ordinal(int(across[1]))}", MONTHS[across[2]])
    match = None if word.lead else _DAYS.fullmatch(core)
    if not match or not 1 <= int(match[1]) <= 31 or int(match[2] or 1) > 31:
        return None
    said = f"{month} {ordinal(int(match[1]))}"
    if match[2]:
        said += f" to {ordinal(int(match[2]))}"
    return _add_year(cursor, said, 2)


def _read_across(cursor: WordCursor, first: str, month: str) -> Reading | None:
    """Reads "Jan 1-Feb 2", of which `first` is the first date in words."""
    day = _DAYS.fullmatch(cursor.peek(2).core)
    if not day or day[2] or not 1 <= int(day[1]) <= 31:
        return None
    return _add_year(cursor, f"{first} to {month} {ordinal(int(day[1]))}", 3)


def _add_year(cursor: WordCursor, said: str, count: int) -> Reading:
    """The reading of a date of `count` words, with the year that may follow."""
    if cursor.peek(count - 1).trail in ("", ","):
        following = cursor.peek(count)
        if not following.lead and _YEAR.fullmatch(following.core):
            return Reading(f"{said}, {year(int(following.core))}", count + 1)
    return Reading(said, count)


def read_day(cursor: WordCursor) -> Reading | None:
    """A day before its month: "5 May", "25th December 2024"."""
    word = cursor.word
    match = _DAYS.fullmatch(normalise_dashes(word.core))
    if not match or not 1 <= int(match[1]) <= 31 or int(match[2] or 1) > 31:
        return None
    if word.trail:
        return _read_second_day(cursor, int(match[1]))
    following = cursor.peek()
    month = MONTHS.get(following.core)
    if not month or following.lead:
        return _read_second_day(cursor, int(match[1]))
    day = ordinal(int(match[1])) + (f" to {ordinal(int(match[2]))}" if match[2] else "")
    article = "" if cursor.previous().core.lower() == "the" else "the "
    if following.trail not in ("", ",", "."):
        return Reading(f"{article}{day} of {month}", 2)
    reading = _add_year(cursor, f"{article}{day} of {month}", 2)
    if reading.count == 2 and following.trail == "." and cursor.peek(2) is not NO_WORD:
        return Reading(reading.spoken, 2, trail="" if len(following.core) <= 4 else ".")
    return reading


def _read_second_day(cursor: WordCursor, day: int) -> Reading | None:
    """The second day of "Nov 25 and 26", "June 2 - 5"."""
    if cursor.previous().core not in ("and", "or", "to", "-", "–", "—", "&"):
        return None
    is_date = cursor.previous(3).core in MONTHS and _DAYS.fullmatch(cursor.previous(2).core)
    if not is_date or not cursor.word.core.isdigit():
        return None
    return _add_year(cursor, ordinal(day), 1)


def read_numeric_date(cursor: WordCursor) -> Reading | None:
    """Reads "2024-01-05", "12/25/2024", "25.12.2024", "31/12", "01/2024", ISO 8601 with a time."""
    core = normalise_dashes(cursor.word.core)
    if match := _ISO.fullmatch(core):
        return _read_iso(match)
    if match := _NUMERIC.fullmatch(core):
        return _read_numeric(match)
    if match := _MONTH_YEAR.fullmatch(core):
        month, in_year = int(match[1] or match[4]), int(match[2] or match[3])
        is_season = "-" in core and month == in_year % 100 + 1
        if 1 <= month <= 12 and not is_season:
            return Reading(f"{_MONTHS[month - 1]} {year(in_year)}")
    if (match := _TWO_YEARS.fullmatch(core)) and int(match[2]) == int(match[1]) + 1:
        return Reading(f"{year(int(match[1]))} to {year(int(match[2]))}")
    if (match := _NAMED.fullmatch(core)) and match[2].title() in MONTHS:
        behind = f", {year(int(match[3]))}" if len(match[3]) == 4 else f" {_short_year(match[3])}"
        return Reading(f"{MONTHS[match[2].title()]} {ordinal(int(match[1]))}{behind}")
    if (match := _SEASON.fullmatch(core)) and match[2] < match[3]:
        return Reading(say_years(core.replace("/", "-")))
    if match := _DAY_MONTH.fullmatch(core):
        return _read_day_month(cursor, int(match[1]), int(match[2]))
    return None


def _read_iso(match: re.Match[str]) -> Reading | None:
    said = _say_date(int(match[3]), int(match[4]), int(match[1]))
    if not said or not match[5]:
        return Reading(said) if said and not match[8] else None
    said += f", {say_clock(match[5], match[6], '' if match[7] in (None, '00') else match[7])}"
    if offset := _OFFSET.fullmatch(match[9] or ""):
        sign = "plus" if offset[1] == "+" else "minus"
        return Reading(f"{said} {sign} {cardinal(int(offset[2]))}")
    return Reading(f"{said} {match[8]}".strip()) if not match[9] else None


def _read_numeric(match: re.Match[str]) -> Reading | None:
    first, second = int(match[1]), int(match[3])
    if match[2] == "." and len(match[4]) == 2:
        return None  # a version
    in_year = int(match[4])
    if len(match[4]) == 2:
        in_year += 2000 if in_year < 50 else 1900
    is_day_first = first > 12 or match[2] == "."
    month, day = (second, first) if is_day_first else (first, second)
    said = _say_date(month, day, in_year)
    return Reading(said) if said else None


def _read_day_month(cursor: WordCursor, first: int, second: int) -> Reading | None:
    """Reads "12/25" and "31/12" are dates, other fractions only behind a word that asks for one."""
    cue = cursor.previous().core.lower()
    is_asked = cue in _DATE_CUES
    month, day = (second, first) if first > 12 else (first, second)
    is_plain = first > 12 or (12 < second <= 31 and second not in (16, 20))
    is_plain = is_plain or (second < first <= 12 and second != 10)
    if not (is_plain or (is_asked and (second > 4 or cue == "on"))):
        return None
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    following = cursor.peek().core
    is_measure = following in ("of", "inch", "in", "mile", "=") or find_unit(following)
    if not is_asked and (is_measure or is_counted(following)):
        return None
    return Reading(f"{_MONTHS[month - 1]} {ordinal(day)}")


def _say_date(month: int, day: int, in_year: int) -> str | None:
    if 1 <= month <= 12 and 1 <= day <= 31:
        return f"{_MONTHS[month - 1]} {ordinal(day)}, {year(in_year)}"
    return None


def _short_year(digits: str) -> str:
    return ("oh " if digits[0] == "0" else "") + cardinal(int(digits))


def say_years(text: str) -> str:
    """A year or a range of years: "1984", "1914-1918", "2024-25"."""
    match = _YEARS.fullmatch(text)
    if not match:
        raise ValueError(text)
    said = year(int(match[1]))
    if not match[2]:
        return said
    return f"{said} to {year(int(match[2])) if len(match[2]) == 4 else _short_year(match[2])}"
