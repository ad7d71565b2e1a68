"""Lexicon files: an entry a line; comments survive, bad lines are reported."""

from __future__ import annotations

import pytest

from backend.errors import BadLexicon
from backend.text.reading import lexicon_text
from backend.text.reading.lexicon_entry import LexiconEntry, create_entry
from backend.text.reading.lexicon_text import (
    add_entries,
    format_entry,
    parse_lexicon,
    remove_entries,
)

FILE = """\
# Our names

Nguyen = win
Siobhan=/ʃɪˈvɔːn/   [any case]
kube = cube [parts, match case]
"#1" = number one
this is no entry
Bad = 1
Odd = odd [loud]
"""


def test_reads_entries_and_reports_bad_lines() -> None:
    entries, bad = parse_lexicon("\ufeff" + FILE)
    assert entries == [
        LexiconEntry("Nguyen", "win"),
        LexiconEntry("Siobhan", "/ʃɪˈvɔːn/", match_case=False),
        LexiconEntry("kube", "cube", match_case=True, parts=True),
        LexiconEntry("#1", "number one"),
    ]
    assert [line.number for line in bad] == [7, 8, 9]
    assert "Nguyen = win" in bad[0].why
    assert "[match case]" in bad[2].why


@pytest.mark.parametrize(
    "entry",
    [
        create_entry("Nguyen", "win"),
        create_entry("#1", "number one"),
        create_entry('"so-called"', "so called"),
        create_entry("Siobhan", "/ʃɪˈvɔːn/", match_case=True),
        create_entry("kube", "cube", match_case=False, parts=True),
    ],
)
def test_formatted_entry_reads_the_same(entry: LexiconEntry) -> None:
    assert parse_lexicon(format_entry(entry)) == ([entry], [])


def test_additions_keep_comments_and_places() -> None:
    new = [create_entry("NGUYEN", "wen", match_case=False), create_entry("Anna", "ahna")]
    text = add_entries(FILE + "nguyen = twin\n", new)
    assert text == FILE.replace("Nguyen = win", "NGUYEN = wen [any case]") + "Anna = ahna\n"


def test_additions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexicon_text, "MOST_ENTRIES", 2)
    text = add_entries("", [create_entry("a b", "x"), create_entry("c d", "y")])
    with pytest.raises(BadLexicon, match="at most 2"):
        add_entries(text, [create_entry("e f", "z")])
    entries, bad = parse_lexicon(text + "e f = z\ng h = z\n")
    assert (len(entries), [line.number for line in bad]) == (2, [3])


def test_reports_are_bounded_and_the_rest_is_read() -> None:
    entries, bad = parse_lexicon("bad\n" * 5000 + "Nguyen = win\n")
    assert (len(entries), len(bad)) == (1, lexicon_text.MOST_BAD_LINES)


@pytest.mark.parametrize(
    ("written", "left", "count"),
    [
        ("May", "# names\nmay = mayhap\nbroken\n", 1),
        ("MAY", "# names\nbroken\n", 2),
        ("June", "# names\nMay = my [match case]\nmay = mayhap\nbroken\n", 0),
    ],
)
def test_removal(written: str, left: str, count: int) -> None:
    text = "# names\nMay = my [match case]\nmay = mayhap\nbroken\n"
    assert remove_entries(text, written) == (left, count)
