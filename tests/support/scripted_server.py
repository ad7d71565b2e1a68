"""A scripted speech server for the client's tests."""

import asyncio
import json
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

READY = {
    "type": "ready",
    "protocol": 1,
    "session": "s",
    "token": "t",
    "voice": "heart",
    "sample_rate": 24000,
    "format": "pcm_s16le",
}


SAMPLES_PER_MS = 24


class ScriptedConnection:
    """The server's side of one scripted connection. Answers pings that the script does not expect.

    `received`: how many of the client's messages count.
    """

    def __init__(self, websocket: ServerConnection) -> None:
        self.websocket = websocket
        self.received = 0
        self.acknowledged: dict[str, int] = {}
        self.answers = 0
        self._seq: Counter[str] = Counter()
        self._sent_ms: dict[str, float] = {}

    async def receive_any(self, *, pings: bool = False) -> dict[str, Any]:
        while True:
            message: dict[str, Any] = json.loads(await self.websocket.recv())
            if message["type"] not in ("ping", "resume"):
                self.received += 1
            elif message["type"] == "ping":
                self.acknowledged |= message["after"]
                self.answers = message["answers"]
                if not pings:
                    await self.send_pong(message)
                    continue
            return message

    async def receive(self, type_: str) -> dict[str, Any]:
        message = await self.receive_any(pings=type_ == "ping")
        assert message["type"] == type_, message
        return message

    async def receive_text(self, length: int) -> str:
        """Receive this much text, in any number of messages; other messages are skipped."""
        text = ""
        while len(text) < length:
            text += (await self.receive_any()).get("text", "")
        return text

    async def send_pong(self, ping: dict[str, Any]) -> None:
        await self.send(type="pong", id=ping["id"], received=self.received)

    async def send(self, **fields: object) -> None:
        await self.websocket.send(json.dumps(fields))

    async def send_audio(
        self, context: str, start: int, end: int, *, ms: float = 10.0, seq: int | None = None
    ) -> None:
        number = self.next_seq(context) if seq is None else seq
        at_ms = self._sent_ms.get(context, 0.0)
        self._sent_ms[context] = at_ms + ms
        await self.websocket.send(
            audio_message(context, start, end, seq=number, ms=ms, at_ms=at_ms)
        )

    def continue_after(self, context: str, chunks: int, ms: float) -> None:
        """Continue after what another connection has sent of the context."""
        self._seq[context], self._sent_ms[context] = chunks, ms

    def next_seq(self, context: str) -> int:
        """Take the number of the context's next audio message."""
        self._seq[context] += 1
        return self._seq[context] - 1

    async def send_done(self, context: str, *, ms: float, characters: int, chunks: int) -> None:
        await self.send(
            type="done", context=context, audio_ms=ms, characters=characters, chunks=chunks
        )

    async def send_resumed(self, **fields: object) -> None:
        """Resume the session."""
        await self.send(**{**READY, "received": self.received, **fields})

    async def refuse_resume(self) -> None:
        """Answer that the session is unknown."""
        await self.send(type="error", context=None, code="resume_failed", message="no such session")

    def reset_connection(self) -> None:
        """Reset the connection."""
        self.websocket.transport.abort()

    async def wait_closed(self) -> int:
        """Wait until the client closes the connection; returns the close code."""
        try:
            while True:
                await self.receive_any()
        except ConnectionClosed:
            code = self.websocket.close_code
            assert code is not None
            return code


def audio_message(
    context: str,
    start: int,
    end: int,
    *,
    seq: int = 0,
    ms: float = 10.0,
    at_ms: float = 0.0,
    **fields: object,
) -> bytes:
    header = json.dumps(
        {
            "type": "audio",
            "context": context,
            "seq": seq,
            "start_ms": at_ms,
            "duration_ms": ms,
            "text": [start, end],
            "words": [[start, end, at_ms, at_ms + ms]],
            **fields,
        }
    ).encode()
    return struct.pack("<I", len(header)) + header + b"\1\2" * round(ms * SAMPLES_PER_MS)


Script = Callable[[ScriptedConnection], Awaitable[None]]


@asynccontextmanager
async def run_server(*scripts: Script, greetings: int = 1000) -> AsyncIterator[str]:
    """Run a script on each connection, in turn. A failing script fails the test, as does a
    connection without a script. Only the first `greetings` connections are sent `ready`.
    """
    failures: list[BaseException] = []
    unused = list(scripts)

    async def handle(websocket: ServerConnection) -> None:
        peer = ScriptedConnection(websocket)
        try:
            script = unused.pop(0)
            if len(scripts) - len(unused) <= greetings:
                await peer.send(**READY)
            await script(peer)
            await peer.wait_closed()
        except* (ConnectionClosed, asyncio.CancelledError):
            pass
        except* Exception as error:
            failures.append(error)
            raise

    async with serve(handle, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        yield f"127.0.0.1:{port}"
    if failures:
        raise failures[0]


async def idle(peer: ScriptedConnection) -> None:
    await peer.wait_closed()
