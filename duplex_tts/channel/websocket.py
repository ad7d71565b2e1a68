"""One WebSocket to the server: open, read, write, close. Resuming is in `resuming`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websocket_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, WebSocketException

from duplex_tts.channel import wire
from duplex_tts.channel.address import authorization
from duplex_tts.errors import ConnectionLost, NoWebSocket, ProtocolError, Refused
from duplex_tts.events import Error, Event, Ready

OPEN_TIMEOUT_S = 10.0
READY_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
CLOSE_PROTOCOL_ERROR = 1002


@dataclass(slots=True)
class Traffic:
    """Message bytes over all connections of a session."""

    bytes_in: int = 0
    bytes_out: int = 0


class WebSocketConnection:
    """An open WebSocket. Created by `open`, or by `open_direct` without `ready` and a session.

    `address`: a replica's own address; None: that of the server.
    """

    ready: Ready
    address: str | None = None

    def __init__(self, websocket: ClientConnection, traffic: Traffic) -> None:
        self._websocket = websocket
        self._traffic = traffic

    @classmethod
    async def open(
        cls, url: str, key: str | None, traffic: Traffic, *, resumes: bool = False
    ) -> Self:
        """Connect and wait for `ready`. `resumes`: `resume` will be the first message.

        Raises `ConnectionLost` when nothing answers, `NoWebSocket` when what answers opens no
        WebSocket, `Refused` when the server refuses the connection. Cancel-safe.
        """
        connection = cls(await _open_socket(_announcing(url, resumes=resumes), key), traffic)
        try:
            connection.ready = await connection._receive_ready()
        except BaseException:
            connection.abort()
            raise
        return connection

    @classmethod
    async def open_direct(cls, address: str, url: str, key: str | None, traffic: Traffic) -> Self:
        """Connect to a replica's own address, on which a session can be resumed. `url`: the
        address, with the credentials. Raises `ConnectionLost`, `NoWebSocket`. Cancel-safe.
        """
        connection = cls(await _open_socket(url, key), traffic)
        connection.address = address
        return connection

    async def receive(self) -> Event:
        """Wait for the next event. Raises `ConnectionLost`, `ProtocolError`."""
        try:
            message = await self._websocket.recv()
        except ConnectionClosed as closed:
            raise _connection_lost(closed) from closed
        size = len(message) if isinstance(message, bytes) else len(message.encode())
        self._traffic.bytes_in += size
        return wire.decode(message)

    async def send(self, message: str) -> None:
        """Send a message; waits while the socket's buffer is full. Raises `ConnectionLost`."""
        try:
            await self._websocket.send(message)
        except ConnectionClosed as closed:
            raise _connection_lost(closed) from closed
        self._traffic.bytes_out += len(message.encode())

    async def close(self, code: int = 1000) -> None:
        """Close; with code 1000 the server ends the session. Safe to call twice."""
        await self._websocket.close(code)

    def abort(self) -> None:
        """Drop the connection without a close frame; the server keeps the session for a while."""
        self._websocket.transport.abort()

    async def _receive_ready(self) -> Ready:
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                event = await self.receive()
        except TimeoutError:
            raise NoWebSocket("what answers is not a speech server: no `ready` came") from None
        if isinstance(event, Error):
            raise Refused(event.code, event.message, event.retry_after_ms)
        if not isinstance(event, Ready):
            raise ProtocolError(f"expected `ready`, got {event}")
        return event


def _announcing(url: str, *, resumes: bool) -> str:
    """Tell the server that this client understands `direct` in `ready`, and whether it resumes."""
    return f"{url}{'&' if urlsplit(url).query else '?'}direct=1{'&resume=1' * resumes}"


async def _open_socket(url: str, key: str | None) -> ClientConnection:
    try:
        return await websocket_connect(
            url,
            additional_headers=authorization(key),
            compression=None,  # audio does not shrink; compressing costs time
            proxy=None,  # a proxy of the environment cannot reach this machine's ports
            max_size=wire.MAX_MESSAGE_BYTES,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=None,  # the protocol has its own pings, which acknowledge messages
        )
    except (InvalidHandshake, TimeoutError) as error:
        raise NoWebSocket(f"no WebSocket can be opened at {url} ({error})") from error
    except (OSError, WebSocketException) as error:
        raise ConnectionLost(
            f"no speech server answers at {url} ({error}); "
            "start one with `duplex-tts serve` or `make run`"
        ) from error


def _connection_lost(closed: ConnectionClosed) -> ConnectionLost:
    return ConnectionLost(f"the connection to the server is closed: {closed}")
