"""What the caller sends, until the agent's code takes it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

from duplex_tts.telephony.carrier import Sound

T = TypeVar("T")
_FAR_CHUNKS = 50


class Inbox(Generic[T]):
    """A bounded queue that forgets its oldest items; iterate it until it is closed.

    `dropped`: how many were forgotten. Two who iterate share the items.
    """

    def __init__(self, limit: int) -> None:
        self.dropped = 0
        self._items: deque[T] = deque(maxlen=limit)
        self._changed = asyncio.Event()
        self._closed = False

    def put(self, item: T) -> None:
        """Add one; when full, the oldest is lost."""
        self.dropped += len(self._items) == self._items.maxlen
        self._items.append(item)
        self._changed.set()

    def close(self) -> None:
        """Iterating ends after what is here."""
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


class Reorder:
    """Puts sounds in the order of their chunks, waiting for a missing one no longer than `limit`
    sounds. What comes too late or twice is dropped.
    """

    def __init__(self, limit: int = 5) -> None:
        self._limit = limit
        self._next: int | None = None
        self._early: dict[int, Sound] = {}

    def push(self, sound: Sound) -> list[Sound]:
        """What is in order now that this came."""
        if sound.chunk is None:
            return [sound]
        if self._next is None or abs(sound.chunk - self._next) > _FAR_CHUNKS:
            self._next = sound.chunk  # the count has begun anew
            self._early.clear()
        if sound.chunk >= self._next:
            self._early[sound.chunk] = sound
        if len(self._early) > self._limit:  # the missing one is lost
            self._next = min(self._early)
        ready = []
        while self._next in self._early:
            ready.append(self._early.pop(self._next))
            self._next += 1
        return ready
