"""A number in groups is one word, however it is typed."""

from __future__ import annotations

import pytest

from backend.text.reading.languages import find_language
from backend.text.reading.sentence_reader import SentenceReader, read_plainly


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Il a payé 1 000,50 € hier", "Il a payé 1000,50 € hier"),
        ("Das sind 12\u202f345\u202f678 Euro.", "Das sind 12345678 Euro."),
        ("Il y en a 250 000. 300 sont là", "Il y en a 250000. 300 sont là"),
        ("le 06 12 34 56 78", "le 06 12 34 56 78"),
        ("en 2024 100 fois", "en 2024 100 fois"),
        ("5 kg, 100", "5 kg, 100"),
    ],
)
def test_groups_of_three_digits_are_one_number(text: str, said: str) -> None:
    assert read_plainly(text, find_language("fr")) == said
    typed = SentenceReader(find_language("fr"))
    for character in text:
        typed.push_text(character)
    typed.end_text()
    assert " ".join(word.spoken for word in typed.words) == said


def test_other_languages_are_said_as_written() -> None:
    assert read_plainly("1 000", find_language("qaa")) == "1 000"
