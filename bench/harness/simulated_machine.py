"""A simulated machine: the server's contexts, pacer and scheduler in virtual time, with threads
whose renders take measured times.

A crowd of hundreds is served in seconds, always in the same way: policies are compared here first.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from backend.audio.loudness import TARGET_LUFS
from backend.config import EngineSettings
from backend.engines.base import (
    Chunk,
    Device,
    Engine,
    EngineInfo,
    Failure,
    Model,
    Release,
    Utterance,
)
from backend.events import Voice
from backend.monitoring.metrics import Metrics
from backend.synthesis.engine_thread import EngineThread, StepResult
from backend.synthesis.scheduler import Limits, Scheduler
from backend.text.words import word_ends
from backend.tts_manager import TTSManager

RATE_HZ = 24_000
_CHARACTER_S = 0.065  # of speech
_LEVEL = 0.1


@dataclass(frozen=True, slots=True)
class Costs:
    """What a step costs its thread, in seconds: for each utterance, for each word that it speaks,
    and once a step where the engine batches. `jitter`: the spread of it, as a share.
    """

    utterance_s: float = 0.009
    word_s: float = 0.003
    step_s: float = 0.0
    jitter: float = 0.1


class _Engine:
    """Speaks `_CHARACTER_S` for each character, a release in chunks as the contract says."""

    def __init__(self, info: EngineInfo) -> None:
        self.info = info
        self._open: dict[str, tuple[Utterance, Release | None, int]] = {}

    def begin(self, utterance: Utterance) -> None:
        self._open[utterance.id] = utterance, None, 0

    def extend(self, utterance_id: str, release: Release) -> None:
        utterance, _, spoken = self._open[utterance_id]
        self._open[utterance_id] = utterance, release, spoken

    def step(self, urgent: Sequence[str]) -> list[Chunk | Failure]:
        return [self._advance(each) for each in urgent]

    def _advance(self, utterance_id: str) -> Chunk:
        utterance, release, start = self._open[utterance_id]
        assert release is not None, "only those with a release are advanced"
        ends = [end for end in word_ends(release.text) if start < end <= release.speak_to]
        size = utterance.chunk_characters or release.speak_to
        end = next((each for each in ends if each - start >= size), release.speak_to)
        pcm = np.full(round((end - start) * _CHARACTER_S * RATE_HZ), _LEVEL, np.float32)
        self._open[utterance_id] = utterance, release, end
        return Chunk(utterance_id, pcm, start, end, caught_up=end == release.speak_to)

    def abort(self, utterance_id: str) -> None:
        self._open.pop(utterance_id, None)


class SimulatedModel:
    """One voice, with the engine's name. `max_batch`: utterances that a step advances."""

    device: Device | None = None

    def __init__(self, costs: Costs, max_batch: int = 1, name: str = "simulated") -> None:
        self.costs = costs
        self.default_voice = name
        self.info = EngineInfo(name, RATE_HZ, ("en",), True, max_batch, lufs=TARGET_LUFS)

    def voices(self) -> tuple[Voice, ...]:
        """The one voice."""
        return (Voice(self.default_voice, "en", "", True),)

    def is_whole_word(self, word: str) -> bool:
        """It knows no words."""
        return False

    def load_voice(self, name: str) -> None:
        """Nothing to load."""

    def create_engine(self) -> Engine:
        """A new engine."""
        return _Engine(self.info)


class _Alarm:
    """Wakes a thread that is a task."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def notify(self) -> None:
        self.event.set()

    def wait(self, timeout: float | None = None) -> object:
        raise AssertionError("a simulated thread polls")


class _SimulatedThread(EngineThread):
    """An engine thread that is a task in virtual time; it sleeps for what a step costs."""

    def simulate(self, dice: random.Random) -> None:
        self._alarm = _Alarm()
        self.seat.wake = self._alarm
        self._dice = dice

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def request_stop(self) -> None:
        super().request_stop()
        self._task.cancel()

    def join(self, timeout_s: float) -> bool:
        return True

    async def _serve(self) -> None:
        while True:
            self._alarm.event.clear()
            work = self._queue.poll(self.seat)
            if work is None:
                await self._alarm.event.wait()
                continue
            for utterance_id in work.aborted:
                self._forget(self._begun.get(utterance_id), utterance_id)
            if not work.utterances:
                continue
            engine = self._load_engine(work.utterances[0].model)
            ready = self._prepare(engine, work)
            if not ready:
                continue
            step = self._step(engine, ready)
            busy_s = self._cost_of(step)
            await asyncio.sleep(busy_s)
            self._finish(replace(step, busy_s=busy_s), ready)

    def _cost_of(self, step: StepResult) -> float:
        assert isinstance(step.model, SimulatedModel)
        costs = step.model.costs
        cost_s = costs.step_s
        for each in step.results:
            chunk = each.result
            words = (chunk.end - chunk.start) / 6 if isinstance(chunk, Chunk) else 0
            cost_s += costs.utterance_s + costs.word_s * words
        return cost_s * self._dice.uniform(1 - costs.jitter, 1 + costs.jitter)


class _SimulatedScheduler(Scheduler):
    """Threads in virtual time."""

    def __init__(self, seed: int, *arguments: Any) -> None:
        self._dice = random.Random(seed)
        super().__init__(*arguments)

    def _create_thread(self) -> EngineThread:
        thread = _SimulatedThread(
            self._first,
            f"simulated-{next(self._numbers)}",
            self._queue,
            self._post_step,
            self._limits,
        )
        thread.simulate(self._dice)
        return thread


class SimulatedTTS(TTSManager):
    """The speech facade of a simulated machine. Begin with `warm_up`, in a virtual loop."""

    def __init__(self, model: SimulatedModel, threads: int, seed: int = 0) -> None:
        self.metrics = Metrics()
        self._seed = seed
        limits = Limits(60.0, max_first_wait_s=1.5)
        super().__init__(model, EngineSettings(), self.metrics, threads, limits)

    def _create_scheduler(self, model: Model, *arguments: Any) -> Scheduler:
        return _SimulatedScheduler(self._seed, model, *arguments)

    async def load_voice(self, voice: str) -> float:
        """No voice needs a gain."""
        return 1.0

    async def warm_up(self) -> None:
        """Start the threads and measure a first render of each engine."""
        for engine in self.engines:
            if not engine.scheduler.is_started:
                engine.scheduler.start_threads()
            text = "One two three four five six seven eight. " * 2
            await self._render(engine.model.default_voice, text, 25)

    def stop(self) -> None:
        """Stop the threads."""
        for scheduler in self._schedulers:
            scheduler.stop_threads()
