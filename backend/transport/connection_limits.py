"""Limits concurrent connections, in total and per address.

The total is limited by file descriptors. A connection beyond it replaces the one waiting longest
without a request; if all are busy, it is refused.
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

_RESERVED_DESCRIPTORS = 64  # beside connections and those open at the start
_OTHER_CONNECTIONS = 100  # beside twice the speaking ones: pages, metrics, files
_MIN_CONNECTIONS = 32


class HttpConnection(Protocol):
    """A connection, as far as the limits need it."""

    transport: asyncio.Transport


class AddressLimit:
    """Counts by address; an IPv6 /64, the network of one site, counts as one address."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counts: Counter[str] = Counter()

    def try_acquire(self, address: str) -> bool:
        """Count one more. Returns False at the limit."""
        owner = _network_of(address)
        if self._counts[owner] >= self._limit:
            return False
        self._counts[owner] += 1
        return True

    def release(self, address: str) -> None:
        """Undo a successful `try_acquire`."""
        owner = _network_of(address)
        self._counts[owner] -= 1
        if not self._counts[owner]:
            del self._counts[owner]


class ConnectionLimits:
    """All connections of a server. `exempt`: whether an address is a reverse proxy's."""

    def __init__(
        self,
        max_connections: int,
        per_address: int,
        timeout_s: float,
        exempt: Callable[[str], bool],
    ) -> None:
        self.timeout_s = timeout_s
        self._max_connections = max_connections
        self._addresses = AddressLimit(per_address)
        self._exempt = exempt
        self._open: dict[asyncio.BaseTransport, str | None] = {}
        self._waiting: dict[HttpConnection, None] = {}  # without a complete request; oldest first

    def add_connection(self, transport: asyncio.BaseTransport) -> tuple[int, str] | None:
        """Count a new connection. Returns status and reason if it must be refused."""
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) else None
        if address is not None and self._exempt(address):
            address = None
        if address is not None and not self._addresses.try_acquire(address):
            self._open[transport] = None
            return 429, "too many connections from this address (server.connections_per_address)"
        self._open[transport] = address
        if len(self._open) > self._max_connections and not self._make_room():
            return 503, f"{self._max_connections} connections are open; try again later"
        return None

    def remove_connection(self, transport: asyncio.BaseTransport) -> None:
        """Uncount a closed connection."""
        address = self._open.pop(transport, None)
        if address is not None:
            self._addresses.release(address)

    def mark_waiting(self, connection: HttpConnection) -> None:
        """The server now waits for a request on this connection."""
        self._waiting.pop(connection, None)
        self._waiting[connection] = None

    def mark_busy(self, connection: HttpConnection) -> None:
        """The server is answering, or the connection is closed or upgraded."""
        self._waiting.pop(connection, None)

    def _make_room(self) -> bool:
        oldest = next(iter(self._waiting), None)
        if oldest is None:
            return False
        self.mark_busy(oldest)
        oldest.transport.abort()
        return True


def _network_of(address: str) -> str:
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


def wanted_connections(settings: Settings) -> int:
    """Connections of all kinds wanted, if there are enough file descriptors."""
    return 2 * settings.server.max_connections + _OTHER_CONNECTIONS


def fit_descriptors(settings: Settings) -> tuple[Settings, int]:
    """Raise the file descriptor limit as far as needed and allowed. Returns the settings, with
    `max_connections` lowered if needed, and the limit of all connections.

    Raises `ConfigError` if the limit is too low for clients.
    """
    wanted = wanted_connections(settings)
    limit = _raise_limit(wanted + _RESERVED_DESCRIPTORS + _count_descriptors())
    max_connections = min(wanted, limit - _RESERVED_DESCRIPTORS - _count_descriptors())
    remedy = "raise the limit of file descriptors, for instance with: ulimit -n 4096"
    if max_connections < _MIN_CONNECTIONS:
        raise ConfigError(f"with {limit} file descriptors there is no room for clients; {remedy}")
    speaking = max_connections * 3 // 4
    if max_connections < wanted and speaking < settings.server.max_connections:
        log.warning("descriptors.few", limit=limit, max_connections=speaking, remedy=remedy)
        server = settings.server.model_copy(update={"max_connections": speaking})
        settings = settings.model_copy(update={"server": server})
    return settings, max_connections


def _raise_limit(wanted: int) -> int:
    try:
        import resource
    except ImportError:  # Windows has no limit
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    except (OSError, ValueError):  # macOS has a lower limit
        return soft
    return limit


def _count_descriptors() -> int:
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return _RESERVED_DESCRIPTORS
