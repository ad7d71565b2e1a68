"""Words that are said in two ways, where a neighbour tells which. Pure.

An engine guesses the others from the whole sentence.
"""

from __future__ import annotations

from backend.text.reading.english.word_sets import word_set
from backend.text.reading.language import Reading
from backend.text.reading.written_words import WordCursor

# The word, the words before it, and how it is said behind them.
_BEHIND = {
    "object": (word_set("i they we you"), "ubject"),
    "resume": (word_set("a her his my our their your"), "résumé"),
}
HOMOGRAPHS = _BEHIND.keys() | {"lead"}

# Behind these "lead" is no verb; only then is the word behind it looked at.
_BEFORE_METAL = word_set("a any by from heavy in into no of old on some that the this with")
_METAL = word_set(
    """acid apron balloon based battery bullet bullets crystal exposure free glass glazed
    levels mine ore paint pencil pipe pipes plate poisoning shield shot sheet solder weight
    weights"""
)


def read_homograph(cursor: WordCursor, key: str) -> Reading | None:
    """`key` is the word at the cursor in small letters, one of `HOMOGRAPHS`."""
    before = cursor.previous()
    last = "" if before.trail else before.core.lower()
    if key in _BEHIND:
        words, said = _BEHIND[key]
        return Reading(said) if last in words else None
    if cursor.word.trail:
        return Reading("led") if last == "of" else None
    if before.core and last not in _BEFORE_METAL:
        return None
    return Reading("led") if cursor.peek().core.lower() in _METAL else None
