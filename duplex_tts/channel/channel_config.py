"""What a channel is given: timeouts, callbacks, and the delays between attempts to connect."""

from __future__ import annotations

import itertools
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from duplex_tts.channel.direct import DirectAccess
from duplex_tts.channel.session_state import Health
from duplex_tts.channel.websocket import WebSocketConnection
from duplex_tts.errors import NoWebSocket
from duplex_tts.events import SessionEvent

FIRST_DELAY_S, LONGEST_DELAY_S = 0.05, 3.0


class OpenWebSocket(Protocol):
    """Connects to the server."""

    def __call__(self, *, resumes: bool) -> Awaitable[WebSocketConnection]:
        """`resumes`: `resume` will be the first message."""


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """The timeouts and callbacks of a channel.

    `give_up_s`: the channel is lost after this long without a connection. `ping_timeout_s`: a
    socket is broken after this long without a message while a ping is unanswered. `notify` must not
    raise. `fall_back`: called when no WebSocket can be opened any more; returns whether it has
    moved the contexts to another channel. `direct`: to replicas' own addresses. `capacity_wait_s`:
    see `SessionState`.
    """

    open_websocket: OpenWebSocket
    ping_timeout_s: float
    give_up_s: float
    health: Health
    notify: Callable[[SessionEvent], None]
    fall_back: Callable[[NoWebSocket], Awaitable[bool]]
    direct: DirectAccess
    capacity_wait_s: float = 0.0


def backoff_delays_s() -> Iterator[float]:
    """Yield the delay before each attempt: 0, then exponential backoff with jitter."""
    yield 0.0
    for exponent in itertools.count():
        yield min(FIRST_DELAY_S * 2 ** min(exponent, 10), LONGEST_DELAY_S) * random.uniform(0.5, 1)
