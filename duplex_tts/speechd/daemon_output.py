"""The pipe to Speech Dispatcher, which may read slowly."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Output:
    """Stdout: events are written whole; `drain` waits until the daemon has read them."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        writer.transport.set_write_buffer_limits(0)

    def write(self, data: bytes) -> None:
        """Queue bytes; returns at once."""
        self._writer.write(data)

    async def drain(self) -> None:
        """Wait until the pipe has taken what was written."""
        with suppress(ConnectionError):
            await self._writer.drain()
