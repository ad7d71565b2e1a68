"""Where the server is: what people type for it, and what it means."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

from duplex_tts.errors import BadAddress, Refused

WEBSOCKET_PATH = "/ws/tts"
DEFAULT_URL = f"ws://127.0.0.1:8000{WEBSOCKET_PATH}"
_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_-]{1,63})*\.?", re.I)
_ADDRESS = re.compile(r"(\[[^][]+\]|[^][:]+)(:[0-9]+)?")
_KEEP = "/%:@!$&'()*+,;=~"  # in a path: what is encoded already stays as it is


@dataclass(frozen=True, slots=True)
class _Server:
    """`prefix`: the path that the server stands under, without a slash at its end."""

    secure: bool
    host: str
    prefix: str
    query: str


def websocket_url(address: str) -> str:
    """`ws://host:port/ws/tts` for that, for `http://host:port` and for `host:port`.

    A path before `/ws/tts`, which may be left out, is that of a proxy: all requests keep it. Raises
    `BadAddress`.
    """
    server = _parsed(address)
    scheme = "wss" if server.secure else "ws"
    return urlunsplit((scheme, server.host, server.prefix + WEBSOCKET_PATH, server.query, ""))


def http_url(address: str, path: str) -> str:
    """The server's page `path` (with a slash before it), beside its WebSocket.

    Raises `BadAddress`.
    """
    server = _parsed(address)
    scheme = "https" if server.secure else "http"
    return urlunsplit((scheme, server.host, server.prefix + path, server.query, ""))


def authorization(key: str | None) -> dict[str, str]:
    """The header that shows an API key; none without a key.

    Raises `Refused` for what cannot be a key: no header can hold it.
    """
    key = (key or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise Refused("invalid_api_key", "the API key has characters that no key has")
    return {"Authorization": f"Bearer {key}"} if key else {}


def _parsed(address: str) -> _Server:
    try:
        return _taken_apart(address.strip())
    except ValueError as error:
        raise BadAddress(
            f"{address!r} is not an address like 127.0.0.1:8000 or http://host:port/path: {error}"
        ) from error


def _taken_apart(address: str) -> _Server:
    if not address.isprintable() or " " in address:
        raise ValueError("it has a space or a control character")
    parts = urlsplit(address if "://" in address else f"ws://{address}")
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"the scheme is one of {', '.join(_SCHEMES)}")
    path = quote(parts.path, safe=_KEEP).rstrip("/").removesuffix(WEBSOCKET_PATH).rstrip("/")
    secure = _SCHEMES[parts.scheme] == "wss"
    return _Server(secure, _host(parts), path, quote(parts.query, safe=_KEEP + "?[]"))


def _host(parts: SplitResult) -> str:
    """User, host and port as they go into a request: the host's name in ASCII."""
    user, at, address = parts.netloc.rpartition("@")
    if not _ADDRESS.fullmatch(address):
        raise ValueError("it names no host and port")
    name = parts.hostname or ""
    if ":" in name:
        host = f"[{ipaddress.IPv6Address(name)}]"
    else:
        host = name.encode("idna").decode()
        if not _HOST_NAME.fullmatch(host):
            raise ValueError("it names no host")
    if parts.port == 0:
        raise ValueError("a port is a number from 1 to 65535")
    port = "" if parts.port is None else f":{parts.port}"
    return f"{quote(user, safe=_KEEP)}{at}{host}{port}"
