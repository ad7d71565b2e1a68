"""uvicorn's protocol for WebSockets, with bounds on what one peer costs the others.

A frame of six bytes is as dear as a long one, and a single reading of the socket brings tens of
thousands: they are parsed a little in each turn of the event loop, and no more is read meanwhile.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode

_SLICE_BYTES = 512  # parsed in one turn: 85 of the smallest frames, a millisecond or two
_MOST_FRAGMENTS = 4096  # of a message; each costs memory, also an empty one
_UNREAD_BYTES = 1 << 20  # of answers to pings, for a peer that does not read them


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """A connection that was one of HTTP; the guard let it in then."""

    config: Any  # a `BoundedHttpConfig`

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._unread = bytearray()
        self._turn: asyncio.Handle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._unread.clear()
        self.config.guard.left(self.transport)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the beginning now, the rest later."""
        self._unread += data
        if self._turn is None and not self.read_paused:
            self._parse()

    def handle_cont(self, event: Any) -> None:
        """A part of a message."""
        if len(self.frames) < _MOST_FRAGMENTS:
            super().handle_cont(event)
        elif not self.close_sent:
            self.conn.fail(CloseCode.MESSAGE_TOO_BIG, "too many fragments")
            self.handle_parser_exception()

    def handle_ping(self) -> None:
        """Answer, if the peer reads answers."""
        super().handle_ping()
        if self.transport.get_write_buffer_size() > _UNREAD_BYTES:
            self.transport.abort()

    async def receive(self) -> Any:
        """What the application is told next; the socket is read while it waits for something."""
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            self._go_on()
        return message

    async def send(self, message: Any) -> None:
        """As the application asks."""
        await super().send(message)
        if message["type"] == "websocket.close":
            self._go_on()  # the peer's answer may be among what is not parsed yet
        elif message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            # Refusing the handshake completes it, too: uvicorn would log an error each time.
            self.handshake_complete = True

    def _parse(self) -> None:
        self._turn = None
        if self.transport.is_closing():
            self._unread.clear()
            return
        part = bytes(self._unread[:_SLICE_BYTES])
        del self._unread[:_SLICE_BYTES]
        super().data_received(part)
        if not self.handshake_initiated and (answer := self.conn.data_to_send()):
            # The library has refused the handshake, and uvicorn would wait for ever.
            self.transport.write(b"".join(answer))
            self.transport.close()
        self._go_on()

    def _go_on(self) -> None:
        """Parse on in the next turn, or read on; neither while the application has to catch up."""
        if self.read_paused or self._turn is not None or self.transport.is_closing():
            return
        if self._unread:
            self.transport.pause_reading()
            self._turn = self.loop.call_soon(self._parse)
        else:
            self.transport.resume_reading()
