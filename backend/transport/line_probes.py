"""WebSocket pings that measure a line: `sessions.line` says when, the connection sends them."""

from __future__ import annotations

import struct
from collections.abc import Callable

LINE_PROBES = "duplex_tts.line_probes"
"""Key of a connection's `LineProbes` in the extensions of its ASGI scope."""

_NUMBER = struct.Struct("<H")  # 2 bytes; uvicorn's own pings have 4


class LineProbes:
    """The probes of one WebSocket."""

    def __init__(self, send_ping: Callable[[bytes], None]) -> None:
        """`send_ping`: sends a ping with this payload, without waiting."""
        self._send_ping = send_ping
        self.on_answered: Callable[[int], None] = lambda number: None

    def send(self, number: int) -> None:
        """Send a probe behind all that was written."""
        self._send_ping(_NUMBER.pack(number & 0xFFFF))

    def process_pong(self, payload: bytes) -> bool:
        """Returns whether a pong answers a probe."""
        if len(payload) != _NUMBER.size:
            return False
        self.on_answered(_NUMBER.unpack(payload)[0])
        return True
