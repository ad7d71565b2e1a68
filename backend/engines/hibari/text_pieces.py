"""Text in pieces that the package reads in bounded time, however it is written.

The package tries all spans of a word's parts ("a-b/c1" has six) against its dictionary, so a word
without spaces costs the square of what is in it: 12 s for 400 characters. Words as people write
them, long addresses included, stay whole. Longer ones are cut between their parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hibari.g2p import SUBTOKEN_RE

LONGEST = 96  # characters of a piece
MOST_PARTS = 32  # of a piece: an address of 70 characters has about 28
_MOST_DIGITS = 36  # the package has no name for larger numbers
_FEW_PARTS = 4  # up to here a piece costs its characters
_CUT_EFFORT = 8  # what reading a piece by itself costs, in characters
_MARK_EFFORT = 10  # what a mark costs that is read as words

Span = tuple[int, int]

_WORD = re.compile(r"\S+")
_STRETCH = re.compile(r"\s+|\S+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_READ_MARK = re.compile(r"""[^\w\s.,;:!?'"()‘’“”—–-]|[²³¹¼-¾⅐-↉①-⓿]""")  # "%", "½"
_APOSTROPHE = re.compile("['‘’]")
_CRUMB = re.compile(r"\d[.,]?|[^\W\d]{1,24}|.", re.DOTALL)  # 24: of more the package drops the rest


@dataclass(frozen=True, slots=True)
class TextPiece:
    """`text[start:end]`: a word, spaces, or (`cut`) a part of a word to be read by itself.

    `effort`: the time to read it, in that of an ordinary character (about 8 us).
    """

    start: int
    end: int
    effort: int
    cut: bool = False


def pieces(text: str, start: int = 0) -> Iterator[TextPiece]:
    """The pieces of `text` from `start` on, in order; they tile it. Each costs bounded time."""
    for stretch in _STRETCH.finditer(text, start):
        if stretch.group().isspace():
            yield TextPiece(*stretch.span(), stretch.end() - stretch.start())
        else:
            yield from _of_word(text, *stretch.span())


def stretches(text: str) -> list[Span]:
    """What of `text` is to be read together: all of it, but each cut piece by itself."""
    spans: list[Span] = []
    start = 0
    for piece in pieces(text):
        if piece.cut:
            spans += [(start, piece.start)] if start < piece.start else []
            spans.append((piece.start, piece.end))
            start = piece.end
    return [*spans, (start, len(text))] if start < len(text) else spans


def parts(text: str) -> list[Span]:
    """Smaller parts of what cannot be read together: its words, or the digits, letters and marks
    of its only one. Empty where there is nothing smaller.
    """
    words = [m.span() for m in _WORD.finditer(text)]
    if len(words) == 1:
        words = [m.span() for m in _CRUMB.finditer(text, *words[0])]
    return words if len(words) > 1 else []


def window_end(text: str, start: int, affordable: int) -> int:
    """The end of the piece with which `text[start:]` has cost `affordable`, or of the text where
    all of it costs less.
    """
    for piece in pieces(text, start):
        affordable -= piece.effort
        if affordable <= 0:
            return piece.end
    return len(text)


def effort(text: str) -> int:
    """What it costs to read `text`: see `TextPiece.effort`."""
    return sum(piece.effort for piece in pieces(text))


def is_short(word: str) -> bool:
    """Whether the package can read the word as a whole in bounded time."""
    return len(word) <= LONGEST and len(_part_starts(word)) <= MOST_PARTS


def _of_word(text: str, start: int, end: int) -> Iterator[TextPiece]:
    at = start
    while at < end:
        stop, parts = _first_piece(text, at, end)
        cut = (at, stop) != (start, end)
        marks = len(_READ_MARK.findall(text, at, stop))
        many = parts**2 if parts > _FEW_PARTS else 0
        yield TextPiece(at, stop, stop - at + many + marks * _MARK_EFFORT + cut * _CUT_EFFORT, cut)
        at = stop


def _first_piece(text: str, start: int, end: int) -> tuple[int, int]:
    """Where the first piece of the word `text[start:end]` ends, and how many parts it has."""
    word = text[start : min(end, start + LONGEST)]
    whole = len(word) == end - start
    limit = next((m.start() for m in _NUMBER.finditer(word) if _endless(m.group())), len(word))
    if limit == 0:
        return start + _crumb(word), 1
    parts = _part_starts(word[:limit])
    if limit == len(word) and whole and len(parts) <= MOST_PARTS:
        return end, len(parts)
    if limit == len(word) and not whole:
        limit = parts[-1] if parts else 0  # the last part may go on behind
    if len(parts) > MOST_PARTS:
        limit = parts[MOST_PARTS]
    return start + (limit or _crumb(word)), min(len(parts), MOST_PARTS)


def _part_starts(word: str) -> list[int]:
    """Where each part of the word begins that the package makes of it. An apostrophe may divide
    ("it's" is "it" and "'s"), and is counted as if it did: a part that begins where the last did.
    """
    starts = []
    for part in SUBTOKEN_RE.finditer(word):
        starts += [part.start()] * (1 + 2 * len(_APOSTROPHE.findall(part.group())))
    return starts


def _endless(number: str) -> bool:
    return len(number.partition(".")[0].replace(",", "")) > _MOST_DIGITS


def _crumb(word: str) -> int:
    found = _CRUMB.match(word)
    return found.end() if found else len(word)
