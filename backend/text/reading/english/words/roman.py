"""Roman numerals behind a name or a word that asks for a number. Pure."""

from __future__ import annotations

import re

from backend.text.reading.english.numbers.number_words import cardinal, ordinal
from backend.text.reading.english.word_sets import word_set
from backend.text.reading.english.words.abbreviation_table import NUMBERED
from backend.text.reading.language import Reading
from backend.text.reading.written_words import WordCursor, WrittenWord

_NUMERAL = re.compile(r"M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")
_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_CUES = (
    word_set(
        """act annex apollo appendix article book bowl canto chapter class division episode fantasy
    figure gemini grade group level lesson mark no number olympiad
    page paragraph part phase quarter rank rocky round saturn scene schedule season section stage
    step table tier title type unit volume war wars wwe"""
    )
    | NUMBERED.keys()
)
_RULERS = word_set(
    """abdullah akbar albert alexander alfonso anne babur benedict bonaparte catherine charles
    christian clement constantine darius edward elizabeth ferdinand francis franz frederick
    george gregory gustav haakon harald henry hussein innocent isabella ivan james john
    joseph juan julius karl leo leopold louis ludwig margaret margrethe maria mary
    maximilian mehmed mohammed murad napoleon nero nicholas olav otto paul pedro peter
    philip pius pope rama ramesses ramses richard robert rudolf selim sixtus stephen
    suleiman thutmose tutankhamun umberto urban victor wilhelm william xerxes"""
)
_CROWNS = word_set("emperor empress kaiser king pharaoh pope prince queen shah sultan tsar")
_CENTURIES = word_set("century centuries olympiad olympics")
_REIGNED = word_set("abdicated became crowned died of reigned ruled")
_SMALL_WORDS = word_set("a an and at by for from her his in my no on our the their to use with")
# Numerals that are more often letters: they need a word that asks for a number.
_LETTERS = word_set("CC CD CI CL CM CV DC DI DL DM DX LI LC MC MD MI ML MM MV XL XX XXL XXX LX")


def roman_value(numeral: str) -> int:
    """The value of a Roman numeral in capitals; 0 if it is none."""
    if not numeral or not _NUMERAL.fullmatch(numeral):
        return 0
    values = [_VALUES[letter] for letter in numeral]
    return sum(
        -value if value < following else value
        for value, following in zip(values, [*values[1:], 0], strict=True)
    )


def read_roman(cursor: WordCursor, core: str) -> Reading | None:
    """`Chapter IV` -> "four", `Louis XIV` -> "the fourteenth", `the XX century` -> "twentieth"."""
    word = cursor.word
    ending = ""
    if len(core) == 1 and core not in "IVX":
        return None
    if core.endswith(("'s", "’s")):
        core, ending = core[:-2], "'s"
    value = roman_value(core.upper())
    if not value or not (core.isupper() or core.islower()):
        return None
    before = cursor.previous()
    if core.islower():
        return _read_small(word, before, value)
    if before.trail and before.trail != ".":
        return _read_alone(word, core, value)
    said = _say_behind(cursor, core, value)
    return Reading(said + ending) if said else _read_alone(word, core, value)


def _read_small(word: WrittenWord, before: WrittenWord, value: int) -> Reading | None:
    """As in "page iv", "(ii)"."""
    if set(word.core) - set("ivx") or len(word.core) < 2:
        return None
    is_number = before.core.lower() in _CUES or (word.lead == "(" and word.trail.startswith(")"))
    if is_number:
        return Reading(cardinal(value))
    return Reading("I V") if word.core == "iv" else None


def _say_behind(cursor: WordCursor, core: str, value: int) -> str:
    """What a numeral is behind the words before it; "" if it is none there."""
    before = cursor.previous()
    name = before.core.lower()
    if core == "I":  # far more often the pronoun
        return _say_first(cursor, name)
    if name in _RULERS and before.core.istitle():
        return f"the {ordinal(value)}" if value < 100 else ""
    if name in _CUES and (len(core) > 1 or before.core[0].isupper() or before.trail):
        return cardinal(value)
    if name == "the" and value < 40 and cursor.peek().core.lower() in _CENTURIES:
        return ordinal(value)
    if len(core) == 1 or core in _LETTERS or value > 100:
        return ""
    is_name = before.core[:1].isupper() and not before.core.isupper() and name not in _SMALL_WORDS
    if is_name and (core not in ("IV", "VI", "XI") or cursor.previous(2).core):
        return cardinal(value)
    return ""


def _say_first(cursor: WordCursor, name: str) -> str:
    """Says "I" behind a name is the pronoun, but for kings and chapters."""
    before = cursor.previous()
    if not before.core[:1].isupper() or before.trail:
        return ""
    if name in _CUES and name not in NUMBERED:
        return "one"
    if name not in _RULERS:
        return ""
    if cursor.previous(2).core.lower() in _CROWNS or cursor.word.trail:
        return "the first"
    return "the first" if cursor.peek().core.lower() in _REIGNED else ""


def _read_alone(word: WrittenWord, core: str, value: int) -> Reading | None:
    """A numeral that can be nothing else: long, or two and more of I, V and X alone ("II")."""
    if len(core) >= 5 or (set(core) <= set("IVX") and len(core) >= 3 and core != "XXX"):
        return Reading(cardinal(value))
    if core in ("II", "VI", "IX") or (core == "IV" and word.trail[:1] in tuple(".)")):
        return Reading(cardinal(value))
    return None
