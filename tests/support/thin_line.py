"""A TCP relay to the server whose way down is as thin as wanted: bits per second, from when on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

FREE = None
_CHUNK_BYTES = 256
_BUFFER_BYTES = 1 << 20


class ThinLine:
    """Relays bytes; those to the client at `bits_per_s` (None: at once), then `delay_s` later.

    Like a real line it has a deep buffer before its bottleneck: the server's writes never wait.
    `jitter_s`: each piece arrives up to so much later, in order.
    """

    def __init__(self, server_url: str) -> None:
        server = urlsplit(server_url)
        self._host, self._port = server.hostname, server.port
        self._ends: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.Task[None]] = set()
        self.bits_per_s: float | None = FREE
        self.delay_s = 0.0
        self.jitter_s = 0.0
        self.down_bytes = 0
        self.url = ""

    def cut(self) -> None:
        """Break all connections; new ones are accepted."""
        for end in self._ends:
            end.transport.abort()

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection of the client."""
        up_reader, up_writer = await asyncio.open_connection(
            self._host, self._port, limit=_BUFFER_BYTES
        )
        ends = {writer, up_writer}
        self._ends |= ends
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._up(reader, up_writer))
                tasks.create_task(self._down(up_reader, writer))
        finally:
            self._ends -= ends

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(_CHUNK_BYTES):
                await asyncio.sleep(self.delay_s)
                writer.write(data)
        writer.close()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        free_at_s = arrived_s = 0.0
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivery = asyncio.create_task(self._deliver(pieces, writer))
        with suppress(ConnectionError):
            while data := await reader.read(_CHUNK_BYTES if self.bits_per_s else 1 << 16):
                free_at_s = max(free_at_s, loop.time())
                if self.bits_per_s:
                    free_at_s += len(data) * 8 / self.bits_per_s
                await asyncio.sleep(max(0.0, free_at_s - loop.time()))
                late_s = self.delay_s + random.uniform(0, self.jitter_s)
                arrived_s = max(arrived_s, loop.time() + late_s)
                pieces.put_nowait((arrived_s, data))
        pieces.put_nowait((arrived_s, b""))
        await delivery

    async def _deliver(
        self, pieces: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter
    ) -> None:
        loop = asyncio.get_running_loop()
        while (piece := await pieces.get())[1]:
            await asyncio.sleep(max(0.0, piece[0] - loop.time()))
            self.down_bytes += len(piece[1])
            writer.write(piece[1])
        writer.close()


@asynccontextmanager
async def thin_line(server_url: str) -> AsyncIterator[ThinLine]:
    """A free line to the server for the duration of the block."""
    line = ThinLine(server_url)
    listener = await asyncio.start_server(line.relay, "127.0.0.1", 0)
    line.url = f"ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener:
        yield line
        line.cut()
