"""Outer ASGI middleware: response headers, and reverse proxies."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Match, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from backend.config import ServerSettings
from backend.errors import ConfigError
from backend.transport.auth import split_list
from backend.transport.connection_limits import AddressLimit
from backend.transport.origins import send_response

log = structlog.get_logger(__name__)

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_START_TYPES = ("http.response.start", "websocket.http.response.start")


class ResponseMiddleware:
    """ASGI middleware: disables content sniffing, and proxy buffering of streamed responses;
    ignores requests whose body was cut off.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application with the headers added."""

        async def sent(message: Message) -> None:
            if message["type"] in _START_TYPES:
                message = {**message, "headers": list(message.get("headers", ()))}
                headers = MutableHeaders(scope=message)
                headers.setdefault("x-content-type-options", "nosniff")
                if "content-length" not in headers:
                    headers["x-accel-buffering"] = "no"  # for nginx
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except ClientDisconnect:
            log.debug("http.cut_off", path=scope["path"])


def install_proxy(app: Starlette, settings: ServerSettings) -> None:
    """Support reverse proxies. Raises `ConfigError`."""
    if settings.root_path.strip("/") and not _normalize_prefix(settings.root_path):
        raise ConfigError(
            f"server.root_path cannot be {settings.root_path!r}; write it as /tts, "
            "of letters, digits, . _ ~ and -"
        )
    for address in split_list(settings.trusted_proxies):
        try:
            ipaddress.ip_network(address)
        except ValueError as error:
            raise ConfigError(
                f"server.trusted_proxies: {address!r} is not an address or network ({error}); "
                "write them as 192.0.2.7, 10.0.0.0/8"
            ) from error
    app.add_middleware(ReverseProxyMiddleware, settings=settings, router=app.router)


class ReverseProxyMiddleware:
    """ASGI middleware: restores a request as the first trusted reverse proxy received it.

    Sets the client's address, scheme and `Host`. The path may arrive with or without the prefix
    under which the proxy serves the server; afterwards it has the prefix, and `root_path` is set.
    Each client behind a proxy has at most `connections_per_address` concurrent requests and
    WebSockets.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, router: Router) -> None:
        """`router`: to tell routes from prefixed paths."""
        self._app = app
        self._router = router
        self._root_path = _normalize_prefix(settings.root_path)
        self._proxied = _create_proxy_headers(settings, self._call_limited)
        self._addresses = AddressLimit(settings.connections_per_address)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application; redirects the bare prefix to `prefix/`."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        peer = scope.get("client")
        scope = {**scope, "peer": peer}
        root_path = self._root_path
        if peer is not None and peer[0] in self._proxied.trusted_hosts:
            headers = Headers(scope=scope)
            root_path = _normalize_prefix(headers.get("x-forwarded-prefix", "")) or root_path
            _replace_host(scope, headers.get("x-forwarded-host", "").partition(",")[0].strip())
        if root_path:
            self._set_path(scope, root_path)
        if scope["path"] == root_path and scope["type"] == "http":
            await RedirectResponse(f"{root_path}/")(scope, receive, send)
            return
        await self._proxied(scope, receive, send)  # type: ignore[arg-type]

    def _set_path(self, scope: Scope, root_path: str) -> None:
        path: str = scope["path"]
        passed_on = path == root_path or path.startswith(f"{root_path}/")
        if not passed_on or self._is_route(scope):  # Cartesia's /tts/bytes with prefix /tts
            scope["path"] = root_path + path
            scope["raw_path"] = root_path.encode() + scope.get("raw_path", b"")
        scope["root_path"] = root_path

    def _is_route(self, scope: Scope) -> bool:
        return any(route.matches(scope)[0] is not Match.NONE for route in self._router.routes)

    async def _call_limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Limit a proxied client's concurrent requests."""
        client = scope.get("client")
        if client is None or client == scope["peer"]:
            await self._app(scope, receive, send)
            return
        if not self._addresses.try_acquire(client[0]):
            message = "too many concurrent requests (server.connections_per_address)"
            refusal = JSONResponse({"error": "connections", "message": message}, 429)
            await send_response(refusal, scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._addresses.release(client[0])


def is_proxy(settings: ServerSettings) -> Callable[[str], bool]:
    """Return a predicate for the addresses of trusted reverse proxies."""
    return _create_proxy_headers(settings, None).trusted_hosts.__contains__


def _create_proxy_headers(settings: ServerSettings, app: Any) -> ProxyHeadersMiddleware:
    return ProxyHeadersMiddleware(app, split_list(settings.trusted_proxies))


def _normalize_prefix(text: str) -> str:
    """A path prefix without trailing slash; empty if invalid."""
    path = text.strip().rstrip("/")
    path = path if path.startswith("/") else f"/{path}"
    return path if _PREFIX.fullmatch(path) and ".." not in path else ""


def _replace_host(scope: Scope, host: str) -> None:
    if not host:
        return
    direct = [value for name, value in scope["headers"] if name == b"host"]
    others = [header for header in scope["headers"] if header[0] != b"host"]
    scope["headers"] = [*others, (b"host", host.encode("latin-1"))]
    scope["direct_hosts"] = [value.decode("latin-1") for value in direct]
