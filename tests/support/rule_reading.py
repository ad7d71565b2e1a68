"""Reads text as a test wants to compare it."""

from __future__ import annotations

from collections.abc import Sequence

from backend.text.reading.language import Language, Rule
from backend.text.reading.sentence_reader import SentenceReader
from backend.text.reading.spoken_word import SpokenWord


def read_words(text: str, rules: Sequence[Rule], pieces: int = 0) -> list[SpokenWord]:
    """The words of `text` pushed in `pieces` characters at a time; 0: as a whole."""
    reader = SentenceReader(Language("en", rules))
    size = pieces or max(1, len(text))
    for start in range(0, len(text), size):
        reader.push_text(text[start : start + size])
    reader.end_text()
    return reader.words


def read_text(text: str, rules: Sequence[Rule]) -> str:
    """What is said for `text`, with its punctuation marks."""
    return " ".join(word.spoken for word in read_words(text, rules) if word.spoken)
