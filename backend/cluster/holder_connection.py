"""A WebSocket from this replica to another, which holds the session of one of our clients."""

from __future__ import annotations

import asyncio
import json
from typing import Self
from urllib.parse import quote, unquote

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websocket_connect
from websockets.exceptions import ConnectionClosed, InvalidURI, WebSocketException

from backend.cluster.replicas import ReplicaReport

RESUME_PATH = "/ws/resume"
OWNER_HEADER = "x-duplex-owner"

OPEN_TIMEOUT_S = 3.0  # until the session is resumed: the client waits
_MAX_MESSAGE_BYTES = 1 << 20
_MAX_UNREAD_MESSAGES = 4  # then reading stops, and the holder's session stops rendering
_PING_INTERVAL_S = 20.0
_PING_TIMEOUT_S = 60.0  # unread audio of a slow client delays a pong
_CLOSE_TIMEOUT_S = 1.0
_CLOSE_RESTART = 1012
_UNSENDABLE_CODES = (1005, 1006, 1015)
_LONGEST_REASON = 100  # characters


class HolderUnavailable(Exception):
    """The holder cannot be reached, hangs, or does not resume the session."""


class HolderClosed(Exception):
    """The holder has closed the connection. `code`, `reason`: to close the client's with."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


def encode_owner(owner: str) -> str:
    """Encode an owner's name, in any script, for `OWNER_HEADER`."""
    return quote(owner, safe="")


def decode_owner(value: str) -> str:
    """Decode what `encode_owner` encoded."""
    return unquote(value)


class HolderConnection:
    """An open connection with a resumed session. Created by `open`.

    `ready`: the holder's first message, which the client has not received yet.
    """

    def __init__(self, websocket: ClientConnection, ready: str) -> None:
        self._websocket = websocket
        self.ready = ready

    @classmethod
    async def open(
        cls, holder: ReplicaReport, cluster_key: str, owner: str, resume: str, *, direct: bool
    ) -> Self:
        """Resume a client's session at its holder. Cancel-safe.

        `owner`: of the client's key. `resume`: the client's message, unchanged. `direct`: the
        client understands an offer of the holder's own address. Raises `HolderUnavailable`.
        """
        url = websocket_url(holder.url) + ("?direct=1" if direct else "")
        headers = {"Authorization": f"Bearer {cluster_key}", OWNER_HEADER: encode_owner(owner)}
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                websocket = await _connect(url, headers)
                try:
                    await websocket.send(resume)
                    return cls(websocket, _check_ready(await websocket.recv()))
                except BaseException:
                    websocket.transport.abort()
                    raise
        except TimeoutError:
            raise HolderUnavailable(f"no answer within {OPEN_TIMEOUT_S:g} s") from None
        except (OSError, ValueError, RecursionError, WebSocketException) as error:
            raise HolderUnavailable(str(error)[:_LONGEST_REASON]) from error

    async def send(self, message: str | bytes) -> None:
        """Send a message; waits while the holder does not read. Raises `HolderClosed`."""
        try:
            await self._websocket.send(message)
        except ConnectionClosed as closed:
            raise _holder_closed(closed) from closed

    async def receive(self) -> str | bytes:
        """Wait for the next message. Cancel-safe. Raises `HolderClosed`."""
        try:
            return await self._websocket.recv()
        except ConnectionClosed as closed:
            raise _holder_closed(closed) from closed

    async def close(self) -> None:
        """End the session, as the client did (1000); waits up to a second."""
        await self._websocket.close()

    def abort(self) -> None:
        """Break the connection: the session can be resumed. Safe to call twice."""
        self._websocket.transport.abort()


def websocket_url(replica_url: str) -> str:
    """The WebSocket at a replica's own address (http or https) on which sessions are resumed."""
    return "ws" + replica_url.removeprefix("http").rstrip("/") + RESUME_PATH


async def _connect(url: str, headers: dict[str, str]) -> ClientConnection:
    try:
        return await websocket_connect(
            url,
            additional_headers=headers,
            compression=None,
            proxy=None,
            max_size=_MAX_MESSAGE_BYTES,
            max_queue=_MAX_UNREAD_MESSAGES,
            ping_interval=_PING_INTERVAL_S,
            ping_timeout=_PING_TIMEOUT_S,
            close_timeout=_CLOSE_TIMEOUT_S,
        )
    except InvalidURI as error:  # of a wrong report
        raise HolderUnavailable(f"{url} is no address") from error


def _check_ready(reply: str | bytes) -> str:
    """Return the reply, which must be `ready`. Raises `HolderUnavailable`, `ValueError`."""
    fields = json.loads(reply) if isinstance(reply, str) else None
    if not isinstance(reply, str) or not isinstance(fields, dict):
        raise HolderUnavailable("it does not speak the protocol")
    if fields.get("type") != "ready":
        raise HolderUnavailable(str(fields.get("message", "no `ready`"))[:_LONGEST_REASON])
    return reply


def _holder_closed(closed: ConnectionClosed) -> HolderClosed:
    if (
        closed.rcvd is None or closed.rcvd.code in _UNSENDABLE_CODES
    ):  # broken: the client may come again
        return HolderClosed(_CLOSE_RESTART, "the replica that held the session is gone")
    return HolderClosed(closed.rcvd.code, closed.rcvd.reason)
