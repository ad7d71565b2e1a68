"""The only bridge between asyncio and the engine threads; earliest deadline first.

Every engine belongs to one thread. An `UtteranceHandle` (one spoken utterance) is assigned to the
least busy thread when it is opened; its commands go there over a deque, its chunks come back
through `call_soon_threadsafe`. A thread always advances the utterance with the earliest deadline.

A thread whose engine hangs in a step is abandoned and replaced: the utterances of that step fail,
its others go on in other threads, behind the audio already delivered.
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

_LISTENING_S = 5.0  # a listener whose last deadline is longer past is not listening now
_FULL_SHARE = 0.95  # of the threads' wall-clock time, which includes other processes' load
_LATE_SHARE = 0.2  # of the recent chunks: with more of them late the machine is too slow
_RTF_SMOOTHING = 0.01  # weight of a new step: a first word costs twice what a sentence does
_LATE_SMOOTHING = 0.05  # weight of a new chunk
_LATE_FADES_S = 10.0  # to 1/e: a late burst is forgotten, even without new chunks
_CHECK_S = 0.25  # between two checks of the threads
_MOST_LOST = 8  # abandoned threads that still hang: each keeps its memory, and maybe a core
_STOP_S = 1.5  # for all threads together to end their steps
_ALL_HANG = "no engine thread answers; restart the server"


class Scheduler:
    """Assigns utterances to the engine threads. Lives on one event loop."""

    def __init__(
        self,
        model: Model,
        threads: int,
        metrics: Metrics,
        patience_s: float = math.inf,
        on_dead: Callable[[EngineDead], None] = lambda _: None,
    ) -> None:
        """`patience_s`: how long an engine may work on an utterance without a result, time in the
        queue not counted. `on_dead`: called on the event loop for every utterance that fails with
        `EngineDead`.
        """
        self._model = model
        self._thread_target = threads
        self._metrics = metrics
        self._patience_s = patience_s
        self._on_dead = on_dead
        self._batched = model.info.max_batch > 1
        self._numbers = itertools.count()
        self._threads = [self._create_thread() for _ in range(threads)]
        self._lost: list[EngineThread] = []
        self._watched: dict[EngineThread, tuple[object, int]] = {}  # its step, seen how often
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ids = itertools.count(1)
        self._handles: set[UtteranceHandle] = set()
        self._busy_s = self._audio_s = 0.0  # running sums that fade: their ratio is the RTF
        self._late = 0.0  # running share of chunks that came after their deadline,
        self._late_at_s = 0.0  # at this time

    def _create_thread(self) -> EngineThread:
        name = f"engine-{next(self._numbers)}"
        return EngineThread(self._model, name, self._post_step, self._patience_s)

    def start_threads(self) -> None:
        """Start the threads, on the running event loop. Does not block."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    def watch_threads(self) -> None:
        """Check the threads periodically from now on; call after the warm-up, which may be slow."""
        if not self._stopped:
            self.check_threads()
            assert self._loop is not None, "call start_threads() first"
            self._loop.call_later(_CHECK_S, self.watch_threads)

    def check_threads(self) -> None:
        """Replace the threads that have been in the same step for too long.

        Counts checks rather than seconds, so that a suspended machine loses no thread.
        """
        limit = math.ceil(self._model.info.step_limit_s / _CHECK_S)
        for thread in self._threads[:]:
            step = thread.current_step
            seen, checks = self._watched.get(thread, (None, 0))
            checks = checks + 1 if step and step is seen else 0
            self._watched[thread] = step, checks
            if checks >= limit:
                self._abandon_thread(thread, step)
        self._replace_lost_threads()

    def stop_threads(self) -> None:
        """Stop the threads. Blocks for one engine step, at most `_STOP_S`: a hanging thread ends
        with the process.
        """
        self._stopped = True
        for thread in self._threads:
            thread.request_stop()
        until_s = time.monotonic() + _STOP_S
        hanging = [t.name for t in self._threads if not t.join(until_s - time.monotonic())]
        if hanging:
            log.warning("scheduler.hangs", threads=hanging)

    @property
    def waiting_count(self) -> int:
        """Number of utterances waiting for an engine."""
        return sum(thread.waiting_count for thread in self._threads)

    @property
    def thread_count(self) -> int:
        """Number of engine threads."""
        return len(self._threads)

    @property
    def has_all_threads(self) -> bool:
        """Whether no thread is missing; else too many have hung to replace them all."""
        return len(self._threads) == self._thread_target

    @property
    def rtf(self) -> float:
        """Recent compute time per second of audio; 0 before the first audio."""
        return self._busy_s / self._audio_s if self._audio_s else 0.0

    def next_id(self) -> str:
        """A new utterance id."""
        return f"u{next(self._ids)}"

    def open_utterance(self, utterance: Utterance) -> UtteranceHandle:
        """Begin an utterance on the least busy thread. Does not block; if the engine refuses it,
        the first `next_chunk` raises.
        """
        thread = self._least_busy()
        handle = UtteranceHandle(utterance, thread, self._handles.discard)
        self._handles.add(handle)
        thread.begin(handle)
        if not self._threads:
            self._fail_utterance(handle, _ALL_HANG)
        return handle

    def _least_busy(self) -> EngineThread:
        """If none is left: an abandoned one, which ignores commands."""
        return min(self._threads or self._lost, key=lambda thread: thread.load)

    def _abandon_thread(self, thread: EngineThread, step: tuple[UtteranceHandle, ...]) -> None:
        """Abandon a thread that hangs in a step with the utterances `step`."""
        self._threads.remove(thread)
        self._lost.append(thread)
        del self._watched[thread]
        thread.abandon()
        limit_s = self._model.info.step_limit_s
        names = [handle.utterance.id for handle in step]
        log.error("engine.hangs", thread=thread.name, utterances=names, limit_s=limit_s)
        self._metrics.count_lost_thread()
        self._replace_lost_threads()
        for handle in [each for each in self._handles if each.thread is thread]:
            if handle in step:
                self._fail_utterance(handle, f"the engine hung for {limit_s:g} s and was replaced")
            elif self._threads:
                handle.move_to(self._least_busy())
            else:
                self._fail_utterance(handle, _ALL_HANG)

    def _replace_lost_threads(self) -> None:
        """Replace the abandoned threads, unless too many of them still hang."""
        self._lost = [thread for thread in self._lost if thread.is_alive] or self._lost[-1:]
        while len(self._threads) < self._thread_target and len(self._lost) <= _MOST_LOST:
            self._threads.append(self._create_thread())
            self._threads[-1].start()

    def _fail_utterance(self, handle: UtteranceHandle, why: str) -> None:
        handle.deliver_result(Failure(handle.utterance.id, EngineFailed(why)))

    @property
    def is_overloaded(self) -> bool:
        """Whether one more listener would break the deadlines of the present ones.

        Each listener uses RTF of one thread, and the sum must fit (the utilisation test for
        earliest deadline first: Liu and Layland, 1973). If chunks are late, the machine is full
        whatever the sum. The sum does not apply to an engine that advances many utterances in one
        step: one more costs it hardly anything until chunks are late.
        """
        if self._loop is None or not self._audio_s:
            return False
        now_s = self._loop.time()
        since_s = now_s - _LISTENING_S
        listeners = sum(since_s < handle.deadline_s < float("inf") for handle in self._handles)
        if not listeners:
            return False
        if self._late_share(now_s) > _LATE_SHARE:
            return True
        demand = (listeners + 1) * self.rtf
        return not self._batched and demand > _FULL_SHARE * len(self._threads)

    def _late_share(self, now_s: float) -> float:
        return self._late * math.exp((self._late_at_s - now_s) / _LATE_FADES_S)

    def _post_step(self, step: StepResult) -> None:
        """Bring a result from the engine thread to the event loop."""
        assert self._loop is not None, "call start_threads() first"
        try:
            self._loop.call_soon_threadsafe(self._deliver_step, step)
        except RuntimeError:  # the loop has closed
            log.debug("scheduler.loop_closed")

    def _deliver_step(self, step: StepResult) -> None:
        assert self._loop is not None, "call start_threads() first"
        self._busy_s += _RTF_SMOOTHING * (step.busy_s - self._busy_s)
        self._audio_s += _RTF_SMOOTHING * (step.audio_s - self._audio_s)
        self._metrics.count_step(step.audio_s, step.busy_s)
        now_s = self._loop.time()
        self._late, self._late_at_s = self._late_share(now_s), now_s
        for handle, result in step.results:
            self._late += _LATE_SMOOTHING * ((now_s > handle.deadline_s) - self._late)
            handle.deliver_result(result, step.busy_s)
            if isinstance(result, Failure) and isinstance(result.error, EngineDead):
                self._on_dead(result.error)
