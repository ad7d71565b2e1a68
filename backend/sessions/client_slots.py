"""Limits concurrent clients, over WebSockets and HTTP together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backend.errors import Overloaded


class ClientSlots:
    """Counts open connections and speaking requests. Bound to one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0

    def check_free(self) -> None:
        """Raises `Overloaded` if no slot is free."""
        if self._taken >= self._limit:
            raise Overloaded(
                f"{self._limit} connections are open (max_connections); try again later"
            )

    @contextmanager
    def take_slot(self) -> Iterator[None]:
        """Hold a slot while the block runs."""
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
