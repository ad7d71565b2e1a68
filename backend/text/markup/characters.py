"""Unicode: the plain form of a character. Pure.

Without the variants that are only another look (full width, mathematical bold), without what cannot
be seen, without pictures. An accent that is a character of its own stays: words are composed once
they are complete (`reading.written_words`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from unicodedata import category, normalize

from backend.text.markup.state import Ahead, ReaderState, Token, Undecided, keep
from backend.text.reading.compatibility import find_look
from backend.text.reading.written_words import FILLER

# Unicode blocks rather than today's emoji, so that future ones are silent too; signs that are read
# aloud (degree, copyright, number) are outside of them, as are the enclosed digits.
_PICTURE = re.compile(
    "[\u2022\u2023\u2043\u2139\u2190-\u21ff\u2300-\u23ff\u2500-\u2775\u2794-\u27bf\u2900-\u297f"
    "\u2b00-\u2bff\ue000-\uf8ff\ufff9-\uffff\U0001f000-\U0001f0ff\U0001f150-\U0001fbff"
    "\U000f0000-\U0010ffff]"
)
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u20dd-\u20e4\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
_APOSTROPHES = frozenset("\u2018\u2019\u201b\u02bc\u02bb\u02b9\u00b4\uff07")
_HYPHENS = frozenset("\u2010\u2011")
_ARROWS = frozenset("→⟶⇒⟹➔➜➝➞➡")  # read as "to" between words, silent as a bullet
_JOINERS = "\u200c\u200d"  # part of the spelling in some scripts
_GROUPING = frozenset("\u00a0\u202f\u2009\u2007\u2008\u2005\u2006")  # spaces between digits
_LINE_ENDS = frozenset("\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f\x85\u2028\u2029")
_SUPERSCRIPT = str.maketrans("0123456789+-−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻")


def read_character(ahead: Ahead, state: ReaderState) -> Token:
    """The plain form of the next character."""
    character = ahead.text[ahead.at]
    if character in _GROUPING:
        return Token(read_grouping_space(ahead, state, 1))
    if character in _ARROWS and not state.line_is_blank:
        return keep(ahead)
    if character in _JOINERS:
        return Token(character if _may_join(state.last) else FILLER)
    return Token(find_plain_form(character) or FILLER)


def read_superscript(ahead: Ahead) -> str:
    """The next character as a superscript: "m<sup>2</sup>" is a square."""
    return ahead.text[ahead.at].translate(_SUPERSCRIPT)


def read_grouping_space(ahead: Ahead, state: ReaderState, size: int) -> str:
    """The mask of a no-break space of `size` characters: "_" between groups of three digits, which
    no language reads otherwise, else a plain space.
    """
    if not state.last.isdigit():
        return " "
    try:
        digits = [ahead.peek(size + n) for n in range(4)]
    except Undecided:
        known = ahead.text[ahead.at + size :][:3]
        if all(map(str.isdigit, known)):
            raise
        return " "
    return "_" if all(map(str.isdigit, digits[:3])) and not digits[3].isdigit() else " "


@lru_cache(4096)
def find_plain_form(character: str) -> str:
    """One character; a space for a picture; "" if it is not seen at all."""
    kind = category(character)
    if character in _LINE_ENDS:
        return character
    if kind == "Zs" or kind == "Cc" or _PICTURE.match(character):
        return " "
    if _INVISIBLE.match(character):
        return ""
    if character in _APOSTROPHES:
        return "'"
    if character in _HYPHENS:
        return "-"
    composed = normalize("NFC", character)
    plain = find_look(composed) if len(composed) == 1 else character
    return plain if len(plain) == 1 else character


def _may_join(last: str) -> bool:
    return last > "\u0530" and category(last)[0] in "LM"
