"""The TCP server for Home Assistant: each connection is given to the `WebSocketManager`.

It is put on as a WebSocket, through ASGI, so that limits, sessions, figures and the drain at
shutdown are those of all connections.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import structlog
from starlette.websockets import WebSocket

from backend.errors import DuplexError
from backend.protocols.wyoming import MAX_BYTES, WyomingProtocol, lengths
from backend.sessions.context import Services
from backend.transport.connection_limits import AddressLimit
from backend.websocket_manager import WebSocketManager

log = structlog.get_logger(__name__)

_SCOPE = {"type": "websocket", "path": "wyoming"}
_DEAD_AFTER_S = 60  # of silence a peer is asked whether it lives


@asynccontextmanager
async def wyoming_server(
    listener: socket.socket, services: Services, connections: WebSocketManager, key: str | None
) -> AsyncIterator[None]:
    """Serve on `listener`, which is closed at the end, as long as the block lasts.

    `key`: the API key to show, as Wyoming knows none. Whoever is connected at the end is hung up
    on: drain the `connections` before.
    """
    _ask_whether_alive(listener)
    open_: set[_Stream] = set()
    addresses = AddressLimit(services.settings.server.connections_per_address)
    async with asyncio.TaskGroup() as tasks:

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            stream = _Stream(reader, writer, services.settings.server.request_timeout)
            if not addresses.try_acquire(stream.address):
                stream.abort()
                return
            open_.add(stream)
            tasks.create_task(serve(stream), name="wyoming")

        async def serve(stream: _Stream) -> None:
            socket_ = WebSocket(_SCOPE, stream.receive, stream.send)
            protocol = WyomingProtocol(services.tts.voices())
            try:
                await connections.serve(socket_, protocol, key)
            except Exception:
                log.exception("wyoming.bug")
            finally:
                stream.close()
                open_.discard(stream)
                addresses.release(stream.address)

        server = await asyncio.start_server(connected, sock=listener, limit=MAX_BYTES)
        try:
            yield
        finally:
            server.close()
            for stream in open_:
                stream.abort()


class _Stream:
    """A TCP connection as ASGI has a WebSocket: one event is one binary message.

    The first event has to come, and each has to be complete, within `timeout_s`.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout_s: float
    ) -> None:
        self.address = str((writer.get_extra_info("peername") or [""])[0])
        self._reader = reader
        self._writer = writer
        self._timeout_s = timeout_s
        self._opened = False
        self._heard = False

    async def receive(self) -> MutableMapping[str, Any]:
        """The next event."""
        if not self._opened:
            self._opened = True
            return {"type": "websocket.connect"}
        try:
            return {"type": "websocket.receive", "bytes": await self._event()}
        except DuplexError as error:
            log.info("wyoming.not_understood", why=error.code)
        except (OSError, EOFError, ValueError):  # gone, too slow, gone in an event, too long a line
            log.debug("wyoming.left")
        return {"type": "websocket.disconnect", "code": 1000}

    async def _event(self) -> bytes:
        async with asyncio.timeout(None if self._heard else self._timeout_s):
            first = await self._reader.readexactly(1)
        self._heard = True
        async with asyncio.timeout(self._timeout_s):
            header = first + await self._reader.readline()
            if not header.endswith(b"\n"):
                raise EOFError
            data_bytes, payload_bytes = lengths(header)
            data = await self._reader.readexactly(data_bytes)
            await self._reader.readexactly(payload_bytes)  # what is spoken has none
            return header + data

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Write; waits while the client does not read."""
        match message["type"]:
            case "websocket.send":
                self._writer.write(message["bytes"])
                await self._writer.drain()
            case "websocket.close":
                self.close()

    def close(self) -> None:
        """Hang up; `receive` hears of it. What was written still goes out."""
        self._writer.close()

    def abort(self) -> None:
        """Hang up on who may not even read."""
        self._writer.transport.abort()


def _ask_whether_alive(listener: socket.socket) -> None:
    """Home Assistant may vanish without a word. Connections inherit this."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _DEAD_AFTER_S)
