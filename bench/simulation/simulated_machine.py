"""A simulated machine: the server's contexts, pacer and scheduler in virtual time, with threads
whose renders take measured times.

A crowd of hundreds is served in seconds, always in the same way: policies are compared here first.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from backend.config import EngineSettings, Settings
from backend.engines.base import Model
from backend.monitoring.gap_causes import Cause
from backend.monitoring.metrics import Metrics
from backend.synthesis.engine_thread import EngineThread
from backend.synthesis.scheduler import Limits, Scheduler
from backend.tts_manager import TTSManager
from bench.simulation.simulated_engine import Machine, SimulatedModel


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

    def simulate(self, spread_s: Callable[[float], float]) -> None:
        """`spread_s`: how long a step takes now that costs so much."""
        self._alarm = _Alarm()
        self.seat.wake = self._alarm
        self._spread_s = spread_s

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
            engine: Any = self._load_engine(work.utterances[0].model)
            ready = self._prepare(engine, work)
            if not ready:
                continue
            step = self._step(engine, ready)
            busy_s = self._spread_s(engine.step_s)
            await asyncio.sleep(busy_s)
            self._finish(replace(step, busy_s=busy_s), ready)


class _SimulatedScheduler(Scheduler):
    """Threads in virtual time."""

    def __init__(self, spread_s: Callable[[float], float], *arguments: Any) -> None:
        self._spread_s = spread_s
        super().__init__(*arguments)

    def _create_thread(self) -> EngineThread:
        name = f"simulated-{next(self._numbers)}"
        thread = _SimulatedThread(self._first, name, self._queue, self._post_step, self._limits)
        thread.simulate(self._spread_s)
        return thread


class GapRecorder(Metrics):
    """Keeps the gaps that are the server's: not those for want of text."""

    def __init__(self) -> None:
        super().__init__()
        self.late_gaps_s: list[float] = []

    def count_gap(self, cause: Cause, seconds: float) -> None:
        """See `Metrics`."""
        super().count_gap(cause, seconds)
        if cause in ("rendered_late", "refused"):
            self.late_gaps_s.append(seconds)


class SimulatedTTS(TTSManager):
    """The speech facade of a simulated machine. Create it in a virtual loop, begin with `warm_up`.

    `slowness`: 2 makes every step take twice as long from now on.
    """

    def __init__(self, machine: Machine, others: Sequence[Machine] = (), seed: int = 0) -> None:
        """`others`: further engines on the same threads."""
        self.metrics: GapRecorder = GapRecorder()
        self.slowness = 1.0
        self._dice, self._jitter = random.Random(seed), machine.costs.jitter
        clock = asyncio.get_running_loop().time
        first_wait_s = Settings().server.max_first_wait
        limits = Limits(60.0, max_first_wait_s=first_wait_s)
        model = SimulatedModel(machine, clock)
        super().__init__(model, EngineSettings(), self.metrics, machine.threads, limits)
        for other in others:
            self.add_engine(SimulatedModel(other, clock))

    def _create_scheduler(self, model: Model, *arguments: Any) -> Scheduler:
        return _SimulatedScheduler(self._spread_s, model, *arguments)

    def _spread_s(self, step_s: float) -> float:
        spread = self._dice.uniform(1 - self._jitter, 1 + self._jitter)
        return step_s * spread * self.slowness

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
