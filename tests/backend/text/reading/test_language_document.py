"""docs/languages.md says what the code does."""

from __future__ import annotations

from pathlib import Path

from tests.support.language_table import HEADER, list_rows

DOCUMENT = Path(__file__).parents[4] / "docs" / "languages.md"


def test_the_table_of_languages_is_that_of_the_code() -> None:
    _, _, table = DOCUMENT.read_text("utf-8").partition(HEADER)
    assert table.strip().splitlines()[1:] == list(list_rows())
