"""Accepts URL variants that clients build: `/v1//audio/speech`, `/audio/speech`."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

_SLASHES = re.compile("/{2,}")
_WITHOUT_VERSION = ("/audio/", "/models")  # OpenAI's, for base URLs without `/v1`


class PathAliases:
    """ASGI middleware: merges repeated slashes and adds a missing `/v1` to OpenAI's paths."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward the request with its canonical path."""
        if scope["type"] != "lifespan":
            scope = {**scope, "path": _canonical_path(scope["path"], scope.get("root_path", ""))}
        await self._app(scope, receive, send)


def _canonical_path(path: str, root: str) -> str:
    path = _SLASHES.sub("/", path)
    below = path.removeprefix(root)
    return f"{root}/v1{below}" if below.startswith(_WITHOUT_VERSION) else path
