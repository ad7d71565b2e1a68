"""One WebSocket with its protocol: reading, writing, closing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from backend.errors import DuplexError, IdleClient, Overloaded
from backend.events import Event, Failed
from backend.protocols.base import CLOSE_NORMAL, Close, Message, WireProtocol
from backend.sessions.line import Line
from backend.transport.line_probes import LINE_PROBES, LineProbes

log = structlog.get_logger(__name__)

CLOSE_GOING_AWAY = 1001
CLOSE_RESTART = 1012
CLOSE_TRY_LATER = 1013
_SHORT_FRAME, _LONG_FRAME = 4, 10  # bytes of a frame's header; 2 less for a tiny one
_CLOSE_GRACE_S = 1.0  # the close frame may be read this long after a write failed


class PeerGone(Exception):
    """The client is gone. `is_clean`: it closed the connection and will not resume."""

    def __init__(self, *, is_clean: bool) -> None:
        super().__init__()
        self.is_clean = is_clean


class WebSocketConnection:
    """A client's WebSocket. `measures_line`: probe the line to it."""

    def __init__(
        self, socket: WebSocket, protocol: WireProtocol, *, measures_line: bool = False
    ) -> None:
        self._measures_line = measures_line
        self.protocol = protocol
        self.is_silent = True  # nothing received yet
        self.understands_direct = False  # an offer in `ready` of the replica's own address
        self.lacks_capacity: Overloaded | None = None  # for anything but a session held elsewhere
        self._socket = socket

    async def accept(self) -> None:
        """Accept the handshake."""
        await self._socket.accept()

    async def deny(self, error: DuplexError, code: int) -> None:
        """Refuse the client. `code`: close code for protocols that accept first."""
        refusal = self.protocol.deny(error)
        if refusal is None:
            await self.accept()
            await self.close_with_error(error, code)
            return
        headers = {"content-type": "application/json", **refusal.headers}
        await self._socket.send_denial_response(Response(refusal.body, refusal.status, headers))

    async def receive_message(self, busy: Callable[[], bool]) -> str | bytes:
        """Return the client's next message. Raises `PeerGone`; `IdleClient` after the protocol's
        idle timeout, unless `busy`.
        """
        if self.protocol.idle_timeout_s is None:
            return _extract_content(await self._socket.receive())
        while True:
            try:
                async with asyncio.timeout(self.protocol.idle_timeout_s):
                    return _extract_content(await self._socket.receive())
            except TimeoutError:
                if not busy():
                    raise IdleClient(
                        f"no message for {self.protocol.idle_timeout_s:g} s; "
                        "the connection is closed"
                    ) from None

    async def send_event(self, event: Event) -> int:
        """Send an event; waits while the client does not read. Returns the bytes of its messages.
        Raises `PeerGone`.
        """
        size_bytes = 0
        for message in self.protocol.encode(event):
            await self.send_message(message)
            size_bytes += _size_bytes(message)
        return size_bytes

    async def send_message(self, message: Message) -> None:
        """Send an encoded message; waits while the client does not read. Raises `PeerGone`."""
        try:
            match message:
                case bytes():
                    await self._socket.send_bytes(message)
                case str():
                    await self._socket.send_text(message)
                case Close():
                    await self.close_socket(message.code, message.reason)
                    raise PeerGone(is_clean=True)
        except (WebSocketDisconnect, RuntimeError) as error:  # disconnected during the write
            await asyncio.sleep(_CLOSE_GRACE_S)  # the receive task reads the close frame
            raise PeerGone(is_clean=False) from error

    def start_probes(self, line: Line) -> None:
        """Begin to measure the line, if that is wanted and the server's WebSocket can."""
        extensions = self._socket.scope.get("extensions") or {}
        probes: LineProbes | None = extensions.get(LINE_PROBES) if self._measures_line else None
        if probes is not None:
            probes.on_answered = line.on_answered
        line.start_connection(None if probes is None else probes.send)

    async def close_with_error(
        self, error: DuplexError, code: int, *, send_error: bool = True
    ) -> None:
        """Send the error, if `send_error`, and close; waits up to a second for each."""
        if send_error:
            try:
                async with asyncio.timeout(1):
                    await self.send_event(Failed.from_error(error))
            except (TimeoutError, PeerGone):
                log.debug("connection.already_gone")
        await self.close_socket(code, error.code)

    async def close_socket(self, code: int, reason: str) -> None:
        """Close; waits up to a second for a client that does not read."""
        if self._socket.application_state is WebSocketState.CONNECTED:
            try:
                async with asyncio.timeout(1):
                    await self._socket.close(code, reason)
            except (RuntimeError, TimeoutError, WebSocketDisconnect):
                log.debug("connection.already_gone")


def _size_bytes(message: Message) -> int:
    if isinstance(message, Close):
        return 0
    size_bytes = len(message if isinstance(message, bytes) else message.encode())
    return size_bytes + (_SHORT_FRAME if size_bytes < 1 << 16 else _LONG_FRAME)


def _extract_content(message: MutableMapping[str, Any]) -> str | bytes:
    if message["type"] == "websocket.disconnect":
        # Other codes (1005, 1006, message too large) mean a broken connection.
        raise PeerGone(is_clean=message.get("code") in (CLOSE_NORMAL, CLOSE_GOING_AWAY))
    text: str | None = message.get("text")
    content: str | bytes = message["bytes"] if text is None else text
    return content
