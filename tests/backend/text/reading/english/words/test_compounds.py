"""Words joined by marks are read one after the other."""

from __future__ import annotations

import pytest

from backend.text.reading.english.words.wording import WORD_RULES
from tests.support.rule_reading import read_text


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Hello--world.", "Hello— world."),
        ("Hello—world", "Hello— world"),
        ("Paris–London train", "Paris London train"),
        ("hello,world and yes;no", "hello, world and yes; no"),
        ("one...two", "one… two"),
        ("well-known twenty-one Wi-Fi", "well-known twenty-one Wi-Fi"),
        ("Yes/no?", "Yes or no?"),
        ("and/or", "and or"),
        ("He/she came.", "He or she came."),
        ("CI/CD here.", "C I C D here."),
        ("HIV/AIDS here.", "H I V aids here."),
        ("An A/B test and I/O.", "An A B test and I O."),
        ("TCP/IP", "T C P I P"),
        ("input/output", "input slash output"),
    ],
)
def test_compounds_are_read(text: str, spoken: str) -> None:
    assert read_text(text, WORD_RULES) == spoken
