"""A hub of weights on this machine: serves files as the real one does, and misbehaves when told."""

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
_LARGE_BYTES = 1000  # from here on the hub states a SHA-256


@dataclass
class Hub:
    """`breaks`: by file, after how many bytes each of its next answers breaks off. `lies`: what is
    served in place of a file. `requests`: the files asked for, and the first byte wanted.
    """

    url: str
    repository: str
    files: dict[str, bytes]
    breaks: dict[str, list[int]] = field(default_factory=dict)
    lies: dict[str, bytes] = field(default_factory=dict)
    resumes: bool = True
    requests: list[tuple[str, int]] = field(default_factory=list)

    def listing(self) -> dict[str, Any]:
        return {
            "id": self.repository,
            "sha": _REVISION,
            "siblings": [_stated(name, data) for name, data in self.files.items()],
        }


def _stated(name: str, data: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
    stated: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": blob}
    if len(data) >= _LARGE_BYTES:
        digest = hashlib.sha256(data).hexdigest()
        stated["lfs"] = {"sha256": digest, "size": len(data), "pointerSize": 134}
    return stated


class _Answer(BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        name = path.removeprefix(f"/{self.hub.repository}/resolve/{_REVISION}/")
        if path == f"/api/models/{self.hub.repository}":
            self._say(200, json.dumps(self.hub.listing()).encode(), "application/json")
        elif name in self.hub.files:
            self._file(name)
        else:
            self._say(404, b"{}", "application/json")

    def _file(self, name: str) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted else 0
        self.hub.requests.append((name, start))
        data = self.hub.lies.get(name, self.hub.files[name])
        partial = wanted is not None and self.hub.resumes
        self._say(206 if partial else 200, data[start:] if partial else data, "", name)

    def _say(self, status: int, body: bytes, kind: str, name: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind or "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if breaks := self.hub.breaks.get(name):
            body = body[: breaks.pop(0)]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests' output is for the tests."""


@contextmanager
def stand_in_hub(repository: str, files: dict[str, bytes]) -> Iterator[Hub]:
    """Serve the files as those of the repository until the block ends."""
    handler = type("Answer", (_Answer,), {})
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
