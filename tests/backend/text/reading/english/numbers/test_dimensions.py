from __future__ import annotations

import pytest

from tests.support.reading import read_aloud

CASES = [
    ("2x4", "two by four"),
    ("A 1920x1080 screen.", "A nineteen twenty by ten eighty screen."),
    ("4x6 photo", "four by six photo"),
    ("8x10", "eight by ten"),
    ("10x15 cm", "ten by fifteen centimeters"),
    ("4x6cm", "four by six centimeters"),
    ('8.5"x11" paper', "eight point five inches by eleven inches paper"),
    ("12'x10' room", "twelve feet by ten feet room"),
    ("2x4x8", "two by four by eight"),
    ("24x7 here.", "twenty four by seven here."),
    ("5×3", "five times three"),
    ("1920×1080", "nineteen twenty by ten eighty"),
]


@pytest.mark.parametrize(("text", "spoken"), CASES)
def test_a_dimension_is_read(text: str, spoken: str) -> None:
    assert read_aloud(text).lower() == spoken.lower()
