"""Bounded queue of events to write to one client.

Audio waits for room: a slow reader stops its own rendering. Other events are small answers to the
client's messages and never wait; a client that keeps sending without reading the answers is
disconnected.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol

from backend.errors import SlowClient
from backend.events import Audio, Cancelled, Done, Event
from backend.sessions.line import Line
from backend.sessions.replay_buffer import ReplayBuffer, event_size_bytes, is_replayable

_ANSWERS_LIMIT = 1000  # unread; the client is disconnected beyond this


class Watcher(Protocol):
    """Observes a context's audio in the send queue."""

    def on_queued(self, event: Audio) -> None:
        """Called before audio is queued; it may have to wait for room."""

    def on_taken(self, event: Audio) -> None:
        """Called when audio is taken for writing."""

    def on_returned(self, again: Sequence[Audio]) -> None:
        """Called on resume; these had been taken and are queued again."""

    def on_ended(self, outcome: str) -> None:
        """Called when no more of the context will be taken."""


class SendQueue:
    """FIFO of events with separate bounds for audio and answers.

    With a `replay_buffer`, taken events can be queued again by `rewind`; queued and stored events
    then share one byte limit. `line`: to the client, if its connection measures one.
    """

    def __init__(
        self,
        audio_limit: int,
        replay_buffer: ReplayBuffer | None = None,
        line: Line | None = None,
    ) -> None:
        self.line = line
        self._audio_limit = audio_limit
        self._replay_buffer = replay_buffer
        self._events: deque[Event] = deque()
        self._watchers: dict[str, Watcher] = {}  # by context
        self._waiting_ranks: list[int] = []  # of contexts that wait for the line
        self._audio_count = 0  # audio events queued
        self._audio_bytes = 0
        self._not_empty = asyncio.Event()
        self._room_freed = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._events)

    def add_watcher(self, context: str, watcher: Watcher) -> None:
        """Notify `watcher` until the context's `Done` is taken, or `remove_watcher`."""
        self._watchers[context] = watcher

    def remove_watcher(self, context: str, outcome: str) -> None:
        """End and remove the context's watcher, if any."""
        if watcher := self._watchers.pop(context, None):
            watcher.on_ended(outcome)

    def remove_watchers(self, outcome: str) -> None:
        """End and remove all watchers."""
        for context in list(self._watchers):
            self.remove_watcher(context, outcome)

    async def put_audio(self, event: Audio) -> None:
        """Queue audio; waits for room. Cancel-safe: a cancelled put has queued nothing."""
        if watcher := self._watchers.get(event.context):
            watcher.on_queued(event)
        while not self._has_room(event):
            self._room_freed.clear()
            await self._room_freed.wait()
        self._append(event)

    def is_line_free(self) -> bool:
        """Whether audio queued now would be written at once and arrive soon."""
        return self.line is None or (not self._audio_count and self.line.has_room)

    async def wait_line_free(self, rank: int) -> None:
        """Wait for `is_line_free`; the lowest rank first. Cancel-safe."""
        if self.line is None:
            return
        self._waiting_ranks.append(rank)
        try:
            while not self.is_line_free() or rank > min(self._waiting_ranks):
                await self.line.wait_changed()
        finally:
            self._waiting_ranks.remove(rank)
            self.line.notify()

    async def put_answer(self, event: Event) -> None:
        """Queue an answer; waits while many are queued. Cancel-safe."""
        while len(self._events) - self._audio_count >= _ANSWERS_LIMIT // 2:
            self._room_freed.clear()
            await self._room_freed.wait()
        self._append(event)

    def put_nowait(self, event: Event) -> None:
        """Queue an answer. Raises `SlowClient` if `_ANSWERS_LIMIT` are queued."""
        if len(self._events) - self._audio_count >= _ANSWERS_LIMIT:
            raise SlowClient(f"{_ANSWERS_LIMIT} answers wait to be read; the connection is closed")
        self._append(event)

    async def get(self) -> Event:
        """Take the next event to write; waits for one. Cancel-safe."""
        while not self._events:
            self._not_empty.clear()
            await self._not_empty.wait()
        event = self._events.popleft()
        self._count_audio(event, -1)
        if self.line is not None and isinstance(event, Audio):
            self.line.on_taken()
        if self._replay_buffer is not None and is_replayable(event):
            self._replay_buffer.store(event)
        self._wake_waiters()
        self._notify_watcher(event)
        return event

    async def wait_empty(self) -> None:
        """Wait until the queue is empty. Cancel-safe."""
        await self._empty.wait()

    def drop_audio(self, context: str) -> list[Audio]:
        """Drop the context's queued audio. Returns it, in order."""
        dropped = [e for e in self._events if isinstance(e, Audio) and e.context == context]
        if dropped:
            dropped_ids = set(map(id, dropped))
            self._replace_events([e for e in self._events if id(e) not in dropped_ids])
        return dropped

    # --- resuming ---------------------------------------------------------------------------------

    def acknowledge(self, after: Mapping[str, int], answers: int | None) -> None:
        """Drop what the client has received; see `ReplayBuffer`."""
        if self._replay_buffer is not None:
            self._replay_buffer.acknowledge(after, answers)
            self._room_freed.set()

    def drop_expired(self) -> None:
        """Drop stored events that are too old to replay."""
        if self._replay_buffer is not None:
            self._replay_buffer.drop_expired()

    def mark_client_away(self) -> None:
        """Keep all stored events until `rewind`: the connection is gone."""
        if self._replay_buffer is not None:
            self._replay_buffer.is_client_away = True

    def rewind(self, after: Mapping[str, int], answers: int | None) -> set[str]:
        """Queue unreceived events again, before those still queued. Returns the contexts with lost
        events; nothing of those stays queued.
        """
        assert self._replay_buffer is not None, "the session is not resumable"
        again, lost = self._replay_buffer.take_unreceived(after, answers)
        waiting = [
            event for event in self._events if is_replayable(event) and event.context not in lost
        ]
        self._replace_events([*again, *waiting])
        for context, watcher in self._watchers.items():
            watcher.on_returned([e for e in again if isinstance(e, Audio) and e.context == context])
        return lost

    def queued_endings(self) -> set[str]:
        """Contexts whose `Done` or `Cancelled` is queued."""
        return {event.context for event in self._events if isinstance(event, Done | Cancelled)}

    def put_first(self, event: Event) -> None:
        """Queue an event before all others."""
        self._append(event)
        self._events.rotate(1)

    # --- watchers ---------------------------------------------------------------------------------

    def _notify_watcher(self, event: Event) -> None:
        if isinstance(event, Audio) and (watcher := self._watchers.get(event.context)):
            watcher.on_taken(event)
        elif isinstance(event, Done):
            self.remove_watcher(event.context, "done")

    # --- counting ---------------------------------------------------------------------------------

    def _has_room(self, event: Audio) -> bool:
        if self._audio_count >= self._audio_limit:
            return False
        wanted_bytes = self._audio_bytes + event_size_bytes(event)
        return self._replay_buffer is None or self._replay_buffer.make_room(wanted_bytes)

    def _append(self, event: Event) -> None:
        self._events.append(event)
        self._count_audio(event, 1)
        self._empty.clear()
        self._not_empty.set()

    def _replace_events(self, events: list[Event]) -> None:
        self._events = deque(events)
        self._audio_count = self._audio_bytes = 0
        for event in events:
            self._count_audio(event, 1)
        self._wake_waiters()

    def _wake_waiters(self) -> None:
        """Wake waiters after events were removed or replaced."""
        self._room_freed.set()
        if self.line is not None:
            self.line.notify()
        if self._events:
            self._not_empty.set()
            self._empty.clear()
        else:
            self._empty.set()

    def _count_audio(self, event: Event, sign: int) -> None:
        if isinstance(event, Audio):
            self._audio_count += sign
            self._audio_bytes += sign * event_size_bytes(event)
