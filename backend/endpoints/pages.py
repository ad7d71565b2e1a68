"""Serves the web pages: the files of `backend/web/`, unchanged.

They load nothing from other origins; the content security policy enforces it. In a cluster they may
connect to the addresses of its replicas.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from backend.cluster.holder_connection import websocket_url
from backend.cluster.replicas import Replicas

log = structlog.get_logger(__name__)

WEB = Path(__file__).resolve().parents[1] / "web"
_PAGES = ("index.html", "dashboard.html")

# Everything from this server, code from files only.
_CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "media-src 'self' blob:",
        "manifest-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)",
    # Revalidate by ETag: a page and its modules never have different versions.
    "Cache-Control": "no-cache",
}
# Not the operating system's table, which may map JavaScript to text/plain.
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
    """A file of a few kilobytes, held in memory so that no request waits for a disk."""

    body: bytes = field(repr=False)
    media_type: str
    etag: str
    replicas: Replicas | None = None

    @classmethod
    def read_file(cls, file: Path, replicas: Replicas | None) -> Page:
        """Read a file. Blocks."""
        body = file.read_bytes()
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        return cls(body, _TYPES[file.suffix], etag, replicas)

    async def respond(self, request: Request) -> Response:
        """The file, or 304 if the browser's copy is current."""
        policy = _content_security_policy(self.replicas)
        headers = {**_HEADERS, "Content-Security-Policy": policy, "ETag": self.etag}
        cached_tags = request.headers.get("If-None-Match", "")
        if self.etag in (tag.strip().removeprefix("W/") for tag in cached_tags.split(",")):
            return Response(status_code=304, headers=headers)
        return Response(self.body, media_type=self.media_type, headers=headers)


def install_pages(
    app: Starlette, web: Path = WEB, replicas: Replicas | None = None
) -> frozenset[str]:
    """Serve the files of `web`, each under its path; pages without `.html`, index.html as `/`.

    Each file has its own route, so no other file can be requested. Files of other types are
    skipped; missing pages are logged. Returns the paths. Blocks while reading.
    """
    if missing := [name for name in _PAGES if not (web / name).is_file()]:
        log.warning(
            "pages.missing",
            why=f"no {' and no '.join(missing)} in {web}, so browsers get 404; "
            "install duplex-tts again",
        )
    paths = {
        _url_path(file.relative_to(web)): file
        for file in sorted(web.rglob("*"))
        if file.suffix in _TYPES
    }
    for path, file in paths.items():
        app.add_route(path, Page.read_file(file, replicas).respond, include_in_schema=False)
    return frozenset(paths)


def _content_security_policy(replicas: Replicas | None) -> str:
    """`connect-src 'self'` includes the WebSocket of the page's own address."""
    reports = [] if replicas is None else replicas.reports()
    addresses = ["'self'", *(websocket_url(report.url) for report in reports)]
    return f"{_CONTENT_SECURITY_POLICY}; connect-src {' '.join(addresses)}"


def _url_path(file: Path) -> str:
    """`file`: relative to the folder of the pages."""
    if file.suffix != ".html":
        return f"/{file.as_posix()}"
    return "/" if file.stem == "index" else f"/{file.stem}"
