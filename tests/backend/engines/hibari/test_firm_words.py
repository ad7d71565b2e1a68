from __future__ import annotations

import pytest
from hibari.g2p.normalize import normalize
from hypothesis import given
from hypothesis import strategies as st

from backend.engines.hibari.firm_words import is_firm


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("It costs $3.2 ", "$3.2"),
        ("It costs $3.2", "costs $3.2"),
        ("on January 5th, ", "5th,"),
        ("at 9:30 ", "9:30"),
        ("about 5 ", "5"),
        ("from 9 - ", "9"),
        ("in Chapter ", "Chapter"),
        ("on the 5 ", "the"),
        ("near St. ", "St."),
    ],
)
def test_a_reading_that_the_next_word_may_change_is_not_firm(text: str, word: str) -> None:
    assert not is_firm(text, text.index(word) + len(word))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Hello there", "Hello"),
        ("It costs $3.2 now ", "$3.2"),
        ("It costs $3.2 billion dollars ", "costs"),
        ("on January 5th, we ", "5th,"),
        ("about 5 people ", "5"),
        ("Hello ", "Hello"),
    ],
)
def test_a_reading_that_the_next_word_cannot_change_is_firm(text: str, word: str) -> None:
    assert is_firm(text, text.index(word) + len(word))


WORDS = "Part the World War Mar Rs vs no Henry chapter house, don't I of A et al in Super; Bowl"
NEXT = ["billion", "2024", "a.m.", "km", "- 10", "of May", "May", "IV", "Lee"]


@given(st.lists(st.sampled_from(WORDS.split()), min_size=1, max_size=4), st.sampled_from(NEXT))
def test_a_firm_text_stays_as_it_is_before_any_next_word(words: list[str], following: str) -> None:
    text = " ".join(words) + " "
    if is_firm(text, len(text)):
        assert normalize(text + following).startswith(normalize(text + "so").removesuffix("so"))
