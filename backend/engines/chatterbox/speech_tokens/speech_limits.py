"""How long a passage's speech may be, by its text, and whether it goes astray."""

from __future__ import annotations

from collections.abc import Sequence

from backend.engines.chatterbox.sound.silence import SpeechEnd
from backend.engines.chatterbox.speech_tokens.repetition import LoopDetector
from backend.engines.chatterbox.text.speech_length import (
    TOKENS_PER_S,
    Pace,
    expected_tokens,
    is_one_breath,
    longest_end,
    max_tokens,
    min_tokens,
)

_LAST_SILENCE_S = 1.0  # once most of a text's time is over, no more of it follows this
_MOST = 0.9
_BREATH_SILENCE_S = 0.3  # within a word or two nobody pauses


class SpeechLimits:
    """The limits of one passage, in speech tokens; 0 before its text is known. `pace`: of its
    utterance.

    `expected`: of what the model reads. `fewest`: less is not all of it. `enough`: the fewest of
    what is released of it. `loop_from`: index of the first repeat once the tokens are in a loop;
    `suspected_from`: while they may be.
    """

    def __init__(self, language: str = "en", pace: Pace | None = None) -> None:
        self._language = language
        self._pace = pace or Pace()
        self._loop = LoopDetector()
        self._is_one_breath = False
        self.expected = self.fewest = self.enough = 0

    @property
    def loop_from(self) -> int | None:
        """See the class."""
        return self._loop.loop_from

    @property
    def suspected_from(self) -> int | None:
        """See the class."""
        return self._loop.suspected_from

    def longest_end(self, text: str, start: int) -> int:
        """How far `text[start:]` fits into the passage."""
        return longest_end(text, start, self._language)

    def set_text(self, text: str, released: str) -> None:
        """Set what the model reads, and what it may speak of it."""
        self.expected = expected_tokens(text, self._language)
        self.fewest = min_tokens(text, self._language)
        self.enough = min_tokens(released, self._language)
        self._is_one_breath = is_one_breath(text, self._language)

    def are_exceeded(self, tokens: Sequence[int]) -> bool:
        """Whether the tokens are too many for the text, or in a loop."""
        loops = self._loop.read(tokens)
        return loops or len(tokens) >= max_tokens(self.expected, self._pace.ratio)

    @property
    def speech_end(self) -> SpeechEnd:
        """The silence behind the whole text."""
        if self._is_one_breath:
            return SpeechEnd(self.fewest / TOKENS_PER_S, _BREATH_SILENCE_S)
        return SpeechEnd(_MOST * self.expected * self._pace.ratio / TOKENS_PER_S, _LAST_SILENCE_S)

    def count_pace(self, tokens: int) -> None:
        """Add the passage, which ended by itself after so many tokens, to the utterance's pace."""
        self._pace.count(tokens, self.expected)
