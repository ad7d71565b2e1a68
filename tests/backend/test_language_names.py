"""Tags and names of languages."""

from __future__ import annotations

import pytest

from backend.language_names import primary_subtag, speaks


def test_one_language_has_one_code() -> None:
    assert [primary_subtag(tag) for tag in ("nb-NO", "cmn", "zh_CN", "EN-gb")] == [
        "no",
        "zh",
        "zh",
        "en",
    ]


@pytest.mark.parametrize(
    ("tag", "wanted", "is_spoken"),
    [
        ("no-NO", "nb", True),
        ("no-NO", "nb_NO", True),
        ("en-US", "en", True),
        ("en", "en-GB", True),
        ("en-US", "en-GB", False),
        ("en-US", "norwegian", False),
        ("en-US", "e", False),
    ],
)
def test_a_wanted_language_is_compared_by_language_and_region(
    tag: str, wanted: str, is_spoken: bool
) -> None:
    assert speaks([tag], wanted) == is_spoken
