"""The text format of lexicon files: one entry a line, `Nguyen = win`. Pure.

# Comments and empty lines are kept.
Nguyen = win
Siobhan = /ʃɪˈvɔːn/
US = you ess
Polish = polish [match case]
kube = cube [parts]
"#1" = number one
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from backend.errors import BadLexicon
from backend.text.reading.lexicon_entry import LexiconEntry, create_entry, fold, normalize

MOST_ENTRIES = 10_000
LARGEST_BYTES = 2 << 20
MOST_BAD_LINES = 1000  # that are reported

_FLAGS = re.compile(r"\s*\[([a-z ,]*)\]\s*$")
_KNOWN_FLAGS = ("match case", "any case", "parts")


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is not an entry, and why; it does not disable the others."""

    number: int
    why: str


def parse_lexicon(text: str) -> tuple[list[LexiconEntry], list[BadLine]]:
    """The entries of a file, and the first bad lines. Entries beyond `MOST_ENTRIES` are reported
    once.
    """
    entries: list[LexiconEntry] = []
    bad: list[BadLine] = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            entry = _parse_line(line)
        except BadLexicon as error:
            if len(bad) < MOST_BAD_LINES:
                bad.append(BadLine(number, error.message))
            continue
        if entry is None:
            continue
        if len(entries) == MOST_ENTRIES:
            bad.append(BadLine(number, f"at most {MOST_ENTRIES} entries; the rest is not read"))
            break
        entries.append(entry)
    return entries, bad


def format_entry(entry: LexiconEntry) -> str:
    """The line of an entry."""
    written = f'"{entry.written}"' if entry.written[0] in '#"' else entry.written
    flags = ["match case" if entry.match_case else "any case"] * (entry.match_case is not None)
    flags += ["parts"] * entry.parts
    return f"{written} = {entry.said}" + (f" [{', '.join(flags)}]" if flags else "")


def add_entries(text: str, entries: Iterable[LexiconEntry]) -> str:
    """`text` with these entries, in the place of those with the same `key`. Raises `BadLexicon`
    if there are then more than `MOST_ENTRIES`.
    """
    added = {entry.key: format_entry(entry) for entry in entries}
    lines = []
    for line in text.splitlines():
        known = _entry_of(line)
        if known is None or known.key not in added:
            lines.append(line)
        elif new := added[known.key]:
            lines.append(new)
            added[known.key] = ""  # a second line of the same entry is dropped
    lines += [line for line in added.values() if line]
    if sum(_entry_of(line) is not None for line in lines) > MOST_ENTRIES:
        raise BadLexicon(f"a lexicon has at most {MOST_ENTRIES} entries; remove unused ones")
    return "".join(f"{line}\n" for line in lines)


def remove_entries(text: str, written: str) -> tuple[str, int]:
    """`text` without the entries for `written`, and how many they were: those written exactly so,
    else those in any case.
    """
    lines = text.splitlines()
    wanted = normalize(written)
    known = [(line, _entry_of(line)) for line in lines]
    for is_same in (lambda a: a == wanted, lambda a: fold(a) == fold(wanted)):
        kept = [line for line, entry in known if entry is None or not is_same(entry.written)]
        if len(kept) < len(lines):
            break
    return "".join(f"{line}\n" for line in kept), len(lines) - len(kept)


def _entry_of(line: str) -> LexiconEntry | None:
    try:
        return _parse_line(line)
    except BadLexicon:
        return None


def _parse_line(line: str) -> LexiconEntry | None:
    """None for a comment or an empty line. Raises `BadLexicon`."""
    line = line.strip().removeprefix("\ufeff")
    if not line or line.startswith("#"):
        return None
    written, equals, said = line.partition("=")
    if not equals:
        raise BadLexicon(f"{line[:40]!r}: expected `written = said`, such as `Nguyen = win`")
    written = written.strip()
    if len(written) > 2 and written[0] == written[-1] == '"':
        written = written[1:-1]
    return parse_entry(written, said)


def parse_entry(written: str, said: str) -> LexiconEntry:
    """An entry of two columns; `said` may have flags behind it. Raises `BadLexicon`."""
    flags: list[str] = []
    if match := _FLAGS.search(said):
        said = said[: match.start()]
        flags = [flag.strip() for flag in match[1].split(",") if flag.strip()]
    if unknown := next((flag for flag in flags if flag not in _KNOWN_FLAGS), None):
        known = ", ".join(f"[{flag}]" for flag in _KNOWN_FLAGS)
        raise BadLexicon(f"{written[:40]!r}: unknown [{unknown[:40]}]; known are {known}")
    match_case = True if "match case" in flags else False if "any case" in flags else None
    return create_entry(written, said, match_case=match_case, parts="parts" in flags)
