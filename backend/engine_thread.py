"""An engine's own thread, and the utterances that it speaks.

The event loop sends commands over a deque; results go back through a callback, which must bring
them to the event loop (`scheduler`).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import structlog

from backend.engines.base import Chunk, Engine, EngineInfo, Failure, Model, Release, Utterance
from backend.errors import DuplexError, EngineFailed

log = structlog.get_logger(__name__)

Result = Chunk | Failure


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one engine step brought, and what it cost its thread."""

    results: list[tuple[Speech, Result]]
    busy_s: float = 0.0
    audio_s: float = 0.0


class Speech:
    """One utterance on its way through an engine. Made by `Scheduler.open`.

    `async with` it: leaving aborts the utterance, at whatever point that is.
    """

    def __init__(self, utterance: Utterance, thread: EngineThread, on_close: OnClose) -> None:
        self.utterance = utterance
        self.deadline_s = float("inf")  # event loop time; orders this utterance among the others
        self._busy_s = 0.0
        self._thread = thread
        self._on_close = on_close
        self._results: asyncio.Queue[Result] = asyncio.Queue()  # bounded by one release's chunks

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._thread.abort(self)
        self._on_close(self)

    def extend(self, release: Release, deadline_s: float) -> None:
        """Let the engine speak further; its next audio is due at `deadline_s`."""
        self.deadline_s = deadline_s
        self._thread.extend(self, release)

    async def next_chunk(self) -> Chunk:
        """The next chunk; after one that is `caught_up` only another `extend` brings more.

        Cancel-safe. Raises the `DuplexError` with which the engine failed this utterance.
        """
        result = await self._results.get()
        if isinstance(result, Failure):
            raise result.error
        return result

    def take_busy_s(self) -> float:
        """How long the engine was busy with this utterance since the last call."""
        busy_s, self._busy_s = self._busy_s, 0.0
        return busy_s

    def deliver(self, result: Result, busy_s: float = 0.0) -> None:
        """Take a result of the engine, from a step of `busy_s`, on the event loop."""
        self._busy_s += busy_s
        self._results.put_nowait(result)


OnClose = Callable[[Speech], None]


class EngineThread:
    """A thread, the engine that it owns, and the utterances that wait for it."""

    def __init__(self, model: Model, name: str, deliver: Callable[[StepResult], None]) -> None:
        self._model = model
        self._deliver = deliver
        self._wake = threading.Condition()
        self._commands: deque[tuple[Speech, Callable[[Engine], None]]] = deque()
        self._stopping = False
        self._open = 0  # the event loop's count
        self._begun: set[str] = set()  # these two are the thread's own
        self._pending: dict[str, Speech] = {}  # with a release that is not caught up
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def load(self) -> tuple[int, int]:
        """Utterances that wait, and utterances that are open."""
        return len(self._pending) + len(self._commands), self._open

    @property
    def waiting(self) -> int:
        """Utterances that wait for a step."""
        return len(self._pending)

    def start(self) -> None:
        """Start the thread. Does not block."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the step at hand. Blocks until then."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def begin(self, speech: Speech) -> None:
        """Open the utterance in the engine."""
        self._open += 1
        self._send(speech, lambda engine: self._begin(engine, speech))

    def extend(self, speech: Speech, release: Release) -> None:
        """Replace the utterance's release and let it wait for its turn."""
        self._send(speech, lambda engine: self._extend(engine, speech, release))

    def abort(self, speech: Speech) -> None:
        """Forget the utterance; the step that is at it now is finished and thrown away."""
        self._open -= 1
        self._send(speech, lambda engine: self._forget(engine, speech))

    def _send(self, speech: Speech, command: Callable[[Engine], None]) -> None:
        with self._wake:
            self._commands.append((speech, command))
            self._wake.notify()

    # --- on the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        engine = self._create_engine()
        while self._obey(engine):
            urgent = sorted(self._pending.values(), key=lambda speech: speech.deadline_s)
            if urgent:
                self._advance(engine, urgent[: max(1, engine.info.max_batch)])

    def _create_engine(self) -> Engine:
        try:
            return self._model.create_engine()
        except Exception as error:  # noqa: BLE001 - the engine boundary
            return AbsentEngine(self._model.info, _told(self._model.info, error).message)

    def _obey(self, engine: Engine) -> bool:
        """Carry out the waiting commands; sleep while there is nothing to do. False: stop."""
        with self._wake:
            while not (self._commands or self._pending or self._stopping):
                self._wake.wait()
            commands, self._commands = self._commands, deque()
        for speech, command in commands:
            try:
                command(engine)
            except Exception as error:  # noqa: BLE001 - the engine boundary
                self._deliver(StepResult([(speech, self._fail(engine, speech, error))]))
        return not self._stopping

    def _begin(self, engine: Engine, speech: Speech) -> None:
        engine.begin(speech.utterance)
        self._begun.add(speech.utterance.id)

    def _extend(self, engine: Engine, speech: Speech, release: Release) -> None:
        if speech.utterance.id in self._begun:  # else it has failed, and its speech knows
            engine.extend(speech.utterance.id, release)
            self._pending[speech.utterance.id] = speech

    def _forget(self, engine: Engine, speech: Speech) -> None:
        self._begun.discard(speech.utterance.id)
        self._pending.pop(speech.utterance.id, None)
        try:
            engine.abort(speech.utterance.id)
        except Exception as error:  # noqa: BLE001 - the engine boundary; nobody waits for this
            _told(engine.info, error)

    def _advance(self, engine: Engine, urgent: list[Speech]) -> None:
        started_s = time.perf_counter()
        results: list[Result]
        try:
            results = list(engine.step([speech.utterance.id for speech in urgent]))
        except Exception as error:  # noqa: BLE001 - the engine boundary
            results = [self._fail(engine, speech, error) for speech in urgent]
        busy_s = time.perf_counter() - started_s
        known = {speech.utterance.id: speech for speech in urgent}
        told = [(known[r.utterance_id], r) for r in results if r.utterance_id in known]
        for _, result in told:
            if isinstance(result, Failure):
                self._begun.discard(result.utterance_id)
            if isinstance(result, Failure) or result.caught_up:
                self._pending.pop(result.utterance_id, None)
        samples = sum(len(r.pcm) for _, r in told if isinstance(r, Chunk))
        self._deliver(StepResult(told, busy_s, samples / engine.info.sample_rate_hz))

    def _fail(self, engine: Engine, speech: Speech, error: Exception) -> Failure:
        self._forget(engine, speech)
        return Failure(speech.utterance.id, _told(engine.info, error))


@dataclass(slots=True)
class AbsentEngine:
    """Stands where an engine could not be created: refuses every utterance with the reason."""

    info: EngineInfo
    reason: str

    def begin(self, utterance: Utterance) -> None:
        """See `Engine`."""
        raise EngineFailed(self.reason)

    def extend(self, utterance_id: str, release: Release) -> None:
        """See `Engine`."""

    def step(self, urgent: Sequence[str]) -> list[Result]:
        """See `Engine`."""
        return []

    def abort(self, utterance_id: str) -> None:
        """See `Engine`."""


def _told(info: EngineInfo, error: Exception) -> DuplexError:
    """What clients are told of an engine's error; a bug is logged."""
    if isinstance(error, DuplexError):
        return error
    log.error("engine.failed", engine=info.name, exc_info=error)
    return EngineFailed(f"the engine failed ({type(error).__name__}); its log says more")
