"""Units: pieces of text that are spoken as a whole; and the contract of their readers."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Protocol


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


def is_sound(phoneme: str) -> bool:
    """Whether a character of phonemes belongs to a sound (tones and accents do), not to a pause."""
    return phoneme.isalnum() or unicodedata.combining(phoneme) != 0


class UnitReader(Protocol):
    """Reads spoken text as phonemes, a character each. Efforts count ordinary characters."""

    longest: int
    """Characters of the longest word that is read as a whole."""

    def read_units(self, text: str) -> list[Unit]:
        """The units of `text`, in order; every word is in exactly one."""

    def read_ipa(self, ipa: str) -> str:
        """The phonemes for a pronunciation in IPA."""

    def effort(self, text: str) -> int:
        """The cost of reading `text`."""

    def window_end(self, text: str, start: int, affordable: int) -> int:
        """The end of the word at which the effort from `start` on reaches `affordable`, or of the
        text if its effort is less.
        """
