"""Measuring whether a model keeps up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from backend.engines.base import Chunk, Failure, Release, Utterance
from backend.engines.speed import measure_rtf
from backend.errors import EngineFailed

RATE_HZ = 1000


class ScriptedEngine:
    """Each step takes so many seconds of a clock and makes one second of sound; the first utterance
    takes ten times as long. It ends after five steps.
    """

    def __init__(self, step_s: float, sound_s: float = 1.0, steps: float = 5) -> None:
        self.info = SimpleNamespace(sample_rate_hz=RATE_HZ)
        self.now_s = 100.0
        self.texts: list[str] = []
        self.aborted = 0
        self._step_s, self._sound_s, self._steps, self._left = step_s, sound_s, steps, 0.0

    def begin(self, utterance: Utterance) -> None:
        assert utterance.voice == "default"

    def extend(self, utterance_id: str, release: Release) -> None:
        assert release.final
        self.texts.append(release.text)
        self._left = self._steps

    def step(self, urgent: Sequence[str]) -> list[Chunk | Failure]:
        self._left -= 1
        self.now_s += self._step_s * (10 if len(self.texts) == 1 else 1)
        pcm = np.zeros(round(self._sound_s * RATE_HZ), np.float32)
        return [Chunk(urgent[0], pcm, 0, 1, caught_up=self._left <= 0)]

    def abort(self, utterance_id: str) -> None:
        self.aborted += 1


def measure(engine: Any) -> float:
    model: Any = SimpleNamespace(create_engine=lambda: engine, default_voice="default")
    return measure_rtf(model, lambda: engine.now_s)


@pytest.mark.parametrize("step_s", [0.25, 0.5, 2.0])
def test_computing_is_compared_with_the_sound_after_a_warm_up(step_s: float) -> None:
    engine = ScriptedEngine(step_s)
    assert measure(engine) == pytest.approx(step_s)
    assert len(engine.texts) == 2


def test_what_never_ends_is_measured_as_far_as_it_came() -> None:
    engine = ScriptedEngine(4.0, steps=math.inf)
    assert measure(engine) == pytest.approx(4.0)
    assert engine.now_s < 100 + 2 * 60
    assert engine.aborted == 2


def test_without_a_sound_nothing_keeps_up() -> None:
    assert measure(ScriptedEngine(1.0, sound_s=0)) == math.inf


def test_a_failure_is_raised() -> None:
    class Failing(ScriptedEngine):
        def step(self, urgent: Sequence[str]) -> list[Chunk | Failure]:
            return [Failure(urgent[0], EngineFailed("no"))]

    with pytest.raises(EngineFailed):
        measure(Failing(1.0))
