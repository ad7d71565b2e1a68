"""A TCP relay between the browser and its server that can be cut, held and restored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

_CHUNK_BYTES = 4096  # small, so that a cut falls inside a message


class Cable:
    """Relay bytes in both directions. `url` is the server's address through the relay."""

    def __init__(self, server_url: str) -> None:
        self.lead_to(server_url)
        self._ends: set[asyncio.StreamWriter] = set()
        self._whole = True
        self._left_bytes: int | None = None  # received by the browser before an automatic cut
        self._flows = asyncio.Event()
        self._flows.set()
        self.broken = asyncio.Event()
        self.url = ""

    def lead_to(self, server_url: str) -> None:
        """Connect to this server from now on."""
        server = urlsplit(server_url)
        self._host, self._port = server.hostname, server.port

    def cut(self) -> None:
        """Drop all data in transit and refuse connections until `mend`."""
        self._whole = False
        self._left_bytes = None
        self.broken.set()
        for end in self._ends:
            end.transport.abort()

    def cut_after(self, size_bytes: int) -> None:
        """Cut the line after this many more bytes from the server."""
        self.broken.clear()
        self._left_bytes = size_bytes

    def mend(self) -> None:
        """Accept new connections again."""
        self._whole = True
        self.broken.clear()

    def hold(self) -> None:
        """Delay all data from the server until `let_flow`, without loss."""
        self._flows.clear()

    def let_flow(self) -> None:
        """Deliver all held data."""
        self._flows.set()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._whole:
            writer.transport.abort()
            return
        server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
        ends = {writer, server_writer}
        self._ends |= ends
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._up(reader, server_writer))
                tasks.create_task(self._down(server_reader, writer))
        finally:
            self._ends -= ends

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(_CHUNK_BYTES):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(_CHUNK_BYTES):
                await self._flows.wait()
                if self._left_bytes is not None:
                    data = data[: self._left_bytes]
                    self._left_bytes -= len(data)
                writer.write(data)
                await writer.drain()
                if self._left_bytes == 0:
                    self.cut()
        writer.close()


@asynccontextmanager
async def cable_to(server_url: str) -> AsyncIterator[Cable]:
    """An intact relay for the duration of the block."""
    cable = Cable(server_url)
    listener = await asyncio.start_server(cable._connect, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    cable.url = f"http://127.0.0.1:{port}"
    async with listener:
        yield cable
        cable.let_flow()
        cable.cut()
