"""Who may speak with the server: API keys, and the web pages of other sites.

Keys are kept as SHA-256 only. That is enough for what `duplex-tts key` makes (256 random bits), and
nothing for a word that a person thought of.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from backend.config import AccessSettings, Settings
from backend.errors import ConfigError, Unauthorized

ANYBODY = "anybody"
_READING = {"GET", "HEAD", "OPTIONS"}
_LINE = re.compile(r"(?P<name>.*\S)\s+(?P<digest>[0-9a-fA-F]{64})(?P<admin>\s+admin)?")
# No public name server answers for these: they cannot be made to mean this machine.
_OUR_NAMES = (".localhost", ".local")


@dataclass(frozen=True, slots=True)
class _Owner:
    name: str
    admin: bool = False


class Access:
    """The API keys there are. Reads the file of keys once (blocks); raises `ConfigError`."""

    def __init__(self, settings: AccessSettings) -> None:
        self._owners = {
            _hash(key): _Owner(f"key {number}")
            for number, key in enumerate(_listed(settings.api_keys), 1)
        }
        if settings.admin_key:
            self._owners[_hash(settings.admin_key)] = _Owner("admin", admin=True)
        if settings.api_keys_file:
            self._owners.update(_read(Path(settings.api_keys_file)))
        self.demanded = bool(self._owners)
        """Whether there are keys; without any, everybody may speak."""
        self.own_key = secrets.token_urlsafe(32)
        """What a part of this very process shows for clients whose protocol knows no keys."""
        self._owners[_hash(self.own_key)] = _Owner("this server")

    def authorize(self, key: str | None) -> str:
        """Whose key it is: `ANYBODY` where none is demanded. Raises `Unauthorized`."""
        if not self.demanded:
            return ANYBODY
        if not key:
            raise Unauthorized("this server wants an API key; ask whoever runs it for one")
        owner = self._owner(key)
        if owner is None:
            raise Unauthorized("the API key is not one of this server's")
        return owner.name

    def administers(self, key: str | None) -> bool:
        """Whether it is a key of who runs the server."""
        owner = self._owner(key) if key else None
        return owner is not None and owner.admin

    def _owner(self, key: str) -> _Owner | None:
        given, found = _hash(key), None
        for known, owner in self._owners.items():  # all of them: the time tells nothing
            if hmac.compare_digest(known, given):
                found = owner
        return found


def check_exposure(settings: Settings, access: Access) -> None:
    """Refuse to let a whole network speak by accident. Raises `ConfigError`, with the remedy."""
    if settings.access.insecure:
        return
    host = settings.server.host
    if not (is_loopback(host) or access.demanded):
        raise ConfigError(
            f"listening on {host or 'all addresses'} would let everybody who reaches this machine "
            "speak; make a key with `duplex-tts key NAME`, or say --insecure if that is wanted"
        )
    if settings.wyoming.port and not is_loopback(settings.wyoming.host):
        raise ConfigError(
            f"listening on {settings.wyoming.host or 'all addresses'} for Wyoming, which knows no "
            "keys, would let everybody who reaches this machine speak; "
            "say --insecure if that is wanted"
        )


def is_loopback(host: str) -> bool:
    """Whether an address, or the name localhost, means this machine to itself only."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def bearer(headers: Headers) -> str | None:
    """The key in `Authorization: Bearer KEY`."""
    return authorization(headers, "bearer")


def authorization(headers: Headers, *schemes: str) -> str | None:
    """The key in `Authorization: SCHEME KEY`, for one of the schemes (in lower case)."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() in schemes else None


# --- other sites' pages ---------------------------------------------------------------------------


def guard(app: Starlette, access: Access, settings: AccessSettings) -> None:
    """Keep the pages of other sites out, but those of `allowed_origins`."""
    allowed = [origin.rstrip("/") for origin in _listed(settings.allowed_origins)]
    app.add_middleware(SameOrigin, access=access, allowed=allowed)
    if allowed:  # outside of the guard: it answers what a browser asks before it posts
        app.add_middleware(
            CORSMiddleware, allow_origins=allowed, allow_methods=["*"], allow_headers=["*"]
        )


class SameOrigin:
    """ASGI middleware: pages of other sites may neither open a WebSocket nor post.

    A browser names the page's site in `Origin`; programs send none. The server's own page is the
    one whose site is the `Host` that was asked for. A foreign name can be made to mean this
    machine (DNS rebinding), so without keys the `Host` must be one that cannot: an address, a name
    without dots, or one of `_OUR_NAMES`.
    """

    def __init__(self, app: ASGIApp, access: Access, allowed: Iterable[str]) -> None:
        self._app = app
        self._access = access
        self._allowed = set(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 403."""
        if scope["type"] == "lifespan" or self._may(scope):
            await self._app(scope, receive, send)
            return
        message = "pages of this site may not use the server; list it in access.allowed_origins"
        refusal = JSONResponse({"error": "origin", "message": message}, 403)
        if scope["type"] == "websocket":
            await WebSocket(scope, receive, send).send_denial_response(refusal)
        else:
            await refusal(scope, receive, send)

    def _may(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is None or scope.get("method") in _READING:
            return True
        if origin in self._allowed or "*" in self._allowed:
            return True
        host = headers.get("host", "").lower()
        own = origin.lower().partition("://")[2] == host
        return own and (self._access.demanded or _is_ours(host))


def _is_ours(host: str) -> bool:
    name = hostname(host)
    if "." not in name or name.endswith(_OUR_NAMES):  # an IPv6 address has no dots, or is mapped
        return bool(name)
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def hostname(host: str) -> str:
    """The name in a `Host` header; empty where there is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # an IPv6 address without its end
        return ""


# --- keys -----------------------------------------------------------------------------------------


def _listed(names: str) -> list[str]:
    return [name for name in map(str.strip, names.split(",")) if name]


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def _read(path: Path) -> dict[str, _Owner]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
        others_write = path.stat().st_mode & stat.S_IWOTH
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the API keys in {path}: {error}") from error
    if others_write:
        raise ConfigError(f"everybody may write to the API keys in {path}; chmod 600 it")
    owners = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        key = _LINE.fullmatch(line)
        if key is None:  # not the line itself, which may be a key
            raise ConfigError(
                f"{path} line {number} is not `name sha256-of-the-key` (or with ` admin` behind "
                "it); `duplex-tts key NAME` writes such lines"
            )
        owners[key["digest"].lower()] = _Owner(key["name"], admin=key["admin"] is not None)
    if not owners:
        raise ConfigError(f"there is no API key in {path}; make one with `duplex-tts key NAME`")
    return owners
