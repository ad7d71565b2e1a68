"""The one bridge between asyncio and the engine threads.

Utterances wait in one queue (`work_queue`); which one a thread takes next is the decision of
`render_order`. Results come back through `call_soon_threadsafe`.

The threads serve the engines of all the models that they are given: a step is whichever engine's
utterance comes next, so that the promise of `render_order` holds across engines.

A thread whose engine stays in one step is given up and replaced: the utterance in that step fails,
the others go on in other threads, after what was delivered of them.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Callable

import structlog

from backend.engines.base import Chunk, Failure, Model, Utterance
from backend.errors import EngineDead, EngineFailed
from backend.monitoring.metrics import Metrics
from backend.synthesis.engine_thread import EngineThread, StepResult
from backend.synthesis.limits import Limits as Limits
from backend.synthesis.live_listeners import LiveListener, LiveListeners
from backend.synthesis.render_costs import RenderCosts
from backend.synthesis.utterance_handle import UtteranceHandle
from backend.synthesis.work_queue import WorkQueue

log = structlog.get_logger(__name__)

_CHECK_S = 0.25  # between two looks at what the threads are at
_MOST_LOST = 8  # threads given up that still hang: each keeps its memory, and maybe a core
_STOP_S = 1.5  # that all threads together get to end their steps
_MOST_LOST_TO_ONE = 4  # of several engines, before it is given up so that the others keep theirs
_ASSUMED_RTF = 0.2  # of a further engine that has not rendered yet
_ALL_HANG = "no engine thread answers; restart the server"


class Scheduler:
    """The engine threads and their queue. Lives on one event loop."""

    def __init__(
        self,
        model: Model,
        threads: int,
        metrics: Metrics,
        limits: Limits | None = None,
        on_dead: Callable[[Model, EngineDead], None] = lambda *_: None,
    ) -> None:
        """`model`: the first; the threads create its engines when they start. `on_dead`: called on
        the event loop for every utterance that fails with `EngineDead`.
        """
        limits = limits or Limits()
        self.listeners = LiveListeners(
            threads, limits.max_first_wait_s, batched=model.info.max_batch > 1
        )
        self._first = model
        self._costs = {model: self.listeners.costs}
        self._given_up: dict[Model, EngineDead] = {}
        self._thread_target = threads
        self._metrics = metrics
        self._limits = limits
        self._on_dead = on_dead
        self._queue = WorkQueue(self.listeners, self._now_s)
        self._numbers = itertools.count()
        self._lost: dict[EngineThread, Model] = {}  # hanging, and in whose engine
        self._watched: dict[EngineThread, tuple[object, int]] = {}  # its step, and for how long
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ids = itertools.count(1)
        self._handles: set[UtteranceHandle] = set()
        self._threads = [self._create_thread() for _ in range(threads)]

    def _create_thread(self) -> EngineThread:
        """A simulated machine makes others."""
        name = f"engine-{next(self._numbers)}"
        return EngineThread(self._first, name, self._queue, self._post_step, self._limits)

    def _now_s(self) -> float:
        return self._loop.time() if self._loop else 0.0

    def add_model(self, model: Model) -> None:
        """Serve another model's engines with the same threads. Neither may batch."""
        self._costs[model] = RenderCosts(_ASSUMED_RTF)

    def costs_of(self, model: Model) -> RenderCosts:
        """What the renders of a model's engines cost."""
        return self._costs[model]

    @property
    def batched(self) -> bool:
        """Whether its one thread advances many utterances in a step."""
        return self._first.info.max_batch > 1

    @property
    def uses_device(self) -> bool:
        """Whether its engines compute on a GPU."""
        return self._first.device is not None

    @property
    def is_started(self) -> bool:
        """Whether `start_threads` was called."""
        return self._loop is not None

    def start_threads(self) -> None:
        """Start the threads, on the running event loop. Does not block."""
        self._loop = asyncio.get_running_loop()
        for thread in self._threads:
            thread.start()

    def watch_threads(self) -> None:
        """From now on replace threads that hang; comes after the warm-up, which may take long."""
        if not self._stopped:
            self.check_threads()
            assert self._loop is not None, "call start_threads() first"
            self._loop.call_later(_CHECK_S, self.watch_threads)

    def check_threads(self) -> None:
        """Look at the step of each thread, and replace those that were in it for too long.

        The looks are counted, not the seconds: a machine that slept has lost no thread.
        """
        for thread in self._threads[:]:
            step = thread.current_step
            limit_s = step[0].model.info.step_limit_s if step else math.inf
            seen, times = self._watched.get(thread, (None, 0))
            times = times + 1 if step and step is seen else 0
            self._watched[thread] = step, times
            if times * _CHECK_S >= limit_s:
                self._abandon_thread(thread, step)
        self._replace_lost_threads()

    def stop_threads(self) -> None:
        """Stop the threads. Blocks for one engine step, `_STOP_S` at most: a thread that hangs ends
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
        """Number of utterances with a release that is not rendered to its end."""
        return len(self._queue)

    @property
    def thread_count(self) -> int:
        """Number of engine threads."""
        return len(self._threads)

    @property
    def has_all_threads(self) -> bool:
        """Whether no thread is missing; else too many have hung to replace them all."""
        return len(self._threads) == self._thread_target

    @property
    def patience_s(self) -> float:
        """How long an engine may work on an utterance without a result."""
        return self._limits.patience_s

    @property
    def is_loaded(self) -> bool:
        """Whether the engines can speak without loading their weights first."""
        return all(thread.is_loaded for thread in self._threads)

    def announce_utterance(self) -> None:
        """Have unloaded engines load already: an utterance will come soon. Does not block."""
        if not self.is_loaded:
            self._queue.announce()

    def next_id(self) -> str:
        """A new utterance id."""
        return f"u{next(self._ids)}"

    def open_utterance(
        self,
        utterance: Utterance,
        listener: LiveListener | None = None,
        model: Model | None = None,
    ) -> UtteranceHandle:
        """Create an utterance's handle; `listener`: of its live context; `model`: by default the
        first. Does not block. If the engine refuses the utterance, the first `next_chunk` raises.
        """
        model = model or self._first
        handle = UtteranceHandle(utterance, model, self._queue, listener, self._handles.discard)
        self._handles.add(handle)
        if error := self._given_up.get(model):
            handle.deliver_result(Failure(utterance.id, error))
        elif not self._threads:
            self._fail_utterance(handle, _ALL_HANG)
        return handle

    def _abandon_thread(self, thread: EngineThread, step: tuple[UtteranceHandle, ...]) -> None:
        """Go on without a thread that hangs in a step with these utterances."""
        self._threads.remove(thread)
        model = step[0].model
        self._lost[thread] = model
        del self._watched[thread]
        thread.abandon()
        limit_s = model.info.step_limit_s
        names = [handle.utterance.id for handle in step]
        log.error("engine.hangs", thread=thread.name, utterances=names, limit_s=limit_s)
        self._metrics.count_lost_thread()
        self._replace_lost_threads()
        others = [h for h in self._handles if h.seat is thread.seat and h not in step]
        for handle in step:
            self._fail_utterance(handle, f"the engine hung for {limit_s:g} s and was replaced")
        self._queue.unbind(others, dropped=step)
        self._give_up_hanging(model)
        if self._threads:
            return
        for handle in {*others, *self._queue.waiting}:
            self._fail_utterance(handle, _ALL_HANG)

    def _give_up_hanging(self, model: Model) -> None:
        """Give up the engine of several that hangs in many threads: the others need those left."""
        lost = list(self._lost.values()).count(model)
        if len(self._costs) == 1 or lost < _MOST_LOST_TO_ONE or model in self._given_up:
            return
        error = EngineDead(f"{model.info.name} hangs in {lost} threads; restart the server")
        self._given_up[model] = error
        for handle in [each for each in self._handles if each.model is model]:
            self._queue.withdraw(handle)
            handle.deliver_result(Failure(handle.utterance.id, error))
        self._on_dead(model, error)

    def _replace_lost_threads(self) -> None:
        """Replace the threads that were given up, unless too many of them still hang."""
        self._lost = {thread: model for thread, model in self._lost.items() if thread.is_alive}
        while len(self._threads) < self._thread_target and len(self._lost) <= _MOST_LOST:
            self._threads.append(self._create_thread())
            self._threads[-1].start()

    def _fail_utterance(self, handle: UtteranceHandle, why: str) -> None:
        handle.deliver_result(Failure(handle.utterance.id, EngineFailed(why)))

    def _post_step(self, step: StepResult) -> None:
        """Bring a result from an engine thread to the event loop."""
        assert self._loop is not None, "call start_threads() first"
        try:
            self._loop.call_soon_threadsafe(self._deliver_step, step)
        except RuntimeError:  # the loop has closed
            log.debug("scheduler.loop_closed")

    def _deliver_step(self, step: StepResult) -> None:
        now_s = self._now_s()
        costs = self._costs[step.model]
        costs.count_step(step.busy_s, step.audio_s)
        self._metrics.count_step(step.audio_s, step.busy_s)
        for each in step.results:
            if isinstance(each.result, Chunk):
                if each.result.pcm.size and not each.handle.is_probe:
                    costs.rendered_at_s = now_s
                costs.count_render(step.busy_s / len(step.results), first=each.is_first)
            if not math.isinf(each.due_s):
                self.listeners.count_deadline(now_s, late=now_s > each.due_s)
            each.handle.deliver_result(each.result, step.busy_s)
            if isinstance(each.result, Failure) and isinstance(each.result.error, EngineDead):
                self._on_dead(step.model, each.result.error)
