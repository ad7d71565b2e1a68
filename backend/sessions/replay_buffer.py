"""What was sent to a client and may have to be sent again. Plain and synchronous.

What was written to a socket may never have arrived. The client's messages are one ordered stream
over all of its connections, so what it says about the last it has received holds for all before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import TypeGuard

from backend.events import Audio, Cancelled, Done, Event, Failed, Retracted

Kept = Audio | Done | Cancelled | Retracted | Failed

_EVENT_BYTES = 500  # what an event takes beside its audio, about
_UNREPORTED_LIMIT = (
    1000  # contexts of which an answer was forgotten: after so many, the first is moot
)
_ANSWERS_BYTES = 500_000  # answers never wait for room: so much may they take beyond the limit


def is_kept(event: Event) -> TypeGuard[Kept]:
    """Whether it is sent again to a client that comes back; `Pong` and `Ready` are of their
    connection.
    """
    return isinstance(event, Kept)


def size_bytes(event: Event) -> int:
    """The memory that an event takes, about."""
    return _EVENT_BYTES + (len(event.data) if isinstance(event, Audio) else 0)


class ReplayBuffer:
    """Keeps what was sent until it is acknowledged, `ttl_s` has passed, or its room is needed.

    A client *acknowledges* once it has done so: its audio is not forgotten to make room, and only
    with time when the client does not speak of that context. While it is `away` nothing is
    forgotten.

    `after` is, by context, the `seq` of the last audio that the client has received; `answers` how
    many other messages it has (None: it does not say).
    """

    def __init__(self, limit_bytes: int, ttl_s: float, clock: Callable[[], float]) -> None:
        """`clock`: seconds."""
        self._limit_bytes = limit_bytes
        self._ttl_s = ttl_s
        self._clock = clock
        self._sent: deque[tuple[float, Kept]] = deque()  # with the time
        self._answers = 0  # how many there were before those in `_sent`
        self._unheard: dict[str, int] = {}  # by context: `seq` of the last audio forgotten
        self._error_unreported: dict[
            str, int
        ] = {}  # by context: number of the last answer forgotten
        self._acknowledges = False
        self._counts_answers = False
        self._named: Collection[str] = ()  # contexts of which the client spoke last
        self.away = False
        self.bytes = 0

    def keep(self, event: Kept) -> None:
        """It is being sent."""
        self._sent.append((self._clock(), event))
        self.bytes += size_bytes(event)
        while self.bytes > self._limit_bytes + _ANSWERS_BYTES:
            self._forget()

    def make_room(self, wanted_bytes: int) -> bool:
        """Whether so much fits beside what is kept; forgets for it what may be forgotten."""
        if not self._acknowledges and not self.away and wanted_bytes <= self._limit_bytes:
            while self.bytes + wanted_bytes > self._limit_bytes:
                self._forget()
        return self.bytes + wanted_bytes <= self._limit_bytes

    def acknowledge(self, after: Mapping[str, int], answers: int | None) -> None:
        """The client tells what it has received."""
        self._acknowledges = True
        self._counts_answers |= answers is not None
        self._named = set(after)
        self._drop_received(after, answers)

    def expire(self) -> None:
        """Forget what was sent too long ago."""
        if self.away:
            return
        before_s = self._clock() - self._ttl_s
        while self._sent and self._sent[0][0] < before_s and not self._awaited(self._sent[0][1]):
            self._forget()

    def take_back(
        self, after: Mapping[str, int], answers: int | None
    ) -> tuple[list[Kept], set[str]]:
        """The client is back. Returns what has to be sent again, in order, and the contexts of
        which something is lost; of those nothing is returned.
        """
        self.away = False
        self._drop_received(after, answers)
        lost = {name for name, seq in self._unheard.items() if seq > after.get(name, -1)}
        if answers is not None:
            lost |= {name for name, number in self._error_unreported.items() if number > answers}
            self._answers = answers  # of those before, what the client lacks it will never have
        again = [event for _, event in self._sent if event.context not in lost]
        for name in lost:
            self._unheard.pop(name, None)
        self._error_unreported.clear()
        self._sent.clear()
        self.bytes = 0
        return again, lost

    def _drop_received(self, after: Mapping[str, int], answers: int | None) -> None:
        """Drop everything up to the last that is known to have been received."""
        number = self._answers + sum(not isinstance(event, Audio) for _, event in self._sent)
        for at in range(len(self._sent), 0, -1):
            event = self._sent[at - 1][1]
            if isinstance(event, Audio):
                received = event.seq <= after.get(event.context, -1)
            else:
                received = answers is not None and number <= answers
                number -= 1
            if received:
                for _ in range(at):
                    self._pop()
                return

    def _awaited(self, event: Kept) -> bool:
        if isinstance(event, Audio):
            return self._acknowledges and event.context in self._named
        return self._counts_answers

    def _forget(self) -> None:
        event = self._pop()
        if isinstance(event, Audio):
            self._unheard[event.context] = event.seq
        elif event.context is not None:
            self._error_unreported[event.context] = self._answers
            if len(self._error_unreported) > _UNREPORTED_LIMIT:
                del self._error_unreported[next(iter(self._error_unreported))]

    def _pop(self) -> Kept:
        _, event = self._sent.popleft()
        self.bytes -= size_bytes(event)
        if not isinstance(event, Audio):
            self._answers += 1
            if isinstance(event, Done | Cancelled):  # who has this has what was before
                self._unheard.pop(event.context, None)
        return event
