"""Queues for the caller's audio and digits, until the agent reads them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

from duplex_tts.telephony.carrier import CallerAudio

T = TypeVar("T")
_RESTART_CHUNKS = 50  # a jump larger than this restarts the count


class Inbox(Generic[T]):
    """A bounded queue that drops its oldest items; iterate it until it is closed.

    `dropped`: how many were dropped. Concurrent iterators share the items.
    """

    def __init__(self, limit: int) -> None:
        self.dropped = 0
        self._items: deque[T] = deque(maxlen=limit)
        self._changed = asyncio.Event()
        self._closed = False

    def put(self, item: T) -> None:
        """Add an item; when full, the oldest is dropped."""
        self.dropped += len(self._items) == self._items.maxlen
        self._items.append(item)
        self._changed.set()

    def close(self) -> None:
        """End iteration after the queued items."""
        self._closed = True
        self._changed.set()

    def __aiter__(self) -> Inbox[T]:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        return self._items.popleft()


class ReorderBuffer:
    """Restores the order of audio by chunk number. A missing chunk is awaited for at most `limit`
    later ones. Late and duplicate chunks are dropped.
    """

    def __init__(self, limit: int = 5) -> None:
        self._limit = limit
        self._next: int | None = None
        self._early: dict[int, CallerAudio] = {}

    def push_audio(self, audio: CallerAudio) -> list[CallerAudio]:
        """Add audio; returns what is in order now."""
        if audio.chunk is None:
            return [audio]
        if self._next is None or abs(audio.chunk - self._next) > _RESTART_CHUNKS:
            self._next = audio.chunk
            self._early.clear()
        if audio.chunk >= self._next:
            self._early[audio.chunk] = audio
        if len(self._early) > self._limit:  # the missing chunk is lost
            self._next = min(self._early)
        ready = []
        while self._next in self._early:
            ready.append(self._early.pop(self._next))
            self._next += 1
        return ready
