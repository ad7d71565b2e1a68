"""Chooses chapters: those that are read by default, or by number."""

from __future__ import annotations

import re
from collections.abc import Sequence

from duplex_tts.books.book import BookFailed, Chapter

_RANGE = re.compile(r"(\d{1,6})?(-)?(\d{1,6})?")


def choose_chapters(chapters: Sequence[Chapter], wanted: str | None) -> list[Chapter]:
    """Return the chapters of a choice such as "3-7,9" or "5-"; those not left out if None.

    Numbers are those of the whole book. Raises `BookFailed` for a choice without text.
    """
    if wanted is None:
        chosen = [chapter for chapter in chapters if not chapter.left_out]
    else:
        numbers = _parse_numbers(wanted, len(chapters))
        chosen = [chapters[number - 1] for number in numbers]
    chosen = [chapter for chapter in chosen if chapter.text.strip()]
    if not chosen:
        raise BookFailed("nothing_to_read", "no chapter has text to read; --list shows all")
    return chosen


def _parse_numbers(wanted: str, count: int) -> list[int]:
    numbers: set[int] = set()
    for item in filter(None, (item.strip() for item in wanted.split(","))):
        match = _RANGE.fullmatch(item)
        if not match or not (match[1] or match[3]):
            raise BookFailed("bad_chapters", f"expected chapters such as 3-7,9; got {item!r}")
        first = int(match[1] or 1)
        last = int(match[3] or count) if match[2] else first
        if not 1 <= first <= last <= count:
            raise BookFailed("bad_chapters", f"the book has chapters 1 to {count}, not {item}")
        numbers.update(range(first, last + 1))
    return sorted(numbers)
