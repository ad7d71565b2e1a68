"""The TCP server for Home Assistant: each connection is served by the `WebSocketManager`.

It is presented as an ASGI WebSocket, so limits, sessions, metrics and the drain at shutdown are
shared with all connections.
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
from backend.protocols.wyoming import MAX_BYTES, WyomingProtocol, read_lengths
from backend.sessions.services import Services
from backend.transport.connection_limits import AddressLimit
from backend.websocket_manager import WebSocketManager

log = structlog.get_logger(__name__)

_SCOPE = {"type": "websocket", "path": "wyoming"}
_KEEPALIVE_IDLE_S = 60  # idle time before keepalive probes


@asynccontextmanager
async def wyoming_server(
    listener: socket.socket, services: Services, connections: WebSocketManager, key: str | None
) -> AsyncIterator[None]:
    """Serve on `listener` until the block ends, then close it.

    `key`: the API key to use, as Wyoming has none. Remaining connections are aborted at the end:
    drain `connections` first.
    """
    _enable_keepalive(listener)
    streams: set[_WyomingStream] = set()
    addresses = AddressLimit(services.settings.server.connections_per_address)
    async with asyncio.TaskGroup() as tasks:

        def accept_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            stream = _WyomingStream(reader, writer, services.settings.server.request_timeout)
            if not addresses.try_acquire(stream.address):
                stream.abort()
                return
            streams.add(stream)
            tasks.create_task(serve(stream), name="wyoming")

        async def serve(stream: _WyomingStream) -> None:
            websocket = WebSocket(_SCOPE, stream.receive, stream.send)
            protocol = WyomingProtocol(services.tts.voices())
            try:
                await connections.serve(websocket, protocol, key)
            except Exception:
                log.exception("wyoming.bug")
            finally:
                stream.close()
                streams.discard(stream)
                addresses.release(stream.address)

        server = await asyncio.start_server(accept_connection, sock=listener, limit=MAX_BYTES)
        try:
            yield
        finally:
            server.close()
            for stream in streams:
                stream.abort()


class _WyomingStream:
    """A TCP connection as an ASGI WebSocket: one event is one binary message.

    The first event must start, and each event must complete, within `timeout_s`.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout_s: float
    ) -> None:
        self.address = str((writer.get_extra_info("peername") or [""])[0])
        self._reader = reader
        self._writer = writer
        self._timeout_s = timeout_s
        self._connected = False
        self._has_received = False

    async def receive(self) -> MutableMapping[str, Any]:
        """Read the next event, as an ASGI message."""
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        try:
            return {"type": "websocket.receive", "bytes": await self._read_event()}
        except DuplexError as error:
            log.info("wyoming.not_understood", why=error.code)
        except (OSError, EOFError, ValueError):  # closed, timeout, closed mid-event, line too long
            log.debug("wyoming.left")
        return {"type": "websocket.disconnect", "code": 1000}

    async def _read_event(self) -> bytes:
        async with asyncio.timeout(None if self._has_received else self._timeout_s):
            first = await self._reader.readexactly(1)
        self._has_received = True
        async with asyncio.timeout(self._timeout_s):
            header = first + await self._reader.readline()
            if not header.endswith(b"\n"):
                raise EOFError
            data_bytes, payload_bytes = read_lengths(header)
            data = await self._reader.readexactly(data_bytes)
            await self._reader.readexactly(payload_bytes)  # payload: unused in text to speech
            return header + data

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Write a message; waits while the client does not read."""
        match message["type"]:
            case "websocket.send":
                self._writer.write(message["bytes"])
                await self._writer.drain()
            case "websocket.close":
                self.close()

    def close(self) -> None:
        """Close after buffered data is sent; `receive` then disconnects."""
        self._writer.close()

    def abort(self) -> None:
        """Close without sending buffered data."""
        self._writer.transport.abort()


def _enable_keepalive(listener: socket.socket) -> None:
    """Detect peers that vanish without closing. Accepted connections inherit the options."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_IDLE_S)
