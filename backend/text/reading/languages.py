"""The languages whose text is read by rules of their own. Pure."""

from __future__ import annotations

from backend.text.reading.english import ENGLISH
from backend.text.reading.language import Language

_LANGUAGES = {language.code: language for language in (ENGLISH,)}


def find_language(tag: str) -> Language:
    """The language of a tag such as "en-GB"; one without rules if there is none."""
    code = tag.partition("-")[0].lower()
    return _LANGUAGES.get(code) or Language(code, rules=())
