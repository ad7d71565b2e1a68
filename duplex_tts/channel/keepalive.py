"""Pings: they detect a dead peer, and acknowledge received messages in both directions.

Synchronous, except for the futures of awaited pings; the caller passes the time (seconds, any
origin).
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

from duplex_tts.channel import wire
from duplex_tts.errors import ClientError
from duplex_tts.events import Pong

PING_S = 1.0  # interval while there is something to acknowledge, in either direction
KEEPALIVE_S = 5.0  # interval otherwise
ACKNOWLEDGE_BYTES = 256 * 1024

PingResult = asyncio.Future[float]
"""Gets the round trip in milliseconds."""


@dataclass(slots=True)
class _SentPing:
    sent_s: float
    result: PingResult | None


class Keepalive:
    """The pings of one server session, and what they acknowledge.

    `ping_ms`: the last round trip.
    """

    def __init__(self, now_s: float) -> None:
        self.ping_ms: float | None = None
        self._ids = itertools.count(1)
        self._pings: dict[int, _SentPing] = {}
        self._active_s = now_s  # the last message received
        self._pinged_s = -math.inf
        self._replies = 0  # messages received in this session, without audio and pongs
        self._has_unacknowledged = False
        self._unacknowledged_bytes = 0

    @property
    def is_urgent(self) -> bool:
        """Whether so much is unacknowledged that a ping should be sent now."""
        return self._unacknowledged_bytes >= ACKNOWLEDGE_BYTES

    def note_activity(self, now_s: float) -> None:
        """Record that a message was received."""
        self._active_s = now_s

    def note_audio(self, size_bytes: int) -> None:
        """Record received audio, to be acknowledged."""
        self._has_unacknowledged = True
        self._unacknowledged_bytes += size_bytes

    def note_reply(self) -> None:
        """Record a received message that is neither audio nor a pong, to be acknowledged."""
        self._has_unacknowledged = True
        self._replies += 1

    def is_ping_due(self, now_s: float, *, unconfirmed: bool) -> bool:
        """Whether to ping now; `unconfirmed`: sent messages await the server's confirmation."""
        wait_s = PING_S if unconfirmed or self._has_unacknowledged else KEEPALIVE_S
        return self.is_urgent or now_s - self._pinged_s >= wait_s

    def acknowledgement(self, after: Mapping[str, int]) -> dict[str, object]:
        """The fields of `ping` and `resume` that say what was received.

        `after`: the last `seq` received, by open context.
        """
        return {"after": after, "answers": self._replies}

    def create_ping(
        self, now_s: float, after: Mapping[str, int], result: PingResult | None = None
    ) -> str:
        """Return the message to send. `result` gets the round trip in milliseconds."""
        id_ = next(self._ids)
        self._pings[id_] = _SentPing(now_s, result)
        self._has_unacknowledged, self._unacknowledged_bytes = False, 0
        self._pinged_s = now_s
        return wire.encode("ping", id=id_, **self.acknowledgement(after))

    def process_pong(self, pong: Pong, now_s: float) -> None:
        """Complete the ping with this id; unknown ids are ignored."""
        ping = self._pings.pop(pong.id, None) if isinstance(pong.id, int) else None
        if ping is None:
            return
        self.ping_ms = (now_s - ping.sent_s) * 1000
        if ping.result is not None and not ping.result.done():
            ping.result.set_result(self.ping_ms)

    def silent_s(self, now_s: float) -> float:
        """Time since the last message received while a ping is unanswered; else 0."""
        oldest_s = min((ping.sent_s for ping in self._pings.values()), default=now_s)
        return now_s - max(oldest_s, self._active_s)

    def start_connection(self, now_s: float) -> list[PingResult]:
        """Forget the pings of the former socket. Returns the results still awaited."""
        awaited = [ping.result for ping in self._pings.values() if ping.result is not None]
        self._pings.clear()
        self._active_s = now_s
        self._pinged_s = -math.inf  # acknowledge the first message at once
        return awaited

    def start_session(self) -> None:
        """Count replies for a new server session, which began with the error that says so."""
        self._replies = 1

    def fail_pings(self, error: ClientError) -> None:
        """Raise `error` to everything that awaits a ping."""
        for ping in self._pings.values():
            if ping.result is not None and not ping.result.done():
                ping.result.set_exception(error)
