"""Pings: they show that the peer lives, and tell each side what the other has received.

Plain and synchronous, but for the futures of those who wait; the caller brings the clock (seconds,
any origin).
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

PING_S = 1.0  # while there is something to acknowledge, in either direction
KEEPALIVE_S = 5.0  # else
ACKNOWLEDGE_BYTES = 256 * 1024

Answer = asyncio.Future[float]


@dataclass(slots=True)
class _Ping:
    sent_s: float
    answer: Answer | None


class Keepalive:
    """The pings of one session with the server, and what they acknowledge.

    `ping_ms`: what the last one took.
    """

    def __init__(self, now_s: float) -> None:
        self.ping_ms: float | None = None
        self._ids = itertools.count(1)
        self._pings: dict[int, _Ping] = {}
        self._heard_s = now_s
        self._pinged_s = -math.inf
        self._answers = 0  # messages that were no audio, in this session
        self._news = False  # something came that was not acknowledged
        self._news_bytes = 0

    @property
    def urgent(self) -> bool:
        """Whether so much has come that the server should know now."""
        return self._news_bytes >= ACKNOWLEDGE_BYTES

    def heard(self, now_s: float) -> None:
        """A sign of life."""
        self._heard_s = now_s

    def audio(self, size_bytes: int) -> None:
        """Audio was received."""
        self._news = True
        self._news_bytes += size_bytes

    def answered(self) -> None:
        """Something else was received: neither audio nor a pong."""
        self._news = True
        self._answers += 1

    def due(self, now_s: float, *, unconfirmed: bool) -> bool:
        """Whether to ping; `unconfirmed`: the server may not have received something of ours."""
        wait_s = PING_S if unconfirmed or self._news else KEEPALIVE_S
        return self.urgent or now_s - self._pinged_s >= wait_s

    def received(self, after: Mapping[str, int]) -> dict[str, object]:
        """What has come, in the fields of `ping` and `resume`. `after`: the open contexts, with the
        number of the last audio of each.
        """
        return {"after": after, "answers": self._answers}

    def ping(self, now_s: float, after: Mapping[str, int], answer: Answer | None = None) -> str:
        """The message to send. `answer` gets the milliseconds that it takes."""
        id_ = next(self._ids)
        self._pings[id_] = _Ping(now_s, answer)
        self._news, self._news_bytes, self._pinged_s = False, 0, now_s
        return wire.encode("ping", id=id_, **self.received(after))

    def pong(self, pong: Pong, now_s: float) -> None:
        """The answer came."""
        ping = self._pings.pop(pong.id, None) if isinstance(pong.id, int) else None
        if ping is None:
            return
        self.ping_ms = (now_s - ping.sent_s) * 1000
        if ping.answer is not None and not ping.answer.done():
            ping.answer.set_result(self.ping_ms)

    def silent_s(self, now_s: float) -> float:
        """For how long a ping has been unanswered without any other sign of life; 0: not."""
        oldest_s = min((ping.sent_s for ping in self._pings.values()), default=now_s)
        return now_s - max(oldest_s, self._heard_s)

    def reconnected(self, now_s: float) -> list[Answer]:
        """Pings are of a socket. Returns who still waits for one."""
        waiting = [ping.answer for ping in self._pings.values() if ping.answer is not None]
        self._pings.clear()
        self._heard_s = now_s
        self._pinged_s = -math.inf  # what comes first is acknowledged at once
        return waiting

    def forgotten(self) -> None:
        """The session with the server is another one; it began by saying so."""
        self._answers = 1

    def lost(self, error: ClientError) -> None:
        """No answer will come any more."""
        for ping in self._pings.values():
            if ping.answer is not None and not ping.answer.done():
                ping.answer.set_exception(error)
