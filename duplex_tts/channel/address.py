"""Parses server addresses as people type them, and builds the URLs to request."""

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
_SAFE = "/%:@!$&'()*+,;=~"  # in a path: what is encoded already stays as it is


@dataclass(frozen=True, slots=True)
class _ServerAddress:
    """`prefix`: the path before `/ws/tts`, without a trailing slash."""

    secure: bool
    host: str
    prefix: str
    query: str


def websocket_url(address: str) -> str:
    """Return `ws://host:port/ws/tts` for that, for `http://host:port` and for `host:port`.

    `/ws/tts` may be left out. A path before it (a proxy's) is kept in all requests. Raises
    `BadAddress`.
    """
    server = _parse_address(address)
    scheme = "wss" if server.secure else "ws"
    return urlunsplit((scheme, server.host, server.prefix + WEBSOCKET_PATH, server.query, ""))


def http_url(address: str, path: str) -> str:
    """Return the HTTP URL of `path` (with a leading slash) on the server at this address.

    Raises `BadAddress`.
    """
    server = _parse_address(address)
    scheme = "https" if server.secure else "http"
    return urlunsplit((scheme, server.host, server.prefix + path, server.query, ""))


def authorization(key: str | None) -> dict[str, str]:
    """Return the `Authorization` header of an API key; empty without a key.

    Raises `Refused` for a key that no header can hold.
    """
    key = (key or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise Refused("invalid_api_key", "the API key has characters that no key has")
    return {"Authorization": f"Bearer {key}"} if key else {}


def _parse_address(address: str) -> _ServerAddress:
    try:
        return _split_address(address.strip())
    except ValueError as error:
        raise BadAddress(
            f"{address!r} is not an address like 127.0.0.1:8000 or http://host:port/path: {error}"
        ) from error


def _split_address(address: str) -> _ServerAddress:
    if not address.isprintable() or " " in address:
        raise ValueError("it has a space or a control character")
    parts = urlsplit(address if "://" in address else f"ws://{address}")
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"the scheme must be one of {', '.join(_SCHEMES)}")
    path = quote(parts.path, safe=_SAFE).rstrip("/").removesuffix(WEBSOCKET_PATH).rstrip("/")
    secure = _SCHEMES[parts.scheme] == "wss"
    return _ServerAddress(secure, _encode_host(parts), path, quote(parts.query, safe=_SAFE + "?[]"))


def _encode_host(parts: SplitResult) -> str:
    """User, host and port as in a request, with the host name in ASCII."""
    user, at, address = parts.netloc.rpartition("@")
    if not _ADDRESS.fullmatch(address):
        raise ValueError("it has no host and port")
    name = parts.hostname or ""
    if ":" in name:
        host = f"[{ipaddress.IPv6Address(name)}]"
    else:
        host = name.encode("idna").decode()
        if not _HOST_NAME.fullmatch(host):
            raise ValueError("it has no valid host name")
    if parts.port == 0:
        raise ValueError("the port must be from 1 to 65535")
    port = "" if parts.port is None else f":{parts.port}"
    return f"{quote(user, safe=_SAFE)}{at}{host}{port}"
