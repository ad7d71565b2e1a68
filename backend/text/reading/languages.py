"""The languages whose text is read by rules of their own, and what is known of the others. Pure."""

from __future__ import annotations

from backend.language_names import primary_subtag
from backend.text.reading import grouped_numbers
from backend.text.reading.end_rules import find_end_rule
from backend.text.reading.english import ENGLISH
from backend.text.reading.grouped_numbers import read_grouped_number
from backend.text.reading.language import Language

_LANGUAGES = {language.code: language for language in (ENGLISH,)}


def find_language(tag: str) -> Language:
    """The language of a tag such as "en-GB"; if unknown, one with few rules."""
    code = primary_subtag(tag)
    known = _LANGUAGES.get(code)
    if known:
        return known
    rules = (read_grouped_number,) if code in grouped_numbers.LANGUAGES else ()
    return Language(code, rules, find_end_rule(code), words_before=2)
