"""A tag names a language."""

from __future__ import annotations

from backend.text.reading.english import ENGLISH
from backend.text.reading.languages import find_language


def test_a_region_does_not_matter() -> None:
    assert find_language("en-GB") is ENGLISH
    assert find_language("EN") is ENGLISH


def test_a_language_without_rules_is_said_as_written() -> None:
    language = find_language("qaa-AT")
    assert (language.code, tuple(language.rules)) == ("qaa", ())


def test_an_unknown_language_ends_sentences_anywhere() -> None:
    assert find_language("tlh").may_end_sentence("qep.", "Qapla", True)
