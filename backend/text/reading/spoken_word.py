"""What is said for a piece of text. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PAUSING = re.compile(r"[^\w\s'’-]")


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """`text[start:end]` of the sentence, the spaces behind it included, and what is said for it.

    `spoken`: words without digits and symbols, possibly several ("three dollars and fifty cents"),
    possibly none (""); letters that are said by their names are single capitals ("F B I"). It has
    the punctuation marks at which a reader pauses. `phonemes`: IPA from a lexicon or a mark, which
    says all of it instead. `sound`: a sound of Chatterbox Turbo, such as "laugh"; other engines
    are silent. `pause_ms`: silence behind it.
    """

    start: int
    end: int
    spoken: str
    phonemes: str | None = None
    sound: str | None = None
    pause_ms: int = 0

    @property
    def plain(self) -> str:
        """`spoken` without punctuation marks."""
        return " ".join(_PAUSING.sub(" ", self.spoken).split())
