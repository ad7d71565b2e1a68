"""Stores sent events for replay after a reconnect. Plain and synchronous.

Data written to a socket may never have arrived. The events are one ordered stream over all of a
client's connections, so acknowledging an event acknowledges all before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import TypeGuard

from backend.events import Advice, Audio, Cancelled, Done, Event, Failed, Retracted

ReplayableEvent = Audio | Done | Cancelled | Retracted | Failed | Advice

_EVENT_BYTES = 500  # per event beside its audio, about
_DROPPED_ANSWERS_LIMIT = 1000  # contexts with a dropped answer; oldest dropped beyond this limit
_ANSWERS_BYTES = 500_000  # allowed beyond the limit: answers never wait for room


def is_replayable(event: Event) -> TypeGuard[ReplayableEvent]:
    """Whether it is replayed on resume; `Pong` and `Ready` belong to their connection."""
    return isinstance(event, ReplayableEvent)


def event_size_bytes(event: Event) -> int:
    """Approximate memory of an event."""
    return _EVENT_BYTES + (len(event.data) if isinstance(event, Audio) else 0)


class ReplayBuffer:
    """Stores sent events until acknowledged, older than `ttl_s`, or evicted for room.

    After a client's first acknowledgement its audio is never evicted for room, and expires only
    for contexts that its last acknowledgement does not name. While the client is away nothing is
    dropped.

    `after`: by context, the `seq` of the last audio received; `answers`: how many other messages
    were received (None: not reported).
    """

    def __init__(self, limit_bytes: int, ttl_s: float, clock: Callable[[], float]) -> None:
        """`clock`: seconds."""
        self._limit_bytes = limit_bytes
        self._ttl_s = ttl_s
        self._clock = clock
        self._stored: deque[tuple[float, ReplayableEvent]] = deque()  # with the time stored
        self._answers_before = 0  # answers sent before those in `_stored`
        self._dropped_audio: dict[str, int] = {}  # by context: last `seq` dropped unreceived
        self._dropped_answers: dict[str, int] = {}  # by context: last answer's number
        self._client_acknowledges = False
        self._client_counts_answers = False
        self._named_contexts: Collection[str] = ()  # in the last acknowledgement
        self.is_client_away = False
        self.size_bytes = 0

    def store(self, event: ReplayableEvent) -> None:
        """Store a sent event for replay."""
        self._stored.append((self._clock(), event))
        self.size_bytes += event_size_bytes(event)
        while self.size_bytes > self._limit_bytes + _ANSWERS_BYTES:
            self._drop_oldest()

    def make_room(self, wanted_bytes: int) -> bool:
        """Evict what may be evicted. Returns whether `wanted_bytes` now fit."""
        if (
            not self._client_acknowledges
            and not self.is_client_away
            and wanted_bytes <= self._limit_bytes
        ):
            while self.size_bytes + wanted_bytes > self._limit_bytes:
                self._drop_oldest()
        return self.size_bytes + wanted_bytes <= self._limit_bytes

    def acknowledge(self, after: Mapping[str, int], answers: int | None) -> None:
        """Drop what the client has received."""
        self._client_acknowledges = True
        self._client_counts_answers |= answers is not None
        self._named_contexts = set(after)
        self._drop_received(after, answers)

    def drop_expired(self) -> None:
        """Drop events older than `ttl_s`."""
        if self.is_client_away:
            return
        before_s = self._clock() - self._ttl_s
        while (
            self._stored
            and self._stored[0][0] < before_s
            and not self._is_awaited(self._stored[0][1])
        ):
            self._drop_oldest()

    def take_unreceived(
        self, after: Mapping[str, int], answers: int | None
    ) -> tuple[list[ReplayableEvent], set[str]]:
        """Empty the buffer on resume. Returns the events to send again, in order, and the contexts
        with lost events; no events are returned for those.
        """
        self.is_client_away = False
        self._drop_received(after, answers)
        lost = {name for name, seq in self._dropped_audio.items() if seq > after.get(name, -1)}
        if answers is not None:
            lost |= {name for name, number in self._dropped_answers.items() if number > answers}
            self._answers_before = answers  # earlier answers are lost for good
        again = [event for _, event in self._stored if event.context not in lost]
        for name in lost:
            self._dropped_audio.pop(name, None)
        self._dropped_answers.clear()
        self._stored.clear()
        self.size_bytes = 0
        return again, lost

    def _drop_received(self, after: Mapping[str, int], answers: int | None) -> None:
        """Drop everything up to the last event known to be received."""
        number = self._answers_before + sum(
            not isinstance(event, Audio) for _, event in self._stored
        )
        for at in range(len(self._stored), 0, -1):
            event = self._stored[at - 1][1]
            if isinstance(event, Audio):
                received = event.seq <= after.get(event.context, -1)
            else:
                received = answers is not None and number <= answers
                number -= 1
            if received:
                for _ in range(at):
                    self._pop_oldest()
                return

    def _is_awaited(self, event: ReplayableEvent) -> bool:
        if isinstance(event, Audio):
            return self._client_acknowledges and event.context in self._named_contexts
        return self._client_counts_answers

    def _drop_oldest(self) -> None:
        event = self._pop_oldest()
        if isinstance(event, Audio):
            self._dropped_audio[event.context] = event.seq
        elif event.context is not None:
            self._dropped_answers[event.context] = self._answers_before
            if len(self._dropped_answers) > _DROPPED_ANSWERS_LIMIT:
                del self._dropped_answers[next(iter(self._dropped_answers))]

    def _pop_oldest(self) -> ReplayableEvent:
        _, event = self._stored.popleft()
        self.size_bytes -= event_size_bytes(event)
        if not isinstance(event, Audio):
            self._answers_before += 1
            if isinstance(event, Done | Cancelled):  # receiving it implies all before
                self._dropped_audio.pop(event.context, None)
        return event
