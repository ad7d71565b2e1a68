"""A local stand-in for the model hub, which can truncate and falsify files."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_REVISION = "5" * 40
_LARGE_BYTES = 1000  # from this size on the hub lists a SHA-256


@dataclass
class Hub:
    """`truncations`: by file, after how many bytes each of its next answers ends. `replacements`:
    data served instead of a file. `requests`: each requested file and its first byte.
    """

    url: str
    repository: str
    files: dict[str, bytes]
    truncations: dict[str, list[int]] = field(default_factory=dict)
    replacements: dict[str, bytes] = field(default_factory=dict)
    resumes: bool = True
    requests: list[tuple[str, int]] = field(default_factory=list)

    def listing(self) -> dict[str, Any]:
        return {
            "id": self.repository,
            "sha": _REVISION,
            "siblings": [_describe_file(name, data) for name, data in self.files.items()],
        }


def _describe_file(name: str, data: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
    description: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": blob}
    if len(data) >= _LARGE_BYTES:
        digest = hashlib.sha256(data).hexdigest()
        description["lfs"] = {"sha256": digest, "size": len(data), "pointerSize": 134}
    return description


class _HubHandler(BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        name = path.removeprefix(f"/{self.hub.repository}/resolve/{_REVISION}/")
        if path == f"/api/models/{self.hub.repository}":
            self._send(200, json.dumps(self.hub.listing()).encode(), "application/json")
        elif name in self.hub.files:
            self._send_file(name)
        else:
            self._send(404, b"{}", "application/json")

    def _send_file(self, name: str) -> None:
        requested = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(requested[1]) if requested else 0
        self.hub.requests.append((name, start))
        data = self.hub.replacements.get(name, self.hub.files[name])
        partial = requested is not None and self.hub.resumes
        self._send(206 if partial else 200, data[start:] if partial else data, "", name)

    def _send(self, status: int, body: bytes, kind: str, name: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind or "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if truncations := self.hub.truncations.get(name):
            body = body[: truncations.pop(0)]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output clean."""


@contextmanager
def stand_in_hub(repository: str, files: dict[str, bytes]) -> Iterator[Hub]:
    """Serve the repository's files while the block runs."""
    handler = type("HubHandler", (_HubHandler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub = Hub(f"http://127.0.0.1:{server.server_port}", repository, files)
        handler.hub = hub  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
