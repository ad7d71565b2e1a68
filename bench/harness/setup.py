"""What every row of the benchmark is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backend.engines.base import Model
from bench.harness.corpus import BenchText


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: the noise of the figures against the time of the run."""

    latency_repeats: int  # per text
    texts: int | None  # None: all
    replicates: int  # of whole-text and streamed speech, each with its own seed
    engine_s: float  # for the engine's own speed
    probe_s: float  # how long each number of streams is tried
    probes: int
    cancels: int
    dialogues: int
    reuses: int  # pairs of a fresh connection and the second utterance on it
    utterances: int  # on one session
    answers: int
    disconnects: int
    batch_lines: int
    rate_texts: int  # each at each rate of tokens
    typed_texts: int  # each at each typist's speed


FULL = Effort(5, None, 2, 5.0, 25.0, 5, 200, 300, 100, 1_000, 24, 200, 500, 10, 24)
QUICK = Effort(1, 6, 1, 1.5, 10.0, 2, 40, 40, 10, 50, 4, 20, 40, 2, 3)


@dataclass(frozen=True, slots=True)
class Setup:
    """A server at `url`, the `model` that speaks there for direct use here, and texts for both.

    `progress` takes the share of the row that is done, 0 to 1.
    """

    url: str
    model: Model
    corpus: Sequence[BenchText]
    effort: Effort
    seed: int
    progress: Callable[[float], None]

    @property
    def speakable(self) -> list[BenchText]:
        """The texts that have a word in them."""
        return [each for each in self.corpus if each.speakable]

    def spread(self, count: int) -> list[BenchText]:
        """At most `count` of these, spread over the corpus."""
        texts = self.speakable
        step = max(1.0, len(texts) / count)
        return [texts[int(i * step)] for i in range(min(count, len(texts)))]
