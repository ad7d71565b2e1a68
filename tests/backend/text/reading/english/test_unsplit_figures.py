"""Full stops of abbreviations beside numbers and names of days end no sentence."""

from __future__ import annotations

import pytest

from backend.text.reading.english.words.sentence_ends import may_end_sentence


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        ("secs.", "here"),
        ("pcs.", "of"),
        ("kgs.", "here"),
        ("Sat.", "is"),
        ("Sun.", "5"),
        ("Wed.", "is"),
        ("Mar.", "is"),
        ("Matt.", "5:3"),
    ],
)
def test_a_full_stop_of_an_abbreviation_ends_no_sentence(before: str, behind: str) -> None:
    assert not may_end_sentence(before, behind, is_complete=True)


@pytest.mark.parametrize(("before", "behind"), [("sat.", "it"), ("sun.", "it"), ("Matt.", "5")])
def test_a_full_stop_behind_a_word_ends_a_sentence(before: str, behind: str) -> None:
    assert may_end_sentence(before, behind, is_complete=True)


def test_a_verse_that_may_still_grow_ends_no_sentence() -> None:
    assert not may_end_sentence("Matt.", "5", is_complete=False)
