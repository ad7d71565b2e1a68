"""Listening sockets."""

from __future__ import annotations

import socket

from backend.errors import ConfigError
from backend.transport.systemd import inherited_listener

_UNREAD_TIMEOUT_MS = 60_000  # uvicorn closes only after writing all, so never if unread


def listen(host: str, port: int) -> socket.socket:
    """The socket that systemd opened at this address, else a new one.

    Raises `ConfigError` if the port is taken or forbidden.
    """
    listener = inherited_listener(host, port) or _create_listener(host, port)
    # Inherited by its connections. Without it a small message after another waits for the
    # client's delayed ACK, 40 ms: asyncio does not detect these sockets as TCP.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_TIMEOUT_MS)
    return listener


def _create_listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host} port {port}: {error.strerror}; "
            "choose another with --port (make run PORT=...)"
        ) from error
