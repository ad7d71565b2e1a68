"""Splits any text into pieces that the package reads in bounded time.

The package tries all spans of a word's parts ("a-b/c1" has six) against its dictionary, so a word's
cost grows with the square of its parts: 12 s for 400 characters without spaces. Ordinary words,
long addresses included, stay whole. Longer ones are cut between their parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hibari.g2p import SUBTOKEN_RE

LONGEST = 96  # characters of a piece
MOST_PARTS = 32  # of a piece: an address of 70 characters has about 28
_MOST_DIGITS = 36  # the package has no names for larger numbers
_FEW_PARTS = 4  # up to this the effort is the number of characters
_CUT_EFFORT = 8  # extra characters for a piece read by itself
_MARK_EFFORT = 10  # extra characters for a mark read as words

Span = tuple[int, int]

_WORD = re.compile(r"\S+")
_RUN = re.compile(r"\s+|\S+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_READ_MARK = re.compile(r"""[^\w\s.,;:!?'"()‘’“”—–-]|[²³¹¼-¾⅐-↉①-⓿]""")  # "%", "½"
_APOSTROPHE = re.compile("['‘’]")
# 24: the package drops the letters beyond.
_SMALLEST_PART = re.compile(r"\d[.,]?|[^\W\d]{1,24}|.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TextPiece:
    """`text[start:end]`: a word, spaces, or (`cut`) a part of a word to be read by itself.

    `effort`: the time to read it, in units of an ordinary character (about 8 us).
    """

    start: int
    end: int
    effort: int
    cut: bool = False


def split_pieces(text: str, start: int = 0) -> Iterator[TextPiece]:
    """The pieces of `text` from `start` on, in order; they tile it. Each takes bounded time."""
    for run in _RUN.finditer(text, start):
        if run.group().isspace():
            yield TextPiece(*run.span(), run.end() - run.start())
        else:
            yield from _split_word(text, *run.span())


def split_spans(text: str) -> list[Span]:
    """The spans of `text` to be read together; each cut piece is a span of its own."""
    spans: list[Span] = []
    start = 0
    for piece in split_pieces(text):
        if piece.cut:
            spans += [(start, piece.start)] if start < piece.start else []
            spans.append((piece.start, piece.end))
            start = piece.end
    return [*spans, (start, len(text))] if start < len(text) else spans


def smaller_parts(text: str) -> list[Span]:
    """Smaller parts of a text that cannot be read together: its words, or the digits, letters and
    marks of its only word. Empty if it cannot be divided.
    """
    words = [m.span() for m in _WORD.finditer(text)]
    if len(words) == 1:
        words = [m.span() for m in _SMALLEST_PART.finditer(text, *words[0])]
    return words if len(words) > 1 else []


def window_end(text: str, start: int, affordable: int) -> int:
    """The end of the piece at which the effort from `start` on reaches `affordable`, or of the
    text if its effort is less.
    """
    for piece in split_pieces(text, start):
        affordable -= piece.effort
        if affordable <= 0:
            return piece.end
    return len(text)


def effort(text: str) -> int:
    """The cost of reading `text`: see `TextPiece.effort`."""
    return sum(piece.effort for piece in split_pieces(text))


def _split_word(text: str, start: int, end: int) -> Iterator[TextPiece]:
    at = start
    while at < end:
        stop, parts = _find_first_piece(text, at, end)
        cut = (at, stop) != (start, end)
        marks = len(_READ_MARK.findall(text, at, stop))
        many = parts**2 if parts > _FEW_PARTS else 0
        yield TextPiece(at, stop, stop - at + many + marks * _MARK_EFFORT + cut * _CUT_EFFORT, cut)
        at = stop


def _find_first_piece(text: str, start: int, end: int) -> tuple[int, int]:
    """Where the first piece of the word `text[start:end]` ends, and how many parts it has."""
    word = text[start : min(end, start + LONGEST)]
    whole = len(word) == end - start
    endless = (m.start() for m in _NUMBER.finditer(word) if _is_endless_number(m.group()))
    limit = next(endless, len(word))
    if limit == 0:
        return start + _smallest_end(word), 1
    parts = _find_part_starts(word[:limit])
    if limit == len(word) and whole and len(parts) <= MOST_PARTS:
        return end, len(parts)
    if limit == len(word) and not whole:
        limit = parts[-1] if parts else 0  # the last part may continue
    if len(parts) > MOST_PARTS:
        limit = parts[MOST_PARTS]
    return start + (limit or _smallest_end(word)), min(len(parts), MOST_PARTS)


def _find_part_starts(word: str) -> list[int]:
    """The starts of the parts that the package splits the word into. An apostrophe may split
    ("it's" is "it" and "'s"), and always counts as if it did, at the start of its part.
    """
    starts = []
    for part in SUBTOKEN_RE.finditer(word):
        starts += [part.start()] * (1 + 2 * len(_APOSTROPHE.findall(part.group())))
    return starts


def _is_endless_number(number: str) -> bool:
    return len(number.partition(".")[0].replace(",", "")) > _MOST_DIGITS


def _smallest_end(word: str) -> int:
    found = _SMALLEST_PART.match(word)
    return found.end() if found else len(word)
