"""Simulated engines: what they speak of a release, and how long their steps take. No clock moves
here: `step_s` says what a step would have taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from backend.audio.loudness import TARGET_LUFS
from backend.engines.base import (
    Chunk,
    Device,
    Engine,
    EngineInfo,
    Failure,
    Pcm,
    Release,
    Utterance,
)
from backend.events import Voice
from backend.text.words import word_ends

RATE_HZ = 24_000
CHARACTER_S = 0.065  # of speech
CHARACTERS_PER_WORD = 6
_LEVEL = 0.1


Clock = Callable[[], float]


class SimulatedEngine(Engine, Protocol):
    """An engine in virtual time. `step_s`: how long its last step takes."""

    step_s: float


class EngineCosts(Protocol):
    """What the steps of a kind of engine cost. `jitter`: the spread of it, as a share."""

    @property
    def incremental(self) -> bool:
        """Whether the engine takes words; else clauses."""

    @property
    def jitter(self) -> float:
        """Steps take up to this share more or less."""

    def create_engine(self, info: EngineInfo, clock: Clock) -> SimulatedEngine:
        """A new engine."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What a step costs its thread, in seconds: for each utterance, for each word that it speaks,
    and once a step where the engine batches.
    """

    utterance_s: float = 0.009
    word_s: float = 0.003
    step_s: float = 0.0
    jitter: float = 0.1
    incremental: bool = True

    def create_engine(self, info: EngineInfo, _clock: Clock) -> SimulatedEngine:
        """A new engine."""
        return _WordEngine(info, self)


@dataclass(frozen=True, slots=True)
class Machine:
    """What an engine of a server runs on. `max_batch`: utterances that one step of a thread
    advances. `engine`: its name, and its voice's.
    """

    costs: EngineCosts
    threads: int = 2
    max_batch: int = 1
    engine: str = "simulated"


class _WordEngine:
    """Speaks `CHARACTER_S` for each character, a release in chunks as the contract says."""

    def __init__(self, info: EngineInfo, costs: Costs) -> None:
        self.info = info
        self.step_s = 0.0
        self._costs = costs
        self._open: dict[str, tuple[Utterance, Release | None, int]] = {}

    def begin(self, utterance: Utterance) -> None:
        self._open[utterance.id] = utterance, None, 0

    def extend(self, utterance_id: str, release: Release) -> None:
        utterance, _, spoken = self._open[utterance_id]
        self._open[utterance_id] = utterance, release, spoken

    def step(self, urgent: Sequence[str]) -> list[Chunk | Failure]:
        chunks = [self._advance(each) for each in urgent]
        words = sum(each.end - each.start for each in chunks) / CHARACTERS_PER_WORD
        costs = self._costs
        self.step_s = costs.step_s + costs.utterance_s * len(chunks) + costs.word_s * words
        return [*chunks]

    def _advance(self, utterance_id: str) -> Chunk:
        utterance, release, start = self._open[utterance_id]
        assert release is not None, "only those with a release are advanced"
        ends = [end for end in word_ends(release.text) if start < end <= release.speak_to]
        size = utterance.chunk_characters or release.speak_to
        end = next((each for each in ends if each - start >= size), release.speak_to)
        pcm = simulated_sound((end - start) * CHARACTER_S)
        self._open[utterance_id] = utterance, release, end
        return Chunk(utterance_id, pcm, start, end, caught_up=end == release.speak_to)

    def abort(self, utterance_id: str) -> None:
        self._open.pop(utterance_id, None)


def simulated_sound(seconds: float) -> Pcm:
    """Audible samples."""
    return np.full(round(seconds * RATE_HZ), _LEVEL, np.float32)


class SimulatedModel:
    """One voice on a machine."""

    device: Device | None = None

    def __init__(self, machine: Machine, clock: Clock) -> None:
        incremental, batch = machine.costs.incremental, machine.max_batch
        self.default_voice = name = machine.engine
        self.info = EngineInfo(name, RATE_HZ, ("en",), incremental, batch, lufs=TARGET_LUFS)
        self._costs, self._clock = machine.costs, clock

    def voices(self) -> tuple[Voice, ...]:
        """The one voice."""
        return (Voice(self.default_voice, "en", "", True),)

    def is_whole_word(self, word: str) -> bool:
        """It knows no words."""
        return False

    def load_voice(self, name: str) -> None:
        """Nothing to load."""

    def create_engine(self) -> SimulatedEngine:
        """A new engine."""
        return self._costs.create_engine(self.info, self._clock)
