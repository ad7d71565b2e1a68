"""What waits to be written to one client, and what happens when that is too much.

Audio waits for room: a slow reader stops its own rendering. Everything else is small and answers
something that the client sent, so it never waits; a client that asks and asks without reading the
answers is disconnected.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol

from backend.errors import SlowClient
from backend.events import Audio, Cancelled, Done, Event
from backend.sessions.replay_buffer import ReplayBuffer, is_kept, size_bytes

_ANSWERS_LIMIT = 1000  # a client that leaves so many answers unread reads nothing at all


class Watcher(Protocol):
    """Follows a context's way through the outbox."""

    def queued(self, event: Audio) -> None:
        """Audio is about to be queued; it may have to wait for room."""

    def taken(self, event: Audio) -> None:
        """Audio was taken to be written."""

    def returned(self, again: Sequence[Audio]) -> None:
        """The client is back; these had been taken, and are queued again."""

    def ended(self, outcome: str) -> None:
        """Nothing more of the context is taken."""


class SendQueue:
    """A queue of events, in order, with a bound of its own for audio.

    With a `replay_buffer`, events that were read can be read again after a `rewind`; queued and
    kept events then share one limit.
    """

    def __init__(self, audio_limit: int, replay_buffer: ReplayBuffer | None = None) -> None:
        self._audio_limit = audio_limit
        self._replay_buffer = replay_buffer
        self._events: deque[Event] = deque()
        self._watchers: dict[str, Watcher] = {}  # by context
        self._audio = 0  # of the events, how many are audio
        self._audio_bytes = 0
        self._some = asyncio.Event()
        self._room = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._events)

    def watch(self, context: str, watcher: Watcher) -> None:
        """Report the context's way, until its `Done` is taken or `unwatch`."""
        self._watchers[context] = watcher

    def unwatch(self, context: str, outcome: str) -> None:
        """Tell the context's watcher, if there is one, that this was all, and why."""
        if watcher := self._watchers.pop(context, None):
            watcher.ended(outcome)

    def abandon(self, outcome: str) -> None:
        """Nobody takes anything any more, and why: tell those that watch."""
        for context in list(self._watchers):
            self.unwatch(context, outcome)

    async def put(self, event: Audio) -> None:
        """Queue audio; waits for room. Cancel-safe: a cancelled put has queued nothing."""
        if watcher := self._watchers.get(event.context):
            watcher.queued(event)
        while not self._has_room(event):
            self._room.clear()
            await self._room.wait()
        self._append(event)

    async def offer(self, event: Event) -> None:
        """Queue an answer that can wait, until few others do. Cancel-safe."""
        while len(self._events) - self._audio >= _ANSWERS_LIMIT // 2:
            self._room.clear()
            await self._room.wait()
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
        self._count(event, -1)
        if self._replay_buffer is not None and is_kept(event):
            self._replay_buffer.keep(event)
        self._changed()
        self._report(event)
        return event

    async def emptied(self) -> None:
        """Wait until nothing waits any more. Cancel-safe."""
        await self._empty.wait()

    def purge(self, context: str) -> list[Audio]:
        """Drop the context's audio. Returns what was dropped, in order."""
        dropped = [e for e in self._events if isinstance(e, Audio) and e.context == context]
        if dropped:
            gone = set(map(id, dropped))
            self._replace([event for event in self._events if id(event) not in gone])
        return dropped

    # --- a client that comes back -----------------------------------------------------------------

    def acknowledge(self, after: Mapping[str, int], answers: int | None) -> None:
        """The client has received this much; see `ReplayBuffer`."""
        if self._replay_buffer is not None:
            self._replay_buffer.acknowledge(after, answers)
            self._room.set()

    def expire(self) -> None:
        """Forget what was read too long ago to be read again."""
        if self._replay_buffer is not None:
            self._replay_buffer.expire()

    def leave(self) -> None:
        """Nobody reads any more; what was read is kept until `rewind`."""
        if self._replay_buffer is not None:
            self._replay_buffer.away = True

    def rewind(self, after: Mapping[str, int], answers: int | None) -> set[str]:
        """Begin anew with what the client has not received. Returns the contexts of which something
        is lost: nothing of them waits any more.
        """
        assert self._replay_buffer is not None, "nothing was kept"
        again, lost = self._replay_buffer.take_back(after, answers)
        waiting = [event for event in self._events if is_kept(event) and event.context not in lost]
        self._replace([*again, *waiting])
        for context, watcher in self._watchers.items():
            watcher.returned([e for e in again if isinstance(e, Audio) and e.context == context])
        return lost

    def endings(self) -> set[str]:
        """The contexts whose end waits to be read."""
        return {event.context for event in self._events if isinstance(event, Done | Cancelled)}

    def greet(self, event: Event) -> None:
        """Queue the first word: before everything that waits."""
        self._append(event)
        self._events.rotate(1)

    # --- watching ---------------------------------------------------------------------------------

    def _report(self, event: Event) -> None:
        if isinstance(event, Audio) and (watcher := self._watchers.get(event.context)):
            watcher.taken(event)
        elif isinstance(event, Done):
            self.unwatch(event.context, "done")

    # --- counting ---------------------------------------------------------------------------------

    def _has_room(self, event: Audio) -> bool:
        if self._audio >= self._audio_limit:
            return False
        wanted_bytes = self._audio_bytes + size_bytes(event)
        return self._replay_buffer is None or self._replay_buffer.make_room(wanted_bytes)

    def _append(self, event: Event) -> None:
        self._events.append(event)
        self._count(event, 1)
        self._empty.clear()
        self._some.set()

    def _replace(self, events: list[Event]) -> None:
        self._events = deque(events)
        self._audio = self._audio_bytes = 0
        for event in events:
            self._count(event, 1)
        self._changed()

    def _changed(self) -> None:
        """Fewer may wait than before, or others."""
        self._room.set()
        if self._events:
            self._some.set()
            self._empty.clear()
        else:
            self._empty.set()

    def _count(self, event: Event, sign: int) -> None:
        if isinstance(event, Audio):
            self._audio += sign
            self._audio_bytes += sign * size_bytes(event)
