"""Addresses as clients put them together: `/v1//audio/speech`, `/audio/speech`."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Receive, Scope, Send

_SLASHES = re.compile("/{2,}")
_WITHOUT_VERSION = ("/audio/", "/models")  # OpenAI's, by a base URL that ends before `/v1`


class PathAliases:
    """ASGI middleware: slashes may be doubled, and OpenAI's `/v1` left out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        if scope["type"] != "lifespan":
            scope = {**scope, "path": _meant(scope["path"], scope.get("root_path", ""))}
        await self._app(scope, receive, send)


def _meant(path: str, root: str) -> str:
    path = _SLASHES.sub("/", path)
    below = path.removeprefix(root)
    return f"{root}/v1{below}" if below.startswith(_WITHOUT_VERSION) else path
