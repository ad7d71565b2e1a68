"""The pipe to Speech Dispatcher, which may read slowly."""

from __future__ import annotations

import asyncio
import fcntl
from contextlib import suppress
from typing import BinaryIO

_PIPE_BYTES = 16_384  # three events: what is in the pipe when speech is stopped has to be read


def shorten_pipe(pipe: BinaryIO) -> None:
    """Let little audio be on its way, where the system can."""
    with suppress(AttributeError, OSError):  # not Linux, or not a pipe
        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


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
        await asyncio.sleep(0)  # a STOP that has come meanwhile is read first
        with suppress(ConnectionError):
            await self._writer.drain()
