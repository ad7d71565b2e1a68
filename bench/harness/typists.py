"""Simulated typists: a text as timed keystrokes, seeded.

Gaps between keys are log-normal, as in human typing. A typist pauses at punctuation, hesitates
inside words, thinks between them, corrects wrong letters, and accepts word predictions. Pure and
synchronous; times are seconds from the first key.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

SPEEDS = (1.0, 2.5, 5.5, 9.0)  # characters/s: from single-switch input to a trained typist
_TYPICAL = 5.5
_SLOW = 2.5  # below this, pauses lengthen in proportion to the gaps

_WORD = re.compile(r"(\W*)(\w+(?:['’]\w+)*)?")
_PAUSE_MARKS = ",;:.!?"
_MARK_PAUSE_S = (0.2, 0.6)  # of a typical typist
_HESITATION_S = (1.0, 4.0)
_THOUGHT_S = (2.0, 6.0)
_NOTICED_S = (0.3, 0.8)  # until a typo is noticed
_LETTERS = "etaoinshrdlu"
_PREDICTED = 4  # minimum letters of a word to use a prediction


@dataclass(frozen=True, slots=True)
class Typist:
    """Typing behaviour. `spread`: sigma of the gaps' logarithm; rates are per word."""

    characters_per_s: float
    spread: float = 0.5
    hesitation_rate: float = 0.06
    thinking_rate: float = 0.04
    typo_rate: float = 0.06
    prediction_rate: float = 0.08


@dataclass(frozen=True, slots=True)
class KeyStroke:
    """At `at_s`, `text` is appended, or the text is retracted to `retract_to`."""

    at_s: float
    text: str = ""
    retract_to: int | None = None


@dataclass(slots=True)
class TimedText:
    """A text and when each character was written."""

    text: str = ""
    written_s: list[float] = field(default_factory=list)

    def append(self, text: str, at_s: float) -> None:
        """Append text."""
        self.text += text
        self.written_s += [at_s] * len(text)

    def retract(self, to: int) -> None:
        """Remove everything from `to` on."""
        self.text = self.text[:to]
        del self.written_s[to:]


def simulate_typing(text: str, typist: Typist, seed: int) -> list[KeyStroke]:
    """The keystrokes of a text; the same seed gives the same keys at any speed."""
    simulator = _TypingSimulator(typist, random.Random(seed))
    for match in _WORD.finditer(text):
        simulator.type_marks(match[1])
        if match[2]:
            simulator.type_word(match[2], before_space=text[match.end() : match.end() + 1] == " ")
    return simulator.strokes


def apply_strokes(
    strokes: Sequence[KeyStroke], retracted: Sequence[int] | None = None
) -> TimedText:
    """The text after the strokes. `retracted`: where the text really ended after each retraction;
    None: as requested.
    """
    page = TimedText()
    ends = iter(retracted or ())
    for stroke in strokes:
        if stroke.retract_to is None:
            page.append(stroke.text, stroke.at_s)
        else:
            page.retract(stroke.retract_to if retracted is None else next(ends))
    return page


class _TypingSimulator:
    def __init__(self, typist: Typist, rng: random.Random) -> None:
        self._typist = typist
        self._rng = rng
        self._at_s = 0.0
        self._length = 0
        self._ahead = False  # an accepted prediction already wrote the space
        self.strokes: list[KeyStroke] = []

    def type_marks(self, marks: str) -> None:
        """Type spaces and punctuation."""
        if self._ahead:
            marks, self._ahead = marks[1:], False
        for character in marks:
            self._press_key(character)
            if character in _PAUSE_MARKS:
                self._pause(_MARK_PAUSE_S, _TYPICAL / self._typist.characters_per_s)

    def type_word(self, word: str, *, before_space: bool) -> None:
        """Type a word, with random pauses, typos or a prediction."""
        typist, chance = self._typist, self._rng.random
        thinks, hesitates = chance() < typist.thinking_rate, chance() < typist.hesitation_rate
        errs, predicts = chance() < typist.typo_rate, chance() < typist.prediction_rate
        inside = self._rng.randint(1, max(1, len(word) - 1))
        if thinks and self.strokes:
            self._pause(_THOUGHT_S)
        if predicts and before_space and len(word) >= _PREDICTED:
            self._accept_prediction(word)
            return
        for number, letter in enumerate(word):
            if number == inside and hesitates:
                self._pause(_HESITATION_S)
            if number == inside and errs:
                self._make_typo()
            self._press_key(letter)

    def _accept_prediction(self, word: str) -> None:
        """Type up to two letters, then the rest and a space at once."""
        typed = self._rng.randint(0, 2)
        for letter in word[:typed]:
            self._press_key(letter)
        self._wait()  # reading the prediction
        self._press_key(word[typed:] + " ")
        self._ahead = True

    def _make_typo(self) -> None:
        """Type some wrong letters and retract them one by one."""
        wrong = self._rng.randint(1, 3)
        for _ in range(wrong):
            self._press_key(self._rng.choice(_LETTERS))
        self._pause(_NOTICED_S)
        for _ in range(wrong):
            self._wait()
            self._length -= 1
            self.strokes.append(KeyStroke(self._at_s, retract_to=self._length))

    def _press_key(self, text: str) -> None:
        if self.strokes:
            self._wait()
        self.strokes.append(KeyStroke(self._at_s, text))
        self._length += len(text)

    def _wait(self) -> None:
        """Advance by a random gap with the typist's mean."""
        spread = self._typist.spread
        mean = -math.log(self._typist.characters_per_s) - spread**2 / 2
        self._at_s += self._rng.lognormvariate(mean, spread)

    def _pause(self, bounds_s: tuple[float, float], times: float | None = None) -> None:
        slowness = max(1.0, _SLOW / self._typist.characters_per_s) if times is None else times
        self._at_s += self._rng.uniform(*bounds_s) * slowness
