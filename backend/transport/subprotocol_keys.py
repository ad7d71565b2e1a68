"""API keys of WebSockets from browsers, which cannot set headers: offered as subprotocols."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import Message
from starlette.websockets import WebSocket

from backend.transport.auth import authorization_key


def find_key(
    websocket: WebSocket, schemes: Sequence[str], subprotocols: Sequence[str]
) -> tuple[str | None, WebSocket]:
    """The key from `Authorization: SCHEME KEY` or, for browsers, from the subprotocols `NAME, KEY`;
    browsers require that the first of these is accepted, as the returned WebSocket does.

    `schemes`, `subprotocols`: the accepted names, in lower case.
    """
    key = authorization_key(websocket.headers, *schemes)
    offered = websocket.scope["subprotocols"]
    if key is None and len(offered) == 2 and offered[0].lower() in subprotocols:
        return offered[1], _accept_with_subprotocol(websocket, offered[0])
    return key, websocket


def _accept_with_subprotocol(websocket: WebSocket, subprotocol: str) -> WebSocket:
    async def send(message: Message) -> None:
        if message["type"] == "websocket.accept":
            message = {**message, "subprotocol": subprotocol}
        await websocket.send(message)

    return WebSocket(websocket.scope, websocket.receive, send)
