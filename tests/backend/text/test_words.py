"""Words end where speech may pause."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.text.words import word_ends

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
