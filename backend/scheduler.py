"""The one bridge between asyncio and the engine threads; earliest deadline first.

Every engine belongs to one thread. A `Speech` (one utterance being spoken) is bound to the least
busy thread when it is opened; its commands go there over a deque, its chunks come back through
`call_soon_threadsafe`. A thread always advances the utterance whose listener runs dry first.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable

import structlog

from backend.engine_thread import EngineThread, Speech, StepResult
from backend.engines.base import Failure, Model, Utterance
from backend.errors import EngineDead
from backend.metrics import Metrics

log = structlog.get_logger(__name__)

_LISTENING_S = 5.0  # a listener whose last deadline is longer past than this hears nothing now
_FULL_SHARE = 0.95  # of the threads' time, on the wall: what others take of the cores is in it
_LATE_SHARE = 0.2  # of the recent chunks: with more of them late the machine is too slow
_RTF_SMOOTHING = 0.01  # weight of a new step: a first word costs twice what a sentence does
_LATE_SMOOTHING = 0.05  # weight of a new chunk
_LATE_FADES_S = 10.0  # to 1/e: a burst that was late is over, whether or not others follow


class Scheduler:
    """The engine threads, and who of them speaks what. Lives on one event loop."""

    def __init__(
        self,
        model: Model,
        threads: int,
        metrics: Metrics,
        on_dead: Callable[[EngineDead], None] = lambda _: None,
    ) -> None:
        """`on_dead`: hears on the event loop of every utterance that fails with `EngineDead`."""
        self._metrics = metrics
        self._on_dead = on_dead
        self._batched = model.info.max_batch > 1
        self._threads = [
            EngineThread(model, f"engine-{n}", self._hand_over) for n in range(threads)
        ]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ids = itertools.count(1)
        self._speeches: set[Speech] = set()
        self._busy_s = self._audio_s = 0.0  # running sums that fade: their ratio is the RTF
        self._late = 0.0  # running share of chunks that came after their deadline
        self._late_at_s = 0.0  # when it was that

    def start(self) -> None:
        """Start the threads, on the running event loop. Does not block."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop the threads. Blocks for one engine step at most."""
        for thread in self._threads:
            thread.stop()

    @property
    def waiting(self) -> int:
        """Utterances that wait for an engine."""
        return sum(thread.waiting for thread in self._threads)

    @property
    def threads(self) -> int:
        """Engine threads there are."""
        return len(self._threads)

    @property
    def rtf(self) -> float:
        """Seconds of computing for a second of audio, lately; 0 before the first audio."""
        return self._busy_s / self._audio_s if self._audio_s else 0.0

    def next_id(self) -> str:
        """A fresh utterance id."""
        return f"u{next(self._ids)}"

    def open(self, utterance: Utterance) -> Speech:
        """Begin an utterance on the least busy thread. Does not block; an utterance that the engine
        refuses fails at its first `next_chunk`.
        """
        thread = min(self._threads, key=lambda each: each.load)
        speech = Speech(utterance, thread, self._speeches.discard)
        self._speeches.add(speech)
        thread.begin(speech)
        return speech

    @property
    def overloaded(self) -> bool:
        """Whether one listener more would break the deadlines of those there are.

        Each of them takes RTF of one thread, and the sum must fit (the test of utilisation for
        earliest deadline first: Liu and Layland, 1973). A machine that is late is full whatever the
        sum says. An engine that advances many utterances in one step has no such sum: one listener
        more costs it hardly anything until it is late.
        """
        if self._loop is None or not self._audio_s:
            return False
        now_s = self._loop.time()
        since_s = now_s - _LISTENING_S
        listeners = sum(since_s < each.deadline_s < float("inf") for each in self._speeches)
        if not listeners:
            return False
        if self._late_now(now_s) > _LATE_SHARE:
            return True
        demand = (listeners + 1) * self.rtf
        return not self._batched and demand > _FULL_SHARE * len(self._threads)

    def _late_now(self, now_s: float) -> float:
        return self._late * math.exp((self._late_at_s - now_s) / _LATE_FADES_S)

    def _hand_over(self, step: StepResult) -> None:
        """Bring a result from an engine thread to the event loop."""
        assert self._loop is not None, "start() comes first"
        try:
            self._loop.call_soon_threadsafe(self._deliver, step)
        except RuntimeError:  # the loop has closed: nobody is left to tell
            log.debug("scheduler.loop_closed")

    def _deliver(self, step: StepResult) -> None:
        assert self._loop is not None, "start() comes first"
        self._busy_s += _RTF_SMOOTHING * (step.busy_s - self._busy_s)
        self._audio_s += _RTF_SMOOTHING * (step.audio_s - self._audio_s)
        if step.audio_s:
            self._metrics.rendered(step.audio_s, step.busy_s)
        now_s = self._loop.time()
        self._late, self._late_at_s = self._late_now(now_s), now_s
        for speech, result in step.results:
            self._late += _LATE_SMOOTHING * ((now_s > speech.deadline_s) - self._late)
            speech.deliver(result, step.busy_s)
            if isinstance(result, Failure) and isinstance(result.error, EngineDead):
                self._on_dead(result.error)
