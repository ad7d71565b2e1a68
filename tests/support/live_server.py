"""The real server on a free port of this machine, with the fake engine, and clients for it."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from backend.config import Settings
from backend.main import DrainingServer, create_app, listen, server_config
from backend.websocket_manager import WebSocketManager
from tests.support.engines.fake_engine import FakeModel, heard

Message = dict[str, Any]


class AnnouncedServer(DrainingServer):
    """Sets an event where the real one prints that it is ready."""

    def __init__(self, app: Any, config: Settings) -> None:
        super().__init__(server_config(app, config), "")
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@dataclass
class Live:
    address: str
    model: FakeModel
    server: AnnouncedServer
    connections: WebSocketManager
    serving: asyncio.Task[None]
    app: FastAPI

    @property
    def http(self) -> str:
        return f"http://{self.address}"

    def stop(self) -> None:
        """What a signal does; returns at once."""
        self.server.should_exit = True

    @asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator[Client]:
        """A connection that has been greeted."""
        url = f"ws://{self.address}/ws/tts"
        async with connect(url, compression=None, max_size=None, **options) as socket_:
            client = Client(socket_)
            client.ready = await client.read()
            yield client


class Client:
    """Speaks the wire's words, knows nothing."""

    ready: Message

    def __init__(self, socket_: ClientConnection) -> None:
        self.socket = socket_

    async def say(self, type_: str, **fields: object) -> None:
        await self.socket.send(json.dumps({"type": type_, **fields}))

    async def read(self) -> Message:
        """The next message; the bytes of audio are its `data`."""
        async with asyncio.timeout(20):
            message = await self.socket.recv()
        if isinstance(message, str):
            fields: Message = json.loads(message)
            return fields
        (length,) = struct.unpack_from("<I", message)
        return {**json.loads(message[4 : 4 + length]), "data": message[4 + length :]}

    async def read_to(self, type_: str, context: str | None = None) -> list[Message]:
        """All messages up to the next one of this type (and context)."""
        messages = [await self.read()]
        while messages[-1]["type"] != type_ or (
            context is not None and messages[-1]["context"] != context
        ):
            messages.append(await self.read())
        return messages

    async def speak(self, context: str, text: str, **start: object) -> str:
        """Say the text in a context of its own; returns what was heard of it."""
        await self.say("start", context=context, format="pcm_f32le", **start)
        await self.say("text", context=context, text=text)
        await self.say("end", context=context)
        return said(await self.read_to("done", context), context)

    async def closed(self) -> int:
        """Read until the server hangs up; returns its close code."""
        with suppress(ConnectionClosed):
            while True:
                await self.read()
        assert self.socket.close_code is not None
        return self.socket.close_code

    def vanish(self) -> None:
        """Reset the connection, as a machine that dies."""
        self.socket.transport.abort()


def said(messages: list[Message], context: str) -> str:
    """What was heard in a context, whose account must be in order."""
    audio = [m for m in messages if m["type"] == "audio" and m["context"] == context]
    assert [m["seq"] for m in audio] == list(range(len(audio)))
    done = messages[-1]
    assert done["type"] == "done"
    assert done["characters"] == sum(m["text"][1] - m["text"][0] for m in audio)
    assert done["chunks"] == len(audio)
    return heard(np.frombuffer(b"".join(m["data"] for m in audio), "<f4"))


@asynccontextmanager
async def live_server(model: Any = None, **sections: Any) -> AsyncIterator[Live]:
    """Serve with these settings until the block ends."""
    model = model or FakeModel()
    sections = {"engine": {"threads": 1}, **sections}
    config = Settings.model_validate(sections)
    listener = listen("127.0.0.1", 0)
    host, port = listener.getsockname()
    app = create_app(config, model)
    server = AnnouncedServer(app, config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    async with asyncio.timeout(10):
        await server.ready.wait()
    live = Live(f"{host}:{port}", model, server, app.state.connections, serving, app)
    try:
        yield live
    finally:
        if isinstance(model, FakeModel) and model.gate is not None:
            model.gate.release(100_000)
        live.stop()
        await serving


async def eventually(holds: Callable[[], bool], within_s: float = 1.0) -> None:
    """Wait until something holds, and fail when that takes too long."""
    deadline_s = asyncio.get_running_loop().time() + within_s
    while not holds():
        assert asyncio.get_running_loop().time() < deadline_s, f"not within {within_s} s"
        await asyncio.sleep(0.002)
