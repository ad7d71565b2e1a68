"""How much of a speech its listener heard."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from duplex_tts.events import Word


@dataclass(frozen=True, slots=True)
class Heard:
    """How much of a speech its listener heard.

    `text`: up to the last word of which at least half was heard; all of it when `complete`.
    `ms`: of its audio.
    """

    text: str
    ms: float
    complete: bool


def cut_text(text: str, words: Iterable[Word], ms: float) -> str:
    """Cut the text after the last word of which at least half was heard after `ms` of audio."""
    ends = [word.end for word in words if (word.start_ms + word.end_ms) / 2 <= ms]
    return text[: ends[-1]] if ends else ""
