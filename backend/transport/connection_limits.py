"""How many connections there may be, over all and of one address, and who has to make room.

There are at most as many as there are file descriptors for. One more takes the place of the one
that has been waiting longest without a request; where all are busy, it is refused.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections import Counter
from collections.abc import Callable
from typing import Protocol

import structlog

from backend.config import Settings
from backend.errors import ConfigError

log = structlog.get_logger(__name__)

_RESERVE = 64  # file descriptors for all but connections, beside those that are open at the start
_OTHERS = 100  # connections beside those that speak and as many more: pages, figures, files
_FEWEST = 32


class Connection(Protocol):
    """What the guard knows of one."""

    transport: asyncio.Transport


class AddressLimit:
    """Counts by address. Of IPv6 a network of 64 bits is one: every house has so many addresses."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counts: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        """Count one more; False where there are as many as may be."""
        owner = _owner(address)
        if self._counts[owner] >= self._limit:
            return False
        self._counts[owner] += 1
        return True

    def leave(self, address: str) -> None:
        """One of those that were let in is gone."""
        owner = _owner(address)
        self._counts[owner] -= 1
        if not self._counts[owner]:
            del self._counts[owner]


class ConnectionLimits:
    """All connections of a server. `exempt`: whether an address is that of a reverse proxy."""

    def __init__(
        self, most: int, per_address: int, timeout_s: float, exempt: Callable[[str], bool]
    ) -> None:
        self.timeout_s = timeout_s
        self._most = most
        self._addresses = AddressLimit(per_address)
        self._exempt = exempt
        self._open: dict[asyncio.BaseTransport, str | None] = {}
        self._waiting: dict[Connection, None] = {}  # without a complete request; the oldest first

    def refusal(self, transport: asyncio.BaseTransport) -> tuple[int, str] | None:
        """Count a new connection. Returns the status and the reason where it may not stay."""
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) else None
        if address is not None and self._exempt(address):
            address = None
        if address is not None and not self._addresses.enter(address):
            self._open[transport] = None
            return 429, "too many connections from this address (server.connections_per_address)"
        self._open[transport] = address
        if len(self._open) > self._most and not self._make_room():
            return 503, f"{self._most} connections are open; try again later"
        return None

    def left(self, transport: asyncio.BaseTransport) -> None:
        """A connection is closed."""
        address = self._open.pop(transport, None)
        if address is not None:
            self._addresses.leave(address)

    def waiting(self, connection: Connection) -> None:
        """From now on the server waits for a request of this connection."""
        self._waiting.pop(connection, None)
        self._waiting[connection] = None

    def busy(self, connection: Connection) -> None:
        """The server is answering, or the connection is closed or no longer one of HTTP."""
        self._waiting.pop(connection, None)

    def _make_room(self) -> bool:
        oldest = next(iter(self._waiting), None)
        if oldest is None:
            return False
        self.busy(oldest)
        oldest.transport.abort()
        return True


def _owner(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return address
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, 64), strict=False))


# --- file descriptors -----------------------------------------------------------------------------


def connections_wanted(settings: Settings) -> int:
    """How many connections of all kinds there may be, as long as there are descriptors."""
    return 2 * settings.server.max_connections + _OTHERS


def within_descriptors(settings: Settings) -> tuple[Settings, int]:
    """Raise the limit of file descriptors as far as needed and allowed. Returns how many
    connections there may be, and the settings with fewer `max_connections` where that is too few.

    Raises `ConfigError` where there is hardly room for any.
    """
    wanted = connections_wanted(settings)
    limit = _raised_limit(wanted + _RESERVE + _open_descriptors())
    most = min(wanted, limit - _RESERVE - _open_descriptors())
    remedy = "raise the limit of file descriptors, for instance with: ulimit -n 4096"
    if most < _FEWEST:
        raise ConfigError(f"with {limit} file descriptors there is no room for clients; {remedy}")
    speaking = most * 3 // 4
    if most < wanted and speaking < settings.server.max_connections:
        log.warning("descriptors.few", limit=limit, max_connections=speaking, remedy=remedy)
        server = settings.server.model_copy(update={"max_connections": speaking})
        settings = settings.model_copy(update={"server": server})
    return settings, most


def _raised_limit(wanted: int) -> int:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    except (OSError, ValueError):  # macOS has another limit above this one
        return soft
    return limit


def _open_descriptors() -> int:
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return _RESERVE
