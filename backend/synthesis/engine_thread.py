"""An engine thread: takes work from the queue, steps its engines, hands the results over.

Results go through a callback, which must bring them to the event loop (`scheduler`).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from backend.engines.base import Chunk, Engine, Failure, Model, UnloadableModel
from backend.errors import SpeechTimeout
from backend.synthesis.limits import Limits
from backend.synthesis.owned_engine import OwnedEngine, to_client_error
from backend.synthesis.utterance_handle import Result, UtteranceHandle
from backend.synthesis.work_queue import Work, WorkQueue


@dataclass(frozen=True, slots=True)
class RenderResult:
    """What a step brought for one utterance. `is_first`: its listener had heard nothing before.
    `due_s`: the deadline at the step's start, of a listener that had; else infinite.
    """

    handle: UtteranceHandle
    result: Result
    is_first: bool = False
    due_s: float = math.inf


@dataclass(frozen=True, slots=True)
class StepResult:
    """The results of one step of a model's engine, and what it cost its thread."""

    model: Model
    results: list[RenderResult]
    busy_s: float = 0.0
    audio_s: float = 0.0


class EngineThread:
    """A thread and the engines that it owns: one of each model that its queue serves, created when
    first needed. A step is one engine's.
    """

    def __init__(
        self,
        first: Model,
        name: str,
        queue: WorkQueue,
        deliver: Callable[[StepResult], None],
        limits: Limits,
    ) -> None:
        """`first`: its engine is created when the thread starts. A model that batches is the only
        one of its queue.
        """
        self.name = name
        self.seat = queue.join(max(1, first.info.max_batch))
        self._first = first
        self._queue = queue
        self._deliver = deliver
        self._limits = limits
        self._owned = {first: OwnedEngine(first)}
        self._abandoned = False
        self._current_step: tuple[UtteranceHandle, ...] = ()  # another object in each step
        self._begun: dict[str, Engine] = {}  # by utterance; these two are the thread's own
        self._worked_s: dict[str, float] = {}  # the engine's time since the last result
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def current_step(self) -> tuple[UtteranceHandle, ...]:
        """The utterances of the present step, empty between two steps. It is the same object for as
        long as it is the same step.
        """
        return self._current_step

    @property
    def is_loaded(self) -> bool:
        """Whether its engines can speak without loading first: see `OwnedEngine`."""
        return all(owned.is_loaded for owned in tuple(self._owned.values()))

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread. Does not block."""
        self._thread.start()

    def request_stop(self) -> None:
        """Let the present step be the last. Does not block."""
        self._queue.leave(self.seat)

    def join(self, timeout_s: float) -> bool:
        """Wait for the end, so long at most. Returns whether it has ended."""
        if self._thread.is_alive():
            self._thread.join(max(0.0, timeout_s))
        return not self._thread.is_alive()

    def abandon(self) -> None:
        """Drop whatever the present step brings, should it ever end; the thread ends with it. Does
        not block.
        """
        self._abandoned = True
        self.request_stop()

    # --- on the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        self._owned[self._first].load()
        while (work := self._queue.take(self.seat, self._idle_s())) is not None:
            if work.unload:
                for owned in self._owned.values():
                    owned.unload()
            else:
                self._advance(work)

    def _idle_s(self) -> float:
        """After how long without work to unload the engines: never while they hold utterances."""
        can_unload = any(
            isinstance(model, UnloadableModel) and owned.is_loaded
            for model, owned in self._owned.items()
        )
        return self._limits.idle_unload_s if can_unload and not self._begun else math.inf

    def _advance(self, work: Work) -> None:
        for utterance_id in work.aborted:
            self._forget(self._begun.get(utterance_id), utterance_id)
        if work.aborted and not work.utterances:
            return
        engine = self._load_engine(work.utterances[0].model if work.utterances else self._first)
        ready = self._prepare(engine, work)
        if ready:
            self._finish(self._step(engine, ready), ready)

    def _load_engine(self, model: Model) -> Engine:
        if model not in self._owned:
            self._owned[model] = OwnedEngine(model)
        return self._owned[model].load()

    def _prepare(self, engine: Engine, work: Work) -> list[UtteranceHandle]:
        """Give the engine what is new. Returns the utterances that it can advance."""
        ready = []
        for handle in work.utterances:
            name = handle.utterance.id
            self._current_step = (handle,)
            try:
                if name in work.begun:
                    engine.begin(handle.utterance)
                    self._begun[name] = engine
                if name in work.releases and name in self._begun:
                    engine.extend(name, work.releases[name])
            except Exception as error:  # noqa: BLE001 - the engine boundary
                failure = RenderResult(handle, self._fail(engine, handle, error))
                self._finish(StepResult(handle.model, [failure]), [handle])
            else:
                if name in self._begun:
                    ready.append(handle)
            self._current_step = ()
        return ready

    def _step(self, engine: Engine, handles: list[UtteranceHandle]) -> StepResult:
        before = {handle.utterance.id: _before_step(handle) for handle in handles}
        started_s = time.perf_counter()
        results: list[Result]
        self._current_step = tuple(handles)
        try:
            results = list(engine.step(list(before)))
        except Exception as error:  # noqa: BLE001 - the engine boundary
            results = [self._fail(engine, handle, error) for handle in handles]
        self._current_step = ()
        busy_s = time.perf_counter() - started_s
        results += self._fail_those_out_of_time(engine, handles, results, busy_s)
        known = [each for each in results if each.utterance_id in before]
        model = handles[0].model
        samples = sum(len(each.pcm) for each in known if isinstance(each, Chunk))
        if samples:
            self._owned[model].note_audio()
        rendered = [before[each.utterance_id](each) for each in known]
        return StepResult(model, rendered, busy_s, samples / model.info.sample_rate_hz)

    def _finish(self, step: StepResult, handles: list[UtteranceHandle]) -> None:
        """Give the utterances back to the queue and hand the results over."""
        if self._abandoned:
            return
        delivered = []
        for handle in handles:
            own = [each for each in step.results if each.handle is handle]
            delivered += self._give_back(handle, own)
        self._deliver(replace(step, results=delivered))

    def _give_back(self, handle: UtteranceHandle, own: list[RenderResult]) -> list[RenderResult]:
        """Give an utterance back with its results. A chunk that has caught up with a release that
        was replaced meanwhile has not caught up.
        """
        failed = any(isinstance(each.result, Failure) for each in own)
        if failed:
            self._begun.pop(handle.utterance.id, None)
        chunks = [each.result for each in own if isinstance(each.result, Chunk)]
        caught_up = any(chunk.caught_up for chunk in chunks)
        audio_s = sum(len(chunk.pcm) for chunk in chunks) / handle.model.info.sample_rate_hz
        if self._queue.give_back(handle, audio_s, caught_up=caught_up, failed=failed):
            return own
        return [
            replace(each, result=replace(each.result, caught_up=False))
            if isinstance(each.result, Chunk)
            else each
            for each in own
        ]

    def _fail_those_out_of_time(
        self, engine: Engine, handles: list[UtteranceHandle], results: list[Result], busy_s: float
    ) -> list[Result]:
        """Count the engine's time, and fail utterances that had too much of it without a result.
        Waiting for a turn does not count, nor does a step that brought something for others.
        """
        for result in results:
            self._worked_s.pop(result.utterance_id, None)
        failed: list[Result] = []
        for handle in handles if not results else ():
            worked_s = self._worked_s.get(handle.utterance.id, 0.0) + busy_s
            self._worked_s[handle.utterance.id] = worked_s
            patience_s = self._limits.patience_s
            if worked_s > patience_s:
                why = f"no audio within task_timeout ({patience_s:g} s of the engine's time)"
                failed.append(self._fail(engine, handle, SpeechTimeout(why)))
        return failed

    def _fail(self, engine: Engine, handle: UtteranceHandle, error: Exception) -> Failure:
        self._forget(engine, handle.utterance.id)
        return Failure(handle.utterance.id, to_client_error(handle.model.info.name, error))

    def _forget(self, engine: Engine | None, utterance_id: str) -> None:
        self._begun.pop(utterance_id, None)
        self._worked_s.pop(utterance_id, None)
        if engine is None:
            return
        try:
            engine.abort(utterance_id)
        except Exception as error:  # noqa: BLE001 - the engine boundary; only logged
            to_client_error(engine.info.name, error)


def _before_step(handle: UtteranceHandle) -> Callable[[Result], RenderResult]:
    """What makes a `RenderResult`, as the listener is now: giving the utterance back changes it."""
    listener = handle.listener
    is_first = listener is not None and not listener.has_heard
    due_s = math.inf if is_first else handle.deadline_s
    return lambda result: RenderResult(handle, result, is_first, due_s)
