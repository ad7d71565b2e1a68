"""Whether the full stop of an abbreviation may end a sentence. Pure."""

from __future__ import annotations

from backend.text.reading.english.numbers.times import BOOKS_IN_SHORT, VERSE
from backend.text.reading.english.word_sets import word_set
from backend.text.reading.english.words.abbreviation_table import (
    CLIPPED,
    COMMON,
    LEADING,
    MAYBE_WORDS,
    NEVER_BEFORE_SMALL,
    NUMBERED,
    SILENT_STOP,
)
from backend.text.reading.english.words.abbreviations import is_numbering
from backend.text.reading.english.words.calendar_table import CALENDAR, DAYS, MONTHS
from backend.text.reading.english.words.title_table import SMALL_TITLES, STREETS, TITLES

_OPENING = "\"'‘“„«([{¿¡"
_CLOSING = "\"'’”»)]}.,;:!?…"
_MONTH_NAMES = MONTHS.keys() | {name.lower() for name in MONTHS.values()}
_NEVER_SMALL = (
    (
        (COMMON.keys() | NUMBERED.keys() | NEVER_BEFORE_SMALL | CALENDAR.keys() | SILENT_STOP)
        - MAYBE_WORDS
        - {"sat", "sun", "wed", "mar", "ed", "pl", "mi"}
    )
    | {"app", "art", "ex", "fig", "figs", "lat", "no", "sec", "secs"}
    | CLIPPED
    | SMALL_TITLES
)
_BEFORE_NUMBERS = word_set("avg c ca dia long max min pop temp")


def may_end_sentence(before: str, behind: str, is_complete: bool) -> bool:
    """Whether a sentence may end between two written words, the first with its full stop.

    `behind` is as much of the second as is known; `is_complete`: all of it. What this answers for
    a part may become true once the word is complete, never false.
    """
    word = before.lstrip(_OPENING).rstrip("\"'’”»)]}")
    if not word.endswith(".") or word.endswith(".."):
        return True
    key = word.rstrip(".").lower()
    following = behind.lstrip(_OPENING)
    if not following:
        return True
    if key in LEADING:
        return False
    if key == "ste":
        return _may_end_numbered(key, following.rstrip(_CLOSING), is_complete)
    if key in TITLES and word[0].isupper():
        return key in STREETS and following[0].isalpha() and following[0].isupper()
    return _may_end_before(word, following, is_complete)


def _may_end_before(word: str, following: str, is_complete: bool) -> bool:
    key = word.rstrip(".").lower()
    if key in BOOKS_IN_SHORT and key not in NUMBERED and following[0].isdecimal():
        return is_complete and not VERSE.match(following)
    if following[0].islower():
        is_named = word[0].isupper() and key in CALENDAR
        return key not in _NEVER_SMALL and word != "ed." and not is_named
    if key in DAYS and word[0].isupper() and following[0].isalpha():
        return not _may_be_month(following.rstrip(_CLOSING).lower(), is_complete)
    if key in NUMBERED:
        return _may_end_numbered(key, following.rstrip(_CLOSING), is_complete)
    if following[0].isdecimal():
        is_day = word[0].isupper() and key in DAYS  # "Fri. 9 a.m."
        return key not in _BEFORE_NUMBERS and key not in MONTHS and not is_day
    return True


def _may_be_month(following: str, is_complete: bool) -> bool:
    """As in "Mon. Jan. 5"."""
    if is_complete:
        return following in _MONTH_NAMES
    return any(name.startswith(following) for name in _MONTH_NAMES)


def _may_end_numbered(key: str, following: str, is_complete: bool) -> bool:
    if following[:1].isdecimal():
        return False
    if following == "I":  # Vol. I
        return key in MAYBE_WORDS - {"fig"}
    if key in MAYBE_WORDS and key != "fig":
        return True
    return is_complete and not is_numbering(following)
