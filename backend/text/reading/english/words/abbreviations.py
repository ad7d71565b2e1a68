"""Reads abbreviations. Pure."""

from __future__ import annotations

import re

from backend.text.reading.english.word_sets import word_set
from backend.text.reading.english.words.abbreviation_table import (
    ALSO_WORDS,
    BARE,
    CAPITAL_ONLY,
    CLIPPED,
    COMMON,
    MAYBE_WORDS,
    NUMBERED,
    SILENT_STOP,
    WORDLIKE,
)
from backend.text.reading.english.words.calendar_table import CALENDAR, DATE_CUES, DAYS
from backend.text.reading.english.words.capitals import add_ending, spell
from backend.text.reading.english.words.dotted_table import DIRECTIONS, DOTTED, PLACES
from backend.text.reading.english.words.roman import roman_value
from backend.text.reading.english.words.title_table import (
    BARE_TITLES,
    SMALL_TITLES,
    STREETS,
    TITLES,
)
from backend.text.reading.language import Reading
from backend.text.reading.written_words import WordCursor

_LETTERS = re.compile(r"[A-Za-z](?:\.[A-Za-z])+")
_BARE_STREETS = word_set("ave rd")
_BEFORE_NOUNS = word_set("a an any each his her its my our per phone serial tel the this your")
_ADJECTIVES = {"approx": "approximate", "incl": "included"}
_NOUNS = SMALL_TITLES | ALSO_WORDS | CLIPPED | _ADJECTIVES.keys() | word_set("co corp jr lat no sr")
_YEAR_NOTES = {"c": "circa", "b": "born", "d": "died", "v": ""}
_ALWAYS_TITLES = word_set("mr mrs ms dr")
_WORD_DAYS = word_set("sat sun wed mon mar")  # also words: a full stop is not enough
_NO_STREETS = word_set("a and ask at call in my on our see tell that the this to")

ABBREVIATIONS = (
    TITLES.keys()
    | NUMBERED.keys()
    | COMMON.keys()
    | CALENDAR.keys()
    | SILENT_STOP
    | CLIPPED
    | _YEAR_NOTES.keys()
)
"""In small letters, without full stops."""


def read_abbreviation(cursor: WordCursor, core: str) -> Reading | None:
    """`core` is the word at the cursor; it is one of `ABBREVIATIONS` in any case."""
    key = core.lower()
    has_stop = cursor.word.trail.startswith(".") and not cursor.word.trail.startswith("..")
    is_capital = core[0].isupper()
    if key in CALENDAR and is_capital and (core.istitle() or has_stop):
        return _read_calendar(cursor, key, has_stop)
    is_title = is_capital and (has_stop or (key in BARE_TITLES and core.istitle()))
    reading = _read_numbered(cursor, key, has_stop) if key in NUMBERED else None
    if reading is None and key in TITLES and is_title:
        reading = _read_title(cursor, key, has_stop)
    if reading is None and has_stop and not is_capital:
        reading = _read_noun(cursor, key)
    if reading is None and core == "ft" and has_stop and cursor.peek().core[:1].isupper():
        return Reading("featuring", trail="")
    if reading is None and key in COMMON and (has_stop or key in BARE):
        reading = _read_common(cursor, key, has_stop)
    if reading is None and has_stop and key in SILENT_STOP:
        return Reading(core, trail=_drop_stop(cursor))
    if reading is None and has_stop and key in _YEAR_NOTES and not is_capital:
        return _read_note(cursor, key)
    return reading


def _read_noun(cursor: WordCursor, key: str) -> Reading | None:
    """Words that are abbreviations before a small letter: "the no. is", "the gen. public"."""
    if key not in _NOUNS:
        return None
    before, following = cursor.previous(), cursor.peek().core
    is_noun = before.core.lower() in _BEFORE_NOUNS and not before.trail
    is_noun = is_noun or before.trail == "."
    if not following[:1].islower() and not (key in ALSO_WORDS and following[:1].isdecimal()):
        return None
    if key in CLIPPED:
        return Reading(key, trail=_drop_stop(cursor))
    if not is_noun and not (before.trail == "," and following[0].isdecimal()):
        return None
    said = {"no": "number", "lat": "latitude"} | COMMON | TITLES | _ADJECTIVES
    return Reading(said[key].lower(), trail=_drop_stop(cursor))


def _read_note(cursor: WordCursor, key: str) -> Reading | None:
    """As in "c. 1900", "Smith v. Jones"."""
    following = cursor.peek().core
    if key == "v":
        is_case = cursor.previous().core[:1].isupper() and following[:1].isupper()
        return Reading("versus", trail="") if is_case else None
    return Reading(_YEAR_NOTES[key], trail="") if following[:3].isdecimal() else None


def read_dotted(cursor: WordCursor, core: str) -> Reading | None:
    """`U.S.`, `e.g.`, `J.`: letters with full stops."""
    base, ending = core, ""
    if core.endswith(("'s", "’s")):
        base, ending = core[:-2].rstrip("."), "'s"
    has_stop = cursor.word.trail.startswith(".") or base != core
    said = DOTTED.get(base.lower())
    if core in DIRECTIONS and cursor.word.trail == "." and cursor.peek().core in PLACES:
        return Reading(DIRECTIONS[core], trail="")
    is_initial = len(base) == 1 and base.isupper() and cursor.word.trail == "." and not ending
    if said is None and (is_initial or (_LETTERS.fullmatch(base) and (base.isupper() or has_stop))):
        if base.islower() and base.count(".") > 1 and not cursor.peek().core:
            return None  # "a.b.c." at the end of a sentence
        said = spell(base.replace(".", ""))
    if said is None:
        return None
    if ending:
        return Reading(add_ending(said, ending))
    return Reading(said, trail=_drop_stop(cursor))


def _drop_stop(cursor: WordCursor) -> str:
    """The marks behind an abbreviation without its full stop, unless that ends the sentence."""
    trail = cursor.word.trail
    if not trail.startswith(".") or trail.startswith(".."):
        return trail
    return trail[1:] or ("" if cursor.peek().core else ".")


def _read_calendar(cursor: WordCursor, key: str, has_stop: bool) -> Reading | None:
    before = cursor.previous()
    is_cued = before.core.lower() in DATE_CUES or before.core.lower() in CALENDAR
    if before.core in ("and", "or", "&"):
        is_cued = cursor.previous(2).core.lower() in CALENDAR
    if not has_stop:
        clear = key in DAYS and key not in _WORD_DAYS
        if not clear and not is_cued and key in DAYS and cursor.word.trail == ",":
            following = cursor.peek().core
            is_cued = following.istitle() and following.lower() in CALENDAR
        return Reading(CALENDAR[key]) if clear or is_cued else None
    if key in _WORD_DAYS and not is_cued and not cursor.peek().core:
        return None  # "Look at the Sun."
    return Reading(CALENDAR[key], trail=_drop_stop(cursor))


def _read_title(cursor: WordCursor, key: str, has_stop: bool) -> Reading | None:
    """Says "Doctor" before a name, "Drive" behind one."""
    if key not in STREETS:
        if not has_stop and key not in _ALWAYS_TITLES and not cursor.peek().core[:1].isupper():
            return None
        return Reading(TITLES[key], trail=_drop_stop(cursor))
    following = cursor.peek().core
    is_street = _is_street(cursor, following)
    if not is_street and key != "dr" and not following[:1].isupper():
        return None
    return Reading((STREETS if is_street else TITLES)[key], trail=_drop_stop(cursor))


def _is_street(cursor: WordCursor, following: str) -> bool:
    """Whether "St." or "Dr." is behind a name: "Elm St. near", "5 Elm St. Boston"."""
    before = cursor.previous()
    is_ordinal = before.core[:1].isdecimal() and before.core[-2:] in ("st", "nd", "rd", "th")
    if before.trail or before.core.lower() in _NO_STREETS:
        return False
    if not (before.core[:1].isupper() or is_ordinal):
        return False
    if following[:1].isupper() and len(cursor.word.trail) <= 1:
        return is_ordinal or cursor.previous(2).core[:1].isdecimal()
    return True


def _read_numbered(cursor: WordCursor, key: str, has_stop: bool) -> Reading | None:
    if not has_stop and (
        key in MAYBE_WORDS - {"fig", "pp"} or key in ("div", "ver", "tel", "dist")
    ):
        return None
    if len(cursor.word.trail) > has_stop:
        return None
    following = cursor.peek().core
    if key in TITLES and not following[:1].isdecimal():
        return None  # "Rev. J. Smith"
    if is_numbering(following) or (key in ("no", "nos") and following == "of"):
        return Reading(NUMBERED[key], trail="")
    if key == "sec" and has_stop and cursor.word.core == "Sec" and following[:1].isupper():
        return Reading("Secretary", trail="")
    if not has_stop or key in MAYBE_WORDS or key in COMMON or key in TITLES:
        return None
    return Reading(NUMBERED[key], trail=_drop_stop(cursor))


def is_numbering(following: str) -> bool:
    """Whether a word numbers what is before it: "5", "#5", "IV", "B"."""
    if following[:1].isdecimal() or following[1:2].isdecimal():
        return True
    if len(following) == 1:
        return following.isupper() and following != "I" and following.isascii()
    return roman_value(following) > 0


def _read_common(cursor: WordCursor, key: str, has_stop: bool) -> Reading | None:
    word = cursor.word
    if key == "ed":
        is_edition = cursor.previous().core[:1].isdecimal() and has_stop
        return Reading("edition", trail=_drop_stop(cursor)) if is_edition else None
    if not has_stop and key in _BARE_STREETS:
        is_street = _is_street(cursor, "") and word.core.istitle()
        return Reading(COMMON[key]) if is_street else None
    if key in CAPITAL_ONLY and not word.core[0].isupper():
        return None
    if key in ALSO_WORDS and not (word.core[0].isupper() and cursor.peek().core[:1].isdecimal()):
        return None
    if not has_stop:
        return Reading(COMMON[key])
    if key in WORDLIKE and not cursor.peek().core:
        return None
    if key == "est" and cursor.peek().core[:4].isdecimal():
        return Reading("established", trail="")
    return Reading(COMMON[key], trail=_drop_stop(cursor))
