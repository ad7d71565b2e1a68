"""One socket with its translator: reading, writing, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from backend.errors import DuplexError, IdleClient
from backend.events import Event, Failed
from backend.protocols.base import CLOSE_NORMAL, Close, Message, WireProtocol

log = structlog.get_logger(__name__)

CLOSE_GOING_AWAY = 1001
_GOODBYE_S = 1.0  # that a client's last word may be behind the failure of writing to it


class PeerGone(Exception):
    """The client is gone. `goodbye`: it said so, and will not come back."""

    def __init__(self, *, goodbye: bool) -> None:
        super().__init__()
        self.goodbye = goodbye


class Connection:
    """A client's end of the line."""

    def __init__(self, socket: WebSocket, protocol: WireProtocol) -> None:
        self.protocol = protocol
        self.silent = True  # nothing has come from the client yet
        self._socket = socket

    async def accept(self) -> None:
        """Let the client in."""
        await self._socket.accept()

    async def deny(self, error: DuplexError, code: int) -> None:
        """Do not let the client in; tell why. `code`: for the protocols that hang up."""
        refusal = self.protocol.deny(error)
        if refusal is None:
            await self.accept()
            await self.dismiss(error, code)
            return
        headers = {"content-type": "application/json", **refusal.headers}
        await self._socket.send_denial_response(Response(refusal.body, refusal.status, headers))

    async def receive(self, busy: Callable[[], bool]) -> str | bytes:
        """The client's next message. Raises `PeerGone`; `IdleClient` after a silence that is too
        long for the protocol, unless `busy`.
        """
        while True:
            try:
                async with asyncio.timeout(self.protocol.idle_timeout_s):
                    return _content(await self._socket.receive())
            except TimeoutError:
                if not busy():
                    raise IdleClient(
                        f"nothing came for {self.protocol.idle_timeout_s:g} s; "
                        "the connection is closed"
                    ) from None

    async def send(self, event: Event) -> None:
        """Tell of an event; waits while the client does not read. Raises `PeerGone`."""
        for message in self.protocol.encode(event):
            await self._write(message)

    async def dismiss(self, error: DuplexError, code: int, *, tell: bool = True) -> None:
        """Tell why, to whoever still reads, and hang up."""
        if tell:
            try:
                async with asyncio.timeout(1):
                    await self.send(Failed(None, error.code, error.message))
            except (TimeoutError, PeerGone):
                log.debug("connection.already_gone")
        await self.close(code, error.code)

    async def close(self, code: int, reason: str) -> None:
        """Hang up; waits a second for a client that does not read."""
        if self._socket.application_state is WebSocketState.CONNECTED:
            try:
                async with asyncio.timeout(1):
                    await self._socket.close(code, reason)
            except (RuntimeError, TimeoutError, WebSocketDisconnect):
                log.debug("connection.already_gone")

    async def _write(self, message: Message) -> None:
        try:
            match message:
                case bytes():
                    await self._socket.send_bytes(message)
                case str():
                    await self._socket.send_text(message)
                case Close():
                    await self.close(message.code, message.reason)
                    raise PeerGone(goodbye=True)
        except (WebSocketDisconnect, RuntimeError) as error:  # it left while we wrote
            await asyncio.sleep(_GOODBYE_S)  # the receive task is about to read how
            raise PeerGone(goodbye=False) from error


def _content(message: MutableMapping[str, Any]) -> str | bytes:
    if message["type"] == "websocket.disconnect":
        # What else there is (1005, 1006, a message too large) is a connection that broke.
        raise PeerGone(goodbye=message.get("code") in (CLOSE_NORMAL, CLOSE_GOING_AWAY))
    text: str | None = message.get("text")
    content: str | bytes = message["bytes"] if text is None else text
    return content
