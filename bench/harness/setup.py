"""The input of every benchmark row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backend.engines.base import Model
from bench.harness.corpus import BenchText


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to measure: trades noise for run time."""

    latency_repeats: int  # per text
    texts: int | None  # None: all
    replicates: int  # of whole-text and streamed speech, with different seeds
    engine_s: float  # to measure the engine's own speed
    probe_s: float  # per number of streams
    probes: int
    cancels: int
    dialogues: int
    reuses: int  # pairs of a new connection and a second utterance on it
    utterances: int  # on one session
    answers: int
    disconnects: int
    batch_lines: int
    rate_texts: int  # at every token rate
    typed_texts: int  # at every typing speed


FULL = Effort(5, None, 2, 5.0, 25.0, 5, 200, 300, 100, 1_000, 24, 200, 500, 10, 24)
QUICK = Effort(1, 6, 1, 1.5, 10.0, 2, 40, 40, 10, 50, 4, 20, 40, 2, 3)


@dataclass(frozen=True, slots=True)
class Setup:
    """A server at `url`, the same `model` for direct use, and the texts.

    `progress`: takes the completed share of the row, 0 to 1.
    """

    url: str
    model: Model
    corpus: Sequence[BenchText]
    effort: Effort
    seed: int
    progress: Callable[[float], None]

    @property
    def speakable(self) -> list[BenchText]:
        """The texts that contain a word."""
        return [text for text in self.corpus if text.speakable]

    def sample_texts(self, count: int) -> list[BenchText]:
        """At most `count` speakable texts, evenly spread over the corpus."""
        texts = self.speakable
        step = max(1.0, len(texts) / count)
        return [texts[int(i * step)] for i in range(min(count, len(texts)))]
