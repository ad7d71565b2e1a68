"""The English reading of a text, as a listener hears it."""

from __future__ import annotations

from backend.text.markup.reader import MarkupOptions, MarkupReader
from backend.text.reading.english import ENGLISH
from backend.text.reading.sentence_reader import SentenceReader
from backend.text.reading.spoken_word import SpokenWord


def read_text(text: str, step: int | None = None) -> list[SpokenWord]:
    """The words of a final text that came in pieces of `step` characters; None: at once."""
    reader = SentenceReader(ENGLISH)
    size = step or max(1, len(text))
    for start in range(0, len(text), size):
        reader.push_text(text[start : start + size])
    reader.end_text()
    return reader.words


def read_aloud(text: str) -> str:
    """What is said for a text."""
    return " ".join(word.spoken for word in read_text(text) if word.spoken)


def mask_text(raw: str, *, ssml: bool = False) -> str:
    """The mask of a whole text."""
    reader = MarkupReader(MarkupOptions(ssml=ssml))
    return reader.push_text(raw) + reader.end_text()
