"""Unspoken characters are masked in place; words end where speech may pause."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.text.words import speakable, word_ends

FRAGMENTS = (
    *"*_`#-+>[]()!~|12ab好é \n\t\x00\u202e\u200d",
    *(
        "**",
        "```",
        "##",
        "--",
        "](",
        "~~",
        "  ",
        "\r\n",
        "🙂",
        "👩\u200d👧",
        "🇩🇪",
        "👍🏽",
        "❤️",
        "क्\u200dष",
    ),
)
texts = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=2), max_size=30).map("".join)
exactly = settings(derandomize=True, deadline=None, max_examples=500)


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("**Note:** use the *second* option", "Note: use the second option"),
        ("# Heading\n### Deeper", "Heading Deeper"),
        ("- one\n* two\n+ three\n• four\n> five", "one two three four five"),
        ("1. one\n-5 degrees\n#1 of all", "1. one -5 degrees #1 of all"),
        ("run `make test` now", "run make test now"),
        ("```python\nprint\n```", "print"),
        ("see [the page](http://example.com/a_b) and ![a cat](cat.png)", "see the page and a cat"),
        ("| a | b |\n---\n", "a b"),
        ("~~old~~ about ~5", "old about ~5"),
        ("2 * 3 = 6, 2*3 and *5*", "2 * 3 = 6, 2*3 and 5"),
        ("_so_ the snake_case __init__", "so the snake_case init"),
        ("a -> b, C#, R&D, 50%, 20°C, © me@example.org", None),
        ("Great 🎉 👩‍👩‍👧 🇩🇪 👍🏽 ❤️ job", "Great job"),
        ("1️⃣ first", "1 first"),
        ("🙂🙂", ""),
        ("...", "..."),
        ("a\x00b \u202ec\ufeff", "a b c"),
        ("می\u200cخواهم क्\u200dष", None),
    ],
)
def test_only_text_that_is_read_aloud_remains(text: str, spoken: str | None) -> None:
    """`spoken` is compared without spaces; None: `text` itself."""
    assert speakable(text).split() == (text if spoken is None else spoken).split()


@exactly
@given(texts)
def test_unspoken_characters_become_spaces_one_for_one(text: str) -> None:
    heard = speakable(text)
    assert len(heard) == len(text)
    assert all(after in (before, " ") for before, after in zip(text, heard, strict=True))


@exactly
@given(texts)
def test_only_the_last_character_of_a_growing_text_may_change(text: str) -> None:
    whole = speakable(text)
    for size in range(1, len(text)):
        assert speakable(text[:size])[: size - 1] == whole[: size - 1]


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in pairwise([0, *word_ends(text)])]


@pytest.mark.parametrize(
    "expected",
    [
        ["Hello ", "there,  ", "you "],
        ["\n  Don't ", "stop."],
        ["你", "好，", "世", "界！", "ok ", "再"],
        ["ส", "วั", "ส", "ดี"],
        ["a" * 60, "a" * 60, "a" * 5 + " ", "b"],
        ["   "],
        [],
    ],
)
def test_a_word_ends_behind_its_spaces(expected: list[str]) -> None:
    assert words("".join(expected)) == expected


@exactly
@given(texts)
def test_words_tile_the_text(text: str) -> None:
    assert "".join(words(text)) == text
    assert all(words(text))
