"""A carrier's connection to somebody else's ASGI server; no framework is needed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from duplex_tts.telephony.credentials import Handshake, Refusal
from duplex_tts.telephony.errors import CallEnded

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_DENIAL = "websocket.http.response"
_POLICY = 1008


class AsgiSocket:
    """See `line.CarrierSocket`. Raises `CallEnded` when the carrier has left before `accept`."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._open = False

    async def accept(self) -> None:
        """Open it."""
        message = await self._receive()
        if message["type"] != "websocket.connect":
            raise CallEnded("the carrier left before it was answered")
        await self._send({"type": "websocket.accept"})
        self._open = True

    async def receive(self) -> str | bytes:
        """See `line.CarrierSocket`."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self._open = False
            raise CallEnded(f"the carrier's connection is closed: {message.get('code')}")
        text = message.get("text")
        return text if isinstance(text, str) else message.get("bytes") or b""

    async def send(self, message: str) -> None:
        """See `line.CarrierSocket`."""
        if not self._open:
            raise CallEnded("the carrier's connection is closed")
        try:
            await self._send({"type": "websocket.send", "text": message})
        except OSError as error:
            raise CallEnded(f"the carrier's connection is closed: {error}") from error

    async def close(self, code: int, reason: str) -> None:
        """See `line.CarrierSocket`."""
        if self._open:
            self._open = False
            await self._send({"type": "websocket.close", "code": code, "reason": reason})


def handshake_of(scope: Scope) -> Handshake:
    """What `Credentials` look at."""
    path = scope.get("raw_path") or scope.get("path", "").encode()
    query = scope.get("query_string", b"")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    url = path + b"?" + query if query else path
    return Handshake(url.decode("latin-1"), headers)


async def refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    """Answer a request, or a WebSocket that was not accepted, with an HTTP error."""
    prefix = "http.response"
    if scope["type"] == "websocket":
        if _DENIAL not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": _POLICY, "reason": refusal.reason})
            return
        prefix = _DENIAL
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": f"{prefix}.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{prefix}.body", "body": refusal.reason.encode() + b"\n"})


async def lifespan(receive: Receive, send: Send) -> None:
    """Nothing starts and nothing stops with the server: calls have lives of their own."""
    while True:
        phase = (await receive())["type"]
        await send({"type": f"{phase}.complete"})
        if phase == "lifespan.shutdown":
            return
