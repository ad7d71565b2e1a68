"""Where the server is: what people type for it, and what it means."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

WEBSOCKET_PATH = "/ws/tts"
DEFAULT_URL = f"ws://127.0.0.1:8000{WEBSOCKET_PATH}"
_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


def websocket_url(address: str) -> str:
    """`ws://host:port/ws/tts` for that, for `http://host:port` and for `host:port`.

    A path that is given stays. Raises `ValueError` for what is no address of a server.
    """
    parts = urlsplit(address if "://" in address else f"ws://{address}")
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise ValueError(f"{address!r} is not an address like 127.0.0.1:8000 or ws://host:port")
    path = parts.path if parts.path.strip("/") else WEBSOCKET_PATH
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, parts.query, ""))


def http_url(address: str, path: str) -> str:
    """The server's page `path` (it starts with a slash), beside its WebSocket."""
    parts = urlsplit(websocket_url(address))
    scheme = "https" if parts.scheme == "wss" else "http"
    return urlunsplit((scheme, parts.netloc, path, "", ""))
