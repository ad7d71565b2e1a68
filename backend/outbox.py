"""What waits to be written to one connection, and what happens when that is too much.

Audio waits for room: a slow reader stops its own rendering. Everything else is small and answers
something that the client sent, so it never waits; a client that asks and asks without reading the
answers is disconnected.
"""

from __future__ import annotations

import asyncio
from collections import deque

from backend.errors import SlowClient
from backend.events import Audio, Event

_ANSWERS_LIMIT = 1000  # a client that leaves so many answers unread reads nothing at all


class Outbox:
    """A queue of events, in order, with a bound of its own for audio."""

    def __init__(self, audio_limit: int) -> None:
        self._audio_limit = audio_limit
        self._events: deque[Event] = deque()
        self._audio = 0  # of the events, how many are audio
        self._some = asyncio.Event()
        self._room = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._events)

    async def put(self, event: Audio) -> None:
        """Queue audio; waits for room. Cancel-safe: a cancelled put has queued nothing."""
        while self._audio >= self._audio_limit:
            self._room.clear()
            await self._room.wait()
        self._audio += 1
        self._append(event)

    def post(self, event: Event) -> None:
        """Queue an answer; never waits. Raises `SlowClient` when far too many wait already."""
        if len(self._events) - self._audio >= _ANSWERS_LIMIT:
            raise SlowClient(f"{_ANSWERS_LIMIT} answers wait to be read; the connection is closed")
        self._append(event)

    async def get(self) -> Event:
        """The next event to write; waits for one. Cancel-safe."""
        while not self._events:
            self._some.clear()
            await self._some.wait()
        event = self._events.popleft()
        if isinstance(event, Audio):
            self._audio -= 1
            self._room.set()
        if not self._events:
            self._empty.set()
        return event

    async def emptied(self) -> None:
        """Wait until nothing waits any more. Cancel-safe."""
        await self._empty.wait()

    def purge(self, context: str) -> list[Audio]:
        """Drop the context's audio. Returns what was dropped, in order."""
        dropped = [e for e in self._events if isinstance(e, Audio) and e.context == context]
        if dropped:
            gone = set(map(id, dropped))
            self._events = deque(event for event in self._events if id(event) not in gone)
            self._audio -= len(dropped)
            self._room.set()
            if not self._events:
                self._empty.set()
        return dropped

    def _append(self, event: Event) -> None:
        self._events.append(event)
        self._empty.clear()
        self._some.set()
