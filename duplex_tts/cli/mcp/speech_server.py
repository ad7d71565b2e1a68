"""Finds the speech server of the tools, or starts one that lasts as long as they do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from duplex_tts.cli.shared_options import is_ready

OpenServer = Callable[[], AbstractContextManager[str]]
"""Yields the address of a server during a block, such as `ensure_server`."""


class SpeechServer:
    """The server that `open_server` finds or starts at the first need."""

    def __init__(self, open_server: OpenServer) -> None:
        self._open_server = open_server
        self._lock = asyncio.Lock()
        self._stack = ExitStack()
        self._address: str | None = None

    async def find_address(self) -> str:
        """Return the address; takes seconds when a server must be started. Looks again when the
        former one does not answer any more.

        Raises what `open_server` raises. A cancelled call does not stop the start.
        """
        return await asyncio.shield(asyncio.create_task(self._find_address()))

    @property
    def is_starting(self) -> bool:
        """Whether a server is being looked for or started."""
        return self._lock.locked()

    async def close(self) -> None:
        """Stop the server if it was started here. Does not wait for one that is still starting: it
        ends with this process.
        """
        if not self.is_starting:
            await asyncio.to_thread(self._stack.close)

    async def _find_address(self) -> str:
        async with self._lock:
            if self._address is None or not await asyncio.to_thread(is_ready, self._address):
                await asyncio.to_thread(self._reopen)
            assert self._address is not None
            return self._address

    def _reopen(self) -> None:
        self._address = None
        self._stack.close()
        self._address = self._stack.enter_context(self._open_server())
