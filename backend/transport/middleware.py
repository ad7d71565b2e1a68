"""Around all of the application: what every answer has, and what a reverse proxy changes."""

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
from backend.transport.auth import listed
from backend.transport.connection_limits import AddressLimit
from backend.transport.origins import answer

log = structlog.get_logger(__name__)

_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_STARTS = ("http.response.start", "websocket.http.response.start")


class EveryAnswer:
    """ASGI middleware: no browser may guess the type of an answer, and no proxy keep back what is
    made while it is sent; a request that was cut off is nothing to complain of.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""

        async def sent(message: Message) -> None:
            if message["type"] in _STARTS:
                message = {**message, "headers": list(message.get("headers", ()))}
                headers = MutableHeaders(scope=message)
                headers.setdefault("x-content-type-options", "nosniff")
                if "content-length" not in headers:
                    headers["x-accel-buffering"] = "no"  # nginx's word for it
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except ClientDisconnect:
            log.debug("http.cut_off", path=scope["path"])


def install_proxy(app: Starlette, settings: ServerSettings) -> None:
    """Let the application be shown by reverse proxies. Raises `ConfigError`."""
    if settings.root_path.strip("/") and not _prefix(settings.root_path):
        raise ConfigError(
            f"server.root_path cannot be {settings.root_path!r}; write it as /tts, "
            "of letters, digits, . _ ~ and -"
        )
    for address in listed(settings.trusted_proxies):
        try:
            ipaddress.ip_network(address)
        except ValueError as error:
            raise ConfigError(
                f"server.trusted_proxies: {address!r} is no address and no network ({error}); "
                "write them as 192.0.2.7, 10.0.0.0/8"
            ) from error
    app.add_middleware(BehindProxy, settings=settings, router=app.router)


class BehindProxy:
    """ASGI middleware: puts a request as it was before trusted reverse proxies passed it on.

    The client's address, scheme and `Host` are those that the first proxy saw. The path may come
    with the prefix under which the proxy shows the server, or without; from here on it has it,
    and `root_path` says what it is. Each client behind a proxy has as many requests and
    WebSockets at a time as `connections_per_address` allows.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, router: Router) -> None:
        """`router`: knows which paths there are."""
        self._app = app
        self._router = router
        self._root_path = _prefix(settings.root_path)
        self._proxied = _believing(settings, self._limited)
        self._addresses = AddressLimit(settings.connections_per_address)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; a page that was asked for without the slash behind the prefix is elsewhere."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        peer = scope.get("client")
        scope = {**scope, "peer": peer}
        root_path = self._root_path
        if peer is not None and peer[0] in self._proxied.trusted_hosts:
            headers = Headers(scope=scope)
            root_path = _prefix(headers.get("x-forwarded-prefix", "")) or root_path
            _take_host(scope, headers.get("x-forwarded-host", "").partition(",")[0].strip())
        if root_path:
            self._place(scope, root_path)
        if scope["path"] == root_path and scope["type"] == "http":
            await RedirectResponse(f"{root_path}/")(scope, receive, send)
            return
        await self._proxied(scope, receive, send)  # type: ignore[arg-type]

    def _place(self, scope: Scope, root_path: str) -> None:
        path: str = scope["path"]
        passed_on = path == root_path or path.startswith(f"{root_path}/")
        if not passed_on or self._is_route(scope):  # Cartesia's /tts/bytes, below the prefix /tts
            scope["path"] = root_path + path
            scope["raw_path"] = root_path.encode() + scope.get("raw_path", b"")
        scope["root_path"] = root_path

    def _is_route(self, scope: Scope) -> bool:
        return any(route.matches(scope)[0] is not Match.NONE for route in self._router.routes)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As the proxies have told whom they speak for."""
        client = scope.get("client")
        if client is None or client == scope["peer"]:
            await self._app(scope, receive, send)
            return
        if not self._addresses.enter(client[0]):
            message = "too many requests at a time (server.connections_per_address)"
            refusal = JSONResponse({"error": "connections", "message": message}, 429)
            await answer(refusal, scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            self._addresses.leave(client[0])


def is_proxy(settings: ServerSettings) -> Callable[[str], bool]:
    """Which addresses are those of reverse proxies that are believed."""
    return _believing(settings, None).trusted_hosts.__contains__


def _believing(settings: ServerSettings, app: Any) -> ProxyHeadersMiddleware:
    return ProxyHeadersMiddleware(app, listed(settings.trusted_proxies))


def _prefix(text: str) -> str:
    """A path without a slash at its end; empty where it is none."""
    path = text.strip().rstrip("/")
    path = path if path.startswith("/") else f"/{path}"
    return path if _PREFIX.fullmatch(path) and ".." not in path else ""


def _take_host(scope: Scope, host: str) -> None:
    if not host:
        return
    direct = [value for name, value in scope["headers"] if name == b"host"]
    others = [each for each in scope["headers"] if each[0] != b"host"]
    scope["headers"] = [*others, (b"host", host.encode("latin-1"))]
    scope["direct_hosts"] = [value.decode("latin-1") for value in direct]
