"""Text to phonemes, mapped back to the words that they come from.

hibari first rewrites the whole line ("$3.2 billion" becomes "3.2 billion dollars"), then reads it
token by token. A `Unit` is the smallest piece of text that can be read by itself: mostly a word,
but all of "$3.2 billion" or "January 5th, 2024". Speech is never cut inside a unit.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any, Self, SupportsIndex

from hibari.g2p import ASSETS, G2P
from hibari.g2p.normalize import normalize as hibari_normalize
from hibari.g2p.oov import OOV

from backend.engines.hibari.text_pieces import is_short, smaller_parts, split_spans

Span = tuple[int, int]

MOST_PHONEMES = 240  # of a unit: it is encoded in one engine step

_WORD = re.compile(r"\S+")
_BRACKETS = str.maketrans("[]", "()")  # "[word](/ˈX/)" would let a text set phonemes
# Raised by the package on a few odd characters ("⑴", "¹", "xİ"); it has no error of its own.
_PACKAGE_ERRORS = (ValueError, TypeError, IndexError, KeyError, AttributeError)
_CACHED_WORDS = 4096  # unknown words cached, for all utterances


@dataclass(frozen=True, slots=True)
class Unit:
    """`text[start:end]` (without the spaces around it) and its phonemes; "" if it cannot be read.
    `is_doubtful`: the word behind it may change its reading ("use", "got").
    """

    start: int
    end: int
    phonemes: str
    is_doubtful: bool = False

    @property
    def is_voiced(self) -> bool:
        """Whether it has sound, not only a pause."""
        return any(c.isalpha() for c in self.phonemes)


class PhonemeReader:
    """Reads text in one accent. Thread-safe: its tables are not changed after loading."""

    def __init__(self, british: bool, alphabet: Container[str]) -> None:
        """`alphabet`: the phonemes that the voices know; others are dropped."""
        self._alphabet = alphabet
        # A growing sentence is read again with each word, and an unknown word runs a network.
        unknown = OOV(str(Path(ASSETS, "oov_gb.onnx" if british else "oov.onnx")))
        self._g2p = G2P(oov=lru_cache(_CACHED_WORDS)(unknown), british=british)
        lexicon = self._g2p.lexicon
        known = {word.lower() for words in (lexicon.golds, lexicon.silvers) for word in words.d}
        self._words = sorted(filter(str.isalpha, known))

    def read_units(self, text: str) -> list[Unit]:
        """The units of `text`, in order; every word is in exactly one. Text too long for the
        package is read in parts, so that no unit has more than `MOST_PHONEMES`.
        """
        return self._read_spans(text, split_spans(text))

    def _read_spans(self, text: str, spans: Iterable[Span]) -> list[Unit]:
        return [
            replace(unit, start=start + unit.start, end=start + unit.end)
            for start, end in spans
            for unit in self._read_span(text[start:end])
        ]

    def _read_span(self, text: str) -> list[Unit]:
        line = normalise(text)
        smaller = smaller_parts(text)
        if smaller and not all(map(is_short, line.split())):  # " , , ," has become one word
            return self._read_spans(text, smaller)
        units = []
        for unit in self._build_units(text, line):
            smaller = smaller_parts(text[unit.start : unit.end])
            if smaller and len(unit.phonemes) > MOST_PHONEMES:
                units += self._read_spans(
                    text, [(unit.start + a, unit.start + b) for a, b in smaller]
                )
            else:
                units.append(unit)
        return units

    def _build_units(self, text: str, line: TracedText) -> list[Unit]:
        readings = self._read_line(str(line))
        found = [_trim(text, line.source(*m.span())) for m in _WORD.finditer(line)]
        units = []
        for start, end in _merge_words(text, found):
            own = [
                reading
                for (a, b), reading in zip(found, readings, strict=False)
                if start <= a and b <= end and reading
            ]
            units.append(Unit(start, end, " ".join(own), self._is_doubtful(text[start:end])))
        return units

    def _is_doubtful(self, word: str) -> bool:
        """Whether the word has several readings in the lexicon, by part of speech."""
        readings = self._g2p.lexicon.golds.get(word)
        return isinstance(readings, dict) and len(set(readings.values())) > 1

    def is_whole_word(self, word: str) -> bool:
        """Whether the lexicon has the word and no longer word that begins with it."""
        word = word.lower()
        at = bisect_left(self._words, word)
        found, following = [*self._words[at : at + 2], "", ""][:2]
        return found == word and not following.startswith(word)

    def _read_line(self, line: str) -> list[str]:
        """The phonemes of each word of a normalised line."""
        try:
            return self._read_tokens(line)
        except _PACKAGE_ERRORS:
            return [self._read_word(word) for word in line.split()]

    def _read_word(self, word: str) -> str:
        try:
            return " ".join(self._read_tokens(word))
        except _PACKAGE_ERRORS:
            return ""

    def _read_tokens(self, line: str) -> list[str]:
        readings, current = [], ""
        for token in self._g2p.phonemize_tokens(self._g2p.tokenize(line)):
            current += "".join(c for c in token.phonemes or "" if c in self._alphabet)
            if token.whitespace:
                readings.append(current.strip())
                current = ""
        return [*readings, current.strip()]


def _merge_words(text: str, pieces: Sequence[Span]) -> list[Span]:
    """The words of `text`; words that share a piece are merged."""
    merged: list[Span] = []
    words = (m.span() for m in _WORD.finditer(text))
    for start, end in sorted([*words, *pieces]):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _trim(text: str, span: Span) -> Span:
    start, end = span
    piece = text[start:end]
    return end - len(piece.lstrip()), start + len(piece.rstrip())


class TracedText(str):
    """A string that maps each of its characters to a span of its source."""

    spans: list[Span]

    @classmethod
    def of(cls, text: str, spans: Sequence[Span]) -> Self:
        """`text`, with one span of the source for each character."""
        self = cls(text)
        self.spans = list(spans)
        return self

    def source(self, start: int, end: int) -> Span:
        """The span of the source that `self[start:end]` comes from."""
        spans = self.spans[start:end]
        return min(a for a, _ in spans), max(b for _, b in spans)

    def strip(self, chars: str | None = None, /) -> Self:
        """As `str.strip`."""
        start = len(self) - len(str(self).lstrip(chars))
        text = str(self).strip(chars)
        return type(self).of(text, self.spans[start : start + len(text)])

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> Self:
        """As `str.replace`; ignores `count`."""
        replaced: Self = substitute(re.compile(re.escape(old)), lambda _: new, self)
        return replaced


def substitute(
    pattern: re.Pattern[str], repl: Callable[[re.Match[str]], str] | str, text: Any
) -> Any:
    """`pattern.sub(repl, text)` for a `TracedText`: a replacement maps to all of the text that it
    replaces.
    """
    if pattern.search(text) is None:
        return text
    parts: list[str] = []
    spans: list[Span] = []
    done = 0
    for m in pattern.finditer(text):
        new = repl(m) if callable(repl) else m.expand(repl) if "\\" in repl else repl
        start, end = m.span()
        parts += text[done:start], new
        spans += text.spans[done:start]
        if new == m.group():
            spans += text.spans[start:end]
        elif new:
            at = text.spans[min(start, len(text) - 1)][0]
            spans += [text.source(start, end) if start < end else (at, at)] * len(new)
        done = end
    return type(text).of("".join([*parts, text[done:]]), spans + text.spans[done:])


class _Pattern:
    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern

    def sub(self, repl: Callable[[re.Match[str]], str] | str, text: TracedText) -> TracedText:
        traced: TracedText = substitute(self._pattern, repl, text)
        return traced


def _make_tracing(function: FunctionType) -> Callable[[TracedText], TracedText]:
    """The package's own function (so that it cannot differ), with patterns that keep the mapping of
    a `TracedText`.
    """
    names: dict[str, object] = {
        name: _Pattern(value) if isinstance(value, re.Pattern) else value
        for name, value in function.__globals__.items()
    }
    names["re"] = SimpleNamespace(
        escape=re.escape,
        sub=lambda pattern, repl, text: substitute(re.compile(pattern), repl, text),
    )
    return FunctionType(function.__code__, names)


_normalise = _make_tracing(hibari_normalize)


def normalise(text: str) -> TracedText:
    """The package's normalised form of `text`, mapped to `text`."""
    return _normalise(
        TracedText.of(text.translate(_BRACKETS), [(i, i + 1) for i in range(len(text))])
    )
