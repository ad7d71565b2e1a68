"""The thread that owns an engine.

The event loop sends commands over a deque; results go back through a callback, which must bring
them to the event loop (`scheduler`).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from backend.engines.base import Chunk, Engine, EngineInfo, Failure, Model, Release
from backend.engines.unavailable import UnavailableEngine
from backend.errors import DuplexError, EngineFailed, SpeechTimeout
from backend.synthesis.utterance_handle import Result, UtteranceHandle

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StepResult:
    """The results of one engine step, and its time on the thread."""

    results: list[tuple[UtteranceHandle, Result]]
    busy_s: float = 0.0
    audio_s: float = 0.0


class EngineThread:
    """A thread, the engine that it owns, and the utterances assigned to it."""

    def __init__(
        self, model: Model, name: str, deliver: Callable[[StepResult], None], patience_s: float
    ) -> None:
        """`patience_s`: how long the engine may work on an utterance without a result."""
        self.info = model.info
        self.name = name
        self._model = model
        self._deliver = deliver
        self._patience_s = patience_s
        self._wake = threading.Condition()
        self._commands: deque[tuple[UtteranceHandle, Callable[[Engine], None]]] = deque()
        self._stopping = False
        self._abandoned = False
        self._open_count = 0  # changed by the event loop only
        # The utterances of the current step: a new object in each step.
        self._current_step: tuple[UtteranceHandle, ...] = ()
        # These three are used by the thread only:
        self._begun: set[str] = set()
        self._pending: dict[str, UtteranceHandle] = {}  # whose release is not caught up
        self._worked_s: dict[str, float] = {}  # the engine's time since the last result
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def load(self) -> tuple[int, int]:
        """Number of waiting utterances, and of open ones."""
        return len(self._pending) + len(self._commands), self._open_count

    @property
    def waiting_count(self) -> int:
        """Number of utterances waiting for a step."""
        return len(self._pending)

    @property
    def current_step(self) -> tuple[UtteranceHandle, ...]:
        """The utterances of the current step, empty between steps. Each step has its own object."""
        return self._current_step

    @property
    def is_alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread. Does not block."""
        self._thread.start()

    def request_stop(self) -> None:
        """End the thread after the current step. Does not block."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def join(self, timeout_s: float) -> bool:
        """Block until the thread ends, at most `timeout_s`. Returns whether it has ended."""
        if self._thread.is_alive():
            self._thread.join(max(0.0, timeout_s))
        return not self._thread.is_alive()

    def abandon(self) -> None:
        """Give up a hanging thread: if its step ever ends, the result is discarded and the thread
        ends. Does not block.
        """
        with self._wake:
            self._abandoned = True
            self._commands.clear()
        self.request_stop()

    def begin(self, handle: UtteranceHandle) -> None:
        """Open the utterance in the engine."""
        self._open_count += 1
        self._send_command(handle, lambda engine: self._begin_utterance(engine, handle))

    def extend(self, handle: UtteranceHandle, release: Release) -> None:
        """Replace the utterance's release and queue the utterance."""
        self._send_command(handle, lambda engine: self._extend_utterance(engine, handle, release))

    def abort(self, handle: UtteranceHandle) -> None:
        """Forget the utterance; a step working on it is finished and its result discarded."""
        self._open_count -= 1
        self._send_command(handle, lambda engine: self._abort_utterance(engine, handle))

    def _send_command(self, handle: UtteranceHandle, command: Callable[[Engine], None]) -> None:
        with self._wake:
            if not self._abandoned:
                self._commands.append((handle, command))
                self._wake.notify()

    # --- on the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        engine = self._create_engine()
        while self._run_commands(engine):
            urgent = sorted(self._pending.values(), key=lambda handle: handle.deadline_s)
            if urgent:
                self._run_step(engine, urgent[: max(1, engine.info.max_batch)])

    def _create_engine(self) -> Engine:
        try:
            return self._model.create_engine()
        except Exception as error:  # noqa: BLE001 - the engine boundary
            return UnavailableEngine(
                self._model.info, _to_client_error(self._model.info, error).message
            )

    def _run_commands(self, engine: Engine) -> bool:
        """Run the queued commands; sleep while there is nothing to do. Returns False to stop."""
        with self._wake:
            while not (self._commands or self._pending or self._stopping):
                self._wake.wait()
            commands, self._commands = self._commands, deque()
        for handle, command in commands:
            self._current_step = (handle,)
            try:
                command(engine)
            except Exception as error:  # noqa: BLE001 - the engine boundary
                failure = self._fail_utterance(engine, handle, error)
                self._deliver_step(StepResult([(handle, failure)]))
            self._current_step = ()
        return not self._stopping

    def _begin_utterance(self, engine: Engine, handle: UtteranceHandle) -> None:
        engine.begin(handle.utterance)
        self._begun.add(handle.utterance.id)

    def _extend_utterance(self, engine: Engine, handle: UtteranceHandle, release: Release) -> None:
        if handle.utterance.id in self._begun:  # else it has failed, which was reported
            engine.extend(handle.utterance.id, release)
            self._pending[handle.utterance.id] = handle

    def _abort_utterance(self, engine: Engine, handle: UtteranceHandle) -> None:
        self._begun.discard(handle.utterance.id)
        self._pending.pop(handle.utterance.id, None)
        self._worked_s.pop(handle.utterance.id, None)
        try:
            engine.abort(handle.utterance.id)
        except Exception as error:  # noqa: BLE001 - the engine boundary; only logged
            _to_client_error(engine.info, error)

    def _run_step(self, engine: Engine, urgent: list[UtteranceHandle]) -> None:
        started_s = time.perf_counter()
        results: list[Result]
        self._current_step = tuple(urgent)
        try:
            results = list(engine.step([handle.utterance.id for handle in urgent]))
        except Exception as error:  # noqa: BLE001 - the engine boundary
            results = [self._fail_utterance(engine, handle, error) for handle in urgent]
        self._current_step = ()
        busy_s = time.perf_counter() - started_s
        results += self._fail_overdue(engine, urgent, results, busy_s)
        known = {handle.utterance.id: handle for handle in urgent}
        delivered = [(known[r.utterance_id], r) for r in results if r.utterance_id in known]
        for _, result in delivered:
            if isinstance(result, Failure):
                self._begun.discard(result.utterance_id)
            if isinstance(result, Failure) or result.caught_up:
                self._pending.pop(result.utterance_id, None)
        samples = sum(len(r.pcm) for _, r in delivered if isinstance(r, Chunk))
        self._deliver_step(StepResult(delivered, busy_s, samples / engine.info.sample_rate_hz))

    def _fail_overdue(
        self, engine: Engine, urgent: list[UtteranceHandle], results: list[Result], busy_s: float
    ) -> list[Result]:
        """Fail the utterances that took too much engine time without a result. Waiting for others
        does not count, nor does a step with a result for any utterance.
        """
        for result in results:
            self._worked_s.pop(result.utterance_id, None)
        failed: list[Result] = []
        for handle in urgent if not results else ():
            worked_s = self._worked_s.get(handle.utterance.id, 0.0) + busy_s
            self._worked_s[handle.utterance.id] = worked_s
            if worked_s > self._patience_s:
                why = f"no audio within task_timeout ({self._patience_s:g} s of engine time)"
                failed.append(self._fail_utterance(engine, handle, SpeechTimeout(why)))
        return failed

    def _fail_utterance(self, engine: Engine, handle: UtteranceHandle, error: Exception) -> Failure:
        self._abort_utterance(engine, handle)
        return Failure(handle.utterance.id, _to_client_error(engine.info, error))

    def _deliver_step(self, step: StepResult) -> None:
        if not self._abandoned:
            self._deliver(step)


def _to_client_error(info: EngineInfo, error: Exception) -> DuplexError:
    """The error that clients get for an engine's error; bugs are logged."""
    if isinstance(error, DuplexError):
        return error
    log.error("engine.failed", engine=info.name, exc_info=error)
    return EngineFailed(f"the engine failed ({type(error).__name__}); see the server's log")
