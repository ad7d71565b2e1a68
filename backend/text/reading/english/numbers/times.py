"""Reads times of day, durations with colons, chapters and verses, ratios. Pure."""

from __future__ import annotations

import re

from backend.text.reading.english.numbers.figure import normalise_dashes
from backend.text.reading.english.numbers.number_words import cardinal, whole_number
from backend.text.reading.english.word_sets import word_set
from backend.text.reading.language import Reading
from backend.text.reading.written_words import NO_WORD, WordCursor

_AMPM = r"(?:[aApP]\.?[mM]\.?)"
_TIME = re.compile(
    rf"(\d{{1,2}})(?:[:.](\d\d)(?::(\d\d))?)?({_AMPM})?"
    rf"(?:-(\d{{1,2}})(?:[:.](\d\d)(?::(\d\d))?)?({_AMPM})?)?"
)
_SHORT_HALVES = re.compile(r"^(\d\d?(?::\d\d)?[ap])-(\d\d?(?::\d\d)?[ap])$")  # "6a-9p"
_WITH_H = re.compile(r"(\d\d?)h([0-5]\d)|(\d\d?):([0-5]\d)h")
_HALF_RANGE = re.compile(rf"({_AMPM})-(\d\d?)(?::([0-5]\d))?({_AMPM})?")
_COLON = re.compile(r"(\d{1,4}):(\d{1,4}|\d{1,3}(?:,\d{3})+)(?:-(\d{1,3}))?")
_RATIO_CUES = word_set("ratio scale odds mix score proportion aspect")
_BOOKS = word_set(
    """
    genesis exodus leviticus numbers deuteronomy joshua judges ruth samuel kings chronicles ezra
    nehemiah esther job psalm psalms proverbs ecclesiastes isaiah jeremiah lamentations ezekiel
    daniel hosea joel amos obadiah jonah micah nahum habakkuk zephaniah haggai zechariah malachi
    matthew mark luke john acts romans corinthians galatians ephesians philippians colossians
    thessalonians timothy titus philemon hebrews james peter jude revelation surah quran
    """
)
BOOKS_IN_SHORT = {
    "gen": "genesis",
    "exod": "exodus",
    "lev": "leviticus",
    "deut": "deuteronomy",
    "josh": "joshua",
    "ps": "psalm",
    "prov": "proverbs",
    "eccl": "ecclesiastes",
    "isa": "isaiah",
    "jer": "jeremiah",
    "ezek": "ezekiel",
    "matt": "matthew",
    "rom": "romans",
    "cor": "corinthians",
    "gal": "galatians",
    "eph": "ephesians",
    "phil": "philippians",
    "thess": "thessalonians",
    "tim": "timothy",
    "heb": "hebrews",
    "pet": "peter",
    "rev": "revelation",
}
"""Books of the Bible as they are shortened before a chapter and a verse."""
VERSE = re.compile(r"\d+:\d")
_ALL_BOOKS = _BOOKS | BOOKS_IN_SHORT.keys()


def say_clock(hour: str, minute: str | None, second: str | None = None, half: str = "") -> str:
    """A time of day; `half`: "A M", "P M" or empty."""
    hours = int(hour)
    if not int(minute or 0) and not second:
        if half or minute is None:
            return f"{cardinal(hours)} {half}".strip()
        return f"{cardinal(hours)} {'o' + chr(39) + 'clock' if hours <= 12 else 'hundred'}"
    said = [cardinal(hours), _say_minutes(minute or "00")]
    if second:
        said.append(_say_minutes(second))
    return " ".join([*said, half]).strip()


def _say_minutes(digits: str) -> str:
    number = int(digits)
    return ("oh " if 0 < number < 10 else "") + ("zero zero" if not number else cardinal(number))


def read_time(cursor: WordCursor) -> Reading | None:
    """Reads "10:30 PM", "7am", "9:00-17:00", "5-6 pm"."""
    core = _SHORT_HALVES.sub(r"\1m-\2m", normalise_dashes(cursor.word.core))
    if match := _WITH_H.fullmatch(core):
        return Reading(say_clock(match[1] or match[3], match[2] or match[4]))
    match = _TIME.fullmatch(core)
    if not match:
        return _read_colon(cursor, core)
    hour, minute, second, half, hour2, minute2, second2, half2 = match.groups()
    if int(minute or 0) > 59 or int(minute2 or 0) > 59:
        return _read_colon(cursor, core)
    is_clear = bool(half or half2) or (":" in core and "." not in core)
    if ":" in core and not (half or half2) and _is_chapter(cursor):
        return _read_colon(cursor, core)
    if hour2 is None and not half and (reading := _read_long_range(cursor, match)):
        return reading
    count, trail, after = _find_half(cursor, half2 or ("" if hour2 else half), int(hour2 or hour))
    if not (is_clear or after):
        return None
    if hour2 is None:
        return Reading(say_clock(hour, minute, second, after), count, trail)
    is_whole = minute == minute2 == "00" and not after
    if is_whole:
        minute = minute2 = None
    first = say_clock(hour, minute, second, _name_half(half))
    if not half and not int(minute or 0) and (after or int(hour) <= 12):
        first = cardinal(int(hour))
    return Reading(f"{first} to {say_clock(hour2, minute2, second2, after)}", count, trail)


def _read_long_range(cursor: WordCursor, first: re.Match[str]) -> Reading | None:
    """Reads "10 a.m.-5 p.m."."""
    following = normalise_dashes(cursor.peek().core) if not cursor.word.trail else ""
    match = _HALF_RANGE.fullmatch(following)
    if not match:
        return None
    half, count, trail = match[4], 2, None
    if not half and re.fullmatch(_AMPM, cursor.peek(2).core):
        half, count = cursor.peek(2).core, 3
        trail = _trail_of_half(cursor, 2, half)
    start = say_clock(first[1], first[2], first[3], _name_half(match[1]))
    return Reading(
        f"{start} to {say_clock(match[2], match[3], None, _name_half(half))}", count, trail
    )


def _name_half(text: str | None) -> str:
    return f"{text[0].upper()} M" if text else ""


def _find_half(cursor: WordCursor, glued: str | None, hour: int) -> tuple[int, str | None, str]:
    """Words, trail, and "A M" or "P M" of a time: what is glued to it or the next word."""
    if glued:
        return 1, _trail_of_half(cursor, 0, glued), _name_half(glued)
    if cursor.word.trail or hour > 24:
        return 1, None, ""
    following = cursor.peek()
    if following.lead or not re.fullmatch(_AMPM, following.core):
        return 1, None, ""
    if following.core in ("am", "Am") and cursor.previous().core.lower() in ("number", "only"):
        return 1, None, ""
    return 2, _trail_of_half(cursor, 1, following.core), _name_half(following.core)


def _trail_of_half(cursor: WordCursor, at: int, text: str) -> str | None:
    """Without the dot of "a.m.", unless it ends the text, too."""
    trail = cursor.peek(at).trail
    if "." not in text or not trail.startswith("."):
        return None
    return trail if cursor.peek(at + 1) is NO_WORD else trail[1:]


def _is_chapter(cursor: WordCursor) -> bool:
    return cursor.previous().core.lower() in _ALL_BOOKS | _RATIO_CUES


def _read_colon(cursor: WordCursor, core: str) -> Reading | None:
    """Reads "3:1", "16:9", "John 3:16-18"."""
    match = _COLON.fullmatch(core)
    if not match:
        return None
    first, second = whole_number(match[1]), whole_number(match[2].replace(",", ""))
    if cursor.previous().core.lower() in _ALL_BOOKS:
        last = f" to {whole_number(match[3])}" if match[3] else ""
        return Reading(f"{first} {second}{last}")
    last = f" to {whole_number(match[3])}" if match[3] else ""
    return Reading(f"{first} to {second}{last}")
