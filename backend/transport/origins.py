"""Origin and host checks against web pages of other sites.

Browsers send the page's site in `Origin`; programs send none. The server's own page has the
requested `Host` as its site. By DNS rebinding a foreign name can resolve to this machine: then both
agree, and reads carry no `Origin`. So, without keys, `Host` must be a name that cannot be rebound:
an address, a name without dots, or one with a suffix in `_OWN_SUFFIXES`.
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
from backend.transport.auth import Access, split_list

log = structlog.get_logger(__name__)

_READ_METHODS = {"GET", "HEAD", "OPTIONS"}
# Not resolved by public DNS, so not open to rebinding.
_OWN_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa", ".lan")
_DEFAULT_PORTS = {"http": 80, "https": 443}
# The names are for browsers without support for the wildcard.
_EXPOSED_HEADERS = ("*", "x-request-id", "x-speed", "retry-after")
_MAX_LOGGED_SITES = 100  # sites; bounds memory


def install_origin_check(
    app: Starlette,
    access: Access,
    settings: AccessSettings,
    harmless: Container[str],
    proved: Container[str] = frozenset(),
) -> None:
    """Refuse pages of other sites except `allowed_origins`. Raises `ConfigError`.

    `harmless`: paths readable under any host name, such as the pages. `proved`: paths of WebSockets
    whose client proves that it knows a secret of this cluster.
    """
    allowed = frozenset(_parse_site(origin) for origin in split_list(settings.allowed_origins))
    if allowed:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=allowed,
            allow_methods=["*"],
            allow_headers=["*"],
            allow_private_network=True,
            expose_headers=_EXPOSED_HEADERS,
        )
    app.add_middleware(
        SameOriginMiddleware, access=access, allowed=allowed, harmless=harmless, proved=proved
    )


class SameOriginMiddleware:
    """ASGI middleware: refuses WebSockets and writes from pages of other sites; without keys also
    reads of paths not `harmless`. Logs each site once, with the remedy.
    """

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        allowed: Container[str],
        harmless: Container[str] = frozenset(),
        proved: Container[str] = frozenset(),
    ) -> None:
        """`allowed`: sites in lower case, without default ports."""
        self._app = app
        self._access = access
        self._allowed = allowed
        self._harmless = harmless
        self._proved = proved
        self._logged: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application, or answer 403."""
        refusal = None if scope["type"] == "lifespan" else self._check_request(scope)
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await send_response(refusal, scope, receive, send)

    def _check_request(self, scope: Scope) -> Response | None:
        if scope["type"] == "websocket" and _own_path(scope) in self._proved:
            return None
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        reading = scope.get("method") in _READ_METHODS
        if origin is not None and not self._is_allowed(origin, scope, headers):
            remedy = f"list it in access.allowed_origins ({_normalize_site(origin)})"
            self._log_once("origin.refused", origin, remedy)
            asking = "access-control-request-method" in headers  # CORS preflight
            if not reading or asking:
                return _create_refusal(
                    "origin", f"pages of this site may not use the server; {remedy}"
                )
        if reading and not self._is_readable(scope, headers):
            host = headers["host"]
            remedy = f"list http://{host} (or https) in access.allowed_origins, or set API keys"
            self._log_once("host.refused", host, remedy)
            return _create_refusal("host", f"{host[:100]} may be a public name; {remedy}")
        return None

    def _is_allowed(self, origin: str, scope: Scope, headers: Headers) -> bool:
        if "*" in self._allowed or _normalize_site(origin) in self._allowed:
            return True
        scheme, _, site = origin.lower().partition("://")
        own = site in _host_variants(headers.get("host", "").lower(), scheme)
        return own and (self._access.requires_key or self._is_own_request(scope, headers))

    def _is_readable(self, scope: Scope, headers: Headers) -> bool:
        return (
            self._access.requires_key
            or _own_path(scope) in self._harmless
            or "*" in self._allowed
            or "host" not in headers  # every browser sends one
            or self._is_own_request(scope, headers)
            or any(
                _normalize_site(f"{scheme}://{headers['host']}") in self._allowed
                for scheme in _WEB_SCHEMES
            )
        )

    def _is_own_request(self, scope: Scope, headers: Headers) -> bool:
        """Whether all host names are own names: a page can forge `X-Forwarded-Host`."""
        names = (headers.get("host", ""), *scope.get("direct_hosts", ()))
        return all(_is_own_name(name.lower()) for name in names)

    def _log_once(self, event: str, site: str, remedy: str) -> None:
        if site not in self._logged and len(self._logged) < _MAX_LOGGED_SITES:
            self._logged.add(site)
            log.warning(event, site=site[:200], remedy=remedy[:300])


async def send_response(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request or refuse a WebSocket handshake."""
    if scope["type"] == "websocket":
        await WebSocket(scope, receive, send).send_denial_response(response)
    else:
        await response(scope, receive, send)


def hostname(host: str) -> str:
    """The name in a `Host` header; empty if invalid."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # an unterminated IPv6 address
        return ""


_WEB_SCHEMES = ("http", "https")


def _own_path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _create_refusal(code: str, message: str) -> Response:
    return JSONResponse({"error": code, "message": message}, 403)


def _is_own_name(host: str) -> bool:
    name = hostname(host)
    if "." not in name or name.endswith(
        _OWN_SUFFIXES
    ):  # IPv6 addresses have no dots, unless mapped
        return bool(name)
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _host_variants(host: str, scheme: str) -> set[str]:
    """`host` with and without the default port, which proxies may add."""
    return {host, host.removesuffix(f":{_DEFAULT_PORTS.get(scheme, '')}")} - {""}


def _parse_site(origin: str) -> str:
    """A site as browsers send it: lower case, no default port. Raises `ConfigError`."""
    if origin in ("*", "null"):
        return origin
    try:
        parts = urlsplit(origin)
        site = _format_site(parts)
    except (ValueError, UnicodeError):
        parts, site = urlsplit(""), ""
    if not (parts.scheme and parts.hostname) or parts.path.strip("/") or parts.query:
        raise ConfigError(
            f"access.allowed_origins: {origin!r} is not a site; write it as https://example.org, "
            "without a path"
        )
    return site


def _format_site(parts: SplitResult) -> str:
    name = (parts.hostname or "").encode("idna").decode() if parts.hostname else ""
    name = f"[{name}]" if ":" in name else name
    port = "" if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{name}{port}"


def _normalize_site(origin: str) -> str:
    try:
        return _parse_site(origin)
    except ConfigError:
        return origin.lower()
