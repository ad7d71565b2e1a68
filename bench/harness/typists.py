"""People who type: a text as keystrokes with times, seeded.

Gaps between keys are log-normal, as those of people are. A person breathes at punctuation,
hesitates inside a word, thinks before the next one, takes wrong letters back, and lets a prediction
bar write the rest of a word. Plain and synchronous; times are seconds from the first key.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

SPEEDS = (1.0, 2.5, 5.5, 9.0)  # characters a second: one switch or key at a time, to a typist
_TYPICAL = 5.5
_SLOW = 2.5  # from here on down pauses get longer as keys do

_WORD = re.compile(r"(\W*)(\w+(?:['’]\w+)*)?")
_BREATHS = ",;:.!?"
_BREATH_S = (0.2, 0.6)  # of a typical typist
_HESITATION_S = (1.0, 4.0)
_THOUGHT_S = (2.0, 6.0)
_NOTICED_S = (0.3, 0.8)  # until a wrong letter is
_LETTERS = "etaoinshrdlu"
_PREDICTED = 4  # letters of a word that a prediction bar is worth a glance for


@dataclass(frozen=True, slots=True)
class Typist:
    """How somebody types. `spread`: sigma of the gaps' logarithm. The rest: how often, a word."""

    characters_per_s: float
    spread: float = 0.5
    hesitates: float = 0.06
    thinks: float = 0.04
    errs: float = 0.06
    predicts: float = 0.08


@dataclass(frozen=True, slots=True)
class Stroke:
    """`text` is written at `at_s`; or else the text is taken back from `retract_to` on."""

    at_s: float
    text: str = ""
    retract_to: int | None = None


@dataclass(slots=True)
class Page:
    """What is written, and when each character of it was."""

    text: str = ""
    written_s: list[float] = field(default_factory=list)

    def write(self, text: str, at_s: float) -> None:
        """More text."""
        self.text += text
        self.written_s += [at_s] * len(text)

    def retract(self, to: int) -> None:
        """Take it back from `to` on."""
        self.text = self.text[:to]
        del self.written_s[to:]


def type_text(text: str, typist: Typist, seed: int) -> list[Stroke]:
    """The keystrokes of a text. The same seed types the same, whatever the speed."""
    hands = _Hands(typist, random.Random(seed))
    for match in _WORD.finditer(text):
        hands.mark(match[1])
        if match[2]:
            hands.word(match[2], before_space=text[match.end() : match.end() + 1] == " ")
    return hands.strokes


def write_down(strokes: Sequence[Stroke], retracted: Sequence[int] | None = None) -> Page:
    """The page after the strokes. `retracted`: where the text really ended after each retraction;
    None: where it was meant to.
    """
    page = Page()
    ends = iter(retracted or ())
    for stroke in strokes:
        if stroke.retract_to is None:
            page.write(stroke.text, stroke.at_s)
        else:
            page.retract(stroke.retract_to if retracted is None else next(ends))
    return page


class _Hands:
    def __init__(self, typist: Typist, rng: random.Random) -> None:
        self._typist = typist
        self._rng = rng
        self._at_s = 0.0
        self._length = 0
        self._ahead = False  # a prediction bar wrote the space already
        self.strokes: list[Stroke] = []

    def mark(self, marks: str) -> None:
        """Spaces and punctuation."""
        if self._ahead:
            marks, self._ahead = marks[1:], False
        for character in marks:
            self._key(character)
            if character in _BREATHS:
                self._pause(_BREATH_S, _TYPICAL / self._typist.characters_per_s)

    def word(self, word: str, *, before_space: bool) -> None:
        """A word, with whatever happens in it."""
        typist, chance = self._typist, self._rng.random
        thinks, hesitates = chance() < typist.thinks, chance() < typist.hesitates
        errs, predicts = chance() < typist.errs, chance() < typist.predicts
        inside = self._rng.randint(1, max(1, len(word) - 1))
        if thinks and self.strokes:
            self._pause(_THOUGHT_S)
        if predicts and before_space and len(word) >= _PREDICTED:
            self._predicted(word)
            return
        for number, letter in enumerate(word):
            if number == inside and hesitates:
                self._pause(_HESITATION_S)
            if number == inside and errs:
                self._err()
            self._key(letter)

    def _predicted(self, word: str) -> None:
        """A letter or two, a glance at the bar, and the rest with the space in one piece."""
        typed = self._rng.randint(0, 2)
        for letter in word[:typed]:
            self._key(letter)
        self._wait()  # the glance
        self._key(word[typed:] + " ")
        self._ahead = True

    def _err(self) -> None:
        """Some wrong letters, noticed, and taken back one by one."""
        wrong = self._rng.randint(1, 3)
        for _ in range(wrong):
            self._key(self._rng.choice(_LETTERS))
        self._pause(_NOTICED_S)
        for _ in range(wrong):
            self._wait()
            self._length -= 1
            self.strokes.append(Stroke(self._at_s, retract_to=self._length))

    def _key(self, text: str) -> None:
        if self.strokes:
            self._wait()
        self.strokes.append(Stroke(self._at_s, text))
        self._length += len(text)

    def _wait(self) -> None:
        """The gap before a key; its mean is the typist's."""
        spread = self._typist.spread
        mean = -math.log(self._typist.characters_per_s) - spread**2 / 2
        self._at_s += self._rng.lognormvariate(mean, spread)

    def _pause(self, bounds_s: tuple[float, float], times: float | None = None) -> None:
        slowness = max(1.0, _SLOW / self._typist.characters_per_s) if times is None else times
        self._at_s += self._rng.uniform(*bounds_s) * slowness
