"""Who may speak with the server: API keys, and the web pages of other sites."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.config import AccessSettings
from backend.errors import ConfigError, Unauthorized

ANYBODY = "anybody"
_READING = {"GET", "HEAD", "OPTIONS"}


class Access:
    """The API keys there are. Reads the file of keys once; raises `ConfigError`."""

    def __init__(self, settings: AccessSettings) -> None:
        self._owners = {
            _hash(key.strip()): f"key {number}"
            for number, key in enumerate(settings.api_keys.split(","), 1)
            if key.strip()
        }
        if settings.api_keys_file:
            self._owners.update(_read(Path(settings.api_keys_file)))

    @property
    def demanded(self) -> bool:
        """Whether there are keys; without any, everybody may speak."""
        return bool(self._owners)

    def authorize(self, key: str | None) -> str:
        """Whose key it is: `ANYBODY` where none is demanded. Raises `Unauthorized`."""
        if not self.demanded:
            return ANYBODY
        if not key:
            raise Unauthorized("this server wants an API key; ask whoever runs it for one")
        given = _hash(key)
        owner = None
        for known, name in self._owners.items():  # all of them: the time tells nothing
            if hmac.compare_digest(known, given):
                owner = name
        if owner is None:
            raise Unauthorized("the API key is not one of this server's")
        return owner


def bearer(headers: Headers) -> str | None:
    """The key in `Authorization: Bearer KEY`."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


class SameOrigin:
    """ASGI middleware: pages of other sites may neither open a WebSocket nor post.

    A browser names the page's site in `Origin`; programs send none.
    """

    def __init__(self, app: ASGIApp, allowed_origins: str) -> None:
        self._app = app
        self._allowed = {origin.strip().rstrip("/") for origin in allowed_origins.split(",")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 403."""
        if scope["type"] == "lifespan" or self._may(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "origin"})
        else:
            message = "pages of this origin may not use the server; see access.allowed_origins"
            await JSONResponse({"error": "origin", "message": message}, 403)(scope, receive, send)

    def _may(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is None or scope.get("method") in _READING:
            return True
        secure = scope["scheme"] in ("https", "wss")
        own = f"{'https' if secure else 'http'}://{headers.get('host', '')}"
        return origin == own or origin in self._allowed


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the API keys in {path}: {error}") from error
    owners = {}
    for line in filter(None, map(str.strip, lines)):
        name, _, digest = line.rpartition(" ")
        if len(digest) != 64 or not name:
            raise ConfigError(f"{path}: each line is `name sha256-of-the-key`, not {line[:40]!r}")
        owners[digest.lower()] = name
    return owners
