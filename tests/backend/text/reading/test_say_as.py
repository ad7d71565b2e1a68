"""Texts are read as `say-as` asks for."""

from __future__ import annotations

import pytest

from backend.text.reading.say_as import read_as


@pytest.mark.parametrize(
    ("text", "interpret_as", "form", "said"),
    [
        ("FBI", "characters", "", "F B I"),
        ("ABC-12", "spell-out", "", "A B C dash one two"),
        ("(12) é@b.c", "characters", "", "one two, E at B dot C"),
        ("a1", "verbatim", "", "A one"),
        ("123", "digits", "", "one two three"),
        ("12-34", "digits", "", "one two, three four"),
        ("none", "digits", "", "none"),
        ("123", "cardinal", "", "one hundred twenty three"),
        ("1,234", "number", "", "one thousand two hundred thirty four"),
        ("-3.14", "number", "", "minus three point one four"),
        (".5", "cardinal", "", "point five"),
        ("007", "cardinal", "", "zero zero seven"),
        ("21", "number", "ordinal", "twenty first"),
        ("12", "number", "digits", "one two"),
        ("abc", "cardinal", "", "abc"),
        ("3", "ordinal", "", "third"),
        ("22nd", "ordinal", "", "twenty second"),
        ("1,000", "ordinal", "", "one thousandth"),
        ("+1 (555) 010-22", "telephone", "", "plus one, five five five, zero one zero, two two"),
        ("555 x12", "telephone", "", "five five five, extension one two"),
        ("2/9", "fraction", "", "two ninths"),
        ("1/2", "fraction", "", "one half"),
        ("3/2", "fraction", "", "three halves"),
        ("3+1/4", "fraction", "", "three and one quarter"),
        ("1/0", "fraction", "", "one over zero"),
        ("1'21\"", "time", "", "one minute twenty one seconds"),
        ("1/2/2026", "date", "dmy", "February first, twenty twenty six"),
        ("1/2/2026", "date", "mdy", "January second, twenty twenty six"),
        ("2026-12-31", "date", "ymd", "December thirty first, twenty twenty six"),
        ("20261231", "date", "yyyymmdd", "December thirty first, twenty twenty six"),
        ("311226", "date", "dmy", "December thirty first, twenty twenty six"),
        ("12/26", "date", "my", "December twenty twenty six"),
        ("4.7.", "date", "dm", "July fourth"),
        ("1984", "date", "y", "nineteen eighty four"),
        ("13/13/2026", "date", "dmy", "thirteen slash thirteen slash twenty twenty six"),
        ("word", "expletive", "", "bleep"),
        ("some text", "unknown", "", "some text"),
        ("", "characters", "", ""),
    ],
)
def test_the_reading(text: str, interpret_as: str, form: str, said: str) -> None:
    assert read_as(text, interpret_as, form) == said


@pytest.mark.parametrize("kind", ["cardinal", "digits", "telephone", "date", "fraction", "time"])
@pytest.mark.parametrize(
    "text", ["9" * 300, "1," * 150, "1/" * 150, "(" * 300, "²³" * 100, "'" * 300]
)
def test_garbage_is_read(kind: str, text: str) -> None:
    assert isinstance(read_as(text, kind, "dmy"), str)
