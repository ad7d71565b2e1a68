"""The web pages of other sites: what they may not do, and which of them may.

A browser names the page's site in `Origin`; programs send none. The server's own page is the one
whose site is the `Host` that was asked for. A foreign name can be made to mean this machine (DNS
rebinding): then the two agree, and what such a page reads is sent without an `Origin`. So, without
keys, the `Host` must be one that cannot: an address, a name without dots, or one of `_OUR_NAMES`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Container
from urllib.parse import SplitResult, urlsplit

import structlog
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from backend.config import AccessSettings
from backend.errors import ConfigError
from backend.transport.auth import Access, listed

log = structlog.get_logger(__name__)

_READING = {"GET", "HEAD", "OPTIONS"}
# No public name server answers for these: they cannot be made to mean this machine.
_OUR_NAMES = (".localhost", ".local", ".internal", ".home.arpa", ".lan")
_DEFAULT_PORTS = {"http": 80, "https": 443}
# All that are sent; the names are for browsers from before the wildcard.
_EXPOSED = ("*", "x-request-id", "x-speed", "retry-after")
_MOST_LOGGED = 100  # sites; whoever makes up more of them is no page


def guard(
    app: Starlette, access: Access, settings: AccessSettings, harmless: Container[str]
) -> None:
    """Keep the pages of other sites out, but those of `allowed_origins`. Raises `ConfigError`.

    `harmless`: paths that may be read under any name, as the pages themselves.
    """
    allowed = frozenset(_site(origin) for origin in listed(settings.allowed_origins))
    if allowed:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=allowed,
            allow_methods=["*"],
            allow_headers=["*"],
            allow_private_network=True,
            expose_headers=_EXPOSED,
        )
    app.add_middleware(SameOrigin, access=access, allowed=allowed, harmless=harmless)


class SameOrigin:
    """ASGI middleware: pages of other sites may neither open a WebSocket nor post; without keys
    they may not read either what is not `harmless`. Each site is logged once, with the remedy.
    """

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        allowed: Container[str],
        harmless: Container[str] = frozenset(),
    ) -> None:
        """`allowed`: sites in lower case, without default ports."""
        self._app = app
        self._access = access
        self._allowed = allowed
        self._harmless = harmless
        self._logged: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 403."""
        refusal = None if scope["type"] == "lifespan" else self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await answer(refusal, scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        reading = scope.get("method") in _READING
        if origin is not None and not self._may(origin, scope, headers):
            remedy = f"list it in access.allowed_origins ({_site_or(origin)})"
            self._log("origin.refused", origin, remedy)
            asking = "access-control-request-method" in headers  # before it posts
            if not reading or asking:
                return _refused("origin", f"pages of this site may not use the server; {remedy}")
        if reading and not self._may_be_read(scope, headers):
            host = headers["host"]
            remedy = f"list http://{host} (or https) in access.allowed_origins, or set API keys"
            self._log("host.refused", host, remedy)
            return _refused("host", f"{host[:100]} is no name of this machine alone; {remedy}")
        return None

    def _may(self, origin: str, scope: Scope, headers: Headers) -> bool:
        if "*" in self._allowed or _site_or(origin) in self._allowed:
            return True
        scheme, _, site = origin.lower().partition("://")
        own = site in _ways_to_write(headers.get("host", "").lower(), scheme)
        return own and (self._access.demanded or self._is_ours(scope, headers))

    def _may_be_read(self, scope: Scope, headers: Headers) -> bool:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        return (
            self._access.demanded
            or path in self._harmless
            or "*" in self._allowed
            or "host" not in headers  # every browser sends one
            or self._is_ours(scope, headers)
            or any(_site_or(f"{each}://{headers['host']}") in self._allowed for each in _WEB)
        )

    def _is_ours(self, scope: Scope, headers: Headers) -> bool:
        """Whether all names that the request used are: a page may say that it was forwarded."""
        names = (headers.get("host", ""), *scope.get("direct_hosts", ()))
        return all(_is_ours(name.lower()) for name in names)

    def _log(self, event: str, site: str, remedy: str) -> None:
        if site not in self._logged and len(self._logged) < _MOST_LOGGED:
            self._logged.add(site)
            log.warning(event, site=site[:200], remedy=remedy[:300])


async def answer(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request, or the handshake of a WebSocket, without letting it in."""
    if scope["type"] == "websocket":
        await WebSocket(scope, receive, send).send_denial_response(response)
    else:
        await response(scope, receive, send)


def hostname(host: str) -> str:
    """The name in a `Host` header; empty where there is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # an IPv6 address without its end
        return ""


_WEB = ("http", "https")


def _refused(code: str, message: str) -> Response:
    return JSONResponse({"error": code, "message": message}, 403)


def _is_ours(host: str) -> bool:
    name = hostname(host)
    if "." not in name or name.endswith(_OUR_NAMES):  # an IPv6 address has no dots, or is mapped
        return bool(name)
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _ways_to_write(host: str, scheme: str) -> set[str]:
    """A proxy may have put the port behind the name also where browsers leave it out."""
    return {host, host.removesuffix(f":{_DEFAULT_PORTS.get(scheme, '')}")} - {""}


def _site(origin: str) -> str:
    """A site as browsers write it: in lower case, without a default port. Raises `ConfigError`."""
    if origin in ("*", "null"):
        return origin
    try:
        parts = urlsplit(origin)
        site = _written(parts)
    except (ValueError, UnicodeError):
        parts, site = urlsplit(""), ""
    if not (parts.scheme and parts.hostname) or parts.path.strip("/") or parts.query:
        raise ConfigError(
            f"access.allowed_origins: {origin!r} is no site; write one as https://example.org, "
            "without a path"
        )
    return site


def _written(parts: SplitResult) -> str:
    name = (parts.hostname or "").encode("idna").decode() if parts.hostname else ""
    name = f"[{name}]" if ":" in name else name
    port = "" if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{name}{port}"


def _site_or(origin: str) -> str:
    try:
        return _site(origin)
    except ConfigError:
        return origin.lower()
