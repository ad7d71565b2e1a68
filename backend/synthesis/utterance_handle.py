"""The event loop's handle of an utterance that an engine thread renders."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, Self

from backend.engines.base import Chunk, Failure, Model, Release, Utterance
from backend.synthesis.live_listeners import LiveListener

if TYPE_CHECKING:
    from backend.synthesis.work_queue import Seat

Result = Chunk | Failure


class Queue(Protocol):
    """Queues releases for the engine threads; see `work_queue`."""

    def offer(self, utterance: UtteranceHandle, release: Release) -> None:
        """Queue the release."""

    def replace(self, utterance: UtteranceHandle, release: Release) -> bool:
        """Replace the queued release. Returns False if a thread has taken it."""

    def withdraw(self, utterance: UtteranceHandle) -> None:
        """Abort the utterance."""


class UtteranceHandle:
    """One utterance on its way through an engine. Made by `Scheduler.open_utterance`.

    `async with` it: leaving aborts the utterance, at whatever point that is.
    """

    def __init__(
        self,
        utterance: Utterance,
        model: Model,
        queue: Queue,
        listener: LiveListener | None,
        on_close: Callable[[UtteranceHandle], None],
    ) -> None:
        self.utterance = utterance
        self.model = model  # whose engine renders it
        self.listener = listener  # None in batch mode
        self.is_probe = False  # of a health check: nobody hears it
        self.deadline_s = float("inf")  # event loop time; orders this utterance among the others
        # The queue's, changed under its lock only:
        self.seat: Seat | None = None  # of the thread that holds its state
        self.release: Release | None = None  # that is not caught up
        self.queued_at_s = 0.0
        self.is_taken = False  # the release is in the engine
        self.in_step = False
        self.is_closed = False
        self._queue = queue
        self._on_close = on_close
        self._busy_s = 0.0
        self._results: asyncio.Queue[Result] = asyncio.Queue()  # bounded by one release's chunks
        self._spoken_to, self._spoken_ms = 0, 0.0
        self._offset, self._offset_ms = 0, 0.0  # where its present engine began

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._queue.withdraw(self)
        self._on_close(self)

    def extend(self, release: Release, deadline_s: float) -> None:
        """Queue a release; the next audio is due at `deadline_s`."""
        self.deadline_s = deadline_s
        self._queue.offer(self, release)

    def replace(self, release: Release) -> bool:
        """Replace the queued release. Returns False if it is being rendered."""
        return self._queue.replace(self, release)

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

    def deliver_result(self, result: Result, busy_s: float = 0.0) -> None:
        """Deliver an engine's result, of a step that took `busy_s`, on the event loop."""
        self._busy_s += busy_s
        if isinstance(result, Chunk):
            result = self._placed(result)
            self._spoken_to = result.end
            self._spoken_ms += len(result.pcm) * 1000 / self.model.info.sample_rate_hz
        self._results.put_nowait(result)

    def start_over(self) -> None:
        """Continue in another engine, after the audio already delivered."""
        self._offset, self._offset_ms = self._spoken_to, self._spoken_ms

    def for_engine(self, release: Release) -> Release:
        """A release in the offsets of the current engine."""
        at = self._offset
        if not at:
            return release
        return replace(release, text=release.text[at:], speak_to=release.speak_to - at)

    def _placed(self, chunk: Chunk) -> Chunk:
        """A chunk of the present engine in the utterance's own offsets and times."""
        at, at_ms = self._offset, self._offset_ms
        if not at and not at_ms:
            return chunk
        words = tuple(
            replace(
                word,
                start=word.start + at,
                end=word.end + at,
                start_ms=word.start_ms + at_ms,
                end_ms=word.end_ms + at_ms,
            )
            for word in chunk.words
        )
        return replace(chunk, start=chunk.start + at, end=chunk.end + at, words=words)
