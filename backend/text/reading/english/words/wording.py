"""English words: letters, names, symbols. The rule asks the others by the shape of a word. Pure."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

from backend.text.reading.english.numbers.number_forms import say_small_digits
from backend.text.reading.english.word_sets import word_set
from backend.text.reading.english.words.abbreviations import (
    ABBREVIATIONS,
    read_abbreviation,
    read_dotted,
)
from backend.text.reading.english.words.capitals import read_capitals
from backend.text.reading.english.words.casual import RESPELLED, shorten_letters
from backend.text.reading.english.words.code import read_code
from backend.text.reading.english.words.compounds import read_compound, say_part
from backend.text.reading.english.words.homographs import HOMOGRAPHS, read_homograph
from backend.text.reading.english.words.identifiers import read_identifier, read_offset
from backend.text.reading.english.words.letters import read_letter
from backend.text.reading.english.words.roman import read_roman
from backend.text.reading.english.words.symbols import (
    drop_foreign,
    fold_marks,
    fold_shapes,
    is_emoticon,
    read_symbol,
)
from backend.text.reading.english.words.web import (
    is_file,
    read_address,
    read_hash,
    read_numbered_code,
    read_path,
)
from backend.text.reading.language import Reading, Rule
from backend.text.reading.written_words import LONGEST_WORD, WordCursor

_PLAIN = re.compile(r"[A-Z]?[a-z]+(?:'[a-z]+)?")
_ROMAN = re.compile(r"[IVXLCDM]+(?:['’]s)?")
_OPENS = re.compile(r"[(\[{]")
_CLOSERS = {":": ":"}
_SMALL_ROMAN = word_set("ii iii iv vi vii viii ix xi xii xiii xiv xv")
# Words in small or first-capital letters that are not simply said.
_SPECIAL = ABBREVIATIONS | RESPELLED.keys() | _SMALL_ROMAN | HOMOGRAPHS
_FACES = frozenset(["\\o/", "B-)", "8-)", "=)", "=(", "=D", "=P", "O:)", "0:)"])
_LOVERS = word_set("i we they")
_BEFORE_LESS = word_set("are be by for have if is level of score takes than the value was were")
_PLAIN_ENDINGS = frozenset(["", ".", ",", "?", "!", ";", ":", ")", '"', "”", "…", "'", "’"])


def read_word(cursor: WordCursor) -> Reading | None:
    """Everything but numbers. A plain word takes a few comparisons and never looks ahead."""
    word = cursor.word
    core = word.core
    if word.is_glued and _is_rest(cursor):
        return Reading("", trail="")
    is_plain = _PLAIN.fullmatch(core) is not None
    reading = _read_plain(cursor, core) if is_plain else _read_shaped(cursor, core)
    said = core if reading is None else reading.spoken
    if not said.isascii() and (small := say_small_digits(said)) != said:
        reading = Reading(small) if reading is None else replace(reading, spoken=small)
    trail = word.trail if reading is None or reading.trail is None else reading.trail
    if trail in _PLAIN_ENDINGS:
        return reading
    said, count = (core, 1) if reading is None else (reading.spoken, reading.count)
    return Reading(said, count, fold_marks(trail))


def _is_rest(cursor: WordCursor) -> bool:
    """Whether the word is the rest of an address or of data that is too long to be said."""
    core, before = cursor.word.core, cursor.previous()
    if before.end - before.start < LONGEST_WORD or core.isdecimal() or not core.isascii():
        return False
    return not core.isalpha() or any("://" in cursor.previous(back).core for back in (1, 2, 3))


def read_code_with_digits(cursor: WordCursor) -> Reading | None:
    """An address, file or hash that begins with a digit, an option: rules of numbers would take
    them.
    """
    core = cursor.word.core
    if core.startswith("--") and core[2:3].isalpha() and (flag := read_code(core, "")):
        return Reading(flag)
    if not core[:1].isdecimal():
        return None
    said = read_numbered_code(core)
    return None if said is None else Reading(said)


def read_heart(cursor: WordCursor) -> Reading | None:
    """`I <3 you`, `Thanks <3`; not `x <3`, `is <3`. Also the faces that look like sums."""
    if cursor.word.text in _FACES:
        return Reading("", trail="")
    if not cursor.word.text.startswith("<3") or cursor.word.text.strip("3.,!?)") != "<":
        return None
    before = cursor.previous().core.lower()
    if before in _LOVERS:
        return Reading("love")
    is_compared = len(before) == 1 or before in _BEFORE_LESS or not before.isalpha()
    return None if before and is_compared else Reading("", trail=cursor.word.trail)


CODE_RULES: tuple[Rule, ...] = (read_heart, read_code_with_digits)
"""Asked before the rules of numbers."""

WORD_RULES: tuple[Rule, ...] = (read_word,)
"""Asked behind the rules of numbers."""


def _read_plain(cursor: WordCursor, core: str) -> Reading | None:
    key = core.lower()
    if len(core) == 1:
        reading = read_abbreviation(cursor, core) if key in ABBREVIATIONS else None
        return reading or read_letter(cursor, core)
    if key not in _SPECIAL:
        said = shorten_letters(core)
        if said is None and core.endswith("'s"):
            said = _say_possessive(core)
        return None if said is None else Reading(RESPELLED.get(said.lower(), said))
    if key in HOMOGRAPHS:
        return read_homograph(cursor, key)
    if key in ABBREVIATIONS and (reading := read_abbreviation(cursor, core)) is not None:
        return reading
    if key in _SMALL_ROMAN:
        return read_roman(cursor, core)
    return Reading(RESPELLED[key]) if key in RESPELLED else None


def _say_possessive(core: str) -> str | None:
    base = RESPELLED.get(core[:-2].lower())
    return None if base is None else f"{base}'s"


def _read_shaped(cursor: WordCursor, core: str) -> Reading | None:
    if not any(map(str.isalnum, core)):
        return read_symbol(cursor)
    if "`" in core or not core.isascii():
        folded = drop_foreign(fold_shapes(core)).rstrip("'")
        if folded != core:
            return _read_folded(cursor, folded)
    return _read_in_context(cursor, core) or _read_by_itself(core, cursor.word.trail)


def _read_folded(cursor: WordCursor, folded: str) -> Reading:
    """A word with foreign letters or shapes, as plain text, possibly several words."""
    if not any(map(str.isalnum, folded)):
        return Reading("", trail=cursor.word.trail if cursor.previous().core else "")
    if " " in folded:
        return Reading(" ".join(say_part(part.strip("-")) for part in folded.split()))
    reading = _read_in_context(cursor, folded) if not _PLAIN.fullmatch(folded) else None
    return reading or _read_by_itself(folded, cursor.word.trail) or Reading(folded)


def _read_in_context(cursor: WordCursor, core: str) -> Reading | None:
    """Words whose neighbours count: letters, abbreviations, Roman numerals, capitals."""
    reading = read_abbreviation(cursor, core) if core.lower() in ABBREVIATIONS else None
    if reading is None and _ROMAN.fullmatch(core):
        reading = read_roman(cursor, core)
    if reading is None and ("." in core or len(core) == 1):
        reading = read_dotted(cursor, core)
    if reading is None and len(core) == 1 and core.isalpha():
        reading = read_letter(cursor, core)
    if reading is not None:
        return reading
    if is_emoticon(core):
        return Reading("", trail="")
    if core.isupper() and len(core) > 3:
        core = shorten_letters(core) or core  # "SOOOO"
    said = read_capitals(cursor, core) if core[:3].isupper() else None
    return None if said is None else Reading(said)


@lru_cache(2048)
def _read_by_itself(core: str, trail: str) -> Reading | None:
    """Words that are read alike anywhere."""
    if (said := read_address(core)) is not None:
        return Reading(said)
    if (said := read_offset(core)) is not None:
        return Reading(said)
    if (said := read_code(core, trail)) is not None:
        closed = _CLOSERS.get(core[:1]) or (")]}" if _OPENS.search(core) else "")
        return Reading(said, trail=trail.lstrip(closed) if closed else None)
    said = read_hash(core) or (read_path(core) if is_file(core) else None)
    said = said or read_identifier(core) or read_path(core) or read_compound(core)
    return None if said is None else Reading(said)
