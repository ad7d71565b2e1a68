"""The one bridge between asyncio and the engine threads; earliest deadline first.

Every engine belongs to one thread. A `UtteranceHandle` (one spoken utterance) is bound to the
least busy thread when it is opened; its commands go there over a deque, its chunks come back
through `call_soon_threadsafe`. A thread always advances the utterance with the earliest deadline.

A thread whose engine stays in one step is given up and replaced: the utterance that it was at
fails, the others go on in other threads, behind what was heard of them.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Callable

import structlog

from backend.engines.base import Failure, Model, Utterance
from backend.errors import EngineDead, EngineFailed
from backend.monitoring.metrics import Metrics
from backend.synthesis.engine_thread import EngineThread, StepResult
from backend.synthesis.utterance_handle import UtteranceHandle

log = structlog.get_logger(__name__)

_LISTENING_S = 5.0  # a listener whose last deadline is longer past than this hears nothing now
_FULL_SHARE = 0.95  # of the threads' time, on the wall: what others take of the cores is in it
_LATE_SHARE = 0.2  # of the recent chunks: with more of them late the machine is too slow
_RTF_SMOOTHING = 0.01  # weight of a new step: a first word costs twice what a sentence does
_LATE_SMOOTHING = 0.05  # weight of a new chunk
_LATE_FADES_S = 10.0  # to 1/e: a burst that was late is over, whether or not others follow
_CHECK_S = 0.25  # between two looks at what the threads are at
_MOST_LOST = 8  # threads given up that still hang: each keeps its memory, and maybe a core
_STOP_S = 1.5  # that all threads together get to end their steps
_ALL_HANG = "no engine thread answers; restart the server"


class Scheduler:
    """The engine threads, and who of them speaks what. Lives on one event loop."""

    def __init__(
        self,
        model: Model,
        threads: int,
        metrics: Metrics,
        patience_s: float = math.inf,
        on_dead: Callable[[EngineDead], None] = lambda _: None,
    ) -> None:
        """`patience_s`: how long an engine may be at an utterance without a result; that it waits
        for its turn does not count. `on_dead`: hears on the event loop of every utterance that
        fails with `EngineDead`.
        """
        self._model = model
        self._wanted = threads
        self._metrics = metrics
        self._patience_s = patience_s
        self._on_dead = on_dead
        self._batched = model.info.max_batch > 1
        self._numbers = itertools.count()
        self._threads = [self._create_thread() for _ in range(threads)]
        self._lost: list[EngineThread] = []
        self._watched: dict[EngineThread, tuple[object, int]] = {}  # its step, and for how long
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ids = itertools.count(1)
        self._speeches: set[UtteranceHandle] = set()
        self._busy_s = self._audio_s = 0.0  # running sums that fade: their ratio is the RTF
        self._late = 0.0  # running share of chunks that came after their deadline
        self._late_at_s = 0.0  # when it was that

    def _create_thread(self) -> EngineThread:
        name = f"engine-{next(self._numbers)}"
        return EngineThread(self._model, name, self._hand_over, self._patience_s)

    def start(self) -> None:
        """Start the threads, on the running event loop. Does not block."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    def watch(self) -> None:
        """From now on replace threads that hang; comes after the warm-up, which may take long."""
        if not self._stopped:
            self.check_threads()
            assert self._loop is not None, "start() comes first"
            self._loop.call_later(_CHECK_S, self.watch)

    def check_threads(self) -> None:
        """Have a look at what each thread is at, and replace those that were at it for too long.

        The looks are counted, not the seconds: a machine that slept has lost no thread.
        """
        looks = math.ceil(self._model.info.step_limit_s / _CHECK_S)
        for thread in self._threads[:]:
            at = thread.at
            seen, times = self._watched.get(thread, (None, 0))
            times = times + 1 if at and at is seen else 0
            self._watched[thread] = at, times
            if times >= looks:
                self._give_up(thread, at)
        self._fill()

    def stop(self) -> None:
        """Stop the threads. Blocks for one engine step, `_STOP_S` at most: a thread that hangs ends
        with the process.
        """
        self._stopped = True
        for thread in self._threads:
            thread.stop()
        until_s = time.monotonic() + _STOP_S
        hanging = [t.name for t in self._threads if not t.join(until_s - time.monotonic())]
        if hanging:
            log.warning("scheduler.hangs", threads=hanging)

    @property
    def waiting(self) -> int:
        """Utterances that wait for an engine."""
        return sum(thread.waiting for thread in self._threads)

    @property
    def threads(self) -> int:
        """Engine threads there are."""
        return len(self._threads)

    @property
    def complete(self) -> bool:
        """Whether all threads work; else some hang, and too many did to replace them."""
        return len(self._threads) == self._wanted

    @property
    def rtf(self) -> float:
        """Seconds of computing for a second of audio, lately; 0 before the first audio."""
        return self._busy_s / self._audio_s if self._audio_s else 0.0

    def next_id(self) -> str:
        """A fresh utterance id."""
        return f"u{next(self._ids)}"

    def open(self, utterance: Utterance) -> UtteranceHandle:
        """Begin an utterance on the least busy thread. Does not block; an utterance that the engine
        refuses fails at its first `next_chunk`.
        """
        thread = self._least_busy()
        speech = UtteranceHandle(utterance, thread, self._speeches.discard)
        self._speeches.add(speech)
        thread.begin(speech)
        if not self._threads:
            self._fail(speech, _ALL_HANG)
        return speech

    def _least_busy(self) -> EngineThread:
        """Where there is none any more: one that hangs, and takes no commands."""
        return min(self._threads or self._lost, key=lambda each: each.load)

    def _give_up(self, thread: EngineThread, at: tuple[UtteranceHandle, ...]) -> None:
        """Go on without a thread that hangs in a step with the utterances `at`."""
        self._threads.remove(thread)
        self._lost.append(thread)
        del self._watched[thread]
        thread.abandon()
        limit_s = self._model.info.step_limit_s
        names = [speech.utterance.id for speech in at]
        log.error("engine.hangs", thread=thread.name, utterances=names, limit_s=limit_s)
        self._metrics.thread_lost()
        self._fill()
        for speech in [each for each in self._speeches if each.home is thread]:
            if speech in at:
                self._fail(speech, f"the engine was at it for {limit_s:g} s and is replaced")
            elif self._threads:
                speech.move(self._least_busy())
            else:
                self._fail(speech, _ALL_HANG)

    def _fill(self) -> None:
        """Replace the threads that were given up, unless too many of them still hang."""
        self._lost = [thread for thread in self._lost if thread.alive] or self._lost[-1:]
        while len(self._threads) < self._wanted and len(self._lost) <= _MOST_LOST:
            self._threads.append(self._create_thread())
            self._threads[-1].start()

    def _fail(self, speech: UtteranceHandle, why: str) -> None:
        speech.deliver(Failure(speech.utterance.id, EngineFailed(why)))

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
        self._metrics.rendered(step.audio_s, step.busy_s)
        now_s = self._loop.time()
        self._late, self._late_at_s = self._late_now(now_s), now_s
        for speech, result in step.results:
            self._late += _LATE_SMOOTHING * ((now_s > speech.deadline_s) - self._late)
            speech.deliver(result, step.busy_s)
            if isinstance(result, Failure) and isinstance(result.error, EngineDead):
                self._on_dead(result.error)
