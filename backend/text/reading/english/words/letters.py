"""Single letters: the names of letters against the article and the pronoun. Pure.

A letter that is said by its name is one capital, the article is a small "a".
"""

from __future__ import annotations

from backend.text.reading.english.word_sets import word_set
from backend.text.reading.language import Reading
from backend.text.reading.written_words import WordCursor

# Words in front of a letter that names something.
_NAMED = word_set(
    """an appendix answer answers apartment bin block box building bus category chapter choice
    choose class column deck division drive dock door event exhibit factor figure flat gate
    grade grades group hall hepatitis influenza item key lane layer letter letters level
    line list lot model note object option page panel parcel part period phase pick plan
    platform player point position question rank room route row schedule season section
    select sector series set shelf side size stage stand step straight string suite table
    tab team terminal tier track type unit variable variant version vitamin vitamins wing
    zone"""
)
# The same in front of a small "a": fewer, for "part a" and "choose a card" are other things.
_NAMED_SMALL = word_set("hepatitis letter letters variable vitamin vitamins")
# Words behind a letter at the beginning of a sentence; behind an article there is a noun.
_BEHIND = word_set(
    """and are as at can comes follows for from goes has have here in is isn't means on or plus
    points stands then to versus vs was were will with"""
)
_MARKS = ",;:.)!?"


def read_letter(cursor: WordCursor, core: str) -> Reading | None:
    """A word of one letter."""
    if core == "A":
        return Reading("A" if _is_name(cursor) else "a")
    if core == "a":
        return Reading("A") if _is_small_name(cursor) else None
    if core == "I" or len(core.upper()) > 1:
        return None
    if core in "ns" and (cursor.word.lead or cursor.previous().core.endswith("'")):
        return Reading("and", trail="") if core == "n" else None  # rock 'n' roll
    return Reading(core.upper())


def _is_small_name(cursor: WordCursor) -> bool:
    """Whether a small a is the letter: "letter a", "a, b and c", "a < b", "x + a"."""
    word, before = cursor.word, cursor.previous()
    if before.core.lower() in _NAMED_SMALL and not before.trail:
        return True
    if word.trail and word.trail[0] in _MARKS:
        return not word.trail.startswith("..")
    is_operand = bool(before.core) and not any(map(str.isalnum, before.core))
    if before.core and not is_operand and word.lead != "(":
        return False
    following = cursor.peek().core
    return not any(map(str.isalnum, following)) and following not in ("-", "–", "—", "…", "...")


def _is_name(cursor: WordCursor) -> bool:
    """Whether a capital A is the letter."""
    word, before = cursor.word, cursor.previous()
    if word.trail[:1] and word.trail[0] in _MARKS:
        return True
    begins = not before.core or before.trail[-1:] in tuple(".!?:") or bool(word.lead)
    if not begins:
        if before.core.lower() in _NAMED and not before.trail:
            return True
        if before.core.isupper() and len(before.core) > 1:
            return False  # in a text in capitals
    following = cursor.peek()
    if not following.core:
        return True
    if following.core.lower() in _BEHIND or not following.core[0].isalnum():
        return following.core not in ("-", "–", "—")
    if len(following.core) == 1 and following.core.isupper():
        return following.core != "I"
    return not begins and following.core[0].islower() and before.core.islower()
