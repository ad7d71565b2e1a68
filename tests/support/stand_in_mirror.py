"""A local stand-in for a mirror of Piper's voices, which can be slow to learn, lie and loop."""

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
from urllib.parse import unquote


@dataclass
class Mirror:
    """`files`: by path. `truncations`: by path, after how many bytes each of its next answers ends.
    `ranges`: how it answers a range: "honest", "ignored" (200), "other" (206 from the beginning, as
    it says), "lying" (the beginning, as the range asked for), "gap" (206, a part further on).
    `statuses`: answers by path instead of the file. `requests`: paths and first bytes asked for.
    """

    url: str
    files: dict[str, bytes]
    truncations: dict[str, list[int]] = field(default_factory=dict)
    ranges: str = "honest"
    statuses: dict[str, int] = field(default_factory=dict)
    requests: list[tuple[str, int]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    busy: int = 0
    busiest: int = 0
    gate: threading.Event | None = None


class _Handler(BaseHTTPRequestHandler):
    mirror: Mirror

    def do_GET(self) -> None:
        path = unquote(self.path).removeprefix("/piper/")
        with self.mirror.lock:
            self.mirror.busy += 1
            self.mirror.busiest = max(self.mirror.busiest, self.mirror.busy)
        try:
            self._answer(path)
        finally:
            with self.mirror.lock:
                self.mirror.busy -= 1

    def _answer(self, path: str) -> None:
        if self.mirror.gate is not None:
            self.mirror.gate.wait(10)
        if path in self.mirror.statuses:
            status = self.mirror.statuses[path]
            self._send(status, b"", {"Location": self.path} if 300 <= status < 400 else {})
        elif path in self.mirror.files:
            self._send_file(path, self.mirror.files[path])
        else:
            self._send(404, b"no such file", {})

    def _send_file(self, path: str, data: bytes) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        self.mirror.requests.append((path, start))
        if not asked or self.mirror.ranges == "ignored":
            self._send(200, data, {}, path)
            return
        sent = {"honest": start, "other": 0, "lying": 0, "gap": start + 10}[self.mirror.ranges]
        said = start if self.mirror.ranges == "lying" else sent
        headers = {"Content-Range": f"bytes {said}-{len(data) - 1}/{len(data)}"}
        self._send(206, data[sent:], headers, path)

    def _send(self, status: int, body: bytes, headers: dict[str, str], path: str = "") -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if truncations := self.mirror.truncations.get(path):
            body = body[: truncations.pop(0)]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the tests' output clean."""


def describe_voice(name: str, files: dict[str, bytes]) -> dict[str, Any]:
    """An entry of the catalogue, as the hub has it; `files`: those of the voice, by path."""
    code, _, quality = name.split("-")
    family, region = code.split("_")
    return {
        "key": name,
        "name": name.split("-")[1],
        "language": {
            "code": code,
            "family": family,
            "region": region,
            "name_native": "العربية" if family == "ar" else family,
            "name_english": "Arabic" if family == "ar" else family,
            "country_english": region,
        },
        "quality": quality,
        "num_speakers": 1,
        "speaker_id_map": {},
        "files": {
            path: {
                "size_bytes": len(data),
                "md5_digest": hashlib.md5(data, usedforsecurity=False).hexdigest(),
            }
            for path, data in files.items()
        },
        "aliases": [],
    }


def create_files(name: str, model: bytes, licence: str = "CC0") -> dict[str, bytes]:
    """The files of a voice, by path."""
    code, own, quality = name.split("-")
    folder = f"{code.split('_')[0]}/{code}/{own}/{quality}"
    return {
        f"{folder}/{name}.onnx": model,
        f"{folder}/{name}.onnx.json": b'{"of": "%s"}' % name.encode(),
        f"{folder}/MODEL_CARD": f"# Model card\n\n* License: {licence}\n".encode(),
    }


@contextmanager
def stand_in_mirror(*voices: dict[str, bytes]) -> Iterator[Mirror]:
    """Serve voices (their files) and the catalogue of them while the block runs."""
    handler = type("MirrorHandler", (_Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        mirror = Mirror(f"http://127.0.0.1:{server.server_port}/piper", {})
        entries = {}
        for files in voices:
            mirror.files |= files
            model = next(path for path in files if path.endswith(".onnx"))
            name = model.rsplit("/", 1)[1].removesuffix(".onnx")
            entries[name] = describe_voice(name, files)
        mirror.files["voices.json"] = json.dumps(entries).encode()
        handler.mirror = mirror  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield mirror
        finally:
            server.shutdown()
            thread.join()
