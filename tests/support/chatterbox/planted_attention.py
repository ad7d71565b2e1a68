"""Attention of known word times: which text token each token of a made-up speech attends to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from backend.text.words import word_ends

PIECES = ("words", "letters")


def token_ends(text: str, pieces: str) -> list[int]:
    """The ends of a text's tokens.

    `words`: as Turbo's, words with the space before them. `letters`: as the standard model's, two
    or three letters, spaces of their own, a start and a stop.
    """
    if pieces == "words":
        return [match.end() for match in re.finditer(r"\s*\w+|\s*[^\w\s]+|\s+", text)]
    found = re.finditer(r"[^\W\d_]{2,3}|\s|.", text)
    return [0, *(match.end() for match in found), len(text)]


@dataclass(frozen=True, slots=True)
class Speech:
    """How a text is said. `outliers`: share of speech tokens that attend to anything. Text tokens
    from `skipped` are left out; those from `repeated` are said once more when they end. At the
    start and the end `lead` and `tail` speech tokens attend to the start and the stop.
    """

    characters_per_s: float = 14.0
    outliers: float = 0.0
    pause_tokens: int = 15
    lead: int = 0
    tail: int = 0
    skipped: tuple[int, int] = (0, 0)
    repeated: tuple[int, int] = (0, 0)
    seed: int = 0

    def attend(self, text: str, ends: list[int]) -> tuple[list[int], dict[int, float]]:
        """The attended text token of each speech token, and by the end of each word but the last
        when the next one begins.
        """
        random = np.random.default_rng(self.seed)
        attended, begun = [0 if ends[0] == 0 else len(ends) - 1] * self.lead, {}
        now = float(self.lead)
        for token, (start, end) in enumerate(pairwise([0, *ends])):
            for offset in range(start + 1, end + 1):
                begun[offset] = now
            now += self._duration(text[start:end], random) * (token not in range(*self.skipped))
            attended += [token] * (round(now) - len(attended))
            if token == self.repeated[1] - 1:
                again = [each for each in attended if each in range(*self.repeated)]
                attended, now = attended + again, now + len(again)
        attended += [len(ends) - 1] * self.tail
        outlying = random.random(len(attended)) < self.outliers
        noise = random.integers(0, len(ends), len(attended))
        times = {
            end: begun[letter]
            for end in word_ends(text)[:-1]
            if (letter := _first_letter(text, end)) in begun
        }
        return np.where(outlying, noise, attended).tolist(), times

    def _duration(self, piece: str, random: np.random.Generator) -> float:
        """Of a text token, in speech tokens."""
        if not piece.strip():
            return float(random.integers(0, 2) * bool(piece))
        if not any(map(str.isalnum, piece)):
            return float(random.uniform(2, self.pause_tokens))
        return float(len(piece.strip()) * 25 / self.characters_per_s * random.uniform(0.6, 1.5))


def _first_letter(text: str, offset: int) -> int:
    """The end of the first character from `offset` on that is not blank."""
    return offset + 1 + len(text[offset:]) - len(text[offset:].lstrip())
