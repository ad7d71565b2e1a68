"""Pieces of programs are read without their brackets."""

from __future__ import annotations

import pytest

from backend.text.reading.english.words.wording import WORD_RULES
from tests.support.rule_reading import read_text


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Call foo() now.", "Call foo now."),
        ("foo(bar, baz) here.", "foo bar, baz) here."),
        ("foo[0] here.", "foo zero here."),
        ("Use snake_case here.", "Use snake case here."),
        ("camelCase and MAX_VALUE", "camel Case and max value"),
        ("--help and -v", "dash dash help and dash V"),
        ("i++ here.", "I plus plus here."),
        ("Use C++ and C# and F# now.", "Use C plus plus and C sharp and F sharp now."),
        ("key=value here.", "key equals value here."),
        ("a && b", "A and B"),
        ("a == b", "A equals B"),
        ("std::vector", "S T D vector"),
        ("@user said", "at user said"),
        ("Tag #AI here.", "Tag hashtag A I here."),
        ("Use :smile: here.", "Use smile here."),
        ("$HOME here", "dollar home here"),
        ("Q&A and R&D and AT&T", "Q and A and R and D and A T and T"),
        ("Tom&Jerry", "Tom and Jerry"),
        ("An A+ today", "An A plus today"),
        ("Disney+ here", "Disney plus here"),
        ("n/a here.", "N A here."),
    ],
)
def test_code_are_read(text: str, spoken: str) -> None:
    assert read_text(text, WORD_RULES) == spoken
