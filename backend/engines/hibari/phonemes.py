"""Spoken text to phonemes, mapped back to the words that they come from.

A `Unit` is here the smallest piece of text that can be read by itself: mostly a word, but all of
"three dollars and fifty cents" if that is what was said for one written word.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import deque
from collections.abc import Container, Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from hibari.g2p import ASSETS, G2P
from hibari.g2p.oov import OOV

from backend.engines.hibari.ipa import convert_ipa
from backend.engines.hibari.text_pieces import (
    LONGEST,
    effort,
    smaller_parts,
    split_spans,
    window_end,
)
from backend.engines.incremental.units import Unit
from backend.text.reading.spoken_text import TIE

Span = tuple[int, int]

MOST_PHONEMES = 240  # of a unit: it is encoded in one engine step

_WORD = re.compile(r"\S+")
_TIED = re.compile(rf"[^\s{TIE}]+(?:{TIE}[^\s{TIE}]+)*")
_TO_LINE = str.maketrans({TIE: " ", "[": "(", "]": ")"})  # "[word](/ˈX/)" sets phonemes
_LETTERS = re.compile(rf"\b[A-Z](?:{TIE}[A-Z]){{1,7}}\b")  # read as one: "F.B.I", not "F B I"
_LETTER_A = re.compile(r"[^\w\s]*A[^\w\s]*")
# Raised by the package on a few odd characters ("⑴", "¹", "xİ"); it has no error of its own.
_PACKAGE_ERRORS = (ValueError, TypeError, IndexError, KeyError, AttributeError)
_CACHED_WORDS = 4096  # unknown words cached, for all utterances


class PhonemeReader:
    """Reads text in one accent. Thread-safe: its tables are not changed after loading."""

    longest = LONGEST
    effort = staticmethod(effort)
    window_end = staticmethod(window_end)

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

    def read_ipa(self, ipa: str) -> str:
        """The phonemes for a pronunciation in IPA; "" if the voices know none of its sounds."""
        return convert_ipa(ipa, self._alphabet)[:MOST_PHONEMES]

    def _read_spans(self, text: str, spans: Iterable[Span]) -> list[Unit]:
        return [
            replace(unit, start=start + unit.start, end=start + unit.end)
            for start, end in spans
            for unit in self._read_span(text[start:end])
        ]

    def _read_span(self, text: str) -> list[Unit]:
        units = []
        for unit in self._build_units(text):
            smaller = smaller_parts(text[unit.start : unit.end])
            if smaller and len(unit.phonemes) > MOST_PHONEMES:
                units += self._read_spans(
                    text, [(unit.start + a, unit.start + b) for a, b in smaller]
                )
            else:
                units.append(unit)
        return units

    def _build_units(self, text: str) -> list[Unit]:
        line = _LETTERS.sub(lambda letters: letters[0].replace(TIE, "."), text)
        line = line.translate(_TO_LINE)
        starts = [word.start() for word in _WORD.finditer(line)]
        readings = deque(zip(starts, self._read_line(line), strict=True))
        units = []
        for tied in _TIED.finditer(text):
            own = []
            while readings and readings[0][0] < tied.end():
                own.append(readings.popleft()[1])
            phonemes = " ".join(filter(None, own))
            if _LETTER_A.fullmatch(tied.group()):  # the package takes it for the article
                phonemes = phonemes.replace("ɐ", "ˈA")
            units.append(Unit(*tied.span(), phonemes, self._is_doubtful(tied.group())))
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
        """The phonemes of each word of a line."""
        words = line.split()
        try:
            readings = self._read_tokens(line)
        except _PACKAGE_ERRORS:
            readings = []
        return readings if len(readings) == len(words) else [self._read_word(w) for w in words]

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
        return [*readings, current.strip()] if current else readings
