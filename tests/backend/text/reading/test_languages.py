"""A tag names a language."""

from __future__ import annotations

from backend.text.reading.english import ENGLISH
from backend.text.reading.languages import find_language


def test_a_region_does_not_matter() -> None:
    assert find_language("en-GB") is ENGLISH
    assert find_language("EN") is ENGLISH


def test_a_language_without_rules_ends_sentences_anywhere() -> None:
    language = find_language("de-AT")
    assert (language.code, tuple(language.rules)) == ("de", ())
    assert language.may_end_sentence("max.", "speed", True)
