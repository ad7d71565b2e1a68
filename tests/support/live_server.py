"""The real server on a free local port, with the fake engine, and its clients."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
import uvicorn.server
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from backend.application import create_app
from backend.cluster.replicas import Replicas
from backend.config import Settings
from backend.transport.draining_server import DrainingServer, server_config
from backend.transport.listener import listen
from backend.websocket_manager import WebSocketManager
from tests.support.engines.fake_engine import FakeModel, decode_pcm

Message = dict[str, Any]


class QuickAsyncio:
    """`asyncio` for uvicorn, with shorter sleeps: it looks for the end of the server, and for that
    of its connections, every 0.1 s, which would be most of the time of many tests.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    @staticmethod
    async def sleep(delay_s: float) -> None:
        await asyncio.sleep(delay_s / 20)


class AnnouncedServer(DrainingServer):
    """Sets an event when the real server would print its address."""

    def __init__(self, app: Any, config: Settings) -> None:
        super().__init__(server_config(app, config), "")
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@dataclass
class LiveServer:
    address: str
    model: FakeModel
    server: AnnouncedServer
    connections: WebSocketManager
    serving: asyncio.Task[None]
    app: FastAPI

    @property
    def http(self) -> str:
        return f"http://{self.address}"

    def request_shutdown(self) -> None:
        """Request shutdown, as a signal does; does not wait."""
        self.server.should_exit = True

    @asynccontextmanager
    async def connect(self, **options: Any) -> AsyncIterator[NativeClient]:
        """Connect and read `ready`."""
        url = f"ws://{self.address}/ws/tts"
        async with connect(url, compression=None, max_size=None, **options) as socket_:
            client = NativeClient(socket_)
            client.ready = await client.receive()
            yield client


class NativeClient:
    """A stateless client of the native protocol."""

    ready: Message

    def __init__(self, socket_: ClientConnection) -> None:
        self.socket = socket_

    async def send(self, type_: str, **fields: object) -> None:
        await self.socket.send(json.dumps({"type": type_, **fields}))

    async def receive(self) -> Message:
        """Read the next message; audio bytes are in `data`."""
        async with asyncio.timeout(20):
            message = await self.socket.recv()
        if isinstance(message, str):
            fields: Message = json.loads(message)
            return fields
        (length,) = struct.unpack_from("<I", message)
        return {**json.loads(message[4 : 4 + length]), "data": message[4 + length :]}

    async def receive_until(self, type_: str, context: str | None = None) -> list[Message]:
        """Read all messages up to the next of this type (and context)."""
        messages = [await self.receive()]
        while messages[-1]["type"] != type_ or (
            context is not None and messages[-1]["context"] != context
        ):
            messages.append(await self.receive())
        return messages

    async def speak_text(self, context: str, text: str, **start: object) -> str:
        """Speak a text in a new context; returns the characters heard."""
        await self.send("start", context=context, format="pcm_f32le", **start)
        await self.send("text", context=context, text=text)
        await self.send("end", context=context)
        return decode_speech(await self.receive_until("done", context), context)

    async def wait_closed(self) -> int:
        """Read until the server closes the connection; returns the close code."""
        with suppress(ConnectionClosed):
            while True:
                await self.receive()
        assert self.socket.close_code is not None
        return self.socket.close_code

    def reset_connection(self) -> None:
        """Reset the connection without a close frame."""
        self.socket.transport.abort()


def decode_speech(messages: list[Message], context: str) -> str:
    """The characters heard in a context; asserts that `seq` and `done` are right."""
    audio = [m for m in messages if m["type"] == "audio" and m["context"] == context]
    assert [m["seq"] for m in audio] == list(range(len(audio)))
    done = messages[-1]
    assert done["type"] == "done"
    assert done["characters"] == sum(m["text"][1] - m["text"][0] for m in audio)
    assert done["chunks"] == len(audio)
    return decode_pcm(np.frombuffer(b"".join(m["data"] for m in audio), "<f4"))


@asynccontextmanager
async def live_server(
    model: Any = None, others: Sequence[Any] = (), /, **sections: Any
) -> AsyncIterator[LiveServer]:
    """Serve with these settings while the block runs. `others`: models of further engines."""
    config = Settings.model_validate({"engine": {"threads": 1}, **sections})
    async with live_replica(config, model or FakeModel(), others=others) as live:
        yield live


@asynccontextmanager
async def live_replica(
    config: Settings, model: Any, replicas: Replicas | None = None, others: Sequence[Any] = ()
) -> AsyncIterator[LiveServer]:
    """Serve as one of `replicas` while the block runs."""
    listener = listen("127.0.0.1", 0)
    host, port = listener.getsockname()
    app = create_app(config, model, others=others, replicas=replicas)
    server = AnnouncedServer(app, config)
    with patch.object(uvicorn.server, "asyncio", QuickAsyncio()):
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        async with asyncio.timeout(10):
            await server.ready.wait()
        live = LiveServer(f"{host}:{port}", model, server, app.state.connections, serving, app)
        try:
            yield live
        finally:
            if isinstance(model, FakeModel) and model.gate is not None:
                model.gate.release(100_000)
            live.request_shutdown()
            await serving


async def wait_until(condition: Callable[[], bool], within_s: float = 1.0) -> None:
    """Wait until a condition holds; fail after `within_s`."""
    deadline_s = asyncio.get_running_loop().time() + within_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline_s, f"timed out after {within_s} s"
        await asyncio.sleep(0.002)
