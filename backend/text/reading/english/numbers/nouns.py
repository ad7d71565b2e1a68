"""Whether a quantity stands before the noun that it describes: "a five gram dose". Pure."""

from __future__ import annotations

from backend.text.reading.english.word_sets import word_set
from backend.text.reading.written_words import WordCursor

_DETERMINERS = word_set(
    """
    a an the this that another every each one his her its my your our their per no
    """
)
_ARTICLES = word_set("a an another every")
_NO_NOUNS = word_set(
    """
    of or and is was were are be in on at to from by with for as if but than then that which who
    we you i he she it they this these those not more less each per away ago long tall wide deep
    high thick later earlier now here there today only off out up down over under before after
    when while will would can could may must has have had do does did so until since total
    """
)
_ADJECTIVES = word_set("tall long wide deep high thick heavy old")


def is_attribute(cursor: WordCursor, count: int) -> bool:
    """Whether the `count` words at the cursor describe the noun behind them. Looks one word further
    behind a determiner alone.
    """
    before = cursor.previous()
    determiner = before.core.lower()
    if (
        determiner not in _DETERMINERS
        or before.trail
        or cursor.peek(count - 1).trail[:1] in tuple(",;:!?)")
    ):
        return False
    noun = cursor.peek(count)
    if noun.lead or not noun.core[:1].isalpha():
        return False
    if determiner in _ARTICLES and noun.core.lower() in _ADJECTIVES:
        return True
    return noun.core.lower() not in _NO_NOUNS


def is_counted(core: str) -> bool:
    """Whether a word looks like a noun in the plural, as behind a number that counts."""
    return (core.endswith("s") and core.islower() and core not in _NO_NOUNS and len(core) > 3) or (
        core in ("people", "men", "women", "children", "sheep", "fish", "feet", "more", "other")
    )
