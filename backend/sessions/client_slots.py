"""How many clients there may be at once, over WebSockets and HTTP together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backend.errors import Overloaded


class ClientSlots:
    """A place for each connection, and for each request that speaks. Lives on one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0

    def check(self) -> None:
        """Raises `Overloaded` where none is free."""
        if self._taken >= self._limit:
            raise Overloaded(
                f"{self._limit} connections are open (max_connections); try again later"
            )

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold one while the block runs."""
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
