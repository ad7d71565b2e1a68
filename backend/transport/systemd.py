"""What systemd and the server tell each other: inherited sockets, readiness, liveness.

The protocols are sd_listen_fds(3) and sd_notify(3). All functions are without effect in a process
that systemd did not start.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress

from backend.config import Settings
from backend.errors import ConfigError

_FIRST_DESCRIPTOR = 3


def notify(*assignments: str) -> None:
    """Tell systemd the state: `READY=1`, `STATUS=...`. Does not block; lost if nothing listens."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = f"\0{path[1:]}" if path.startswith("@") else path
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.sendto("\n".join(assignments).encode(), address)


def watchdog_period_s() -> float:
    """How often systemd expects `WATCHDOG=1`, before it restarts the service; 0: never."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    period_us = os.environ.get("WATCHDOG_USEC", "")
    return int(period_us) / 1e6 if period_us.isdecimal() else 0.0


def inherited_listener(host: str, port: int) -> socket.socket | None:
    """The socket that systemd opened at this address; None: there is none."""
    for descriptor, address in _inherited_addresses():
        if address in _socket_addresses(host, port):
            os.set_inheritable(descriptor, False)
            return socket.socket(fileno=descriptor)
    return None


def check_inherited(settings: Settings) -> None:
    """Raises `ConfigError` if systemd opened a socket that the settings do not ask for.

    The settings decide where the server listens, as they also decide whether it needs keys.
    """
    wanted = _socket_addresses(settings.server.host, settings.server.port)
    if settings.wyoming.port:
        wanted |= _socket_addresses(settings.wyoming.host, settings.wyoming.port)
    for _, address in _inherited_addresses():
        if settings.cluster.replicas:
            raise ConfigError("--replicas cannot take over a socket of systemd: disable its unit")
        if address not in wanted:
            raise ConfigError(
                f"systemd listens on {address[0]} port {address[1]}, the settings do not: set "
                "server.host and server.port (or wyoming.host and wyoming.port) to the "
                "ListenStream= of the socket unit, a TCP address"
            )


def _inherited_addresses() -> Iterator[tuple[int, tuple[str, int]]]:
    """The descriptor and the address of each inherited socket. Raises `ConfigError`."""
    count = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdecimal():
        return
    for descriptor in range(_FIRST_DESCRIPTOR, _FIRST_DESCRIPTOR + int(count)):
        yield descriptor, _listening_address(descriptor)


def _listening_address(descriptor: int) -> tuple[str, int]:
    """The address of an inherited socket. Raises `ConfigError` if it does not listen."""
    listens = False
    with suppress(OSError):  # no socket, or not open
        inherited = socket.socket(fileno=descriptor)
        try:
            listens = bool(inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
            name = inherited.getsockname()
        finally:
            inherited.detach()
    if not listens:
        raise ConfigError(
            f"descriptor {descriptor}, of systemd, is no listening socket: the socket unit needs "
            "ListenStream= with a TCP address, and no Accept=yes"
        )
    return (name[0], name[1]) if isinstance(name, tuple) else (str(name), 0)


def _socket_addresses(host: str, port: int) -> set[tuple[str, int]]:
    """The addresses of a host as a socket names them."""
    with suppress(OSError, UnicodeError):
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        return {(str(each[4][0]), int(each[4][1])) for each in found}
    return {(host, port)}
