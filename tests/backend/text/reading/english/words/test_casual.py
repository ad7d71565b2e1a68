"""Careless spellings are read as they are meant."""

from __future__ import annotations

import pytest

from backend.text.reading.english.words.wording import WORD_RULES
from tests.support.rule_reading import read_text


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("sooooo good", "so good"),
        ("heeello there", "hello there"),
        ("goooood", "good"),
        ("nooooo!", "no!"),
        ("hmmmm", "hmm"),
        ("zzz", "zzz"),
        ("dont go, cant go", "don't go, can't go"),
        ("im here, youre there", "I'm here, you're there"),
        ("y'all came.", "y'all came."),
        ("'cause I came.", "'cause I came."),
        ("rock'n'roll here.", "rock and roll here."),
        ("lol and omg.", "lol and O M G."),
        ("btw it works", "by the way it works"),
        ("thx, pls", "thanks, please"),
        ("Nguyen and Siobhan", "Win and Shivawn"),
        ("Nguyen's car", "Win's car"),
    ],
)
def test_casual_are_read(text: str, spoken: str) -> None:
    assert read_text(text, WORD_RULES) == spoken
