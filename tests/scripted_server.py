"""A speech server that follows a script: the other side of the client's tests."""

import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

READY = {
    "type": "ready",
    "protocol": 1,
    "session": "s",
    "token": "t",
    "voice": "heart",
    "sample_rate": 24000,
    "format": "pcm_s16le",
}


class Peer:
    """The server's side of one scripted conversation."""

    def __init__(self, websocket: ServerConnection) -> None:
        self.websocket = websocket

    async def receive_any(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self.websocket.recv())
        return message

    async def receive(self, type_: str) -> dict[str, Any]:
        message = await self.receive_any()
        assert message["type"] == type_, message
        return message

    async def say(self, **fields: object) -> None:
        await self.websocket.send(json.dumps(fields))

    async def audio(self, context: str, start: int, end: int, *, ms: float = 10.0) -> None:
        await self.websocket.send(audio_message(context, start, end, ms=ms))


def audio_message(context: str, start: int, end: int, *, ms: float = 10.0) -> bytes:
    header = json.dumps(
        {
            "type": "audio",
            "context": context,
            "seq": 1,
            "start_ms": 0.0,
            "duration_ms": ms,
            "text": [start, end],
            "words": [[start, end, 0.0, ms]],
        }
    ).encode()
    return struct.pack("<I", len(header)) + header + b"\1\2"


Script = Callable[[Peer], Awaitable[None]]


@asynccontextmanager
async def server(script: Script, *, greet: bool = True) -> AsyncIterator[str]:
    """A server that plays `script`; what goes wrong in it fails the test."""
    failures: list[BaseException] = []

    async def handle(websocket: ServerConnection) -> None:
        peer = Peer(websocket)
        try:
            if greet:
                await peer.say(**READY)
            await script(peer)
        except Exception as error:
            failures.append(error)
            raise

    async with serve(handle, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        yield f"127.0.0.1:{port}"
    if failures:
        raise failures[0]


async def silent(peer: Peer) -> None:
    await peer.websocket.wait_closed()
