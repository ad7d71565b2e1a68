"""Characters that are several are read in full."""

from __future__ import annotations

import pytest

from backend.text.reading.compatibility import expand


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("ﬁnd", "find"),
        ("oﬀer", "offer"),
        ("5㎏", "5kg"),
        ("20㎡", "20m²"),
        ("25℃", "25°C"),
        ("Ⅳ", "IV"),
        ("⑴", "(1)"),
        ("½", "½"),
        ("№", "№"),
        ("…", "…"),
        ("″", "″"),
        ("plain", "plain"),
        ("größer", "größer"),
    ],
)
def test_a_character_that_is_several_is_expanded(word: str, expanded: str) -> None:
    assert expand(word) == expanded
