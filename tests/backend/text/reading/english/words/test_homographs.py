"""A neighbour tells how a word is said."""

from __future__ import annotations

import pytest

from backend.text.reading.english.words.wording import WORD_RULES
from tests.support.rule_reading import read_text


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("The lead pipe broke.", "The led pipe broke."),
        ("Lead poisoning is bad.", "led poisoning is bad."),
        ("Made of lead.", "Made of led."),
        ("Take the lead.", "Take the lead."),
        ("I will lead them", "I will lead them"),
        ("We lead pipe makers.", "We lead pipe makers."),
        ("I object to the object.", "I ubject to the object."),
        ("My resume is here.", "My résumé is here."),
        ("We resume now.", "We resume now."),
    ],
)
def test_homographs_are_read(text: str, spoken: str) -> None:
    assert read_text(text, WORD_RULES) == spoken
