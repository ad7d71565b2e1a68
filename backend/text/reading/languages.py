"""The languages whose text is read by rules of their own, and what is known of the others. Pure."""

from __future__ import annotations

import re

from backend.text.reading import grouped_numbers
from backend.text.reading.end_rules import find_end_rule
from backend.text.reading.english import ENGLISH
from backend.text.reading.grouped_numbers import read_grouped_number
from backend.text.reading.language import Language

_LANGUAGES = {language.code: language for language in (ENGLISH,)}


# Codes that differ between engines, espeak-ng and the tables here.
_SAME = {"nb": "no", "nn": "no", "cmn": "zh", "iw": "he", "in": "id", "tl": "fil"}


def primary_subtag(tag: str) -> str:
    """The language of a tag: `en` of "en-GB" or "en_GB"; one code for each language."""
    code = re.split("[-_]", tag.strip(), maxsplit=1)[0].lower()
    return _SAME.get(code, code)


def find_language(tag: str) -> Language:
    """The language of a tag such as "en-GB"; if unknown, one with few rules."""
    code = primary_subtag(tag)
    known = _LANGUAGES.get(code)
    if known:
        return known
    rules = (read_grouped_number,) if code in grouped_numbers.LANGUAGES else ()
    return Language(code, rules, find_end_rule(code), words_before=2)
