"""A capital is the letter, a small a the article."""

from __future__ import annotations

import pytest

from backend.text.reading.english.words.wording import WORD_RULES
from tests.support.rule_reading import read_text


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("A cat and a dog.", "a cat and a dog."),
        ("A, B and C.", "A, B and C."),
        ("A is better than B.", "A is better than B."),
        ("Team A won.", "Team A won."),
        ("He got an A.", "He got an A."),
        ("Choose A.", "Choose A."),
        ("Grade A here.", "Grade A here."),
        ("The letter a here.", "The letter A here."),
        ("Vitamin C and vitamin a", "Vitamin C and vitamin A"),
        ("Is it A or B?", "Is it A or B?"),
        ("He chose A instead of B.", "He chose A instead of B."),
        ("THIS IS A TEST.", "this is a test."),
        ("Wait A MINUTE.", "Wait a minute."),
        ("From A to Z.", "From A to Z."),
        ("It was a C in math.", "It was a C in math."),
        ("Plan B failed.", "Plan B failed."),
        ("The x axis.", "The X axis."),
        ("I and you.", "I and you."),
        ("rock 'n' roll", "rock 'and roll"),
    ],
)
def test_letters_are_read(text: str, spoken: str) -> None:
    assert read_text(text, WORD_RULES) == spoken
