"""A TCP proxy that injects faults: delays, stalls, resets and damaged bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

READ_BYTES = 16_384
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@dataclass
class FaultProxy:
    """The faults to inject; may be changed at any time. `down` is the direction to the client.

    `upstream`: the server's host and port, for new connections. `delay_s`: per read, both ways.
    `cut_after_bytes`: reset the connections after this many more bytes `down`, usually within a
    frame; then after the next of `more_cuts`. `damage_after_bytes`: alter the byte there.
    `block_websockets`: answer 403, like an HTTP-only proxy. `refuse`: close all new connections.
    """

    upstream: tuple[str, int]
    address: str = ""
    delay_s: float = 0.0
    cut_after_bytes: int | None = None
    more_cuts: Iterator[int] = field(default_factory=lambda: iter(()))
    damage_after_bytes: int | None = None
    block_websockets: bool = False
    refuse: bool = False
    connections: int = 0
    cuts: int = 0
    down_bytes: int = 0
    _flowing: asyncio.Event = field(default_factory=asyncio.Event)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def stall(self) -> None:
        """Forward nothing more, both ways, without closing."""
        self._flowing.clear()

    def flow(self) -> None:
        """Forward again."""
        self._flowing.set()

    def cut(self) -> None:
        """Reset all connections."""
        self.cuts += bool(self._writers)
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection until either side ends it."""
        self.connections += 1
        self._writers.add(writer)
        server: asyncio.StreamWriter | None = None
        try:
            first = await reader.read(READ_BYTES)
            if self.refuse or not first:
                return
            if self.block_websockets and b"upgrade: websocket" in first.lower():
                writer.write(FORBIDDEN)
                await writer.drain()
                return
            from_server, server = await asyncio.open_connection(*self.upstream)
            self._writers.add(server)
            server.write(first)
            await self._both(
                self._carry(reader, server), self._carry(from_server, writer, down=True)
            )
        except OSError:
            pass
        finally:
            for peer in filter(None, (writer, server)):
                self._writers.discard(peer)
                peer.transport.abort()

    async def _both(self, *ways: Coroutine[Any, Any, None]) -> None:
        tasks = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, down: bool = False
    ) -> None:
        while data := await reader.read(READ_BYTES):
            await self._flowing.wait()
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            if down:
                data = self._harm(data)
            writer.write(data)
            await writer.drain()
            if self.cut_after_bytes is not None and self.cut_after_bytes <= 0:
                self.cut_after_bytes = next(self.more_cuts, None)
                await asyncio.sleep(0)  # let written data leave first
                self.cut()
        with suppress(OSError):
            writer.write_eof()

    def _harm(self, data: bytes) -> bytes:
        self.down_bytes += len(data)
        if self.damage_after_bytes is not None:
            at, self.damage_after_bytes = (
                self.damage_after_bytes,
                self.damage_after_bytes - len(data),
            )
            if at < len(data):
                self.damage_after_bytes = None
                data = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
        if self.cut_after_bytes is not None:
            data = data[: self.cut_after_bytes]
            self.cut_after_bytes -= len(data)
        return data


def host_and_port(url: str) -> tuple[str, int]:
    """Parse an address such as `host:port` or `ws://host:port/path`."""
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    return parts.hostname or "127.0.0.1", parts.port or 80


@asynccontextmanager
async def fault_proxy(url: str) -> AsyncIterator[FaultProxy]:
    """Run a proxy in front of the server at `url`; its `address` is `host:port`."""
    proxy = FaultProxy(host_and_port(url))
    proxy.flow()
    listening = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()[:2]
    proxy.address = f"{host}:{port}"
    try:
        yield proxy
    finally:
        listening.close()
        proxy.flow()
        proxy.cut()
        await listening.wait_closed()
