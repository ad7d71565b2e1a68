"""The event loop's handle of an utterance that an engine thread renders."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, Self

from backend.engines.base import Chunk, EngineInfo, Failure, Release, Utterance

Result = Chunk | Failure


class OwningThread(Protocol):
    """The engine thread that renders an utterance; see `engine_thread`."""

    info: EngineInfo

    def begin(self, handle: UtteranceHandle) -> None:
        """Open the utterance in the engine."""

    def extend(self, handle: UtteranceHandle, release: Release) -> None:
        """Replace the utterance's release and queue the utterance."""

    def abort(self, handle: UtteranceHandle) -> None:
        """Forget the utterance."""


class UtteranceHandle:
    """An utterance that an engine thread renders. Created by `Scheduler.open_utterance`.

    An async context manager: leaving it aborts the utterance, finished or not.
    """

    def __init__(self, utterance: Utterance, thread: OwningThread, on_close: OnClose) -> None:
        self.utterance = utterance
        self.thread = thread
        self.deadline_s = float("inf")  # event loop time; its priority among the utterances
        self._busy_s = 0.0
        self._on_close = on_close
        self._results: asyncio.Queue[Result] = asyncio.Queue()  # bounded by one release's chunks
        self._release: Release | None = None  # that is not caught up
        self._spoken_to, self._spoken_ms = 0, 0.0
        self._offset, self._offset_ms = 0, 0.0  # where its current engine began

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.thread.abort(self)
        self._on_close(self)

    def extend(self, release: Release, deadline_s: float) -> None:
        """Send a release to the engine; the next audio is due at `deadline_s`."""
        self.deadline_s = deadline_s
        self._release = release
        self.thread.extend(self, self._remaining_release(release))

    def move_to(self, thread: OwningThread) -> None:
        """Go on in another engine, behind what was delivered, without its context."""
        self.thread = thread
        self._offset, self._offset_ms = self._spoken_to, self._spoken_ms
        thread.begin(self)
        if self._release is not None:
            thread.extend(self, self._remaining_release(self._release))

    async def next_chunk(self) -> Chunk:
        """Wait for the next chunk; after a `caught_up` chunk more come only after `extend`.

        Cancel-safe. Raises the `DuplexError` with which the engine failed this utterance.
        """
        result = await self._results.get()
        if isinstance(result, Failure):
            raise result.error
        return result

    def take_busy_s(self) -> float:
        """Return the engine's time for this utterance since the last call."""
        busy_s, self._busy_s = self._busy_s, 0.0
        return busy_s

    def deliver_result(self, result: Result, busy_s: float = 0.0) -> None:
        """Queue a result of an engine step that took `busy_s`. Called on the event loop."""
        self._busy_s += busy_s
        if isinstance(result, Chunk):
            result = self._shift_chunk(result)
            self._spoken_to = result.end
            self._spoken_ms += len(result.pcm) * 1000 / self.thread.info.sample_rate_hz
            if result.caught_up:
                self._release = None
        self._results.put_nowait(result)

    def _remaining_release(self, release: Release) -> Release:
        """The part of a release that the current engine renders."""
        at = self._offset
        return replace(release, text=release.text[at:], speak_to=release.speak_to - at)

    def _shift_chunk(self, chunk: Chunk) -> Chunk:
        """A chunk of the current engine in the utterance's own offsets and times."""
        at, at_ms = self._offset, self._offset_ms
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


OnClose = Callable[[UtteranceHandle], None]
