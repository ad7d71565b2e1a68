"""One WebSocket to the server: open, read, write, close. Knows nothing of resuming."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Self

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
    """Bytes of messages, over all connections of a session."""

    bytes_in: int = 0
    bytes_out: int = 0


class Connection:
    """An open WebSocket that was greeted with `ready`. Get one with `open`."""

    ready: Ready

    def __init__(self, websocket: ClientConnection, traffic: Traffic) -> None:
        self._websocket = websocket
        self._traffic = traffic

    @classmethod
    async def open(cls, url: str, key: str | None, traffic: Traffic) -> Self:
        """Connect and be greeted.

        Raises `ConnectionLost` when nobody answers, `NoWebSocket` when somebody does who lets no
        WebSocket through, `Refused` when the server does not want us. Cancel-safe.
        """
        connection = cls(await _open_socket(url, key), traffic)
        try:
            connection.ready = await connection._greeting()
        except BaseException:
            connection.abort()
            raise
        return connection

    async def receive(self) -> Event:
        """The next event; waits for it. Raises `ConnectionLost`, `ProtocolError`."""
        try:
            message = await self._websocket.recv()
        except ConnectionClosed as closed:
            raise _lost(closed) from closed
        size = len(message) if isinstance(message, bytes) else len(message.encode())
        self._traffic.bytes_in += size
        return wire.decode(message)

    async def send(self, message: str) -> None:
        """Write; waits while the socket's buffer is full. Raises `ConnectionLost`."""
        try:
            await self._websocket.send(message)
        except ConnectionClosed as closed:
            raise _lost(closed) from closed
        self._traffic.bytes_out += len(message.encode())

    async def close(self, code: int = 1000) -> None:
        """Say goodbye: with 1000 the server forgets the session. Safe to call twice."""
        await self._websocket.close(code)

    def abort(self) -> None:
        """Hang up without a word: the server keeps the session for a while."""
        self._websocket.transport.abort()

    async def _greeting(self) -> Ready:
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                event = await self.receive()
        except TimeoutError:
            raise NoWebSocket("what answers there is no speech server: no `ready` came") from None
        if isinstance(event, Error):
            raise Refused(event.code, event.message)
        if not isinstance(event, Ready):
            raise ProtocolError(f"expected `ready`, got {event}")
        return event


async def _open_socket(url: str, key: str | None) -> ClientConnection:
    try:
        return await websocket_connect(
            url,
            additional_headers=authorization(key),
            compression=None,  # speech does not shrink; deflating it costs time
            proxy=None,  # a proxy in the environment does not know this machine's ports
            max_size=wire.MAX_MESSAGE_BYTES,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=None,  # the session has pings of its own, which say more
        )
    except (InvalidHandshake, TimeoutError) as error:
        raise NoWebSocket(f"no WebSocket can be opened at {url} ({error})") from error
    except (OSError, WebSocketException) as error:
        raise ConnectionLost(
            f"no speech server answers at {url} ({error}); "
            "start one with `duplex-tts serve` or `make run`"
        ) from error


def _lost(closed: ConnectionClosed) -> ConnectionLost:
    return ConnectionLost(f"the connection to the server is closed: {closed}")
