"""Pauses and sounds in brackets become marks; other bracketed words are text."""

from __future__ import annotations

import pytest

from backend.text.markup.marks import Pause, Sound
from tests.backend.text.markup.texts import read_pieces, said


@pytest.mark.parametrize(
    ("mark", "ms"),
    [
        ("[pause]", 500),
        ("[Pause 500ms]", 500),
        ("[pause 1s]", 1000),
        ("[pause 1.5 s]", 1500),
        ("[pause: 2 seconds]", 2000),
        ("[pause=250ms]", 250),
        ("[ pause ]", 500),
        ("[short pause]", 300),
        ("[long pause]", 1000),
        ("[pause 999999s]", 10_000),
    ],
)
def test_a_pause(mark: str, ms: int) -> None:
    mask, marks = read_pieces(list(f"one {mark} two"))
    assert mask.split() == ["one", "two"]
    assert marks == [Pause(4, 4 + len(mark), ms)]


@pytest.mark.parametrize("name", ["laugh", "sigh", "Chuckle", "clear throat", "shush"])
def test_a_sound(name: str) -> None:
    mask, marks = read_pieces(list(f"so [{name}] yes"))
    assert mask.split() == ["so", "yes"]
    assert marks == [Sound(3, 5 + len(name), name.lower())]


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("[laughing] a", "laughing a"),
        ("[pausing] a", "pausing a"),
        ("[pause 5 apples] a", "pause 5 apples a"),
        ("[pause 5", "pause 5"),
        ("[lau [gh] a", "lau gh a"),
        ("[laugh\n] a", "laugh a"),
        ("[]", ""),
    ],
)
def test_other_bracketed_words_are_text(text: str, spoken: str) -> None:
    assert read_pieces(list(text))[1] == []
    assert said(text) == spoken
