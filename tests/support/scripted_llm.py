"""An OpenAI-compatible server with scripted answers, for the examples."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "scripted"


class ScriptedLlm:
    """Gives its answers in order, `token_s` for each word.

    `requests`: the JSON bodies received.
    """

    def __init__(self, answers: Sequence[str], token_s: float = 0.02) -> None:
        self.requests: list[dict[str, Any]] = []
        self.status = 200
        self._answers = iter(answers)
        self._token_s = token_s

    def answer_request(self, request: BaseHTTPRequestHandler) -> None:
        size = int(request.headers["Content-Length"])
        self.requests.append(json.loads(request.rfile.read(size)))
        request.send_response(self.status)
        request.send_header("Content-Type", "text/event-stream")
        request.end_headers()
        if self.status != 200:
            request.wfile.write(b'{"error": {"message": "no such model"}}')
            return
        for token in [*next(self._answers).split(" "), ""]:
            delta = {"content": f"{token} "} if token else {}
            chunk = {
                "id": "1",
                "object": "chat.completion.chunk",
                "created": 0,
                "model": MODEL,
                "choices": [
                    {"index": 0, "delta": delta, "finish_reason": None if token else "stop"}
                ],
            }
            request.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
            request.wfile.flush()
            time.sleep(self._token_s)
        request.wfile.write(b"data: [DONE]\n\n")


@contextmanager
def serve_llm(llm: ScriptedLlm) -> Iterator[str]:
    """Serve while the block runs; yields the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            llm.answer_request(self)

        def do_GET(self) -> None:
            models = {"object": "list", "data": [{"id": MODEL, "object": "model"}]}
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(models).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="scripted-llm")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
