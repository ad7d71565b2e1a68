"""A minimal client that resumes as docs/protocol.md specifies."""

from __future__ import annotations

import asyncio
import json
import struct
from collections import defaultdict
from contextlib import suppress
from itertools import pairwise
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

Message = dict[str, Any]


class ResumingClient:
    """Records sent and received messages; `connect` resumes after a lost connection.

    Asserts that nothing is received twice and nothing is missing.
    """

    socket: ClientConnection

    def __init__(self, address: str, **options: Any) -> None:
        self._url = f"ws://{address}/ws/tts"
        self._options = options
        self._counted: list[str] = []  # every message counted in `received`
        self._sent = 0  # how many of them were sent, over all connections
        self._handled = 0  # how many the server has acknowledged
        self._open = False  # `ready` was received: messages may be sent
        self._sending = asyncio.Lock()
        self.ready: Message | None = None
        self.after: dict[str, int] = {}
        self.answers = 0
        self.audio: dict[str, list[Message]] = defaultdict(list)
        self.ends: dict[str, Message] = {}
        self.others: list[Message] = []
        self.resumes = 0
        self.resumes_first = False  # the connection has no session of its own

    async def connect(self) -> Message:
        """Connect, resuming the session if there is one. Returns the last `ready`."""
        self._open = False
        self.socket = await connect(
            self._url, compression=None, max_size=None, **{"proxy": None, **self._options}
        )
        if self.ready is None:
            self.ready = self._decode(await self.socket.recv())
        else:
            await self._resume(self.ready)
        assert self.ready["type"] == "ready"
        self._open = True
        await self._send_pending()
        return self.ready

    def go_to(self, address: str, path: str = "/ws/tts") -> None:
        """Connect there from now on."""
        self._url = f"ws://{address}{path}"

    async def _resume(self, before: Message) -> None:
        await self.socket.send(json.dumps(self.resume_message()))
        if not self.resumes_first:
            fresh = self._decode(await self.socket.recv())
            assert fresh["type"] == "ready"
            assert fresh["session"] != before["session"]
        self.ready = self._decode(await self.socket.recv())
        assert self.ready["type"] == "ready", self.ready
        assert (self.ready["session"], self.ready["token"]) == (before["session"], before["token"])
        assert self._handled <= self.ready["received"] <= len(self._counted)
        self._sent = self._handled = self.ready["received"]
        self.resumes += 1

    def resume_message(self) -> Message:
        assert self.ready is not None
        credentials = {name: self.ready[name] for name in ("session", "token")}
        return {"type": "resume", **credentials, "after": self.after, "answers": self.answers}

    async def send(self, type_: str, **fields: object) -> None:
        """Send a counted message; if it is lost, the next `connect` sends it again."""
        self._counted.append(json.dumps({"type": type_, **fields}))
        with suppress(ConnectionClosed):
            await self._send_pending()

    async def _send_pending(self) -> None:
        async with self._sending:
            while self._open and self._sent < len(self._counted):
                await self.socket.send(self._counted[self._sent])
                self._sent += 1

    async def speak_text(self, context: str, text: str, **start: object) -> None:
        """Speak a text in a new context."""
        await self.send("start", context=context, **start)
        await self.send("text", context=context, text=text)
        await self.send("end", context=context)

    async def acknowledge(self) -> None:
        ping = {"type": "ping", "after": self.after, "answers": self.answers}
        await self.socket.send(json.dumps(ping))

    async def receive(self) -> Message:
        """Read and record the next message."""
        message = self._decode(await self.socket.recv())
        kind, context = message["type"], str(message.get("context"))
        if kind == "audio":
            assert context not in self.ends, "audio after the end"
            assert message["seq"] == self.after.get(context, -1) + 1, "repeated or missing"
            self.after[context] = message["seq"]
            self.audio[context].append(message)
        elif kind == "pong":
            self._handled = message["received"]
        else:
            self.answers += 1
            if kind in ("done", "cancelled"):
                assert context not in self.ends, "ended twice"
                self.ends[context] = message
            else:
                self.others.append(message)
        return message

    async def read_to_end(self, *contexts: str) -> None:
        while not set(contexts) <= self.ends.keys():
            await self.receive()

    def reset_connection(self) -> None:
        """Break the connection; data in flight is lost."""
        self.socket.transport.abort()

    def pcm(self, context: str) -> bytes:
        return b"".join(message["data"] for message in self.audio[context])

    def assert_accounted(self, context: str, characters: int | None = None) -> None:
        """Assert that the spans tile and the sums agree."""
        audio, end = self.audio[context], self.ends[context]
        assert all(first["text"][1] == second["text"][0] for first, second in pairwise(audio))
        assert not audio or audio[0]["text"][0] == 0
        text_to = audio[-1]["text"][1] if audio else 0
        assert text_to == end.get("characters", end.get("text_to"))
        assert characters is None or text_to == characters
        total_ms = sum(message["duration_ms"] for message in audio)
        assert abs(total_ms - end["audio_ms"]) < 0.01
        assert end.get("chunks", len(audio)) == len(audio)

    @staticmethod
    def _decode(message: str | bytes) -> Message:
        if isinstance(message, str):
            fields: Message = json.loads(message)
            return fields
        (length,) = struct.unpack_from("<I", message)
        return {**json.loads(message[4 : 4 + length]), "data": message[4 + length :]}
