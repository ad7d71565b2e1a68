"""A carrier's connection to a server of our own, by `websockets`."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from duplex_tts.telephony.credentials import Handshake, Refusal
from duplex_tts.telephony.errors import CallEnded

MAX_MESSAGE_BYTES = 256 * 1024


class WebSocket:
    """See `line.CarrierSocket`."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    async def receive(self) -> str | bytes:
        """See `line.CarrierSocket`."""
        try:
            return await self._connection.recv()
        except ConnectionClosed as closed:
            raise CallEnded(f"the carrier's connection is closed: {closed}") from closed

    async def send(self, message: str) -> None:
        """See `line.CarrierSocket`."""
        try:
            await self._connection.send(message)
        except ConnectionClosed as closed:
            raise CallEnded(f"the carrier's connection is closed: {closed}") from closed

    async def close(self, code: int, reason: str) -> None:
        """See `line.CarrierSocket`."""
        await self._connection.close(code, reason)


def gatekeeper(
    refusal: Callable[[Handshake], Refusal | None],
) -> Callable[[ServerConnection, Request], Response | None]:
    """A `process_request` that answers those who may not connect."""

    def process(connection: ServerConnection, request: Request) -> Response | None:
        # raw_items: a name that comes twice (some proxies do that) would raise
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        refused = refusal(Handshake(request.path, headers))
        if refused is None:
            return None
        return connection.respond(HTTPStatus(refused.status), refused.reason + "\n")

    return process
