"""A book: its chapters and what its title page says."""

from __future__ import annotations

import re
from dataclasses import dataclass

from duplex_tts.errors import ClientError

SPOKEN_WORDS_PER_MINUTE = 160  # of the embedded voice: an estimate
MOST_BYTES = 100 * 2**20
"""Limit of a text file, and of all the documents of an EPUB together."""

MOST_COVER_BYTES = 30 * 2**20
"""A larger image is not read."""

# A word, or a character of a script without spaces; two of those take as long as a word.
_WORD = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]{1,2}|\w+")


class BookFailed(ClientError):
    """The book cannot be read; `code` says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter to read. `left_out`: why it is not read unless it is chosen, or empty."""

    title: str
    text: str
    left_out: str = ""

    @property
    def words(self) -> int:
        """How many words it has."""
        return count_words(self.text)


@dataclass(frozen=True, slots=True)
class Book:
    """`language`: a tag such as "en-GB", or empty. `cover`: an image file, or None."""

    title: str
    chapters: tuple[Chapter, ...]
    author: str = ""
    language: str = ""
    year: str = ""
    description: str = ""
    cover: bytes | None = None


def count_words(text: str) -> int:
    """Count words, also of scripts without spaces."""
    return sum(1 for _ in _WORD.finditer(text))


def estimate_seconds(words: int, speed: float | None = None) -> float:
    """How long the words take to hear, approximately."""
    return words * 60 / SPOKEN_WORDS_PER_MINUTE / (speed or 1.0)
