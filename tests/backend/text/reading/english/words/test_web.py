"""Addresses, files and paths are read in words."""

from __future__ import annotations

import pytest

from backend.text.reading.english.words.wording import CODE_RULES, WORD_RULES
from tests.support.rule_reading import read_text


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("Go to https://example.com/docs now.", "Go to example dot com slash docs now."),
        ("Go to www.example.org now.", "Go to W W W dot example dot org now."),
        ("<https://x.example> here.", "X dot example here."),
        ("Visit example.com, please.", "Visit example dot com, please."),
        ("(see example.org)", "(see example dot org)"),
        (
            "https://x.org/foo/bar-baz?x=1",
            "X dot org slash foo slash bar dash baz question mark X equals one",
        ),
        ("Mail name@x.org.", "Mail name at X dot org."),
        ("Write to info@acme.co.uk.", "Write to info at acme dot co dot U K."),
        ("localhost:8080 is up", "localhost colon eighty eighty is up"),
        ("Edit main.py now.", "Edit main dot pie now."),
        ("index.html and README.md", "index dot H T M L and readme dot M D"),
        ("node.js works.", "node dot J S works."),
        ("Use .NET and ASP.NET now.", "Use dot net and A S P dot net now."),
        ("Save as a.b.c now.", "Save as A dot B dot C now."),
        ("os.path.join", "os dot path dot join"),
        ("Open /usr/bin/env now.", "Open slash user slash bin slash env now."),
        ("~/docs and ./run.sh", "tilde slash docs and dot slash run dot S H"),
        ("src/main.py", "source slash main dot pie"),
        ("C:\\Users\\me", "C colon backslash Users backslash me"),
        ("fe80::1", "F E eight zero double colon one"),
        ("End.Start here", "End. Start here"),
    ],
)
def test_web_are_read(text: str, spoken: str) -> None:
    assert read_text(text, WORD_RULES) == spoken


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("7zip.org", "seven zip dot org"),
        ("2024-report.pdf", "twenty twenty four dash report dot P D F"),
        ("123@x.org", "one twenty three at X dot org"),
        ("2001:db8::1", "two zero zero one colon D B eight double colon one"),
        ("9f86d081", "nine F eight six D zero eight one"),
    ],
)
def test_codes_that_begin_with_a_digit_are_no_numbers(text: str, spoken: str) -> None:
    assert read_text(text, CODE_RULES) == spoken


@pytest.mark.parametrize("text", ["5.in", "3.5mm", "10kg", "2FA", "1000000e5", "10:30:15", "5"])
def test_numbers_are_left_to_their_rules(text: str) -> None:
    assert read_text(text, CODE_RULES) == text
