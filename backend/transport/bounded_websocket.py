"""uvicorn's WebSocket protocol with limits on what one peer costs the others.

A six-byte frame costs as much as a long one, and one read may return tens of thousands: they are
parsed a slice per turn of the event loop, with reading paused meanwhile.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode

from backend.transport.line_probes import LINE_PROBES, LineProbes

_SLICE_BYTES = 512  # parsed per turn: 85 minimal frames, 1 to 2 ms
_MAX_FRAGMENTS = 4096  # per message; even an empty one costs memory
_MAX_UNREAD_BYTES = 1 << 20  # pongs that a peer has not read


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """An upgraded HTTP connection, already counted by `ConnectionLimits`."""

    config: Any  # a `BoundedHttpConfig`

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unparsed = bytearray()
        self._scheduled_parse: asyncio.Handle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the connection's resources."""
        self._unparsed.clear()
        self.config.limits.remove_connection(self.transport)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the first slice now, the rest in later turns."""
        self._unparsed += data
        if self._scheduled_parse is None and not self.read_paused:
            self._parse()

    def handle_cont(self, event: Any) -> None:
        """Handle a continuation frame; too many fail the connection."""
        if len(self.frames) < _MAX_FRAGMENTS:
            super().handle_cont(event)
        elif not self.close_sent:
            self.conn.fail(CloseCode.MESSAGE_TOO_BIG, "too many fragments")
            self.handle_parser_exception()

    def handle_connect(self, event: Any) -> None:
        """Begin the handshake; offer the application to measure the line."""
        super().handle_connect(event)
        if self.response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            self._probes = LineProbes(self._send_ping)
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[LINE_PROBES] = self._probes

    def handle_pong(self, event: Any) -> None:
        """Handle the answer to a probe or to uvicorn's own ping."""
        if not self._probes.process_pong(bytes(event.data)):
            super().handle_pong(event)

    def _send_ping(self, payload: bytes) -> None:
        if not self.close_sent and not self.transport.is_closing():
            self.conn.send_ping(payload)
            self.transport.write(b"".join(self.conn.data_to_send()))

    def handle_ping(self) -> None:
        """Answer a ping; abort if the peer does not read the pongs."""
        super().handle_ping()
        if self.transport.get_write_buffer_size() > _MAX_UNREAD_BYTES:
            self.transport.abort()

    async def receive(self) -> Any:
        """Return the next message; resumes reading while the application waits."""
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            self._continue_reading()
        return message

    async def send(self, message: Any) -> None:
        """Send the application's message."""
        await super().send(message)
        if message["type"] == "websocket.close":
            self._continue_reading()  # the peer's close frame may be unparsed
        elif message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            # A refusal completes the handshake; otherwise uvicorn logs an error.
            self.handshake_complete = True

    def _parse(self) -> None:
        self._scheduled_parse = None
        if self.transport.is_closing():
            self._unparsed.clear()
            return
        part = bytes(self._unparsed[:_SLICE_BYTES])
        del self._unparsed[:_SLICE_BYTES]
        super().data_received(part)
        if not self.handshake_initiated and (answer := self.conn.data_to_send()):
            # websockets has refused the handshake; uvicorn would wait forever.
            self.transport.write(b"".join(answer))
            self.transport.close()
        self._continue_reading()

    def _continue_reading(self) -> None:
        """Schedule parsing, or resume reading; neither while the application lags."""
        if self.read_paused or self._scheduled_parse is not None or self.transport.is_closing():
            return
        if self._unparsed:
            self.transport.pause_reading()
            self._scheduled_parse = self.loop.call_soon(self._parse)
        else:
            self.transport.resume_reading()
