"""A carrier's connection to the bridge's own server, by `websockets`."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from duplex_tts.telephony.credentials import Handshake, HandshakeRefusal
from duplex_tts.telephony.errors import CallEnded

MAX_MESSAGE_BYTES = 256 * 1024


class WebSocket:
    """See `media_stream.CarrierSocket`."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    async def receive(self) -> str | bytes:
        """See `media_stream.CarrierSocket`."""
        try:
            return await self._connection.recv()
        except ConnectionClosed as closed:
            raise CallEnded(f"the carrier's connection is closed: {closed}") from closed

    async def send(self, message: str) -> None:
        """See `media_stream.CarrierSocket`."""
        try:
            await self._connection.send(message)
        except ConnectionClosed as closed:
            raise CallEnded(f"the carrier's connection is closed: {closed}") from closed

    async def close(self, code: int, reason: str) -> None:
        """See `media_stream.CarrierSocket`."""
        await self._connection.close(code, reason)


def check_handshake(
    find_refusal: Callable[[Handshake], HandshakeRefusal | None],
) -> Callable[[ServerConnection, Request], Response | None]:
    """A `process_request` that answers refused handshakes with an HTTP error."""

    def process_request(connection: ServerConnection, request: Request) -> Response | None:
        # raw_items: mapping access raises on duplicate headers, which some proxies send
        headers = {name.lower(): value for name, value in request.headers.raw_items()}
        refusal = find_refusal(Handshake(request.path, headers))
        if refusal is None:
            return None
        return connection.respond(HTTPStatus(refusal.status), refusal.reason + "\n")

    return process_request
