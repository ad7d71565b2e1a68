"""Who comes: listeners of a language model's answers, or of people who write by hand."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property

from bench.harness.corpus import TOKENS_PER_S, load_corpus, split_tokens
from bench.server.load import TEXTS_PER_ANSWER
from bench.simulation.simulated_cluster import Caller
from bench.simulation.simulated_engine import CHARACTER_S

WRITTEN_PER_S = 5.5  # characters, by hand


@dataclass(frozen=True)
class Workload:
    """`listeners` sessions come evenly within `within_s`, each for `answers` of three texts.
    `speaking`: the share of its time in which a session hears something. `written`: by hand.
    `is_steady`: they come at any moment between two answers; else all begin with one.
    """

    listeners: int
    within_s: float
    answers: int = 1
    speaking: float = 1.0
    written: bool = False
    is_steady: bool = False

    @cached_property
    def _texts(self) -> list[str]:
        return [each.text for each in load_corpus() if each.speakable]

    @property
    def answer_s(self) -> float:
        """How long an answer is spoken; by hand, how long it is written."""
        characters = TEXTS_PER_ANSWER * sum(map(len, self._texts)) / len(self._texts)
        return characters / WRITTEN_PER_S if self.written else characters * CHARACTER_S

    @property
    def cycle_s(self) -> float:
        """From one answer to the next."""
        return self.answer_s / self.speaking

    def create_callers(self, dice: random.Random) -> list[Caller]:
        """The sessions, in the order in which they come."""
        pause_s = self.cycle_s - self.answer_s
        rate = WRITTEN_PER_S if self.written else TOKENS_PER_S
        step_s = self.within_s / self.listeners
        return [
            Caller(
                step_s * n,
                [self._create_answer(dice) for _ in range(self.answers)],
                rate,
                pause_s,
                self._draw_silence(dice),
            )
            for n in range(self.listeners)
        ]

    def _draw_silence(self, dice: random.Random) -> float:
        """How long a session that comes at any moment is silent."""
        if not self.is_steady or self.speaking == 1.0:
            return 0.0
        return max(0.0, dice.uniform(0.0, self.cycle_s) - self.answer_s)

    def _create_answer(self, dice: random.Random) -> list[str]:
        answer = " ".join(dice.choices(self._texts, k=TEXTS_PER_ANSWER))
        return [*answer] if self.written else split_tokens(answer)
