"""A carrier's connection to any ASGI server, without a framework."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from duplex_tts.telephony.credentials import Handshake, HandshakeRefusal
from duplex_tts.telephony.errors import CallEnded

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_DENIAL = "websocket.http.response"
_POLICY_VIOLATION = 1008


class AsgiSocket:
    """See `media_stream.CarrierSocket`."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._open = False

    async def accept(self) -> None:
        """Accept the connection. Raises `CallEnded` if the carrier has left."""
        message = await self._receive()
        if message["type"] != "websocket.connect":
            raise CallEnded("the carrier left before the connection was accepted")
        await self._send({"type": "websocket.accept"})
        self._open = True

    async def receive(self) -> str | bytes:
        """See `media_stream.CarrierSocket`."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self._open = False
            raise CallEnded(f"the carrier's connection is closed: {message.get('code')}")
        text = message.get("text")
        return text if isinstance(text, str) else message.get("bytes") or b""

    async def send(self, message: str) -> None:
        """See `media_stream.CarrierSocket`."""
        if not self._open:
            raise CallEnded("the carrier's connection is closed")
        try:
            await self._send({"type": "websocket.send", "text": message})
        except OSError as error:
            raise CallEnded(f"the carrier's connection is closed: {error}") from error

    async def close(self, code: int, reason: str) -> None:
        """See `media_stream.CarrierSocket`."""
        if self._open:
            self._open = False
            await self._send({"type": "websocket.close", "code": code, "reason": reason})


def parse_handshake(scope: Scope) -> Handshake:
    """The handshake that `Credentials` checks."""
    path = scope.get("raw_path") or scope.get("path", "").encode()
    query = scope.get("query_string", b"")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    url = path + b"?" + query if query else path
    return Handshake(url.decode("latin-1"), headers)


async def refuse_handshake(scope: Scope, send: Send, refusal: HandshakeRefusal) -> None:
    """Answer a request, or a WebSocket that was not accepted, with an HTTP error."""
    prefix = "http.response"
    if scope["type"] == "websocket":
        if _DENIAL not in scope.get("extensions", {}):
            reason = refusal.reason
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": reason})
            return
        prefix = _DENIAL
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": f"{prefix}.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{prefix}.body", "body": refusal.reason.encode() + b"\n"})


async def handle_lifespan(receive: Receive, send: Send) -> None:
    """Confirm startup and shutdown; calls do not depend on either."""
    while True:
        phase = (await receive())["type"]
        await send({"type": f"{phase}.complete"})
        if phase == "lifespan.shutdown":
            return
