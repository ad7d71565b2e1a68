"""The pages that the server serves: the files of `backend/web/`, as they are.

They load nothing from elsewhere, and the browser is told to hold them to it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

log = structlog.get_logger(__name__)

WEB = Path(__file__).resolve().parents[1] / "web"
_PAGES = ("index.html", "dashboard.html")

# Everything from this server, code from files only. `connect-src 'self'` includes the WebSocket.
_CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "media-src 'self' blob:",
        "manifest-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)",
    # Ask each time, by the ETag: a page and its modules are never of different versions.
    "Cache-Control": "no-cache",
}
# Not from the machine's own table, which may call JavaScript text/plain.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}


@dataclass(frozen=True, slots=True)
class Page:
    """A file, read once: a few kilobytes, and no request waits for a disk."""

    body: bytes = field(repr=False)
    media_type: str
    etag: str

    @classmethod
    def read(cls, file: Path) -> Page:
        """Blocks while it reads."""
        body = file.read_bytes()
        return cls(body, _TYPES[file.suffix], f'"{hashlib.sha256(body).hexdigest()[:32]}"')

    async def answer(self, request: Request) -> Response:
        """The file, or 304 where the browser has it."""
        headers = {**_HEADERS, "ETag": self.etag}
        known = request.headers.get("If-None-Match", "")
        if self.etag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
            return Response(status_code=304, headers=headers)
        return Response(self.body, media_type=self.media_type, headers=headers)


def install(app: Starlette, web: Path = WEB) -> frozenset[str]:
    """Serve the files of `web`, each under its name; pages without `.html`, index.html as `/`.

    Each file becomes a route of its own: what is not a file here can never be asked for. Files of
    other types are left out; pages that are not there are warned of. Returns
    their paths. Blocks while it reads them.
    """
    if missing := [name for name in _PAGES if not (web / name).is_file()]:
        log.warning(
            "pages.missing",
            why=f"no {' and no '.join(missing)} in {web}, so browsers are answered 404; "
            "install duplex-tts again",
        )
    files = [file for file in sorted(web.glob("*")) if file.suffix in _TYPES]
    for file in files:
        app.add_route(_path(file), Page.read(file).answer, include_in_schema=False)
    return frozenset(map(_path, files))


def _path(file: Path) -> str:
    if file.suffix != ".html":
        return f"/{file.name}"
    return "/" if file.stem == "index" else f"/{file.stem}"
